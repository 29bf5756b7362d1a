"""How good a detector is: average precision, image-level measures, operating points, bootstrap intervals.

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

Floats = NDArray[np.float64]

# In single precision, as torchmetrics has them: a recall of exactly 0.28 reaches one rounding of that point only.
IOU_THRESHOLDS: Floats = torch.linspace(0.5, 0.95, 10).double().numpy()
RECALL_POINTS: Floats = torch.linspace(0.0, 1.0, 101).double().numpy()
MAX_DETECTIONS = 100


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
    metric = MeanAveragePrecision(backend="faster_coco_eval", box_format="xyxy")
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
        """[10] average precision per IoU threshold when image i occurs ``counts[i]`` times."""
        total = float(counts @ self.truths)
        if total == 0:
            return np.full(len(IOU_THRESHOLDS), np.nan)
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


def choose_thresholds(
    records: Sequence[ImageRecord], *, wanted_sensitivity: float = 0.90, wanted_specificity: float = 0.95
) -> Thresholds:
    """The highest threshold that keeps the sensitivity, and the lowest that keeps the specificity, on these images.

    Raises:
        ValueError: one class only.
    """
    positive = np.array([record.fractured for record in records])
    scores = np.array([record.image_score for record in records])
    if positive.all() or not positive.any():
        raise ValueError("operating points need radiographs with and without a fracture")
    hits = np.sort(scores[positive])[::-1]
    sensitive = float(hits[int(np.ceil(wanted_sensitivity * len(hits))) - 1])
    others = np.sort(scores[~positive])
    index = int(np.ceil(wanted_specificity * len(others)))
    specific = float(np.nextafter(others[index - 1], 1.0))
    return Thresholds(high_sensitivity=max(sensitive, 1e-3), high_specificity=max(specific, sensitive, 1e-3))


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
    measures: dict[str, Callable[[NDArray[np.bool_], Floats], float]] = {"image_auc": area_under_curve}
    for name, threshold in (
        ("high_sensitivity", thresholds.high_sensitivity),
        ("high_specificity", thresholds.high_specificity),
    ):
        measures[f"sensitivity_{name}"] = _at(sensitivity, threshold)
        measures[f"specificity_{name}"] = _at(specificity, threshold)
    for name, function in measures.items():
        value = function(positive, scores)
        if np.isfinite(value):
            result[name] = bootstrap(len(records), _resampled(function, positive, scores), value=value, rounds=rounds)
    return result


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
