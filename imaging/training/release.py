"""Trained weights to a release: weight file, manifest, operating points, figures."""

import dataclasses
import json
import math
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from imaging.calibration import CALIBRATION_KEY
from imaging.engine import FractureEngine
from imaging.labels import DETECTOR_CLASSES
from imaging.manifest import CLASSIFIER_KEY, MANIFEST_NAME, DetectorManifest, read_manifest
from imaging.preprocess import PREPROCESSING_ID
from imaging.training.calibration import fit_calibration
from imaging.training.datasets import Collection, LabelledRadiograph
from imaging.training.errors import TrainingDataError
from imaging.training.evaluate import as_table, records_of
from imaging.training.metrics import ImageRecord, Thresholds, measure
from imaging.training.operating_points import GUARANTEE, ChosenPoint, choose_points, lower_bound
from imaging.training.pretraining import words_for
from imaging.yolov7.checkpoint import save_weights

if TYPE_CHECKING:
    from imaging.training.module import FractureDetector
    from imaging.training.train import TrainingConfig

WEIGHTS_NAME = "detector.safetensors"
CLASSIFIER_NAME = "image_classifier.safetensors"
VERSION = "0.1.0"
SCORE_FLOOR = 0.005
NMS_IOU = 0.45
MAX_DETECTIONS = 100

