"""Random crops, exposure and noise, as `torchvision.transforms.v2` transforms on tv_tensors."""

import math
from typing import Any

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

MIN_VISIBLE_FRACTION = 0.4
"""A box of which less than this is left in the crop is dropped: half a fracture line is not labelled evidence."""
MIN_SIDE_PX = 3.0


class RandomAffineCrop(v2.Transform):
    """One warp that rotates, scales, mirrors and cuts a square window, centred near a fracture where there is one.

    A single interpolation keeps thin fracture lines that a chain of resampling steps would blur away.

    Args:
        size: side of the window in pixels.
        reference_side: the image's longer side is scaled to this many pixels before the random factor.
        scale: range of the random factor (log-uniform).
        degrees: largest rotation to either side.
        quarter_turns: probability of a further rotation by a multiple of 90 degrees.
        focus: probability that a window is centred near a fracture, when the image has one.
        hard_focus: probability that any other window is centred near a place where an earlier model was wrong, when
            the target names such places (``hard_points`` [k, 2], x and y in pixels).
        whole: when True, the window is centred on the image instead (whole-image training).
    """

    def __init__(
        self,
        size: int,
        *,
        reference_side: int,
        scale: tuple[float, float] = (0.75, 1.35),
        degrees: float = 20.0,
        quarter_turns: float = 0.15,
        focus: float = 0.95,
        hard_focus: float = 0.7,
        whole: bool = False,
    ) -> None:
        super().__init__()
        self.size = size
        self.reference_side = reference_side
        self.scale = scale
        self.degrees = degrees
        self.quarter_turns = quarter_turns
        self.focus = focus
        self.hard_focus = hard_focus
        self.whole = whole

    def forward(self, *inputs: Any) -> Any:
        """(image [1, H, W] uint8, target) to (image [1, size, size] uint8, target with the boxes that are left)."""
        image, target = inputs
        pixels = image.as_subclass(torch.Tensor)[0].numpy()
        boxes = target["boxes"].as_subclass(torch.Tensor).numpy()
        hard = target["hard_points"].numpy() if "hard_points" in target else np.zeros((0, 2))
        matrix = self._matrix(pixels.shape, boxes, hard)
        # What lies beyond the image is black, like the margins of the letterbox.
        warped = cv2.warpAffine(pixels, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR)
        moved, kept = move_boxes(boxes, matrix, self.size)
        target = dict(target)
        target["boxes"] = tv_tensors.BoundingBoxes(
            torch.from_numpy(moved[kept]), format="XYXY", canvas_size=(self.size, self.size)
        )
        target["labels"] = target["labels"][torch.from_numpy(kept)]
        return tv_tensors.Image(torch.from_numpy(warped)[None]), target

    def _matrix(self, shape: tuple[int, ...], boxes: Any, hard: Any) -> Any:
        """The 2 x 3 matrix from image to window coordinates."""
        height, width = shape
        factor = self.reference_side / max(height, width) * math.exp(_uniform(*(math.log(x) for x in self.scale)))
        angle = math.radians(_uniform(-self.degrees, self.degrees))
        if _uniform(0, 1) < self.quarter_turns:
            angle += math.pi / 2 * int(torch.randint(1, 4, ()))
        centre = self._centre(width, height, boxes, hard, self.size / factor)
        cos, sin = math.cos(angle) * factor, math.sin(angle) * factor
        linear = np.array([[cos, -sin], [sin, cos]])
        if _uniform(0, 1) < 0.5:
            linear[0] *= -1.0
        shift = self.size / 2 - linear @ np.asarray(centre)
        return np.concatenate((linear, shift[:, None]), axis=1)

    def _centre(self, width: int, height: int, boxes: Any, hard: Any, window: float) -> tuple[float, float]:
        """Centre of the window in image pixels; `window` is its side in image pixels."""
        if self.whole:
            return (width / 2 + _uniform(-0.08, 0.08) * width, height / 2 + _uniform(-0.08, 0.08) * height)
        if len(boxes) and _uniform(0, 1) < self.focus:
            x1, y1, x2, y2 = boxes[int(torch.randint(0, len(boxes), ()))]
            reach_x, reach_y = (max(0.0, 0.5 * window - 0.6 * side) for side in (x2 - x1, y2 - y1))
            return ((x1 + x2) / 2 + _uniform(-reach_x, reach_x), (y1 + y2) / 2 + _uniform(-reach_y, reach_y))
        if len(hard) and _uniform(0, 1) < self.hard_focus:
            x, y = hard[int(torch.randint(0, len(hard), ()))]
            return (float(x) + _uniform(-0.3, 0.3) * window, float(y) + _uniform(-0.3, 0.3) * window)
        return (_inner(width, window), _inner(height, window))


