"""The forearm, wrist and hand of an average adult, right side, seen from the back of the hand.

Millimetres; the origin is the wrist joint, y runs towards the fingers, x towards the thumb.
"""

from functools import cache

from imaging.phantom.parts import LimbModel, Ray, digit_bones, digit_soft, proximal_bone
from imaging.phantom.shapes import Bone, Cap, Pebble, Profile, SoftPart, Solid
from imaging.phantom.spec import PhantomBone

_HAND_RAYS = (
    Ray(base=(26.0, 30.5), head=(45.0, 71.0), phalanges=(32.0, 23.0), lean=0.34, width=4.6),
    Ray(base=(12.5, 32.5), head=(23.0, 101.0), phalanges=(40.0, 24.0, 18.0), lean=0.1, width=3.9),
    Ray(base=(2.0, 33.5), head=(4.0, 101.0), phalanges=(44.0, 28.0, 19.0), lean=0.02, width=3.9),
    Ray(base=(-8.0, 33.5), head=(-14.0, 94.0), phalanges=(41.0, 27.0, 19.0), lean=-0.06, width=3.4),
    Ray(base=(-16.5, 32.0), head=(-30.0, 87.0), phalanges=(33.0, 20.0, 17.0), lean=-0.16, width=3.4),
)


@cache
def forearm() -> LimbModel:
    """The limb in its rest position."""
    radius = Bone(
        name="radius",
        start=(4.0, -238.0),
        end=(9.0, -2.0),
        left=Profile(
            (0.0, 11.0),
            (0.04, 10.5),
            (0.09, 6.5),
            (0.2, 7.2),
            (0.5, 6.6),
            (0.72, 6.8),
            (0.81, 7.8),
            (0.88, 10),
            (0.94, 13.2),
            (1, 15.2),
        ),
        right=Profile(
            (0.0, 11.0),
            (0.04, 10.5),
            (0.09, 6.5),
            (0.2, 6.8),
            (0.5, 6.4),
            (0.72, 7),
            (0.81, 8.2),
            (0.88, 10.5),
            (0.94, 13.6),
            (1, 15.6),
        ),
        depth=Profile((0.0, 10.5), (0.09, 6.0), (0.5, 5.8), (0.78, 6.5), (0.92, 10.0), (1.0, 10.5)),
        cortex=Profile((0.0, 0.9), (0.1, 2.2), (0.3, 3.4), (0.6, 3.3), (0.78, 2.2), (0.9, 1.0), (1.0, 0.7)),
        cancellous=Profile((0.0, 0.22), (0.15, 0.1), (0.35, 0.02), (0.6, 0.02), (0.8, 0.1), (0.92, 0.2), (1.0, 0.24)),
        bow=Profile((0.0, 0.0), (0.15, 3.0), (0.45, 8.5), (0.7, 7.0), (0.88, 2.0), (1.0, 0.0), smooth=0.08),
        proximal=Cap(curve=0.004, rounding_mm=2.0),
        distal=Cap(slope=0.34, curve=0.014, corner_mm=5.0, rounding_mm=2.5, shell_mm=0.8),
    )
    ulna = Bone(
        name="ulna",
        start=(-7.0, -264.0),
        end=(-14.0, -5.0),
        left=Profile(
            (0.0, 11.0), (0.12, 12.0), (0.22, 8.0), (0.45, 6.4), (0.75, 5.6), (0.89, 5.2), (0.95, 6.6), (1, 7.8)
        ),
        right=Profile(
            (0.0, 10.0), (0.12, 11.5), (0.22, 8.0), (0.45, 6.4), (0.75, 5.6), (0.89, 5.2), (0.95, 6.6), (1, 7.4)
        ),
        depth=Profile((0.0, 13.0), (0.14, 13.0), (0.25, 8.0), (0.5, 6.6), (0.9, 5.2), (1.0, 7.0)),
        cortex=Profile((0.0, 1.2), (0.15, 2.0), (0.35, 3.3), (0.6, 3.2), (0.8, 2.3), (0.93, 1.0), (1.0, 0.8)),
        cancellous=Profile((0.0, 0.2), (0.2, 0.12), (0.4, 0.03), (0.7, 0.03), (0.9, 0.14), (1.0, 0.22)),
        bow=Profile((0.0, 0.0), (0.3, -3.0), (0.6, -2.0), (0.85, 0.5), (1.0, 0.0), smooth=0.08),
        proximal=Cap(curve=-0.02, rounding_mm=8.0),
        distal=Cap(slope=-0.22, curve=0.03, corner_mm=3.5, rounding_mm=3.0, shell_mm=0.8),
    )
    return LimbModel(
        long_bones={PhantomBone.RADIUS: radius, PhantomBone.ULNA: ulna},
        proximal_bones=(
            proximal_bone("humerus", (2.0, -440.0), (-1.0, -244.0), shaft=11.0, end_width=29.0, depth=11.0),
        ),
        distal_bones=(*_carpus(), *digit_bones(_HAND_RAYS)),
        soft=_forearm_soft(),
        centre=(4.0, -20.0),
    )


