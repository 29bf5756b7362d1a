"""One judgement of a labelled box, for importers and for the check of a data set."""

import math
from enum import StrEnum

Box = tuple[float, float, float, float]

ROUNDING = 0.01
"""Published labels are rounded, which puts edges a hair outside; only more than this share of a side is reported."""


class BoxFault(StrEnum):
    """What is wrong with a box."""

    NOT_FINITE = "is not four finite numbers"
    NO_AREA = "has no area"
    OUTSIDE = "lies outside the image"
    BEYOND = "reaches outside the image and was cut"


def judge_box(box: Box) -> tuple[Box | None, BoxFault | None]:
    """The part of a box within its image, and what is wrong with it.

    Args:
        box: (x1, y1, x2, y2) as fractions of the image's width and height.

    Returns:
        The usable part in 0..1, None when there is none; and the fault, None for a sound box.
    """
    if not all(math.isfinite(value) for value in box):
        return None, BoxFault.NOT_FINITE
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return None, BoxFault.NO_AREA
    inside = (max(x1, 0.0), max(y1, 0.0), min(x2, 1.0), min(y2, 1.0))
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        return None, BoxFault.OUTSIDE
    overshoot = max(-x1, -y1, x2 - 1.0, y2 - 1.0)
    return inside, BoxFault.BEYOND if overshoot > ROUNDING else None
