"""A backbone for a detector or an image classifier from a network that learned another task on radiographs."""

from pathlib import Path

from torch import Tensor

from imaging.bone_age.engine import network_key
from imaging.bone_age.errors import BoneAgeNotInstalledError
from imaging.bone_age.manifest import read_manifest
from imaging.bone_age.network import Graph
from imaging.training.errors import TrainingDataError
from imaging.yolov7.checkpoint import load_weights

BACKBONE = "features.backbone."


def hand_backbone(folder: Path) -> dict[str, Tensor]:
    """State of the EfficientNet-Lite0 that learned skeletal age: of the first fold's first network in a release.

    Raises:
        TrainingDataError: no such release, or its networks stand on another backbone.
        ModelFilesError: its files cannot be used.
    """
    try:
        manifest = read_manifest(folder)
    except BoneAgeNotInstalledError as error:
        raise TrainingDataError(
            f"backbone_from: no skeletal age weights in {folder.name}", "name the folder of cds train bone-age"
        ) from error
    if manifest.graph != Graph.LITE0:
        raise TrainingDataError(
            f"backbone_from: the networks in {folder.name} have no EfficientNet-Lite0 backbone",
            "train skeletal age with graph lite0",
        )
    prefix = f"{network_key(manifest.folds[0], 0)}.{BACKBONE}"
    weights, _ = load_weights(manifest.weights, sha256=manifest.sha256)
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def words_for(folder: Path) -> str:
    """What a manifest says of weights that start from there."""
    return f"backbone of the skeletal age networks {read_manifest(folder).model_id}, the rest random"
