"""The quick service whose detector follows the site's choice of model: ``python -m tests.support.followed_service``."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from cds.bootstrap import load_settings
from cds.entrypoints.web import run_server
from cds.following import Following, ModelWatch
from cds.learning.model_kinds import ModelKind
from cds.learning.models import chosen_folder, model_store
from cds.pipeline import Engines
from cds.settings import Settings
from imaging.manifest import read_manifest
from imaging.radiograph import Radiograph
from imaging.results import ImageFindings
from tests.support import cases
from tests.support.fakes import FakeParts


class Named:
    """Always the same findings, under the name of the model in a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._model_id = read_manifest(folder).model_id

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """The drawn findings."""
        return replace(cases.findings(), model_id=self._model_id)


class Follower:
    """Asks for the model to use with every case."""

    def __init__(self, following: Following[Named]) -> None:
        self._following = following

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """Findings of the model in use now."""
        return self._following.get().analyse(radiograph)


def build(settings: Settings) -> Engines:
    """Fakes, but for the choice of the detector."""
    store, watch = model_store(settings), ModelWatch()
    choose = partial(chosen_folder, ModelKind.DETECTOR, settings, store)
    image = Follower(Following(ModelKind.DETECTOR, choose, Named, watch))
    return replace(FakeParts().engines(), image=image, models=watch)


if __name__ == "__main__":
    run_server(load_settings(), build=build)
