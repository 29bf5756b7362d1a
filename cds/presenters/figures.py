"""The radiograph as PNG and the geometry of the report's drawings. Numbers only: the templates draw."""

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusion.results import FollowUp, HealingEstimate
from imaging.results import FractureCall, ImageFindings

MAX_PNG_SIDE_PX = 1400
"""Larger radiographs are reduced for the report; the boxes are drawn as vectors and keep their place."""
PALETTE_COLOURS = 256
MAX_PICTURE_SIDE_PX = 900
"""Figures of single places are shown small."""
_SHOWN_WIDTH = 520
_SHOWN_HEIGHT = 600
"""The room the page gives the radiograph, in CSS pixels; keeps the labels readable on every image size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxMark:
    """One box with its number, in pixels of the radiograph."""

    number: int
    x: float
    y: float
    width: float
    height: float
    definite: bool
    """True: drawn solid; False: dotted."""
    label_x: float
    """Centre of the number's disc."""
    label_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """The drawing over a radiograph."""

    width: int
    height: int
    unit: float
    """Length of one CSS pixel of the page in pixels of the radiograph, as the page shows it."""
    marks: tuple[BoxMark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled place on an axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalBar:
    """An interval with its middle on an axis that starts at zero; x in units of the drawing."""

    low_x: float
    middle_x: float
    high_x: float
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineBar:
    """One appointment on the common time axis, 0..100."""

    x: float
    width: float
    open_ended: bool


def png_data_uri(pixels: NDArray[np.float32]) -> str:
    """A radiograph as a PNG data address.

    Args:
        pixels: [H, W], 0..1, bone bright.

    Returns:
        ``data:image/png;base64,...``, at most `MAX_PNG_SIDE_PX` on the long side.
    """
    grey = Image.fromarray((np.clip(np.nan_to_num(pixels), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8))
    grey.thumbnail((MAX_PNG_SIDE_PX, MAX_PNG_SIDE_PX), Image.Resampling.LANCZOS)
    return _data_address(grey)


def encoded_png(picture: NDArray[np.uint8]) -> str:
    """A colour picture as a PNG data address.

    Args:
        picture: [H, W, 3], BGR.

    Returns:
        ``data:image/png;base64,...`` in `PALETTE_COLOURS` colours, which takes a quarter of the bytes, and at most
        `MAX_PICTURE_SIDE_PX` on the long side.
    """
    colours = Image.fromarray(np.ascontiguousarray(picture[..., ::-1]))
    colours.thumbnail((MAX_PICTURE_SIDE_PX, MAX_PICTURE_SIDE_PX), Image.Resampling.LANCZOS)
    return _data_address(colours.quantize(PALETTE_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))


def _data_address(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _label_place(
    box: tuple[float, float, float, float], size: tuple[int, int], radius: float, taken: Iterable[tuple[float, float]]
) -> tuple[float, float]:
    """The centre of a number's disc: the first corner outside the box that is free and inside the image."""
    x1, y1, x2, y2 = box
    width, height = size
    corners = [(x1 - radius, y1 - radius), (x2 + radius, y1 - radius), (x1 - radius, y2 + radius)]
    corners.append((x2 + radius, y2 + radius))
    used = list(taken)

    def fits(x: float, y: float) -> bool:
        inside = radius <= x <= width - radius and radius <= y <= height - radius
        return inside and all(math.dist((x, y), other) >= 2 * radius for other in used)

    place = next((corner for corner in corners if fits(*corner)), corners[0])
    return (
        min(max(place[0], radius), max(width - radius, radius)),
        min(max(place[1], radius), max(height - radius, radius)),
    )


def overlay(findings: ImageFindings) -> Overlay:
    """Boxes and numbers for a radiograph, numbered in the order of the findings, from 1."""
    width, height = findings.width_px, findings.height_px
    unit = max(width / _SHOWN_WIDTH, height / _SHOWN_HEIGHT)
    marks: list[BoxMark] = []
    for place, detection in enumerate(findings.detections, start=1):
        box = detection.box
        label = _label_place(
            (box.x1, box.y1, box.x2, box.y2),
            (width, height),
            12 * unit,
            [(mark.label_x, mark.label_y) for mark in marks],
        )
        marks.append(
            BoxMark(
                number=place,
                x=box.x1,
                y=box.y1,
                width=box.x2 - box.x1,
                height=box.y2 - box.y1,
                definite=detection.call is FractureCall.DEFINITE,
                label_x=label[0],
                label_y=label[1],
            )
        )
    return Overlay(width=width, height=height, unit=unit, marks=tuple(marks))


def axis_step(largest: float, steps: int = 8) -> float:
    """A round distance between ticks (1, 2 or 5 times a power of ten) for an axis from 0 to `largest`."""
    rough = max(largest, 1e-9) / steps
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def interval_bar(
    low: float, middle: float, high: float, *, largest: float, start_x: float, end_x: float, suffix: str = ""
) -> IntervalBar:
    """An interval on an axis from 0 to at least `largest`, drawn between two x positions."""
    step = axis_step(largest)
    count = max(1, math.ceil(largest / step - 1e-9))
    scale = (end_x - start_x) / (count * step)
    ticks = tuple(
        Tick(x=round(start_x + place * step * scale, 1), label=f"{place * step:g}{suffix}")
        for place in range(count + 1)
    )
    return IntervalBar(
        low_x=round(start_x + low * scale, 1),
        middle_x=round(start_x + middle * scale, 1),
        high_x=round(start_x + high * scale, 1),
        ticks=ticks,
    )


def healing_bar(healing: HealingEstimate) -> IntervalBar:
    """Weeks to union from the 10th to the 90th percentile."""
    return interval_bar(
        healing.low_weeks,
        healing.median_weeks,
        healing.high_weeks,
        largest=1.1 * healing.high_weeks,
        start_x=20,
        end_x=620,
    )


def what_if_bars(healing: HealingEstimate) -> tuple[IntervalBar, ...]:
    """The window by the published figures as it is, then one per row of `HealingEstimate.what_if`; x from 0 to 100."""
    own = healing.published_weeks
    now = (
        (healing.low_weeks, healing.median_weeks, healing.high_weeks)
        if own is None
        else (own.low, own.median, own.high)
    )
    windows = [now, *((one.low_weeks, one.median_weeks, one.high_weeks) for one in healing.what_if)]
    largest = max(high for _, _, high in windows)
    return tuple(interval_bar(*one, largest=largest, start_x=0, end_x=100) for one in windows)


def timeline(appointments: Iterable[FollowUp]) -> tuple[float, tuple[TimelineBar | None, ...]]:
    """Appointments on one axis of weeks.

    Returns:
        The last week of the axis, and one bar per appointment in the order given; None without any week.
    """
    rows = tuple(appointments)
    known = [week for row in rows for week in (row.earliest_week, row.latest_week) if week is not None]
    last = max([*known, 1.0]) * 1.08

    def bar(row: FollowUp) -> TimelineBar | None:
        if row.earliest_week is None and row.latest_week is None:
            return None
        start = row.earliest_week if row.earliest_week is not None else 0.0
        end = row.latest_week if row.latest_week is not None else last
        return TimelineBar(
            x=round(100 * start / last, 2),
            width=round(max(100 * (end - start) / last, 1.5), 2),
            open_ended=row.latest_week is None,
        )

    return last, tuple(bar(row) for row in rows)
