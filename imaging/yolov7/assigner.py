"""Which predictions are held to which targets (arXiv 2207.02696, section 5.1; SimOTA: arXiv 2107.08430).

Predictions are addressed by image and position, where position runs over the N predictions of an image in the order of
`imaging.yolov7.head.decode`: level by level, anchor-major, then row, then column.

Targets are [T, 6] float tensors (image, class, cx, cy, w, h), the box as a fraction of the network input's size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TOP_IOUS = 10
"""A target's number of positives is the sum of its best IoUs, so this many at most."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where the N predictions of one image sit.

    Attributes:
        shapes: (rows, columns) of each level.
        num_anchors: anchors per cell.
        level: [N] level number.
        cell: [N, 2] (column, row).
        stride: [N, 1] pixels per cell.
        anchor: [N, 2] width and height in pixels.
        size: [2] width and height of the network input in pixels.
    """

    shapes: tuple[tuple[int, int], ...]
    num_anchors: int
    level: Tensor
    cell: Tensor
    stride: Tensor
    anchor: Tensor
    size: Tensor

    @property
    def counts(self) -> list[int]:
        """Predictions per level."""
        return [self.num_anchors * rows * columns for rows, columns in self.shapes]


@dataclass(frozen=True, slots=True)
class Matches:
    """M pairs of a prediction and a target: index vectors [M]; `target` numbers the rows of the targets tensor."""

    image: Tensor
    position: Tensor
    target: Tensor


def lattice(shapes: Sequence[tuple[int, int]], anchors: Tensor, strides: Sequence[int]) -> Lattice:
    """The lattice of an input whose levels have these (rows, columns).

    Args:
        shapes: (rows, columns) per level.
        anchors: [L, A, 2] width and height in pixels; sets device and dtype.
        strides: pixels per cell per level.
    """
    num_anchors = anchors.shape[1]
    cells, sizes, levels, pitches = [], [], [], []
    for number, ((rows, columns), stride) in enumerate(zip(shapes, strides, strict=True)):
        row, column = torch.meshgrid(
            torch.arange(rows, device=anchors.device), torch.arange(columns, device=anchors.device), indexing="ij"
        )
        count = rows * columns
        cells.append(torch.stack((column, row), dim=-1).view(1, count, 2).expand(num_anchors, -1, -1).reshape(-1, 2))
        sizes.append(anchors[number].view(num_anchors, 1, 2).expand(-1, count, -1).reshape(-1, 2))
        levels.append(torch.full((num_anchors * count,), number, device=anchors.device))
        pitches.append(torch.full((num_anchors * count, 1), float(stride), device=anchors.device, dtype=anchors.dtype))
    rows, columns = shapes[0]
    return Lattice(
        shapes=tuple(shapes),
        num_anchors=num_anchors,
        level=torch.cat(levels),
        cell=torch.cat(cells).to(anchors.dtype),
        stride=torch.cat(pitches),
        anchor=torch.cat(sizes),
        size=torch.tensor([columns, rows], device=anchors.device, dtype=anchors.dtype) * strides[0],
    )


def matched_boxes(logits: Tensor, matches: Matches, grid: Lattice) -> Tensor:
    """Boxes [M, 4] (cx, cy, w, h) in pixels of matched logits [M, 5 + classes], as `decode` gives them."""
    s = logits[:, :4].sigmoid()
    position = matches.position
    centre = (s[:, :2] * 2.0 - 0.5 + grid.cell[position]) * grid.stride[position]
    size = (s[:, 2:] * 2.0) ** 2 * grid.anchor[position]
    return torch.cat((centre, size), dim=1)


def flatten(raw: Sequence[Tensor]) -> Tensor:
    """Raw outputs, per level [B, A, H, W, C], as [B, N, C] in the order of `decode`."""
    return torch.cat([level.reshape(level.shape[0], -1, level.shape[-1]) for level in raw], dim=1)


class CandidateSearch:
    """All (prediction, target) pairs near in shape and place.

    A target matches an anchor if neither side differs by a factor of `ratio_limit` or more; it then takes the cell that
    holds its centre and the two neighbours nearest to the centre (one in x, one in y), where they exist. A centre right
    on the border of two cells, equally near to both sides, counts its own cell again in place of the far neighbour: the
    reference losses hold that convention.

    Args:
        ratio_limit: limit of max(w / aw, aw / w, h / ah, ah / h).
    """

    def __init__(self, ratio_limit: float = 4.0) -> None:
        self.ratio_limit = ratio_limit

    def find(self, targets: Tensor, grid: Lattice) -> Matches:
        """Candidates of every target, without order; a prediction may be a candidate of several targets.

        Args:
            targets: [T, 6] (image, class, cx, cy, w, h), normalised.
            grid: where the predictions sit.
        """
        found = []
        start = 0
        for (rows, columns), count in zip(grid.shapes, grid.counts, strict=True):
            first = grid.anchor[start : start + count : rows * columns] / grid.stride[start]
            target, anchor, column, row = self._level_candidates(targets, first, rows, columns)
            found.append((target, start + (anchor * rows + row) * columns + column))
            start += count
        target = torch.cat([one for one, _ in found])
        return Matches(targets[target, 0].long(), torch.cat([position for _, position in found]), target)

    def _level_candidates(
        self, targets: Tensor, anchors: Tensor, rows: int, columns: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Target, anchor, column and row numbers, each [n]; `anchors` [A, 2] in cells."""
        extent = targets.new_tensor([columns, rows])
        ratio = (targets[:, None, 4:6] * extent) / anchors
        target, anchor = (torch.maximum(ratio, 1.0 / ratio).amax(dim=2) < self.ratio_limit).nonzero(as_tuple=True)
        centre = targets[target, 2:4] * extent
        below = (centre % 1.0 < 0.5) & (centre > 1.0)
        above = ((extent - centre) % 1.0 < 0.5) & (extent - centre > 1.0)
        near = torch.cat((torch.ones_like(below[:, :1]), below, above), dim=1)
        index, shift = near.nonzero(as_tuple=True)
        # Moving the centre by half a cell towards a neighbour that is near enough lands in that neighbour.
        moves = targets.new_tensor([[0.0, 0.0], [-0.5, 0.0], [0.0, -0.5], [0.5, 0.0], [0.0, 0.5]])
        place = torch.minimum((centre[index] + moves[shift]).floor().clamp(min=0), extent - 1).long()
        return target[index], anchor[index], place[:, 0], place[:, 1]


