"""`FractureEngine`: one radiograph in, `ImageFindings` out."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imaging.attributes.model import AttributeModel
from imaging.attributes.pixel_statistics import pixel_statistics
from imaging.attributes.pooling import pool_image, pool_pattern_statistics, pool_statistics
from imaging.attributes.scope import ScopeModel
from imaging.calibration import ScoreKind
from imaging.decision import TOLD_SHARE, decide
from imaging.ensemble import Maps, fuse_boxes, maps_of, read_maps
from imaging.errors import ModelFilesError
from imaging.geometry.measurement import NOT_AMONG_BEST, measure, not_measured
from imaging.labels import DETECTOR_CLASSES
from imaging.manifest import DetectorManifest, read_manifest
from imaging.preprocess import prepare
from imaging.quality import quality_warnings
from imaging.radiograph import Radiograph
from imaging.results import (
    BoxPx,
    FractureCall,
    FractureDetection,
    FractureGeometry,
    ImageAttributes,
    ImageFindings,
    Measurement,
    PatternEstimate,
    PixelSpacing,
)
from imaging.runtime import ModuleRuntime, Prediction, Runtime, RuntimeName, load_module, load_runtime
from imaging.runtime.flip import FlipAveraged
from imaging.yolov7.checkpoint import CheckpointError
from imaging.yolov7.graphs import GRAPHS, STRIDES
from imaging.yolov7.postprocess import LetterboxTransform, letterbox, non_max_suppression

REPORTED = frozenset({FractureCall.DEFINITE, FractureCall.SUSPECTED, FractureCall.NOT_SEEN})
"""Calls after which detections, probability and attributes are told; of what cannot be judged nothing is said."""

MEASURED_DETECTIONS = 3
"""At most so many boxes are measured: the definite ones, or the best one where none is definite. Measuring costs 10 to
30 ms a box, and figures of a box that is probably no fracture help nobody."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one pass of the network gives for one radiograph."""

    boxes: Tensor
    """[n, 6]: xyxy in pixels of the radiograph, score 0..1, class; by falling score."""
    maps: Mapping[str, Maps]
    """Feature maps by the digest of the weights they come from; each [1, C, S/s, S/s] at strides 8, 16, 32, or empty
    for a graph that names none."""
    detector: str
    """Digest of the detector's weights, of a pair the first one's."""
    transform: LetterboxTransform
    """From the prepared radiograph to the canvas and back."""
    to_prepared: Tensor
    """[4]: factors from pixels of the radiograph to those of the prepared one."""
    canvas: Tensor
    """[1, 3, S, S] in 0..1: what the network saw."""

    @property
    def features(self) -> Maps:
        """The backbone's maps, of a pair the first one's: what the scope model reads."""
        return self.maps[self.detector]

    def read(self, digest: str) -> Maps:
        """The maps that `digest` names side by side; see `imaging.ensemble.read_maps`."""
        return read_maps(digest, self.maps)

    def on_canvas(self, boxes: Tensor) -> Tensor:
        """Boxes [n, 4] in pixels of the radiograph as boxes on the canvas."""
        return self.transform.to_canvas(boxes * self.to_prepared)

    @property
    def max_score(self) -> float:
        """Highest score in the radiograph; 0 when nothing was found."""
        return float(self.boxes[0, 4]) if len(self.boxes) else 0.0


