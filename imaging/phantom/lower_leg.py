"""The lower leg, ankle and foot of an average adult, right side, seen from the front, foot pointing down.

Millimetres; the origin is the ankle joint, y runs towards the toes, x towards the big toe.
"""

from functools import cache

from imaging.phantom.parts import LimbModel, Ray, digit_bones, digit_soft, proximal_bone
from imaging.phantom.shapes import Bone, Cap, Pebble, Profile, SoftPart, Solid
from imaging.phantom.spec import PhantomBone

_FOOT_RAYS = (
    Ray(base=(17.0, 78.0), head=(27.0, 128.0), phalanges=(26.0, 19.0), lean=0.12, width=6.8),
    Ray(base=(8.0, 80.0), head=(12.0, 136.0), phalanges=(21.0, 11.0, 8.0), lean=0.05, width=4.2),
    Ray(base=(0.0, 80.0), head=(-1.0, 132.0), phalanges=(19.0, 10.0, 8.0), lean=0.0, width=3.9),
    Ray(base=(-8.0, 79.0), head=(-13.0, 126.0), phalanges=(18.0, 9.0, 7.0), lean=-0.06, width=3.9),
    Ray(base=(-16.0, 74.0), head=(-25.0, 118.0), phalanges=(16.0, 8.0, 7.0), lean=-0.12, width=4.0),
)


@cache
def lower_leg() -> LimbModel:
    """The limb in its rest position."""
    tibia = Bone(
        name="tibia",
        start=(3.0, -352.0),
        end=(1.0, -3.0),
        left=Profile(
            (0.0, 36.0),
            (0.05, 34.0),
            (0.14, 19.0),
            (0.3, 13.5),
            (0.55, 11.5),
            (0.75, 11.5),
            (0.86, 13.5),
            (0.94, 18.5),
            (1, 24),
        ),
        right=Profile(
            (0.0, 36.0),
            (0.05, 34.0),
            (0.14, 19.0),
            (0.3, 13.5),
            (0.55, 11.5),
            (0.75, 11.8),
            (0.86, 14),
            (0.94, 19.5),
            (1, 25),
        ),
        depth=Profile((0.0, 24.0), (0.1, 20.0), (0.3, 14.5), (0.6, 12.0), (0.85, 13.5), (1.0, 19.0)),
        cortex=Profile((0.0, 1.2), (0.12, 2.5), (0.3, 5.0), (0.6, 5.0), (0.78, 3.2), (0.9, 1.4), (1.0, 1.0)),
        cancellous=Profile(
            (0.0, 0.2), (0.15, 0.12), (0.35, 0.02), (0.65, 0.02), (0.82, 0.09), (0.93, 0.18), (1.0, 0.22)
        ),
        bow=Profile((0.0, 0.0), (0.4, 3.0), (0.7, 2.5), (1.0, 0.0), smooth=0.08),
        proximal=Cap(curve=0.0, rounding_mm=3.0, shell_mm=1.5),
        distal=Cap(slope=-0.02, curve=0.006, corner_mm=3.0, rounding_mm=2.5, shell_mm=0.8),
    )
    fibula = Bone(
        name="fibula",
        start=(-33.0, -340.0),
        end=(-25.0, 17.0),
        left=Profile(
            (0.0, 10.0), (0.06, 9.5), (0.14, 5.5), (0.4, 5.8), (0.75, 5.6), (0.88, 6.8), (0.95, 9.5), (1, 7.5)
        ),
        right=Profile((0.0, 10.0), (0.06, 9.0), (0.14, 5.5), (0.4, 5.8), (0.75, 5.6), (0.88, 6.4), (0.95, 8), (1, 5)),
        depth=Profile((0.0, 9.0), (0.14, 5.5), (0.5, 6.2), (0.85, 6.5), (0.96, 9.0), (1.0, 7.0)),
        cortex=Profile((0.0, 0.8), (0.15, 1.8), (0.4, 2.8), (0.7, 2.6), (0.88, 1.4), (1.0, 0.8)),
        cancellous=Profile((0.0, 0.2), (0.2, 0.08), (0.45, 0.03), (0.75, 0.04), (0.92, 0.18), (1.0, 0.22)),
        bow=Profile((0.0, 0.0), (0.35, -2.0), (0.65, 2.0), (0.85, 2.0), (1.0, 0.0), smooth=0.08),
        proximal=Cap(curve=-0.03, rounding_mm=4.0),
        distal=Cap(curve=-0.05, slope=-0.3, rounding_mm=5.0, shell_mm=1.0),
    )
    return LimbModel(
        long_bones={PhantomBone.TIBIA: tibia, PhantomBone.FIBULA: fibula},
        proximal_bones=(proximal_bone("femur", (0.0, -600.0), (3.0, -358.0), shaft=15.0, end_width=40.0, depth=26.0),),
        distal_bones=(*_ankle(), *digit_bones(_FOOT_RAYS)),
        soft=_lower_leg_soft(),
        centre=(-6.0, -88.0),
    )


