"""One tiny training for all tests of this folder."""

from pathlib import Path

import pytest

from imaging.bone_age.training import run
from tests.support import hands


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hands.folder(tmp_path_factory.mktemp("hands"), 48)


@pytest.fixture(scope="session")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training with its release beside the folds."""
    return run(
        data, tmp_path_factory.mktemp("run"), config=hands.TINY, command="cds train bone-age", report=lambda _: None
    )
