"""The limb a specification asks for, at its size.

The figures of `forearm` and `lower_leg` are those of an average adult as anatomy atlases and radiographs show them,
rounded; they are drawn to look right and to be measured on, not to be a reference for anyone's anatomy.
"""

import math
from dataclasses import replace

from imaging.phantom.forearm import forearm
from imaging.phantom.lower_leg import lower_leg
from imaging.phantom.parts import LimbModel
from imaging.phantom.shapes import Bone, Cap, SoftPart, Solid
from imaging.phantom.spec import BONES, Limb, PhantomSpec


def limb_model(spec: PhantomSpec) -> LimbModel:
    """The limb that `spec` asks for, at its scale."""
    model = forearm() if spec.limb is Limb.FOREARM else lower_leg()
    size, cortex, girth = spec.bone_scale, spec.cortex_scale, spec.soft_tissue_scale
    long_bones = {name: _scaled_bone(bone, size, cortex) for name, bone in model.long_bones.items()}
    if spec.crossing_height_mm is not None:
        strong, slender = BONES[spec.limb]
        long_bones[slender] = _crossed(long_bones[slender], long_bones[strong], spec.crossing_height_mm)
    return LimbModel(
        long_bones=long_bones,
        proximal_bones=tuple(_scaled_solid(solid, size, cortex) for solid in model.proximal_bones),
        distal_bones=tuple(_scaled_solid(solid, size, cortex) for solid in model.distal_bones),
        soft=tuple(_scaled_soft(part, size, girth) for part in model.soft),
        centre=(model.centre[0] * size, model.centre[1] * size),
    )


def _crossed(slender: Bone, strong: Bone, height_mm: float) -> Bone:
    """The slender bone swung about its distal end until its chord meets the strong bone's axis at `height_mm`."""
    meeting = strong.point(strong.length_mm - height_mm, 0.0)
    reach = math.dist(meeting, slender.end)
    share = slender.length_mm / reach
    start = tuple(end + share * (point - end) for end, point in zip(slender.end, meeting, strict=True))
    return replace(slender, start=(start[0], start[1]))


def _scaled_bone(bone: Bone, size: float, cortex: float) -> Bone:
    return replace(
        bone,
        start=(bone.start[0] * size, bone.start[1] * size),
        end=(bone.end[0] * size, bone.end[1] * size),
        left=bone.left.scaled(size),
        right=bone.right.scaled(size),
        depth=bone.depth.scaled(size),
        cortex=bone.cortex.scaled(size * cortex),
        cancellous=bone.cancellous.scaled(cortex),
        bow=bone.bow.scaled(size),
        proximal=_scaled_cap(bone.proximal, size, cortex),
        distal=_scaled_cap(bone.distal, size, cortex),
    )


def _scaled_solid(solid: Solid, size: float, cortex: float) -> Solid:
    if isinstance(solid, Bone):
        return _scaled_bone(solid, size, cortex)
    return replace(
        solid,
        centre=(solid.centre[0] * size, solid.centre[1] * size),
        across_mm=solid.across_mm * size,
        along_mm=solid.along_mm * size,
        depth_mm=solid.depth_mm * size,
        cortex_mm=solid.cortex_mm * size * cortex,
        cancellous_share=solid.cancellous_share * cortex,
    )


def _scaled_cap(cap: Cap, size: float, cortex: float) -> Cap:
    return replace(
        cap,
        curve=cap.curve / size,
        corner_mm=cap.corner_mm * size,
        rounding_mm=cap.rounding_mm * size,
        shell_mm=cap.shell_mm * size * cortex,
    )


def _scaled_soft(part: SoftPart, size: float, girth: float) -> SoftPart:
    return replace(
        part,
        start=(part.start[0] * size, part.start[1] * size),
        end=(part.end[0] * size, part.end[1] * size),
        left=part.left.scaled(size * girth),
        right=part.right.scaled(size * girth),
        depth=part.depth.scaled(size * girth),
    )
