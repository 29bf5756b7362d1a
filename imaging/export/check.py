"""The written file against eager torch: the same radiographs, the same boxes; and both against the labels.

The file is read by the script that is copied beside it, from image file to boxes, so that the check covers what a
tablet does: decoding, contrast, letterbox, network, suppression.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from imaging.attributes.pixel_statistics import pixel_statistics
from imaging.attributes.pooling import pool_image
from imaging.attributes.scope import ScopeModel
from imaging.decision import SCOPE_CAUTION, SCOPE_REFUSAL
from imaging.engine import FractureEngine
from imaging.errors import ImagingError
from imaging.export import edge_reader
from imaging.export.errors import CheckFailedError
from imaging.manifest import DetectorManifest
from imaging.reader import read_radiograph
from imaging.runtime import Prediction, load_network
from imaging.training.datasets import LabelledRadiograph
from imaging.training.metrics import ImageRecord, PrecisionTable, sensitivity, specificity
from imaging.training.paired import differences
from imaging.yolov7 import Yolov7

MIN_IOU: Final = 0.98
MAX_SCORE_DIFFERENCE: Final = 1e-3
MIN_MATCHED_SHARE: Final = 0.99
MIN_SAME_SCOPE_SHARE: Final = 0.99
MAX_AP50_LOSS: Final = {"float32": 0.002, "int8": 0.03}
ROUNDS: Final = 1000

Found = tuple[np.ndarray[Any, Any], str | None]
"""Rows (x1, y1, x2, y2, score, class) of one radiograph, and whether it is ``inside``, ``unusual`` or ``outside``; None
where that was not asked."""
Detect = Callable[[Path], Found]
Track = Callable[[Iterable[Any]], Iterable[Any]]


class EagerTorch:
    """The network as it was trained, unfused, on the CPU in float32: what every export is held to."""

    name = "torch, eager"

    def __init__(self, network: Yolov7) -> None:
        self._network = network

    def predict(self, canvas: Tensor) -> Prediction:
        """Predictions for a canvas [1, 3, S, S] in 0..1, and the backbone's features where the graph names them."""
        with torch.inference_mode():
            if self._network.graph.features is None:
                return Prediction(self._network.decode(self._network(canvas)), ())
            raw, features, beside = self._network.forward_with_features(canvas)
            return Prediction(self._network.decode(raw), tuple(features), tuple(beside))


def eager_detector(manifest: DetectorManifest, size: int) -> Detect:
    """The application's own path from image file to findings, through eager torch."""
    engine = FractureEngine(replace(manifest, image_size=size), EagerTorch(load_network(manifest)))
    scope = ScopeModel.load(manifest.heads, manifest.sha256)

    def detect(path: Path) -> Found:
        pixels = read_radiograph(path).pixels
        look = engine.look(pixels)
        word = None
        if scope is not None and look.features:
            word = _word(scope.score(pool_image(look.features, look.transform), pixel_statistics(pixels)))
        return look.boxes.numpy().astype(np.float64), word

    return detect


def _word(scope_score: float) -> str:
    """The script's word for a scope score."""
    if scope_score < SCOPE_REFUSAL:
        return "outside"
    return "unusual" if scope_score < SCOPE_CAUTION else "inside"


def edge_detector(file: Path, threads: int = 0) -> Detect:
    """The path of the script beside the export, from the same file to the same."""
    detector = edge_reader.load(file, threads)

    def detect(path: Path) -> Found:
        rows, word = edge_reader.detect(edge_reader.read_grey(path), detector)
        return rows.astype(np.float64), word

    return detect


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far the file's boxes lie from those of eager torch."""

    images: int
    boxes: int
    """Boxes of eager torch at twice the score floor or above; nearer to it, rounding decides which are kept."""
    matched_share: float
    """Share of them with a box of the file at an IoU of at least .5, 0..1."""
    min_iou: float
    median_iou: float
    max_score_difference: float
    mean_score_difference: float
    max_image_score_difference: float
    """Of the highest score of each image."""
    same_call_share: float
    """Share of images that fall between the same operating points, 0..1."""
    same_scope_share: float | None
    """Share of images that both find inside, unusual or outside, 0..1; None where the file does not ask."""
    refused_share: float | None
    """Share of images that the file refuses as no limb radiographs, 0..1."""


