"""Intervals that hold what they promise: split-conformal prediction on normalised residuals, and intervals of figures.

The network states a scale with every answer. The factor by which it must be stretched is the quantile of
|truth - answer| / scale on hands that the network had not seen; intervals of the next exchangeable hand then hold the
truth with at least the probability asked for, whatever the scale is worth (Papadopoulos et al. 2002; Lei et al., J Am
Stat Assoc 2018, doi 10.1080/01621459.2017.1307116). For a group of hands (infants, one sex) nothing is promised: it is
measured.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imaging.bone_age.errors import TooFewHandsError

LEVEL: Final = 0.90
"""Probability that an interval holds the truth."""
PARTS: Final = 10
"""Parts of the cross-fitting."""

Floats = NDArray[np.float64]


def conformal_factor(residuals: Floats, level: float = LEVEL) -> float:
    """The factor of the scale: the ``ceil((n + 1) level)``-th smallest of n normalised residuals.

    Args:
        residuals: [n], |truth - answer| / scale.
        level: 0..1.

    Raises:
        TooFewHandsError: so few residuals that no finite factor reaches the level (nine for 90 %).
    """
    rank = math.ceil((len(residuals) + 1) * level)
    if rank > len(residuals):
        raise TooFewHandsError(len(residuals))
    return float(np.sort(residuals)[rank - 1])


def cross_fitted_cover(
    residuals: Floats, *, level: float = LEVEL, parts: int = PARTS, seed: int = 0
) -> NDArray[np.bool_]:
    """[n]: whether each hand's interval holds the truth when its factor comes from the other parts' hands."""
    part = np.random.default_rng(seed).permutation(len(residuals)) % parts
    inside = np.zeros(len(residuals), dtype=bool)
    for number in range(parts):
        here = part == number
        if here.any():
            inside[here] = residuals[here] <= conformal_factor(residuals[~here], level)
    return inside


def with_interval(
    values: NDArray[np.generic],
    *,
    rounds: int = 1000,
    seed: int = 0,
    figure: Callable[[Floats], Floats] = lambda drawn: np.mean(drawn, axis=1),
) -> dict[str, float]:
    """A figure of values [n] with its 95 % percentile bootstrap interval: ``value``, ``low``, ``high``, ``n``.

    Args:
        values: one per hand.
        rounds: resamples.
        seed: of the resampling.
        figure: [k, n] to [k].

    Raises:
        TooFewHandsError: not one value.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        raise TooFewHandsError(0)
    generator = np.random.default_rng(seed)
    drawn = [figure(numbers[generator.integers(0, len(numbers), (1, len(numbers)))])[0] for _ in range(rounds)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = float(figure(numbers[None])[0])
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4), "n": len(numbers)}
