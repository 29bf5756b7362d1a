"""Detection head with implicit knowledge, and the decoding of its outputs into boxes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

BOX_CHANNELS = 5
"""x, y, w, h and objectness come before the classes."""

PRIOR_OBJECTS_PER_IMAGE = 8
PRIOR_IMAGE_SIZE = 640


class Implicit(nn.Module):
    """A learned vector [1, C, 1, 1] shared by every position (implicit knowledge, arXiv 2105.04206)."""

    implicit: nn.Parameter

    def __init__(self, channels: int, mean: float) -> None:
        super().__init__()
        self.implicit = nn.Parameter(torch.empty(1, channels, 1, 1).normal_(mean, 0.02))


class Head(nn.Module):
    """Per level: conv1x1(x + ia) * im, one group of 5 + classes channels per anchor.

    Buffers `anchors` [L, A, 2] are in cells of their level and `anchor_grid` [L, 1, A, 1, 1, 2] in pixels of the
    network input; both travel with the weights, as in the published ones.

    Args:
        in_channels: channels of each level's features.
        num_classes: number of classes, at least 1.
        anchors: [L, A, 2] anchor width and height in pixels.
        strides: pixels per cell of each level.
    """

    anchors: Tensor
    anchor_grid: Tensor

    def __init__(self, in_channels: Sequence[int], num_classes: int, anchors: Tensor, strides: Sequence[int]) -> None:
        super().__init__()
        if anchors.ndim != 3 or anchors.shape[0] != len(in_channels) or anchors.shape[2] != 2:
            raise ValueError(f"anchors must have shape [{len(in_channels)}, A, 2], got {list(anchors.shape)}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.num_classes = num_classes
        self.num_anchors = anchors.shape[1]
        self.strides = tuple(strides)
        channels = self.num_anchors * (BOX_CHANNELS + num_classes)
        self.register_buffer("anchors", anchors / torch.tensor(self.strides).view(-1, 1, 1))
        self.register_buffer("anchor_grid", anchors.clone().view(len(in_channels), 1, -1, 1, 1, 2))
        self.m = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels)
        self.ia = nn.ModuleList(Implicit(width, mean=0.0) for width in in_channels)
        self.im = nn.ModuleList(Implicit(channels, mean=1.0) for _ in in_channels)
        self._initialise_biases()

    @torch.no_grad()
    def _initialise_biases(self) -> None:
        """Start from the prior of few objects, so that early training is not spent on unlearning background.

        Objectness starts at the log-odds (RetinaNet, arXiv 1708.02002, section 4.1) of 8 objects in a 640 px image,
        spread over the cells of the level; classes at the log-odds of a uniform choice, damped. With a single class the
        loss has no class term: that channel then gets no gradient, so its kernel starts at zero and it stays the
        constant factor sigmoid(4.6) = 0.99, instead of multiplying every score by noise for ever.
        """
        for layer, stride in zip(self.m, self.strides, strict=True):
            conv, flat_bias = _conv_and_bias(layer)
            weight = conv.weight.view(self.num_anchors, BOX_CHANNELS + self.num_classes, -1)
            bias = flat_bias.view(self.num_anchors, BOX_CHANNELS + self.num_classes)
            bias[:, 4] += _log_odds(PRIOR_OBJECTS_PER_IMAGE / (PRIOR_IMAGE_SIZE / stride) ** 2)
            if self.num_classes == 1:
                weight[:, BOX_CHANNELS:] = 0.0
                bias[:, BOX_CHANNELS:] = _log_odds(0.99)
            else:
                bias[:, BOX_CHANNELS:] += _log_odds(0.6 / self.num_classes)

    @property
    def anchors_px(self) -> Tensor:
        """Anchor width and height [L, A, 2] in pixels of the network input."""
        return self.anchor_grid.reshape(len(self.m), self.num_anchors, 2)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Raw outputs [B, A, H, W, 5 + classes] (logits, before `decode`), one per level."""
        outputs = []
        for level, (feature, conv) in enumerate(zip(features, self.m, strict=True)):
            output = conv(feature + _vector(self.ia[level])) * _vector(self.im[level]) if self.ia else conv(feature)
            batch, _, height, width = output.shape
            grouped = output.view(batch, self.num_anchors, BOX_CHANNELS + self.num_classes, height, width)
            outputs.append(grouped.permute(0, 1, 3, 4, 2).contiguous())
        return outputs

    @torch.no_grad()
    def fuse_(self) -> None:
        """Fold the learned vectors into the convolutions: kernel' = im * kernel, bias' = im * (bias + kernel @ ia)."""
        if not self.ia:
            return
        for layer, added, factor in zip(self.m, self.ia, self.im, strict=True):
            conv, bias = _conv_and_bias(layer)
            kernel = conv.weight.double()
            scale = _vector(factor).double().view(-1)
            moved = bias.double() + kernel[:, :, 0, 0] @ _vector(added).double().view(-1)
            conv.weight.copy_(kernel * scale.view(-1, 1, 1, 1))
            bias.copy_(moved * scale)
        self.ia = nn.ModuleList()
        self.im = nn.ModuleList()


def _vector(layer: nn.Module) -> Tensor:
    if not isinstance(layer, Implicit):
        raise TypeError(f"expected a learned vector, found {type(layer).__name__}")
    return layer.implicit


def _conv_and_bias(layer: nn.Module) -> tuple[nn.Conv2d, Tensor]:
    if not isinstance(layer, nn.Conv2d) or layer.bias is None:
        raise TypeError(f"expected a convolution with a bias, found {type(layer).__name__}")
    return layer, layer.bias


def _log_odds(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def cell_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Cell coordinates [H, W, 2] as (column, row), with the dtype and device of `like`."""
    rows = torch.arange(height, device=like.device, dtype=like.dtype).view(-1, 1).expand(height, width)
    columns = torch.arange(width, device=like.device, dtype=like.dtype).view(1, -1).expand(height, width)
    return torch.stack((columns, rows), dim=-1)


def decode(raw: Sequence[Tensor], anchors: Tensor, strides: Sequence[int]) -> Tensor:
    """Turn raw head outputs into boxes in pixels of the network input.

    With s = sigmoid(raw): centre = (2 s - 0.5 + cell) * stride, size = (2 s)^2 * anchor. A pure function without
    in-place writes, so that it can be traced and exported together with the network.

    Args:
        raw: per level [B, A, H, W, 5 + classes] logits.
        anchors: [L, A, 2] anchor width and height in pixels.
        strides: pixels per cell of each level.

    Returns:
        [B, N, 5 + classes] as (cx, cy, w, h, objectness, class probabilities), level by level, anchor-major, then row,
        then column; N = sum over levels of A * H * W.
    """
    decoded = []
    for level, (logits, stride) in enumerate(zip(raw, strides, strict=True)):
        batch, num_anchors, height, width, channels = logits.shape
        # Half precision has too few digits for pixel coordinates; under autocast the logits may come in it.
        probability = logits.float().sigmoid()
        centre = (probability[..., 0:2] * 2.0 - 0.5 + cell_grid(height, width, probability)) * float(stride)
        size = (probability[..., 2:4] * 2.0) ** 2 * anchors[level].to(probability).view(1, num_anchors, 1, 1, 2)
        boxes = torch.cat((centre, size, probability[..., 4:]), dim=-1)
        decoded.append(boxes.reshape(batch, num_anchors * height * width, channels))
    return torch.cat(decoded, dim=1)
