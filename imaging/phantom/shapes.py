"""Solids of the phantom and the length of the beam's path through them, in millimetres.

A limb lies in the plane z = 0, x to the right and y towards fingers or toes; the beam runs along z. The beam meets each
solid in a segment that is symmetrical about z = 0, so a path is known from its half length alone, and a fracture plane
that is tilted to the beam shortens it at one end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""[H, W] float32, millimetres unless said otherwise."""

_SAMPLES = 512


class Profile:
    """A smooth function on 0..1 through given knots."""

    def __init__(self, *knots: tuple[float, float], smooth: float = 0.03) -> None:
        """Interpolate `knots` (position, value) and round the corners over `smooth` of the range."""
        grid = np.linspace(-0.25, 1.25, _SAMPLES)
        positions, values = zip(*knots, strict=True)
        dense = np.interp(grid, positions, values)
        if smooth > 0:
            sigma = smooth / float(grid[1] - grid[0])
            reach = int(3.0 * sigma) + 1
            weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
            dense = np.convolve(np.pad(dense, reach, mode="edge"), weights / weights.sum(), mode="valid")
        self._grid, self._dense = grid.astype(np.float32), np.asarray(dense, dtype=np.float32)

    def __call__(self, position: Field) -> Field:
        """Values at `position` (0..1; constant beyond)."""
        return np.interp(position, self._grid, self._dense).astype(np.float32)

    def at(self, position: float) -> float:
        """Value at one position."""
        return float(np.interp(position, self._grid, self._dense))

    def slope(self, position: float) -> float:
        """Derivative at one position."""
        return (self.at(position + 0.01) - self.at(position - 0.01)) / 0.02

    def scaled(self, factor: float) -> "Profile":
        """The same profile times `factor`."""
        other = Profile.__new__(Profile)
        other._grid, other._dense = self._grid, self._dense * np.float32(factor)
        return other


def constant(value: float) -> Profile:
    """A profile with one value."""
    return Profile((0.0, value), (1.0, value), smooth=0.0)


@dataclass(frozen=True, kw_only=True)
class Cap:
    """How a bone ends: a surface ``t = slope * u + curve * u^2`` beyond the end point, rounded and with a shell."""

    slope: float = 0.0
    curve: float = -0.01
    """Per mm; negative is convex, positive a socket."""
    corner_mm: float = 0.0
    """How far the surface draws back at the bone's edges, beyond `curve`."""
    rounding_mm: float = 3.0
    shell_mm: float = 1.0
    """Thickness of the subchondral bone."""


@dataclass(frozen=True, kw_only=True)
class Paths:
    """What the beam meets in one bone, in mm."""

    cortical: Field
    cancellous: Field
    """Marrow space weighted with its share of bone."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One side of a fracture, in the bone's own coordinates: keep what lies before or behind the plane."""

    position_mm: float
    """Distance of the plane's centre from the bone's proximal end."""
    obliquity: float
    """Tangent of the obliquity."""
    tilt: float
    """Tangent of the tilt to the beam."""
    half_gap_mm: float
    teeth: Callable[[Field], Field]
    """Height of the fracture line's teeth, in mm, over u."""
    keep_proximal: bool

    def remaining(self, t: Field, u: Field, half: Field) -> Field:
        """Length of the segment -half..half of the beam at (t, u) that lies on the kept side."""
        beyond = t - (self.position_mm + u * self.obliquity + self.teeth(u))
        sign = 1.0 if self.keep_proximal else -1.0
        beyond = beyond * np.float32(sign) + np.float32(self.half_gap_mm)
        tilt = abs(self.tilt) + 1e-3
        # Kept is z > beyond / tilt; the mirror image for the other sign of the tilt has the same length.
        return np.clip(half - np.maximum(beyond / np.float32(tilt), -half), 0.0, 2.0 * half)


