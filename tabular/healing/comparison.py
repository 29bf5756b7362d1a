"""The model beside the published figures, on the same fractures, none of which the model had seen."""

from collections.abc import Sequence

import numpy as np

from tabular.healing.forecasts import Forecast
from tabular.healing.outcomes import Outcomes
from tabular.results import HealingComparison

RESAMPLES = 2000
INTERVAL = (0.1, 0.9)
MOST_PAIRED = 1500
"""Rows that enter the concordance; every k-th of more."""


def compare(
    table: Outcomes,
    chosen: Sequence[int],
    learned: Sequence[Forecast],
    rules: Sequence[Forecast],
    *,
    tail: float,
    seed: int,
) -> HealingComparison:
    """Both forecasts of some rows, with a paired bootstrap of the rows.

    Args:
        table: all outcomes.
        chosen: places of the rows.
        learned: the model's forecast of each chosen row.
        rules: the published forecast of each.
        tail: share of the resamples below the lower and above the upper end of the interval.
        seed: of the resamples.
    """
    lower, upper = [table.lower[n] for n in chosen], [table.upper[n] for n in chosen]
    gains = np.array(
        [
            one.score(low, high) - other.score(low, high)
            for one, other, low, high in zip(learned, rules, lower, upper, strict=True)
        ]
    )
    drawn = np.random.RandomState(seed).randint(0, len(gains), size=(RESAMPLES, len(gains)))
    means = np.sort(gains[drawn].mean(axis=1))
    return HealingComparison(
        score_gain=float(gains.mean()),
        score_gain_low=float(np.quantile(means, tail)),
        score_gain_high=float(np.quantile(means, 1 - tail)),
        concordance_learned=concordance(learned, lower, upper),
        concordance_rules=concordance(rules, lower, upper),
        coverage_learned=coverage(learned, lower, upper),
        coverage_rules=coverage(rules, lower, upper),
    )


def concordance(forecasts: Sequence[Forecast], lower: Sequence[float], upper: Sequence[float]) -> float | None:
    """Harrell's index: of the pairs whose order is known, the share that the medians order alike; ties count half."""
    step = max(1, -(-len(forecasts) // MOST_PAIRED))
    medians = np.array([one.quantile(0.5) for one in forecasts[::step]])
    first, last = np.array(lower[::step]), np.array(upper[::step])
    # United for certain before the other was last seen not united.
    known = last[:, None] <= first[None, :]
    np.fill_diagonal(known, False)
    known &= ~((first[:, None] == first[None, :]) & (last[:, None] == last[None, :]))
    if not known.any():
        return None
    apart = medians[None, :] - medians[:, None]
    right = (apart > 1e-9).astype(float) + 0.5 * (np.abs(apart) <= 1e-9)
    return float(right[known].mean())


def coverage(forecasts: Sequence[Forecast], lower: Sequence[float], upper: Sequence[float]) -> float | None:
    """Share of the unions seen that lie in the 80 % interval, by the middle of the two checks."""
    inside = []
    for one, low, high in zip(forecasts, lower, upper, strict=True):
        if np.isfinite(high):
            begin, end = (one.quantile(probability) for probability in INTERVAL)
            inside.append(begin <= (low + high) / 2 <= end)
    return float(np.mean(inside)) if inside else None