def agreement(
    reference: Sequence[Found],
    found: Sequence[Found],
    *,
    score_floor: float,
    thresholds: tuple[float, float],
) -> Agreement:
    """Compare what was found in the same images.

    Args:
        reference: of eager torch, per image.
        found: of the file, per image.
        score_floor: boxes of the reference below twice this are not asked for.
        thresholds: the operating points, for the share of images with the same call.
    """
    overlaps: list[float] = []
    differences: list[float] = []
    asked = 0
    for (expected, _), (actual, _) in zip(reference, found, strict=True):
        wanted = expected[expected[:, 4] >= 2 * score_floor]
        asked += len(wanted)
        if not len(wanted) or not len(actual):
            continue
        table = box_iou(_grown(wanted), _grown(actual)).numpy()
        nearest = table.argmax(axis=1)
        iou = table[np.arange(len(wanted)), nearest]
        hit = iou >= 0.5
        overlaps.extend(iou[hit].tolist())
        differences.extend(np.abs(wanted[hit, 4] - actual[nearest[hit], 4]).tolist())
    tops = np.array([[_top(one), _top(two)] for (one, _), (two, _) in zip(reference, found, strict=True)])
    tops = tops.reshape(-1, 2)
    scopes = [(one, two) for (_, one), (_, two) in zip(reference, found, strict=True) if two is not None]
    calls = np.stack([tops >= threshold for threshold in thresholds]).sum(axis=0)
    return Agreement(
        images=len(tops),
        boxes=asked,
        matched_share=len(overlaps) / asked if asked else 1.0,
        min_iou=min(overlaps, default=1.0),
        median_iou=float(np.median(overlaps)) if overlaps else 1.0,
        max_score_difference=max(differences, default=0.0),
        mean_score_difference=float(np.mean(differences)) if differences else 0.0,
        max_image_score_difference=float(np.abs(tops[:, 0] - tops[:, 1]).max()) if len(tops) else 0.0,
        same_call_share=float((calls[:, 0] == calls[:, 1]).mean()) if len(tops) else 1.0,
        same_scope_share=sum(one == two for one, two in scopes) / len(scopes) if scopes else None,
        refused_share=sum(two == "outside" for _, two in scopes) / len(scopes) if scopes else None,
    )


def _grown(rows: np.ndarray[Any, Any]) -> Tensor:
    """Boxes with half a pixel around each: one flat against the radiograph's border has no area of its own."""
    return torch.as_tensor(rows[:, :4] + np.array([-0.5, -0.5, 0.5, 0.5]))


def _top(rows: np.ndarray[Any, Any]) -> float:
    return float(rows[0, 4]) if len(rows) else 0.0


def require_agreement(measured: Agreement, precision: str) -> None:
    """Refuse a float file that differs from eager torch by more than rounding; int8 is judged by its accuracy.

    Raises:
        CheckFailedError: the boxes or the scores differ.
    """
    if measured.images == 0:
        raise CheckFailedError("The file was not checked: no radiograph could be read.")
    if precision != "float32":
        return
    faults = [
        f"{what} is {value:.4f}, {'at least' if lowest else 'at most'} {limit} is asked for"
        for what, value, limit, lowest in (
            ("share of boxes found again", measured.matched_share, MIN_MATCHED_SHARE, True),
            ("smallest IoU", measured.min_iou, MIN_IOU, True),
            ("largest difference of scores", measured.max_score_difference, MAX_SCORE_DIFFERENCE, False),
            ("largest difference of image scores", measured.max_image_score_difference, MAX_SCORE_DIFFERENCE, False),
            ("share of radiographs of the same scope", measured.same_scope_share, MIN_SAME_SCOPE_SHARE, True),
        )
        if value is not None and (value < limit if lowest else value > limit)
    ]
    if faults:
        raise CheckFailedError(f"The file does not find what eager torch finds: {'; '.join(faults)}.")


