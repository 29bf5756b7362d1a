"""Fit the line that turns a score into a probability, on held-out radiographs with few fractures."""

import numpy as np
from numpy.typing import NDArray

from imaging.calibration import ScoreCalibration, ScoreKind, log_odds

REFITS = 100
SLOPE_PENALTY = 0.5
"""Strength of the pull of the slope towards 1 / (standard deviation of the scores): half an observation's worth."""
SMALLEST_SLOPE = 1e-3
"""A score never counts against a fracture, however the draw fell."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def fit_calibration(
    fractured: Flags,
    scores: Floats,
    *,
    kind: ScoreKind = ScoreKind.DETECTOR_SCORE,
    prevalence: float | None = None,
    refits: int = REFITS,
    seed: int = 0,
) -> ScoreCalibration:
    """Platt's line with its smoothed targets and a weak penalty; refits on images drawn with replacement.

    Each class is resampled by itself, so that every refit holds at the same share of fractures and the interval tells
    of the line, not of how many fractures happened to be held out.

    Args:
        fractured: [n] whether each held-out radiograph shows a fracture.
        scores: [n] of the kind `kind`.
        kind: what the scores are.
        prevalence: share of fractures at which the probabilities shall hold; that of these radiographs by default.
        refits: resamples.
        seed: of the draws.

    Raises:
        ValueError: one class only.
    """
    if fractured.all() or not fractured.any():
        raise ValueError("a calibration needs radiographs with and without a fracture")
    x = np.array([log_odds(float(score)) for score in scores]) if kind is ScoreKind.DETECTOR_SCORE else scores
    slope, intercept = _line(x, fractured)
    rng = np.random.default_rng(seed)
    positives, negatives = np.flatnonzero(fractured), np.flatnonzero(~fractured)
    drawn = []
    for _ in range(refits):
        index = np.concatenate([rng.choice(part, len(part)) for part in (positives, negatives)])
        drawn.append(_line(x[index], fractured[index]))
    fitted = ScoreCalibration(
        kind=kind,
        slope=slope,
        intercept=intercept,
        prevalence=float(fractured.mean()),
        refits=tuple(drawn),
        n=len(scores),
        n_fractured=int(fractured.sum()),
    )
    return fitted if prevalence is None else fitted.reanchored(prevalence)


def _line(x: Floats, fractured: Flags) -> tuple[float, float]:
    """(slope, intercept) by Newton's method on the penalised likelihood."""
    centre, spread = float(x.mean()), float(x.std()) or 1.0
    design = np.stack(((x - centre) / spread, np.ones_like(x)), axis=1)
    positives, negatives = int(fractured.sum()), int((~fractured).sum())
    # Platt 1999: targets a little short of 0 and 1, as if one more image of each kind had been seen.
    target = np.where(fractured, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    prior, penalty = np.array([1.0, 0.0]), np.diag([SLOPE_PENALTY, 0.0])
    weights = np.array([1.0, float(np.log(positives / negatives))])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (probability - target) + penalty @ (weights - prior)
        curvature = design.T @ (design * (probability * (1 - probability))[:, None]) + penalty + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    slope = max(float(weights[0]), SMALLEST_SLOPE) / spread
    return slope, float(weights[1]) - slope * centre
