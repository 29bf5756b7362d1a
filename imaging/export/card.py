"""The card beside an exported file: all that its reader must know, and how the file was found to do."""

import hashlib
import json
from importlib import metadata
from typing import Any, Final

from imaging import preprocess
from imaging.attributes.scope import ScopeModel
from imaging.calibration import SMALLEST_SCORE, ScoreKind
from imaging.decision import TOLD_SHARE
from imaging.export.network import EdgeNetwork
from imaging.export.scope import CHECKED, NOT_CHECKED, scope_entry
from imaging.export.writers import EdgeFormat, Written
from imaging.manifest import DetectorManifest
from imaging.results import OperatingPoint

SCHEMA: Final = "fracture-cds.edge/1"

_TOOLS: Final = {
    EdgeFormat.ONNX: ("torch", "onnx", "onnxruntime"),
    EdgeFormat.OPENVINO: ("torch", "onnx", "onnxruntime", "openvino"),
    EdgeFormat.TFLITE: ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert"),
}


def make_card(
    manifest: DetectorManifest,
    network: EdgeNetwork,
    written: Written,
    edge_format: EdgeFormat,
    size: int,
    name: str,
    scope: ScopeModel | None = None,
) -> dict[str, Any]:
    """The card of a file that is not yet checked; `imaging.export.check` adds ``check``.

    Args:
        manifest: of the weights.
        network: what was exported, for its anchors.
        written: the file.
        edge_format: its format.
        size: side of the canvas in pixels.
        name: the file's name.
        scope: tells limb radiographs from other pictures; None when the file cannot.
    """
    detector = network.network
    return {
        "schema": SCHEMA,
        "model_id": manifest.model_id,
        "weights_sha256": manifest.sha256,
        "image_classifier_sha256": None if manifest.image_classifier is None else manifest.image_classifier.sha256,
        "file": name,
        "sha256": hashlib.sha256(written.data).hexdigest(),
        "size_bytes": len(written.data),
        "format": edge_format.value,
        "precision": "float32" if written.quantisation is None else "int8",
        "quantisation": written.quantisation,
        "input": written.input_name,
        "input_layout": "[1, 1, size, size] grey, 0..1, contrast normalised, letterboxed",
        "outputs": list(written.output_names),
        "output_layout": "boxes [1, N, 4] x1 y1 x2 y2 in canvas pixels; scores [1, N, classes]"
        + ("" if scope is None else "; feature maps [1, C, size/16, size/16] and [1, C, size/32, size/32]"),
        "classes": list(manifest.document["classes"]),
        "anchors_px": [
            [[round(side, 4) for side in anchor] for anchor in level] for level in detector.anchors.tolist()
        ],
        "strides": list(detector.strides),
        "preprocessing": {
            "id": preprocess.PREPROCESSING_ID,
            "percentiles": [preprocess.LOW_PERCENTILE, preprocess.HIGH_PERCENTILE],
            "black": 2,
            "min_exposed_pixels": 16,
            "clip_limit": preprocess.CLIP_LIMIT,
            "tiles": list(preprocess.TILES),
            "working_side_px": preprocess.WORKING_SIDE_PX,
            "image_size": size,
            "pad_value": manifest.pad_value,
        },
        "suppression": {
            "score_floor": manifest.score_floor,
            "iou": manifest.nms_iou,
            "max_detections": manifest.max_detections,
        },
        "operating_points": {
            point.name: _point(point) for point in (manifest.high_sensitivity, manifest.high_specificity)
        },
        "told_share": TOLD_SHARE,
        "calibration": _calibration(manifest, written, size),
        "scope_checked": scope is not None,
        "scope_notice": NOT_CHECKED if scope is None else CHECKED,
        "scope": None if scope is None else scope_entry(scope),
        "validation": manifest.validation,
        "intended_use": manifest.document.get("intended_use", ""),
        "made_with": {tool: version for tool in _TOOLS[edge_format] if (version := _version(tool)) is not None},
    }


def _point(point: OperatingPoint) -> dict[str, float]:
    return {"threshold": point.threshold, "sensitivity": point.sensitivity, "specificity": point.specificity}


def _calibration(manifest: DetectorManifest, written: Written, size: int) -> dict[str, Any] | None:
    """Score to probability; None for a file whose scores are not those it was fitted on."""
    line = manifest.calibration
    if line is None or line.kind is not ScoreKind.DETECTOR_SCORE:
        return None
    if written.quantisation is not None or size != manifest.image_size:
        return None
    return line.as_entry() | {"smallest_score": SMALLEST_SCORE}


def _version(tool: str) -> str | None:
    try:
        return metadata.version(tool).split("+")[0]
    except metadata.PackageNotFoundError:
        return None


def as_text(card: dict[str, Any]) -> str:
    """The card as it is written."""
    return json.dumps(card, indent=2) + "\n"
