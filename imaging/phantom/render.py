"""Path lengths of a whole limb, fragments moved, on a grid finer than the image."""

from collections.abc import Sequence

import cv2
import numpy as np

from imaging.phantom.fracture import Break, Placement, RigidMotion
from imaging.phantom.parts import LimbModel
from imaging.phantom.physics import Image, PathLengths
from imaging.phantom.shapes import Cut, Field, Solid
from imaging.phantom.spec import PhantomBone, PhantomSpec

_FINEST_MM = 0.3
_FAT_MM = 3.2
"""Thickness of skin and fat around forearm or leg."""
_DIGIT_FAT_MM = 1.4
_UNION = 5.0
"""Exponent of the soft union of overlapping soft parts: large is a hard maximum."""
_TEXTURE_MM = 2.0
"""Amount of cancellous bone at which the trabecular texture has faded to 70 %."""
_BEND_MM = 28.0
"""Over this length, on either side of a fracture, the soft tissue bends along."""


def path_lengths(
    model: LimbModel,
    breaks: dict[PhantomBone, Break],
    placement: Placement,
    spec: PhantomSpec,
    rng: np.random.Generator,
) -> PathLengths:
    """Path lengths [H, W] of the limb in `placement`, averaged over each pixel."""
    factor = int(np.clip(np.ceil(spec.spacing_mm / _FINEST_MM), 1, 3))
    rows, columns = spec.height_px * factor, spec.width_px * factor
    bone = np.zeros((rows, columns), dtype=np.float32)
    texture = _trabeculae(rows, columns, spec.spacing_mm / factor, spec.rotation_deg, rng)
    carrier = _carrier(breaks)
    for part, cuts, motion in _parts(model, breaks, carrier):
        _add_bone(bone, part, cuts, motion, placement, factor, texture)
    bone = _reduced(bone, factor)
    muscle, fat = _soft_tissue(model, breaks, carrier, placement, spec)
    return PathLengths(bone=bone, muscle=muscle, fat=fat)


def _carrier(breaks: dict[PhantomBone, Break]) -> Break | None:
    """The fracture whose distal fragment carries the hand or foot: the stronger bone's, else none."""
    for name in (PhantomBone.RADIUS, PhantomBone.TIBIA):
        if name in breaks:
            return breaks[name]
    return None


def _parts(
    model: LimbModel, breaks: dict[PhantomBone, Break], carrier: Break | None
) -> list[tuple[Solid, tuple[Cut, ...], RigidMotion | None]]:
    parts: list[tuple[Solid, tuple[Cut, ...], RigidMotion | None]] = []
    for name, bone in model.long_bones.items():
        broken = breaks.get(name)
        if broken is None:
            parts.append((bone, (), None))
            continue
        parts.append((bone, (broken.cuts[0],), None))
        parts.append((bone, (broken.cuts[1],), broken.motion))
        parts.extend((shard, (), None) for shard in broken.shards)
    parts.extend((bone, (), None) for bone in model.proximal_bones)
    parts.extend((bone, (), carrier.motion if carrier else None) for bone in model.distal_bones)
    return parts


def _add_bone(
    target: Image,
    bone: Solid,
    cuts: Sequence[Cut],
    motion: RigidMotion | None,
    placement: Placement,
    factor: int,
    texture: Image,
) -> None:
    """Add one bone's path lengths to `target`, only where it can be."""
    window = _window(bone, motion, placement, factor, target.shape)
    if window is None:
        return
    rows, columns = window
    x, y = _limb_grid(rows, columns, placement, factor)
    if motion is not None:
        x, y = motion.inverse(x, y)
    paths = bone.paths(x, y, cuts)
    # Behind each other, many trabeculae even out: the texture fades with the amount of bone.
    fade = np.sqrt(_TEXTURE_MM / (paths.cancellous + _TEXTURE_MM))
    target[rows, columns] += paths.cortical + paths.cancellous * (1.0 + fade * texture[rows, columns])


