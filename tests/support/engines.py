"""Engines for worker processes of the tests: named by import, quick, and as slow as the environment says.

An image that says `HUNGRY` takes more memory than any worker may have, one that says `STUCK` never ends.
"""

import os
import time
from dataclasses import replace

from cds.pipeline import Engines
from cds.settings import Settings
from imaging.radiograph import Radiograph
from tests.support.fakes import FakeParts

SLOW_S = "TEST_ENGINE_SECONDS"
HUNGRY, STUCK = b"hungry", b"stuck"
EATEN_MIB = 2000


def build(settings: Settings) -> Engines:
    """Fakes; reading an image takes so many seconds."""
    engines = FakeParts().engines()

    def read_image(source: bytes, *, frame: int = 1) -> Radiograph:
        time.sleep(float(os.environ.get(SLOW_S, "0")))
        if source == HUNGRY:
            eaten = b"x" * (EATEN_MIB << 20)
            time.sleep(60)
            del eaten
        while source == STUCK:
            time.sleep(1)
        return engines.read_image(source, frame=frame)

    return replace(engines, read_image=read_image)
