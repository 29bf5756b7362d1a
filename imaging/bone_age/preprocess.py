"""The one way a hand's grey values reach the network, in training and use alike."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.preprocess import PREPROCESSING_ID, normalise_contrast

SIDE_PX: Final = 112
"""Side of the square canvas. The images learned from have 100 px: more would add nothing."""
CANVAS_ID: Final = f"square-{SIDE_PX}-{PREPROCESSING_ID}"
"""Named in the manifest."""


def canvas(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A radiograph [H, W], 8-bit, bone bright, as the network sees it: [112, 112], whole, centred, contrast normalised.

    The margins of a picture that is not square repeat its border's median.
    """
    height, width = grey.shape
    side = max(height, width)
    if height != width:
        border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
        square = np.full((side, side), np.uint8(np.median(border)), dtype=np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = grey
        grey = square
    how = cv2.INTER_AREA if side > SIDE_PX else cv2.INTER_CUBIC
    resized = cv2.resize(grey, (SIDE_PX, SIDE_PX), interpolation=how)
    return normalise_contrast(np.asarray(resized, dtype=np.uint8))
