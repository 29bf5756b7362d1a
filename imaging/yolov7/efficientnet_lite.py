"""EfficientNet-Lite as a backbone: an ImageNet start for a detector that has only hundreds of fractures to learn from.

Architecture: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", arXiv 1905.11946,
in the Lite variant (ReLU6, no squeeze-and-excitation, stem and head not scaled). The convolutions carry a bias instead
of a batch norm: the ImageNet statistics are folded in when the weights are read, because a batch of eight radiographs
estimates them worse than ImageNet did, and because that saves memory traffic in every training step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_NORM_EPS: Final = 1e-3


@dataclass(frozen=True, slots=True)
class LiteVariant:
    """What tells one EfficientNet-Lite from another; stem, kernels, strides and expansions are shared."""

    channels: tuple[int, int, int, int, int, int, int]
    """Of the seven stages."""
    repeats: tuple[int, int, int, int, int, int, int]
    """Blocks in each stage."""

    @property
    def feature_channels(self) -> tuple[int, int, int]:
        """Channels of the feature maps at strides 8, 16 and 32."""
        return (self.channels[2], self.channels[4], self.channels[6])

    @property
    def feature_blocks(self) -> tuple[int, int, int]:
        """Numbers of the blocks that give those maps: the last before a stride, and the last of all."""
        return (sum(self.repeats[:3]) - 1, sum(self.repeats[:5]) - 1, sum(self.repeats) - 1)


LITE0: Final = LiteVariant(channels=(16, 24, 40, 80, 112, 192, 320), repeats=(1, 2, 2, 3, 3, 4, 1))
LITE2: Final = LiteVariant(channels=(16, 24, 48, 88, 120, 208, 352), repeats=(1, 3, 3, 4, 4, 5, 1))
"""Width times 1.1 and depth times 1.2, but for the stem and the first and last stage's depth."""

_STAGES: Final = ((1, 3, 1), (6, 3, 2), (6, 5, 2), (6, 3, 2), (6, 5, 1), (6, 5, 2), (6, 3, 1))
"""Expansion, kernel and stride of the seven stages; the stride is that of a stage's first block."""
FEATURE_CHANNELS: Final = LITE0.feature_channels
"""Channels of Lite0's feature maps at strides 8, 16 and 32."""


class SameConv(nn.Conv2d):
    """Convolution with bias and TensorFlow's "same" padding, which is asymmetric where the stride is 2.

    The network was trained with that padding; symmetric padding would shift every feature map by a pixel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        total = kernel - stride if stride > 1 else kernel - 1
        before = total // 2
        self._extra = total - 2 * before
        super().__init__(inputs, outputs, kernel, stride, padding=before, groups=groups, bias=True)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] to [B, O, H / stride, W / stride]; H and W must be multiples of the stride."""
        if self._extra:
            input = functional.pad(input, (0, self._extra, 0, self._extra))
        if self.groups > 1 and self.stride[0] > 1 and torch.is_grad_enabled() and input.device.type == "cpu":
            # On a CPU the bfloat16 gradient of a strided depthwise convolution is 6 to 16 times slower than in float32.
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float())
        return super().forward(input)


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise (k x k), project (1x1); with a shortcut where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = SameConv(inputs, hidden, 1) if expansion != 1 else None
        self.depthwise = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SameConv(hidden, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        hidden = features if self.expand is None else functional.relu6(self.expand(features))
        projected: Tensor = self.project(functional.relu6(self.depthwise(hidden)))
        return features + projected if self.shortcut else projected


class EfficientNetLite(nn.Module):
    """Images [B, 3, H, W] in 0..1 to feature maps at strides 8, 16, 32 with `out_channels` channels."""

    variant: ClassVar[LiteVariant]

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = SameConv(in_channels, 32, 3, 2)
        blocks: list[InvertedResidual] = []
        channels = 32
        shapes = zip(_STAGES, self.variant.channels, self.variant.repeats, strict=True)
        for (expansion, kernel, stride), outputs, repeats in shapes:
            for index in range(repeats):
                blocks.append(InvertedResidual(channels, outputs, kernel, stride if index == 0 else 1, expansion))
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.out_channels = self.variant.feature_channels

    def freeze_slow_parts(self, blocks: int = 3) -> None:
        """Fix the stem, the first blocks and the 5x5 depthwise kernels.

        The first blocks hold edges and textures that serve radiographs as they are; the gradient of a 5x5 depthwise
        kernel takes 60 times its forward pass on a CPU and teaches little that the pointwise layers beside it do not.
        """
        for module in (self.stem, *list(self.blocks)[:blocks]):
            module.requires_grad_(False)
        for block in self.blocks:
            if isinstance(block, InvertedResidual) and block.depthwise.kernel_size[0] == 5:
                block.depthwise.requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Three feature maps, finest first; the ImageNet normalisation (x - 0.5) / 0.5 happens here."""
        features = functional.relu6(self.stem(images * 2.0 - 1.0))
        taken: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index in self.variant.feature_blocks:
                taken.append(features)
        fine, middle, coarse = taken
        return fine, middle, coarse


class EfficientNetLite0(EfficientNetLite):
    """The smallest: 2.9 M parameters, without the last convolution and the classifier, which no detector needs."""

    variant = LITE0


class EfficientNetLite2(EfficientNetLite):
    """A little wider and deeper: 4.3 M parameters, counted likewise."""

    variant = LITE2


def fold_imagenet_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a published state dict to this module's names and fold its batch norms into biased convolutions.

    Calculated in double precision: in single precision, processors differ in the last bit of a rounded weight, and with
    it in the digest of a file.

    Args:
        state: keys ``_conv_stem.weight``, ``_bn0.*``, ``_blocks.N._expand_conv.weight`` and so on; the classifier is
            left out.

    Raises:
        KeyError: when a layer of the backbone is missing.
    """
    folded: dict[str, Tensor] = {}

    def fold(conv: str, norm: str, name: str) -> None:
        kernel = state[f"{conv}.weight"]
        weight, bias, mean, variance = (
            state[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight / torch.sqrt(variance + BATCH_NORM_EPS)
        folded[f"{name}.weight"] = (kernel.double() * scale[:, None, None, None]).to(kernel.dtype)
        folded[f"{name}.bias"] = (bias - mean * scale).to(kernel.dtype)

    fold("_conv_stem", "_bn0", "stem")
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("_blocks."))
    for index in range(blocks):
        source = f"_blocks.{index}"
        if f"{source}._expand_conv.weight" in state:
            fold(f"{source}._expand_conv", f"{source}._bn0", f"blocks.{index}.expand")
        fold(f"{source}._depthwise_conv", f"{source}._bn1", f"blocks.{index}.depthwise")
        fold(f"{source}._project_conv", f"{source}._bn2", f"blocks.{index}.project")
    return folded


def make_lite0(in_channels: int, width: float) -> nn.Module:
    """Factory for a graph's MODULE layer; the backbone has one width.

    Raises:
        ValueError: a width other than 1 was asked for.
    """
    return _make(EfficientNetLite0, in_channels, width)


def make_lite2(in_channels: int, width: float) -> nn.Module:
    """Like `make_lite0`, for Lite2."""
    return _make(EfficientNetLite2, in_channels, width)


def _make(kind: type[EfficientNetLite], in_channels: int, width: float) -> nn.Module:
    if width != 1.0:
        raise ValueError("an EfficientNet-Lite backbone cannot be made narrower; use width=1.0")
    return kind(in_channels)
