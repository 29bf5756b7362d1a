"""The part of the picture that is looked at, and sampling it along a direction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.results import BoxPx

Image = NDArray[np.floating[Any]]
"""[H, W] float32."""
Vector = NDArray[np.floating[Any]]
"""[N] float64."""
Mask = NDArray[np.bool_]
"""[N]."""
Indices = NDArray[np.int64]
"""[N]."""

_BOX_SIDE: Final = 72.0
"""A box with a longer side is looked at in a smaller copy, in which its longer side has this many pixels."""
_REACH: Final = 3.2
"""Half side of the window, in longer sides of the box."""
_SMOOTHING: Final = 0.9
"""Of the window before gradients are taken, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """A square around the box, perhaps reduced, in whose pixels everything is measured. Pixel centres are whole."""

    image: Image
    """[h, w], smoothed."""
    scale: float
    """Window pixels per pixel of the radiograph, at most 1."""
    left: float
    """Radiograph coordinate of the window's left outer edge."""
    top: float
    centre: tuple[float, float]
    """Of the box, window pixels."""
    half_width: float
    """Of the box, window pixels."""
    half_height: float
    edge: float
    """Size of the clear edges around the box, grey levels per pixel."""
    darkest: float
    """Grey level of the darkest parts of the window: air, unless the limb fills it."""
    noise: float
    """Usual size of a gradient around the box, grey levels per pixel."""

    @property
    def side(self) -> float:
        """Longer side of the box, window pixels."""
        return 2.0 * max(self.half_width, self.half_height)

    def exit_distance(self, angle: float) -> float:
        """From the box's centre to its border in the direction `angle` (radians)."""
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        return min(self.half_width / max(cosine, 1e-6), self.half_height / max(sine, 1e-6))

    def half_across(self, angle: float) -> float:
        """Half the box's extent across the direction `angle` (radians)."""
        return self.half_width * abs(math.sin(angle)) + self.half_height * abs(math.cos(angle))

    def to_radiograph(self, x: float, y: float) -> tuple[float, float]:
        """Coordinates in the radiograph, origin at the outer corner of its first pixel."""
        return self.left + (x + 0.5) / self.scale, self.top + (y + 0.5) / self.scale

    def sample(self, angle: float, along: Vector, across: Vector) -> tuple[Image, NDArray[np.bool_]]:
        """Grey values at centre + along * a + across * n, a being the direction `angle` and n = a turned clockwise.

        Args:
            angle: Radians.
            along: [T].
            across: [N], the same for each row, or [T, N].

        Returns:
            [T, N] grey values, and [T] whether a row lies wholly inside the picture.
        """
        cosine, sine = math.cos(angle), math.sin(angle)
        x = (self.centre[0] + along * cosine).astype(np.float32)[:, None] - (across * sine).astype(np.float32)
        y = (self.centre[1] + along * sine).astype(np.float32)[:, None] + (across * cosine).astype(np.float32)
        values = cv2.remap(self.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(values, dtype=np.float32), self._rows_inside(x[:, 0], x[:, -1], y[:, 0], y[:, -1])

    def sample_fan(
        self, angles: Sequence[float], along: Vector, across: Vector, counts: Indices
    ) -> tuple[Image, NDArray[np.bool_]]:
        """The same in many directions at once.

        Args:
            angles: [D] radians.
            along: [D, T].
            across: [D, N], evenly spaced.
            counts: [D] how many of the N places belong to the direction; the others only fill up.

        Returns:
            [D, T, N] grey values, and [D, T] whether a row lies wholly inside the picture.
        """
        directions, rows = along.shape
        cosine, sine = (np.asarray([turn(angle) for angle in angles])[:, None] for turn in (math.cos, math.sin))
        x, y = self.centre[0] + along * cosine, self.centre[1] + along * sine
        left, down = (across * sine).astype(np.float32), (across * cosine).astype(np.float32)
        flat = (directions * rows, -1)
        values = cv2.remap(
            self.image,
            (x.astype(np.float32)[:, :, None] - left[:, None, :]).reshape(flat),
            (y.astype(np.float32)[:, :, None] + down[:, None, :]).reshape(flat),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        ends = np.stack((np.zeros_like(counts), counts - 1), axis=1)
        sides = np.take_along_axis(across, ends, axis=1)
        inside = self._rows_inside(
            *(x - side * sine for side in sides.T[:, :, None]), *(y + side * cosine for side in sides.T[:, :, None])
        )
        return np.asarray(values, dtype=np.float32).reshape(directions, rows, -1), inside

    def _rows_inside(self, *ends: Image) -> NDArray[np.bool_]:
        """Whether each row lies inside the picture, from the x and then the y of its first and of its last place."""
        rows, columns = self.image.shape
        inside = np.ones(ends[0].shape, dtype=np.bool_)
        for places, limit in zip(ends, (columns, columns, rows, rows), strict=True):
            # Nearly always all of them do.
            if not (places.min() > 1 and places.max() < limit - 2):
                inside &= (places > 1) & (places < limit - 2)
        return inside


def open_window(pixels: Image, box: BoxPx) -> Window | None:
    """The window around `box`, or None when the box leaves too little to look at."""
    rows, columns = pixels.shape
    x1, x2 = max(box.x1, 0.0), min(box.x2, float(columns))
    y1, y2 = max(box.y1, 0.0), min(box.y2, float(rows))
    if x2 - x1 < 4.0 or y2 - y1 < 4.0:
        return None
    side = max(x2 - x1, y2 - y1)
    middle_x, middle_y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
    left, right = max(math.floor(middle_x - _REACH * side), 0), min(math.ceil(middle_x + _REACH * side), columns)
    top, bottom = max(math.floor(middle_y - _REACH * side), 0), min(math.ceil(middle_y + _REACH * side), rows)
    part = np.ascontiguousarray(pixels[top:bottom, left:right], dtype=np.float32)
    scale = min(1.0, _BOX_SIDE / side)
    if scale < 1.0:
        size = (max(round(part.shape[1] * scale), 8), max(round(part.shape[0] * scale), 8))
        scale = size[0] / part.shape[1]
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    image = np.asarray(cv2.GaussianBlur(part, (0, 0), _SMOOTHING), dtype=np.float32)
    centre = ((middle_x - left) * scale - 0.5, (middle_y - top) * scale - 0.5)
    near = _gradient(image, centre, 1.3 * side * scale)
    noise, edge = (float(value) for value in np.percentile(near, (40.0, 93.0)))
    return Window(
        image=image,
        scale=scale,
        left=float(left),
        top=float(top),
        centre=centre,
        half_width=(x2 - x1) / 2.0 * scale,
        half_height=(y2 - y1) / 2.0 * scale,
        darkest=float(np.percentile(image[::4, ::4], 3.0)),
        edge=edge,
        noise=noise,
    )


def _gradient(image: Image, centre: tuple[float, float], reach: float) -> Image:
    """Size of the gradient within `reach` of the centre, grey levels per pixel."""
    (x1, x2), (y1, y2) = ((max(int(place - reach), 0), int(place + reach) + 1) for place in centre)
    # One pixel more on each side, so that the border of the part is no border for the differences.
    top, left = max(y1 - 1, 0), max(x1 - 1, 0)
    part = image[top : y2 + 1, left : x2 + 1]
    across, down = cv2.Sobel(part, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(part, cv2.CV_32F, 0, 1, scale=0.125)
    found = cv2.magnitude(across, down)
    return np.asarray(found[y1 - top : y2 - top, x1 - left : x2 - left], dtype=np.float32)
