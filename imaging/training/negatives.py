"""Pictures that are no limb radiograph, drawn on the spot: what a scope model learns to refuse.

They are crude on purpose. A scope model must refuse real chests, slices and photographs that it has never seen; drawn
ones show it in which directions of feature space such pictures lie, carry no licence and no patient, and can be drawn
again wherever the detector is trained anew. Every function takes a random generator and gives float32 [H, W] in 0..1.

The photograph is the dead-leaves model (Lee, Mumford & Huang, International Journal of Computer Vision 2001):
overlapping shapes whose sizes follow a power law have much of the statistics of natural images.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Draw = Callable[[np.random.Generator], Picture]

SIDES: Final = (320, 512)
"""Range of each side in pixels, about that of the radiographs in the training data."""


def chest(rng: np.random.Generator) -> Picture:
    """A frontal chest radiograph: dark lungs with ribs, bright mediastinum, spine, clavicles and diaphragm."""
    height, width = _size(rng, low=0.8, high=1.25)
    body, lung = rng.uniform(0.5, 0.75), rng.uniform(0.08, 0.3)
    image = np.full((height, width), rng.uniform(0.0, 0.1), dtype=np.float32)
    middle, reach = width * rng.uniform(0.46, 0.54), width * rng.uniform(0.42, 0.6)
    _ellipse(image, (middle, height * 0.62), (reach, height * rng.uniform(0.6, 0.8)), 0, body)
    base, top = height * rng.uniform(0.68, 0.85), height * rng.uniform(0.05, 0.16)
    for side in (-1, 1):
        centre = (middle + side * reach * rng.uniform(0.42, 0.52), (base + top) / 2)
        _ellipse(image, centre, (reach * rng.uniform(0.3, 0.4), (base - top) / 2), side * rng.uniform(-8, 2), lung)
        dome = (centre[0], base + height * 0.06)
        _ellipse(image, dome, (reach * 0.45, height * rng.uniform(0.08, 0.14)), 0, body * rng.uniform(0.95, 1.1))
        _ribs(image, rng, middle, side, reach, top, base)
    heart = (middle + reach * rng.uniform(0.05, 0.2), base - height * 0.08)
    size = (reach * rng.uniform(0.22, 0.38), height * rng.uniform(0.12, 0.2))
    _ellipse(image, heart, size, rng.uniform(20, 50), body * rng.uniform(1.0, 1.2))
    _spine(image, rng, middle, reach * rng.uniform(0.07, 0.12), body * rng.uniform(1.05, 1.3))
    return _expose(image, rng, blur=rng.uniform(1.0, 3.0), mottle=0.05)


def slice_of_body(rng: np.random.Generator) -> Picture:
    """A computed-tomography or magnetic-resonance slice: a round section with organs, often within a bright ring."""
    side = int(rng.integers(*SIDES))
    image = np.full((side, side), rng.uniform(0.0, 0.04), dtype=np.float32)
    centre = (side * rng.uniform(0.45, 0.55), side * rng.uniform(0.45, 0.55))
    axes = (side * rng.uniform(0.3, 0.46), side * rng.uniform(0.26, 0.44))
    tilt = rng.uniform(-15, 15)
    _ellipse(image, centre, axes, tilt, rng.uniform(0.25, 0.8))
    if rng.random() < 0.6:
        share = rng.uniform(0.84, 0.94)
        inner = (axes[0] * share, axes[1] * share)
        _ellipse(image, centre, axes, tilt, rng.uniform(0.7, 1.0))
        _ellipse(image, centre, inner, tilt, rng.uniform(0.3, 0.6))
    for _ in range(int(rng.integers(4, 18))):
        angle, distance = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random()) * 0.7
        place = (centre[0] + np.cos(angle) * distance * axes[0], centre[1] + np.sin(angle) * distance * axes[1])
        size = (axes[0] * rng.uniform(0.04, 0.3), axes[1] * rng.uniform(0.04, 0.3))
        _ellipse(image, place, size, rng.uniform(0, 180), rng.uniform(0.05, 1.0))
    return _expose(image, rng, blur=rng.uniform(0.8, 2.5), mottle=rng.uniform(0.01, 0.08))


def photograph(rng: np.random.Generator) -> Picture:
    """Overlapping shaded shapes of all sizes."""
    height, width = _size(rng, low=0.6, high=1.6)
    image = np.full((height, width), rng.random(), dtype=np.float32)
    largest = min(height, width) / 2.5
    for _ in range(int(rng.integers(60, 400))):
        radius = min(largest, 4.0 / max(1e-3, rng.random()) ** 0.7)
        place = (rng.uniform(0, width), rng.uniform(0, height))
        _ellipse(image, place, (radius, radius * rng.uniform(0.3, 1)), rng.uniform(0, 180), rng.random())
    shade = _clouds(rng, height, width, coarseness=rng.uniform(2, 16))
    return _expose(image * (0.6 + 0.4 * shade), rng, blur=rng.uniform(0.0, 1.5), mottle=0.06)


def document(rng: np.random.Generator) -> Picture:
    """A page of text, light or dark, with lines, boxes or a chart: a scan or a screenshot."""
    height, width = _size(rng, low=0.6, high=1.6)
    paper = rng.uniform(0.75, 1.0)
    image = np.full((height, width), paper, dtype=np.float32)
    ink, scale = rng.uniform(0.0, 0.3), rng.uniform(0.3, 1.2)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     ABCDE0123456789,.-"))
    step, left = max(8, int(30 * scale)), int(rng.integers(5, 40))
    for row in range(step, height, step):
        if rng.random() < 0.85:
            words = "".join(rng.choice(letters, int(rng.integers(5, 60))))
            _write(image, words, (left, row), scale, ink, int(rng.integers(1, 3)))
    for _ in range(int(rng.integers(0, 6))):
        corners = rng.integers(0, [width, height, width, height])
        fill = -1 if rng.random() < 0.5 else int(rng.integers(1, 4))
        cv2.rectangle(image, _point(corners[:2]), _point(corners[2:]), float(rng.random()), fill)
    return image if rng.random() < 0.6 else np.subtract(np.float32(1.0), image, dtype=np.float32)


def drawing(rng: np.random.Generator) -> Picture:
    """Lines, circles and curves on an even ground."""
    height, width = _size(rng, low=0.7, high=1.4)
    ground = float(rng.random() < 0.6)
    image = np.full((height, width), ground, dtype=np.float32)
    for _ in range(int(rng.integers(4, 30))):
        ink, thickness = float(rng.random()), int(rng.integers(1, 8))
        points = (rng.random((int(rng.integers(2, 9)), 2)) * [width, height]).astype(np.int32)
        if rng.random() < 0.5:
            cv2.polylines(image, [points], bool(rng.random() < 0.5), ink, thickness, cv2.LINE_AA)
        else:
            cv2.circle(image, _point(points[0]), int(rng.integers(5, width // 3)), ink, thickness, cv2.LINE_AA)
    return image


def pattern(rng: np.random.Generator) -> Picture:
    """A test pattern: gradient, noise, clouds, checks or stripes."""
    height, width = _size(rng, low=0.7, high=1.4)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    kind, angle, period = int(rng.integers(0, 5)), rng.uniform(0, 2 * np.pi), rng.uniform(6, 80)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    if kind == 0:
        image = (along - along.min()) / np.ptp(along)
    elif kind == 1:
        image = rng.normal(rng.uniform(0.2, 0.8), rng.uniform(0.03, 0.3), (height, width))
    elif kind == 2:
        image = _clouds(rng, height, width, coarseness=rng.uniform(2, 40))
    elif kind == 3:
        image = ((rows // period + columns // period) % 2) * rng.uniform(0.3, 1.0)
    else:
        image = 0.5 + 0.5 * np.sin(along * (2 * np.pi / period))
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)


def blank_plate(rng: np.random.Generator) -> Picture:
    """A plate without a limb on it: even grey, noise, perhaps a collimated border, a step or a marker."""
    height, width = _size(rng, low=0.7, high=1.4)
    level = rng.random()
    image = level + 0.15 * (_clouds(rng, height, width, coarseness=2.0) - 0.5)
    image += rng.normal(0, rng.uniform(0.002, 0.05), (height, width))
    if rng.random() < 0.5:
        edge = rng.integers(5, min(height, width) // 4, 4)
        border = np.full((height, width), rng.uniform(0, 0.1))
        inside = (slice(edge[0], -edge[1]), slice(edge[2], -edge[3]))
        border[inside] = image[inside]
        image = border
    image = np.clip(image, 0, 1).astype(np.float32)
    if rng.random() < 0.4:
        place = (int(width * rng.uniform(0.1, 0.8)), int(height * rng.uniform(0.1, 0.9)))
        _write(image, str(rng.choice(["L", "R"])), place, 1.2, 1.0, 3)
    return np.asarray(image, dtype=np.float32)


KINDS: Final[Mapping[str, Draw]] = MappingProxyType(
    {
        "chest": chest,
        "slice": slice_of_body,
        "photograph": photograph,
        "document": document,
        "drawing": drawing,
        "pattern": pattern,
        "blank": blank_plate,
    }
)
"""Every kind that can be drawn, by name."""


def _size(rng: np.random.Generator, *, low: float, high: float) -> tuple[int, int]:
    height = int(rng.integers(*SIDES))
    return height, max(96, int(height * rng.uniform(low, high)))


def _point(values: NDArray[np.int32] | NDArray[np.int64]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _write(image: Picture, words: str, place: tuple[int, int], scale: float, ink: float, thickness: int) -> None:
    # OpenCV 5 writes on 8-bit images only.
    mask = np.zeros(image.shape, dtype=np.uint8)
    cv2.putText(mask, words, place, cv2.FONT_HERSHEY_SIMPLEX, float(scale), 255, thickness, cv2.LINE_AA)
    image += (np.float32(ink) - image) * (mask.astype(np.float32) / np.float32(255))


def _ellipse(image: Picture, centre: tuple[float, float], axes: tuple[float, float], tilt: float, grey: float) -> None:
    box = ((float(centre[0]), float(centre[1])), (max(1.0, 2 * axes[0]), max(1.0, 2 * axes[1])), float(tilt))
    cv2.ellipse(image, box, float(grey), -1, cv2.LINE_AA)


def _ribs(
    image: Picture, rng: np.random.Generator, middle: float, side: int, reach: float, top: float, base: float
) -> None:
    """Posterior and anterior ribs and the collar bone of one side, added to what lies there."""
    layer = np.zeros_like(image)
    thickness = max(2, int(reach * rng.uniform(0.035, 0.06)))
    for number in range(9):
        start = top + (base - top) * number / 8.5
        span = reach * (0.5 + 0.4 * min(1.0, (number + 1) / 4))
        along = np.linspace(0, 1, 24)
        across = middle + side * span * along
        for drop, grey in ((0.12, 0.16), (-0.2, 0.09)):
            down = start + (base - top) * (drop * along**2 - 0.05 * np.sin(np.pi * along))
            points = np.stack((across, down), axis=1).astype(np.int32)
            cv2.polylines(layer, [points], False, grey, thickness, cv2.LINE_AA)
    collar = np.array([[middle + side * reach * 0.08, top + 8], [middle + side * reach * 0.75, top - 10]], np.int32)
    cv2.polylines(layer, [collar], False, 0.25, thickness, cv2.LINE_AA)
    image += layer


def _spine(image: Picture, rng: np.random.Generator, middle: float, half: float, grey: float) -> None:
    height = image.shape[0]
    layer = image.copy()
    cv2.rectangle(layer, (int(middle - half), 0), (int(middle + half), height), float(grey), -1)
    step = int(height * rng.uniform(0.05, 0.07))
    for row in range(0, height, max(4, step)):
        cv2.line(layer, (int(middle - half), row), (int(middle + half), row), float(grey * 0.85), 2)
    image += np.float32(0.6) * (layer - image)


def _clouds(rng: np.random.Generator, height: int, width: int, *, coarseness: float) -> Picture:
    """Smooth noise 0..1; `coarseness` is the number of lumps along a side."""
    cells = max(2, round(coarseness))
    coarse = rng.random((cells + 1, cells + 1)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _expose(image: Picture, rng: np.random.Generator, *, blur: float, mottle: float) -> Picture:
    """Soft edges, uneven tissue, noise and a display curve."""
    height, width = image.shape
    if blur > 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), dtype=np.float32)
    image = image * (1 - mottle + 2 * mottle * _clouds(rng, height, width, coarseness=24.0))
    image = np.clip(image + rng.normal(0, rng.uniform(0.003, 0.03), (height, width)), 0, 1)
    return np.asarray(image ** rng.uniform(0.6, 1.6), dtype=np.float32)
