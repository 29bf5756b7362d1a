"""The worst errors, and radiographs with their boxes drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.reader import read_radiograph
from imaging.training.gallery.curves import matched
from imaging.training.metrics import ImageRecord

SIDE_PX = 420
ELSEWHERE_IOU = 0.1
"""A mark that overlaps no labelled fracture by this much is somewhere else."""
TRUTH_BGR = (233, 180, 86)
FOUND_BGR = (0, 159, 230)
FAINT_SHARE = 0.25
"""Boxes below this share of the high-sensitivity threshold are not drawn: the floor of a detector is full of them."""
MAX_DRAWN = 5
JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstErrors:
    """Records by kind of error, the worst first."""

    misses: tuple[ImageRecord, ...]
    """Fractured and below the high-sensitivity threshold; lowest score first."""
    false_alarms: tuple[ImageRecord, ...]
    """Not fractured and at or above it; highest score first."""
    elsewhere: tuple[ImageRecord, ...]
    """Fractured and called, but no mark lies on a labelled fracture; highest score first."""


def worst_errors(records: Sequence[ImageRecord], threshold: float) -> WorstErrors:
    """Sort out the errors at the high-sensitivity threshold."""
    misses = [record for record in records if record.fractured and record.image_score < threshold]
    alarms = [record for record in records if not record.fractured and record.image_score >= threshold]
    elsewhere = [
        record
        for record in records
        if record.fractured and record.boxes_known and record.image_score >= threshold and _elsewhere(record, threshold)
    ]
    return WorstErrors(
        misses=tuple(sorted(misses, key=lambda one: (one.image_score, one.image_id))),
        false_alarms=tuple(sorted(alarms, key=lambda one: (-one.image_score, one.image_id))),
        elsewhere=tuple(sorted(elsewhere, key=lambda one: (-one.image_score, one.image_id))),
    )


def _elsewhere(record: ImageRecord, threshold: float) -> bool:
    boxes = record.boxes[record.scores >= threshold]
    return len(record.truth) > 0 and not matched(boxes, record.truth, ELSEWHERE_IOU).any()


def draw(record: ImageRecord, source: Path, target: Path, threshold: float) -> Path | None:
    """Write a thumbnail with the labelled boxes and the marks.

    Labelled boxes are light blue. Marks are orange with their score: thick at or above the threshold, thin below it.

    Args:
        record: what was found.
        source: the radiograph.
        target: JPEG file to write.
        threshold: score of the high-sensitivity point.

    Returns:
        `target`, or None when the radiograph cannot be read.
    """
    try:
        pixels = read_radiograph(source).pixels
    except ImagingError:
        return None
    factor = SIDE_PX / max(pixels.shape)
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    grey = np.clip(resized * 255.0 + 0.5, 0, 255).astype(np.uint8)
    canvas = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    for box in record.truth:
        _rectangle(canvas, box * factor, TRUTH_BGR, 2)
    shown = [row for row, score in enumerate(record.scores) if score >= threshold * FAINT_SHARE][:MAX_DRAWN]
    for row in reversed(shown):
        score = float(record.scores[row])
        x, y = _rectangle(canvas, record.boxes[row] * factor, FOUND_BGR, 2 if score >= threshold else 1)
        place = (x, y - 4 if y > 14 else y + 14)
        cv2.putText(canvas, f"{score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(canvas, f"{score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, FOUND_BGR, 1, cv2.LINE_AA)
    done, encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        return None
    target.write_bytes(encoded.tobytes())
    return target


def _rectangle(
    canvas: NDArray[np.uint8], box: NDArray[np.float64], colour: tuple[int, int, int], thickness: int
) -> tuple[int, int]:
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)
    return x1, y1
