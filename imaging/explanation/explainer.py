"""`Explainer`: which parts of a radiograph a detection came from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from imaging.attributes.model import AttributeModel
from imaging.attributes.pattern_network import PatternNetwork
from imaging.ensemble import Maps, maps_of, read_maps
from imaging.errors import ExplanationError, ModelFilesError
from imaging.explanation.gradients import STEPS, grad_cam, integrated_gradients, log_scores
from imaging.explanation.pattern import TopPattern
from imaging.explanation.results import Explanation, HeatMap, MapMethod, MapTarget
from imaging.manifest import DetectorManifest, read_manifest
from imaging.preprocess import prepare
from imaging.radiograph import Radiograph
from imaging.results import BoxPx, FractureDetection, ImageFindings, PointPx
from imaging.runtime import load_network
from imaging.yolov7 import Yolov7
from imaging.yolov7.checkpoint import CheckpointError
from imaging.yolov7.graphs import STRIDES
from imaging.yolov7.postprocess import LetterboxTransform, letterbox

CAM_LEVEL = 1
"""Grad-CAM reads the backbone's features at stride 16: coarser ones cannot place a fracture, finer ones know edges."""
SAME_BOX_IOU = 0.5
"""A detection whose box overlaps no prediction as much as this was not made by this network on this radiograph."""
MAX_EXPLAINED = 3
"""Detections that `explain_all` explains, the first ones: each costs some passes forth and back."""


class PatternAnswer(Protocol):
    """A pattern head: the number behind the pattern that it names for one box."""

    def __call__(self, features: Sequence[Tensor], box_canvas: Tensor, transform: LetterboxTransform) -> Tensor | None:
        """The logit, a scalar that depends on the features; None when there is no such head.

        Args:
            features: maps [1, C, h, w] at strides 8, 16 and 32, of a pattern network those of one backbone after
                the other.
            box_canvas: [4] xyxy in canvas pixels.
            transform: where the radiograph lies on the canvas.
        """
        ...


class Explainer:
    """Heat maps for the detections of one set of weights, in torch on the network as it was trained, unfused.

    A detection of a pair is traced back through the one of the two networks that is surer of it.
    """

    def __init__(
        self,
        manifest: DetectorManifest,
        network: Yolov7,
        *,
        companion: Yolov7 | None = None,
        pattern: PatternAnswer | None = None,
        pattern_reads: str | None = None,
        pattern_network: PatternNetwork | None = None,
        steps: int = STEPS,
    ) -> None:
        """An explainer of a network.

        Args:
            manifest: preprocessing of the network.
            network: in evaluation mode, with a graph that names its feature layers.
            companion: the other network of a pair, likewise.
            pattern: the pattern head to explain beside the detection, if any.
            pattern_reads: which features that head reads, `AttributeModel.reads`; the first network's by default.
            pattern_network: what it reads instead, `AttributeModel.load_pattern_network`.
            steps: points that integrated gradients takes.
        """
        self.manifest = manifest
        self.network = network
        self.companion = companion
        self.pattern = pattern
        self.pattern_reads = manifest.sha256 if pattern_reads is None else pattern_reads
        self.pattern_network = pattern_network
        self.steps = steps

    @classmethod
    def load(
        cls,
        weights: DetectorManifest | Path | None = None,
        *,
        pattern: PatternAnswer | None = None,
        steps: int = STEPS,
    ) -> Self:
        """The explainer of a manifest or of a weights folder; of the shipped weights by default.

        Args:
            weights: whose answers are explained.
            pattern: the pattern head; the one that lies beside the weights, if any, by default.
            steps: points that integrated gradients takes.

        Raises:
            ModelFilesError: the files are missing, damaged or do not fit each other.
        """
        manifest = weights if isinstance(weights, DetectorManifest) else read_manifest(weights)
        try:
            network = load_network(manifest)
            companion = None if manifest.companion is None else load_network(manifest.companion)
        except (CheckpointError, OSError) as error:
            raise ModelFilesError(f"The detector's weights cannot be used: {error}") from error
        reads: str | None = None
        reader: PatternNetwork | None = None
        if pattern is None and (heads := AttributeModel.of(manifest)) is not None:
            pattern, reads, reader = TopPattern(heads), heads.reads, heads.load_pattern_network()
        return cls(
            manifest,
            network,
            companion=companion,
            pattern=pattern,
            pattern_reads=reads,
            pattern_network=reader,
            steps=steps,
        )

    def explain(self, pixels: NDArray[np.float32], detection: FractureDetection) -> Explanation:
        """The heat maps of one detection.

        Args:
            pixels: [H, W] in 0..1, bone bright, as the detection was made from.
            detection: a detection of the same weights.

        Raises:
            ExplanationError: no prediction of these weights made the detection's box.
        """
        (explanation,) = self.explain_all(pixels, (detection,))
        return explanation

    def explain_all(
        self, pixels: NDArray[np.float32], detections: Sequence[FractureDetection], *, limit: int = MAX_EXPLAINED
    ) -> tuple[Explanation, ...]:
        """The heat maps of the first detections, from one forward pass of each network and a few more for each of them.

        Args:
            pixels: [H, W] in 0..1, bone bright, as the detections were made from.
            detections: detections of the same weights.
            limit: detections explained at most.

        Raises:
            ExplanationError: no prediction of these weights made a detection's box.
        """
        if not detections or limit < 1:
            return ()
        traced = self.trace(pixels)
        return tuple(_explained(traced, place, one) for place, one in enumerate(detections[:limit]))

    def trace(self, pixels: NDArray[np.float32]) -> "tuple[TracedRadiograph, ...]":
        """A radiograph [H, W] in 0..1 on its way through the network; through both, for a pair."""
        networks = [self.network, *([] if self.companion is None else [self.companion])]
        return tuple(TracedRadiograph(self, pixels, network) for network in networks)

    def explain_findings(self, radiograph: Radiograph, findings: ImageFindings) -> tuple[Explanation, ...]:
        """The heat maps of the first detections of one radiograph, at most `MAX_EXPLAINED`.

        Raises:
            ExplanationError: the findings were not made by these weights on this radiograph.
        """
        return self.explain_all(radiograph.pixels, findings.detections)


