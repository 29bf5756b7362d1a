"""Whatever strangers send: it is read, or refused in our own words; nothing else comes back.

`ENTRANCE_EXAMPLES` sets how many variants each entrance meets (a handful by default, to be quick);
``python -m tests.benchmarks.fuzz`` goes on for as long as one likes.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.entrances import ENTRANCES, Entrance, variant

SOME = settings(
    max_examples=int(os.environ.get("ENTRANCE_EXAMPLES", "25")), deadline=None, derandomize=True, database=None
)


@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda one: one.name)
def test_hostile_variants_are_read_or_refused(entrance: Entrance) -> None:
    @given(chance=st.randoms(use_true_random=False), number=st.integers(0, 100))
    @settings(SOME, suppress_health_check=list(HealthCheck))
    def enter(chance: object, number: int) -> None:
        seeds = entrance.seeds()
        entrance.enter(variant(seeds[number % len(seeds)], chance, is_json=entrance.is_json))  # type: ignore[arg-type]

    enter()


@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda one: one.name)
def test_what_is_usually_sent_is_accepted(entrance: Entrance) -> None:
    assert {entrance.enter(seed) for seed in entrance.seeds()} == {"accepted"}


@given(data=st.binary(max_size=400))
@settings(SOME)
@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda one: one.name)
def test_noise_is_refused(entrance: Entrance, data: bytes) -> None:
    assert entrance.enter(data) == "refused"
