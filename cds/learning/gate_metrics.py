"""Every metric of the gate as a function of how often each item was drawn, for a thousand draws at once.

A bootstrap over groups is a matrix of weights [draws, items]; a subgroup is the same matrix with 0 outside it. Average
precision is matched once per model by `imaging.training.metrics.PrecisionTable`, the area under the curve is that of
`tabular.metrics.auc`, calibration error and slope are those of `imaging.training.metrics`, each for weighted items.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cds.learning.scored import Answer, Scored
from imaging.training.metrics import (
    CALIBRATION_BINS,
    RECALL_POINTS,
    ImageRecord,
    PrecisionTable,
    bounded_log_odds,
    logistic_lines,
)
from tabular.metrics import slope as amount_slope

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Weights [draws, items] to values [draws]; NaN where the drawn items cannot give the metric."""

LOWER_IS_BETTER: Final = frozenset({"calibration_error", "absolute_error"})
AT_50: Final = 0
"""Column of IoU .5 in a precision table."""
SLOPE_DRAWS: Final = 400


class Measures:
    """The metrics of one model on one set.

    Args:
        scored: the model's answers; metrics that they cannot give are left out.
    """

    def __init__(self, scored: Scored) -> None:
        answers = scored.answers
        self.n = len(answers)
        self.statistics: dict[str, Statistic] = {}
        self.counted: dict[str, NDArray[np.bool_]] = {}
        """Metric to [items]: those that it is taken over."""
        known = np.array([one.positive is not None and one.score is not None for one in answers], dtype=float)
        positive = np.array([bool(one.positive) for one in answers], dtype=float)
        score = _column([one.score for one in answers])
        if known.any():
            self.statistics["auc"] = _area(score, positive, known)
            for name, threshold in sorted(scored.thresholds.items()):
                called = (score >= threshold).astype(float)
                self.statistics[f"sensitivity_{name}"] = _share(called, positive * known)
                self.statistics[f"specificity_{name}"] = _share(1 - called, (1 - positive) * known)
        if any(one.boxes_known and len(one.truth) for one in answers):
            self.statistics["ap50"] = _precision(answers)
        probability = _column([one.probability for one in answers])
        self._judged = np.isfinite(probability) & np.array([one.positive is not None for one in answers])
        self._probability, self._positive = probability, positive.astype(bool)
        if self._judged.any():
            self.statistics["calibration_error"] = _calibration_error(probability, positive, self._judged)
        self._classes(answers)
        self._amounts(answers)
        for name in self.statistics:
            self.counted.setdefault(name, known > 0)
        self.counted["ap50"] = np.array([one.boxes_known for one in answers])
        self.counted["calibration_error"] = self._judged

    def _classes(self, answers: Sequence[Answer]) -> None:
        """Questions with several answers, and further ones of yes or no."""
        labelled = np.array([one.label is not None for one in answers])
        if labelled.any() and any(one.named is not None for one in answers):
            right = np.array([one.label is not None and one.label == one.named for one in answers], dtype=float)
            self._add("type_accuracy", _share(right, labelled.astype(float)), labelled)
            self._add("type_auc", _mean_area(answers, labelled), labelled)
        for name in sorted({name for one in answers for name in one.further}):
            asked = np.array([name in one.further for one in answers])
            truth = np.array([name in one.further and one.further[name][0] for one in answers], dtype=float)
            ranks = np.array([one.further[name][1] if name in one.further else 0.0 for one in answers])
            self._add(f"{name}_auc", _area(ranks, truth, asked.astype(float)), asked)

    def _amounts(self, answers: Sequence[Answer]) -> None:
        """Questions for an amount, and what was foretold of what was found."""
        self._target = _column([one.target for one in answers])
        self._estimate = _column([one.estimate for one in answers])
        scores = _column([one.log_score for one in answers])
        inside = _column([None if one.inside is None else float(one.inside) for one in answers])
        for name, values in (
            ("absolute_error", np.abs(self._target - self._estimate)),
            ("log_score", scores),
            ("interval_coverage", inside),
        ):
            finite = np.isfinite(values)
            if finite.any():
                self._add(name, _share(np.where(finite, values, 0.0), finite.astype(float)), finite)

    def _add(self, name: str, statistic: Statistic, counted: NDArray[np.bool_]) -> None:
        self.statistics[name], self.counted[name] = statistic, counted

    def at(self, name: str, weights: Floats) -> Floats:
        """A metric [draws] of weights [draws, items]."""
        return self.statistics[name](weights)

    @property
    def has_slope(self) -> bool:
        """Whether the answers are probabilities or amounts, which can be too extreme or too flat.

        Where whole distributions were foretold, their log score and their intervals tell that, of fractures not yet
        united as well; a slope over those seen to unite would be bent by when looking ended.
        """
        amounts = "absolute_error" in self.statistics and "log_score" not in self.statistics
        return "calibration_error" in self.statistics or amounts

    def slope(self, weights: Floats) -> Floats:
        """Calibration slopes [draws]. Weights are whole numbers: how often each was drawn.

        The slope is that of the truth on the log odds of the probabilities, or of the true amounts on those given
        where there are no probabilities; 1 is perfect, below 1 too extreme.
        """
        if self._judged.any():
            odds = bounded_log_odds(self._probability[self._judged])
            truth = self._positive[self._judged].astype(np.float64)
            return logistic_lines(odds, truth, weights[:, self._judged])[0]
        known = np.isfinite(self._target - self._estimate)
        target, estimate = self._target[known], self._estimate[known]
        if not known.any() or np.ptp(estimate) == 0:
            return np.full(len(weights), np.nan)
        return np.array([amount_slope(target, estimate, row) for row in weights[:, known] if row.sum() > 1])