def measure_accuracy(
    samples: Sequence[LabelledRadiograph],
    reference: Detect,
    found: Detect,
    *,
    thresholds: tuple[float, float],
    rounds: int = ROUNDS,
    track: Track = lambda items: items,
) -> dict[str, Any]:
    """AP50 and image-level figures of both on labelled radiographs, with the interval of the paired difference.

    Args:
        samples: labelled radiographs; those the reader refuses are left out of both.
        reference: eager torch.
        found: the file.
        thresholds: high-sensitivity and high-specificity operating point.
        rounds: bootstrap resamples over images; both sides see the same draws.
        track: wraps the samples, for a progress bar.

    Returns:
        ``{"n", "n_fractured", "ap50": {"torch", "export", "loss", "loss_low", "loss_high"}, "image_level": ...}``;
        ``ap50`` is left out when no box is known.
    """
    pairs = [pair for sample in track(samples) if (pair := _records(sample, reference, found)) is not None]
    one, two = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    positive = np.array([record.fractured for record in one], dtype=bool)
    result: dict[str, Any] = {"n": len(pairs), "n_fractured": int(positive.sum())}
    boxes = _paired_ap50(one, two, rounds)
    if boxes is not None:
        result["ap50"] = boxes
    result["image_level"] = {
        name: {
            side: {"sensitivity": _rounded(sensitivity, records, at), "specificity": _rounded(specificity, records, at)}
            for side, records in (("torch", one), ("export", two))
        }
        for name, at in zip(("high_sensitivity", "high_specificity"), thresholds, strict=True)
    }
    return result


def _rounded(measure: Callable[..., float], records: Sequence[ImageRecord], threshold: float) -> float | None:
    positive = np.array([record.fractured for record in records], dtype=bool)
    value = measure(positive, np.array([record.image_score for record in records]), threshold)
    return round(value, 4) if np.isfinite(value) else None


def _records(sample: LabelledRadiograph, reference: Detect, found: Detect) -> tuple[ImageRecord, ImageRecord] | None:
    try:
        height, width = read_radiograph(sample.path).pixels.shape
        rows = reference(sample.path)[0], found(sample.path)[0]
    except ImagingError:
        return None
    truth = np.array(sample.boxes, dtype=float).reshape(-1, 4) * np.array([width, height, width, height])
    first, second = (
        ImageRecord(
            image_id=sample.image_id,
            fractured=sample.fractured,
            boxes_known=sample.boxes_known,
            truth=truth,
            boxes=one[:, :4],
            scores=one[:, 4],
        )
        for one in rows
    )
    return first, second


def _paired_ap50(one: Sequence[ImageRecord], two: Sequence[ImageRecord], rounds: int) -> dict[str, float] | None:
    known = [pair for pair in zip(one, two, strict=True) if pair[0].boxes_known]
    if not any(len(record.truth) for record, _ in known):
        return None
    eager, exported = ([pair[side] for pair in known] for side in (0, 1))
    loss = differences(exported, eager, rounds=rounds)["map50"]
    first, second = (
        float(PrecisionTable(side).average_precision(np.ones(len(known)))[0]) for side in (eager, exported)
    )
    figures = {"torch": first, "export": second, "loss": loss.value, "loss_low": loss.low, "loss_high": loss.high}
    return {name: round(float(value), 4) for name, value in figures.items()}


def require_accuracy(measured: dict[str, Any], where: str, precision: str) -> None:
    """Refuse a file that loses more AP50 than its precision is allowed.

    Raises:
        CheckFailedError: it does, or there was no box to judge by.
    """
    if "ap50" not in measured:
        raise CheckFailedError(f"The accuracy cannot be judged on {where}: no fracture box is known there.")
    loss, limit = measured["ap50"]["loss"], MAX_AP50_LOSS[precision]
    if loss > limit:
        raise CheckFailedError(
            f"AP50 falls by {loss:.3f} on {where} ({measured['n']} radiographs); {limit} is allowed."
        )


def as_figures(measured: Agreement) -> dict[str, float | None]:
    """Plain numbers, rounded."""
    return {name: None if value is None else round(value, 6) for name, value in asdict(measured).items()}
