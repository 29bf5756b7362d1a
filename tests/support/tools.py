"""System tools that some tests call: missing, they skip on a desk and fail in CI."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

requires_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None and os.environ.get("CI") != "true", reason="dicom3tools is not installed"
)
"""Mark for tests that call ``dciodvfy``; under ``CI=true`` they run, and fail where it is missing."""

requires_dcmtk = pytest.mark.skipif(
    shutil.which("dsrdump") is None and os.environ.get("CI") != "true", reason="dcmtk is not installed"
)
"""The same for ``dsrdump``, ``dcmp2pgm`` and ``storescp``."""


def dciodvfy_errors(content: bytes, folder: Path) -> list[str]:
    """What ``dciodvfy`` calls an error in a DICOM file."""
    path = folder / "checked.dcm"
    path.write_bytes(content)
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60, check=False)
    return [line for line in result.stderr.splitlines() if line.startswith("Error")]