def _forearm_soft() -> tuple[SoftPart, ...]:
    limb = SoftPart(
        start=(-2.0, -445.0),
        end=(0.0, 24.0),
        left=Profile(
            (0.0, 44.0), (0.4, 39.0), (0.53, 41.0), (0.67, 36.0), (0.8, 29.0), (0.9, 25.5), (1, 27), smooth=0.04
        ),
        right=Profile(
            (0.0, 46.0), (0.4, 41.0), (0.53, 46.0), (0.67, 42.0), (0.8, 33), (0.9, 29.0), (1, 29), smooth=0.04
        ),
        depth=Profile(
            (0.0, 42.0), (0.4, 36.0), (0.53, 34.0), (0.7, 27.0), (0.83, 20), (0.93, 17.0), (1, 15), smooth=0.04
        ),
        distal_part=False,
    )
    palm = SoftPart(
        start=(0.0, 6.0),
        end=(-2.0, 88.0),
        left=Profile((0.0, 26.0), (0.4, 34.0), (1.0, 38.0)),
        right=Profile((0.0, 28.0), (0.4, 34.0), (1.0, 38.0)),
        depth=Profile((0.0, 16.0), (0.4, 16.0), (0.8, 13.0), (1.0, 10.0)),
    )
    thenar = SoftPart(
        start=(14.0, 20.0),
        end=(37.0, 62.0),
        left=Profile((0.0, 12.0), (0.5, 15.0), (1.0, 12.0)),
        right=Profile((0.0, 12.0), (0.5, 13.0), (1.0, 11.0)),
        depth=Profile((0.0, 12.0), (0.5, 15.0), (1.0, 11.0)),
    )
    digits = [digit_soft(ray, width=9.2, depth=9.0) for ray in _HAND_RAYS]
    return (limb, palm, thenar, *digits)


def _carpus() -> list[Solid]:
    """Eight bones: centre, half width, half length, turn, lumps of the outline."""
    shapes = (
        ((13.8, 10.8), 6.4, 11.0, -0.75, ((2, 0.04, 0.5), (3, 0.07, 2.0))),
        ((0.2, 7.6), 7.4, 7.2, 0.0, ((3, 0.08, 1.6), (2, 0.05, 0.0))),
        ((-12.8, 10.4), 6.4, 7.2, 0.6, ((3, 0.09, 0.4),)),
        ((-15.0, 15.0), 3.8, 4.4, 0.0, ()),
        ((22.4, 23.6), 6.8, 7.2, -0.5, ((4, 0.05, 0.6), (3, 0.05, 1.0))),
        ((12.6, 25.6), 5.4, 5.6, -0.2, ((4, 0.06, 0.2),)),
        ((1.6, 22.6), 6.8, 10.0, 0.0, ((3, 0.05, 1.57), (4, 0.04, 0.4))),
        ((-11.0, 24.0), 7.2, 8.4, 0.3, ((3, 0.1, 4.7),)),
    )
    return [
        Pebble(
            centre=centre,
            across_mm=1.03 * across,
            along_mm=1.03 * along,
            depth_mm=8.0,
            turn_rad=turn,
            lumps=lumps,
            cancellous_share=0.28,
        )
        for centre, across, along, turn, lumps in shapes
    ]