class OtaAssignment:
    """Simplified optimal transport: each target keeps its k cheapest candidates.

    k is the sum of the target's 10 best IoUs, rounded down, at least 1. A candidate's cost is the class cross-entropy
    of sqrt(sigmoid(class) * sigmoid(objectness)) summed over classes, plus `iou_weight` * -log(IoU + 1e-8). A target
    may keep any candidate of its image, also one that was found for another target; a prediction that several targets
    keep goes to the one of them for which it is cheapest.
    """

    def __init__(self, iou_weight: float = 3.0) -> None:
        self.iou_weight = iou_weight

    @torch.no_grad()
    def assign(self, logits: Tensor, targets: Tensor, grid: Lattice, candidates: Matches) -> Matches:
        """The kept pairs: a subset of the candidates' predictions, each with the target it now belongs to.

        Args:
            logits: [B, N, 5 + classes] float32, see `flatten`.
            targets: [T, 6] (image, class, cx, cy, w, h), normalised.
            grid: where the predictions sit.
            candidates: pairs that may match.
        """
        if len(candidates.target) == 0:
            return candidates
        batch = logits.shape[0]
        candidate, target = _by_image(candidates.image, batch), _by_image(targets[:, 0].long(), batch)
        valid = (target >= 0)[:, :, None] & (candidate >= 0)[:, None, :]
        matched = logits[candidates.image, candidates.position]
        iou = _pairwise_iou(
            (targets[:, 2:6] * grid.size.repeat(2))[target], matched_boxes(matched, candidates, grid)[candidate]
        )
        iou = torch.where(valid, iou, 0.0)
        cost = _class_cost(matched, candidate, targets[:, 1].long()[target]) - self.iou_weight * torch.log(iou + 1e-8)
        kept = _cheapest(torch.where(valid, cost, torch.inf), iou) & valid
        claimed, owner = kept.any(dim=1), torch.where(kept, cost, torch.inf).argmin(dim=1)
        image, column = claimed.nonzero(as_tuple=True)
        return Matches(image, candidates.position[candidate[image, column]], target[image, owner[image, column]])


def _by_image(image: Tensor, batch: int) -> Tensor:
    """Row numbers grouped by image [batch, longest group], padded with -1; `image` [n] need not be sorted."""
    counts = torch.bincount(image, minlength=batch)
    order = torch.argsort(image, stable=True)
    group = image[order]
    table = image.new_full((batch, int(counts.max())), -1)
    table[group, torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[group]] = order
    return table


def _pairwise_iou(targets: Tensor, boxes: Tensor) -> Tensor:
    """IoU [B, T, C] of targets [B, T, 4] with boxes [B, C, 4], all (cx, cy, w, h)."""
    first, second = targets[:, :, None], boxes[:, None]
    low = torch.maximum(first[..., :2] - first[..., 2:] / 2, second[..., :2] - second[..., 2:] / 2)
    high = torch.minimum(first[..., :2] + first[..., 2:] / 2, second[..., :2] + second[..., 2:] / 2)
    shared = (high - low).clamp(min=0).prod(dim=-1)
    union = first[..., 2:].prod(dim=-1) + second[..., 2:].prod(dim=-1) - shared
    return shared / union.clamp(min=1e-9)


def _class_cost(logits: Tensor, candidate: Tensor, classes: Tensor) -> Tensor:
    """Class cross-entropy [B, T, C] of p = sqrt(sigmoid(class) * sigmoid(objectness)) against the target's class.

    Summed over classes it is sum(-log(1 - p)) for all classes but the target's, which gives -log(p) instead: two terms
    a candidate and class, rather than a tensor of [B, T, C, classes].
    """
    log_p = 0.5 * (logits[:, 5:].sigmoid().log() + logits[:, 4:5].sigmoid().log()).clamp(min=-100.0)
    log_not_p = torch.log1p(-log_p.exp()).clamp(min=-100.0)
    swap = (log_not_p - log_p)[candidate]
    chosen = torch.gather(swap, 2, classes[:, None, :].expand(-1, swap.shape[1], -1)).transpose(1, 2)
    return chosen - log_not_p.sum(dim=1)[candidate][:, None, :]


def _cheapest(cost: Tensor, iou: Tensor) -> Tensor:
    """Mask [B, T, C] of each target's k cheapest candidates; k from its best IoUs."""
    limit = min(TOP_IOUS, cost.shape[2])
    wanted = iou.topk(limit, dim=2).values.sum(dim=2).int().clamp(min=1)
    order = cost.topk(limit, dim=2, largest=False).indices
    within = torch.arange(limit, device=cost.device) < wanted[..., None]
    return torch.zeros_like(cost, dtype=torch.bool).scatter_(2, order, within)
