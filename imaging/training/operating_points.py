"""Two score thresholds for the image-level call, chosen on held-out radiographs, and what may be promised of them.

*What is guaranteed.* Taking the highest threshold at which at most k of n held-out fractures are missed, with
(k + 1) / (n + 1) <= 1 - .90, keeps the *expected* sensitivity on further radiographs of the same kind at .90 or more:
conformal risk control (Angelopoulos, Bates, Fisch, Lei & Schuster, ICLR 2024, theorem 1, for the 0-1 loss). It holds
for any detector and any n >= 9, on average over the choice of the held-out radiographs, provided that they and the new
ones are exchangeable; views of one limb are not independent, so it holds approximately. The same rule on the intact
limbs gives the high-specificity point.

*What is not.* With some thirty fractures one unlucky draw can lie well below its expectation. The one-sided 95 %
Clopper-Pearson bound of each point is therefore stored beside it and shown to the reader.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WANTED_SENSITIVITY = 0.90
WANTED_SPECIFICITY = 0.95
CONFIDENCE = 0.95
"""Of the one-sided bounds."""
LOWEST_THRESHOLD = 1e-3
"""No threshold lies below this, or every image with any box at all would be called."""
GUARANTEE = (
    "expected sensitivity (high_sensitivity) and expected specificity (high_specificity) by conformal risk control on "
    "exchangeable radiographs; *_low are one-sided 95 % Clopper-Pearson bounds on the images that set the threshold"
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPoint:
    """A threshold and what it does on the radiographs it was chosen on."""

    threshold: float
    sensitivity: float
    specificity: float
    sensitivity_low: float
    specificity_low: float
    controlled: bool
    """Whether there were enough radiographs for the wanted figure to be guaranteed in expectation."""


def choose_points(
    fractured: Flags,
    scores: Floats,
    *,
    wanted_sensitivity: float = WANTED_SENSITIVITY,
    wanted_specificity: float = WANTED_SPECIFICITY,
) -> tuple[ChosenPoint, ChosenPoint]:
    """The high-sensitivity and the high-specificity point.

    Args:
        fractured: [n] whether each held-out radiograph shows a fracture.
        scores: [n] its score; an image counts as positive at or above a threshold.
        wanted_sensitivity: of the high-sensitivity point, in expectation.
        wanted_specificity: of the high-specificity point, in expectation.

    Raises:
        ValueError: one class only.
    """
    if fractured.all() or not fractured.any():
        raise ValueError("operating points need radiographs with and without a fracture")
    hits, others = np.sort(scores[fractured])[::-1], np.sort(scores[~fractured])
    misses = allowed_errors(len(hits), 1 - wanted_sensitivity)
    sensitive = max(float(hits[len(hits) - 1 - max(misses, 0)]), LOWEST_THRESHOLD)
    alarms = allowed_errors(len(others), 1 - wanted_specificity)
    # Just above the highest score that must not be called.
    specific = float(np.nextafter(others[len(others) - 1 - max(alarms, 0)], 2.0))
    return (
        _point(fractured, scores, sensitive, controlled=misses >= 0),
        _point(fractured, scores, max(specific, sensitive), controlled=alarms >= 0),
    )


def allowed_errors(n: int, rate: float) -> int:
    """The greatest k with (k + 1) / (n + 1) <= rate; -1 when n is too small for any."""
    # A hair is added because 0.1 * 20 - 1 must be 1, and 1 - 0.9 is less than 0.1 in floating point.
    return math.floor(rate * (n + 1) + 1e-9) - 1


def lower_bound(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """One-sided Clopper-Pearson lower bound of a proportion; 0 without observations."""
    if n == 0 or hits == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_least(hits, n, middle) < 1 - confidence:
            low = middle
        else:
            high = middle
    return low


def _at_least(hits: int, n: int, share: float) -> float:
    """P(X >= hits) for X binomial(n, share), 0 < share < 1."""
    logs = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(hits, n + 1)
    )  # fmt: skip
    return math.fsum(math.exp(value) for value in logs)


def _point(fractured: Flags, scores: Floats, threshold: float, *, controlled: bool) -> ChosenPoint:
    found, passed = int((scores[fractured] >= threshold).sum()), int((scores[~fractured] < threshold).sum())
    positives, negatives = int(fractured.sum()), int((~fractured).sum())
    return ChosenPoint(
        threshold=threshold,
        sensitivity=found / positives,
        specificity=passed / negatives,
        sensitivity_low=lower_bound(found, positives),
        specificity_low=lower_bound(passed, negatives),
        controlled=controlled,
    )
