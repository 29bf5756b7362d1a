"""Is this a radiograph of the kind the detector was made for? A share, not a yes or no.

Two figures describe how strange a picture is: the Mahalanobis distance of its pooled features from those of in-scope
radiographs in the leading directions of their spread, which catches what nobody thought of; and the log odds of a
linear rule on features and pixel statistics that tells in-scope radiographs from pictures that are none
(`imaging.training.negatives`), which catches what lies among them but was thought of. Layout stays out of the distance:
a closely cropped limb is laid out unlike nearly all others and still is one.

Each figure becomes the share of held-out in-scope radiographs that are at least as strange (a conformal p-value: Vovk,
Gammerman & Shafer 2005, chapter 2). Having asked twice costs a weighted Bonferroni correction: the smaller of distance
share / .2 and rule share / .8 is the scope score, since the rule finds most of what must be refused. A threshold t on
it therefore refuses at most a share t of in-scope radiographs like those it was fitted on, whatever the network's
features look like; from another hospital it may be more.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from imaging.attributes.pixel_statistics import pixel_statistics
from imaging.errors import ModelFilesError
from imaging.yolov7.checkpoint import CheckpointError, load_weights

SCOPE_WEIGHTS = "scope.safetensors"
SCOPE_DOCUMENT = "scope.json"
SCOPE_SCHEMA = "fracture-cds.scope/1"
CLIP = 8.0
"""Standardised figures are held within this, so that one wild feature cannot decide alone."""
RULE_WEIGHT = 0.8
"""What part of the refused share the linear rule may use up; the distance has the rest."""
TENSORS = ("centre", "spread", "directions", "variances", "weights", "distances", "odds")


def scope_vector(pooled: Tensor, pixels: NDArray[np.float32]) -> Tensor:
    """What the scope model looks at: pooled features (`imaging.attributes.pooling.pool_image`) and pixel statistics.

    Args:
        pooled: [C] of one radiograph.
        pixels: [H, W] in 0..1, as the reader gives them, before any contrast normalisation.

    Returns:
        float32 [C + imaging.attributes.pixel_statistics.LENGTH].
    """
    return torch.cat((pooled.float(), pixel_statistics(pixels)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScopeModel:
    """A fitted description of the in-scope radiographs."""

    centre: Tensor
    """[D]"""
    spread: Tensor
    """[D], positive."""
    directions: Tensor
    """[C, k], orthonormal: leading directions of the standardised pooled features, the first C entries of a vector."""
    variances: Tensor
    """[k], shrunk towards their mean."""
    weights: Tensor
    """[D + 1]: linear rule on the standardised vector, the last entry being its constant; grows with strangeness."""
    distances: Tensor
    """[n], rising: distances of held-out in-scope radiographs."""
    odds: Tensor
    """[n], rising: log odds of the same."""
    document: dict[str, Any]
    """What it was fitted on and how it was measured."""

    @classmethod
    def load(cls, directory: Path, detector_sha256: str) -> Self | None:
        """The scope model of a weights folder; None when there is none, or it belongs to another detector.

        Raises:
            ModelFilesError: the files are there but damaged.
        """
        path = directory / SCOPE_DOCUMENT
        if not path.is_file():
            return None
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["schema"] != SCOPE_SCHEMA or document["detector_sha256"] != detector_sha256:
                return None
            tensors, _ = load_weights(directory / document["weights"], sha256=document["sha256"])
            return cls(document=document, **{name: tensors[name].float() for name in TENSORS})
        except (KeyError, TypeError, ValueError, OSError, CheckpointError, SafetensorError) as error:
            raise ModelFilesError(f"The scope model cannot be used: {error}") from error

    def tensors(self) -> dict[str, Tensor]:
        """What is stored."""
        return {name: getattr(self, name) for name in TENSORS}

    def figures(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(distances [n], log odds [n]) of scope vectors [n, D]; both grow with strangeness."""
        standard = ((vectors - self.centre) / self.spread).clamp(-CLIP, CLIP)
        features = standard[:, : len(self.directions)]
        distances = ((features @ self.directions) ** 2 / self.variances).sum(dim=1).sqrt()
        return distances, standard @ self.weights[:-1] + self.weights[-1]

    def scores(self, vectors: Tensor) -> Tensor:
        """[n] scope scores of scope vectors [n, D], 0..1."""
        return self.shares(*self.figures(vectors))

    def shares(self, distances: Tensor, odds: Tensor) -> Tensor:
        """[n] scope scores of `figures`, 0..1."""
        shares = [
            (len(known) - torch.searchsorted(known, found, side="left") + 1) / (len(known) + 1) / weight
            for known, found, weight in (
                (self.distances, distances, 1 - RULE_WEIGHT),
                (self.odds, odds, RULE_WEIGHT),
            )
        ]
        return torch.minimum(*shares).clamp(max=1.0)

    def score(self, pooled: Tensor, statistics: Tensor) -> float:
        """Share of in-scope radiographs that are at least as strange as this one, 0..1: small means strange.

        Args:
            pooled: `pool_image` of the detector's features, [C].
            statistics: `pixel_statistics` of the radiograph as the reader gives it.
        """
        return float(self.scores(torch.cat((pooled.float(), statistics))[None])[0])
