"""A heat map as a picture: heat over grey, the detection's box, and a legend of the colours."""

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.results import BoxPx

PICTURE_SIDE_PX = 640
"""Longer side of the picture; a heat map holds no finer detail."""
OPACITY = 0.75
"""Opacity of the hottest place; colder ones let the radiograph through."""
FAINT = 0.15
"""Heat below this is left out: it would tint the whole radiograph."""
LEGEND_PX = 26
BOX_COLOUR = (255, 255, 255)
HALO_COLOUR = (0, 0, 0)


def draw(pixels: NDArray[np.float32], heat: NDArray[np.float32], box: BoxPx) -> NDArray[np.uint8]:
    """Heat over a radiograph.

    The colours are those of cividis (Nunez et al. 2018), which rises evenly in lightness and looks alike with normal
    and with red-green blind eyes.

    Args:
        pixels: [H, W] in 0..1, bone bright.
        heat: [H, W] in 0..1.
        box: the detection, in pixels of the radiograph.

    Returns:
        uint8 BGR [h + LEGEND_PX, w, 3] with the longer of h and w at `PICTURE_SIDE_PX`.
    """
    factor = PICTURE_SIDE_PX / max(pixels.shape)
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    grey = np.clip(cv2.resize(np.nan_to_num(pixels), size, interpolation=method), 0.0, 1.0)
    warm = np.clip(cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR), 0.0, 1.0)
    picture = cv2.cvtColor((grey * 255.0 + 0.5).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    colours = cv2.applyColorMap((warm * 255.0 + 0.5).astype(np.uint8), cv2.COLORMAP_CIVIDIS)
    cover = (np.clip((warm - FAINT) / (1.0 - FAINT), 0.0, 1.0) ** 0.5 * OPACITY)[..., None]
    blended = (picture * (1.0 - cover) + colours * cover + 0.5).astype(np.uint8)
    low = (round(box.x1 * factor), round(box.y1 * factor))
    high = (round(box.x2 * factor), round(box.y2 * factor))
    cv2.rectangle(blended, low, high, HALO_COLOUR, 4, cv2.LINE_AA)
    cv2.rectangle(blended, low, high, BOX_COLOUR, 2, cv2.LINE_AA)
    return np.asarray(np.vstack((blended, _legend(size[0]))), dtype=np.uint8)


def _legend(width: int) -> NDArray[np.uint8]:
    """A bar of the colours from "less" to "more", white box sample included, [LEGEND_PX, width, 3]."""
    strip = np.full((LEGEND_PX, width, 3), 16, dtype=np.uint8)
    start, end = round(0.18 * width), round(0.62 * width)
    ramp = np.linspace(FAINT * 255.0, 255.0, max(end - start, 2)).astype(np.uint8)
    bar = cv2.applyColorMap(np.ascontiguousarray(np.repeat(ramp[None], LEGEND_PX - 14, axis=0)), cv2.COLORMAP_CIVIDIS)
    strip[7 : LEGEND_PX - 7, start : start + bar.shape[1]] = bar
    for text, x in (("less", start - 42), ("more", end + 8), ("box", round(0.9 * width))):
        cv2.putText(strip, text, (max(x, 1), 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
    left = round(0.9 * width) - 30
    cv2.rectangle(strip, (left, 7), (left + 22, LEGEND_PX - 8), BOX_COLOUR, 2)
    return strip
