"""Windows put together from several radiographs: mosaics, and fractures pasted onto healthy bone.

Both are off unless a configuration asks for them (`mosaic`, `copy_paste`). Windows keep their scale in both, unlike
the published mosaic, which halves its pictures: a fracture line halved is no fracture line any more.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from imaging.training.augment import MIN_SIDE_PX, MIN_VISIBLE_FRACTION
from imaging.training.datasets import RadiographDataset, Target

COARSE = 4
"""By how much window and patch shrink while a place is looked for: where bone lies must agree, its texture need not."""
LEAST_LIKENESS = 0.7
"""Correlation of a place with the patch, -1..1, below which nothing is pasted."""
LEAST_CONTRAST = 0.5
"""Spread of grey at a place, in those of the patch, below which it is no bone, and nothing is pasted."""
MARGIN = 0.35
"""What is pasted around a fracture, as a share of its box, to either side."""
LEAST_MARGIN_PX = 8
CENTRE = (0.35, 0.65)
"""Where the four parts of a mosaic meet, as shares of the window."""


class ComposedWindows(Dataset[tuple[tv_tensors.Image, Target]]):
    """The windows of a data set, some of them put together from several.

    Chance comes from torch's generator, as in the transforms.

    Args:
        inner: data set whose transform gives float32 windows [1, S, S] in 0..1, all of one side S.
        mosaic: share of the windows that become mosaics of four, 0..1.
        copy_paste: share of the windows without a box that get a fracture of another radiograph, 0..1.

    Raises:
        ValueError: a share outside 0..1.
    """

    def __init__(self, inner: RadiographDataset, *, mosaic: float = 0.0, copy_paste: float = 0.0) -> None:
        for name, share in (("mosaic", mosaic), ("copy_paste", copy_paste)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must be a share from 0 to 1, got {share}")
        self.inner = inner
        self.mosaic = mosaic
        self.copy_paste = copy_paste
        self.fractured = [number for number, sample in enumerate(inner.samples) if sample.boxes]
        self.healthy = [number for number, sample in enumerate(inner.samples) if not sample.boxes]

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, Target]:
        """The window of a sample, or one put together around it."""
        image, target = self._window(index)
        if self.mosaic and _chance(self.mosaic):
            others = [self._window(self._other()) for _ in range(3)]
            return mosaic([(image, target), *others])
        return image, target

    def _window(self, index: int) -> tuple[tv_tensors.Image, Target]:
        image, target = self.inner[index]
        if self.copy_paste and self.fractured and not len(target["boxes"]) and _chance(self.copy_paste):
            return paste((image, target), self.inner[_one_of(self.fractured)])
        return image, target

    def _other(self) -> int:
        """A fractured or a healthy sample, either as likely, where there are both."""
        kinds = [kind for kind in (self.fractured, self.healthy) if kind]
        return _one_of(kinds[int(torch.randint(0, len(kinds), ()))])


def mosaic(windows: Sequence[tuple[tv_tensors.Image, Target]]) -> tuple[tv_tensors.Image, Target]:
    """One window from four of the same side: a quarter of each, around its first box where it has one.

    Boxes are cut to their quarter; one of which too little is left is dropped, as in `RandomAffineCrop`.

    Raises:
        ValueError: not four windows.
    """
    if len(windows) != 4:
        raise ValueError(f"a mosaic takes four windows, got {len(windows)}")
    canvas = torch.empty_like(windows[0][0].as_subclass(Tensor))
    size = canvas.shape[-1]
    x, y = (round(size * (CENTRE[0] + (CENTRE[1] - CENTRE[0]) * float(torch.rand(())))) for _ in range(2))
    quarters = ((0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size))
    boxes, labels = [], []
    for (image, target), (left, top, right, bottom) in zip(windows, quarters, strict=True):
        found = target["boxes"].as_subclass(Tensor)
        place = torch.tensor([left, top, right, bottom])
        from_x = _start(found[:, [0, 2]], right - left, size)
        from_y = _start(found[:, [1, 3]], bottom - top, size)
        part = image.as_subclass(Tensor)[:, from_y : from_y + bottom - top, from_x : from_x + right - left]
        canvas[:, top:bottom, left:right] = part
        moved = found + torch.tensor([left - from_x, top - from_y, left - from_x, top - from_y])
        cut = torch.minimum(torch.maximum(moved, place[[0, 1, 0, 1]]), place[[2, 3, 2, 3]])
        sides, whole = cut[:, 2:] - cut[:, :2], (found[:, 2:] - found[:, :2]).prod(dim=1)
        kept = (sides.prod(dim=1) >= MIN_VISIBLE_FRACTION * whole) & (sides.amin(dim=1) >= MIN_SIDE_PX)
        boxes.append(cut[kept])
        labels.append(target["labels"][kept])
    return tv_tensors.Image(canvas), _with_boxes(windows[0][1], torch.cat(boxes), torch.cat(labels), size)


def paste(
    healthy: tuple[tv_tensors.Image, Target], donor: tuple[tv_tensors.Image, Target]
) -> tuple[tv_tensors.Image, Target]:
    """A healthy window with the largest fracture of a donor's, its edge faded and its grey fitted to the place.

    It goes where the window looks most like the donor's patch, so that bone lies on bone. The window comes back as it
    was when the donor's has no whole fracture, or no place is like it.
    """
    image, target = healthy
    patch, box = _cut_out(donor)
    if patch is None:
        return healthy
    pixels = image.as_subclass(Tensor)[0].numpy()
    height, width = patch.shape
    found = _place(pixels, patch)
    if found is None:
        return healthy
    left, top = found
    pasted = pixels.copy()
    place = pasted[top : top + height, left : left + width]
    if place.std() < LEAST_CONTRAST * patch.std():
        return healthy
    fade = _fade(height, width)
    fitted = (patch - patch.mean()) * (place.std() / max(float(patch.std()), 1e-6)) + place.mean()
    place[:] = np.clip(fade * fitted + (1.0 - fade) * place, 0.0, 1.0)
    moved = torch.tensor([[box[0] + left, box[1] + top, box[2] + left, box[3] + top]], dtype=torch.float32)
    labels = torch.zeros(1, dtype=torch.int64)
    return tv_tensors.Image(torch.from_numpy(pasted)[None]), _with_boxes(target, moved, labels, pixels.shape[1])


def _cut_out(
    donor: tuple[tv_tensors.Image, Target],
) -> tuple[NDArray[np.float32] | None, tuple[float, float, float, float]]:
    """The donor's largest fracture with a margin, and its box in pixels of that patch; None without a whole one."""
    image, target = donor
    pixels = image.as_subclass(Tensor)[0].numpy()
    size = pixels.shape[-1]
    boxes = target["boxes"].as_subclass(Tensor)
    whole = boxes[((boxes[:, :2] > 1) & (boxes[:, 2:] < size - 1)).all(dim=1)] if len(boxes) else boxes
    if not len(whole):
        return None, (0.0, 0.0, 0.0, 0.0)
    x1, y1, x2, y2 = whole[int((whole[:, 2:] - whole[:, :2]).prod(dim=1).argmax())].tolist()
    out_x, out_y = (max(LEAST_MARGIN_PX, MARGIN * side) for side in (x2 - x1, y2 - y1))
    left, top = max(0, int(x1 - out_x)), max(0, int(y1 - out_y))
    right, bottom = min(size, int(x2 + out_x) + 1), min(size, int(y2 + out_y) + 1)
    return pixels[top:bottom, left:right], (x1 - left, y1 - top, x2 - left, y2 - top)


