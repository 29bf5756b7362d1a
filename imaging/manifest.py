"""The manifest beside a weight file: what the weights are, how they must be used, and how good they were measured."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imaging.calibration import ScoreCalibration
from imaging.errors import ModelFilesError
from imaging.labels import DETECTOR_CLASSES
from imaging.preprocess import PREPROCESSING_ID
from imaging.results import OperatingPoint

MANIFEST_NAME = "manifest.json"
SHIPPED_WEIGHTS = Path(__file__).resolve().parent / "weights"
"""The folder of the weights that come with the package."""
ACCURATE_WEIGHTS = SHIPPED_WEIGHTS / "accurate"
"""The folder of the shipped pair: the same detector and a second one beside it, at about twice the time."""
CLASSIFIER_KEY = "image_classifier"
"""Entry of a detector's manifest, and of a pair's for its second detector."""
PAIR_MARK = "+"
"""Stands between the digests of the parts of a detector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierFile:
    """The weights of the image classifier that belongs to a detector: `imaging.yolov7.image_classifier`."""

    weights: Path
    sha256: str
    weight: float
    """Factor on its log odds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorManifest:
    """The part of ``manifest.json`` that the engine acts on; the whole of it is kept in `document`."""

    name: str
    version: str
    graph: str
    weights: Path
    """The weight file. The scope model and the attribute heads that belong to it lie in the same folder, which for a
    pair is not the folder of the manifest; a pair may have attribute heads of its own beside its manifest."""
    sha256: str
    image_size: int
    """Side of the square canvas in pixels."""
    pad_value: float
    score_floor: float
    """Boxes below this score are never reported."""
    nms_iou: float
    max_detections: int
    high_sensitivity: OperatingPoint
    high_specificity: OperatingPoint
    validation: str
    """One sentence on how good the model was measured to be."""
    calibration: ScoreCalibration | None = None
    """Score to probability; None when the release carries none."""
    companion: "DetectorManifest | None" = None
    """The second detector of a pair: its boxes are fused with the first one's (`imaging.ensemble`). Graph, weights and
    digest are its own, everything else is the pair's."""
    image_classifier: ClassifierFile | None = None
    """What lowers the scores on radiographs that look healthy as a whole. Of a pair the first one's; it serves the
    second one too, where that has none of its own."""
    document: dict[str, Any]

    @property
    def model_id(self) -> str:
        """``name@version+digest`` with the first eight digits of the weights' SHA-256; of all, parted by full stops."""
        digests = dict.fromkeys(one.sha256[:8] for one in self.parts)
        return f"{self.name}@{self.version}+{'.'.join(digests)}"

    @property
    def parts(self) -> "tuple[DetectorManifest | ClassifierFile, ...]":
        """Everything that has a weight file: the detectors first, then what lowers their scores."""
        detectors = (self,) if self.companion is None else (self, self.companion)
        beside = (one.image_classifier for one in detectors)
        return (*detectors, *(one for one in beside if one is not None))

    @property
    def digest(self) -> str:
        """SHA-256 of all weights whose features heads may read, joined by plus signs."""
        return PAIR_MARK.join(dict.fromkeys(one.sha256 for one in self.parts))

    @property
    def judging(self) -> tuple[str, ...]:
        """What boxes and their scores come from: the digest of each part, and the weight of an image classifier."""
        return tuple(
            f"{one.sha256}*{one.weight}" if isinstance(one, ClassifierFile) else one.sha256 for one in self.parts
        )

    @property
    def heads(self) -> Path:
        """The folder of the scope model and the attribute heads, for a pair that of its first detector.

        Where the heads lie that a pair answers with: `imaging.attributes.model.heads_folder`.
        """
        return self.weights.parent


def read_manifest(directory: Path | None = None) -> DetectorManifest:
    """Read and check the manifest of a weights folder; the shipped one by default.

    Raises:
        ModelFilesError: missing or malformed, or made for another preprocessing or class map.
    """
    folder = SHIPPED_WEIGHTS if directory is None else directory
    try:
        document = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFilesError(f"The detector folder holds no {MANIFEST_NAME}.") from error
    except (OSError, ValueError) as error:
        raise ModelFilesError(f"The detector's {MANIFEST_NAME} cannot be read as JSON.") from error
    try:
        return _with_companion(_parse(folder, document), folder)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFilesError(f"The detector's {MANIFEST_NAME} lacks a required entry: {error}.") from error


def _parse(folder: Path, document: dict[str, Any]) -> DetectorManifest:
    preprocessing, suppression = document["preprocessing"], document["suppression"]
    if preprocessing["id"] != PREPROCESSING_ID:
        raise ModelFilesError(f"The weights need preprocessing {preprocessing['id']!r}; this is {PREPROCESSING_ID!r}.")
    if tuple(document["classes"]) != DETECTOR_CLASSES:
        raise ModelFilesError("The weights were trained for other classes than this engine reports.")
    points = {
        name: OperatingPoint(
            name=name,
            threshold=float(point["threshold"]),
            sensitivity=float(point["sensitivity"]),
            specificity=float(point["specificity"]),
            sensitivity_low=_optional(point.get("sensitivity_low")),
            specificity_low=_optional(point.get("specificity_low")),
        )
        for name, point in document["operating_points"].items()
        if name in ("high_sensitivity", "high_specificity")
    }
    return DetectorManifest(
        name=document["name"],
        version=document["version"],
        graph=document["graph"],
        weights=Path(os.path.normpath(folder / document["weights"])),
        sha256=document["sha256"],
        image_size=int(preprocessing["image_size"]),
        pad_value=float(preprocessing["pad_value"]),
        score_floor=float(suppression["score_floor"]),
        nms_iou=float(suppression["iou"]),
        max_detections=int(suppression["max_detections"]),
        high_sensitivity=points["high_sensitivity"],
        high_specificity=points["high_specificity"],
        validation=document["validation"],
        calibration=ScoreCalibration.from_manifest(document),
        image_classifier=_classifier(folder, document.get(CLASSIFIER_KEY)),
        document=document,
    )


def _classifier(folder: Path, entry: dict[str, Any] | None) -> ClassifierFile | None:
    if entry is None:
        return None
    return ClassifierFile(
        weights=Path(os.path.normpath(folder / entry["weights"])), sha256=entry["sha256"], weight=float(entry["weight"])
    )


def _with_companion(manifest: DetectorManifest, folder: Path) -> DetectorManifest:
    entry = manifest.document.get("companion")
    if entry is None:
        return manifest
    second = replace(
        manifest,
        graph=entry["graph"],
        weights=folder / entry["weights"],
        sha256=entry["sha256"],
        image_classifier=_classifier(folder, entry.get(CLASSIFIER_KEY)) or manifest.image_classifier,
    )
    return replace(manifest, companion=second)


def _optional(value: float | None) -> float | None:
    return None if value is None else float(value)