INTENDED_USE = (
    "Investigational. Marks suspected fractures on radiographs of limbs, shoulder girdle, pelvis and hips for a "
    "clinician who reads the radiograph as well. Not for chest, skull, spine, CT or MRI; a radiograph without a mark "
    "is not a normal radiograph."
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """What a training learned from beside its data set."""

    name: str
    """Of the folder."""
    samples: Sequence[LabelledRadiograph]
    labelled: bool = False
    """Whether the boxes are the teacher's."""

    def as_entry(self) -> dict[str, Any]:
        """For the manifest: how many, whose boxes, and a digest of images and boxes."""
        return {
            "name": self.name,
            "n": len(self.samples),
            "boxes": "of the teacher" if self.labelled else "of the data set",
            "sha256": Collection(name=self.name, samples=tuple(self.samples)).digest(),
        }


def write_release(
    out: Path,
    module: "FractureDetector",
    config: "TrainingConfig",
    collection: Collection,
    development: Sequence[LabelledRadiograph],
    *,
    further: Sequence[Further] = (),
    report: Callable[[str], None] = print,
) -> Path:
    """Write ``detector.safetensors`` and ``manifest.json`` into `out`; thresholds come from the development images.

    A detector that was taught on from another keeps that one's image classifier.

    Args:
        out: folder, made when it is not there.
        module: the trained detector, with the averaged weights in its network.
        config: the settings it was trained with.
        collection: what it was trained on.
        development: held-out radiographs, on which the operating points are set.
        further: what it learned from beside the collection.
        report: receives progress lines.
    """
    out.mkdir(parents=True, exist_ok=True)
    digest = save_weights(out / WEIGHTS_NAME, module.network.state_dict(), {"graph": config.graph})
    document = _document(config, collection, digest)
    if further:
        document["training"]["data"]["further"] = [one.as_entry() for one in further]
    if config.start_from is not None:
        keep_classifier(read_manifest(Path(config.start_from)), out, document)
    write_document(out, document)
    records, _ = records_of(
        Collection(name=collection.name, samples=tuple(development)), FractureEngine.load(out), report=report
    )
    _set_operation(document, collection, records, report)
    write_document(out, document)
    return out


def keep_classifier(earlier: DetectorManifest, out: Path, document: dict[str, Any]) -> None:
    """Copy the image classifier of the detector that this one came from, if any: it judges radiographs, not boxes.

    Args:
        earlier: the detector it came from.
        out: folder of this one.
        document: its manifest, which gets the entry and the score floor that belongs to it.
    """
    if earlier.image_classifier is None:
        return
    copy_whole(earlier.image_classifier.weights, out / CLASSIFIER_NAME)
    document[CLASSIFIER_KEY] = earlier.document[CLASSIFIER_KEY] | {"weights": CLASSIFIER_NAME}
    document["suppression"]["score_floor"] = earlier.score_floor


def set_operation(
    folder: Path, data: Path, *, split_list: Path | None = None, report: Callable[[str], None] = print
) -> Path:
    """Choose operating points and calibration of existing weights anew, on the radiographs their training held out.

    Figures measured on other splits stay in the manifest under ``evaluations``, but no longer describe the points:
    measure again (`record_validation`).

    Args:
        folder: weights and manifest, whose record of the training says which part of the data was held out.
        data: the data set it was trained on.
        split_list: where the training's split list lies now; None looks where the manifest says it lay.
        report: receives progress lines.

    Raises:
        TrainingDataError: the data or the split list cannot be read, or the manifest names no split.
        ModelFilesError: the weights cannot be used.
    """
    from imaging.training.train import learn_and_development  # which imports this module in its turn

    engine = FractureEngine.load(folder, boxes_only=True)
    document = engine.manifest.document
    config = recorded_config(document)
    if split_list is not None:
        config = replace(config, split_list=str(split_list))
    collection, _, development = learn_and_development(data, config, report=report)
    records, _ = records_of(Collection(name=collection.name, samples=tuple(development)), engine, report=report)
    _set_operation(document, collection, records, report)
    write_document(folder, document)
    return folder


def recorded_config(document: dict[str, Any]) -> "TrainingConfig":
    """The settings that a manifest records, as far as they decide which radiographs were held out."""
    from imaging.training.train import TrainingConfig

    try:
        config = document["training"]["config"]
        listed = {
            "split_list": config.get("split_list"),
            "development_split": str(config.get("development_split", TrainingConfig().development_split)),
        }
        return TrainingConfig(
            split=str(config["split"]),
            folds=int(config["folds"]),
            development_fold=int(config["development_fold"]),
            **listed,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TrainingDataError(
            "the manifest does not say which radiographs were held out", "train the detector again with this version"
        ) from error


def _set_operation(
    document: dict[str, Any],
    collection: Collection,
    records: Sequence[ImageRecord],
    report: Callable[[str], None],
) -> None:
    """Put operating points, calibration and the figures of the held-out `records` into the manifest."""
    fractured = np.array([record.fractured for record in records])
    scores = np.array([record.image_score for record in records])
    try:
        sensitive, specific = choose_points(fractured, scores)
    except ValueError as error:
        report(f"operating points keep their neutral values: {error}")
        return
    share = sum(sample.fractured for sample in collection.samples) / len(collection.samples)
    calibration = fit_calibration(fractured, scores, prevalence=share)
    document["operating_points"] = {
        # Rounded away from the images that set them, so that the rule they were chosen by still holds.
        "high_sensitivity": _entry(sensitive, math.floor(sensitive.threshold * 1e6) / 1e6),
        "high_specificity": _entry(specific, math.ceil(specific.threshold * 1e6) / 1e6),
    }
    document[CALIBRATION_KEY] = calibration.as_entry()
    # Judged at the held-out radiographs' own share of fractures: at another, a right probability would look wrong.
    there = calibration.reanchored(float(fractured.mean()))
    judged = [replace(record, probability=there.probability(record.image_score).value) for record in records]
    metrics = as_table(
        measure(judged, Thresholds(high_sensitivity=sensitive.threshold, high_specificity=specific.threshold))
    )
    document["development"] = {
        "n": len(records),
        "n_fractured": int(fractured.sum()),
        "chosen_here": ["operating points", "calibration", "early stopping"],
        "guarantee": GUARANTEE,
        "metrics": metrics,
    }
    document["validation"] = (
        f"Operating points set on {len(records)} held-out radiographs of {collection.name} "
        f"({int(fractured.sum())} fractured); image-level AUC there "
        f"{metrics['image_auc']['value']:.2f} "
        f"({metrics['image_auc']['low']:.2f} to {metrics['image_auc']['high']:.2f})."
    )
    report(f"operating points and calibration written; development metrics: {json.dumps(metrics)}")


def record_validation(folder: Path, result: dict[str, Any], words: str) -> None:
    """Put the figures that `imaging.training.evaluate.run` measured on another split into the manifest.

    They replace those of the operating points too, lower bounds included: on the images that a threshold was chosen on,
    it looks better than it is. The figures of those images stay under ``development``.
    """
    document = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    name = f"{result['dataset']}/{result['split']}"
    document.setdefault("evaluations", {})[name] = result
    document["validation"] = words
    for point, figures in document["operating_points"].items():
        measured = {kind: result["metrics"].get(f"{kind}_{point}") for kind in ("sensitivity", "specificity")}
        if not all(measured.values()):
            continue
        counts = {"sensitivity": result["n_fractured"], "specificity": result["n"] - result["n_fractured"]}
        for kind, one in measured.items():
            figures[kind] = one["value"]
            figures[f"{kind}_low"] = round(lower_bound(round(one["value"] * counts[kind]), counts[kind]), 4)
        figures["measured_on"] = name
    write_document(folder, document)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file so that `target` is never half of it."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)


def write_document(folder: Path, document: dict[str, Any]) -> None:
    """Write a detector's manifest, whole or not at all."""
    partial = folder / f"{MANIFEST_NAME}.partial"
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST_NAME)


def _document(config: "TrainingConfig", collection: Collection, digest: str) -> dict[str, Any]:
    fractured = sum(sample.fractured for sample in collection.samples)
    neutral = {"sensitivity": 0.0, "specificity": 0.0}
    return {
        "schema": "fracture-cds.detector/1",
        "name": f"{config.graph}-{collection.name}",
        "version": VERSION,
        "graph": config.graph,
        "classes": list(DETECTOR_CLASSES),
        "weights": WEIGHTS_NAME,
        "sha256": digest,
        "preprocessing": {
            "id": PREPROCESSING_ID,
            "image_size": config.image_size,
            "pad_value": 0.0,
            "channels": "grey, repeated three times, 0..1",
        },
        "suppression": {"score_floor": SCORE_FLOOR, "iou": NMS_IOU, "max_detections": MAX_DETECTIONS},
        "operating_points": {
            "high_sensitivity": {"threshold": 0.1, **neutral},
            "high_specificity": {"threshold": 0.5, **neutral},
        },
        "training": {
            "created": datetime.now(UTC).date().isoformat(),
            "command": f"cds train detector --data {shlex.quote(collection.name)} --out OUT",
            "config": dataclasses.asdict(config),
            "torch": torch.__version__.split("+")[0],
            "data": {
                "name": collection.name,
                "split": config.split,
                "n": len(collection.samples),
                "n_fractured": fractured,
                "n_boxes": sum(len(sample.boxes) for sample in collection.samples),
                "sha256": collection.digest(),
                "licence": "see the data set's own licence; FracAtlas: CC BY 4.0, doi 10.1038/s41597-023-02432-4",
            },
            "start": start_of(config),
            "teacher": None if config.teacher is None else read_manifest(Path(config.teacher)).model_id,
        },
        "intended_use": INTENDED_USE,
        "validation": "Not yet measured.",
    }


def start_of(config: "TrainingConfig") -> str | dict[str, Any]:
    """What the weights were before this run; for a later stage, the whole record of the earlier one."""
    if config.start_from is not None:
        earlier = read_manifest(Path(config.start_from))
        return {"sha256": earlier.sha256, "training": earlier.document["training"]}
    if config.backbone_from is not None:
        return words_for(Path(config.backbone_from))
    backbone = config.graph.rpartition("-")[2]
    if backbone in ("lite0", "lite2"):
        return f"ImageNet weights of EfficientNet-{backbone.capitalize()} (Apache-2.0) in the backbone, the rest random"
    return "random weights"


def _entry(point: ChosenPoint, threshold: float) -> dict[str, Any]:
    return {
        "threshold": threshold,
        "sensitivity": round(point.sensitivity, 4),
        "specificity": round(point.specificity, 4),
        "sensitivity_low": round(point.sensitivity_low, 4),
        "specificity_low": round(point.specificity_low, 4),
        "controlled": point.controlled,
    }
