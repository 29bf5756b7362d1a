"""What is drawn over the picture: unexposed margins, collimation, side marker, and the words SYNTHETIC PHANTOM."""

import cv2
import numpy as np

from imaging.phantom.physics import Image
from imaging.phantom.spec import PhantomSpec, Processing

SYNTHETIC_TEXT = "SYNTHETIC PHANTOM"


def margins(image: Image, spec: PhantomSpec, rng: np.random.Generator) -> Image:
    """The edge of the picture: an uneven unexposed strip on a plate, black collimation on a detector."""
    rows, columns = image.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    if spec.processing is Processing.DETECTOR:
        border = rng.uniform(0.0, 0.03, size=4) * min(rows, columns)
        depths = (x - border[0], columns - 1 - x - border[1], y - border[2], rows - 1 - y - border[3])
        inside = np.minimum.reduce(depths)
        return np.asarray(image * np.clip(inside / 2.0 + 0.5, 0.02, 1.0), dtype=np.float32)
    result = image
    wide_side = int(rng.integers(0, 4)) if rng.random() < 0.55 else -1
    for side in range(4):
        along = x if side < 2 else y
        depth = (y, rows - 1 - y, x, columns - 1 - x)[side]
        wide = side == wide_side
        width, softness = (rng.uniform(4.0, 17.0), rng.uniform(2.5, 7.0)) if wide else (rng.uniform(-1.2, 0.6), 1.6)
        knots = np.linspace(0.0, max(rows, columns), 9)
        edge = width + (0.12 * max(width, 2.0)) * np.interp(along, knots, rng.normal(0.0, 1.0, size=9))
        white = 1.0 / (1.0 + np.exp(np.clip((depth - edge) * (4.0 / softness), -30.0, 30.0)))
        result = result + white * (np.float32(rng.uniform(0.75, 0.92)) - result)
    return result.astype(np.float32)


def annotate(image: Image, spec: PhantomSpec) -> Image:
    """Burn in the side marker and the synthetic mark, in the darkest corners so that they hide no bone."""
    rows, columns = image.shape
    scale = min(rows, columns) / 373.0
    result = image.copy()
    corners = _corners_by_darkness(image)
    _write(result, SYNTHETIC_TEXT, corners[0], 0.36 * scale, 0.78)
    _write(result, spec.laterality, corners[1], 0.75 * scale, 0.92)
    return result


def _corners_by_darkness(image: Image) -> list[tuple[bool, bool]]:
    """Corners as (bottom, right), the emptiest first."""
    rows, columns = image.shape
    means = {}
    for bottom in (False, True):
        for right in (False, True):
            part = image[rows * 3 // 4 :] if bottom else image[: rows // 4]
            part = part[:, columns // 2 :] if right else part[:, : columns // 2]
            means[(bottom, right)] = float(np.percentile(part, 90))
    return sorted(means, key=lambda corner: means[corner])


def _write(image: Image, text: str, corner: tuple[bool, bool], scale: float, grey: float) -> None:
    rows, columns = image.shape
    thickness = max(1, round(1.1 * scale))
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = round(0.055 * min(rows, columns))
    x = columns - margin - width if corner[1] else margin
    y = rows - margin - baseline if corner[0] else margin + height
    ink = np.zeros((rows, columns), dtype=np.uint8)  # OpenCV writes on 8-bit images only
    cv2.putText(ink, text, (max(x, 1), y), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    share = ink.astype(np.float32) / np.float32(255.0)
    image += share * (np.float32(grey) - image)
