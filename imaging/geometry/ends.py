"""Where the fragments end.

Along a fragment, towards the fracture, leaving its bone always makes the picture darker: into the gap, or, where the
fragments lie over each other, from two bones to one. The end is sought as a straight line across the band, of the same
obliquity for both fragments, since they once fitted together.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from imaging.geometry.edges import Shaft
from imaging.geometry.window import Image, Vector, Window

_STEEPEST: Final = 1.3
"""Tangent of the greatest obliquity looked for."""
_STEPS: Final = 41
_CLEAR: Final = 1.6
"""A line stands out when its evidence is this many times the usual one of other lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The ends of both fragments, in window pixels, each in the coordinates of its own band."""

    first: float
    """Distance of the first fragment's end from the box's centre along its band; negative is beyond the centre."""
    second: float
    obliquity: float
    """Tangent of the angle between the fracture line and the perpendicular of the bone, for the first fragment."""
    obliquity_error: float
    """Standard deviation of that tangent."""
    place_error: float
    """Standard deviation of an end's place along its axis, window pixels."""
    clear: bool
    """Whether the line stands out enough to be measured."""
    evidence: float
    """How much darker it gets at the ends than elsewhere, 0..2."""


def find_ends(window: Window, first: Shaft, second: Shaft) -> Ends:
    """The ends of the two fragments."""
    tangents = np.linspace(-_STEEPEST, _STEEPEST, _STEPS)
    # The bands point away from each other: what leans clockwise in one leans clockwise in the other.
    places_1, scores_1 = _scores(window, first, tangents)
    places_2, scores_2 = _scores(window, second, tangents)
    lean = 0.1 * tangents**2
    total = scores_1.max(axis=0) + scores_2.max(axis=0) - lean
    best = int(total.argmax())
    usual = float(np.median(scores_1) + np.median(scores_2))
    spread = float(np.std(scores_1) + np.std(scores_2)) + 1e-6
    return Ends(
        first=float(places_1[scores_1[:, best].argmax()]),
        second=float(places_2[scores_2[:, best].argmax()]),
        obliquity=float(tangents[best]),
        obliquity_error=_spread(tangents, total),
        place_error=0.08 * window.side,
        evidence=float(total[best]) - usual,
        clear=float(total[best]) - usual > _CLEAR * spread,
    )


def _spread(tangents: Vector, total: Vector) -> float:
    """Standard deviation of the tangent when the evidence is read as a likelihood."""
    weights = np.exp((total - total.max()) / 0.08)
    weights = weights / weights.sum()
    mean = float((weights * tangents).sum())
    return max(float(np.sqrt((weights * (tangents - mean) ** 2).sum())), 0.05)


def _scores(window: Window, shaft: Shaft, tangents: Vector) -> tuple[Vector, Image]:
    """Evidence [places, tangents] for an end at each place and obliquity, and the places."""
    angle, width = shaft.direction, shaft.width_at(shaft.along[0])
    offset = shaft.axis.at(0.0) * math.cos(math.atan(shaft.axis.slope))
    reach = window.exit_distance(shaft.band.angle) * 1.15
    places = np.arange(-reach, reach + 1.0)
    across = np.linspace(-0.42 * width, 0.42 * width, 15)
    margin = 0.42 * width * _STEEPEST + 3.0
    along = np.arange(-reach - margin, reach + margin + 1.0)
    values, _ = window.sample(angle, along, across + offset)
    # Positive where it gets darker towards the fracture, over 4 pixels.
    darker = np.zeros_like(values)
    darker[2:-2] = values[4:] + values[3:-1] - values[:-4] - values[1:-3]
    darker = darker / (np.abs(darker) + np.float32(2.0 * window.edge))
    # [places, tangents, across] rows, all at once, counted from the first.
    rows = np.rint((places - along[0])[:, None, None] + tangents[:, None] * across).astype(np.int64)
    np.clip(rows, 0, len(along) - 1, out=rows)
    rows *= len(across)
    rows += np.arange(len(across))
    return places, darker.ravel().take(rows).mean(axis=2)