class TracedRadiograph:
    """One radiograph on its way through a network, with all that gradients need."""

    def __init__(self, explainer: Explainer, pixels: NDArray[np.float32], network: Yolov7 | None = None) -> None:
        """Run a network of the explainer once, the first one by default, keeping its graph."""
        manifest = explainer.manifest
        prepared = prepare(pixels)
        canvas, self.transform = letterbox(prepared, manifest.image_size, pad_value=manifest.pad_value)
        self.explainer = explainer
        self.network = network or explainer.network
        self.shape = (pixels.shape[0], pixels.shape[1])
        self.canvas = torch.from_numpy(canvas).expand(1, 3, -1, -1).contiguous()
        with torch.enable_grad():
            raw, self.features, self.beside = self.network.forward_with_features(self.canvas.clone().requires_grad_())
            self.log_scores = log_scores(raw)[0]
        with torch.no_grad():
            decoded = self.network.decode(raw)[0, :, :4]
        self.boxes = box_convert(decoded, "cxcywh", "xyxy")

    def box_on_canvas(self, box: BoxPx) -> Tensor:
        """[4] xyxy in canvas pixels."""
        (height, width), (inner_width, inner_height) = self.shape, self.transform.image_size
        scale = torch.tensor([inner_width / width, inner_height / height]).repeat(2)
        return self.transform.to_canvas(torch.tensor([box.x1, box.y1, box.x2, box.y2]) * scale)

    def prediction_of(self, detection: FractureDetection) -> int:
        """Index of the prediction that made a detection's box: of those that overlap it best, the nearest in score.

        Box and score of a pair's detection are means of both networks' answers: of those that overlap it, the surest.

        Raises:
            ExplanationError: no prediction overlaps it enough.
        """
        overlap = self._overlap(detection.box)
        if float(overlap.max()) < SAME_BOX_IOU:
            raise ExplanationError("No prediction of these weights made the detection's box.")
        scores = self.log_scores.detach().exp()
        if self.explainer.companion is not None:
            return int(torch.where(overlap >= SAME_BOX_IOU, scores, -1.0).argmax())
        return int((overlap - (scores - detection.score).abs()).argmax())

    def sureness(self, detection: FractureDetection) -> float:
        """Score, 0..1, of the surest prediction that overlaps a detection's box enough; 0 where none does."""
        scores = self.log_scores.detach().exp()
        return float(torch.where(self._overlap(detection.box) >= SAME_BOX_IOU, scores, 0.0).max())

    def _overlap(self, box: BoxPx) -> Tensor:
        """[predictions] overlap (IoU, 0..1) with a box."""
        left, top = self.transform.pad
        sides = [side * scale for side, scale in zip(self.transform.image_size, self.transform.scale, strict=True)]
        # Reported boxes are clipped to the radiograph: so must be those they are compared with.
        low = torch.tensor([left, top, left, top], dtype=torch.float32)
        high = low + torch.tensor(sides * 2, dtype=torch.float32)
        clipped = torch.minimum(torch.maximum(self.boxes, low), high)
        overlap: Tensor = box_iou(self.box_on_canvas(box)[None], clipped)
        return overlap[0]

    def explain(self, detection: FractureDetection) -> tuple[HeatMap, HeatMap]:
        """The heat maps of one detection's score, Grad-CAM first.

        Raises:
            ExplanationError: no prediction of this network made the detection's box.
        """
        prediction, box = self.prediction_of(detection), detection.box
        return (
            self.placed(MapMethod.GRAD_CAM, MapTarget.DETECTION, self.cam(prediction), box),
            self.placed(MapMethod.INTEGRATED_GRADIENTS, MapTarget.DETECTION, self.saliency(prediction), box),
        )

    def explain_pattern(self, detection: FractureDetection, features: Sequence[Tensor]) -> tuple[HeatMap, ...]:
        """The heat map of the pattern head's answer about one detection from feature maps; none without a head."""
        heat = self.pattern_cam(detection.box, features)
        return () if heat is None else (self.placed(MapMethod.GRAD_CAM, MapTarget.PATTERN, heat, detection.box),)

    def cam(self, prediction: int) -> Tensor:
        """Grad-CAM [S, S] of the score of one prediction."""
        return grad_cam(self.log_scores[prediction], self.features[CAM_LEVEL], self.canvas.shape[-1])

    def pattern_cam(self, box: BoxPx, features: Sequence[Tensor]) -> Tensor | None:
        """Grad-CAM [S, S] of the pattern head's answer, added up over the backbones it reads; None without a head."""
        if self.explainer.pattern is None:
            return None
        with torch.enable_grad():
            answer = self.explainer.pattern(features, self.box_on_canvas(box), self.transform)
        if answer is None:
            return None
        levels = features[CAM_LEVEL :: len(STRIDES)]
        return torch.stack([grad_cam(answer, level, self.canvas.shape[-1]) for level in levels]).sum(dim=0)

    def saliency(self, prediction: int) -> Tensor:
        """Integrated gradients [S, S] of the score of one prediction."""

        def answer(canvases: Tensor) -> Tensor:
            return log_scores(self.network(canvases))[:, prediction]

        return integrated_gradients(answer, self.canvas, steps=self.explainer.steps)

    def on_radiograph(self, heat: Tensor) -> NDArray[np.float32]:
        """A map [S, S] of the canvas as [H, W] of the radiograph, scaled to a maximum of 1; all 0 stays all 0."""
        left, top = self.transform.pad
        width, height = (
            round(side * scale) for side, scale in zip(self.transform.image_size, self.transform.scale, strict=True)
        )
        inside = heat[top : top + height, left : left + width].numpy()
        size = (self.shape[1], self.shape[0])
        placed = np.maximum(np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR), np.float32), 0.0)
        highest = float(placed.max())
        return np.asarray(placed / highest, dtype=np.float32) if highest > 0.0 else placed

    def placed(self, method: MapMethod, target: MapTarget, heat: Tensor, box: BoxPx) -> HeatMap:
        """A map [S, S] of the canvas as it is shown, with its hottest place and its share in the box."""
        placed = self.on_radiograph(heat)
        total = float(placed.sum())
        if total <= 0.0:
            return HeatMap(method=method, target=target, heat=placed, peak=None, share_in_box=None)
        row, column = np.unravel_index(int(placed.argmax()), placed.shape)
        inside = placed[max(0, round(box.y1)) : round(box.y2), max(0, round(box.x1)) : round(box.x2)]
        return HeatMap(
            method=method,
            target=target,
            heat=placed,
            peak=PointPx(x=float(column) + 0.5, y=float(row) + 0.5),
            share_in_box=min(1.0, float(inside.sum()) / total),
        )


def surest(traced: Sequence[TracedRadiograph], detection: FractureDetection) -> TracedRadiograph:
    """Of the networks of a pair, the one that is surer of a detection; of a single one, that one."""
    return max(traced, key=lambda one: one.sureness(detection))


def _explained(traced: Sequence[TracedRadiograph], place: int, detection: FractureDetection) -> Explanation:
    """The maps of one detection: its score by the network that is surer of it, its pattern by what the head reads."""
    first = traced[0]
    manifest = first.explainer.manifest
    found: dict[str, Maps] = {}
    for part, one in zip((manifest, manifest.companion), traced, strict=False):
        if part is not None:
            found |= maps_of(part, one.features, one.beside)
    reader = first.explainer.pattern_network
    with torch.enable_grad():
        if reader is None:
            features = read_maps(first.explainer.pattern_reads, found)
        else:
            features = reader(first.canvas.clone().requires_grad_())
    maps = (*surest(traced, detection).explain(detection), *first.explain_pattern(detection, features))
    return Explanation(detection=place, maps=maps)
