"""Tells radiographs of limbs from other pictures; `edge_reader.py` asks it where the card has a scope model.

Two figures say how strange a picture is: the distance of its pooled features from those of limb radiographs, and the
log odds of a linear rule on features and pixel statistics. The card holds the model (a .npz in base64) and, for either
figure, the limit beyond which a picture is unusual, and that beyond which it is refused. Needs numpy and OpenCV.
"""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Window = tuple[int, int, int, int]
Scope = Callable[[Floats, Sequence[Floats], Window], str]


def load(entry: dict[str, Any]) -> Scope:
    """What tells ``inside``, ``unusual`` or ``outside``, from the card's entry ``scope``.

    It takes the radiograph [H, W] in 0..1, the network's feature maps [1, C, S/s, S/s] and the radiograph's place on
    the canvas (left, top, width, height) in pixels.
    """
    with np.load(io.BytesIO(base64.b64decode(entry["model"]))) as stored:
        model = {name: stored[name].astype(np.float32) for name in stored.files}

    def judge(pixels: Floats, maps: Sequence[Floats], window: Window) -> str:
        levels = zip(maps, entry["strides"], strict=True)
        vector = np.concatenate([*(pool(level, stride, window) for level, stride in levels), describe(pixels)])
        standard = np.clip((vector - model["centre"]) / model["spread"], -entry["clip"], entry["clip"])
        along = standard[: len(model["directions"])] @ model["directions"]
        distance = np.sqrt((along**2 / model["variances"]).sum())
        log_odds = standard @ model["weights"][:-1] + model["weights"][-1]
        for word in ("outside", "unusual"):
            if distance > entry[word]["distance"] or log_odds > entry[word]["log_odds"]:
                return word
        return "inside"

    return judge


def pool(level: Floats, stride: int, window: Window) -> Floats:
    """Mean and maximum of each channel over the cells on the radiograph."""
    left, top, width, height = window
    x, y = left // stride, top // stride
    last_x, last_y = max(x + 1, round((left + width) / stride)), max(y + 1, round((top + height) / stride))
    cells = level[0, :, y:last_y, x:last_x].reshape(level.shape[1], -1)
    return np.concatenate((cells.mean(axis=1), cells.max(axis=1)))


def describe(pixels: Floats) -> Floats:
    """Pixel statistics of a picture: layout, grey levels, edges, differences, symmetry, border, exposure, shape."""
    square = cv2.resize(pixels, (96, 96), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(square, [1, 99])
    plane = np.clip((square - low) / max(float(high - low), 1e-3), 0, 1).astype(np.float32)
    parts = [cv2.resize(plane, (10, 10), interpolation=cv2.INTER_AREA).ravel()]
    parts.append(np.histogram(plane, 12, (0, 1))[0] / plane.size)
    for smooth in (plane, cv2.GaussianBlur(plane, (0, 0), 3.0)):
        across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
        angle, strength = np.mod(np.arctan2(down, across), np.pi), np.hypot(across, down)
        edges = np.histogram(angle, 8, (0, np.pi), weights=strength)[0]
        parts.append(edges / max(float(strength.sum()), 1e-6))
    for turned in (plane.T, plane):
        steps = [np.abs(turned[lag:] - turned[:-lag]).mean() for lag in (1, 2, 4, 8, 16)]
        parts.append(np.log(np.array(steps) + 1e-3))
    centred = plane - plane.mean()
    power = float((centred**2).mean())
    mirrors = (centred[:, ::-1], centred[::-1], centred[::-1, ::-1])
    parts.append(np.array([float((centred * one).mean()) / max(power, 1e-6) for one in mirrors] + [np.sqrt(power)]))
    for edge in (plane[:8], plane[-8:], plane[:, :8], plane[:, -8:]):
        parts.append(np.array([edge.mean(), edge.std()]))
    parts.append(np.array([low, high, square.mean(), (pixels <= 0.02).mean(), (pixels >= 0.98).mean()]))
    greys = len(np.unique(np.round(square * 255)))
    parts.append(np.array([np.log(pixels.shape[1] / pixels.shape[0]), np.log(1 + greys) / 6]))
    return np.concatenate(parts).astype(np.float32)