def _inner(length: int, window: float) -> float:
    """A centre that keeps the window mostly on the image."""
    margin = min(0.4 * window, length / 2)
    return _uniform(margin, length - margin)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def move_boxes(boxes: Any, matrix: Any, size: int) -> tuple[Any, Any]:
    """Boxes [n, 4] xyxy through a 2 x 3 matrix: the moved boxes cut to the window, and a mask of those worth keeping.

    The box around a rotated box grows with the angle although the fracture does not; half of that growth is taken back,
    which is where the edge of an ellipse inscribed in the box lies for small angles.
    """
    if not len(boxes):
        return boxes.astype(np.float32), np.zeros(0, dtype=bool)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    outer = half @ np.abs(matrix[:, :2]).T
    inscribed = np.sqrt(half**2 @ (matrix[:, :2] ** 2).T)
    half = (outer + inscribed) / 2
    full = np.concatenate((centre - half, centre + half), axis=1)
    cut = full.clip(0, size)
    sides = cut[:, 2:] - cut[:, :2]
    visible = sides.prod(axis=1) / np.maximum((full[:, 2:] - full[:, :2]).prod(axis=1), 1e-6)
    return cut.astype(np.float32), (visible >= MIN_VISIBLE_FRACTION) & (sides.min(axis=1) >= MIN_SIDE_PX)


class RandomExposure(v2.Transform):
    """Random gamma, contrast and brightness: what differs from one X-ray unit and its processing to the next."""

    def __init__(self, gamma: float = 0.35, contrast: float = 0.25, brightness: float = 0.12) -> None:
        super().__init__()
        self.gamma = gamma
        self.contrast = contrast
        self.brightness = brightness

    def forward(self, *inputs: Any) -> Any:
        """Changes the grey values of the image, uint8 [1, H, W]; boxes stay."""
        image, target = inputs
        exponent = math.exp(_uniform(-self.gamma, self.gamma))
        factor = math.exp(_uniform(-self.contrast, self.contrast))
        offset = _uniform(-self.brightness, self.brightness)
        levels = np.linspace(0.0, 1.0, 256) ** exponent
        table = np.clip(((levels - 0.5) * factor + 0.5 + offset) * 255.0, 0, 255).astype(np.uint8)
        # Collimated borders stay black whatever the exposure.
        table[0] = 0
        changed = cv2.LUT(image.as_subclass(torch.Tensor)[0].numpy(), table)
        return tv_tensors.Image(torch.from_numpy(changed)[None]), target


def training_transform(size: int, reference_side: int, *, whole: bool = False) -> v2.Transform:
    """Crop, exposure, then now and then blur or noise; gives float32 [1, size, size] in 0..1."""
    scale = (0.8, 1.2) if whole else (0.75, 1.35)
    return v2.Compose(
        [
            RandomAffineCrop(size, reference_side=reference_side, whole=whole, scale=scale),
            RandomExposure(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomApply([v2.GaussianBlur(kernel_size=3, sigma=(0.3, 1.0))], p=0.1),
            v2.RandomApply([v2.GaussianNoise(sigma=0.02)], p=0.15),
        ]
    )
