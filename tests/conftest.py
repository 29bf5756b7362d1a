"""Settings for the whole suite."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

# Threads that wait must sleep, not spin: the suite has to pass on a busy machine too.
# Set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the processors
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """A training measures itself with 1,000 bootstrap resamples; a few will do."""
    from imaging.training import evaluate, release  # which load torch
    from imaging.training.metrics import measure

    def quick(records: Any, thresholds: Any, *, rounds: int = 5) -> Any:
        return measure(records, thresholds, rounds=min(rounds, 5))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "measure", quick)
        patch.setattr(evaluate, "measure", quick)
        yield
