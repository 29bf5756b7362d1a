"""Two released detectors to one pair, with operating points and a calibration of its own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imaging.manifest import CLASSIFIER_KEY, DetectorManifest, read_manifest
from imaging.training.errors import TrainingDataError
from imaging.training.release import (
    CLASSIFIER_NAME,
    WEIGHTS_NAME,
    copy_whole,
    recorded_config,
    set_operation,
    write_document,
)
from imaging.training.stale_heads import drop_stale_heads

KEPT = ("classes", "preprocessing", "suppression", "intended_use")
"""What both must share, and the pair keeps."""


def make_pair(
    first: Path,
    second: Path,
    data: Path,
    out: Path,
    *,
    split_list: Path | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Write a pair: the first detector where it lies, a copy of the second, and a manifest for both.

    Args:
        first: folder of the detector whose features the scope model reads, and the attribute heads until the pair has
            some of its own.
        second: folder of the other one.
        data: the data set they were trained on; operating points and calibration are set on what both held out.
        out: folder for the pair, inside `first`, so that the two cannot be parted.
        split_list: where the training's split list lies now; None looks where the manifest says it lay.
        report: receives progress lines.

    Raises:
        TrainingDataError: the two do not fit each other, `out` lies elsewhere, or the data cannot be read.
        ModelFilesError: a folder holds no detector that can be used.
    """
    one, other = read_manifest(first), read_manifest(second)
    _check_fit(one, other)
    if one.weights.parent.resolve() not in out.resolve().parents:
        raise TrainingDataError(
            "a pair must lie inside the folder of its first detector", f"give --out {first.name}/accurate, for instance"
        )
    out.mkdir(parents=True, exist_ok=True)
    copy_whole(other.weights, out / WEIGHTS_NAME)
    if other.image_classifier is not None:
        copy_whole(other.image_classifier.weights, out / CLASSIFIER_NAME)
    document = _document(one, other, out)
    write_document(out, document)
    drop_stale_heads(out, report)
    return set_operation(out, data, split_list=split_list, report=report)


def _check_fit(one: DetectorManifest, other: DetectorManifest) -> None:
    if one.companion is not None or other.companion is not None:
        raise TrainingDataError("a pair is made of two single detectors", "give the folders of the single ones")
    if one.sha256 == other.sha256:
        raise TrainingDataError("both folders hold the same weights", "give two detectors that were trained apart")
    shared = [_without_floor(manifest.document) for manifest in (one, other)]
    different = [name for name in KEPT[:3] if shared[0][name] != shared[1][name]]
    if different:
        raise TrainingDataError(
            f"the two detectors differ in {', '.join(different)}", "pair detectors of one canvas and one class map"
        )
    if recorded_config(one.document) != recorded_config(other.document):
        raise TrainingDataError(
            "the two detectors held out different radiographs", "train them with the same split and development fold"
        )


def _without_floor(document: dict[str, Any]) -> dict[str, Any]:
    """All but the score floor: one with an image classifier has a lower one, and the pair keeps that of the first."""
    return document | {"suppression": document["suppression"] | {"score_floor": None}}


def _document(one: DetectorManifest, other: DetectorManifest, out: Path) -> dict[str, Any]:
    first, second = one.document, other.document
    weights = os.path.relpath(one.weights.resolve(), out.resolve())
    classifiers: list[dict[str, Any]] = [{}, {}]
    if one.image_classifier is not None:
        place = os.path.relpath(one.image_classifier.weights.resolve(), out.resolve())
        classifiers[0] = {CLASSIFIER_KEY: first[CLASSIFIER_KEY] | {"weights": place}}
    if other.image_classifier is not None:
        classifiers[1] = {CLASSIFIER_KEY: second[CLASSIFIER_KEY] | {"weights": CLASSIFIER_NAME}}
    return {
        "schema": first["schema"],
        "name": f"{first['name']}+{second['graph'].rpartition('-')[2]}",
        "version": second["version"],
        "graph": one.graph,
        "weights": weights,
        "sha256": one.sha256,
        "companion": {"graph": other.graph, "weights": WEIGHTS_NAME, "sha256": other.sha256, **classifiers[1]},
        **classifiers[0],
        **{name: first[name] for name in KEPT if name in first},
        "operating_points": first["operating_points"],
        "training": first["training"],
        "companion_training": second["training"],
        "validation": "Not yet measured.",
    }
