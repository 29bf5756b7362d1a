"""A taught image classifier as files of its own, beside a detector, and as the mean of several."""

import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from imaging.manifest import CLASSIFIER_KEY, MANIFEST_NAME, DetectorManifest, read_manifest
from imaging.training.datasets import Collection
from imaging.training.errors import TrainingDataError
from imaging.training.release import CLASSIFIER_NAME, recorded_config, set_operation
from imaging.training.stale_heads import drop_stale_heads
from imaging.yolov7.checkpoint import CheckpointError, load_weights, save_weights
from imaging.yolov7.image_classifier import ImageClassifier

if TYPE_CHECKING:
    from imaging.training.image_classifier import ClassifierConfig

ENTRY_NAME = "image_classifier.json"
"""Beside the weights: the entry that a detector's manifest will have for them."""
SCORE_FLOOR = 0.0001
"""Boxes of a radiograph that looks healthy keep low scores instead of none, so that radiographs can still be ranked."""
START = "ImageNet weights of EfficientNet-Lite0 (Apache-2.0) in the backbone, the rest random"
SOUP = "mean of the weights of several, taught apart from the same start (Wortsman et al., ICML 2022, arXiv 2203.05482)"
Report = Callable[[str], None]


def write_classifier(
    out: Path,
    network: ImageClassifier,
    config: "ClassifierConfig",
    detector: DetectorManifest,
    collection: Collection,
    learned_from: int,
) -> None:
    """Write weights and entry of a classifier into a folder.

    Args:
        out: the folder.
        network: what was taught.
        config: how.
        detector: whose split it was taught by.
        collection: the data.
        learned_from: number of radiographs.
    """
    training = {
        "command": f"cds train image-classifier --data {shlex.quote(collection.name)} --model MODEL --out OUT",
        "config": asdict(config),
        "start": START,
        "torch": torch.__version__.split("+")[0],
        "data": {
            "name": collection.name,
            "n": learned_from,
            "sha256": collection.digest(),
            "held_out": _held_out(detector),
        },
    }
    _write(out, network.state_dict(), config.weight, training)


def attach(model: Path, folder: Path, report: Report) -> None:
    """Put the classifier of a folder beside a detector; heads that read an earlier one are removed.

    Args:
        model: folder of the detector.
        folder: as `write_classifier` leaves it.
        report: receives one line when heads were removed.
    """
    entry = _read(folder)
    partial = model / f"{CLASSIFIER_NAME}.partial"
    shutil.copyfile(folder / CLASSIFIER_NAME, partial)
    partial.replace(model / CLASSIFIER_NAME)
    document = json.loads((model / MANIFEST_NAME).read_text(encoding="utf-8"))
    document[CLASSIFIER_KEY] = entry
    document["suppression"]["score_floor"] = SCORE_FLOOR
    _write_json(model / MANIFEST_NAME, document)
    drop_stale_heads(model, report)


def average(data: Path, model: Path, folders: Sequence[Path], out: Path, *, report: Report = print) -> Path:
    """Put the mean of several classifiers' weights beside a detector.

    Fine-tuned from one start with different draws, classifiers err apart but lie in one valley: their mean ranks
    radiographs about as well as the mean of their answers, in the time of one.

    Args:
        data: the data set the detector was trained on.
        model: folder of the detector; operating points and calibration are set anew.
        folders: at least two, as `write_classifier` leaves them.
        out: folder for weights and entry of the mean.
        report: receives progress lines.

    Returns:
        The folder `model`.

    Raises:
        TrainingDataError: they did not hold out what the detector held out, or differ in data or weight.
        ModelFilesError: the folder holds no detector that can be used.
    """
    manifest = read_manifest(model)
    if manifest.companion is not None:
        raise TrainingDataError("a pair takes the image classifier of its first detector", "name that one's folder")
    entries = [_read(folder) for folder in folders]
    if len({entry["sha256"] for entry in entries}) < max(2, len(entries)):
        raise TrainingDataError("a mean needs at least two different classifiers", "name each folder once with --of")
    for folder, entry in zip(folders, entries, strict=True):
        _check_fit(folder.name, entry, entries[0], _held_out(manifest))
    states = [_state(folder, entry) for folder, entry in zip(folders, entries, strict=True)]
    mean = {name: torch.stack([state[name].float() for state in states]).mean(dim=0) for name in states[0]}
    named = " ".join(f"--of {shlex.quote(folder.name)}" for folder in folders)
    training = {
        "command": f"cds train image-classifier-mean --data {shlex.quote(data.resolve().name)} --model MODEL {named} "
        "--out OUT",
        "start": SOUP,
        "torch": torch.__version__.split("+")[0],
        "data": entries[0]["training"]["data"],
        "members": [{"sha256": entry["sha256"], "training": entry["training"]} for entry in entries],
    }
    _write(out, mean, float(entries[0]["weight"]), training)
    attach(model, out, report)
    return set_operation(model, data, report=report)


def _held_out(manifest: DetectorManifest) -> dict[str, Any]:
    config = recorded_config(manifest.document)
    return {"split": config.split, "folds": config.folds, "development_fold": config.development_fold}


def _check_fit(name: str, entry: dict[str, Any], first: dict[str, Any], held_out: dict[str, Any]) -> None:
    about, other = entry["training"]["data"], first["training"]["data"]
    if about.get("held_out") != held_out:
        raise TrainingDataError(
            f"{name} did not hold out the radiographs that the detector held out",
            "teach it anew with `cds train image-classifier` and this detector",
        )
    if about != other or entry["weight"] != first["weight"]:
        raise TrainingDataError(
            f"{name} learned from other data than the first, or has another weight",
            "average classifiers that were taught alike but for chance",
        )


def _state(folder: Path, entry: dict[str, Any]) -> dict[str, Tensor]:
    try:
        state, _ = load_weights(folder / CLASSIFIER_NAME, sha256=entry["sha256"])
        ImageClassifier().load_state_dict(state)
    except (CheckpointError, OSError, RuntimeError) as error:
        raise TrainingDataError(
            f"{folder.name} holds no image classifier that can be used", str(error)[:200]
        ) from error
    return state


def _read(folder: Path) -> dict[str, Any]:
    try:
        entry = json.loads((folder / ENTRY_NAME).read_text(encoding="utf-8"))
        entry["sha256"], entry["weight"], entry["training"]["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingDataError(
            f"{folder.name} holds no finished image classifier", "name the --out folder of `cds train image-classifier`"
        ) from error
    return dict(entry)


def _write(out: Path, state: dict[str, Tensor], weight: float, training: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    digest = save_weights(out / CLASSIFIER_NAME, state, {"graph": "efficientnet-lite0-classifier"})
    entry = {"weights": CLASSIFIER_NAME, "sha256": digest, "weight": weight, "training": training}
    _write_json(out / ENTRY_NAME, entry)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
