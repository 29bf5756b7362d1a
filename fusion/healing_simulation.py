"""Seeded draws for what has no closed form: disagreeing sources of a factor, and differences within one person.

The weeks to union are log-normal source by source and the effects on time are log-normal, so `fusion.union_times`
gives the percentiles of the window exactly, and the report prints those: draws would add noise and nothing else. Draws
are used where exactness ends:

- the odds of non-union with several factors, each of which has sources that disagree: a draw picks one source of each
  factor, all alike likely, and adds that source's own error, so that a factor with the ratios 1.2 and 3.2 is never
  taken for one of about 2;
- the difference between a person with a factor and the same person without it, which is paired: both sides share
  every draw (common random numbers), so that what the factor does not touch cancels.

Every quantity draws from a stream of its own that is named after it. Adding or leaving out one factor therefore changes
no other draw, and the same case gives the same bytes. Each stream holds one value of each of `DRAWS` equally likely
slices of its distribution. Those that make the weeks are spread together by an additive recurrence (the generalised
golden ratio), which brings the drawn window within one per cent of the exact one; the others are in seeded orders.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from statistics import NormalDist, geometric_mean

from fusion.healing_factors import Effect, Factor
from fusion.union_times import INTERVAL_PERCENTILES, Group, Weeks

DRAWS = 4096
"""As ``healing.method.simulation`` states."""
SEED = 20261122
SIMULATION = "healing.method.simulation"
_UNION = "union"
_SPREAD_TOGETHER = (_UNION, "current_smoking:time", "osteoporosis:time")
"""Streams of the weeks to union, in the order of their steps in the recurrence."""
_NORMAL = NormalDist()

Draws = Sequence[float]
"""`DRAWS` values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A range that 80 % of the draws lie in."""

    low: float
    """10th percentile."""
    high: float
    """90th percentile."""


@lru_cache(maxsize=1)
def _slices() -> tuple[float, ...]:
    """The middle of each equally likely slice of the standard normal distribution, rising."""
    return tuple(_NORMAL.inv_cdf((place + 0.5) / DRAWS) for place in range(DRAWS))


@lru_cache(maxsize=64)
def _stream(name: str) -> tuple[float, ...]:
    """The standard normal draws of one quantity."""
    if name not in _SPREAD_TOGETHER:
        order = list(range(DRAWS))
        random.Random(f"{SEED}:{name}").shuffle(order)
        return tuple(map(_slices().__getitem__, order))
    ratio = 2.0
    for _ in range(64):  # towards the root of x^(d+1) = x + 1
        ratio = (1.0 + ratio) ** (1.0 / (len(_SPREAD_TOGETHER) + 1))
    step = ratio ** -(1.0 + _SPREAD_TOGETHER.index(name))
    places = [math.modf(0.5 + step * draw)[0] for draw in range(1, DRAWS + 1)]
    values = [0.0] * DRAWS
    for slice_, draw in zip(_slices(), sorted(range(DRAWS), key=places.__getitem__), strict=True):
        values[draw] = slice_
    return tuple(values)


@lru_cache(maxsize=64)
def _effect_draws(name: str, sources: tuple[Effect, ...]) -> tuple[float, ...]:
    """The log odds ratio of one factor: each draw takes one source, all alike often, and its error."""
    chosen = [sources[draw * len(sources) // DRAWS] for draw in range(DRAWS)]
    random.Random(f"{SEED}:{name}:source").shuffle(chosen)
    return tuple(
        one.log_ratio + one.log_error * draw for one, draw in zip(chosen, _stream(f"{name}:odds"), strict=True)
    )


def percentile(rising: Draws, probability: float) -> float:
    """The percentile of sorted values, interpolated between neighbours.

    Args:
        rising: at least one value, sorted.
        probability: 0..1.
    """
    place = min(max(probability * len(rising) - 0.5, 0.0), len(rising) - 1.0)
    below = math.floor(place)
    above = min(below + 1, len(rising) - 1)
    return rising[below] + (place - below) * (rising[above] - rising[below])


def log_times(factors: Sequence[Factor]) -> Draws:
    """The logarithm of the product of all time ratios, draw by draw; zeros without one."""
    total = [0.0] * DRAWS
    for factor in factors:
        if factor.time is not None:
            mean, error = factor.time.log_ratio, factor.time.log_error
            draws = _stream(f"{factor.shown.factor}:time")
            total = [value + mean + error * draw for value, draw in zip(total, draws, strict=True)]
    return total


def simulate_union(groups: Sequence[Group], factors: Sequence[Factor]) -> Weeks:
    """The window of `fusion.union_times.combine` by draws; they agree within sampling error.

    Args:
        groups: at least one group.
        factors: those of the case.
    """
    shifts = log_times(factors)
    pairs = list(zip(_stream(_UNION), shifts, strict=True))
    # Every source takes every draw, which is the mixture of equal weights without the noise of choosing.
    logs = [
        sorted(part.mu + part.sigma * draw + shift for part in group.parts for draw, shift in pairs) for group in groups
    ]
    low, high = INTERVAL_PERCENTILES
    return Weeks(
        low=math.exp(min(percentile(one, low) for one in logs)),
        median=geometric_mean([math.exp(percentile(one, 0.5)) for one in logs]),
        high=math.exp(max(percentile(one, high) for one in logs)),
    )


def weeks_apart(groups: Sequence[Group], factors: Sequence[Factor], without: str) -> Span:
    """How many weeks later union comes with a factor than in the same person without it.

    Args:
        groups: at least one group; several cover each other, as in the window.
        factors: those of the case.
        without: name of the factor that is left out; it has an effect on time.
    """
    left = [one for one in factors if one.shown.factor != without]
    gaps = [math.exp(full) - math.exp(less) for full, less in zip(log_times(factors), log_times(left), strict=True)]
    exp, pairs = math.exp, list(zip(_stream(_UNION), gaps, strict=True))
    low, high = INTERVAL_PERCENTILES
    found: list[Span] = []
    for parts in dict.fromkeys(group.parts for group in groups):  # several sites may share the figures of the age
        apart = sorted([exp(part.mu + part.sigma * draw) * gap for part in parts for draw, gap in pairs])
        found.append(Span(low=percentile(apart, low), high=percentile(apart, high)))
    return Span(low=min(one.low for one in found), high=max(one.high for one in found))


def log_odds(factors: Sequence[Factor], further: float) -> Span:
    """How far the counted factors together move the log odds of non-union.

    Args:
        factors: those of the case; what is not counted is left out.
        further: weight of every counted factor but the strongest, 0..1, because they overlap.

    Returns:
        The range of 80 % of the draws; 0 to 0 when nothing counts.
    """
    counted = sorted((one for one in factors if one.odds is not None), key=_strength)
    return _log_odds(tuple((one.shown.factor, one.odds_sources) for one in counted), further)


@lru_cache(maxsize=256)
def _log_odds(counted: tuple[tuple[str, tuple[Effect, ...]], ...], further: float) -> Span:
    """The range for the sources of some factors, the strongest first."""
    total: Draws = [0.0] * DRAWS
    for place, (name, sources) in enumerate(counted):
        draws: Draws = _effect_draws(name, sources)
        total = list(map(add, total, draws if place == 0 else [further * draw for draw in draws]))
    rising = sorted(total)
    low, high = INTERVAL_PERCENTILES
    return Span(low=percentile(rising, low), high=percentile(rising, high))


def _strength(factor: Factor) -> float:
    """Sorts the strongest first."""
    return 0.0 if factor.odds is None else -abs(factor.odds.log_ratio)
