"""Failures of tasks on their way from a worker to the program that waits.

An exception is not sent as it is: most of ours take keywords and so do not survive pickling, which would look like a
dead worker; and one that nobody knows may quote patient data, which must neither travel nor be logged by an engine.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

from cds.batch.run import S
from cds.errors import INTERNAL_CODE, error_code
from cds.logs import safe_traceback

_log = logging.getLogger(__name__)


class TaskFailedError(Exception):
    """A task met a fault of this program; the log holds where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exception of a worker: a known one in its parts, an unknown one as its place in the code."""

    kind: type[Exception] | None = None
    arguments: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    frames: str = ""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Take an exception apart."""
        if error_code(error) == INTERNAL_CODE:
            return cls(frames=safe_traceback(error))
        return cls(kind=type(error), arguments=error.args, attributes=dict(error.__dict__))

    def throw(self) -> NoReturn:
        """Raise it here.

        Raises:
            Exception: The known exception, equal in all its parts.
            TaskFailedError: For an unknown one, whose frames are logged.
        """
        if self.kind is None:
            _log.error("a task failed in a worker\n%s", self.frames)
            raise TaskFailedError
        error = self.kind.__new__(self.kind, *self.arguments)
        error.args = self.arguments
        error.__dict__.update(self.attributes)
        raise error


def attempt(function: Callable[[S], Path], spec: S) -> Failure | None:
    """Run a task; what it raises comes back as a value that any process can read."""
    try:
        function(spec)
    except Exception as error:
        return Failure.of(error)
    return None
