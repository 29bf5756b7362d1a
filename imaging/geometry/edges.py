"""A fragment's two edges, followed row by row, and the axis half-way between them."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from imaging.geometry.bands import Band, clear_edges
from imaging.geometry.window import Image, Indices, Mask, Vector, Window

_STEP: Final = 0.5
"""Across the band, window pixels."""
_STRAYING: Final = 0.32
"""How far an edge may stray from the band's, in band widths."""
_LENGTH: Final = 1.8
"""Of the shaft that is followed, in band widths."""
_SLOPE_COST: Final = 0.06
_MIN_STRENGTH: Final = 0.13
"""Below this an edge counts as lost."""
_LOST_ROWS: Final = 7
_ITERATIONS: Final = 8
_FLANK: Final = 8
"""Columns looked at outside the steepest one."""
_FLANK_LEVEL: Final = 0.77
_MAX_SWELLING: Final = 0.3
"""Change of the width from the beginning of a shaft, in its share, beyond which it is no shaft any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """A straight line ``offset(t) = offset + slope * t`` in the coordinates of its band, with its uncertainty."""

    offset: float
    """At the box's centre, window pixels."""
    slope: float
    covariance: Vector
    """[2, 2] of offset and slope, from the residuals."""
    residual: float
    """Standard deviation of the edge's middle about the line, window pixels."""
    bowing: float
    """By how much a parabola would differ in slope at the fracture: what straightness does not know."""

    def at(self, t: float) -> float:
        """Offset at distance `t`."""
        return self.offset + self.slope * t

    def variance_at(self, t: float) -> float:
        """Of the offset at distance `t`."""
        direction = np.asarray((1.0, t))
        return float(direction @ self.covariance @ direction)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shaft:
    """One fragment: its band, its edges where they could be followed, and its axis."""

    band: Band
    along: Vector
    """[T] distances from the box's centre, window pixels."""
    left: Vector
    """[T] offsets of the edges."""
    right: Vector
    axis: Axis
    ragged: float
    """Standard deviation of the width about its trend, window pixels."""
    flare: float
    """Growth of the width per pixel along the shaft, away from the fracture."""

    @property
    def direction(self) -> float:
        """Of the axis away from the fracture, radians."""
        return self.band.angle + math.atan(self.axis.slope)

    @property
    def length(self) -> float:
        """Of the followed stretch, window pixels."""
        return float(self.along[-1] - self.along[0])

    def width_at(self, t: float) -> float:
        """Across the axis, at distance `t`; the first third of the stretch counts, levelled for flare."""
        near = max(len(self.along) // 2, 4)
        width = float(np.median(self.right[:near] - self.left[:near]))
        middle = float(np.median(self.along[:near]))
        return (width + self.flare * (t - middle)) * math.cos(math.atan(self.axis.slope))


def follow(window: Window, band: Band) -> Shaft | None:
    """The fragment in `band`, or None where its edges cannot be followed for long enough to have an axis."""
    along = np.arange(band.start, band.start + max(_LENGTH * band.width, band.end - band.start), 1.0)
    stray = max(_STRAYING * band.width, 4.0)
    shifts = np.arange(-stray, stray + _STEP, _STEP)
    strengths, inside = _strengths(window, band, along, shifts)
    rows = _leading(inside)
    if rows < 8:
        return None
    left, right = _paths(np.stack([strength[:rows] for strength in strengths], axis=1))
    values = [strength[np.arange(rows), path] for strength, path in zip(strengths, (left, right), strict=True)]
    weaker = np.minimum(values[0], values[1])
    kept = _kept(weaker)
    if kept < 8:
        return None
    left_edge = band.left + _refined(strengths[0][:kept], left[:kept], shifts, -1)
    right_edge = band.right + _refined(strengths[1][:kept], right[:kept], shifts, 1)
    kept = _alike(right_edge - left_edge)
    return _shaft(band, along[:kept], left_edge[:kept], right_edge[:kept])


def _strengths(window: Window, band: Band, along: Vector, shifts: Vector) -> tuple[tuple[Image, Image], Mask]:
    """Of the left and the right edge, [T, len(shifts)] each, and which rows lie inside the picture."""
    found, inside = [], np.ones(len(along), dtype=np.bool_)
    for offset, sign in ((band.left, 1.0), (band.right, -1.0)):
        padded = np.concatenate(([shifts[0] - _STEP], shifts, [shifts[-1] + _STEP])) + offset
        values, within = window.sample(band.angle, along, padded)
        found.append(np.float32(sign) * clear_edges(values, window.edge, _STEP)[:, 1:-1])
        inside &= within
    return (found[0], found[1]), inside


def _leading(inside: Mask) -> int:
    """How many rows from the start lie inside."""
    outside = np.flatnonzero(~inside)
    return int(outside[0]) if len(outside) else len(inside)


def _paths(strength: Image) -> tuple[Indices, Indices]:
    """The column of both edges in each row: most strength in all, least bending (dynamic programming).

    Args:
        strength: [T, 2, columns].
    """
    rows, edges, columns = strength.shape
    back = np.zeros((rows, edges, columns), dtype=np.int64)
    total = strength[0].astype(np.float64)
    options = np.full((3, edges, columns), -np.inf)
    for row in range(1, rows):
        options[0, :, 1:] = total[:, :-1] - _SLOPE_COST
        options[1] = total
        options[2, :, :-1] = total[:, 1:] - _SLOPE_COST
        back[row] = options.argmax(axis=0)
        total = options.max(axis=0) + strength[row]
    path = np.zeros((rows, edges), dtype=np.int64)
    path[-1] = total.argmax(axis=1)
    both = np.arange(edges)
    for row in range(rows - 1, 0, -1):
        path[row - 1] = path[row] + back[row, both, path[row]] - 1
    return path[:, 0], path[:, 1]


def _refined(strength: Image, path: Indices, shifts: Vector, outward: int) -> Vector:
    """Shift of the edge in each row, between the columns: where the change has fallen to a share of its top.

    A round bone grows thick so quickly behind its outline that the steepest place lies inside the outline, by more the
    more the picture is blurred; the outer flank of the change lies on it.
    """
    rows = np.arange(len(path))
    change = np.clip(strength / (1.0 - np.clip(strength, 0.0, 0.95)), 0.0, None).astype(np.float64)
    path = _tops(change, path)
    # [T, 1 + _FLANK]: the change at the top and at each step outwards.
    steps = path[:, None] + outward * np.arange(_FLANK + 1)
    flank = change[rows[:, None], np.clip(steps, 0, strength.shape[1] - 1)]
    level = _FLANK_LEVEL * flank[:, 0]
    crossed = flank[:, 1:] <= level[:, None]
    step = crossed.argmax(axis=1)
    before, here = flank[rows, step], flank[rows, step + 1]
    part = np.clip((before - level) / np.maximum(before - here, 1e-9), 0.0, 1.0)
    outside = np.where(crossed.any(axis=1), step + part, 2.0)
    return np.asarray(shifts[path] + outward * _STEP * outside, dtype=np.float64)


def _tops(change: Vector, path: Indices) -> Indices:
    """The nearest top of the change within two columns of the path, in each row."""
    padded = np.pad(change, ((0, 0), (2, 2)), constant_values=-1.0)
    near = padded[np.arange(len(path))[:, None], path[:, None] + np.arange(5)]
    return np.asarray(path - 2 + near.argmax(axis=1), dtype=np.int64)


def _kept(strength: Vector) -> int:
    """How many rows from the start until the edge is lost."""
    running = np.convolve(strength, np.ones(_LOST_ROWS) / _LOST_ROWS, mode="valid")
    lost = np.flatnonzero(running < _MIN_STRENGTH)
    return int(lost[0]) if len(lost) else len(strength)


def _alike(widths: Vector) -> int:
    """How many rows from the start until the bone has become much wider or narrower: its end, or another bone."""
    usual = float(np.median(widths[: max(len(widths) // 4, 8)]))
    running = np.convolve(widths, np.ones(_LOST_ROWS) / _LOST_ROWS, mode="valid")
    other = np.flatnonzero(np.abs(running - usual) > _MAX_SWELLING * usual)
    return max(int(other[0]) + _LOST_ROWS // 2, 8) if len(other) else len(widths)


def _shaft(band: Band, along: Vector, left: Vector, right: Vector) -> Shaft:
    trend = _robust_line(along, right - left)[0]
    return Shaft(
        band=band,
        along=along,
        left=left,
        right=right,
        axis=fit_axis(along, (left + right) / 2.0),
        ragged=float(np.std(right - left - trend[0] - trend[1] * along)),
        flare=float(trend[1]),
    )


def fit_axis(along: Vector, middle: Vector) -> Axis:
    """A straight line through `middle` (Tukey's biweight), with the correlation of neighbouring rows allowed for."""
    values, weights = _robust_line(along, middle)
    residuals = middle - values[0] - values[1] * along
    used = weights > 0.05
    kept = residuals[used]
    deviation = float(np.sqrt(np.mean(kept**2)))
    correlation = float(np.clip(np.mean(kept[1:] * kept[:-1]) / max(np.mean(kept**2), 1e-9), 0.0, 0.95))
    design = np.stack((np.ones_like(along), along), axis=1) * np.sqrt(weights)[:, None]
    factor = deviation**2 * (1.0 + correlation) / (1.0 - correlation)
    covariance = factor * np.linalg.pinv(design.T @ design)
    centred = along[used] - along[used].mean()
    parabola = np.polyfit(centred, middle[used], 2)
    return Axis(
        offset=float(values[0]),
        slope=float(values[1]),
        covariance=covariance,
        residual=deviation,
        bowing=float(2.0 * parabola[0] * (along[0] - along[used].mean())),
    )


def _robust_line(along: Vector, values: Vector) -> tuple[Vector, Vector]:
    """(offset, slope) and the weights, by iteratively reweighted least squares with Tukey's biweight."""
    middle = float(along.mean())
    centred = along - middle
    # Their products with the squared weights are all that the normal equations of a line need.
    terms = np.stack((np.ones_like(along), centred, centred * centred, values, centred * values))
    weights: Vector = np.ones_like(along)
    offset = slope = 0.0
    for _ in range(_ITERATIONS):
        count, first, second, total, moment = (terms @ (weights * weights)).tolist()
        slope = (count * moment - first * total) / max(count * second - first * first, 1e-9)
        offset = (total - slope * first) / count
        residuals = values - offset - slope * centred
        scale = max(1.4826 * _median(np.abs(residuals)), 0.15)
        weights = np.clip(1.0 - (residuals / (4.685 * scale)) ** 2, 0.0, None)
    return np.asarray((offset - slope * middle, slope)), weights**2


def _median(values: Vector) -> float:
    """Of at least one value; without the checks that make NumPy's five times slower on a hundred of them."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2.0
