"""`FractureEngine`: one radiograph in, `ImageFindings` out."""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imaging.errors import ModelFilesError
from imaging.labels import DETECTOR_CLASSES
from imaging.manifest import DetectorManifest, read_manifest
from imaging.preprocess import prepare
from imaging.radiograph import Radiograph
from imaging.results import BoxPx, FractureCall, FractureDetection, ImageFindings
from imaging.runtime import Runtime, RuntimeName, load_runtime
from imaging.yolov7.checkpoint import CheckpointError
from imaging.yolov7.postprocess import letterbox, non_max_suppression

UNFIT = frozenset({"imaging.content.low_contrast", "imaging.content.few_grey_levels"})
"""Reader warnings after which "not seen" would claim too much."""


class FractureEngine:
    """Detects fractures on one radiograph at a time, at the two operating points of its manifest."""

    def __init__(self, manifest: DetectorManifest, runtime: Runtime) -> None:
        self.manifest = manifest
        self.runtime = runtime

    @classmethod
    def load(
        cls, directory: Path | None = None, *, runtime: RuntimeName | str = RuntimeName.AUTO, threads: int | None = None
    ) -> Self:
        """Load the weights of a folder; the shipped ones by default.

        Args:
            directory: folder with ``manifest.json`` and the weight file it names.
            runtime: ``auto``, ``openvino`` or ``torch``.
            threads: CPU threads of one analysis; None lets the runtime decide.

        Raises:
            ModelFilesError: the files are missing, damaged or do not fit each other.
        """
        manifest = read_manifest(directory)
        try:
            return cls(manifest, load_runtime(manifest, RuntimeName(runtime), threads=threads))
        except (CheckpointError, OSError) as error:
            raise ModelFilesError(f"The detector's weights cannot be used: {error}") from error

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
        height, width = pixels.shape
        prepared = prepare(pixels)
        canvas, transform = letterbox(prepared, self.manifest.image_size, pad_value=self.manifest.pad_value)
        prediction = self.runtime.predict(torch.from_numpy(canvas).expand(1, 3, -1, -1))
        (found,) = non_max_suppression(
            prediction.decoded,
            score_threshold=self.manifest.score_floor,
            iou_threshold=self.manifest.nms_iou,
            max_detections=self.manifest.max_detections,
        )
        to_original = torch.tensor([width / prepared.shape[1], height / prepared.shape[0]]).repeat(2)
        return torch.cat((transform.to_image(found[:, :4]) * to_original, found[:, 4:]), dim=1)

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """Findings of one radiograph: boxes at or above the high-sensitivity point, and the image-level call."""
        found = self.detect(radiograph.pixels)
        detections = tuple(
            detection for row in found.tolist() if (detection := self._detection(row, radiograph)) is not None
        )
        height, width = radiograph.pixels.shape
        warnings = list(radiograph.warnings)
        call = detections[0].call if detections else FractureCall.NOT_SEEN
        if not detections and any(warning.partition(":")[0] in UNFIT for warning in warnings):
            call = FractureCall.CANNOT_JUDGE
        return ImageFindings(
            model_id=self.model_id,
            model_validation=self.manifest.validation,
            image_sha256=radiograph.sha256,
            width_px=width,
            height_px=height,
            call=call,
            max_score=float(found[0, 4]) if len(found) else 0.0,
            detections=detections,
            operating_points=(self.manifest.high_sensitivity, self.manifest.high_specificity),
            spacing=radiograph.spacing,
            region=radiograph.region,
            region_source="dicom" if radiograph.region is not None else None,
            laterality=radiograph.laterality,
            synthetic=radiograph.synthetic,
            warnings=tuple(warnings),
        )

    def _detection(self, row: list[float], radiograph: Radiograph) -> FractureDetection | None:
        """One row [x1, y1, x2, y2, score, class] as a detection; None below the high-sensitivity point."""
        x1, y1, x2, y2, score, category = row
        if score < self.manifest.high_sensitivity.threshold:
            return None
        definite = score >= self.manifest.high_specificity.threshold
        spacing = radiograph.spacing
        return FractureDetection(
            box=BoxPx(x1=x1, y1=y1, x2=x2, y2=y2),
            score=score,
            call=FractureCall.DEFINITE if definite else FractureCall.SUSPECTED,
            label=DETECTOR_CLASSES[int(category)],
            box_width_mm=(x2 - x1) * spacing.column_mm if spacing is not None else None,
            box_height_mm=(y2 - y1) * spacing.row_mm if spacing is not None else None,
        )