class FractureEngine:
    """Detects fractures on one radiograph at a time, at the two operating points of its manifest.

    Args:
        manifest: what the weights are.
        runtime: what runs them.
        second: what runs the second detector of a pair.
        attributes: reads pattern, limb, views and hardware from the same pass; None leaves them out.
        scope: tells radiographs of limbs from other pictures; None leaves that unchecked, with a warning.
        pattern_network: what `AttributeModel.load_pattern_network` gives, loaded; needed where it gives one.
    """

    def __init__(
        self,
        manifest: DetectorManifest,
        runtime: Runtime,
        *,
        second: Runtime | None = None,
        attributes: AttributeModel | None = None,
        scope: ScopeModel | None = None,
        pattern_network: ModuleRuntime | None = None,
    ) -> None:
        self.manifest = manifest
        self.runtime = runtime
        self.second = second
        self.attributes = attributes
        self.scope = scope
        self.pattern_network = pattern_network

    @classmethod
    def load(
        cls,
        directory: Path | None = None,
        *,
        runtime: RuntimeName | str = RuntimeName.AUTO,
        threads: int | None = None,
        boxes_only: bool = False,
        flip_average: bool = False,
    ) -> Self:
        """Load the weights of a folder; the shipped ones by default.

        Args:
            directory: folder with ``manifest.json`` and the weight file it names, and the files of the attribute heads
                and of the scope model where they were fitted.
            runtime: ``auto``, ``openvino`` or ``torch``.
            threads: CPU threads of one analysis; None lets the runtime decide.
            flip_average: show the network every radiograph a second time, mirrored, and average: twice the time.
            boxes_only: leave the attribute heads and the scope model out, to fit them anew for instance.

        Raises:
            ModelFilesError: the files are missing, damaged or do not fit each other.
        """
        manifest = read_manifest(directory)
        attributes: AttributeModel | None = None
        scope: ScopeModel | None = None
        if not boxes_only:
            attributes = AttributeModel.of(manifest)
            scope = ScopeModel.load(manifest.heads, manifest.sha256)
        second: Runtime | None = None
        reader: ModuleRuntime | None = None
        try:
            network = load_runtime(manifest, RuntimeName(runtime), threads=threads)
            if manifest.companion is not None:
                second = load_runtime(manifest.companion, RuntimeName(runtime), threads=threads)
        except (CheckpointError, OSError) as error:
            raise ModelFilesError(f"The detector's weights cannot be used: {error}") from error
        patterns = None if attributes is None else attributes.load_pattern_network()
        if patterns is not None:
            reader = load_module(patterns, manifest.image_size, RuntimeName(runtime), threads=threads)
        if flip_average:
            network = FlipAveraged(network, strides=STRIDES, anchors=len(GRAPHS[manifest.graph].anchors[0]))
        return cls(manifest, network, second=second, attributes=attributes, scope=scope, pattern_network=reader)

    @property
    def model_id(self) -> str:
        """Name, version and digest prefix of the weights."""
        return self.manifest.model_id

    def detect(self, pixels: NDArray[np.float32]) -> Tensor:
        """Every box above the score floor.

        Args:
            pixels: [H, W] in 0..1, bone bright.

        Returns:
            [n, 6]: xyxy in pixels of the radiograph, score 0..1, class; by falling score.
        """
        return self.look(pixels).boxes

    def look(self, pixels: NDArray[np.float32]) -> Look:
        """One pass over a radiograph [H, W] in 0..1, bone bright, through the network, or through both of a pair."""
        height, width = pixels.shape
        image, transform = self.canvas(pixels)
        prediction = self.runtime.predict(image)
        found, maps = self._boxes(prediction), maps_of(self.manifest, prediction.features, prediction.beside)
        if self.second is not None and self.manifest.companion is not None:
            other = self.second.predict(image)
            found = fuse_boxes((found, self._boxes(other)), iou=self.manifest.nms_iou)[: self.manifest.max_detections]
            maps |= maps_of(self.manifest.companion, other.features, other.beside)
        to_prepared = torch.tensor([transform.image_size[0] / width, transform.image_size[1] / height]).repeat(2)
        boxes = torch.cat((transform.to_image(found[:, :4]) / to_prepared, found[:, 4:]), dim=1)
        return Look(boxes, maps, self.manifest.sha256, transform, to_prepared, image)

    def canvas(self, pixels: NDArray[np.float32]) -> tuple[Tensor, LetterboxTransform]:
        """A radiograph [H, W] in 0..1, bone bright, on its canvas [1, 3, S, S] in 0..1, and where it lies there."""
        canvas, transform = letterbox(prepare(pixels), self.manifest.image_size, pad_value=self.manifest.pad_value)
        return torch.from_numpy(canvas).expand(1, 3, -1, -1), transform

    def _boxes(self, prediction: Prediction) -> Tensor:
        """[n, 6] on the canvas, after suppression."""
        (found,) = non_max_suppression(
            prediction.decoded,
            score_threshold=self.manifest.score_floor,
            iou_threshold=self.manifest.nms_iou,
            max_detections=self.manifest.max_detections,
        )
        return found

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """Findings of one radiograph.

        The image-level call, the boxes that are told (`TOLD_SHARE`), and pattern and geometry of each.
        """
        look, scope_score, warnings, call, added = self._judge(radiograph)
        points = (self.manifest.high_sensitivity, self.manifest.high_specificity)
        height, width = radiograph.pixels.shape
        told = call in REPORTED
        statistics = self._statistics(look) if told else None
        probability = self._probability(look) if told else None
        return ImageFindings(
            model_id=self.model_id,
            model_validation=self.manifest.validation,
            image_sha256=radiograph.sha256,
            width_px=width,
            height_px=height,
            call=call,
            max_score=look.max_score,
            fracture_probability=probability,
            calibration_prevalence=self._prevalence() if probability is not None else None,
            scope_score=scope_score,
            attributes=self._attributes(statistics),
            detections=self._detections(look, statistics, radiograph) if told else (),
            operating_points=points,
            spacing=radiograph.spacing,
            region=radiograph.region,
            region_source="dicom" if radiograph.region is not None else None,
            laterality=radiograph.laterality,
            synthetic=radiograph.synthetic,
            warnings=(*warnings, *added),
        )

    def call(self, radiograph: Radiograph) -> tuple[Tensor, FractureCall]:
        """Every box as `detect` gives them, and the call, without what `analyse` adds to them.

        The boxes are those of the detector, also where the call is CANNOT_JUDGE and `analyse` tells none.
        """
        look, *_, call, _ = self._judge(radiograph)
        return look.boxes, call

    def _judge(
        self, radiograph: Radiograph
    ) -> tuple[Look, float | None, tuple[str, ...], FractureCall, tuple[str, ...]]:
        """What the network gives, the scope score, the warnings known before the call, it, and those it adds."""
        # Plate and layout are judged while the network runs: that sets free the interpreter for most of its time.
        with ThreadPoolExecutor(max_workers=1) as beside:
            quality = beside.submit(quality_warnings, radiograph.pixels)
            layout = beside.submit(pixel_statistics, radiograph.pixels) if self.scope is not None else None
            look = self.look(radiograph.pixels)
        scope_score = self._scope_score(look, None if layout is None else layout.result())
        warnings = (*radiograph.warnings, *quality.result())
        points = (self.manifest.high_sensitivity, self.manifest.high_specificity)
        return look, scope_score, warnings, *decide(look.max_score, points, scope_score, warnings)

    def _scope_score(self, look: Look, pixels: Tensor | None) -> float | None:
        """How strange the radiograph is, given its `pixel_statistics`; None without scope model or features."""
        if self.scope is None or pixels is None or not look.features:
            return None
        return self.scope.score(pool_image(look.features, look.transform), pixels)

    def _statistics(self, look: Look) -> Tensor | None:
        """What the attribute heads read; None without heads or features."""
        if self.attributes is None:
            return None
        features = look.read(self.attributes.reads)
        return pool_statistics(features, look.transform) if features else None

    def _pattern_statistics(self, look: Look, statistics: Tensor) -> Tensor:
        """What the pattern head reads: of its own network, or, without one, what the others read."""
        if self.pattern_network is None:
            return statistics
        return pool_pattern_statistics(self.pattern_network.run(look.canvas), look.transform)

    def _attributes(self, statistics: Tensor | None) -> ImageAttributes | None:
        if self.attributes is None or statistics is None:
            return None
        return self.attributes.image(statistics, None)

    def _probability(self, look: Look) -> Measurement | None:
        calibration = self.manifest.calibration
        if calibration is None or calibration.kind is not ScoreKind.DETECTOR_SCORE:
            return None
        return calibration.probability(look.max_score)

    def _prevalence(self) -> float | None:
        return None if self.manifest.calibration is None else self.manifest.calibration.prevalence

    def _detections(
        self, look: Look, statistics: Tensor | None, radiograph: Radiograph
    ) -> tuple[FractureDetection, ...]:
        """Every box at or above the high-sensitivity point, but those much fainter than the best one."""
        told = max(self.manifest.high_sensitivity.threshold, TOLD_SHARE * look.max_score)
        rows = look.boxes[look.boxes[:, 4] >= told]
        if not len(rows):
            return ()
        patterns, geometry = self._patterns(look, statistics, rows), self._geometry(rows, radiograph)
        return tuple(
            self._detection(row, pattern, measured, radiograph.spacing)
            for row, pattern, measured in zip(rows.tolist(), patterns, geometry, strict=True)
        )

    def _patterns(self, look: Look, statistics: Tensor | None, rows: Tensor) -> Sequence[PatternEstimate | None]:
        """One estimate per row [n, 6]; None for each without heads."""
        found: Sequence[PatternEstimate] = ()
        if self.attributes is not None and statistics is not None:
            found = self.attributes.patterns(self._pattern_statistics(look, statistics), look.on_canvas(rows[:, :4]))
        return found or [None] * len(rows)

    def _geometry(self, rows: Tensor, radiograph: Radiograph) -> list[FractureGeometry]:
        """Of each row [n, 6]; the best `MEASURED_DETECTIONS` of them are measured."""
        definite = int((rows[:, 4] >= self.manifest.high_specificity.threshold).sum())
        measured = min(max(definite, 1), MEASURED_DETECTIONS)
        return [
            measure(radiograph.pixels, _box(row), radiograph.spacing)
            if place < measured
            else not_measured(NOT_AMONG_BEST)
            for place, row in enumerate(rows.tolist())
        ]

    def _detection(
        self,
        row: Sequence[float],
        pattern: PatternEstimate | None,
        geometry: FractureGeometry,
        spacing: PixelSpacing | None,
    ) -> FractureDetection:
        """One row [x1, y1, x2, y2, score, class] as a detection."""
        *_, score, category = row
        definite = score >= self.manifest.high_specificity.threshold
        box = _box(row)
        return FractureDetection(
            box=box,
            score=score,
            call=FractureCall.DEFINITE if definite else FractureCall.SUSPECTED,
            label=DETECTOR_CLASSES[int(category)],
            box_width_mm=(box.x2 - box.x1) * spacing.column_mm if spacing is not None else None,
            box_height_mm=(box.y2 - box.y1) * spacing.row_mm if spacing is not None else None,
            pattern=pattern,
            geometry=geometry,
        )


def _box(row: Sequence[float]) -> BoxPx:
    x1, y1, x2, y2, *_ = row
    return BoxPx(x1=x1, y1=y1, x2=x2, y2=y2)