@dataclass(frozen=True, kw_only=True)
class Bone:
    """A long or short tubular bone with a straight chord, a bow, and an elliptic section."""

    name: str
    start: tuple[float, float]
    """Proximal end (x, y), mm."""
    end: tuple[float, float]
    """Distal end."""
    left: Profile
    """Half width on the side of negative u, mm."""
    right: Profile
    depth: Profile
    """Half depth along the beam, mm."""
    cortex: Profile
    """Thickness of the cortex, mm."""
    cancellous: Profile
    """Share of bone in the marrow space, 0..1."""
    bow: Profile
    """Deviation of the axis from the chord, mm."""
    proximal: Cap = Cap()
    distal: Cap = Cap()

    @cached_property
    def length_mm(self) -> float:
        """Length of the chord."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    @cached_property
    def direction(self) -> tuple[float, float]:
        """Unit vector from start to end."""
        return (self.end[0] - self.start[0]) / self.length_mm, (self.end[1] - self.start[1]) / self.length_mm

    def coordinates(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Along the chord (t) and across the bowed axis (u), in mm; u grows to the right of a bone that points down."""
        dx, dy = self.direction
        rx, ry = x - np.float32(self.start[0]), y - np.float32(self.start[1])
        t = rx * np.float32(dx) + ry * np.float32(dy)
        u = rx * np.float32(dy) - ry * np.float32(dx)
        return t, u - self.bow(t / np.float32(self.length_mm))

    def point(self, t: float, u: float) -> tuple[float, float]:
        """Where (t, u) lies, in limb millimetres."""
        dx, dy = self.direction
        across = u + self.bow.at(t / self.length_mm)
        return self.start[0] + t * dx + across * dy, self.start[1] + t * dy - across * dx

    def axis_slope(self, t: float) -> float:
        """Slope of the bowed axis against the chord at t."""
        return self.bow.slope(t / self.length_mm) / self.length_mm

    def axis_direction(self, t: float) -> tuple[float, float]:
        """Unit tangent of the bowed axis at t."""
        dx, dy = self.direction
        slope = self.axis_slope(t)
        norm = float(np.hypot(1.0, slope))
        return (dx + slope * dy) / norm, (dy - slope * dx) / norm

    def bounds(self, margin: float) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of a box that holds the bone."""
        reach = margin + max(float(self.left._dense.max()), float(self.right._dense.max()))
        reach += float(np.abs(self.bow._dense).max()) + 12.0
        xs, ys = (self.start[0], self.end[0]), (self.start[1], self.end[1])
        return min(xs) - reach, min(ys) - reach, max(xs) + reach, max(ys) + reach

    def paths(self, x: Field, y: Field, cuts: Sequence[Cut] = ()) -> Paths:
        """Path lengths through the bone, or through what `cuts` (at most one) leaves of it."""
        t, u = self.coordinates(x, y)
        position = t / np.float32(self.length_mm)
        width = np.where(u < 0, self.left(position), self.right(position))
        cortex = np.minimum(self.cortex(position), 0.98 * width)
        depth = self.depth(position)
        outer = depth * _half_chord(u, width) * self._ends(t, u, width, 0.0)
        inner_depth = np.maximum(depth - cortex, 0.0)
        inner = inner_depth * _half_chord(u, width - cortex) * self._ends(t, u, width, 1.0)
        inner = np.minimum(inner, outer)
        if cuts:
            full_outer, full_inner = cuts[0].remaining(t, u, outer), cuts[0].remaining(t, u, inner)
        else:
            full_outer, full_inner = 2.0 * outer, 2.0 * inner
        return Paths(cortical=full_outer - full_inner, cancellous=full_inner * self.cancellous(position))

    def _ends(self, t: Field, u: Field, width: Field, shells: float) -> Field:
        """1 inside, falling to 0 at both ends as a quarter circle does."""
        result = np.ones_like(t)
        edge = (u / np.maximum(width, np.float32(1e-3))) ** 4
        for cap, distance in ((self.proximal, t), (self.distal, np.float32(self.length_mm) - t)):
            surface = distance + cap.slope * u + cap.curve * u * u - cap.corner_mm * edge - shells * cap.shell_mm
            part = np.clip(surface / np.float32(cap.rounding_mm), 0.0, 1.0)
            result *= np.sqrt(1.0 - (1.0 - part) ** 2)
        return result


@dataclass(frozen=True, kw_only=True)
class Pebble:
    """A short irregular bone: an ellipsoid whose outline has a few lumps."""

    centre: tuple[float, float]
    across_mm: float
    """Half width before turning."""
    along_mm: float
    """Half length before turning."""
    depth_mm: float
    """Half depth along the beam."""
    turn_rad: float = 0.0
    """Positive turns clockwise in an image with y downwards."""
    lumps: tuple[tuple[int, float, float], ...] = ()
    """Waves of the outline: number per turn, share of the radius, phase."""
    squareness: float = 3.0
    """2 is an ellipsoid; more has steeper sides."""
    cortex_mm: float = 0.9
    cancellous_share: float = 0.24

    def bounds(self, margin: float) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 of a box that holds the bone."""
        reach = margin + max(self.across_mm, self.along_mm) * (1.0 + sum(abs(a) for _, a, _ in self.lumps))
        x, y = self.centre
        return x - reach, y - reach, x + reach, y + reach

    def paths(self, x: Field, y: Field, cuts: Sequence[Cut] = ()) -> Paths:
        """Path lengths through the bone; it cannot be cut."""
        rx, ry = x - np.float32(self.centre[0]), y - np.float32(self.centre[1])
        cosine, sine = np.float32(np.cos(self.turn_rad)), np.float32(np.sin(self.turn_rad))
        across = (cosine * rx + sine * ry) / np.float32(self.across_mm)
        along = (cosine * ry - sine * rx) / np.float32(self.along_mm)
        radius = np.sqrt(across**2 + along**2)
        if self.lumps:
            angle = np.arctan2(along, across)
            waves = sum(np.float32(a) * np.cos(np.float32(k) * angle + np.float32(p)) for k, a, p in self.lumps)
            radius = radius / (np.float32(1.0) + waves)
        thin = np.float32(max(1.0 - self.cortex_mm / min(self.across_mm, self.along_mm), 0.05))
        outer = np.float32(self.depth_mm) * np.sqrt(np.clip(1.0 - radius**self.squareness, 0.0, 1.0))
        inner_depth = np.float32(max(self.depth_mm - self.cortex_mm, 0.0))
        inner = inner_depth * np.sqrt(np.clip(1.0 - (radius / thin) ** self.squareness, 0.0, 1.0))
        inner = np.minimum(inner, outer)
        return Paths(
            cortical=(2.0 * (outer - inner)).astype(np.float32),
            cancellous=(2.0 * np.float32(self.cancellous_share) * inner).astype(np.float32),
        )


