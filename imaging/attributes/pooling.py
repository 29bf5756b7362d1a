"""Feature maps of the backbone to one vector per radiograph, or one per box."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import roi_align

from imaging.yolov7.postprocess import LetterboxTransform

FINE_STRIDE = 8
MIDDLE_STRIDE = 16
COARSE_STRIDE = 32
BOX_CONTEXT = 1.6
"""A box is widened by this factor before its features are read: the pattern shows in the bone around the line too."""
MIN_BOX_SIDE_PX = 48.0
"""Smaller boxes are read as if they were this large, in canvas pixels: three cells of the middle level."""


def pool_image(features: Sequence[Tensor], transform: LetterboxTransform) -> Tensor:
    """Mean and maximum of the middle and the coarse level over the radiograph's part of the canvas.

    Args:
        features: maps [1, C, S/s, S/s] at strides 8, 16 and 32.
        transform: where the radiograph lies on the canvas; the margins are left out.

    Returns:
        float32 [2 * (C_middle + C_coarse)].
    """
    _, middle, coarse = features
    parts = []
    for level, stride in ((middle, MIDDLE_STRIDE), (coarse, COARSE_STRIDE)):
        cells = _inside(level, stride, transform).flatten(1)
        parts += [cells.mean(dim=1), cells.amax(dim=1)]
    return torch.cat(parts).float()


STATISTICS_ID = "fine-middle-mean-max-std-top/1"
"""Named in the manifest of whatever is fitted on `pool_statistics`."""
TOP_SHARE = 0.02
"""Share of the cells that counts as the strongest of a channel; one cell at least."""


def pool_statistics(features: Sequence[Tensor], transform: LetterboxTransform | None = None) -> Tensor:
    """Mean, maximum, standard deviation and mean of the strongest cells, of the fine and the middle level.

    The coarse level is left out: after training for boxes it told next to nothing of the pattern.

    Args:
        features: maps [1, C, S/s, S/s] at strides 8, 16 and 32.
        transform: where the radiograph lies on the canvas; None reads the margins as part of it, which is less exact.

    Returns:
        float32 [4 * (C_fine + C_middle)].
    """
    fine, middle, _ = features
    parts = []
    for level, stride in ((fine, FINE_STRIDE), (middle, MIDDLE_STRIDE)):
        inside = level[0] if transform is None else _inside(level, stride, transform)
        cells = inside.float().flatten(1)
        parts += [cells.mean(dim=1), cells.amax(dim=1), *_spread_and_top(cells)]
    return torch.cat(parts)


PATTERN_STATISTICS_ID = "all-levels-mean-max-std/1"
"""Named in the manifest of whatever is fitted on `pool_pattern_statistics`."""


def pool_pattern_statistics(maps: Sequence[Tensor], transform: LetterboxTransform | None = None) -> Tensor:
    """Mean, maximum and standard deviation of every map of a pattern network over the radiograph's part of it.

    Args:
        maps: [1, C, h, w] each, all of the whole canvas at whatever scale.
        transform: where the radiograph lies on the canvas; None reads the margins as part of it, which is less exact.

    Returns:
        float32 [3 * all channels].
    """
    parts = []
    for level in maps:
        inside = (
            level[0] if transform is None else _inside(level, transform.canvas_size[0] / level.shape[-1], transform)
        )
        cells = inside.float().flatten(1)
        parts += [cells.mean(dim=1), cells.amax(dim=1), cells.std(dim=1, correction=0)]
    return torch.cat(parts)


def _spread_and_top(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation [C] and mean of the strongest cells [C] of each channel of [C, n]."""
    count = max(1, int(cells.shape[1] * TOP_SHARE))
    if cells.requires_grad or cells.device.type != "cpu":
        return cells.std(dim=1, correction=0), cells.topk(count, dim=1).values.mean(dim=1)
    # Without gradients NumPy does both in a fifth of torch's time.
    values = cells.numpy()
    strongest = np.partition(values, -count, axis=1)[:, -count:]
    return torch.from_numpy(values.std(axis=1)), torch.from_numpy(strongest.mean(axis=1))


def _inside(level: Tensor, stride: float, transform: LetterboxTransform) -> Tensor:
    """The cells [C, h, w] of a level whose centres lie on the radiograph, at least one."""
    left, top = transform.pad
    width, height = (side * scale for side, scale in zip(transform.image_size, transform.scale, strict=True))
    first_x, first_y = int(left / stride), int(top / stride)
    last_x = max(first_x + 1, round((left + width) / stride))
    last_y = max(first_y + 1, round((top + height) / stride))
    return level[0, :, first_y:last_y, first_x:last_x]


def pool_boxes(features: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Mean and maximum of the middle and the coarse level within each box and its surroundings.

    Args:
        features: maps [1, C, S/s, S/s] at strides 8, 16 and 32.
        boxes: [n, 4] xyxy in canvas pixels.

    Returns:
        float32 [n, 2 * (C_middle + C_coarse)].
    """
    _, middle, coarse = features
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = ((boxes[:, 2:] - boxes[:, :2]) * BOX_CONTEXT).clamp(min=MIN_BOX_SIDE_PX) / 2
    regions = torch.cat((centres - halves, centres + halves), dim=1).float()
    parts = []
    for level, stride in ((middle, MIDDLE_STRIDE), (coarse, COARSE_STRIDE)):
        cells = roi_align(level.float(), [regions], output_size=5, spatial_scale=1 / stride, aligned=True)
        parts += [cells.mean(dim=(2, 3)), cells.amax(dim=(2, 3))]
    return torch.cat(parts, dim=1)
