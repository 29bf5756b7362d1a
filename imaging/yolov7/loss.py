"""Training loss of YOLOv7: box CIoU, objectness and class cross-entropy over matched predictions.

Source: arXiv 2207.02696 with the gains of its published settings; CIoU: arXiv 1911.08287; focal factor: arXiv
1708.02002.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imaging.yolov7.assigner import CandidateSearch, Lattice, Matches, OtaAssignment, flatten, lattice, matched_boxes
from imaging.yolov7.network import Yolov7

LEVEL_BALANCE = (4.0, 1.0, 0.4)
"""Weight of each level's objectness: the finest has the most cells and so the smallest mean."""

FOCAL_ALPHA = 0.25


@dataclass(frozen=True, slots=True)
class LossGains:
    """Weight of each term. The defaults are those of yolov7-tiny; yolov7 has .05, .7, .3."""

    box: float = 0.05
    objectness: float = 1.0
    classification: float = 0.5

    def scaled(self, *, num_levels: int, num_classes: int, image_size: int) -> Self:
        """Gains for a task other than COCO's 80 classes, 3 levels and 640 px, for which they were tuned."""
        per_level = 3.0 / num_levels
        return replace(
            self,
            box=self.box * per_level,
            objectness=self.objectness * (image_size / 640.0) ** 2 * per_level,
            classification=self.classification * num_classes / 80.0 * per_level,
        )


YOLOV7_TINY_GAINS = LossGains()
YOLOV7_GAINS = LossGains(objectness=0.7, classification=0.3)


@dataclass(frozen=True, slots=True)
class LossItems:
    """A batch's loss: three detached scalars per image, gains included, and what to minimise.

    `total` = (box + objectness + classification) * batch size; it carries the gradient.
    """

    box: Tensor
    objectness: Tensor
    classification: Tensor
    total: Tensor


