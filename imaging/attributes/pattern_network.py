"""What the pattern head reads: two EfficientNet-Lites as ImageNet left them.

Training for boxes wears away what tells a spiral from an oblique fracture: on the same radiographs and folds, heads on
these networks did better than heads on the detector's own features, and their coarsest maps, which tell next to nothing
in the detector, told most. Two networks at two scales err apart.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.attributes.manifest import REFIT, PatternNetworkEntry
from imaging.errors import ModelFilesError
from imaging.yolov7.checkpoint import CheckpointError, load_weights
from imaging.yolov7.efficientnet_lite import EfficientNetLite, EfficientNetLite0, EfficientNetLite2

BACKBONES: Final[Mapping[str, type[EfficientNetLite]]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "efficientnet-lite2": EfficientNetLite2,
}
SIDES: Final[Mapping[str, int]] = {"efficientnet-lite2": 320, "efficientnet-lite0": 224}
"""Sides, in pixels, to which the shipped network's backbones reduce the canvas."""


class PatternNetwork(nn.Module):
    """One or several backbones, each of which sees the canvas at a size of its own.

    Args:
        sides: name of each backbone, see `BACKBONES`, and the side of its input in pixels, a multiple of 32.

    Raises:
        ValueError: an unknown backbone, or a side that is no multiple of 32.
    """

    def __init__(self, sides: Mapping[str, int] = SIDES) -> None:
        super().__init__()
        if not sides or not set(sides) <= set(BACKBONES) or any(side < 32 or side % 32 for side in sides.values()):
            raise ValueError(f"expected backbones of {sorted(BACKBONES)} with sides that 32 divides, got {dict(sides)}")
        self.sides = dict(sides)
        self.backbones = nn.ModuleDict({name: BACKBONES[name]() for name in self.sides})

    def forward(self, canvas: Tensor) -> tuple[Tensor, ...]:
        """Canvases [B, 3, S, S] in 0..1, as the detector's, to three maps of each backbone, finest first.

        A canvas is grey: its first channel is read for all three.
        """
        maps: list[Tensor] = []
        for name, side in self.sides.items():
            maps += self.backbones[name](_reduced(canvas[:, :1], side).expand(-1, 3, -1, -1))
        return tuple(maps)

    @classmethod
    def load(cls, entry: PatternNetworkEntry) -> "PatternNetwork":
        """The network of a manifest with its weights, in evaluation mode.

        Raises:
            ModelFilesError: the file is missing, damaged or of another network.
        """
        try:
            network = cls(entry.sides)
            network.load_state_dict(load_weights(entry.weights, sha256=entry.sha256)[0])
        except (CheckpointError, OSError, ValueError, RuntimeError) as error:
            problem = str(error).splitlines()[0]
            raise ModelFilesError(f"The pattern network cannot be used: {problem}", remedy=REFIT) from error
        return network.eval().requires_grad_(False)


def _reduced(canvas: Tensor, side: int) -> Tensor:
    """Square canvases [B, C, S, S] at [B, C, side, side], by bilinear sampling with antialiasing.

    As two products of matrices: on a CPU that takes a tenth of the time that either runtime's own resampling does.
    """
    weights = _resampling(canvas.shape[-1], side).to(canvas)
    return weights @ canvas @ weights.T


@lru_cache(maxsize=16)
def _resampling(size: int, side: int) -> Tensor:
    """[side, size]: the share that each of `size` pixels in a line has in each of `side`, as torch weighs them."""
    # What is kept must serve gradients too, whoever asks first.
    with torch.inference_mode(False), torch.no_grad():
        lines = torch.eye(size)[None, None]
        return functional.interpolate(lines, (side, size), mode="bilinear", align_corners=False, antialias=True)[0, 0]
