"""System tools that some tests call: missing, they skip on a desk and fail in CI."""

import os
import shutil

import pytest

requires_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None and os.environ.get("CI") != "true", reason="dicom3tools is not installed"
)
"""Mark for tests that call ``dciodvfy``; under ``CI=true`` they run, and fail where it is missing."""
