"""The measurement drawn on the radiograph, for people to check."""

import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.results import BoxPx, FractureGeometry, Measurement, PointPx

_SHORT_SIDE = 480
"""Smaller pictures are enlarged by a whole factor, so that the lines stay thinner than the bone."""
_PANEL_PX = 840
"""Height of either picture of a sheet, and the most of its width."""
_ENLARGED = 8
_AROUND = 0.75
"""Margin of a sheet's enlargement around all that is drawn, in sides of the box."""
_LINE_PX = 26
"""Height of a line of words on a sheet."""
_YELLOW, _GREEN, _CYAN, _RED, _WHITE = (0, 220, 255), (80, 220, 80), (255, 200, 0), (60, 60, 255), (255, 255, 255)


def draw(pixels: NDArray[np.float32], box: BoxPx, geometry: FractureGeometry) -> NDArray[np.uint8]:
    """Draw box (yellow), edges (green), axes (blue), fracture line (red) and the numbers.

    Args:
        pixels: [H, W], 0..1, bone bright.
        box: The detection's box.
        geometry: What `imaging.geometry.measurement.measure` gave for it.

    Returns:
        [k*H, k*W, 3] uint8, BGR; k is 1 or more, so that small pictures can be read.
    """
    picture = _lines_on(pixels, box, geometry, max(1, round(_SHORT_SIDE / min(pixels.shape))), 1)
    for row, text in enumerate(figures(geometry)):
        _write(picture, text, (6, 18 + 16 * row), 0.42)
    return picture


def sheet(
    pixels: NDArray[np.float32],
    box: BoxPx,
    geometry: FractureGeometry,
    words: Sequence[str],
    labelled: Sequence[BoxPx] = (),
) -> NDArray[np.uint8]:
    """The whole radiograph beside an enlargement of what is drawn on it, and words beneath.

    Args:
        pixels: [H, W], 0..1, bone bright.
        box: The detection's box.
        geometry: What `imaging.geometry.measurement.measure` gave for it.
        words: Figures, or why there are none, in ASCII; long lines are broken.
        labelled: Boxes that people drew around fractures, in white.

    Returns:
        [h, w, 3] uint8, BGR.
    """
    left, top, right, bottom = _neighbourhood(box, geometry, pixels.shape)
    low, high = np.percentile(pixels[top:bottom, left:right], [1.0, 99.8])
    stretched = ((pixels - low) / max(float(high - low), 1e-3)).astype(np.float32)
    thickness = max(2, round(2 * _ENLARGED * max(right - left, bottom - top) / _PANEL_PX))
    enlarged = _lines_on(stretched, box, geometry, _ENLARGED, thickness, labelled)
    near = enlarged[top * _ENLARGED : bottom * _ENLARGED, left * _ENLARGED : right * _ENLARGED]
    whole = _lines_on(pixels, box, geometry, 3, 4, labelled)
    gap = np.zeros((_PANEL_PX, 12, 3), dtype=np.uint8)
    pictures = np.concatenate((_scaled(whole), gap, _scaled(near)), axis=1)
    lines = [line for text in words for line in textwrap.wrap(text, max(20, pictures.shape[1] // 10))]
    strip = np.zeros((_LINE_PX * len(lines) + 14, pictures.shape[1], 3), dtype=np.uint8)
    for row, text in enumerate(lines):
        _write(strip, text, (8, _LINE_PX * (row + 1) - 4), 0.6)
    return np.concatenate((pictures, strip), axis=0)


def _neighbourhood(box: BoxPx, geometry: FractureGeometry, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part that holds box, edges, axes and line, in whole pixels."""
    margin = _AROUND * min(box.x2 - box.x1, box.y2 - box.y1) + 8.0
    traced = [point for line in (*geometry.edges, *geometry.axes, geometry.line) for point in line]
    xs, ys = [box.x1, box.x2, *(point.x for point in traced)], [box.y1, box.y2, *(point.y for point in traced)]
    left, top = (max(0, int(min(values) - margin)) for values in (xs, ys))
    right, bottom = (min(side, int(max(values) + margin)) for values, side in ((xs, shape[1]), (ys, shape[0])))
    return left, top, right, bottom


def _scaled(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As high as a panel, and no wider than that; what is left is black."""
    factor = _PANEL_PX / max(picture.shape[:2])
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    sized = np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=method))[:_PANEL_PX]
    panel = np.zeros((_PANEL_PX, sized.shape[1], 3), dtype=np.uint8)
    panel[: sized.shape[0]] = sized
    return panel


def _lines_on(
    pixels: NDArray[np.float32],
    box: BoxPx,
    geometry: FractureGeometry,
    factor: int,
    thickness: int,
    labelled: Sequence[BoxPx] = (),
) -> NDArray[np.uint8]:
    """The radiograph, enlarged by `factor`, with boxes, edges, axes and line in lines of this many pixels."""
    grey = np.clip(pixels * 255.0, 0.0, 255.0).astype(np.uint8)
    grey = np.asarray(cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)

    def polyline(points: tuple[PointPx, ...], colour: tuple[int, int, int]) -> None:
        places = np.asarray([(point.x * factor, point.y * factor) for point in points])
        cv2.polylines(picture, [np.rint(places * 16.0).astype(np.int32)], False, colour, thickness, cv2.LINE_AA, 4)

    for one, colour in (*((one, _WHITE) for one in labelled), (box, _YELLOW)):
        corners = ((one.x1, one.y1), (one.x2, one.y1), (one.x2, one.y2), (one.x1, one.y2), (one.x1, one.y1))
        polyline(tuple(PointPx(x=x, y=y) for x, y in corners), colour)
    for edge in geometry.edges:
        polyline(edge, _GREEN)
    for axis in geometry.axes:
        polyline(axis, _CYAN)
    if geometry.line:
        polyline(geometry.line, _RED)
    return np.asarray(picture, dtype=np.uint8)


def _write(picture: NDArray[np.uint8], text: str, place: tuple[int, int], size: float) -> None:
    for thickness, colour in ((3, (0, 0, 0)), (1, _WHITE)):
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness, cv2.LINE_AA)


def figures(geometry: FractureGeometry) -> list[str]:
    """One line for each quantity with its interval, millimetres where there are any."""
    lines = []
    for name, millimetres, pixels in (
        ("line", geometry.line_length_mm, geometry.line_length_px),
        ("width", geometry.shaft_width_mm, geometry.shaft_width_px),
        ("displacement", geometry.displacement_mm, geometry.displacement_px),
        ("shortening", geometry.shortening_mm, geometry.shortening_px),
    ):
        if millimetres is not None:
            lines.append(f"{name} {_range(millimetres)} mm")
        elif pixels is not None:
            lines.append(f"{name} {_range(pixels)} px")
    if geometry.displacement_percent is not None:
        lines.append(f"displacement {_range(geometry.displacement_percent)} % of width")
    if geometry.angulation_deg is not None:
        lines.append(f"angulation {_range(geometry.angulation_deg)} deg")
    return lines


def _range(measurement: Measurement) -> str:
    return f"{measurement.value:.1f} ({measurement.low:.1f}-{measurement.high:.1f})"
