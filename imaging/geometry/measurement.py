"""From a radiograph and a detection's box to the geometry of the fracture."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imaging.geometry import quantities
from imaging.geometry.bands import Pair, find_bands
from imaging.geometry.edges import Shaft, follow
from imaging.geometry.ends import find_ends
from imaging.geometry.quantities import Fragments, point
from imaging.geometry.window import Window, open_window
from imaging.results import BoxPx, FractureGeometry, Measurement, PixelSpacing, PointPx, SpacingOrigin

QUANTITIES: Final = ("line_length", "shaft_width", "displacement", "angulation", "shortening")
"""Names of the quantities in `FractureGeometry.not_measured`; ``millimetres`` stands there for all lengths in mm."""

NOT_AMONG_BEST: Final = "imaging.geometry.not_among_best"
"""Reason for a box that nobody tried to measure, because others matter more."""

_MIN_EDGE: Final = 0.012
"""Grey levels per pixel of the clearest edges: below, nothing can be traced."""
_MIN_EDGE_OVER_NOISE: Final = 2.0
_END_WEIGHT: Final = 1.0
"""How much an end inside the box speaks for a bone to be the broken one, beside its edges."""
_MAX_RESIDUAL: Final = 0.05
"""Scatter of an axis about its line, in shaft widths."""
_MAX_RAGGED: Final = 0.08
"""Scatter of the width about its trend, in shaft widths."""
_MIN_WIDTH_PX: Final = 8.0
"""Of a bone, in pixels of the radiograph: narrower ones show too little."""
_MIN_SHELL: Final = 0.5
"""Brightness right behind each edge, as a share of the brightest in the bone; behind the skin lies flesh."""
_MIN_UNEVENNESS: Final = 0.018
"""A nail or plate is evenly bright across; in a bone the cortex stands out, or its roundness. In contrasts."""
_MIN_UNEVENNESS_BRIGHT: Final = 0.06
"""The same per grey level of contrast: metal stands out more than bone."""
_MAX_FLARE: Final = 0.75
_MAX_WIDTH_RATIO: Final = 1.5
"""Of the two fragments: beyond it they are different bones, or not the edges of one."""
_MIN_LENGTH: Final = 0.55
"""Of the followed stretch for an axis, in widths."""
_MAX_ANGLE_REACH_DEG: Final = 8.0
"""Half the interval of the angulation beyond which the axes, and all that rests on them, are too uncertain."""
_MAX_DISPLACEMENT_REACH: Final = 0.3
"""The same of the displacement, in shaft widths, for the displacement alone."""
_MIN_BAYONET: Final = 0.45
"""Displacement, in shaft widths, from which fragments can pass each other."""


def measure(pixels: NDArray[np.float32], box: BoxPx, spacing: PixelSpacing | None) -> FractureGeometry:
    """Measure the fracture in `box` from the edges of the bone around it.

    Args:
        pixels: [H, W], 0..1, bone bright: the radiograph as stored.
        box: Where the detector sees a fracture, in pixels of `pixels`.
        spacing: Millimetres per pixel. Lengths in mm are given only if its origin is CALIBRATED.

    Returns:
        What could be measured, with 90 % intervals, and reasons for the rest. Points are in pixels of `pixels`.

    Raises:
        ValueError: `pixels` is not a single grey image.
    """
    if pixels.ndim != 2:
        raise ValueError("pixels must have the shape [H, W]")
    window = open_window(pixels, box)
    if window is None:
        return _refusal("imaging.geometry.box_too_small")
    if window.edge < max(_MIN_EDGE, _MIN_EDGE_OVER_NOISE * window.noise):
        return _refusal("imaging.geometry.low_contrast")
    pairs, single = find_bands(window)
    if single is None:
        return _refusal("imaging.geometry.no_edges")
    if not pairs:
        shaft = follow(window, single)
        if shaft is None:
            return _refusal("imaging.geometry.no_edges")
        return _refusal("imaging.geometry.one_fragment", window, [shaft])
    looked = [_look(window, pair) for pair in pairs]
    fits = [found for found in looked if isinstance(found, Fragments)]
    if fits:
        return _geometry(window, max(fits, key=lambda found: found.likeness), spacing)
    return next(found for found in looked if isinstance(found, FractureGeometry))


def not_measured(reason: str) -> FractureGeometry:
    """The geometry of a fracture that nobody tried to measure.

    Args:
        reason: Code of `imaging.warnings` that stands beside every quantity.
    """
    return _refusal(reason)


def _look(window: Window, pair: Pair) -> Fragments | FractureGeometry:
    """The fragments of a pair of bands, or the refusal that it earns."""
    first, second = follow(window, pair.first), follow(window, pair.second)
    if first is None or second is None:
        found = [shaft for shaft in (first, second) if shaft is not None]
        return _refusal("imaging.geometry.one_fragment" if found else "imaging.geometry.no_edges", window, found)
    reason = _unfit(window, first, second)
    if reason is not None:
        return _refusal(reason, window, [first, second])
    ends = find_ends(window, first, second)
    return Fragments(
        first=first,
        second=second,
        ends=ends,
        centre=window.centre,
        likeness=pair.score + _END_WEIGHT * ends.evidence,
    )


def _unfit(window: Window, first: Shaft, second: Shaft) -> str | None:
    """Why these two are not the shafts of one bone."""
    for shaft in (first, second):
        width = shaft.width_at(float(shaft.along[0]))
        if width < _MIN_WIDTH_PX * window.scale:
            return "imaging.geometry.too_narrow"
        if (
            shaft.ragged > _MAX_RAGGED * width + 0.3
            or abs(shaft.flare) > _MAX_FLARE
            or shaft.axis.residual > _MAX_RESIDUAL * width + 0.3
        ):
            return "imaging.geometry.not_a_shaft"
        if shaft.length < _MIN_LENGTH * width:
            return "imaging.geometry.too_short"
        unlike = _look_like_bone(window, shaft)
        if unlike is not None:
            return unlike
    widths = [shaft.width_at(float(shaft.along[0])) for shaft in (first, second)]
    if max(widths) > _MAX_WIDTH_RATIO * min(widths):
        return "imaging.geometry.unlike_widths"
    return None


def _look_like_bone(window: Window, shaft: Shaft) -> str | None:
    """What the brightness across the followed stretch says against a bone."""
    shares = np.linspace(-0.25, 1.25, 31)
    across = shaft.left[:, None] + (shaft.right - shaft.left)[:, None] * shares[None, :]
    values, _ = window.sample(shaft.band.angle, shaft.along, across)
    profile = values.mean(axis=0)
    within = profile[(shares > 0.0) & (shares < 1.0)]
    sides = profile[shares < -0.08].mean(), profile[shares > 1.08].mean()
    top = float(np.percentile(within, 90.0))
    shells = [
        (float(part.max()) - float(side)) / max(top - float(side), 1e-6)
        for part, side in zip((within[:3], within[-3:]), sides, strict=True)
    ]
    if min(shells) < _MIN_SHELL:
        return "imaging.geometry.not_a_shaft"
    core = profile[(shares > 0.2) & (shares < 0.8)]
    contrast = float(core.mean()) - float(np.mean(sides))
    if float(core.std()) < max(_MIN_UNEVENNESS, _MIN_UNEVENNESS_BRIGHT * contrast) * contrast:
        return "imaging.geometry.hardware"
    return None


def _geometry(window: Window, fragments: Fragments, spacing: PixelSpacing | None) -> FractureGeometry:
    refused: dict[str, str] = {}
    width = quantities.width(fragments)
    angulation = quantities.angulation(fragments)
    if _reach(angulation) > _MAX_ANGLE_REACH_DEG:
        return _refusal("imaging.geometry.too_uncertain", window, [fragments.first, fragments.second])
    offset = quantities.displacement(fragments, width.value)
    displacement = offset if _reach(offset) <= _MAX_DISPLACEMENT_REACH * width.value else None
    if displacement is None:
        refused["displacement"] = "imaging.geometry.too_uncertain"
    length = quantities.line_length(fragments, width) if fragments.ends.clear else None
    if length is None:
        refused["line_length"] = "imaging.geometry.no_line"
    overlap = quantities.shortening(fragments, width.value)
    passed = displacement is not None and displacement.value > _MIN_BAYONET * width.value
    shortening = overlap if passed and fragments.ends.clear and overlap.low > 0.0 else None
    if shortening is None:
        refused["shortening"] = "imaging.geometry.no_overlap"
    millimetres = _millimetres_per_pixel(spacing)
    if millimetres is None:
        refused["millimetres"] = "imaging.geometry.no_calibrated_spacing"

    def px(measurement: Measurement | None) -> Measurement | None:
        return None if measurement is None else quantities.times(measurement, 1.0 / window.scale)

    def mm(measurement: Measurement | None) -> Measurement | None:
        if measurement is None or millimetres is None:
            return None
        return quantities.times(measurement, millimetres / window.scale)

    return FractureGeometry(
        line_length_px=px(length),
        line_length_mm=mm(length),
        shaft_width_px=px(width),
        shaft_width_mm=mm(width),
        displacement_px=px(displacement),
        displacement_mm=mm(displacement),
        displacement_percent=None if displacement is None else quantities.share(displacement, width),
        angulation_deg=angulation,
        shortening_px=px(shortening),
        shortening_mm=mm(shortening),
        not_measured=tuple(sorted(refused.items())),
        axes=_axes(window, fragments),
        edges=_edges(window, (fragments.first, fragments.second)),
        line=_line(window, fragments, width.value) if length is not None else (),
    )


def _refusal(reason: str, window: Window | None = None, shafts: list[Shaft] | None = None) -> FractureGeometry:
    return FractureGeometry(
        not_measured=tuple((name, reason) for name in sorted(QUANTITIES)),
        edges=_edges(window, tuple(shafts)) if window is not None and shafts else (),
    )


def _reach(measurement: Measurement) -> float:
    return measurement.high - measurement.value


def _millimetres_per_pixel(spacing: PixelSpacing | None) -> float | None:
    if spacing is None or spacing.origin is not SpacingOrigin.CALIBRATED:
        return None
    return math.sqrt(spacing.row_mm * spacing.column_mm)


def _place(window: Window, angle: float, along: float, across: float) -> PointPx:
    x, y = window.to_radiograph(*point(window.centre, angle, along, across))
    return PointPx(x=x, y=y)


def _axes(window: Window, fragments: Fragments) -> tuple[tuple[PointPx, PointPx], ...]:
    axes = []
    for shaft, place in ((fragments.first, fragments.ends.first), (fragments.second, fragments.ends.second)):
        turn = math.atan(shaft.axis.slope)
        across = shaft.axis.offset * math.cos(turn)
        far = float(shaft.along[-1]) / math.cos(turn)
        axes.append((_place(window, shaft.direction, far, across), _place(window, shaft.direction, place, across)))
    return tuple(axes)


def _edges(window: Window, shafts: tuple[Shaft, ...]) -> tuple[tuple[PointPx, ...], ...]:
    return tuple(
        tuple(
            _place(window, shaft.band.angle, float(t), float(u))
            for t, u in zip(shaft.along[::3], edge[::3], strict=True)
        )
        for shaft in shafts
        for edge in (shaft.left, shaft.right)
    )


def _line(window: Window, fragments: Fragments, width: float) -> tuple[PointPx, ...]:
    """The first fragment's end, from edge to edge."""
    shaft, ends = fragments.first, fragments.ends
    across = shaft.axis.offset * math.cos(math.atan(shaft.axis.slope))
    return tuple(
        _place(window, shaft.direction, ends.first + ends.obliquity * half, across + half)
        for half in (-width / 2.0, width / 2.0)
    )
