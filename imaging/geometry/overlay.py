"""The measurement drawn on the radiograph, for people to check."""

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.results import BoxPx, FractureGeometry, Measurement, PointPx

_SHORT_SIDE = 480
"""Smaller pictures are enlarged by a whole factor, so that the lines stay thinner than the bone."""
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
    factor = max(1, round(_SHORT_SIDE / min(pixels.shape)))
    grey = np.clip(pixels * 255.0, 0.0, 255.0).astype(np.uint8)
    grey = np.asarray(cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)

    def polyline(points: tuple[PointPx, ...], colour: tuple[int, int, int]) -> None:
        corners = np.asarray([(point.x * factor, point.y * factor) for point in points])
        cv2.polylines(picture, [np.rint(corners * 16.0).astype(np.int32)], False, colour, 1, cv2.LINE_AA, 4)

    corners = ((box.x1, box.y1), (box.x2, box.y1), (box.x2, box.y2), (box.x1, box.y2), (box.x1, box.y1))
    polyline(tuple(PointPx(x=x, y=y) for x, y in corners), _YELLOW)
    for edge in geometry.edges:
        polyline(edge, _GREEN)
    for axis in geometry.axes:
        polyline(axis, _CYAN)
    if geometry.line:
        polyline(geometry.line, _RED)
    for row, text in enumerate(_texts(geometry)):
        place = (6, 18 + 16 * row)
        for thickness, colour in ((3, (0, 0, 0)), (1, _WHITE)):
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, thickness, cv2.LINE_AA)
    return np.asarray(picture, dtype=np.uint8)


def _texts(geometry: FractureGeometry) -> list[str]:
    """One line for each quantity, millimetres where there are any."""
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