def gain(name: str, current: Floats, candidate: Floats) -> Floats:
    """How much better the candidate is, positive for better whichever way the metric runs."""
    return current - candidate if name in LOWER_IS_BETTER else candidate - current


def group_weights(groups: Sequence[str], *, rounds: int, seed: int) -> Floats:
    """[rounds, items]: how often each item occurs when whole groups are drawn with replacement."""
    names, place = np.unique(np.array(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=rounds)
    return counts[:, place].astype(np.float64)


def _column(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)


def _share(counted: Floats, among: Floats) -> Statistic:
    def share(weights: Floats) -> Floats:
        return _divided(weights @ (counted * among), weights @ among)

    return share


def _divided(upper: Floats, lower: Floats) -> Floats:
    return np.where(lower > 0, upper / np.where(lower > 0, lower, 1.0), np.nan)


def _area(score: Floats, positive: Floats, known: Floats) -> Statistic:
    """Ties count half: equal scores share one rank."""
    values, rank = np.unique(np.where(known > 0, np.nan_to_num(score), -np.inf), return_inverse=True)
    order = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[order], np.arange(len(values)))
    cases_of, others_of = (positive * known)[order], ((1 - positive) * known)[order]

    def area(weights: Floats) -> Floats:
        drawn = weights[:, order]
        cases = np.add.reduceat(drawn * cases_of, starts, axis=1)
        others = np.add.reduceat(drawn * others_of, starts, axis=1)
        below = np.cumsum(others, axis=1) - others
        return _divided((cases * (below + others / 2)).sum(axis=1), cases.sum(axis=1) * others.sum(axis=1))

    return area


def _mean_area(answers: Sequence[Answer], labelled: NDArray[np.bool_]) -> Statistic:
    """Mean over the classes of the set of the area of one class against the others, 0..1.

    A class that the drawn items hold none of, or nothing but, takes no part in that draw.
    """
    asked = labelled.astype(float)
    areas = [
        _area(
            np.array([one.class_probabilities.get(name, 0.0) for one in answers]),
            np.array([one.label == name for one in answers], dtype=float),
            asked,
        )
        for name in sorted({one.label for one in answers if one.label is not None})
    ]

    def mean(weights: Floats) -> Floats:
        drawn = np.stack([area(weights) for area in areas])
        given = np.isfinite(drawn)
        return _divided(np.where(given, drawn, 0.0).sum(axis=0), given.sum(axis=0).astype(np.float64))

    return mean


def _precision(answers: Sequence[Answer]) -> Statistic:
    located = np.array([one.boxes_known for one in answers])
    table = PrecisionTable(
        [
            ImageRecord(
                image_id=one.id,
                fractured=bool(one.positive),
                boxes_known=True,
                truth=one.truth,
                boxes=one.boxes,
                scores=one.box_scores,
            )
            for one in answers
            if one.boxes_known
        ]
    )
    hits = table.hits[:, AT_50].astype(float)

    def precision(weights: Floats) -> Floats:
        return np.array([_precision_at_50(table, hits, row) for row in weights[:, located]])

    return precision


def _precision_at_50(table: PrecisionTable, hits: Floats, counts: Floats) -> float:
    """`PrecisionTable.average_precision` for IoU .5 alone: a bootstrap needs it a thousand times over."""
    total = float(counts @ table.truths)
    if total == 0:
        return float("nan")
    if not len(hits):
        return 0.0
    weight = counts[table.image]
    found = (weight * hits).cumsum()
    drawn = weight.cumsum()
    envelope = np.maximum.accumulate((found / np.maximum(drawn, 1e-12))[::-1])[::-1]
    at = np.searchsorted(found / total, RECALL_POINTS, side="left")
    return float(np.where(at < len(hits), envelope[np.minimum(at, len(hits) - 1)], 0.0).mean())


def _calibration_error(probability: Floats, positive: Floats, judged: NDArray[np.bool_]) -> Statistic:
    """Expected calibration error over bins of equal count of what was drawn, 0..1."""
    order = np.flatnonzero(judged)[np.argsort(probability[judged], kind="stable")]
    gaps = positive[order] - probability[order]

    def error(weights: Floats) -> Floats:
        drawn = weights[:, order]
        reached = np.cumsum(drawn, axis=1)
        total = reached[:, -1:]
        # The bin of an item is that of the middle of its copies.
        middle = (reached - drawn / 2) / np.where(total > 0, total, 1.0)
        bins = np.minimum((middle * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        sums = np.zeros((len(weights), CALIBRATION_BINS))
        for number in range(CALIBRATION_BINS):
            sums[:, number] = np.where(bins == number, drawn * gaps, 0.0).sum(axis=1)
        return _divided(np.abs(sums).sum(axis=1), total[:, 0])

    return error
