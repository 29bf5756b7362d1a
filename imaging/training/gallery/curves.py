"""The numbers behind the plots: ROC, precision-recall, FROC, calibration, confusion, and intervals of shares."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from imaging.training.metrics import Floats, ImageRecord, Interval, PrecisionTable

FROC_IOU = 0.3
"""Overlap at which a mark counts as on the fracture: fracture lines are thin, and readers' boxes differ so much."""
FALSE_MARKS_PER_IMAGE = (0.1, 0.25, 0.5, 1.0, 2.0)
CALIBRATION_GROUPS = 10
Z_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """Points of a curve, x rising."""

    x: Floats
    y: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share with its 95 % interval (Wilson 1927), and the counts it is made of."""

    value: float
    low: float
    high: float
    part: int
    whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Images by truth and call at one operating point."""

    name: str
    threshold: float
    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int

    def shares(self) -> dict[str, Share]:
        """Sensitivity, specificity and predictive values; those without images are left out."""
        pairs = {
            "sensitivity": (self.true_positive, self.true_positive + self.false_negative),
            "specificity": (self.true_negative, self.true_negative + self.false_positive),
            "positive_predictive_value": (self.true_positive, self.true_positive + self.false_positive),
            "negative_predictive_value": (self.true_negative, self.true_negative + self.false_negative),
        }
        return {name: wilson(part, whole) for name, (part, whole) in pairs.items() if whole}

    def as_entry(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), **{name: asdict(share) for name, share in self.shares().items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationGroup:
    """Images of like probability: what was said and what was true."""

    said: float
    """Mean probability, 0..1."""
    seen: Share
    """Share with a fracture."""


def wilson(part: int, whole: int) -> Share:
    """95 % interval of a share by Wilson's score method, which holds for few images and for 0 and 1.

    Raises:
        ValueError: `whole` is not positive.
    """
    if whole <= 0:
        raise ValueError("a share needs at least one image")
    share = part / whole
    centre = share + Z_95**2 / (2 * whole)
    spread = Z_95 * math.sqrt(share * (1 - share) / whole + Z_95**2 / (4 * whole**2))
    scale = 1 + Z_95**2 / whole
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return Share(value=share, low=max(0.0, min(low, share)), high=min(1.0, max(high, share)), part=part, whole=whole)


def truth_and_scores(records: Sequence[ImageRecord]) -> tuple[NDArray[np.bool_], Floats]:
    """Whether each image is fractured, and its highest score."""
    return (
        np.array([record.fractured for record in records], dtype=bool),
        np.array([record.image_score for record in records], dtype=np.float64),
    )


def confusion(records: Sequence[ImageRecord], name: str, threshold: float) -> Confusion:
    """Count calls at a threshold."""
    fractured, scores = truth_and_scores(records)
    called = scores >= threshold
    return Confusion(
        name=name,
        threshold=threshold,
        true_positive=int((fractured & called).sum()),
        false_negative=int((fractured & ~called).sum()),
        false_positive=int((~fractured & called).sum()),
        true_negative=int((~fractured & ~called).sum()),
    )


def roc_curve(records: Sequence[ImageRecord]) -> Curve | None:
    """1 - specificity against sensitivity of the image-level score; None with one class only."""
    fractured, scores = truth_and_scores(records)
    if fractured.all() or not fractured.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(fractured[order])[last_of_tie]
    alarms = np.cumsum(~fractured[order])[last_of_tie]
    return Curve(
        x=np.concatenate(([0.0], alarms / (~fractured).sum())), y=np.concatenate(([0.0], hits / fractured.sum()))
    )


def precision_recall_curve(records: Sequence[ImageRecord]) -> Curve | None:
    """Recall against precision of boxes at IoU .5; None without labelled boxes or without detections."""
    located = [record for record in records if record.boxes_known]
    total = sum(len(record.truth) for record in located)
    if not total or not any(len(record.scores) for record in located):
        return None
    hits = PrecisionTable(located).hits[:, 0]
    right = np.cumsum(hits)
    return Curve(x=right / total, y=right / np.arange(1, len(hits) + 1))


def matched(boxes: Floats, truth: Floats, overlap: float) -> NDArray[np.bool_]:
    """[n] whether each box, by falling score, takes a truth not yet taken at this IoU."""
    hits = np.zeros(len(boxes), dtype=bool)
    if not len(boxes) or not len(truth):
        return hits
    overlaps = box_iou(torch.as_tensor(boxes), torch.as_tensor(truth)).numpy().copy()
    for row in range(len(boxes)):
        best = int(overlaps[row].argmax())
        if overlaps[row, best] >= overlap:
            hits[row] = True
            overlaps[:, best] = -1.0
    return hits


class FrocTable:
    """All marks of a set, matched once, so that resampled sets are cheap.

    FROC (Bunch et al. 1977): share of labelled fractures that are marked against false marks per image, as the
    threshold falls.
    """

    def __init__(self, records: Sequence[ImageRecord], overlap: float = FROC_IOU) -> None:
        self.records = [record for record in records if record.boxes_known]
        self.truths = np.array([len(record.truth) for record in self.records], dtype=np.float64)
        scores = [record.scores for record in self.records]
        order = np.argsort(-np.concatenate(scores), kind="stable") if scores else np.zeros(0, dtype=np.int64)
        number = [np.full(len(one), row) for row, one in enumerate(scores)]
        hits = [matched(record.boxes, record.truth, overlap) for record in self.records]
        self.image = np.concatenate(number)[order] if number else np.zeros(0, dtype=np.int64)
        self.hits = np.concatenate(hits)[order] if hits else np.zeros(0, dtype=bool)

    def curve(self, counts: Floats | None = None) -> Curve | None:
        """The curve when image i occurs ``counts[i]`` times; None without labelled boxes."""
        weights = np.ones(len(self.records)) if counts is None else counts
        total = float(weights @ self.truths) if len(self.records) else 0.0
        if total == 0:
            return None
        each = weights[self.image]
        return Curve(
            x=np.concatenate(([0.0], np.cumsum(each * ~self.hits) / weights.sum())),
            y=np.concatenate(([0.0], np.cumsum(each * self.hits) / total)),
        )

    def at(self, false_marks: float, *, rounds: int, seed: int = 0) -> Interval | None:
        """Share of fractures marked at this many false marks per image, with a bootstrap interval by image."""
        whole = self.curve()
        if whole is None:
            return None
        rng = np.random.default_rng(seed)
        size = len(self.records)
        draws = []
        for _ in range(rounds):
            drawn = self.curve(np.bincount(rng.integers(0, size, size), minlength=size).astype(np.float64))
            if drawn is not None:
                draws.append(_reached(drawn, false_marks))
        value = _reached(whole, false_marks)
        low, high = np.percentile(draws, [2.5, 97.5]) if draws else (value, value)
        return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def _reached(curve: Curve, x: float) -> float:
    return float(curve.y[max(0, int(np.searchsorted(curve.x, x, side="right")) - 1)])


def calibration_groups(records: Sequence[ImageRecord], groups: int = CALIBRATION_GROUPS) -> list[CalibrationGroup]:
    """Images in groups of equal count by rising probability; empty without a calibrated model."""
    known = [(record.probability, record.fractured) for record in records if record.probability is not None]
    if not known:
        return []
    known.sort(key=lambda pair: pair[0])
    parts = np.array_split(np.arange(len(known)), min(groups, len(known)))
    return [
        CalibrationGroup(
            said=float(np.mean([known[row][0] for row in part])),
            seen=wilson(sum(known[row][1] for row in part), len(part)),
        )
        for part in parts
    ]
