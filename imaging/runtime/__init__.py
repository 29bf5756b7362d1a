"""The network on the machine at hand: OpenVINO on a CPU, torch on CUDA or by choice.

Both take one canvas [1, 3, S, S] and give decoded predictions [1, N, 5 + classes] and the backbone's features;
everything before and after is shared, so that boxes differ by rounding only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

# `cuda` by name: importing the sibling module `torch` would shadow `torch` itself here.
from torch import Tensor, cuda, nn

from imaging.manifest import DetectorManifest
from imaging.yolov7 import Yolov7, build, fuse
from imaging.yolov7.checkpoint import CheckpointError, load_weights
from imaging.yolov7.graphs import STRIDES
from imaging.yolov7.image_classifier import ImageClassifier


class RuntimeName(StrEnum):
    """Which runtime carries the network."""

    AUTO = "auto"
    """torch where CUDA is there, otherwise OpenVINO."""
    OPENVINO = "openvino"
    OPENVINO_BF16 = "openvino-bf16"
    """In bfloat16 where the CPU has it: two and a half times faster with AMX, no faster with AVX512-BF16 alone, no less
    accurate on labelled radiographs, but scores then move by up to .1 between machines with and without it."""
    TORCH = "torch"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one pass of the network gives, on the CPU."""

    decoded: Tensor
    """[1, N, 5 + classes]: boxes ``cxcywh`` in canvas pixels, objectness, class probabilities."""
    features: tuple[Tensor, ...]
    """The backbone's features [1, C, S/s, S/s] at strides 8, 16, 32; empty for a graph that names none."""
    beside: tuple[Tensor, ...] = ()
    """The image classifier's, at the same strides; empty without one, or for a graph that names none."""

    @classmethod
    def of(cls, outputs: Sequence[Tensor]) -> Self:
        """From what a `DecodedNetwork` gives."""
        decoded, *maps = outputs
        levels = len(STRIDES)
        return cls(decoded, tuple(maps[:levels]), tuple(maps[levels:]))


class Runtime(Protocol):
    """A loaded network."""

    name: str

    def predict(self, canvas: Tensor) -> Prediction:
        """Predictions for a canvas [1, 3, S, S] in 0..1."""
        ...


class ModuleRuntime(Protocol):
    """A loaded network of any kind."""

    def run(self, canvas: Tensor) -> list[Tensor]:
        """What it gives for a canvas [1, 3, S, S] in 0..1, on the CPU; not to be entered by two threads at once."""
        ...


class DecodedNetwork(nn.Module):
    """A fused network with its decoding, as one graph from canvas to boxes: what a runtime carries."""

    def __init__(self, network: Yolov7) -> None:
        super().__init__()
        self.network = fuse(network)

    def forward(self, canvas: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, S, S] in 0..1 to decoded predictions [B, N, 5 + classes], then the features, finest first.

        After those of the backbone come those of the image classifier, if there is one.
        """
        if self.network.graph.features is None:
            return (self.network.decode(self.network(canvas)),)
        raw, features, beside = self.network.forward_with_features(canvas)
        return (self.network.decode(raw), *features, *beside)


def load_network(manifest: DetectorManifest) -> Yolov7:
    """The network of a manifest with its weights and its image classifier, in evaluation mode, unfused.

    Raises:
        CheckpointError: the file is missing, its digest differs, or it does not fit the graph.
    """
    network = build(manifest.graph, num_classes=len(manifest.document["classes"]))
    state, _ = load_weights(manifest.weights, sha256=manifest.sha256)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{manifest.weights.name} does not fit the graph {manifest.graph}") from error
    network.image_classifier = _load_classifier(manifest)
    return network.eval().requires_grad_(False)


def _load_classifier(manifest: DetectorManifest) -> ImageClassifier | None:
    entry = manifest.image_classifier
    if entry is None:
        return None
    classifier = ImageClassifier(weight=entry.weight)
    state, _ = load_weights(entry.weights, sha256=entry.sha256)
    try:
        classifier.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{entry.weights.name} is no image classifier") from error
    return classifier


def load_runtime(
    manifest: DetectorManifest, name: RuntimeName = RuntimeName.AUTO, *, threads: int | None = None
) -> Runtime:
    """The network of a manifest on the runtime asked for.

    Args:
        manifest: which weights.
        name: which runtime.
        threads: CPU threads of one prediction; None lets the runtime decide.
    """
    module = DecodedNetwork(load_network(manifest))
    if resolve(name) is RuntimeName.TORCH:
        from imaging.runtime.torch import TorchRuntime

        return TorchRuntime(module, threads=threads)
    from imaging.runtime.openvino import OpenVinoRuntime

    bfloat16 = name is RuntimeName.OPENVINO_BF16
    return OpenVinoRuntime(module, manifest.image_size, threads=threads, bfloat16=bfloat16)


def load_module(
    module: nn.Module, image_size: int, name: RuntimeName = RuntimeName.AUTO, *, threads: int | None = None
) -> ModuleRuntime:
    """Any network from canvases to tensors on the runtime asked for.

    Args:
        module: the network.
        image_size: side of the canvas in pixels.
        name: which runtime.
        threads: CPU threads of one run; None lets the runtime decide.
    """
    if resolve(name) is RuntimeName.TORCH:
        from imaging.runtime.torch import TorchModule

        return TorchModule(module, threads=threads)
    from imaging.runtime.openvino import OpenVinoModule

    return OpenVinoModule(module, image_size, threads=threads, bfloat16=name is RuntimeName.OPENVINO_BF16)


def resolve(name: RuntimeName) -> RuntimeName:
    """The runtime itself where `RuntimeName.AUTO` leaves it open."""
    if name is not RuntimeName.AUTO:
        return name
    return RuntimeName.TORCH if cuda.is_available() else RuntimeName.OPENVINO
