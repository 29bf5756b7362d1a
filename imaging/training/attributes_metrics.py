"""Figures of the attribute heads, with bootstrap intervals by image."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imaging.labels import FracturePattern
from imaging.training.metrics import area_under_curve, bootstrap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def interval(
    positive: Bools, scores: Floats, measure: Callable[[Bools, Floats], float], rounds: int
) -> dict[str, float]:
    """``{value, low, high}`` of a measure over images [n]; without rounds the value alone."""
    return measured(len(positive), lambda rows: measure(positive[rows], scores[rows]), rounds)


def measured(count: int, statistic: Callable[[NDArray[np.int64]], float], rounds: int) -> dict[str, float]:
    """``{value, low, high}`` of a statistic of rows of `count` images; without rounds the value alone."""
    value = statistic(np.arange(count))
    if not rounds:
        return {"value": round(value, 4)}
    one = bootstrap(count, statistic, value=value, rounds=rounds)
    return {"value": round(one.value, 4), "low": round(one.low, 4), "high": round(one.high, 4)}


def class_auc(labels: Ints, probabilities: Floats) -> Floats:
    """One-against-the-rest AUC of each class [K]; NaN for a class that is not there, or alone."""
    return np.array([area_under_curve(labels == k, probabilities[:, k]) for k in range(probabilities.shape[1])])


def macro_auc(labels: Ints, probabilities: Floats) -> float:
    """Mean over the classes that can be measured; NaN when none can."""
    values = class_auc(labels, probabilities)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def class_f1(labels: Ints, answers: Ints, count: int) -> Floats:
    """F1 of each class [K]; NaN for a class that is neither there nor answered."""
    hits = np.array([np.sum((labels == k) & (answers == k)) for k in range(count)], dtype=float)
    total = np.array([np.sum(labels == k) + np.sum(answers == k) for k in range(count)], dtype=float)
    values: Floats = np.where(total > 0, 2 * hits / np.maximum(total, 1), np.nan)
    return values


def pattern_metrics(
    patterns: Sequence[FracturePattern], labels: Ints, probabilities: Floats, answered: Bools, rounds: int
) -> dict[str, Any]:
    """Every figure of the pattern head on n images.

    ``accuracy`` and ``macro_f1`` judge the most probable pattern of every image; ``coverage`` is the share of images
    for which a pattern is named, ``accuracy_answered`` is judged on these. A class that is not there is left out.

    Args:
        patterns: names of the K answers.
        labels: [n] numbers of the true patterns.
        probabilities: [n, K].
        answered: [n], whether a pattern is named rather than "undetermined".
        rounds: bootstrap resamples; 0 gives values without intervals.
    """
    answers = probabilities.argmax(axis=1)
    right = answers == labels
    present = np.unique(labels)

    def f1(rows: NDArray[np.int64]) -> float:
        return float(np.nanmean(class_f1(labels[rows], answers[rows], len(patterns))[present]))

    def right_if_answered(rows: NDArray[np.int64]) -> float:
        given = answered[rows]
        return float(right[rows][given].mean()) if given.any() else float("nan")

    statistics: dict[str, Callable[[NDArray[np.int64]], float]] = {
        "macro_auc": lambda rows: macro_auc(labels[rows], probabilities[rows]),
        "macro_f1": f1,
        "accuracy": lambda rows: float(right[rows].mean()),
        "coverage": lambda rows: float(answered[rows].mean()),
        "accuracy_answered": right_if_answered,
    }
    aucs, f1s = class_auc(labels, probabilities), class_f1(labels, answers, len(patterns))
    figures: dict[str, Any] = {"n": len(labels), "n_answered": int(answered.sum())}
    for name, statistic in statistics.items():
        one = measured(len(labels), statistic, rounds)
        # Without a single answer there is no accuracy of answers, and NaN is no JSON.
        if np.isfinite(one["value"]):
            figures[name] = one
    figures["per_class"] = {
        patterns[k].value: {
            "n": int((labels == k).sum()),
            "auc": round(float(aucs[k]), 4) if np.isfinite(aucs[k]) else None,
            "f1": round(float(f1s[k]), 4),
        }
        for k in present.tolist()
    }
    return figures