def _ankle() -> list[Solid]:
    def piece(x: float, y: float, across: float, along: float, depth: float, wave: float) -> Pebble:
        return Pebble(
            centre=(x, y), across_mm=across, along_mm=along, depth_mm=depth, squareness=2.0,
            lumps=((4, 0.06, wave), (3, 0.05, 2 * wave)), cortex_mm=0.3, cancellous_share=0.5,
        )  # fmt: skip

    talus = piece(-1.0, 18.0, 19.5, 16.0, 24.0, 3.14)
    calcaneus = piece(-3.0, 46.0, 25.0, 31.0, 54.0, 0.4)
    tarsus = (
        piece(11.0, 58.0, 18.0, 19.0, 30.0, 1.0),
        piece(-12.0, 62.0, 16.0, 20.0, 27.0, 2.0),
        piece(16.0, 73.0, 9.0, 10.0, 15.0, 0.5),
        piece(3.0, 75.0, 8.0, 10.0, 14.0, 1.5),
    )
    malleolus = Pebble(
        centre=(19.0, 1.5), across_mm=6.0, along_mm=12.5, depth_mm=9.0, turn_rad=-0.12, squareness=2.0, cortex_mm=0.4,
        cancellous_share=0.3,
    )  # fmt: skip
    return [malleolus, talus, calcaneus, *tarsus]


def _lower_leg_soft() -> tuple[SoftPart, ...]:
    limb = SoftPart(
        start=(-8.0, -600.0),
        end=(-4.0, 20.0),
        left=Profile(
            (0.0, 80.0), (0.36, 58.0), (0.52, 60.0), (0.65, 54.0), (0.81, 38.0), (0.92, 33), (1, 34), smooth=0.04
        ),
        right=Profile(
            (0.0, 80.0), (0.36, 60.0), (0.52, 62.0), (0.65, 55.0), (0.81, 38.0), (0.92, 34), (1, 36), smooth=0.04
        ),
        depth=Profile(
            (0.0, 70.0), (0.36, 52.0), (0.52, 50.0), (0.65, 43.0), (0.81, 30.0), (0.92, 28), (1, 34), smooth=0.04
        ),
        distal_part=False,
    )
    hindfoot = SoftPart(
        start=(-3.0, 4.0),
        end=(0.0, 80.0),
        left=Profile((0.0, 32.0), (0.4, 35.0), (1.0, 36.0)),
        right=Profile((0.0, 34.0), (0.4, 35.0), (1.0, 36.0)),
        depth=Profile((0.0, 40.0), (0.3, 52.0), (0.6, 46.0), (1.0, 22.0)),
    )
    forefoot = SoftPart(
        start=(0.0, 70.0),
        end=(2.0, 128.0),
        left=Profile((0.0, 34.0), (0.5, 38.0), (1.0, 36.0)),
        right=Profile((0.0, 34.0), (0.5, 39.0), (1.0, 37.0)),
        depth=Profile((0.0, 22.0), (0.5, 15.0), (1.0, 12.0)),
    )
    digits = [digit_soft(ray, width=9.5 if ray.width < 6 else 12.0, depth=9.0) for ray in _FOOT_RAYS]
    return (limb, hindfoot, forefoot, *digits)
