"""The YOLOv7 network: a graph made of modules, the head last."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.yolov7 import head as heads
from imaging.yolov7.graphs import GRAPHS, STRIDES, AnchorSizes, Graph, LayerSpec, Op
from imaging.yolov7.head import BOX_CHANNELS, Head
from imaging.yolov7.image_classifier import ImageClassifier
from imaging.yolov7.layers import SPPCSPC, Activation, Concat, Conv, Fusable, Pick, RepConv, SamePool

Channels = int | tuple[int, ...]

CHANNEL_DIVISOR = 8


class Yolov7(nn.Module):
    """A detector over three pyramid levels; parameters are named `model.<layer>....` like the published weights.

    Args:
        graph: layers, inputs and default anchors.
        num_classes: number of classes, at least 1.
        anchors: [3, A, 2] anchor width and height in pixels; those of the graph by default.
        in_channels: channels of the input image.
        width: factor on every channel count (rounded to a multiple of 8, at least 8), for small test networks.
    """

    def __init__(
        self,
        graph: Graph,
        num_classes: int,
        *,
        anchors: Tensor | AnchorSizes | None = None,
        in_channels: int = 3,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.num_classes = num_classes
        self.strides = STRIDES
        self.model = nn.ModuleList()
        channels: list[Channels] = []
        for number, spec in enumerate(graph.layers):
            sources = [_resolve(source, number) for source in spec.inputs]
            incoming = [in_channels if source < 0 else channels[source] for source in sources]
            layer, outgoing = _make_layer(spec, incoming, graph.activation, width)
            self.model.append(layer)
            channels.append(outgoing)
        sizes = torch.as_tensor(graph.anchors if anchors is None else anchors, dtype=torch.float32)
        self.model.append(Head([_single(channels[output]) for output in graph.outputs], num_classes, sizes, STRIDES))
        self._kept = _layers_read_later(graph)
        self.image_classifier: ImageClassifier | None = None
        """Lowers the scores on radiographs that look healthy as a whole; attached to released weights only."""

    @property
    def head(self) -> Head:
        head = self.model[-1]
        if not isinstance(head, Head):
            raise TypeError("the last layer of a network is its head")
        return head

    @property
    def anchors(self) -> Tensor:
        """Anchor width and height [3, A, 2] in pixels of the network input."""
        return self.head.anchors_px

    def forward(self, images: Tensor) -> list[Tensor]:
        """Raw head outputs, in training and in evaluation mode alike.

        Args:
            images: [B, in_channels, H, W] in 0..1; H and W are multiples of 32.

        Returns:
            Three tensors [B, A, H/s, W/s, 5 + classes] of logits for s = 8, 16, 32; see `decode`.
        """
        raw: list[Tensor] = self.head(self._run(images, self.graph.outputs))
        if self.image_classifier is None:
            return raw
        return _lowered(raw, self.image_classifier.lowering(self.image_classifier.features(images)))

    def forward_with_features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The raw outputs of `forward`, and the features they were made from.

        Returns:
            The raw outputs; three tensors [B, C, H/s, W/s] for s = 8, 16, 32 of the backbone; and as many of the image
            classifier, brought to the same cells, or none without one.

        Raises:
            ValueError: the graph does not say which layers its features are.
        """
        if self.graph.features is None:
            raise ValueError(f"the graph {self.graph.name} names no feature layers")
        count = len(self.graph.outputs)
        kept = self._run(images, (*self.graph.outputs, *self.graph.features))
        raw, features = self.head(kept[:count]), kept[count:]
        if self.image_classifier is None:
            return raw, features, []
        maps = self.image_classifier.features(images)
        beside = [
            functional.interpolate(one, size=level.shape[-2:], mode="nearest")
            for one, level in zip(maps, features, strict=True)
        ]
        return _lowered(raw, self.image_classifier.lowering(maps)), features, beside

    def _run(self, images: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """Outputs of the layers `wanted`, in that order."""
        needed = self._kept | set(wanted)
        kept: dict[int, Tensor] = {}
        current = images
        for number, spec in enumerate(self.graph.layers):
            inputs = (current if source == -1 else kept[_resolve(source, number)] for source in spec.inputs)
            current = self.model[number](*inputs)
            if number in needed:
                kept[number] = current
        return [kept[number] for number in wanted]

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        """Boxes [B, N, 5 + classes] of the raw outputs; see `imaging.yolov7.head.decode`."""
        return heads.decode(raw, self.anchors, self.strides)


def _lowered(raw: Sequence[Tensor], lowering: Tensor) -> list[Tensor]:
    """Raw outputs with the objectness of each image's boxes lowered by as much: [B] logits, 0 at the most."""
    objectness, added = BOX_CHANNELS - 1, lowering.view(-1, 1, 1, 1, 1)
    return [
        torch.cat(
            (level[..., :objectness], level[..., objectness:BOX_CHANNELS] + added, level[..., BOX_CHANNELS:]), dim=-1
        )
        for level in raw
    ]


def build(
    name: str | Graph,
    num_classes: int,
    *,
    anchors: Tensor | AnchorSizes | None = None,
    in_channels: int = 3,
    width: float = 1.0,
) -> Yolov7:
    """A network with fresh weights by the name of its graph (`yolov7-tiny`, `yolov7`), or from a graph of one's own.

    Raises:
        ValueError: no graph has this name.
    """
    if isinstance(name, str):
        if name not in GRAPHS:
            raise ValueError(f"unknown graph {name!r}; known graphs: {', '.join(sorted(GRAPHS))}")
        name = GRAPHS[name]
    return Yolov7(name, num_classes, anchors=anchors, in_channels=in_channels, width=width)


def fuse(network: Yolov7) -> Yolov7:
    """A copy for inference: batch norms, parallel branches and implicit vectors folded into plain convolutions.

    Outputs agree with those of `network.eval()` within 1e-4; the copy is in evaluation mode, without gradients.
    """
    fused = copy.deepcopy(network).eval().requires_grad_(False)
    for part in list(fused.modules()):
        if isinstance(part, Fusable):
            part.fuse_()
    return fused.requires_grad_(False)


def _resolve(source: int, number: int) -> int:
    """Layer number of an input; -1 for the image, which feeds layer 0."""
    return source if source >= 0 else number + source


def _layers_read_later(graph: Graph) -> frozenset[int]:
    """Layers whose output must outlive the next layer; all others are freed at once, which halves peak memory."""
    read = {_resolve(s, number) for number, spec in enumerate(graph.layers) for s in spec.inputs if s != -1}
    return frozenset(read | set(graph.outputs))


def _single(channels: Channels) -> int:
    if isinstance(channels, tuple):
        raise TypeError("a layer with several outputs cannot be used as it is: pick one of them")
    return channels


def _scaled(channels: int, width: float) -> int:
    if width == 1.0:
        return channels
    return max(CHANNEL_DIVISOR, round(channels * width / CHANNEL_DIVISOR) * CHANNEL_DIVISOR)


def _make_layer(
    spec: LayerSpec, incoming: Sequence[Channels], activation: Activation, width: float
) -> tuple[nn.Module, Channels]:
    """The module of a layer and the number of channels it gives."""
    if spec.op is Op.CONCAT:
        return Concat(), sum(_single(channels) for channels in incoming)
    if spec.op is Op.PICK:
        (several,) = incoming
        if not isinstance(several, tuple):
            raise TypeError("only a layer with several outputs can be picked from")
        return Pick(spec.index), several[spec.index]
    source = _single(incoming[0])
    outgoing = _scaled(spec.channels, width)
    match spec.op:
        case Op.CONV:
            return Conv(source, outgoing, spec.kernel, spec.stride, activation), outgoing
        case Op.REP_CONV:
            return RepConv(source, outgoing, spec.stride, activation), outgoing
        case Op.SPPCSPC:
            return SPPCSPC(source, outgoing, activation), outgoing
        case Op.HALVE:
            return nn.MaxPool2d(2, 2), source
        case Op.SAME_POOL:
            return SamePool(spec.kernel), source
        case Op.UPSAMPLE:
            return nn.Upsample(scale_factor=2, mode="nearest"), source
        case Op.MODULE:
            return _make_module(spec, source, width)
    raise ValueError(f"unknown layer operation {spec.op}")


def _make_module(spec: LayerSpec, source: int, width: float) -> tuple[nn.Module, Channels]:
    if spec.factory is None:
        raise ValueError("a MODULE layer needs a factory")
    layer = spec.factory(source, width)
    outgoing = getattr(layer, "out_channels", None)
    if not isinstance(outgoing, int | tuple):
        raise TypeError(f"{type(layer).__name__} must state its out_channels (an int, or a tuple of ints)")
    return layer, outgoing
