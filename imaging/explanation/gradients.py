"""Heat maps from gradients: which parts of the image would change one number of the network.

All maps are [S, S] on the network's canvas, at least 0, not yet scaled.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imaging.yolov7.head import BOX_CHANNELS

STEPS = 6
"""Points on the way from the blurred to the sharp radiograph: each costs a pass forth and back."""
BASELINE_BLUR_PX = 12.0
"""Standard deviation, in canvas pixels, of the blur that takes the detail away from the baseline."""
MAP_BLUR_PX = 4.0
"""Standard deviation, in canvas pixels, of the blur over the map's speckle: half a cell of the finest level."""

Answer: TypeAlias = Callable[[Tensor], Tensor]
"""A batch of canvases [B, 3, S, S] to the number that is explained, [B]."""


def log_scores(raw: Sequence[Tensor]) -> Tensor:
    """Logarithm of every prediction's score, objectness times best class, in the order of `decode`.

    The logarithm keeps its gradient where the score itself is close to 1 and its gradient close to 0.

    Args:
        raw: per level [B, A, H, W, 5 + classes] logits.

    Returns:
        [B, N].
    """
    flat = torch.cat([level.flatten(1, 3) for level in raw], dim=1)
    return F.logsigmoid(flat[..., BOX_CHANNELS - 1]) + F.logsigmoid(flat[..., BOX_CHANNELS:]).amax(dim=-1)


def grad_cam(answer: Tensor, activations: Tensor, size: int) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): what raises the answer, at the activations' resolution.

    Args:
        answer: scalar that was computed from `activations`; its graph is kept, so that others can be explained.
        activations: [1, C, h, w].
        size: side of the canvas.

    Returns:
        [size, size].
    """
    (gradients,) = torch.autograd.grad(answer, activations, retain_graph=True)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    small = (weights * activations).sum(dim=1, keepdim=True).relu()
    return F.interpolate(small.detach(), size=(size, size), mode="bilinear", align_corners=False)[0, 0]


def integrated_gradients(answer: Answer, canvas: Tensor, *, steps: int = STEPS) -> Tensor:
    """Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365): which detail speaks for the answer.

    The baseline is the radiograph with its fine detail blurred away, so that the map tells of lines and edges and not
    of exposure. The signed contributions are added up over neighbouring pixels before those that speak against the
    answer are dropped: the size of a gradient alone looks much the same with random weights (see `sanity`).

    Args:
        answer: what is explained.
        canvas: [1, 3, S, S] in 0..1, three equal channels.
        steps: points between baseline and canvas.

    Returns:
        [S, S].
    """
    from captum.attr import IntegratedGradients

    blurred = cv2.GaussianBlur(canvas[0, 0].numpy(), (0, 0), BASELINE_BLUR_PX)
    attributed = IntegratedGradients(answer).attribute(
        canvas, baselines=torch.from_numpy(blurred).expand_as(canvas), n_steps=steps, internal_batch_size=1
    )
    contributions = attributed.detach().sum(dim=1)[0].numpy().astype(np.float32)
    return torch.from_numpy(cv2.GaussianBlur(contributions, (0, 0), MAP_BLUR_PX)).relu()
