"""Where the form's toolkit puts uploads: a private folder, emptied every hour and at the end.

Import this before the toolkit: it reads the variables set here once.
"""

import os
import shutil
import tempfile
from pathlib import Path

from cds.entrypoints.console import read_input
from cds.errors import InputError, InputKind

_UPLOADS = tempfile.TemporaryDirectory(prefix="fracture-cds-uploads-")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = _UPLOADS.name
os.environ["HF_HUB_OFFLINE"] = "1"

UPLOAD_LIFETIME_S = 3600
CLEANING_INTERVAL_S = 300


def discard_uploads() -> None:
    """Delete every upload; also when a signal is about to end the process, which runs no exit handlers."""
    for entry in Path(_UPLOADS.name).iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def read_upload(path: str | None, kind: InputKind, limit_bytes: int) -> bytes | None:
    """The bytes of an upload; None where there is none.

    Raises:
        InputTooLargeError: it exceeds its limit.
        InputError: it is not there any more.
    """
    try:
        return read_input(None if path is None else Path(path), kind, limit_bytes=limit_bytes)
    except InputError:
        raise InputError(
            f"The uploaded {kind.value} is no longer on this server.",
            remedy="Uploads are deleted after an hour: choose the file again.",
        ) from None
