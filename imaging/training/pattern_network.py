"""Where the pattern network of new attribute heads comes from."""

from pathlib import Path
from typing import Final

from imaging.attributes.manifest import PatternNetworkEntry
from imaging.attributes.pattern_network import BACKBONES, SIDES, PatternNetwork
from imaging.errors import ModelFilesError
from imaging.manifest import SHIPPED_WEIGHTS, DetectorManifest
from imaging.training.release import copy_whole
from imaging.training.train import imagenet_state
from imaging.yolov7.checkpoint import CheckpointError, load_weights, save_weights, sha256_of
from imaging.yolov7.efficientnet_lite import fold_imagenet_state

NETWORK_NAME: Final = "pattern_network.safetensors"
SHIPPED, IMAGENET, NONE = "shipped", "imagenet", "none"
NETWORKS: Final = (SHIPPED, IMAGENET, NONE)
"""The file that ships; the same made anew from the published weights; the detector's own features."""


def place_network(word: str, detector: DetectorManifest, out: Path) -> PatternNetworkEntry | None:
    """The network that new heads in `out` will read, its file beside them.

    A pair's heads read the file beside its first detector where that is the same.

    Args:
        word: of `NETWORKS`.
        detector: whose heads they are.
        out: their folder.

    Returns:
        The entry for their manifest; None for the detector's own features.

    Raises:
        ModelFilesError: the file that ships is missing or damaged.
        TrainingDataError: ImageNet's weights are not installed.
    """
    if word == NONE:
        return None
    out.mkdir(parents=True, exist_ok=True)
    own, source = out / NETWORK_NAME, SHIPPED_WEIGHTS / NETWORK_NAME
    if word == IMAGENET:
        return _entry(own, write_imagenet(own))
    if not source.is_file():
        raise ModelFilesError(
            f"{NETWORK_NAME} is not among the shipped weights.",
            remedy="Install the package anew, or say `pattern_network: imagenet` in the settings.",
        )
    digest = sha256_of(source)
    beside = detector.heads / NETWORK_NAME
    if detector.companion is not None and beside.is_file() and sha256_of(beside) == digest:
        return _entry(beside, digest)
    if not own.is_file() or not own.samefile(source):
        copy_whole(source, own)
    return _entry(own, digest)


def write_imagenet(path: Path) -> str:
    """Write ImageNet's weights of the network's backbones, and return the file's SHA-256.

    Raises:
        TrainingDataError: their packages are not installed.
    """
    network = PatternNetwork(SIDES)
    for name in network.sides:
        network.backbones[name].load_state_dict(fold_imagenet_state(imagenet_state(BACKBONES[name])))
    return save_weights(path, network.state_dict(), {"network": "+".join(network.sides)})


def _entry(path: Path, digest: str) -> PatternNetworkEntry:
    entry = PatternNetworkEntry(weights=path, sha256=digest, sides=SIDES)
    try:
        load_weights(path, sha256=digest)
    except (CheckpointError, OSError) as error:
        raise ModelFilesError(f"{path.name} cannot be used: {error}") from error
    return entry
