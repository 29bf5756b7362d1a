"""The network as an edge runtime carries it: a grey canvas in, boxes and scores out, decoding inside.

Where the file is to tell limb radiographs from other pictures, two of the backbone's feature maps come out as well.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from imaging.yolov7 import Yolov7, fuse
from imaging.yolov7.head import BOX_CHANNELS, cell_grid


class EdgeNetwork(nn.Module):
    """A fused detector that wants no arithmetic of its host but non-maximum suppression.

    The decoding is that of `imaging.yolov7.head.decode`, written with the operations every edge runtime has (a product
    in place of a power) and with boxes and scores apart: they differ a thousandfold in range, and a quantiser must
    never have to give both one scale.

    Args:
        network: the detector.
        with_features: give the feature maps that the scope model reads, too.
    """

    def __init__(self, network: Yolov7, *, with_features: bool = False) -> None:
        super().__init__()
        self.network = fuse(network)
        self.with_features = with_features

    def forward(self, canvas: Tensor) -> tuple[Tensor, ...]:
        """A grey canvas to boxes and scores.

        Args:
            canvas: [1, 1, S, S] in 0..1, contrast normalised, S a multiple of 32.

        Returns:
            Boxes [1, N, 4] as (x1, y1, x2, y2) in canvas pixels, and scores [1, N, classes] in 0..1
            (objectness times class probability); `with_features`, also the backbone's maps [1, C, S/s, S/s] at
            strides 16 and 32.
        """
        images = torch.cat((canvas, canvas, canvas), dim=1)
        if not self.with_features:
            return _decode(self.network(images), self.network.anchors, self.network.strides)
        raw, (_, middle, coarse), _ = self.network.forward_with_features(images)
        return (*_decode(raw, self.network.anchors, self.network.strides), middle, coarse)


def _decode(raw: Sequence[Tensor], anchors: Tensor, strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    boxes, scores = [], []
    for logits, sizes, stride in zip(raw, anchors, strides, strict=True):
        _, per_cell, height, width, channels = logits.shape
        probability = logits.sigmoid()
        centre = (probability[..., 0:2] * 2.0 - 0.5 + cell_grid(height, width, probability)) * float(stride)
        doubled = probability[..., 2:4] * 2.0
        half = doubled * doubled * (sizes.view(1, per_cell, 1, 1, 2) * 0.5)
        count = per_cell * height * width
        boxes.append(torch.cat((centre - half, centre + half), dim=-1).reshape(1, count, 4))
        likelihood = probability[..., 4:BOX_CHANNELS] * probability[..., BOX_CHANNELS:]
        scores.append(likelihood.reshape(1, count, channels - BOX_CHANNELS))
    return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)
