"""Logs that carry no patient data.

An exception's message may quote what it choked on (a name, a date of birth); its class and its place in the code
cannot. So log records print the class and the frames of an exception, never its message, its arguments or local
variables, and third-party libraries that log the values they read are kept silent below ERROR.
"""

import contextlib
import logging
import sys
import traceback
import warnings
from types import TracebackType

CHATTY_LIBRARIES = (
    "pydicom",
    "highdicom",
    "fhir",
    "PIL",
    "multipart",
    "python_multipart",
    "httpx",
    "httpcore",
    "uvicorn.access",
)
"""Loggers whose messages quote the data they read, or the addresses that they ask for or are asked for."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def safe_traceback(error: BaseException) -> str:
    """The class names and frames of an exception and of its causes, without messages, arguments or locals."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = traceback.extract_tb(current.__traceback__)
        lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        parts.append("\n".join([f"{type(current).__module__}.{type(current).__qualname__} raised at", *lines]))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by\n".join(parts)


class SafeFormatter(logging.Formatter):
    """A formatter whose tracebacks are those of `safe_traceback`."""

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 (the base class's name)
        """Replace the standard traceback, which ends in the exception's message."""
        return "" if ei[1] is None else safe_traceback(ei[1])


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a failure is dropped, since reporting it would print the record's arguments."""
        with contextlib.suppress(Exception):
            print(self.format(record), file=sys.stderr)


def configure_logging(level: str) -> None:
    """Send every log record of at least `level` to standard error, through `SafeFormatter`.

    Python warnings of libraries are dropped: their text quotes the values that caused them.

    Args:
        level: ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    """
    handler = _StandardError()
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in CHATTY_LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
