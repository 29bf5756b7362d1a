"""The scope model as the card carries it: its tensors, and the limits that the application's thresholds amount to."""

import base64
import io
import math
from typing import Any, Final

import numpy as np
from torch import Tensor

from imaging.attributes.pooling import COARSE_STRIDE, MIDDLE_STRIDE
from imaging.attributes.scope import CLIP, RULE_WEIGHT, ScopeModel
from imaging.decision import SCOPE_CAUTION, SCOPE_REFUSAL

CHECKED: Final = "Pictures that look unlike radiographs of limbs are refused; not every one of them is recognised."
NOT_CHECKED: Final = "This file does not check whether the picture is a limb radiograph: only give it limb radiographs."
_NEVER: Final = 1e9
"""Of so few known radiographs that no picture can be told to be stranger than the share allows."""
_TENSORS: Final = ("centre", "spread", "directions", "variances", "weights")


def scope_entry(scope: ScopeModel) -> dict[str, Any]:
    """The card's entry ``scope``, which `imaging.export.edge_scope.load` reads."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: getattr(scope, name).numpy().astype(np.float16) for name in _TENSORS})
    return {
        "strides": [MIDDLE_STRIDE, COARSE_STRIDE],
        "clip": CLIP,
        "outside": _limits(scope, SCOPE_REFUSAL),
        "unusual": _limits(scope, SCOPE_CAUTION),
        "model": base64.b64encode(buffer.getvalue()).decode("ascii"),
    }


def _limits(scope: ScopeModel, threshold: float) -> dict[str, float]:
    return {
        "distance": _limit(scope.distances, threshold * (1 - RULE_WEIGHT)),
        "log_odds": _limit(scope.odds, threshold * RULE_WEIGHT),
    }


def _limit(known: Tensor, share: float) -> float:
    """The figure beyond which fewer than `share` of the known ones are as large: see `ScopeModel.shares`."""
    below = math.floor((len(known) + 1) * (1 - share)) + 1
    return float(known[below - 1]) if below <= len(known) else _NEVER