def _window(
    bone: Solid, motion: RigidMotion | None, placement: Placement, factor: int, shape: tuple[int, ...]
) -> tuple[slice, slice] | None:
    x1, y1, x2, y2 = bone.bounds(margin=3.0)
    corners = [(x1, y1), (x2, y1), (x1, y2), (x2, y2)]
    pixels = [placement(motion.point(c) if motion else c) for c in corners]
    left, right = (int(f(p[0] for p in pixels) * factor) for f in (min, max))
    top, bottom = (int(f(p[1] for p in pixels) * factor) for f in (min, max))
    top, bottom = max(top, 0), min(bottom + 1, shape[0])
    left, right = max(left, 0), min(right + 1, shape[1])
    return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def _limb_grid(rows: slice, columns: slice, placement: Placement, factor: int) -> tuple[Field, Field]:
    """Limb coordinates of the sub-pixel centres in a window."""
    y_px = (np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5)) / np.float32(factor)
    x_px = (np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5)) / np.float32(factor)
    shape = (y_px.size, x_px.size)
    return placement.to_limb(np.broadcast_to(x_px[None, :], shape), np.broadcast_to(y_px[:, None], shape))


def _reduced(image: Image, factor: int) -> Image:
    if factor == 1:
        return image
    rows, columns = image.shape
    reduced = cv2.resize(image, (columns // factor, rows // factor), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, dtype=np.float32)


def _trabeculae(rows: int, columns: int, step_mm: float, rotation_deg: float, rng: np.random.Generator) -> Image:
    """Texture of cancellous bone around 0: fine strands, mostly along the bone, with sparser cross-links."""
    grain = rng.standard_normal((rows, columns), dtype=np.float32)
    length = max(3, int(2.6 / step_mm) | 1)
    kernel = np.zeros((length, length), dtype=np.float32)
    kernel[:, length // 2] = np.hanning(length + 2)[1:-1]
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), -rotation_deg, 1.0)
    strand = cv2.warpAffine(kernel, turn, (length, length))
    width = max(0.22 / step_mm, 0.5)
    strands = cv2.filter2D(cv2.GaussianBlur(grain, (0, 0), width), -1, strand)
    blobs = cv2.GaussianBlur(grain, (0, 0), 1.6 * width)
    ties = cv2.filter2D(cv2.GaussianBlur(grain[::-1], (0, 0), width), -1, strand.T)
    texture = np.zeros_like(grain)
    for part, share in ((strands, 0.8), (ties, 0.5), (blobs, 0.4)):
        texture += np.float32(share / max(float(part.std()), 1e-6)) * part
    return np.asarray(np.clip(0.24 * texture, -0.8, 0.8), dtype=np.float32)


def _soft_tissue(
    model: LimbModel,
    breaks: dict[PhantomBone, Break],
    carrier: Break | None,
    placement: Placement,
    spec: PhantomSpec,
) -> tuple[Image, Image]:
    """Path through muscle and through the fat under the skin."""
    x, y = _limb_grid(slice(0, spec.height_px), slice(0, spec.width_px), placement, 1)
    moved_x, moved_y = carrier.motion.inverse(x, y) if carrier else (x, y)
    if carrier:
        bend = np.clip((y - np.float32(carrier.centre[1] - _BEND_MM)) / np.float32(2.0 * _BEND_MM), 0.0, 1.0)
        bend = bend * bend * (3.0 - 2.0 * bend)
        bent_x, bent_y = x + bend * (moved_x - x), y + bend * (moved_y - y)
    else:
        bent_x, bent_y = x, y
    swelling = np.zeros_like(x)
    for broken in breaks.values():
        swelling += np.float32(broken.spec.swelling_mm) * np.exp(-(((y - np.float32(broken.centre[1])) / 48.0) ** 2))
    outer, inner = np.zeros_like(x), np.zeros_like(x)
    for part in model.soft:
        px, py = (moved_x, moved_y) if part.distal_part else (bent_x, bent_y)
        bulge = None if part.distal_part else swelling
        skin_mm = _DIGIT_FAT_MM if part.distal_part else _FAT_MM
        outer += part.half_depth(px, py, shrink_mm=0.0, swelling=bulge) ** np.float32(_UNION)
        inner += part.half_depth(px, py, shrink_mm=skin_mm, swelling=bulge) ** np.float32(_UNION)
    outer, inner = 2.0 * outer ** np.float32(1.0 / _UNION), 2.0 * inner ** np.float32(1.0 / _UNION)
    return inner.astype(np.float32), np.maximum(outer - inner, 0.0).astype(np.float32)
