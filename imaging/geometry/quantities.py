"""Values with their 90 % intervals, in window pixels and degrees.

Every interval joins what the scatter of the traced edges says of the fitted axes with a part for what it cannot know:
bowing of the bone, blur, a neighbour's edge. The sizes of that second part (the constants here) were set on synthetic
limbs, as shares of the bone's own width; `tests.benchmarks.geometry` checks the coverage on others.
"""

import math
from dataclasses import dataclass
from typing import Final

from imaging.geometry.bands import bend_deg
from imaging.geometry.edges import Shaft
from imaging.geometry.ends import Ends
from imaging.results import Measurement

_Z90: Final = 1.645
_ANGLE_FLOOR_DEG: Final = 2.5
"""Standard deviation, degrees: bones bow by themselves."""
_BOWING_SHARE: Final = 0.35
"""How much of the difference between straight line and parabola counts as uncertainty."""
_DISPLACEMENT_FLOOR: Final = 0.045
"""Shares of the shaft's width, standard deviations."""
_WIDTH_FLOOR: Final = 0.05
_LENGTH_FLOOR: Final = 0.03
_OVERLAP_FLOOR: Final = 0.14

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragments:
    """Both fragments as lines with an end, window pixels."""

    first: Shaft
    second: Shaft
    ends: Ends
    centre: Point
    likeness: float
    """How much the two look like the fragments of the broken bone, to compare with rivals."""

    @property
    def end_points(self) -> tuple[Point, Point]:
        """Where each axis ends."""
        return self._end(self.first, self.ends.first), self._end(self.second, self.ends.second)

    def _end(self, shaft: Shaft, place: float) -> Point:
        turn = math.atan(shaft.axis.slope)
        across = shaft.axis.offset * math.cos(turn)
        return point(self.centre, shaft.direction, place, across)

    @property
    def bend(self) -> float:
        """Angle between the axes, degrees."""
        return bend_deg(self.first.direction, self.second.direction)

    @property
    def apart(self) -> float:
        """Offset of the axes at the ends, across the bone; signed."""
        (x1, y1), (x2, y2) = self.end_points
        angles = self.first.direction, self.second.direction + math.pi
        return sum(-(x2 - x1) * math.sin(a) + (y2 - y1) * math.cos(a) for a in angles) / 2.0

    @property
    def overlap(self) -> float:
        """How far the ends lie over each other along the bone; negative is a gap."""
        (x1, y1), (x2, y2) = self.end_points
        angles = self.first.direction, self.second.direction + math.pi
        return sum((x2 - x1) * math.cos(a) + (y2 - y1) * math.sin(a) for a in angles) / 2.0


def point(centre: Point, angle: float, along: float, across: float) -> Point:
    """The point at `along` in direction `angle` and `across` clockwise of it."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return centre[0] + along * cosine - across * sine, centre[1] + along * sine + across * cosine


def width(fragments: Fragments) -> Measurement:
    """Of the shaft at the fracture."""
    widths = [
        shaft.width_at(place)
        for shaft, place in (
            (fragments.first, fragments.ends.first),
            (fragments.second, fragments.ends.second),
        )
    ]
    value = (widths[0] + widths[1]) / 2.0
    return _around(value, math.hypot(_WIDTH_FLOOR * value, 0.3 * (widths[0] - widths[1])))


def angulation(fragments: Fragments) -> Measurement:
    """Angle between the axes, 0..90 degrees."""
    variance = _ANGLE_FLOOR_DEG**2
    for shaft in (fragments.first, fragments.second):
        bowing = _BOWING_SHARE * shaft.axis.bowing
        variance += math.degrees(1.0) ** 2 * (float(shaft.axis.covariance[1, 1]) + bowing**2)
    return _size(fragments.bend, math.sqrt(variance), most=90.0)


def displacement(fragments: Fragments, shaft_width: float) -> Measurement:
    """Absolute offset of the axes at the fracture."""
    variance = (_DISPLACEMENT_FLOOR * shaft_width) ** 2
    variance += fragments.first.axis.variance_at(fragments.ends.first)
    variance += fragments.second.axis.variance_at(fragments.ends.second)
    for shaft, place in ((fragments.first, fragments.ends.first), (fragments.second, fragments.ends.second)):
        variance += (_BOWING_SHARE * shaft.axis.bowing * 0.5 * (float(shaft.along[0]) - place)) ** 2
    variance += 0.5 * (fragments.ends.place_error * math.sin(math.radians(fragments.bend))) ** 2
    return _size(abs(fragments.apart), math.sqrt(variance))


def line_length(fragments: Fragments, shaft_width: Measurement) -> Measurement:
    """Straight length of the fracture line from edge to edge: the width divided by the cosine of the obliquity."""
    tangent, error = fragments.ends.obliquity, fragments.ends.obliquity_error
    secant = math.hypot(1.0, tangent)
    value = shaft_width.value * secant
    of_width = (shaft_width.high - shaft_width.low) / (2.0 * _Z90) * secant
    # Near a transverse line the length grows with the square of the tangent's error.
    of_lean = shaft_width.value * (abs(tangent) / secant * error + 0.5 * error**2)
    return _around(value, math.hypot(of_width, of_lean, _LENGTH_FLOOR * value), least=0.0)


def shortening(fragments: Fragments, shaft_width: float) -> Measurement:
    """Length over which the ends lie over each other; signed, negative for a gap."""
    deviation = math.hypot(_OVERLAP_FLOOR * shaft_width, fragments.ends.place_error * 0.5)
    value = fragments.overlap
    return Measurement(value=value, low=value - _Z90 * deviation, high=value + _Z90 * deviation)


def times(measurement: Measurement, factor: float) -> Measurement:
    """The same in another unit."""
    return Measurement(value=measurement.value * factor, low=measurement.low * factor, high=measurement.high * factor)


def share(part: Measurement, whole: Measurement) -> Measurement:
    """`part` in percent of `whole`, their errors taken as independent."""
    value = 100.0 * part.value / whole.value
    of_part = 100.0 * (part.high - part.value) / whole.value
    of_whole = value * (whole.high - whole.value) / whole.value
    reach = math.hypot(of_part, of_whole)
    return Measurement(value=value, low=max(value - reach, 0.0), high=value + reach)


def _around(value: float, deviation: float, least: float = 0.0) -> Measurement:
    return Measurement(value=value, low=max(value - _Z90 * deviation, least), high=value + _Z90 * deviation)


def _size(value: float, deviation: float, most: float = math.inf) -> Measurement:
    """A quantity without sign: the interval ends at 0."""
    value = min(value, most)
    return Measurement(value=value, low=max(value - _Z90 * deviation, 0.0), high=min(value + _Z90 * deviation, most))
