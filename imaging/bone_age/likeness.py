"""Is the picture a hand like those learned from? A share of them that look at least as strange, not a yes or no.

A network that was shown hands alone answers an age for a knee too, and its features, made to tell ages, hardly tell
knees from hands. Hands spread out for this examination are stereotyped, so their small picture does: its Mahalanobis
distance from other hands in the leading directions of their spread, and how much of it lies outside these directions.
Each figure becomes the share of other hands that are at least as strange (a conformal p-value: Vovk, Gammerman & Shafer
2005, chapter 2); the smaller one, doubled for having asked twice, is the likeness. A threshold t on it refuses at most
about a share t of hands like those learned from; of another hospital's hands it may be more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DIRECTIONS: Final = 96
SMALL_PX: Final = 28
"""Side of the small picture."""
REFUSE_BELOW: Final = 0.02
"""A picture with a likeness below this is not read. So are refused 135 of 7,310 hands of the bone-age data that were
not described (1.8 %; of those under two years 9 of 52), and of FracAtlas 1,744 of 2,140 radiographs of other limbs
(81 %) and 1,017 of 1,069 of hands and arms, which are mostly arms, oblique views or hands with the fingers down.
Together with the limb group (`imaging.bone_age.eligibility`) 98 of 100 held-out radiographs of other limbs are refused.
"""
CLIP: Final = 12.0
_NAMES: Final = ("centre", "spread", "directions", "variances", "distances", "remainders")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandLikeness:
    """A fitted description of the hands learned from."""

    centre: Tensor
    """[D]"""
    spread: Tensor
    """[D], positive."""
    directions: Tensor
    """[D, k], orthonormal."""
    variances: Tensor
    """[k]"""
    distances: Tensor
    """[n], rising: of hands that were not described."""
    remainders: Tensor
    """[n], rising: of the same."""

    def figures(self, small: Tensor) -> tuple[Tensor, Tensor]:
        """Distance within the leading directions [B] and what lies outside of them [B] of small pictures [B, D]."""
        standard = ((small - self.centre) / self.spread).clamp(-CLIP, CLIP)
        along = standard @ self.directions
        distances = (along**2 / self.variances).sum(dim=1).sqrt()
        remainders = ((standard**2).sum(dim=1) - (along**2).sum(dim=1)).clamp(min=0.0).sqrt()
        return distances, remainders

    def score(self, small: Tensor) -> Tensor:
        """[B] shares, 0..1, of `small_pictures` [B, D]; small means strange."""
        shares = [
            (len(known) - torch.searchsorted(known, found, side="left") + 1) / (len(known) + 1)
            for known, found in zip((self.distances, self.remainders), self.figures(small), strict=True)
        ]
        return (2 * torch.minimum(*shares)).clamp(max=1.0)

    def state(self) -> dict[str, Tensor]:
        """What is stored."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def of_state(cls, tensors: Mapping[str, Tensor]) -> "HandLikeness":
        """From what was stored.

        Raises:
            ValueError: a part is missing or not finite.
        """
        if missing := [name for name in _NAMES if name not in tensors]:
            raise ValueError(f"the description of the hands lacks {', '.join(missing)}")
        parts = {name: tensors[name].float() for name in _NAMES}
        if not all(torch.isfinite(part).all() for part in parts.values()):
            raise ValueError("the description of the hands holds values that are not finite")
        return cls(**parts)


def small_pictures(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures [n, S, S] of `imaging.bone_age.engine.as_learned` made small, each of mean 0 and spread 1: [n, D]."""
    small = [cv2.resize(one, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA) for one in pictures]
    flat = np.stack(small).reshape(len(small), -1).astype(np.float32)
    mean, spread = flat.mean(axis=1, keepdims=True), flat.std(axis=1, keepdims=True)
    return torch.from_numpy((flat - mean) / (spread + 1e-6))


def fit(described: Tensor, others: Tensor) -> HandLikeness:
    """Describe hands.

    Args:
        described: [n, D] `small_pictures` of hands.
        others: [m, D] of further hands, against which strangeness is counted.
    """
    centre, spread = described.mean(dim=0), described.std(dim=0).clamp(min=1e-3)
    standard = ((described - centre) / spread).clamp(-CLIP, CLIP)
    _, values, vectors = torch.linalg.svd(standard, full_matrices=False)
    count = max(1, min(DIRECTIONS, len(described) // 4, vectors.shape[0] - 1))
    variances = values[:count] ** 2 / max(1, len(described) - 1)
    # Half precision is what is stored; the distances are counted with the very same numbers.
    rough = HandLikeness(
        centre=centre.half().float(),
        spread=spread.half().float(),
        directions=vectors[:count].T.contiguous().half().float(),
        variances=variances.clamp(min=1e-2).half().float(),
        distances=torch.zeros(0),
        remainders=torch.zeros(0),
    )
    distances, remainders = (torch.sort(figure).values.half().float() for figure in rough.figures(others))
    return HandLikeness(**{**rough.state(), "distances": distances, "remainders": remainders})
