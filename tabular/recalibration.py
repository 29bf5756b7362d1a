"""A monotone correction of log-odds, learnt from people the trees had not seen and then taught to the trees.

Without bone density the hip trees spread people too little at low risk and a little too much at the top. The map is
continuous and rises everywhere: two straight lines that meet at a knot. Above the knot, where decisions are made, it
holds the *mean* probability (a fractional logistic regression, Papke and Wooldridge 1996). Below it, the line is as
steep as makes the slope of the official log-odds on ours 1 over all people: there the official probabilities of people
who look alike differ tenfold by their bone density, and their mean is that of the few with thin bones.

The map is not applied to an answer: the final trees learn the corrected log-odds, so their contributions still add up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tabular.calibration import weighted_quantile
from tabular.formula import FloatArray, probability
from tabular.metrics import slope as least_squares_slope

KNOT_LEVEL = 0.5
"""Share of the population below the knot."""
_SLOPES = (0.5, 2.0)
_STEPS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginMap:
    """``shift + slope * m`` above the knot; below it a line of another slope that meets it there."""

    knot: float
    shift: float
    slope: float
    slope_below: float

    def __call__(self, margins: FloatArray) -> FloatArray:
        """Corrected log-odds, shape as given."""
        above = self.shift + self.slope * np.maximum(margins, self.knot)
        return np.asarray(above + self.slope_below * np.minimum(margins - self.knot, 0.0), dtype=np.float64)

    def to_json(self) -> dict[str, float]:
        """Plain content for the manifest."""
        return {
            "knot": round(self.knot, 4),
            "shift": round(self.shift, 4),
            "slope": round(self.slope, 4),
            "slope_below": round(self.slope_below, 4),
        }


def fit_map(margins: FloatArray, truth: FloatArray, truth_log_odds: FloatArray, weights: FloatArray) -> MarginMap:
    """Fit the correction.

    Args:
        margins: Log-odds of people the trees had not seen, shape (n,).
        truth: Official probabilities, shape (n,), 0..1.
        truth_log_odds: Their log-odds, shape (n,).
        weights: Survey weights, shape (n,).
    """
    knot = weighted_quantile(margins, weights, KNOT_LEVEL)
    upper = margins >= knot
    shift, slope = logistic_line(margins[upper], truth[upper], weights[upper])
    slope = float(np.clip(slope, *_SLOPES))
    least, most = _SLOPES
    for _ in range(_STEPS):  # the overall slope falls as the lower line steepens
        middle = (least + most) / 2
        trial = MarginMap(knot=knot, shift=shift, slope=slope, slope_below=middle)
        if least_squares_slope(truth_log_odds, trial(margins), weights) > 1.0:
            least = middle
        else:
            most = middle
    return MarginMap(knot=knot, shift=shift, slope=slope, slope_below=(least + most) / 2)


def logistic_line(margins: FloatArray, truth: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Shift and slope of a (fractional) logistic regression of a probability or an outcome on log-odds.

    Args:
        margins: Log-odds, shape (n,).
        truth: Probabilities or 0/1 outcomes, shape (n,).
        weights: Survey weights, shape (n,).

    Returns:
        Shift and slope; 0 and 1 mean calibrated.
    """
    share = weights / weights.sum()
    design = np.column_stack([np.ones_like(margins), margins])
    line: npt.NDArray[np.float64] = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        fitted = probability(design @ line)
        gradient = design.T @ (share * (truth - fitted))
        curvature = (design * (share * fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-12 * np.eye(2), gradient)
        line = line + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    return float(line[0]), float(line[1])


def maps_to_json(maps: Mapping[tuple[str, Any], MarginMap]) -> dict[str, dict[str, float]]:
    """Maps by outcome and level, for the manifest."""
    return {f"{head}/{level}": each.to_json() for (head, level), each in maps.items()}
