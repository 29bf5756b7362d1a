"""Text burned into the pixels of a radiograph: found near the borders, and painted over.

Burned-in text has two grey levels, ink and a flat ground, in strokes of one width on one line, and stands near a
border, away from the beam. That is what is looked for. What this cannot see: text over the anatomy away from the
borders (the inner part of the image is not searched, since bone edges look alike), text softer than a tenth of the grey
range, handwriting, text that does not run along the rows or columns, letters under 7 pixels high, single characters.
It masks side markers as well. A person has to look before images leave the hospital; nothing here replaces that.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

BAND: Final = 0.24
"""Share of each side that is searched."""
MIN_HEIGHT_PX: Final = 7
MAX_HEIGHT: Final = 0.09
"""Highest letters, as a share of the longer side."""
MIN_CONTRAST: Final = 26
"""Grey levels of 255 between ink and ground."""
MIN_CROSSINGS: Final = 5
CROSSINGS: Final = 1.0
"""Ends of strokes along a row, at least: altogether, and for each square as high as the line."""
_TWO_LEVELS: Final = 0.4
"""Share of a region's pixels near the level of the ink or of the ground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRegion:
    """A rectangle that holds text, in pixels."""

    left: int
    top: int
    width: int
    height: int


def find_text(grey: NDArray[np.floating[Any]]) -> tuple[TextRegion, ...]:
    """Find lines of text near the borders.

    Args:
        grey: [H, W], any range; larger is brighter or darker alike.

    Returns:
        Regions without the margin that `mask` adds, from top to bottom.
    """
    low, high = float(np.min(grey)), float(np.max(grey))
    if high <= low:
        return ()
    image = np.rint((grey - low) / (high - low) * 255).astype(np.uint8)
    found: list[TextRegion] = []
    for turned in (False, True):
        view = np.ascontiguousarray(image.T) if turned else image
        for box in _lines(view):
            found.append(_turned(box) if turned else box)
    return _merged(sorted(found, key=lambda one: (one.top, one.left)))


def mask(values: NDArray[Any], regions: tuple[TextRegion, ...]) -> NDArray[Any]:
    """Paint regions over with the grey around them.

    Args:
        values: [H, W] stored values.
        regions: from `find_text`.

    Returns:
        A copy; every pixel outside the regions and their margins is unchanged.
    """
    masked = values.copy()
    for one in regions:
        margin = max(3, one.height // 3)
        top, bottom = max(0, one.top - margin), min(values.shape[0], one.top + one.height + margin)
        left, right = max(0, one.left - margin), min(values.shape[1], one.left + one.width + margin)
        outer = values[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2]
        rim = np.concatenate([outer[:2].ravel(), outer[-2:].ravel(), outer[:, :2].ravel(), outer[:, -2:].ravel()])
        masked[top:bottom, left:right] = np.sort(rim)[len(rim) // 2]
    return masked


def _lines(image: NDArray[np.uint8]) -> list[TextRegion]:
    """Lines of text that run along the rows."""
    longer = max(image.shape)
    found: list[TextRegion] = []
    # Letters of several sizes: strokes are thinner than `stroke`, gaps between letters narrower than `reach`.
    for stroke in sorted({5, max(5, longer // 150), max(5, longer // 75)}):
        kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (stroke, stroke))
        bridge = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * stroke + 1, 1))
        # What is thinner than the kernel stays; the outlines of bone, plate and collimator go.
        for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            ink = (cv2.morphologyEx(image, kind, kernel) >= MIN_CONTRAST).astype(np.uint8)
            joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, bridge)
            count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
            for index in range(1, count):
                left, top, width, height = (int(one) for one in stats[index, :4])
                box = TextRegion(left=left, top=top, width=width, height=height)
                if _near_border(box, image.shape) and _is_text(image, ink, box):
                    found.append(box)
    return found


def _near_border(box: TextRegion, shape: tuple[int, ...]) -> bool:
    rows, columns = shape
    middle_row, middle_column = box.top + box.height / 2, box.left + box.width / 2
    from_side = min(middle_row, rows - middle_row) / rows, min(middle_column, columns - middle_column) / columns
    return min(from_side) < BAND


def _is_text(image: NDArray[np.uint8], ink: NDArray[np.uint8], box: TextRegion) -> bool:
    """Many strokes on one line, two grey levels, and a height that letters have."""
    if not MIN_HEIGHT_PX <= box.height <= MAX_HEIGHT * max(image.shape) or box.width < 1.5 * box.height:
        return False
    place = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
    part, strokes = image[place], ink[place]
    share = float(strokes.mean())
    if not 0.1 <= share <= 0.65:
        return False
    levels = float(np.median(part[strokes == 1])), float(np.median(part[strokes == 0]))
    contrast = abs(levels[0] - levels[1])
    if contrast < MIN_CONTRAST:
        return False
    near = np.minimum(np.abs(part - levels[0]), np.abs(part - levels[1])) <= max(8.0, 0.25 * contrast)
    crossings = np.abs(np.diff(strokes.astype(np.int8), axis=1)).sum(axis=1)
    enough = max(MIN_CROSSINGS, CROSSINGS * box.width / box.height)
    return float(near.mean()) >= _TWO_LEVELS and float(np.median(crossings)) >= enough


def _turned(box: TextRegion) -> TextRegion:
    return TextRegion(left=box.top, top=box.left, width=box.height, height=box.width)


def _merged(boxes: list[TextRegion]) -> tuple[TextRegion, ...]:
    """Overlapping boxes as one."""
    kept: list[TextRegion] = []
    for box in boxes:
        joined = box
        for other in list(kept):
            if _overlap(joined, other):
                kept.remove(other)
                left, top = min(joined.left, other.left), min(joined.top, other.top)
                right = max(joined.left + joined.width, other.left + other.width)
                bottom = max(joined.top + joined.height, other.top + other.height)
                joined = TextRegion(left=left, top=top, width=right - left, height=bottom - top)
        kept.append(joined)
    return tuple(kept)


def _overlap(one: TextRegion, other: TextRegion) -> bool:
    return (
        one.left < other.left + other.width
        and other.left < one.left + one.width
        and one.top < other.top + other.height
        and other.top < one.top + one.height
    )
