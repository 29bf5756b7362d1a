"""Breaking a bone: the cut that leaves two fragments, the rigid motion of the distal one, and what is then true."""

import math
from dataclasses import dataclass

import numpy as np

from imaging.phantom.shapes import Bone, Cut, Field, Pebble
from imaging.phantom.spec import FractureSpec, FractureTruth, PointPx
from imaging.results import BoxPx

_BOX_MARGIN_MM = 3.0
_AXIS_MM = 40.0

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class RigidMotion:
    """A turn about `pivot` followed by a shift, in limb millimetres."""

    pivot: Point
    angle_rad: float
    """Positive is clockwise in an image with y downwards."""
    shift: Point

    def point(self, point: Point) -> Point:
        """Where a point of the unbroken limb comes to lie."""
        cosine, sine = math.cos(self.angle_rad), math.sin(self.angle_rad)
        x, y = point[0] - self.pivot[0], point[1] - self.pivot[1]
        return (
            self.pivot[0] + self.shift[0] + cosine * x - sine * y,
            self.pivot[1] + self.shift[1] + sine * x + cosine * y,
        )

    def direction(self, direction: Point) -> Point:
        """How a direction turns."""
        cosine, sine = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return cosine * direction[0] - sine * direction[1], sine * direction[0] + cosine * direction[1]

    def inverse(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Which points of the unbroken limb came to lie at (x, y)."""
        cosine, sine = np.float32(math.cos(self.angle_rad)), np.float32(math.sin(self.angle_rad))
        rx = x - np.float32(self.pivot[0] + self.shift[0])
        ry = y - np.float32(self.pivot[1] + self.shift[1])
        return (
            np.float32(self.pivot[0]) + cosine * rx + sine * ry,
            np.float32(self.pivot[1]) - sine * rx + cosine * ry,
        )


@dataclass(frozen=True, kw_only=True)
class Break:
    """A fracture placed on its bone."""

    spec: FractureSpec
    bone: Bone
    position_mm: float
    """Of the fracture's centre, from the proximal end."""
    centre: Point
    motion: RigidMotion
    cuts: tuple[Cut, Cut]
    """Proximal, distal."""
    shards: tuple[Pebble, ...]


def break_bone(bone: Bone, spec: FractureSpec, rng: np.random.Generator) -> Break:
    """Place the fracture `spec` on `bone`."""
    position = min(max(bone.length_mm - spec.height_mm, 0.1 * bone.length_mm), bone.length_mm - 8.0)
    centre = bone.point(position, 0.0)
    along = bone.axis_direction(position)
    across = (along[1], -along[0])
    shift = (
        spec.displacement_mm * across[0] - spec.shortening_mm * along[0],
        spec.displacement_mm * across[1] - spec.shortening_mm * along[1],
    )
    motion = RigidMotion(pivot=centre, angle_rad=math.radians(spec.angulation_deg), shift=shift)
    grid, heights = _teeth(rng, spec.roughness_mm)
    slope = bone.axis_slope(position)
    tilt = math.tan(math.radians(spec.depth_tilt_deg))

    def teeth(u: Field) -> Field:
        return np.interp(u, grid, heights).astype(np.float32)

    proximal, distal = (
        Cut(
            position_mm=position,
            # From an angle to the bowed axis to one in the bone's coordinates, which are sheared along the bow.
            obliquity=(math.tan(math.radians(spec.obliquity_deg)) - slope) / (1.0 + slope**2),
            tilt=tilt,
            half_gap_mm=spec.gap_mm / 2.0,
            teeth=teeth,
            keep_proximal=keep,
        )
        for keep in (True, False)
    )
    return Break(
        spec=spec,
        bone=bone,
        position_mm=position,
        centre=centre,
        motion=motion,
        cuts=(proximal, distal),
        shards=_shards(rng, spec.fragments, centre, _width(bone, position)),
    )


def _width(bone: Bone, position: float) -> float:
    """Width across the axis, mm."""
    across = bone.left.at(position / bone.length_mm) + bone.right.at(position / bone.length_mm)
    return across / math.hypot(1.0, bone.axis_slope(position))


def _teeth(rng: np.random.Generator, height_mm: float) -> tuple[Field, Field]:
    """A jagged line over u, -60..60 mm, of zero mean near the axis."""
    steps = np.cumsum(rng.uniform(0.7, 2.6, size=120))
    grid = (steps - steps[60]).astype(np.float32)
    heights = rng.normal(0.0, 0.5, size=120) * np.where(np.arange(120) % 2 == 0, 1.0, -0.6)
    heights += 0.6 * np.interp(np.arange(120), np.arange(0, 120, 6), rng.normal(0.0, 0.6, size=20))
    return grid, (heights * height_mm).astype(np.float32)


def _shards(rng: np.random.Generator, count: int, centre: Point, width: float) -> tuple[Pebble, ...]:
    """Loose pieces of cortex around the fracture."""
    shards = []
    for _ in range(count):
        angle = rng.uniform(0.0, 2.0 * math.pi)
        reach = rng.uniform(0.3, 0.7) * width
        shards.append(
            Pebble(
                centre=(centre[0] + reach * math.cos(angle), centre[1] + 0.6 * reach * math.sin(angle)),
                across_mm=float(rng.uniform(0.8, 1.7)),
                along_mm=float(rng.uniform(1.8, 4.2)),
                depth_mm=float(rng.uniform(1.2, 2.4)),
                turn_rad=float(rng.uniform(0.0, math.pi)),
                lumps=((3, 0.15, float(rng.uniform(0.0, 6.0))), (4, 0.1, float(rng.uniform(0.0, 6.0)))),
                cortex_mm=5.0,
                cancellous_share=0.0,
            )
        )
    return tuple(shards)


def crack_ends(broken: Break) -> tuple[Point, Point]:
    """Where the fracture line meets the two cortices, as (t, u) of the bone, without the teeth."""
    bone, slope = broken.bone, broken.cuts[0].obliquity
    ends = []
    for side, profile in ((-1.0, bone.left), (1.0, bone.right)):
        t = broken.position_mm
        for _ in range(12):  # fixed point: the width changes slowly along the bone
            u = side * profile.at(t / bone.length_mm)
            t = broken.position_mm + u * slope
        ends.append((t, u))
    return ends[0], ends[1]


def truth(broken: Break, to_px: "Placement") -> FractureTruth:
    """What is true of the fracture in the finished image."""
    spec, bone, motion = broken.spec, broken.bone, broken.motion
    left, right = crack_ends(broken)
    half_gap = spec.gap_mm / 2.0
    width = _width(bone, broken.position_mm)
    reach = bone.depth.at(broken.position_mm / bone.length_mm) * abs(math.tan(math.radians(spec.depth_tilt_deg)))
    outline = [left, right, (broken.position_mm - reach, 0.0), (broken.position_mm + reach, 0.0)]
    corners = [bone.point(t - half_gap, u) for t, u in outline]
    corners += [motion.point(bone.point(t + half_gap, u)) for t, u in outline]
    along = bone.axis_direction(broken.position_mm)
    moved_centre, moved_along = motion.point(broken.centre), motion.direction(along)
    down = min(_AXIS_MM, bone.length_mm - broken.position_mm)
    return FractureTruth(
        bone=spec.bone,
        box=_box([to_px(point) for point in corners], _BOX_MARGIN_MM / to_px.spacing_mm),
        crack_px=tuple(to_px(bone.point(t - half_gap, u)) for t, u in (left, right)),
        crack_length_mm=math.dist(bone.point(*left), bone.point(*right)),
        bone_width_mm=width,
        displacement_mm=abs(spec.displacement_mm),
        displacement_percent=100.0 * abs(spec.displacement_mm) / width,
        angulation_deg=abs(spec.angulation_deg),
        shortening_mm=spec.shortening_mm,
        gap_mm=spec.gap_mm,
        overlap_mm=spec.shortening_mm - spec.gap_mm,
        obliquity_deg=abs(spec.obliquity_deg),
        fragments=spec.fragments,
        proximal_axis_px=(to_px(_along(broken.centre, along, -_AXIS_MM)), to_px(broken.centre)),
        distal_axis_px=(to_px(moved_centre), to_px(_along(moved_centre, moved_along, down))),
    )


def _along(start: Point, direction: Point, distance: float) -> Point:
    return start[0] + distance * direction[0], start[1] + distance * direction[1]


def _box(points: list[PointPx], margin: float) -> BoxPx:
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return BoxPx(x1=min(xs) - margin, y1=min(ys) - margin, x2=max(xs) + margin, y2=max(ys) + margin)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Limb millimetres to image pixels and back: mirror, turn, scale, shift."""

    spacing_mm: float
    mirrored: bool
    angle_rad: float
    centre_mm: Point
    """The limb point at `centre_px`."""
    centre_px: PointPx

    def __call__(self, point: Point) -> PointPx:
        """Pixel position of a limb point."""
        x = (point[0] - self.centre_mm[0]) * (-1.0 if self.mirrored else 1.0)
        y = point[1] - self.centre_mm[1]
        cosine, sine = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return (
            self.centre_px[0] + (cosine * x - sine * y) / self.spacing_mm,
            self.centre_px[1] + (sine * x + cosine * y) / self.spacing_mm,
        )

    def to_limb(self, x_px: Field, y_px: Field) -> tuple[Field, Field]:
        """Limb points at pixel positions."""
        dx = (x_px - np.float32(self.centre_px[0])) * np.float32(self.spacing_mm)
        dy = (y_px - np.float32(self.centre_px[1])) * np.float32(self.spacing_mm)
        cosine, sine = np.float32(math.cos(self.angle_rad)), np.float32(math.sin(self.angle_rad))
        x, y = cosine * dx + sine * dy, -sine * dx + cosine * dy
        return (-x if self.mirrored else x) + np.float32(self.centre_mm[0]), y + np.float32(self.centre_mm[1])
