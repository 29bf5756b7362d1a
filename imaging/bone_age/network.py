"""The network that reads skeletal age from a radiograph of a hand.

``lite0``: an EfficientNet-Lite0 backbone that begins with ImageNet's weights or the fracture detector's.
``residual``: a small plain residual network (He et al., "Deep residual learning for image recognition", arXiv
1512.03385) without a start, of any width. On a CPU the latter learns three times as many hands a second and still
learns far less: after four epochs from nothing it was off by 31 months; ``lite0`` after one minute by 21 (ImageNet)
and 23 (detector).
"""

from enum import StrEnum
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.yolov7.efficientnet_lite import FEATURE_CHANNELS, EfficientNetLite0

MEAN_MONTHS: Final = 127.0
SPREAD_MONTHS: Final = 41.0
"""Mean and standard deviation of the ages learned from: the network's outputs are counted in these."""
MIN_SCALE: Final = 0.02
"""Least scale it may state, in spreads: .8 months."""
STAGES: Final = (64, 128, 256)
"""Channels of the residual stages, at a quarter, an eighth and a sixteenth of the picture's side."""
ENLARGED_TO: Final = 8
"""Enlarged sides are a multiple of this."""
_STEM: Final = 32
_HIDDEN: Final = 128


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, features: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, ceil(H / stride), ceil(W / stride)]."""
        hidden = functional.relu(self.first_norm(self.first(features)))
        return functional.relu(self.second_norm(self.second(hidden)) + self.shortcut(features))


class Graph(StrEnum):
    """What reads the picture."""

    LITE0 = "lite0"
    """EfficientNet-Lite0; one width."""
    RESIDUAL = "residual"
    """Plain residual stages of any width."""


class LiteFeatures(nn.Module):
    """The middle and the coarse map of an EfficientNet-Lite0."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0(3)
        self.channels = sum(FEATURE_CHANNELS[1:])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """[B, 1, S, S] in 0..1 to two maps."""
        _, middle, coarse = self.backbone(images.expand(-1, 3, -1, -1))
        return middle, coarse


class ResidualFeatures(nn.Module):
    """The last map of residual stages."""

    def __init__(self, width: float) -> None:
        super().__init__()
        stages = [max(8, round(channels * width)) for channels in STAGES]
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in ((1, _STEM, 4), (_STEM, stages[0], 3)):
            layers += [nn.Conv2d(inputs, outputs, kernel, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        channels = stages[0]
        for index, outputs in enumerate(stages):
            layers += [ResidualBlock(channels, outputs, 1 if index == 0 else 2), ResidualBlock(outputs, outputs, 1)]
            channels = outputs
        self.stages = nn.Sequential(*layers)
        self.channels = channels

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """[B, 1, S, S] in 0..1 to one map."""
        return (self.stages(images * 2.0 - 1.0),)


class BoneAgeNetwork(nn.Module):
    """Features, their mean and maximum, the child's sex, and two answers.

    Args:
        graph: what reads the picture.
        dropout: of the pooled features while learning.
        width: factor of the residual stages' channels; small ones are for tests. Of no effect on ``lite0``.
        zoom: the pictures are enlarged by this factor first: nothing is gained in detail, but every layer then works
            on a finer grid. Time grows with its square.
    """

    def __init__(
        self, graph: Graph | str = Graph.LITE0, *, dropout: float = 0.2, width: float = 1.0, zoom: float = 1.0
    ) -> None:
        super().__init__()
        self.zoom = zoom
        self.features = LiteFeatures() if Graph(graph) is Graph.LITE0 else ResidualFeatures(width)
        pooled = 2 * self.features.channels
        self.norm = nn.LayerNorm(pooled)
        self.drop = nn.Dropout(dropout)
        self.hidden = nn.Linear(pooled + 2, _HIDDEN)
        self.answer = nn.Linear(_HIDDEN, 2)

    def forward(self, images: Tensor, sex: Tensor) -> tuple[Tensor, Tensor]:
        """Skeletal ages and how far they scatter.

        Args:
            images: [B, 1, S, S] in 0..1, bone bright, S a multiple of 16; contrast normalised.
            sex: [B]: 1 male, -1 female, 0 not known.

        Returns:
            Months [B], and the scale [B] in months of a Laplace distribution about them.
        """
        return self.judge(self.look(images), sex)

    def look(self, images: Tensor) -> Tensor:
        """What is seen in images as `forward` takes them, [B, P] float32: the costly part, which needs no sex."""
        if self.zoom != 1.0:
            side = ENLARGED_TO * round(images.shape[-1] * self.zoom / ENLARGED_TO)
            images = functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
        maps = self.features(images)
        parts = [pool for level in maps for pool in (level.mean((2, 3)), level.amax((2, 3)))]
        seen: Tensor = self.norm(torch.cat(parts, dim=1).float())
        return seen

    def judge(self, pooled: Tensor, sex: Tensor) -> tuple[Tensor, Tensor]:
        """Months [B] and scale [B] of what `look` saw."""
        pooled = self.drop(pooled)
        person = torch.stack((sex, sex.abs()), dim=1).to(pooled)
        hidden = functional.silu(self.hidden(torch.cat((pooled, person), dim=1)))
        mean, raw_scale = self.answer(hidden).float().unbind(dim=1)
        scale = functional.softplus(raw_scale) + MIN_SCALE
        return MEAN_MONTHS + SPREAD_MONTHS * mean, SPREAD_MONTHS * scale
