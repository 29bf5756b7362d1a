"""How a run begins, whatever it screens: its folder beside the output, its plan, and whether it goes on."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

import orjson

from cds.batch.journal import RunFolder
from cds.errors import OutputError


class Determined(Protocol):
    """What determines the result of a run."""

    def to_bytes(self) -> bytes:
        """As JSON with a field ``as_of``; the same bytes for the same result."""


P = TypeVar("P", bound=Determined)


def run_folder(output: Path) -> RunFolder:
    """Where a run keeps what it has finished: a hidden folder beside the output."""
    return RunFolder(output.absolute().with_name(f".{output.name}.run"))


def open_run(
    folder: RunFolder,
    *,
    as_of: datetime | None,
    fresh: bool,
    make_plan: Callable[[datetime], P],
    refuse_changed: Callable[[bytes, P], None],
) -> tuple[P, bool]:
    """The plan, and whether an unfinished run goes on.

    Args:
        folder: From `run_folder`.
        as_of: Time that the run describes, timezone-aware; None means that of the unfinished run, else now.
        fresh: Throw an unfinished run away instead of going on with it.
        make_plan: Time to plan.
        refuse_changed: Raises when the plan of the unfinished run is not that of this one.

    Raises:
        OutputError: The run folder cannot be made.
        ResumeRefusedError: An unfinished run differs from this one.
    """
    try:
        if fresh:
            folder.remove()
        before = folder.plan()
        if as_of is None and before is not None:
            as_of = datetime.fromisoformat(orjson.loads(before)["as_of"])
        plan = make_plan(as_of or datetime.now(UTC).replace(microsecond=0))
        if before is not None:
            refuse_changed(before, plan)
            return plan, True
        folder.create(plan.to_bytes())
        return plan, False
    except PermissionError as error:
        raise OutputError(
            "The run folder beside the output cannot be made.", remedy="Give a writable folder."
        ) from error
