"""Engines for worker processes of the tests: named by import, quick, and as slow as the environment says."""

import os
import time
from dataclasses import replace

from cds.pipeline import Engines
from cds.settings import Settings
from imaging.radiograph import Radiograph
from tests.support.fakes import FakeParts

SLOW_S = "TEST_ENGINE_SECONDS"


def build(settings: Settings) -> Engines:
    """Fakes; reading an image takes so many seconds."""
    engines = FakeParts().engines()

    def read_image(source: bytes, *, frame: int = 1) -> Radiograph:
        time.sleep(float(os.environ.get(SLOW_S, "0")))
        return engines.read_image(source, frame=frame)

    return replace(engines, read_image=read_image)
