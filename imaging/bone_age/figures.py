"""How good skeletal ages are: error and coverage over all hands, by sex and by age, with intervals and numbers."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging.bone_age.conformal import with_interval

AGE_BANDS: Final = ((0, 24), (24, 60), (60, 96), (96, 132), (132, 168), (168, 204), (204, 241))
"""Skeletal age in months, from and below."""
FEWEST: Final = 2
"""A group of fewer hands gets no figures."""


def groups(months: NDArray[np.float32], sex: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """Name to mask [n]: both sexes and every age band that has hands enough.

    Args:
        months: [n] true skeletal age.
        sex: [n]: 1 male, -1 female.
    """
    named = {"female": sex < 0, "male": sex > 0}
    for low, high in AGE_BANDS:
        named[f"months_{low}_to_{high - 1}"] = (months >= low) & (months < high)
    return {name: mask for name, mask in named.items() if mask.sum() >= FEWEST}


def table(
    errors: NDArray[np.float64],
    inside: NDArray[np.bool_],
    months: NDArray[np.float32],
    sex: NDArray[np.float32],
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Error and coverage of all hands and of every group, each with its 95 % bootstrap interval.

    Args:
        errors: [n] absolute errors, months.
        inside: [n] whether the interval holds the truth.
        months: [n] true skeletal age.
        sex: [n]: 1 male, -1 female.
        rounds: bootstrap resamples.
        seed: of the resampling.
    """

    def row(mask: NDArray[np.bool_]) -> dict[str, Any]:
        return {
            "mae_months": with_interval(errors[mask], rounds=rounds, seed=seed),
            "interval_coverage": with_interval(inside[mask], rounds=rounds, seed=seed),
        }

    everyone = row(np.ones(len(errors), dtype=bool))
    return {**everyone, "subgroups": {name: row(mask) for name, mask in groups(months, sex).items()}}
