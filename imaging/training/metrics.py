"""How good a detector is: average precision, image-level measures, calibration, abstention, bootstrap intervals.

Average precision follows COCO (101 recall points, greedy matching by falling score, at most 100 boxes an image) and
equals torchmetrics' value, which is the one reported; it is computed here a second time only because a bootstrap needs
it a thousand times over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_iou

from imaging.training.operating_points import lower_bound

Floats = NDArray[np.float64]

# In single precision, as torchmetrics has them: a recall of exactly 0.28 reaches one rounding of that point only.
IOU_THRESHOLDS: Floats = torch.linspace(0.5, 0.95, 10).double().numpy()
RECALL_POINTS: Floats = torch.linspace(0.0, 1.0, 101).double().numpy()
MAX_DETECTIONS = 100
CALIBRATION_BINS = 10
COMPARED = ("map50", "map50_95", "image_auc")
"""The figures by which detectors are set side by side."""
RIDGE = 1e-6
NEWTON_STEPS = 60
HALVINGS = 30
ROUNDING = 1e-10
"""Of a log likelihood: at the top a step may seem to lead down by so much."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageRecord:
    """What was found in one image and what is there; boxes [n, 4] xyxy in pixels of the original image."""

    image_id: str
    fractured: bool
    boxes_known: bool
    truth: Floats
    boxes: Floats
    scores: Floats
    """[n], falling."""
    probability: float | None = None
    """Calibrated probability of a fracture, 0..1; None when nothing was read or the model is not calibrated."""
    judged: bool = True
    """False when the engine answers "cannot judge", by quality or scope, or refused the file."""

    @property
    def image_score(self) -> float:
        """Highest score in the image; 0 when nothing was found."""
        return float(self.scores[0]) if len(self.scores) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Scores at which an image counts as positive."""

    high_sensitivity: float
    high_specificity: float


def mean_average_precision(records: Sequence[ImageRecord]) -> tuple[float, float]:
    """(mAP at IoU .5, mean over IoU .5 to .95) by torchmetrics."""
    # All records are at hand: after a training on several devices only one process asks, and would wait for the others.
    metric = MeanAveragePrecision(backend="faster_coco_eval", box_format="xyxy", sync_on_compute=False)
    metric.warn_on_many_detections = False
    for record in records:
        metric.update(
            [
                {
                    "boxes": torch.as_tensor(record.boxes, dtype=torch.float32).reshape(-1, 4),
                    "scores": torch.as_tensor(record.scores, dtype=torch.float32),
                    "labels": torch.zeros(len(record.scores), dtype=torch.int64),
                }
            ],
            [
                {
                    "boxes": torch.as_tensor(record.truth, dtype=torch.float32).reshape(-1, 4),
                    "labels": torch.zeros(len(record.truth), dtype=torch.int64),
                }
            ],
        )
    result = metric.compute()
    return max(0.0, float(result["map_50"])), max(0.0, float(result["map"]))


class PrecisionTable:
    """All detections of a set, matched once, so that a resampled set costs two cumulative sums per threshold."""

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        self.truths = np.array([len(record.truth) for record in records], dtype=np.float64)
        image, score, hits = [], [], []
        for number, record in enumerate(records):
            kept = min(len(record.scores), MAX_DETECTIONS)
            image.append(np.full(kept, number))
            score.append(record.scores[:kept])
            hits.append(_match(record.boxes[:kept], record.truth))
        order = np.argsort(-np.concatenate(score), kind="stable")
        self.image = np.concatenate(image)[order]
        self.hits = np.concatenate(hits)[order]

    def average_precision(self, counts: Floats) -> Floats:
        """[10] average precision per IoU threshold when image i occurs ``counts[i]`` times.

        NaN without a true box; 0 where boxes are to be found and no image has a detection.
        """
        total = float(counts @ self.truths)
        if total == 0:
            return np.full(len(IOU_THRESHOLDS), np.nan)
        if not len(self.hits):
            return np.zeros(len(IOU_THRESHOLDS))
        weight = counts[self.image][:, None]
        positives = (weight * self.hits).cumsum(axis=0)
        negatives = (weight * ~self.hits).cumsum(axis=0)
        recall = positives / total
        precision = positives / np.maximum(positives + negatives, 1e-12)
        envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        values = []
        for column in range(len(IOU_THRESHOLDS)):
            at = np.searchsorted(recall[:, column], RECALL_POINTS, side="left")
            reached = at < len(recall)
            values.append(np.where(reached, envelope[np.minimum(at, len(recall) - 1), column], 0.0).mean())
        return np.array(values)


def _match(boxes: Floats, truth: Floats) -> NDArray[np.bool_]:
    """[n, 10]: whether each box (by falling score) takes a yet untaken truth, per IoU threshold."""
    hits = np.zeros((len(boxes), len(IOU_THRESHOLDS)), dtype=bool)
    if not len(boxes) or not len(truth):
        return hits
    overlaps = box_iou(torch.as_tensor(boxes), torch.as_tensor(truth)).numpy()
    for column, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(truth), dtype=bool)
        for row in range(len(boxes)):
            candidate = np.where(free, overlaps[row], -1.0)
            best = int(candidate.argmax())
            if candidate[best] >= threshold:
                free[best] = False
                hits[row, column] = True
    return hits


def area_under_curve(positive: NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve; ties count half. NaN with one class only."""
    first, second = scores[positive], scores[~positive]
    if not len(first) or not len(second):
        return float("nan")
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    at_most = np.searchsorted(ordered, first, side="right")
    return float((below + at_most).sum() / 2 / len(first) / len(second))


