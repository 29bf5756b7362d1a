"""Several networks, each shown a picture in several ways, answer as one.

The same hand turned a little or seen from a little nearer has the same age, and what a network errs differently on each
such view falls out of the mean. Networks that work on grids of other fineness err differently, too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from imaging.bone_age.network import BoneAgeNetwork

MAX_TURN_DEGREES: Final = 30.0
SCALES: Final = (0.5, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to show a picture.

    Raises:
        ValueError: the turn or the scale leaves what a hand on a film may look like.
    """

    turn_degrees: float = 0.0
    """About the middle, positive clockwise; -30 to 30."""
    scale: float = 1.0
    """The hand's size beside that in the picture; .5 to 2."""
    mirrored: bool = False
    """Left and right changed, before it is turned."""

    def __post_init__(self) -> None:
        if not abs(self.turn_degrees) <= MAX_TURN_DEGREES or not SCALES[0] <= self.scale <= SCALES[1]:
            raise ValueError("a view is turned too far, or scaled too much")


PLAIN: Final = (View(), View(mirrored=True))
"""The picture and its mirror image."""
VIEWS: Final = tuple(
    View(turn_degrees=turn, scale=scale, mirrored=mirrored)
    for turn in (0.0, 8.0, -8.0, 16.0, -16.0)
    for scale in (1.0, 1.08, 0.93)
    for mirrored in (False, True)
)
"""What a release answers from: upright and turned either way, as it is, nearer and farther, each mirrored too."""


def shown(images: Tensor, view: View) -> Tensor:
    """Images [n, 1, S, S] in 0..1 in one view; what turns into the picture repeats its margin."""
    if view.mirrored:
        images = images.flip(3)
    if view.turn_degrees == 0.0 and view.scale == 1.0:
        return images
    angle = math.radians(view.turn_degrees)
    cosine, sine = math.cos(angle) / view.scale, math.sin(angle) / view.scale
    rows = torch.tensor([[cosine, sine, 0.0], [-sine, cosine, 0.0]], dtype=images.dtype)
    grid = functional.affine_grid(rows.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved.clamp(0.0, 1.0)


class Ensemble:
    """The mean over networks, of each the mean over views, a view weighed by the inverse of its stated variance.

    The weights are those with which independent answers make the mean of least variance (Cochran, Problems arising in
    the analysis of a series of similar experiments, 1937). The scale that is told is the plain mean of the scales.

    Args:
        networks: one or more; they are set to answer, not to learn.
        views: one or more.
    """

    def __init__(self, networks: Sequence[BoneAgeNetwork], views: Sequence[View] = PLAIN) -> None:
        if not networks or not views:
            raise ValueError("an ensemble needs a network and a view")
        self._networks = [network.eval() for network in networks]
        self._views = tuple(views)

    def answers(self, pictures: Tensor, sexes: Sequence[Tensor], *, batch_size: int = 4) -> list[tuple[Tensor, Tensor]]:
        """Months [n] and scales [n] of the same pictures for each given sex; the costly part is done once for all.

        Args:
            pictures: uint8 [n, S, S].
            sexes: each [n]: 1 male, -1 female, 0 not known.
            batch_size: pictures a pass; few keep what the layers pass on within the processor's cache.
        """
        told: list[list[tuple[Tensor, Tensor]]] = [[] for _ in sexes]
        with torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                part = slice(start, start + batch_size)
                images = pictures[part, None].float() / 255.0
                looks = [shown(images, view).contiguous(memory_format=torch.channels_last) for view in self._views]
                seen = [(network, [network.look(look) for look in looks]) for network in self._networks]
                for found, sex in zip(told, sexes, strict=True):
                    each = [_weighed([network.judge(one, sex[part]) for one in pooled]) for network, pooled in seen]
                    months, scales = (torch.stack(one).mean(dim=0) for one in zip(*each, strict=True))
                    found.append((months, scales))
        return [_joined(found) for found in told]


def _weighed(answers: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """One network's answer from those to several views of the same pictures."""
    months, scales = (torch.stack(one) for one in zip(*answers, strict=True))
    weights = scales**-2
    return (weights * months).sum(dim=0) / weights.sum(dim=0), scales.mean(dim=0)


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if not parts:
        return torch.zeros(0), torch.zeros(0)
    return torch.cat([months for months, _ in parts]), torch.cat([scales for _, scales in parts])
