"""The compared networks behind one interface: a loss to learn by, and boxes found on canvases.

COCO and ImageNet weights of torchvision's networks are fetched over the network and so cannot be had here: these two
start from random weights, which the tables say. Two settings differ from the published ones, both in their favour:
anchors are as small as fractures are (16 to 70 px on a canvas of 512 px; the published smallest are 64 and 32 px), and
SSDLite's are given in pixels, because it learns on windows and is measured on whole images of another size.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from imaging.manifest import DetectorManifest
from imaging.runtime import DecodedNetwork, Runtime, load_network
from imaging.training.datamodule import Batch
from imaging.training.datasets import Target
from imaging.training.image_classifier import fracture_loss
from imaging.training.train import TrainingConfig, make_network
from imaging.yolov7.efficientnet_lite import EfficientNetLite0
from imaging.yolov7.image_classifier import ImageClassifier
from imaging.yolov7.postprocess import non_max_suppression

SCORE_FLOOR = 0.005
MAX_DETECTIONS = 100
FRACTURE_CLASS = 1
"""torchvision counts the background as class 0."""
SSD_ANCHORS_PX = (28.0, 48.0, 80.0, 128.0, 192.0, 256.0, 320.0)
"""Sides of SSDLite's square anchors, one per feature map; the last only gives the sixth map its larger square."""
RCNN_ANCHORS_PX = (16, 32, 64, 128, 256)
RCNN_BOXES_PER_WINDOW = 64
"""Proposals that the second stage learns from; the published 512 are for images of sixteen times a window's area."""


class BaselineName(StrEnum):
    """Which network is set beside our detector."""

    SSDLITE = "ssdlite320_mobilenet_v3_large"
    FASTER_RCNN = "fasterrcnn_mobilenet_v3_large_fpn"
    CLASSIFIER = "efficientnet_lite0_classifier"


class Finder(Protocol):
    """A network that looks at canvases."""

    locates: bool
    """False when its boxes say nothing about the place."""

    def find(self, images: Tensor) -> list[Tensor]:
        """Per canvas of [B, 3, S, S] in 0..1: [n, 5], xyxy in pixels of the canvas and score 0..1, by falling score."""
        ...


class Baseline(nn.Module):
    """A network that can be taught by `imaging.training.baselines.fit.fit`."""

    locates = True
    start = "random weights"
    """What the network knows before it learns."""

    def loss(self, batch: Batch) -> Tensor:
        """Scalar loss per window of a batch."""
        raise NotImplementedError

    def find(self, images: Tensor) -> list[Tensor]:
        """See `Finder.find`."""
        raise NotImplementedError


class TorchvisionDetector(Baseline):
    """A detector of torchvision that takes canvases as they are, without resizing them.

    Args:
        network: with two classes, background and fracture.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, batch: Batch) -> Tensor:
        """Sum of the network's own losses, each a mean over the windows."""
        parts: dict[str, Tensor] = self.network(list(batch.images), torchvision_targets(batch))
        return torch.stack(list(parts.values())).sum()

    def find(self, images: Tensor) -> list[Tensor]:
        """See `Finder.find`."""
        found: list[dict[str, Tensor]] = self.network(list(images))
        return [torch.cat((one["boxes"], one["scores"][:, None]), dim=1) for one in found]