def sensitivity(positive: NDArray[np.bool_], scores: Floats, threshold: float) -> float:
    """Share of positive images at or above the threshold; NaN without positives."""
    return float((scores[positive] >= threshold).mean()) if positive.any() else float("nan")


def specificity(positive: NDArray[np.bool_], scores: Floats, threshold: float) -> float:
    """Share of negative images below the threshold; NaN without negatives."""
    return float((scores[~positive] < threshold).mean()) if (~positive).any() else float("nan")


def brier_score(positive: NDArray[np.bool_], probability: Floats) -> float:
    """Mean squared error of the probabilities (Brier 1950); NaN without images."""
    return float(((probability - positive) ** 2).mean()) if len(probability) else float("nan")


def calibration_error(positive: NDArray[np.bool_], probability: Floats, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error over bins of equal count: mean of |observed share - mean probability|, 0..1.

    Bins of equal count, since equal widths leave most bins of a set with few fractures empty. Biased upwards in small
    sets: a perfectly calibrated model does not reach 0.
    """
    if not len(probability):
        return float("nan")
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [len(part) * abs(float(positive[part].mean() - probability[part].mean())) for part in parts]
    return float(sum(gaps) / len(order))


def calibration_line(positive: NDArray[np.bool_], probability: Floats) -> tuple[float, float]:
    """(slope, intercept) of the logistic regression of the truth on the log odds of the probabilities.

    Slope 1 and intercept 0 are perfect; a slope below 1 means probabilities that are too extreme (Cox 1958). NaN with
    one class only or with probabilities that are all alike.
    """
    odds = bounded_log_odds(probability)
    slopes, intercepts = logistic_lines(odds, positive.astype(np.float64), np.ones((1, len(odds))))
    return float(slopes[0]), float(intercepts[0])


def bounded_log_odds(probability: Floats) -> Floats:
    """Log odds of probabilities, which are kept one millionth away from 0 and 1."""
    bounded = np.clip(probability, 1e-6, 1 - 1e-6)
    odds: Floats = np.log(bounded / (1 - bounded))
    return odds


def logistic_lines(x: Floats, truth: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(slopes, intercepts) [draws] of the weighted logistic regression of the truth on x, for each row of weights.

    Newton's method from a flat line, each step halved until the likelihood does not fall: whole steps from a slope of
    1 run away where the true slope is far below it. A penalty of a millionth keeps the line of separated classes
    finite. NaN with one class only, or where x is all alike.

    Args:
        x: log odds, [items].
        truth: 0 or 1, [items].
        weights: how often each item counts, [draws, items].
    """
    total = weights.sum(axis=1)
    share = np.divide(weights @ truth, total, out=np.zeros(len(weights)), where=total > 0)
    usable = (share > 0) & (share < 1)
    spread = float(x.std()) if len(x) else 0.0
    if spread < 1e-9 or not usable.any():
        return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    z, drawn, start = (x - x.mean()) / spread, weights[usable], share[usable]
    slope, level = _climb(z, truth, drawn, np.zeros(len(drawn)), np.log(start / (1 - start)))
    slopes, intercepts = np.full((2, len(weights)), np.nan)
    slopes[usable] = slope / spread
    intercepts[usable] = level - slope * x.mean() / spread
    return slopes, intercepts


def _climb(z: Floats, truth: Floats, weights: Floats, slope: Floats, level: Floats) -> tuple[Floats, Floats]:
    """To the lines of the greatest penalised likelihood, from the lines given; slopes and levels are [draws]."""

    def likelihood(slope: Floats, level: Floats) -> Floats:
        line = slope[:, None] * z + level[:, None]
        told: Floats = (weights * (truth * line - np.logaddexp(0, line))).sum(axis=1)
        return told - RIDGE / 2 * (slope**2 + level**2)

    reached = likelihood(slope, level)
    for _ in range(NEWTON_STEPS):
        fitted = 0.5 + 0.5 * np.tanh((slope[:, None] * z + level[:, None]) / 2)
        pull, curve = weights * (truth - fitted), weights * fitted * (1 - fitted)
        first, second = pull @ z - RIDGE * slope, pull.sum(axis=1) - RIDGE * level
        a, b, c = curve @ (z * z) + RIDGE, curve @ z, curve.sum(axis=1) + RIDGE
        scale = np.maximum(a * c - b * b, RIDGE**2)
        steps = (c * first - b * second) / scale, (a * second - b * first) / scale
        length = np.ones(len(slope))
        for _ in range(HALVINGS):
            after = likelihood(slope + length * steps[0], level + length * steps[1])
            fell = ~(after >= reached - ROUNDING)
            if not fell.any():
                break
            length = np.where(fell, length / 2, length)
        length = np.where(fell, 0.0, length)
        slope, level = slope + length * steps[0], level + length * steps[1]
        reached = np.where(fell, reached, after)
        if max(np.abs(length * one).max() for one in steps) < 1e-8:
            break
    return slope, level


def bootstrap(
    count: int, statistic: Callable[[NDArray[np.int64]], float], *, value: float, rounds: int = 1000, seed: int = 0
) -> Interval:
    """Percentile interval of a statistic over images drawn with replacement.

    Args:
        count: number of images.
        statistic: from image numbers [count], drawn with replacement, to a value; NaN draws are left out.
        value: the statistic of the images themselves.
        rounds: resamples.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = np.array([statistic(rng.integers(0, count, count)) for _ in range(rounds)])
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Interval(value=value, low=value, high=value)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def measure(records: Sequence[ImageRecord], thresholds: Thresholds, *, rounds: int = 1000) -> dict[str, Interval]:
    """Every metric that these images can give, with intervals by image.

    Boxes are judged on images whose boxes are known; with no box at all ``map50`` and ``map50_95`` are left out, and
    with one class only the measures that need both are left out.
    """
    result: dict[str, Interval] = {}
    located = [record for record in records if record.boxes_known]
    if any(len(record.truth) for record in located):
        result.update(_box_metrics(located, rounds))
    positive = np.array([record.fractured for record in records])
    scores = np.array([record.image_score for record in records])
    judged = np.array([record.judged for record in records])
    measures: dict[str, Callable[[NDArray[np.bool_], Floats], float]] = {"image_auc": area_under_curve}
    for name, threshold in (
        ("high_sensitivity", thresholds.high_sensitivity),
        ("high_specificity", thresholds.high_specificity),
    ):
        measures[f"sensitivity_{name}"] = _at(sensitivity, threshold)
        measures[f"specificity_{name}"] = _at(specificity, threshold)
    result.update(_intervals(measures, positive, scores, rounds))
    if not judged.all():
        # The same figures on what was judged alone, so that refusing hard images cannot pass for being right on them.
        some = _intervals(measures, positive[judged], scores[judged], rounds)
        result.update({f"{name}_judged": one for name, one in some.items()})
    result.update(_abstention(positive, judged))
    result.update(_probability_metrics(records, rounds))
    return result


def _intervals(
    measures: dict[str, Callable[[NDArray[np.bool_], Floats], float]],
    positive: NDArray[np.bool_],
    values: Floats,
    rounds: int,
) -> dict[str, Interval]:
    """Each measure that these images can give, with its interval."""
    result = {}
    for name, function in measures.items():
        value = function(positive, values)
        if np.isfinite(value):
            result[name] = bootstrap(len(values), _resampled(function, positive, values), value=value, rounds=rounds)
    return result


def _abstention(positive: NDArray[np.bool_], judged: NDArray[np.bool_]) -> dict[str, Interval]:
    """Share of images that were not judged: of all, and of those with a fracture; intervals by Clopper and Pearson.

    Resampling would call a share of none certain.
    """
    parts = {"cannot_judge": ~judged, "cannot_judge_fractured": ~judged[positive]}
    return {name: _share(flags) for name, flags in parts.items() if len(flags)}


def _share(flags: NDArray[np.bool_]) -> Interval:
    count, n = int(flags.sum()), len(flags)
    return Interval(value=count / n, low=lower_bound(count, n, 0.975), high=1 - lower_bound(n - count, n, 0.975))


def _probability_metrics(records: Sequence[ImageRecord], rounds: int) -> dict[str, Interval]:
    """How well the probabilities hold, on the images that have one; at the share of fractures they are stated for."""
    known = [record for record in records if record.probability is not None]
    if not known:
        return {}
    positive = np.array([record.fractured for record in known])
    probability = np.array([record.probability for record in known], dtype=np.float64)
    measures: dict[str, Callable[[NDArray[np.bool_], Floats], float]] = {
        "brier": brier_score,
        "calibration_error": calibration_error,
        "calibration_slope": lambda flags, values: calibration_line(flags, values)[0],
        "calibration_intercept": lambda flags, values: calibration_line(flags, values)[1],
        "mean_probability": lambda _, values: float(values.mean()),
    }
    return _intervals(measures, positive, probability, rounds)


def _at(
    function: Callable[[NDArray[np.bool_], Floats, float], float], threshold: float
) -> Callable[[NDArray[np.bool_], Floats], float]:
    return lambda positive, scores: function(positive, scores, threshold)


def _resampled(
    function: Callable[[NDArray[np.bool_], Floats], float], positive: NDArray[np.bool_], scores: Floats
) -> Callable[[NDArray[np.int64]], float]:
    return lambda index: function(positive[index], scores[index])


def _box_metrics(records: Sequence[ImageRecord], rounds: int) -> dict[str, Interval]:
    map50, map50_95 = mean_average_precision(records)
    table = PrecisionTable(records)
    rng = np.random.default_rng(0)
    draws = np.array(
        [
            table.average_precision(
                np.bincount(rng.integers(0, len(records), len(records)), minlength=len(records)).astype(np.float64)
            )
            for _ in range(rounds)
        ]
    )
    result = {}
    for name, value, values in (("map50", map50, draws[:, 0]), ("map50_95", map50_95, draws.mean(axis=1))):
        low, high = np.nanpercentile(values, [2.5, 97.5])
        result[name] = Interval(value=value, low=min(float(low), value), high=max(float(high), value))
    return result
