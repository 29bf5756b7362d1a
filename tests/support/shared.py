"""Where the shared data lie, if they are on this machine."""

import os
from pathlib import Path

import pytest


def shared_dir() -> Path | None:
    """Folder of shared data: ``FRACTURE_CDS_SHARED`` or ``../shared`` beside the project; None when absent."""
    configured = os.environ.get("FRACTURE_CDS_SHARED")
    folder = Path(configured) if configured else Path(__file__).resolve().parents[3] / "shared"
    return folder if (folder / "data").is_dir() else None


requires_shared = pytest.mark.skipif(shared_dir() is None, reason="the shared data folder is not on this machine")
"""Mark for tests that read the shared data."""
