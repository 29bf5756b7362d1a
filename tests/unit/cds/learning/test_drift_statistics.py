"""Ranks are uniform and the evidence honest while nothing changes, and grow when something does."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.learning.drift.conformal import category_ranks, number_ranks, tie_breaker
from cds.learning.drift.evidence import YEAR_DAYS, bets, days_since, gather
from cds.learning.drift.watching import MONITOR_LEVEL
from tests.benchmarks.learning_drift_many import first_alarms

few = st.lists(st.integers(0, 6).map(float), max_size=30)


@settings(deadline=None, max_examples=40)
@given(reference=few, values=st.lists(st.integers(0, 6).map(float), max_size=600), tie=st.floats(0, 1))
def test_ranks_are_counts_among_what_came_before(reference: list[float], values: list[float], tie: float) -> None:
    known = sorted(reference)
    expected = []
    for value in values:
        below = bisect_left(known, value)
        same = bisect_right(known, value) - below + 1
        expected.append((below + tie * same) / (len(known) + 1))
        insort(known, value)
    assert number_ranks(reference, values, [tie] * len(values)) == pytest.approx(expected)


def test_a_new_category_is_strange_at_first_and_usual_later() -> None:
    ranks = category_ranks(["old"] * 100, ["new"] * 300, [0.5] * 300)
    assert ranks[0] < 0.01
    assert ranks[-1] > 0.5


@settings(deadline=None, max_examples=40)
@given(
    reference=st.lists(st.sampled_from("abcd"), max_size=30), values=st.lists(st.sampled_from("abcde"), max_size=300)
)
def test_ranks_of_categories_are_counts_of_rarer_ones(reference: list[str], values: list[str]) -> None:
    counts, expected = Counter(reference), []
    for value in values:
        counts[value] += 1
        rarer = sum(count for count in counts.values() if count < counts[value])
        same = sum(count for count in counts.values() if count == counts[value])
        expected.append((rarer + 0.3 * same) / counts.total())
    assert category_ranks(reference, values, [0.3] * len(values)) == pytest.approx(expected)


def test_ranks_are_uniform_while_nothing_changes() -> None:
    draw = np.random.default_rng(1)
    names = draw.choice(["a", "b", "c"], 4000, p=[0.6, 0.3, 0.1]).tolist()
    for ranks in (
        number_ranks(draw.normal(size=50).tolist(), draw.normal(size=4000).tolist(), draw.random(4000).tolist()),
        category_ranks(names[:50], names[50:], draw.random(3950).tolist()),
    ):
        assert np.histogram(ranks, 10, (0, 1))[0] / len(ranks) == pytest.approx(np.full(10, 0.1), abs=0.025)


def test_every_bet_is_fair() -> None:
    grid = (np.arange(100_000) + 0.5) / 100_000
    factors = bets(grid)
    assert factors.min() > 0
    assert factors.mean(axis=0) == pytest.approx(np.ones(factors.shape[1]), abs=1e-3)


def test_noise_raises_an_alarm_no_more_often_than_stated() -> None:
    draw = np.random.default_rng(2)
    days = np.repeat(np.arange(YEAR_DAYS), 2)
    alarms = sum(gather(draw.random(len(days)), days, level=0.2).crossed is not None for _ in range(150))
    assert alarms / 150 < 0.2 + 3 * (0.2 * 0.8 / 150) ** 0.5


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(st.integers(0, 40), min_size=2, max_size=60),
    ranks=st.lists(st.floats(0.001, 0.999), min_size=60, max_size=60),
    share=st.floats(0, 1),
)
def test_what_erasure_leaves_makes_no_more_than_everything_did(
    steps: list[int], ranks: list[float], share: float
) -> None:
    days = np.unique(np.cumsum(steps))
    series = np.array(ranks[: len(days)])
    first = min(int(share * len(days)), len(days) - 1)
    everything = gather(series, days, level=0.05).log_gain
    left = gather(series[first:], days[first:], level=0.05).log_gain
    assert (left <= everything[first:] + 1e-9).all()


def test_noise_raises_no_more_alarms_while_retention_erases_the_oldest_cases() -> None:
    draw = np.random.default_rng(7)
    years, kept, level, alarms = 40, 30, 0.2, 0
    days = np.arange(YEAR_DAYS)
    for _ in range(years):
        reference, values, ties = draw.normal(size=200).tolist(), draw.normal(size=len(days)), draw.random(len(days))
        looks = (slice(max(0, end - kept), end) for end in range(kept, YEAR_DAYS, 3))
        alarms += any(
            gather(number_ranks(reference, values[part].tolist(), ties[part].tolist()), days[part], level=level).crossed
            is not None
            for part in looks
        )
    # With what belongs to the erased days put on the first case that is left, it would be most years.
    assert alarms / years < level


@pytest.mark.parametrize("ranks", [lambda u: u**0.5, lambda u: u**2, lambda u: 0.5 + (u - 0.5) * 0.5])
def test_a_shift_raises_it(ranks: object) -> None:
    draw = np.random.default_rng(3)
    days = np.repeat(np.arange(120), 10)
    uniform = draw.random(len(days))
    moved = np.where(days < 60, uniform, ranks(uniform))  # type: ignore[operator]
    found = gather(moved, days, level=0.05 / 21)
    assert found.crossed is not None
    assert 60 <= days[found.crossed] < 110


@pytest.mark.parametrize("categories", [False, True])
@pytest.mark.parametrize("shift", [0, 3])
def test_the_proof_computes_many_streams_as_the_page_computes_one(categories: bool, shift: int) -> None:
    draw = np.random.default_rng(4)
    values = draw.integers(0, 4 if categories else 40, 700).astype(np.float64)
    values[450:] += shift * draw.integers(0, 2, 250)
    when = np.maximum(np.sort(draw.integers(-80, 180, 700)), 0)
    when[:200] = 0
    codes = np.unique(values, return_inverse=True)[1].astype(np.int16)
    (found,) = first_alarms([(codes, when, 200)], np.random.default_rng(5), categories=categories)
    ties = np.random.default_rng(5).random(700)[200:].tolist()
    if categories:
        names = values.astype(str).tolist()
        ranks = category_ranks(names[:200], names[200:], ties)
    else:
        ranks = number_ranks(values[:200].tolist(), values[200:].tolist(), ties)
    crossed = gather(ranks, when[200:], level=MONITOR_LEVEL).crossed
    assert found == (-1 if crossed is None else when[200:][crossed])
    assert (found == -1) == (shift == 0)


def test_each_year_has_a_stake_of_its_own() -> None:
    days = np.array([0, 1, YEAR_DAYS, YEAR_DAYS + 1])
    found = gather(np.full(4, 0.001), days, level=1e-9)
    alone = gather(np.full(2, 0.001), days[:2], level=1e-9)
    assert found.log_gain[2:] == pytest.approx(alone.log_gain, abs=0.1)
    assert found.crossed is None


def test_a_winning_stake_stays_a_number() -> None:
    days = np.repeat(np.arange(100), 40)
    found = gather(np.full(len(days), 0.999), days, level=0.05)
    assert np.isfinite(found.log_gain).all()
    assert found.crossed is not None


def test_nothing_is_no_evidence() -> None:
    assert gather(np.array([]), np.array([], dtype=np.int64), level=0.05).crossed is None


def test_days_are_whole() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert days_since(start, [start, start + timedelta(hours=47)]).tolist() == [0, 1]


def test_ties_are_broken_alike_every_time() -> None:
    assert tie_breaker("one", "size") == tie_breaker("one", "size") != tie_breaker("one", "dark")
    assert 0 < tie_breaker("two", "size") < 1
