"""What both limbs are put together from: the model's shape, digits, and the bones beyond elbow or knee."""

from collections.abc import Sequence
from dataclasses import dataclass

from imaging.phantom.shapes import Bone, Cap, Profile, SoftPart, Solid, constant
from imaging.phantom.spec import PhantomBone


@dataclass(frozen=True, kw_only=True)
class LimbModel:
    """A limb in its rest position."""

    long_bones: dict[PhantomBone, Bone]
    proximal_bones: tuple[Solid, ...]
    """What begins beyond the elbow or knee; it does not move."""
    distal_bones: tuple[Solid, ...]
    """Carpus and hand, or ankle and foot: they follow the distal fragment."""
    soft: tuple[SoftPart, ...]
    """The limb's own envelope first."""
    centre: tuple[float, float]
    """What lies in the middle of the image unless asked otherwise, mm."""


@dataclass(frozen=True, kw_only=True)
class Ray:
    """A metacarpal or metatarsal and its phalanges."""

    base: tuple[float, float]
    head: tuple[float, float]
    phalanges: tuple[float, ...]
    """Lengths, mm."""
    lean: float
    """Sideways mm per mm of the digit."""
    width: float
    """Half width of the shaft of the first bone, mm."""


def digit_bones(rays: Sequence[Ray]) -> list[Bone]:
    bones = []
    for ray in rays:
        bones.append(_short_bone(ray.base, ray.head, ray.width, flare=1.85, cortex=2.1))
        for index, (start, end) in enumerate(_segments(ray)):
            last = index == len(ray.phalanges) - 1
            width = ray.width * (1.0, 0.86, 0.62)[min(index + (len(ray.phalanges) == 2 and last), 2)]
            bones.append(
                _short_bone(start, end, width, flare=1.7 if not last else 1.9, cortex=1.7 if not last else 1.1)
            )
    return bones


def _segments(ray: Ray) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Start and end of each phalanx; joints leave 1.5 mm."""
    x, y = ray.head
    across = ray.lean / (1.0 + ray.lean**2) ** 0.5
    along = 1.0 / (1.0 + ray.lean**2) ** 0.5
    result = []
    for length in ray.phalanges:
        start = (x + 1.5 * across, y + 1.5 * along)
        x, y = start[0] + length * across, start[1] + length * along
        result.append((start, (x, y)))
    return result


def digit_soft(ray: Ray, *, width: float, depth: float) -> SoftPart:
    end = _segments(ray)[-1][1]
    x, y = ray.head
    start = (x - 0.35 * (end[0] - x), y - 0.2 * (end[1] - y))
    tip = (end[0] + 1.5 * ray.lean, end[1] - 3.0)
    scale = 1.15 if ray.width > 4.5 else 1.0 if ray.width > 3.6 else 0.93
    sides = Profile(
        (0.0, 1.05 * width * scale), (0.4, width * scale), (0.9, 0.84 * width * scale), (1, 0.8 * width * scale)
    )
    return SoftPart(
        start=start,
        end=tip,
        left=sides,
        right=sides,
        depth=Profile((0.0, 1.1 * depth * scale), (0.5, depth * scale), (1.0, 0.72 * depth * scale)),
    )


def _short_bone(
    start: tuple[float, float], end: tuple[float, float], width: float, *, flare: float, cortex: float
) -> Bone:
    sides = Profile((0.0, width * flare), (0.08, width * flare * 0.97), (0.3, width * 1.06), (0.55, width * 0.95),
                    (0.76, width * 1.1), (0.88, width * (0.6 + 0.5 * flare)), (0.95, width * (0.55 + 0.5 * flare)),
                    (1.0, width * (0.5 + 0.4 * flare)))  # fmt: skip
    head = width * (0.55 + 0.5 * flare)
    return Bone(
        name="short",
        start=start,
        end=end,
        left=sides,
        right=sides,
        depth=sides.scaled(0.9),
        cortex=Profile((0.0, 0.7), (0.2, 0.7 * cortex), (0.5, cortex), (0.75, 0.7 * cortex), (1.0, 0.7)),
        cancellous=Profile((0.0, 0.22), (0.3, 0.1), (0.6, 0.06), (0.85, 0.16), (1.0, 0.22)),
        bow=constant(0.0),
        proximal=Cap(curve=0.4 / head, corner_mm=3.0, rounding_mm=2.2, shell_mm=0.9),
        distal=Cap(curve=-0.35 / head, corner_mm=1.5, rounding_mm=2.6, shell_mm=0.9),
    )


def proximal_bone(
    name: str, start: tuple[float, float], end: tuple[float, float], *, shaft: float, end_width: float, depth: float
) -> Bone:
    """Humerus or femur: a shaft that widens to its condyles."""
    sides = Profile(
        (0.0, shaft), (0.6, shaft), (0.85, 0.5 * (shaft + end_width)), (0.94, end_width), (1, 0.95 * end_width)
    )
    return Bone(
        name=name,
        start=start,
        end=end,
        left=sides,
        right=sides,
        depth=Profile((0.0, shaft), (0.7, shaft), (1.0, depth)),
        cortex=Profile((0.0, 4.0), (0.6, 3.5), (0.85, 1.5), (1.0, 1.0)),
        cancellous=Profile((0.0, 0.02), (0.6, 0.04), (1.0, 0.22)),
        bow=constant(0.0),
        distal=Cap(curve=0.001, corner_mm=9.0, rounding_mm=6.0, shell_mm=0.8),
    )
