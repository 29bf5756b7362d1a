"""The mean of several detectors' weights (model soup; Wortsman et al., ICML 2022, arXiv 2203.05482).

Weights that were taught on from one another mostly lie in one valley of the loss, so that their mean is a network
again, in the time of one. Whether it is better than its members must be measured each time: MODEL_CARD.md has means
that were, and means that were not.
"""

import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imaging.errors import ModelFilesError
from imaging.manifest import DetectorManifest, read_manifest
from imaging.training.errors import TrainingDataError
from imaging.training.release import (
    WEIGHTS_NAME,
    keep_classifier,
    recorded_config,
    set_operation,
    write_document,
)
from imaging.yolov7.checkpoint import CheckpointError, load_weights, save_weights

SHARED = ("classes", "preprocessing")
Report = Callable[[str], None]


def average(data: Path, folders: Sequence[Path], out: Path, *, report: Report = print) -> Path:
    """Write a detector whose weights are the mean of several.

    The first one's image classifier comes along. Operating points and calibration are set anew.

    Args:
        data: the data set they were trained on.
        folders: of at least two single detectors of one graph, each taught on from an earlier one of them.
        out: folder of the mean, made when it is not there.
        report: receives progress lines.

    Returns:
        The folder `out`.

    Raises:
        TrainingDataError: they do not fit each other, or the data cannot be read.
        ModelFilesError: a folder holds no detector that can be used.
    """
    manifests = [read_manifest(folder) for folder in folders]
    _check_fit(manifests)
    states = [_state(manifest) for manifest in manifests]
    first = manifests[0]
    out.mkdir(parents=True, exist_ok=True)
    digest = save_weights(out / WEIGHTS_NAME, _mean(states), {"graph": first.graph})
    named = " ".join(f"--of {shlex.quote(folder.name)}" for folder in folders)
    command = f"cds train detector-mean --data {shlex.quote(data.resolve().name)} {named} --out {shlex.quote(out.name)}"
    document = first.document | {
        "weights": WEIGHTS_NAME,
        "sha256": digest,
        "training": {
            "created": datetime.now(UTC).date().isoformat(),
            "command": command,
            "config": _config(manifests),
            "torch": torch.__version__.split("+")[0],
            "data": first.document["training"].get("data"),
            "start": {
                "method": "mean of the weights of several detectors (arXiv 2203.05482)",
                "members": [
                    {"sha256": manifest.sha256, "training": manifest.document["training"]} for manifest in manifests
                ],
            },
        },
    }
    for stale in ("evaluations", "development"):
        document.pop(stale, None)
    keep_classifier(first, out, document)
    write_document(out, document)
    return set_operation(out, data, report=report)


def _check_fit(manifests: Sequence[DetectorManifest]) -> None:
    if any(manifest.companion is not None for manifest in manifests):
        raise TrainingDataError("a mean is made of single detectors", "give the folders of the single ones")
    if len({manifest.sha256 for manifest in manifests}) < max(2, len(manifests)):
        raise TrainingDataError("a mean needs at least two different detectors", "name each folder once with --of")
    first = manifests[0]
    for other in manifests[1:]:
        alike = (other.graph, *(other.document[name] for name in SHARED))
        if alike != (first.graph, *(first.document[name] for name in SHARED)):
            raise TrainingDataError(
                f"{other.name} differs from {first.name} in graph, classes or preprocessing",
                "average detectors that were taught on from one another",
            )
        if recorded_config(other.document) != recorded_config(first.document):
            raise TrainingDataError(
                "the detectors held out different radiographs", "train them with the same split and development fold"
            )


def _state(manifest: DetectorManifest) -> dict[str, Tensor]:
    try:
        return load_weights(manifest.weights, sha256=manifest.sha256)[0]
    except (CheckpointError, OSError) as error:
        raise ModelFilesError(f"The detector's weights cannot be used: {error}") from error


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of every floating-point tensor; counters and the like are the first one's."""
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0) if one.is_floating_point() else one
        for name, one in states[0].items()
    }


def _config(manifests: Sequence[DetectorManifest]) -> dict[str, Any]:
    """The settings that all members share, from which a retraining goes on; others are each member's own and stay in
    its record. And every further collection that any of them learned from.
    """
    configs = [manifest.document["training"]["config"] for manifest in manifests]
    further = {
        name: sorted({one for config in configs for one in config.get(name) or ()})
        for name in ("extra_data", "self_labelled")
    }
    return {
        name: value for name, value in configs[0].items() if all(config.get(name) == value for config in configs)
    } | further
