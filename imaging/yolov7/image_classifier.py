"""A second opinion on the whole radiograph: fracture or none, without a place, and what it makes of a detector's boxes.

A detector judges every place by what is around it. A classifier of the whole picture ranks radiographs as well after a
small part of the training, and errs elsewhere; so it may lower what the detector says of a radiograph that looks
healthy as a whole. It never raises a score: every box of a suspicious radiograph would then outrank better ones
elsewhere.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.yolov7.efficientnet_lite import FEATURE_CHANNELS, EfficientNetLite0

SCALE = 0.625
"""The classifier looks at the detector's canvas reduced by this: 320 of 512 pixels."""
DROPOUT = 0.2


class ImageClassifier(nn.Module):
    """Mean and maximum of the coarsest features of an EfficientNet-Lite0, and one linear layer.

    Args:
        backbone: with the weights it starts from; fresh ones by default.
        weight: factor on the log odds that lower the detector's.
    """

    def __init__(self, backbone: EfficientNetLite0 | None = None, *, weight: float = 1.0) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0() if backbone is None else backbone
        self.head = nn.Linear(2 * FEATURE_CHANNELS[-1], 1)
        self.weight = weight

    def forward(self, canvas: Tensor) -> Tensor:
        """Canvases [B, 3, S, S] in 0..1, as the detector's, to log odds of a fracture [B]."""
        return self.log_odds(self.features(canvas))

    def features(self, canvas: Tensor) -> list[Tensor]:
        """The backbone's maps of canvases [B, 3, S, S] in 0..1, as the detector's; see `EfficientNetLite.forward`."""
        reduced = functional.interpolate(canvas, scale_factor=SCALE, mode="bilinear", align_corners=False)
        maps: list[Tensor] = self.backbone(reduced)
        return maps

    def log_odds(self, maps: Sequence[Tensor]) -> Tensor:
        """The backbone's maps to log odds of a fracture [B]."""
        features = maps[-1]
        pooled = torch.cat((features.mean(dim=(2, 3)), features.amax(dim=(2, 3))), dim=1)
        odds: Tensor = self.head(functional.dropout(pooled, DROPOUT, self.training))
        return odds[:, 0]

    def lowering(self, maps: Sequence[Tensor]) -> Tensor:
        """The backbone's maps to what is added to the objectness logits of a canvas' boxes: [B], 0 at the most."""
        return self.weight * self.log_odds(maps).clamp(max=0.0)
