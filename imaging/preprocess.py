"""The one way a radiograph's grey values reach the network, in training, evaluation and use alike.

Many limb radiographs fill a fraction of the grey range: a fracture line then differs from the bone around it by a few
grey levels. The range is stretched between robust percentiles, then contrast-limited adaptive histogram
equalisation (Zuiderveld, Graphics Gems IV, 1994) evens the local contrast.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

LOW_PERCENTILE = 0.5
HIGH_PERCENTILE = 99.7
CLIP_LIMIT = 2.0
TILES = (8, 8)
BLACK = 2
"""Up to this grey value a pixel is not exposed."""
WORKING_SIDE_PX = 1024
"""A larger radiograph is averaged down to this first: evening out fine noise at full size costs time, not insight."""

PREPROCESSING_ID = "percentile-clahe/1"
"""Named in every manifest: weights trained with one preprocessing must not meet another."""


def normalise_contrast(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] 8-bit grey to [H, W] 8-bit grey with stretched range and evened local contrast.

    Black is left out of the percentiles: collimated borders would otherwise set the range.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    counts[: BLACK + 1] = 0
    histogram = counts.cumsum()
    if histogram[-1] < 16:
        return pixels
    low, high = np.searchsorted(histogram, np.array([LOW_PERCENTILE, HIGH_PERCENTILE]) / 100 * histogram[-1])
    if high <= low:
        return pixels
    table = np.clip((np.arange(256) - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
    equaliser = cv2.createCLAHE(clipLimit=CLIP_LIMIT, tileGridSize=TILES)
    return np.asarray(equaliser.apply(cv2.LUT(pixels, table)), dtype=np.uint8)


def prepare(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A radiograph [H, W] in 0..1, bone bright, to the same at no more than `WORKING_SIDE_PX`, contrast normalised.

    Returns:
        float32 [H', W'] in 0..1; the aspect ratio is kept to the pixel, so that boxes find their way back by scale.
    """
    factor = WORKING_SIDE_PX / max(pixels.shape)
    if factor < 1:
        size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    grey = np.clip(pixels * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return normalise_contrast(grey).astype(np.float32) / np.float32(255.0)
