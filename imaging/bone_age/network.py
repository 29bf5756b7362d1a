"""The network that reads skeletal age from a radiograph of a hand.

A plain residual network (He et al., "Deep residual learning for image recognition", arXiv 1512.03385) of dense 3x3
convolutions with an early reduction to a quarter. On a CPU it learns three times as many hands a second as
EfficientNet-Lite0, whose depthwise convolutions use none of the processor's matrix units.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN_MONTHS: Final = 127.0
SPREAD_MONTHS: Final = 41.0
"""Mean and standard deviation of the ages learned from: the network's outputs are counted in these."""
MIN_SCALE: Final = 0.02
"""Least scale it may state, in spreads: .8 months."""
STAGES: Final = (64, 128, 256)
"""Channels of the stages, at a quarter, an eighth and a sixteenth of the picture's side."""
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


class BoneAgeNetwork(nn.Module):
    """Residual stages, mean and maximum of the last map, the child's sex, and two answers.

    Args:
        dropout: of the pooled features while learning.
        width: factor of all channels of the stages; small ones are for tests.
    """

    def __init__(self, *, dropout: float = 0.2, width: float = 1.0) -> None:
        super().__init__()
        stages = [max(8, round(channels * width)) for channels in STAGES]
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in ((1, _STEM, 4), (_STEM, stages[0], 3)):
            layers += [nn.Conv2d(inputs, outputs, kernel, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        channels = stages[0]
        for index, outputs in enumerate(stages):
            layers += [ResidualBlock(channels, outputs, 1 if index == 0 else 2), ResidualBlock(outputs, outputs, 1)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.drop = nn.Dropout(dropout)
        self.hidden = nn.Linear(2 * channels + 2, _HIDDEN)
        self.answer = nn.Linear(_HIDDEN, 2)

    def forward(self, images: Tensor, sex: Tensor) -> tuple[Tensor, Tensor]:
        """Skeletal ages and how far they scatter.

        Args:
            images: [B, 1, S, S] in 0..1, bone bright, S a multiple of 16; contrast normalised.
            sex: [B]: 1 male, -1 female, 0 not known.

        Returns:
            Months [B], and the scale [B] in months of a Laplace distribution about them.
        """
        features = self.features(images * 2.0 - 1.0)
        pooled = self.drop(torch.cat((features.mean((2, 3)), features.amax((2, 3))), dim=1))
        person = torch.stack((sex, sex.abs()), dim=1).to(pooled)
        hidden = functional.silu(self.hidden(torch.cat((pooled, person), dim=1)))
        mean, raw_scale = self.answer(hidden).float().unbind(dim=1)
        scale = functional.softplus(raw_scale) + MIN_SCALE
        return MEAN_MONTHS + SPREAD_MONTHS * mean, SPREAD_MONTHS * scale
