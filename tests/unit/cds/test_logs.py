"""Logs and tracebacks carry places, never messages, arguments or locals."""

import io
import logging
import warnings
from collections.abc import Iterator

import pytest

from cds.logs import SafeFormatter, configure_logging, safe_traceback


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        yield
    root.handlers[:] = handlers
    root.setLevel(level)


def nested() -> Exception:
    try:
        try:
            raise ValueError("Planted Name")
        except ValueError as inner:
            raise RuntimeError("born 1958-09-01") from inner
    except RuntimeError as error:
        return error


def test_traceback_shows_the_chain_without_messages() -> None:
    text = safe_traceback(nested())
    assert text.index("RuntimeError") < text.index("ValueError")
    assert "test_logs.py" in text
    assert "Planted" not in text
    assert "1958" not in text


def test_formatter_uses_it() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(SafeFormatter("%(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.error("went wrong", exc_info=nested())
    assert "RuntimeError" in stream.getvalue()
    assert "Planted" not in stream.getvalue()


@pytest.mark.usefixtures("restored_logging")
def test_chatty_libraries_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING")
    logging.getLogger("pydicom").warning("Invalid value 'Planted^Name'")
    warnings.warn("Planted Name", stacklevel=1)
    logging.getLogger("cds").warning("seen")
    errors = capsys.readouterr().err
    assert "seen" in errors
    assert "Planted" not in errors
