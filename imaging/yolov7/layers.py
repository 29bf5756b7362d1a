"""Building blocks of the YOLOv7 graphs (arXiv 2207.02696).

Attribute names are those of the published weights, so a state dict needs no renaming. Every block knows its
`out_channels`; blocks with something to fold for inference have a `fuse_` method (see `imaging.yolov7.network.fuse`).
All blocks map features [B, C, H, W] to features [B, C', H', W'].
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[], nn.Module]

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.03


@runtime_checkable
class Fusable(Protocol):
    """A module that can fold its training-only parts into fewer operations, in place."""

    def fuse_(self) -> None: ...


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


def _folded_parameters(conv: nn.Conv2d | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel scale [C] (or the conv's scaled kernel) and bias [C] of an evaluation-mode batch norm, in float64.

    y = gamma * (conv(x) - mean) / sqrt(var + eps) + beta, hence kernel' = kernel * s and bias' = (bias - mean) * s +
    beta with s = gamma / sqrt(var + eps). Float64 keeps the rounding of the fold below that of the float32 convolution.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("batch norm without running statistics cannot be folded")
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    mean = norm.running_mean.double()
    if conv is None:
        return scale, norm.bias.double() - mean * scale
    bias = mean.new_zeros(()) if conv.bias is None else conv.bias.double()
    return conv.weight.double() * scale.view(-1, 1, 1, 1), (bias - mean) * scale + norm.bias.double()


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    height, width = sizes
    return height, width


def _conv_with(like: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """A convolution of the geometry of `like` with the given float64 parameters cast to the dtype of `like`."""
    conv = nn.Conv2d(
        like.in_channels,
        like.out_channels,
        _pair(like.kernel_size),
        stride=_pair(like.stride),
        padding=like.padding if isinstance(like.padding, str) else _pair(like.padding),
        dilation=_pair(like.dilation),
        groups=like.groups,
        bias=True,
        device=like.weight.device,
        dtype=like.weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(weight)
        if conv.bias is not None:
            conv.bias.copy_(bias)
    return conv


@torch.no_grad()
def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution equal to `norm(conv(x))` in evaluation mode; its arguments stay as they are."""
    return _conv_with(conv, *_folded_parameters(conv, norm))


class Conv(nn.Module):
    """Convolution without bias, batch norm, activation; padding k // 2 keeps the size at stride 1."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn: nn.Module = batch_norm(out_channels)
        self.act = activation()

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.act(self.bn(self.conv(features)))
        return output

    def fuse_(self) -> None:
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fold_batch_norm(self.conv, self.bn)
            self.bn = nn.Identity()


class RepConv(nn.Module):
    """Re-parameterised convolution: 3x3 + 1x1 (+ identity) branches in training, one 3x3 convolution once fused.

    Source: RepVGG (arXiv 2101.03697) as planned in section 4.1 of arXiv 2207.02696. The identity branch exists only
    where it has a meaning: equal channels in and out, and stride 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.rbr_dense: nn.Module = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False), batch_norm(out_channels)
        )
        self.rbr_1x1: nn.Module | None = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), batch_norm(out_channels)
        )
        has_identity = in_channels == out_channels and stride == 1
        self.rbr_identity: nn.BatchNorm2d | None = batch_norm(in_channels) if has_identity else None
        self.act = activation()

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = self.rbr_dense(features)
        if self.rbr_1x1 is not None:
            total = total + self.rbr_1x1(features)
        if self.rbr_identity is not None:
            total = total + self.rbr_identity(features)
        output: Tensor = self.act(total)
        return output

    @torch.no_grad()
    def fuse_(self) -> None:
        if not isinstance(self.rbr_dense, nn.Sequential) or not isinstance(self.rbr_1x1, nn.Sequential):
            return
        dense, dense_norm = _branch(self.rbr_dense)
        kernel, bias = _folded_parameters(dense, dense_norm)
        point_kernel, point_bias = _folded_parameters(*_branch(self.rbr_1x1))
        # A 1x1 kernel is a 3x3 kernel with a ring of zeros: convolution is linear, so the branches add up.
        kernel = kernel + F.pad(point_kernel, (1, 1, 1, 1))
        bias = bias + point_bias
        if self.rbr_identity is not None:
            scale, identity_bias = _folded_parameters(None, self.rbr_identity)
            kernel[:, :, 1, 1] += torch.diag(scale)
            bias = bias + identity_bias
        self.rbr_dense = _conv_with(dense, kernel, bias)
        self.rbr_1x1 = None
        self.rbr_identity = None


def _branch(branch: nn.Sequential) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv, norm = branch
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise TypeError("a branch of RepConv is a convolution and a batch norm")
    return conv, norm


class SamePool(nn.MaxPool2d):
    """Max-pool of odd `kernel` at stride 1 that keeps the size."""

    def __init__(self, kernel: int) -> None:
        super().__init__(kernel, stride=1, padding=kernel // 2)


class SPPCSPC(nn.Module):
    """Spatial pyramid pooling on one branch of a cross-stage-partial block (pools 5, 9, 13)."""

    def __init__(self, in_channels: int, out_channels: int, activation: Activation) -> None:
        super().__init__()
        hidden = self.out_channels = out_channels
        self.cv1 = Conv(in_channels, hidden, 1, 1, activation)
        self.cv2 = Conv(in_channels, hidden, 1, 1, activation)
        self.cv3 = Conv(hidden, hidden, 3, 1, activation)
        self.cv4 = Conv(hidden, hidden, 1, 1, activation)
        self.m = nn.ModuleList(SamePool(kernel) for kernel in (5, 9, 13))
        self.cv5 = Conv(4 * hidden, hidden, 1, 1, activation)
        self.cv6 = Conv(hidden, hidden, 3, 1, activation)
        self.cv7 = Conv(2 * hidden, out_channels, 1, 1, activation)

    def forward(self, features: Tensor) -> Tensor:
        stem = self.cv4(self.cv3(self.cv1(features)))
        pooled = self.cv6(self.cv5(torch.cat([stem, *(pool(stem) for pool in self.m)], dim=1)))
        output: Tensor = self.cv7(torch.cat([pooled, self.cv2(features)], dim=1))
        return output


class Concat(nn.Module):
    """Concatenation on the channel axis."""

    def forward(self, *features: Tensor) -> Tensor:
        return torch.cat(features, dim=1)


class Pick(nn.Module):
    """One output of a layer that returns several, such as a backbone giving features at strides 8, 16 and 32."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return features[self.index]
