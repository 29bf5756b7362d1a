"""The pattern head as `Explainer` asks it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from imaging.attributes.model import AttributeModel
from imaging.yolov7.postprocess import LetterboxTransform


class TopPattern:
    """The logit of the pattern that the head ranks first, named in the report or not."""

    def __init__(self, model: AttributeModel) -> None:
        """Ask the heads of one detector."""
        self._model = model

    def __call__(self, features: Sequence[Tensor], box_canvas: Tensor, transform: LetterboxTransform) -> Tensor | None:
        """The logit, differentiable with respect to the features; None when no pattern head was fitted."""
        with torch.no_grad():
            estimates = self._model.patterns(features, box_canvas[None], transform)
        if not estimates:
            return None
        first, _ = estimates[0].probabilities[0]
        place = self._model.manifest.patterns.index(first)
        return self._model.pattern_logit(features, box_canvas, place, transform)