class FractureClassifier(Baseline):
    """Fracture or none, for the whole radiograph: the image classifier of our detector, here by itself.

    Args:
        backbone: with the weights it starts from.
    """

    locates = False
    start = "ImageNet"

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        self.network = ImageClassifier(backbone)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] in 0..1 to log odds [B]."""
        return self.network.log_odds(self.network.backbone(images))

    def loss(self, batch: Batch) -> Tensor:
        """See `fracture_loss`."""
        return fracture_loss(self(batch.images), batch)

    def find(self, images: Tensor) -> list[Tensor]:
        """One row per canvas: the whole of it, with the probability of a fracture anywhere."""
        side = float(images.shape[-1])
        return [torch.tensor([[0.0, 0.0, side, side, float(p)]]) for p in self(images).sigmoid()]


class YoloFinder:
    """Our detector, for measuring and timing; it learns through `FractureDetector`.

    Args:
        manifest: which weights, and how boxes are suppressed.
        runtime: what runs the network; None takes eager torch on the CPU, which also takes batches.
    """

    locates = True

    def __init__(self, manifest: DetectorManifest, runtime: Runtime | None = None) -> None:
        self.manifest = manifest
        self._decode = _eager(manifest) if runtime is None else _one_by_one(runtime)

    def find(self, images: Tensor) -> list[Tensor]:
        """See `Finder.find`."""
        found = non_max_suppression(
            self._decode(images),
            score_threshold=min(SCORE_FLOOR, self.manifest.score_floor),
            iou_threshold=self.manifest.nms_iou,
            max_detections=MAX_DETECTIONS,
        )
        return [rows[:, :5] for rows in found]


def _eager(manifest: DetectorManifest) -> Callable[[Tensor], Tensor]:
    network = DecodedNetwork(load_network(manifest)).eval().to(memory_format=torch.channels_last)

    def decode(images: Tensor) -> Tensor:
        decoded: Tensor = network(images.contiguous(memory_format=torch.channels_last))[0]
        return decoded

    return decode


def _one_by_one(runtime: Runtime) -> Callable[[Tensor], Tensor]:
    return lambda images: torch.cat([runtime.predict(image[None]).decoded for image in images])


class PixelBoxGenerator(DefaultBoxGenerator):  # type: ignore[misc]
    """SSD's default boxes with sides in pixels instead of shares of the canvas.

    Args:
        sides_px: side of the square box of each feature map, and one more.
        aspect_ratios: further ratios of each map; 2 stands for 2:1 and 1:2.
    """

    def __init__(self, sides_px: tuple[float, ...], aspect_ratios: tuple[int, ...] = (2, 3)) -> None:
        super().__init__([list(aspect_ratios) for _ in sides_px[:-1]], scales=list(sides_px), clip=False)

    def _grid_default_boxes(
        self, grid_sizes: list[list[int]], image_size: list[int], dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """[n, 4] cxcywh as shares of the canvas, which is what the caller multiplies."""
        boxes: Tensor = super()._grid_default_boxes(grid_sizes, image_size, dtype)
        height, width = image_size
        return boxes / torch.tensor([1.0, 1.0, width, height], dtype=dtype)


class WithoutResizing(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Leaves images at the size they come in; torchvision's own switch does so while training only.

    Args:
        old: whose normalisation of the grey values to keep.
    """

    def __init__(self, old: GeneralizedRCNNTransform) -> None:
        super().__init__(old.min_size, old.max_size, old.image_mean, old.image_std, size_divisible=1)

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """Both as they are."""
        return image, target


def torchvision_targets(batch: Batch) -> list[dict[str, Tensor]]:
    """Targets of a batch as torchvision wants them: boxes [n, 4] xyxy in pixels and labels [n] per window."""
    size = batch.images.shape[-1]
    centres, sides = batch.targets[:, 2:4] * size, batch.targets[:, 4:6] * size
    boxes = torch.cat((centres - sides / 2, centres + sides / 2), dim=1)
    wanted = []
    for number in range(len(batch.images)):
        own = boxes[batch.targets[:, 0] == number]
        labels = torch.full((len(own),), FRACTURE_CLASS, dtype=torch.int64, device=own.device)
        wanted.append({"boxes": own, "labels": labels})
    return wanted


def make_baseline(name: BaselineName, config: TrainingConfig) -> Baseline:
    """A network that has learnt nothing of fractures yet.

    Args:
        name: which one.
        config: the classifier's backbone is that of its graph, which must have a Lite0 backbone.

    Raises:
        TrainingDataError: the ImageNet weights of the classifier's backbone are not installed.
        ValueError: the graph has no Lite0 backbone.
    """
    if name is BaselineName.SSDLITE:
        return TorchvisionDetector(_ssdlite())
    if name is BaselineName.FASTER_RCNN:
        return TorchvisionDetector(_faster_rcnn())
    backbone = next((part for part in make_network(config).modules() if isinstance(part, EfficientNetLite0)), None)
    if backbone is None:
        raise ValueError(f"the graph {config.graph} has no EfficientNet-Lite0 backbone")
    return FractureClassifier(backbone)


def _ssdlite() -> nn.Module:
    network: Any = detection.ssdlite320_mobilenet_v3_large(
        weights=None,
        weights_backbone=None,
        num_classes=2,
        score_thresh=SCORE_FLOOR,
        detections_per_img=MAX_DETECTIONS,
    )
    network.anchor_generator = PixelBoxGenerator(SSD_ANCHORS_PX)
    network.transform = WithoutResizing(network.transform)
    module: nn.Module = network
    return module


def _faster_rcnn() -> nn.Module:
    network: Any = detection.fasterrcnn_mobilenet_v3_large_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=2,
        box_score_thresh=SCORE_FLOOR,
        rpn_score_thresh=SCORE_FLOOR,
        box_detections_per_img=MAX_DETECTIONS,
        box_batch_size_per_image=RCNN_BOXES_PER_WINDOW,
    )
    levels = len(network.rpn.anchor_generator.sizes)
    network.rpn.anchor_generator = AnchorGenerator((RCNN_ANCHORS_PX,) * levels, ((0.5, 1.0, 2.0),) * levels)
    network.transform = WithoutResizing(network.transform)
    module: nn.Module = network
    return module
