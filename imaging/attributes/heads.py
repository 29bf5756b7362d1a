"""Affine heads: a pooled vector to the logits of named answers.

Standardisation and any linear reduction of the training are folded into weight and bias, so that a head is one matrix:
nothing to go out of step, and its gradient with respect to the features is exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AffineHead:
    """``logits = weight @ vector + bias``."""

    weight: Tensor
    """float32 [K, D]."""
    bias: Tensor
    """float32 [K]."""

    @classmethod
    def folded(cls, weight: Floats, bias: Floats, mean: Floats, scale: Floats) -> "AffineHead":
        """A head on raw vectors from one [K, D] fitted on ``(vector - mean) / scale``."""
        raw = weight / scale
        return cls(weight=torch.from_numpy(raw).float(), bias=torch.from_numpy(np.asarray(bias - raw @ mean)).float())

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], name: str) -> "AffineHead | None":
        """The head stored as ``name.weight`` and ``name.bias``; None when it is not there.

        Raises:
            ValueError: its tensors do not fit each other or are not finite.
        """
        weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
        if weight is None and bias is None:
            return None
        if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise ValueError(f"the tensors of the head {name} do not fit each other")
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise ValueError(f"the head {name} holds values that are not finite")
        return cls(weight=weight.float(), bias=bias.float())

    def state(self, name: str) -> dict[str, Tensor]:
        """Its tensors under the names that `of_state` reads."""
        return {f"{name}.weight": self.weight, f"{name}.bias": self.bias}

    def __call__(self, vectors: Tensor) -> Tensor:
        """[..., D] to logits [..., K]."""
        return vectors @ self.weight.T + self.bias