class DetectionLoss(nn.Module):
    """The plain loss (all candidates are positives), or the OTA loss (an assignment picks among them).

    A term's value per level is a mean over its matches (box, class) or its predictions (objectness); levels are summed.
    The class term is left out if there is a single class. Runs in float32 whatever autocast says.

    Args:
        anchors: [L, A, 2] anchor width and height in pixels.
        num_classes: number of classes.
        strides: pixels per cell of each level.
        gains: weights of the terms, used as they are (see `LossGains.scaled`).
        candidates: which pairs may match.
        assignment: which candidates are kept; None keeps all.
        focal_gamma: exponent of the focal factor on objectness and class terms; 0 switches it off.
        label_smoothing: class targets become 1 - e / 2 and e / 2.
    """

    anchors: Tensor

    def __init__(
        self,
        anchors: Tensor,
        num_classes: int,
        *,
        strides: Sequence[int],
        gains: LossGains = YOLOV7_TINY_GAINS,
        candidates: CandidateSearch | None = None,
        assignment: OtaAssignment | None = None,
        focal_gamma: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        # Not persistent: the network's own anchors are the ones that travel with the weights.
        self.register_buffer("anchors", anchors.detach().float().clone(), persistent=False)
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.gains = gains
        self.candidates = candidates or CandidateSearch()
        self.assignment = assignment
        self.focal_gamma = focal_gamma
        self.label_smoothing = label_smoothing
        self._lattice: Lattice | None = None

    def forward(self, raw: Sequence[Tensor], targets: Tensor) -> LossItems:
        """Loss of a batch.

        Args:
            raw: per level [B, A, H, W, 5 + classes] logits.
            targets: [T, 6] (image, class, cx, cy, w, h), the box as a fraction of the network input's size.
        """
        with torch.autocast(raw[0].device.type, enabled=False):
            return self._loss(flatten(raw).float(), targets.to(raw[0].device).float(), self._grid(raw))

    def _grid(self, raw: Sequence[Tensor]) -> Lattice:
        """The lattice of this input size, kept from one batch to the next."""
        shapes = tuple((level.shape[2], level.shape[3]) for level in raw)
        if self._lattice is None or self._lattice.shapes != shapes or self._lattice.anchor.device != raw[0].device:
            self._lattice = lattice(shapes, self.anchors.to(raw[0].device), self.strides)
        return self._lattice

    def _loss(self, logits: Tensor, targets: Tensor, grid: Lattice) -> LossItems:
        matches = self.candidates.find(targets, grid)
        if self.assignment is not None:
            matches = self.assignment.assign(logits.detach(), targets, grid, matches)
        matched = logits[matches.image, matches.position]
        weight = _level_mean_weights(matches, grid)
        truth = targets[matches.target]
        wanted = truth[:, 2:6] * grid.size.repeat(2)
        overlap = complete_iou(matched_boxes(matched, matches, grid), wanted)
        box = self.gains.box * ((1.0 - overlap) * weight).sum()
        objectness = self.gains.objectness * self._objectness(logits[..., 4], overlap.detach(), matches, grid)
        classification = self.gains.classification * self._classes(matched[:, 5:], truth[:, 1].long(), weight)
        total = (box + objectness + classification) * logits.shape[0]
        return LossItems(box.detach(), objectness.detach(), classification.detach(), total)

    def _objectness(self, logits: Tensor, overlap: Tensor, matches: Matches, grid: Lattice) -> Tensor:
        """Balanced mean over [B, N] logits; the target is the matched box's CIoU, the best one if there are several."""
        wanted = torch.zeros_like(logits)
        index = matches.image * logits.shape[1] + matches.position
        wanted.view(-1).scatter_reduce_(0, index, overlap.clamp(min=0.0), "amax")
        entropy = self._cross_entropy(logits, wanted)
        levels = torch.split(entropy, grid.counts, dim=1)
        balance = LEVEL_BALANCE if len(levels) == len(LEVEL_BALANCE) else (1.0,) * len(levels)
        return torch.stack([part.mean() * factor for part, factor in zip(levels, balance, strict=True)]).sum()

    def _classes(self, logits: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
        """Weighted sum over matches of the mean over classes; logits [M, classes], classes [M]."""
        if self.num_classes == 1:
            return logits.new_zeros(())
        wanted = F.one_hot(classes, self.num_classes).to(logits.dtype)
        wanted = wanted * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        return (self._cross_entropy(logits, wanted).mean(dim=1) * weight).sum()

    def _cross_entropy(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Binary cross-entropy per element, with the focal factor where asked for."""
        entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        if self.focal_gamma == 0.0:
            return entropy
        probability = logits.sigmoid()
        missed = wanted * (1.0 - probability) + (1.0 - wanted) * probability
        alpha = wanted * FOCAL_ALPHA + (1.0 - wanted) * (1.0 - FOCAL_ALPHA)
        return entropy * alpha * missed**self.focal_gamma


def plain_loss(network: Yolov7, gains: LossGains = YOLOV7_TINY_GAINS) -> DetectionLoss:
    """The loss over all candidates."""
    return DetectionLoss(network.anchors, network.num_classes, strides=network.strides, gains=gains)


def ota_loss(network: Yolov7, gains: LossGains = YOLOV7_TINY_GAINS) -> DetectionLoss:
    """The loss over the cheapest candidates of each target, YOLOv7's default."""
    return DetectionLoss(
        network.anchors, network.num_classes, strides=network.strides, gains=gains, assignment=OtaAssignment()
    )


def complete_iou(boxes: Tensor, others: Tensor, eps: float = 1e-7) -> Tensor:
    """CIoU [M] of boxes [M, 4] (cx, cy, w, h) pair by pair: IoU - centre distance term - aspect ratio term."""
    half, other_half = boxes[:, 2:] / 2, others[:, 2:] / 2
    low, high = boxes[:, :2] - half, boxes[:, :2] + half
    other_low, other_high = others[:, :2] - other_half, others[:, :2] + other_half
    shared = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(dim=1)
    union = boxes[:, 2:].prod(dim=1) + others[:, 2:].prod(dim=1) - shared + eps
    iou = shared / union
    enclosing = torch.maximum(high, other_high) - torch.minimum(low, other_low)
    diagonal = enclosing.square().sum(dim=1) + eps
    distance = (boxes[:, :2] - others[:, :2]).square().sum(dim=1)
    angle = torch.atan(others[:, 2] / (others[:, 3] + eps)) - torch.atan(boxes[:, 2] / (boxes[:, 3] + eps))
    aspect = (4 / math.pi**2) * angle.square()
    with torch.no_grad():
        # The trade-off factor is a constant in the paper's gradient.
        trade_off = aspect / (1 - iou + aspect + eps)
    return iou - (distance / diagonal + trade_off * aspect)


def _level_mean_weights(matches: Matches, grid: Lattice) -> Tensor:
    """Weights [M] that turn a sum over matches into a sum over levels of the mean over the level's matches."""
    level = grid.level[matches.position]
    counts = torch.bincount(level, minlength=len(grid.shapes)).clamp(min=1)
    return counts.to(grid.anchor.dtype).reciprocal()[level]