def _place(pixels: NDArray[np.float32], patch: NDArray[np.float32]) -> tuple[int, int] | None:
    """Left and top of the place that is most like a patch; None where none is like it."""
    height, width = patch.shape
    coarse = cv2.resize(pixels, None, fx=1 / COARSE, fy=1 / COARSE, interpolation=cv2.INTER_AREA)
    template = cv2.resize(patch, (max(2, width // COARSE), max(2, height // COARSE)), interpolation=cv2.INTER_AREA)
    if template.shape[0] > coarse.shape[0] or template.shape[1] > coarse.shape[1] or template.std() < 1e-3:
        return None
    likeness = cv2.matchTemplate(coarse, template, cv2.TM_CCOEFF_NORMED)
    _, most, _, (column, row) = cv2.minMaxLoc(np.nan_to_num(likeness, posinf=-1.0, neginf=-1.0))
    if most < LEAST_LIKENESS:
        return None
    return min(column * COARSE, pixels.shape[1] - width), min(row * COARSE, pixels.shape[0] - height)


def _fade(height: int, width: int) -> NDArray[np.float32]:
    """A mask [H, W] that is 1 inside and falls to 0 at the edge of a patch."""
    rows, columns = (np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.2 * n), 0, 1) for n in (height, width))
    return np.outer(rows, columns).astype(np.float32)


def _start(edges: Tensor, length: int, size: int) -> int:
    """Where a part of `length` pixels of a window of `size` begins: so that it holds the first box, if any, whole."""
    if not len(edges):
        return int(torch.randint(0, size - length + 1, ()))
    low, high = edges[0].tolist()
    first, last = max(0, int(np.ceil(high)) - length), min(size - length, int(low))
    if first >= last:  # the box is longer than the part: its middle then
        return int(min(max(0, round((low + high - length) / 2)), size - length))
    return int(torch.randint(first, last + 1, ()))


def _with_boxes(target: Target, boxes: Tensor, labels: Tensor, size: int) -> Target:
    changed = dict(target)
    changed["boxes"] = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(size, size))
    changed["labels"] = labels
    return changed


def _chance(share: float) -> bool:
    return float(torch.rand(())) < share


def _one_of(numbers: Sequence[int]) -> int:
    return numbers[int(torch.randint(0, len(numbers), ()))]
