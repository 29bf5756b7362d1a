"""Bets against "nothing has changed": their gain is the evidence, and looking at it every day costs nothing.

A stake of 1 is spread over bets that start on every day of a year and over kinds of change (values rise, fall, spread,
a rare kind grows). While nothing changes every bet is fair, the stake is a martingale, and by Ville's inequality the
chance that it ever reaches 1/a is at most a: an alarm at 1/a is false with a probability of at most a in that year,
whoever looks however often and stops whenever. Once ranks are no longer uniform, the bet that fits grows exponentially.
(Shafer & Vovk, Game-Theoretic Foundations for Probability and Finance, 2019; Vovk et al., Retrain or not retrain:
conformal test martingales for change-point detection, 2021; Shin, Ramdas & Rinaldo, E-detectors, 2024.)

Cases are erased while they are watched: under retention the oldest ones, day by day. The stake of what is left must not
be more than the stake that all cases together would have made, or each day's look would be a new bet that nobody paid
for. What was to be put on the days before the first case that is left is therefore given up, never put on that case.
Giving up a part of the stake, known before the first rank is, is fair to the other side: the bound holds as before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

YEAR_DAYS: Final = 365
"""A year of watching; the next one has a new stake."""
_SLOPES: Final = (-0.9, -0.5, -0.2, 0.2, 0.5, 0.9)
_SPREADS: Final = (-0.7, 0.7)
_TAILS: Final = (0.02, 0.1, 0.25)
_TAIL_FACTORS: Final = (0.3, 2.0, 3.5)
"""A bet says that a tail of this size holds so many times as many cases."""
_CHUNK: Final = 128
"""Cases whose factors are multiplied in one go: 0.1 to the 128th and 3.5 to the 128th are still numbers."""
_MOST: Final = 1e60


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The stake of one monitor over time."""

    log_gain: NDArray[np.float64]
    """[n], natural logarithm of the stake after each case, from 0 at the beginning of each year."""
    crossed: int | None
    """Index of the first case at which the alarm was raised; None while it is quiet."""


def gather(ranks: NDArray[np.float64], days: NDArray[np.int64], *, level: float) -> Evidence:
    """Bet on ranks.

    Args:
        ranks: [n], 0..1, uniform and independent while nothing changes.
        days: [n], rising: day of each case since watching began, from 0.
        level: the chance of a false alarm in a year, for this monitor, 0..1.
    """
    log_gain = np.zeros(len(ranks))
    years = days // YEAR_DAYS
    for year in np.unique(years):
        inside = years == year
        log_gain[inside] = _one_year(ranks[inside], days[inside] - year * YEAR_DAYS)
    beyond = np.flatnonzero(log_gain >= -np.log(level))
    return Evidence(log_gain=log_gain, crossed=int(beyond[0]) if beyond.size else None)


def days_since(start: datetime, moments: Sequence[datetime]) -> NDArray[np.int64]:
    """Whole days from `start` to each moment."""
    return np.array([(moment - start).days for moment in moments], dtype=np.int64)


def bets(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each bet multiplies its stake by: [n, kinds of bet], positive, 1 on average over uniform ranks."""
    centred = 2 * ranks - 1
    columns = [1 + slope * centred for slope in _SLOPES]
    columns += [1 + spread * (1.5 * centred**2 - 0.5) for spread in _SPREADS]
    for tail in _TAILS:
        for factor in _TAIL_FACTORS:
            rest = (1 - factor * tail) / (1 - tail)
            columns += [np.where(side < tail, factor, rest) for side in (ranks, 1 - ranks)]
    return np.stack(columns, axis=1)


def _one_year(ranks: NDArray[np.float64], days: NDArray[np.int64]) -> NDArray[np.float64]:
    """Logarithm of the stake after each case of one year."""
    factors = bets(ranks)
    # What starts with a case: the shares of all days since the case before; with the first one, of its own day alone.
    share = np.diff(days + 1, prepend=days[:1]) / YEAR_DAYS
    waiting = 1 - (days + 1) / YEAR_DAYS
    stake = np.empty(len(ranks))
    running = np.zeros(factors.shape[1])
    for first in range(0, len(ranks), _CHUNK):
        part = slice(first, first + _CHUNK)
        after = np.cumprod(factors[part], axis=0)
        before = after / factors[part]
        started = after * (running + np.cumsum(share[part, None] / before, axis=0))
        stake[part] = started.mean(axis=1) + waiting[part]
        running = np.minimum(started[-1], _MOST)  # winning no more is fair to the other side
    return np.asarray(np.log(stake), dtype=np.float64)