Solid = Bone | Pebble
"""Anything that adds bone to the beam's path."""


def _half_chord(u: Field, width: Field) -> Field:
    """sqrt(1 - (u / width)^2), 0 outside."""
    safe = np.maximum(width, np.float32(1e-3))
    return np.sqrt(np.clip(1.0 - (u / safe) ** 2, 0.0, 1.0)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class SoftPart:
    """A piece of soft tissue with a straight axis and an elliptic section: forearm, palm, finger."""

    start: tuple[float, float]
    end: tuple[float, float]
    left: Profile
    right: Profile
    depth: Profile
    """Half depth along the beam, mm."""
    distal_part: bool = True
    """Moves with the distal fragment as a whole; the limb's own part is bent instead."""

    def half_depth(self, x: Field, y: Field, shrink_mm: float, swelling: Field | None = None) -> Field:
        """Half the path through the part, its surface moved inwards by `shrink_mm`."""
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        length = float(np.hypot(dx, dy))
        dx, dy = dx / length, dy / length
        rx, ry = x - np.float32(self.start[0]), y - np.float32(self.start[1])
        t = rx * np.float32(dx) + ry * np.float32(dy)
        u = rx * np.float32(dy) - ry * np.float32(dx)
        position = t / np.float32(length)
        width: Field = np.where(u < 0, self.left(position), self.right(position)) - np.float32(shrink_mm)
        depth = self.depth(position) - np.float32(shrink_mm)
        if swelling is not None:
            width, depth = width + swelling, depth + np.float32(0.6) * swelling
        width, depth = np.maximum(width, np.float32(0.1)), np.maximum(depth, np.float32(0.0))
        beyond = np.maximum(np.maximum(-t, t - np.float32(length)), 0.0)
        rounding = np.maximum(np.minimum(width, depth * 2.0 + 1.0), 0.5)
        inside = 1.0 - (u / width) ** 2 - (beyond / rounding) ** 2
        return np.asarray(depth * np.sqrt(np.clip(inside, 0.0, 1.0)), dtype=np.float32)
