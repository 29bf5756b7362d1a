"""Odds and their logarithms: from an entry of the evidence base to a step, from steps to a sum with its interval."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusion.results import LogOddsContribution
from fusion.statements import Writer

TRANSPORT = "diagnosis.method.transport"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A step on the log-odds scale with its interval, ``low <= value <= high``."""

    value: float
    low: float
    high: float


def logit(probability: float) -> float:
    """Log odds of a probability strictly between 0 and 1."""
    return math.log(probability / (1 - probability))


def logistic(log_odds: float) -> float:
    """Probability of some log odds, without overflow."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds >= 0 else math.exp(log_odds) / (1 + math.exp(log_odds))


def limits(entry: str, writer: Writer) -> list[float]:
    """Every limit that an entry states, and its value."""
    found = writer.evidence[entry]
    return [one for one in (found.low, found.value, found.high) if one is not None]


def effect(entries: Sequence[str], writer: Writer, *, transported: bool) -> Effect:
    """How far some entries move the log odds.

    Args:
        entries: the first gives the ratio; the limits of all of them make the interval, so that sources that
            disagree widen it.
        writer: holds the evidence.
        transported: the figure counts with the weight of `TRANSPORT`, and its interval reaches from no effect to the
            far limit.
    """
    ratio = math.log(writer.value(entries[0]))
    ends = [math.log(end) for one in entries for end in limits(one, writer)]
    if not transported:
        return Effect(value=ratio, low=min(ends), high=max(ends))
    value = writer.value(TRANSPORT) * ratio
    return Effect(value=value, low=min(0.0, *ends), high=max(0.0, *ends))


def spread(steps: Iterable[LogOddsContribution]) -> tuple[float, float, float]:
    """Sum of some steps with its interval, on the log-odds scale: (value, low, high).

    Distances from value to limit add up as squares, each side for itself: the steps are taken to be in error
    independently. The sums are exact to rounding, so that no order of the steps changes them.
    """
    listed = list(steps)
    value = math.fsum(one.log_odds for one in listed)
    down = math.sqrt(math.fsum((one.log_odds - one.low) ** 2 for one in listed))
    up = math.sqrt(math.fsum((one.high - one.log_odds) ** 2 for one in listed))
    return value, value - down, value + up
