"""Two detectors that look at one canvas, and one list of boxes from both.

Networks that were taught apart err apart: what both see is more often there than what one sees alone.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou

from imaging.manifest import PAIR_MARK, DetectorManifest

Maps = tuple[Tensor, ...]


def join_features(found: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Feature maps of several backbones side by side, as one with all their channels.

    Args:
        found: per backbone its maps [B, C, S/s, S/s], one per stride, the strides alike; empty when it names none.

    Returns:
        One map [B, C + C' + ..., S/s, S/s] per stride; empty when a backbone names none.
    """
    return tuple(torch.cat(level, dim=1) for level in zip(*found, strict=True)) if all(found) else ()


def maps_of(part: DetectorManifest, features: Sequence[Tensor], beside: Sequence[Tensor]) -> dict[str, Maps]:
    """Feature maps of one network under the digests of the weights they come from.

    Args:
        part: the network.
        features: its backbone's.
        beside: its image classifier's; ignored when it has none.
    """
    found = {part.sha256: tuple(features)}
    if part.image_classifier is not None:
        found[part.image_classifier.sha256] = tuple(beside)
    return found


def read_maps(digest: str, maps: Mapping[str, Maps]) -> Maps:
    """The maps that heads read, side by side.

    Args:
        digest: names them and their order, `imaging.manifest.DetectorManifest.digest`.
        maps: as `maps_of` gives them, of all networks.

    Raises:
        KeyError: maps are asked for that are not there.
    """
    return join_features([maps[one] for one in digest.split(PAIR_MARK)])


def fuse_boxes(found: Sequence[Tensor], *, iou: float) -> Tensor:
    """Weighted boxes fusion (Solovyev, Wang & Gabruseva, Image and Vision Computing 2021, arXiv 1910.13302).

    Boxes are taken by falling score; each gathers the boxes of the same class that overlap it. Their mean, weighted by
    score, is the fused box. Its score is the mean over all detectors of the best score that each has in the gathering,
    0 for a detector that has none: what one of two sees alone keeps half its score.

    Args:
        found: per detector [n, 6]: xyxy, score 0..1, class; after its own suppression.
        iou: boxes that overlap more than this are one finding, 0..1.

    Returns:
        [m, 6] in the same form, by falling score.
    """
    rows = torch.cat(tuple(found))
    origin = torch.cat([torch.full((len(one),), number) for number, one in enumerate(found)])
    order = rows[:, 4].argsort(descending=True, stable=True)
    rows, origin = rows[order], origin[order]
    together = (box_iou(rows[:, :4], rows[:, :4]) > iou) & (rows[:, None, 5] == rows[None, :, 5])
    left = torch.ones(len(rows), dtype=torch.bool)
    fused: list[Tensor] = []
    for place in range(len(rows)):
        if not left[place]:
            continue
        gathered = together[place] & left
        gathered[place] = True
        left &= ~gathered
        fused.append(_fused(rows[gathered], origin[gathered], len(found)))
    if not fused:
        return rows
    result = torch.stack(fused)
    return result[result[:, 4].argsort(descending=True, stable=True)]


def _fused(rows: Tensor, origin: Tensor, detectors: int) -> Tensor:
    """One row from the rows [n, 6] of one gathering, by falling score."""
    scores = rows[:, 4]
    # The first row of a detector is its best one here.
    best = torch.stack([scores[origin == number][:1].sum() for number in range(detectors)])
    box = (rows[:, :4] * scores[:, None]).sum(dim=0) / scores.sum()
    return torch.cat((box, best.mean()[None], rows[0, 5:]))
