"""`AttributeModel`: what the detector's features tell of a radiograph beside its boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from imaging.attributes.heads import AffineHead
from imaging.attributes.manifest import ATTRIBUTES_NAME, REFIT, AttributeManifest, read_attribute_manifest
from imaging.attributes.pattern_network import PatternNetwork
from imaging.attributes.pooling import pool_pattern_statistics, pool_statistics
from imaging.calibration import log_odds
from imaging.errors import ModelFilesError
from imaging.labels import FracturePattern
from imaging.manifest import PAIR_MARK, DetectorManifest
from imaging.results import ImageAttributes, PatternEstimate
from imaging.yolov7.checkpoint import CheckpointError, load_weights
from imaging.yolov7.postprocess import LetterboxTransform

PATTERN, DISPLACED, LIMB, VIEW, HARDWARE, FRACTURE = "pattern", "displaced", "limb", "view", "hardware", "fracture"
"""Names of the heads in the weight file; each may be missing, when no data taught it."""


class AttributeModel:
    """Small heads on the backbone's pooled features; one that was not fitted answers with None or nothing.

    The pattern is read from the whole radiograph and holds for each of its boxes alike: in cross-validation the
    surroundings of the detector's best box told less than the radiograph, and nothing beyond it.

    Pattern and displacement may be read by a network of their own, see `load_pattern_network`.
    """

    def __init__(self, manifest: AttributeManifest, state: dict[str, Tensor]) -> None:
        self.manifest = manifest
        self._heads = {
            name: head
            for name in (PATTERN, DISPLACED, LIMB, VIEW, HARDWARE, FRACTURE)
            if (head := AffineHead.of_state(state, name)) is not None
        }
        counts = {PATTERN: len(manifest.patterns), LIMB: len(manifest.limbs), VIEW: len(manifest.views)}
        for name, head in self._heads.items():
            if len(head.bias) != counts.get(name, 1):
                raise ValueError(f"the head {name} has {len(head.bias)} answers, expected {counts.get(name, 1)}")

    @classmethod
    def of(cls, detector: DetectorManifest) -> Self | None:
        """The heads of a detector, or None when there are none.

        For a pair these are its own, fitted on the features of all its networks; when it has none, its first
        detector's.

        Raises:
            ModelFilesError: the files are damaged, or belong to another detector.
        """
        return cls.load(heads_folder(detector), detector.digest)

    @property
    def reads(self) -> str:
        """Which features the heads read: all or some parts of the detector's digest (`imaging.ensemble.read_maps`)."""
        return self.manifest.detector_sha256

    @classmethod
    def load(cls, directory: Path | None, detector_sha256: str) -> Self | None:
        """The heads in a weights folder (None: the shipped one), or None when there are none.

        Args:
            directory: folder with ``attributes.json`` and the weight file it names.
            detector_sha256: `DetectorManifest.digest` of the detector whose features they will read, all or some.

        Raises:
            ModelFilesError: the files are damaged, or belong to another detector.
        """
        manifest = read_attribute_manifest(directory)
        if manifest is None:
            return None
        if not set(manifest.detector_sha256.split(PAIR_MARK)) <= set(detector_sha256.split(PAIR_MARK)):
            raise ModelFilesError("The attribute heads were fitted on the features of another detector.", remedy=REFIT)
        try:
            return cls(manifest, load_weights(manifest.weights, sha256=manifest.sha256)[0])
        except (CheckpointError, OSError, ValueError) as error:
            raise ModelFilesError(f"The attribute heads cannot be used: {error}.", remedy=REFIT) from error

    def load_pattern_network(self) -> PatternNetwork | None:
        """The network whose maps `patterns` and `pattern_logit` read; None when they read the detector's.

        Raises:
            ModelFilesError: its file is missing, damaged or of another network.
        """
        entry = self.manifest.pattern_network
        return None if entry is None else PatternNetwork.load(entry)

    def image(self, features: Sequence[Tensor] | Tensor, transform: LetterboxTransform | None) -> ImageAttributes:
        """Limb group, views and hardware of a radiograph.

        Args:
            features: the backbone's maps, or their vector from `pool_statistics`.
            transform: where the radiograph lies on the canvas.
        """
        vector = _vector(features, transform)
        limbs = zip(self.manifest.limbs, self._probabilities(LIMB, vector), strict=False)
        views = zip(self.manifest.views, self._probabilities(VIEW, vector), strict=False)
        hardware = self._probabilities(HARDWARE, vector)
        return ImageAttributes(
            model_id=self.manifest.model_id,
            limb=tuple(sorted(limbs, key=lambda pair: -pair[1])),
            views=tuple(views),
            hardware_probability=hardware[0] if hardware else None,
        )

    def patterns(
        self, features: Sequence[Tensor] | Tensor, boxes_canvas: Tensor, transform: LetterboxTransform | None = None
    ) -> list[PatternEstimate]:
        """One estimate per box; empty when no pattern head was fitted.

        Args:
            features: the pattern network's maps, or their vector from `pool_pattern_statistics`; without such a network
                those that the other heads read.
            boxes_canvas: [n, 4] xyxy in canvas pixels.
            transform: where the radiograph lies on the canvas; without it the margins are read too.
        """
        head = self._heads.get(PATTERN)
        if head is None:
            return []
        vector = self._pattern_vector(features, transform)
        probabilities = torch.softmax(head(vector), dim=-1).tolist()
        ranked = sorted(zip(self.manifest.patterns, probabilities, strict=True), key=lambda pair: -pair[1])
        sure = ranked[0][1] >= self.manifest.undetermined_below
        displaced = self._probabilities(DISPLACED, vector)
        estimate = PatternEstimate(
            pattern=ranked[0][0] if sure else FracturePattern.UNDETERMINED,
            probabilities=tuple(ranked),
            displaced_probability=displaced[0] if displaced else None,
        )
        return [estimate] * len(boxes_canvas)

    def pattern_logit(
        self,
        features: Sequence[Tensor],
        box_canvas: Tensor,
        index: int,
        transform: LetterboxTransform | None = None,
    ) -> Tensor:
        """The logit of pattern number `index` of the manifest, differentiable with respect to the feature maps.

        Args:
            features: the maps as for `patterns`.
            box_canvas: [4] xyxy in canvas pixels; cells outside it count as well, since the head reads them all.
            index: position in ``manifest.patterns``.
            transform: where the radiograph lies on the canvas.

        Raises:
            ValueError: no pattern head was fitted, or the box is no box.
        """
        head = self._heads.get(PATTERN)
        if head is None:
            raise ValueError("no pattern head was fitted")
        if box_canvas.shape != (4,):
            raise ValueError(f"expected a box [4], got shape {tuple(box_canvas.shape)}")
        return head(self._pattern_vector(features, transform))[index]

    def fracture_logit(
        self, features: Sequence[Tensor] | Tensor, transform: LetterboxTransform | None, max_score: float
    ) -> float:
        """Log odds that the radiograph shows a fracture, at the share of fractures of the data they were fitted on.

        Args:
            features: the backbone's maps, or their vector from `pool_statistics`.
            transform: where the radiograph lies on the canvas.
            max_score: the detector's highest score, 0..1; without a fracture head its log odds are the answer.
        """
        evidence = log_odds(max_score)
        head = self._heads.get(FRACTURE)
        if head is None:
            return evidence
        vector = _vector(features, transform)
        return float(head(torch.cat((vector, vector.new_tensor([evidence])))))

    def _pattern_vector(self, features: Sequence[Tensor] | Tensor, transform: LetterboxTransform | None) -> Tensor:
        if self.manifest.pattern_network is None or isinstance(features, Tensor):
            return _vector(features, transform)
        return pool_pattern_statistics(features, transform)

    def _probabilities(self, name: str, vector: Tensor) -> list[float]:
        """Independent probabilities of a head's answers; empty when the head is missing."""
        head = self._heads.get(name)
        if head is None:
            return []
        values: list[float] = torch.sigmoid(head(vector)).tolist()
        return values


def heads_folder(detector: DetectorManifest) -> Path:
    """Where the heads of a detector lie, if it has any: for a pair its own folder, or else its first detector's."""
    if detector.companion is None:
        return detector.heads
    own = detector.companion.weights.parent
    return own if (own / ATTRIBUTES_NAME).is_file() else detector.heads


def _vector(features: Sequence[Tensor] | Tensor, transform: LetterboxTransform | None) -> Tensor:
    return features if isinstance(features, Tensor) else pool_statistics(features, transform)
