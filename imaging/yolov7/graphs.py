"""The network graphs as data: what each layer is and which earlier layers feed it.

Layer numbers are part of the weight names (`model.<number>....`), so the order here is frozen. An input is a layer
number, or a negative number counted back from the layer itself. Level outputs have strides 8, 16 and 32.

A graph on another backbone: put `module(factory)` first, `pick` its three outputs, continue with `tiny_neck`:

    Graph("mine", (module(make), pick(0, 0), pick(0, 1), pick(0, 2), *tiny_neck(start=4, p3=1, p4=2)),
          outputs=tiny_outputs(start=4), anchors=TINY_ANCHORS, activation=leaky_relu)

where `make(in_channels, width)` returns a module with `out_channels: tuple[int, ...]` whose forward returns a tuple of
features. `build` accepts a `Graph` in place of a name.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from imaging.yolov7.efficientnet_lite import make_lite0, make_lite2
from imaging.yolov7.layers import Activation

AnchorSizes = tuple[tuple[tuple[float, float], ...], ...]
"""Anchor width and height in pixels: [level][anchor] -> (w, h)."""

ModuleFactory = Callable[[int, float], nn.Module]
"""(in_channels, width) -> module with an `out_channels` attribute (int, or a tuple for several outputs)."""

STRIDES = (8, 16, 32)


class Op(enum.Enum):
    """What a layer does."""

    CONV = enum.auto()
    """Convolution, batch norm, activation."""
    REP_CONV = enum.auto()
    """Re-parameterised 3x3 convolution."""
    SPPCSPC = enum.auto()
    """Spatial pyramid pooling block."""
    HALVE = enum.auto()
    """Max-pool 2x2, stride 2."""
    SAME_POOL = enum.auto()
    """Max-pool of `kernel` at stride 1."""
    UPSAMPLE = enum.auto()
    """Nearest neighbour, times 2."""
    CONCAT = enum.auto()
    """Concatenation on channels."""
    MODULE = enum.auto()
    """Any module, made by `factory`."""
    PICK = enum.auto()
    """Output number `index` of a layer with several."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer; fields that its `op` has no use for keep their defaults. `channels` are those at width 1."""

    op: Op
    inputs: tuple[int, ...] = (-1,)
    channels: int = 0
    kernel: int = 1
    stride: int = 1
    index: int = 0
    factory: ModuleFactory | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A network without its weights; the head is appended as the last layer, fed by `outputs`."""

    name: str
    layers: tuple[LayerSpec, ...]
    outputs: tuple[int, ...]
    anchors: AnchorSizes
    activation: Activation
    features: tuple[int, int, int] | None = None
    """Layers that give the backbone's features at strides 8, 16 and 32; what reads attributes from them needs these."""


def leaky_relu() -> nn.Module:
    return nn.LeakyReLU(0.1, inplace=True)


def silu() -> nn.Module:
    return nn.SiLU(inplace=True)


def conv(channels: int, kernel: int = 1, stride: int = 1, *, source: int = -1) -> LayerSpec:
    return LayerSpec(Op.CONV, (source,), channels, kernel, stride)


def concat(*sources: int) -> LayerSpec:
    return LayerSpec(Op.CONCAT, sources)


def module(factory: ModuleFactory, *, source: int = -1) -> LayerSpec:
    return LayerSpec(Op.MODULE, (source,), factory=factory)


def pick(source: int, index: int) -> LayerSpec:
    return LayerSpec(Op.PICK, (source,), index=index)


HALVE = LayerSpec(Op.HALVE)
UPSAMPLE = LayerSpec(Op.UPSAMPLE)


def _tiny_elan(hidden: int, channels: int) -> tuple[LayerSpec, ...]:
    return (
        conv(hidden),
        conv(hidden, source=-2),
        conv(hidden, 3),
        conv(hidden, 3),
        concat(-1, -2, -3, -4),
        conv(channels),
    )


def tiny_neck(start: int, p3: int, p4: int) -> tuple[LayerSpec, ...]:
    """Pyramid pooling, feature pyramid and path aggregation of yolov7-tiny.

    Args:
        start: number of the neck's first layer; the layer before it gives the stride-32 features.
        p3: number of the layer with the stride-8 features.
        p4: number of the layer with the stride-16 features.
    """
    pools = tuple(LayerSpec(Op.SAME_POOL, (-1 - i,), kernel=kernel) for i, kernel in enumerate((5, 9, 13)))
    return (
        *(conv(256), conv(256, source=-2), *pools, concat(-1, -2, -3, -4), conv(256), concat(-1, -7), conv(256)),
        *(conv(128), UPSAMPLE, conv(128, source=p4), concat(-1, -2), *_tiny_elan(64, 128)),
        *(conv(64), UPSAMPLE, conv(64, source=p3), concat(-1, -2), *_tiny_elan(32, 64)),
        *(conv(128, 3, 2), concat(-1, start + 18), *_tiny_elan(64, 128)),
        *(conv(256, 3, 2), concat(-1, start + 8), *_tiny_elan(128, 256)),
        *(conv(128, 3, source=start + 28), conv(256, 3, source=start + 36), conv(512, 3, source=start + 44)),
    )


def tiny_outputs(start: int) -> tuple[int, int, int]:
    """Layer numbers of the three level outputs of `tiny_neck(start, ...)`."""
    return (start + 45, start + 46, start + 47)


def _elan(hidden: int, channels: int) -> tuple[LayerSpec, ...]:
    return (
        *(conv(hidden), conv(hidden, source=-2), *(conv(hidden, 3) for _ in range(4))),
        *(concat(-1, -3, -5, -6), conv(channels)),
    )


def _neck_elan(channels: int) -> tuple[LayerSpec, ...]:
    return (
        *(conv(channels), conv(channels, source=-2), *(conv(channels // 2, 3) for _ in range(4))),
        *(concat(-1, -2, -3, -4, -5, -6), conv(channels)),
    )


def _transition(channels: int, *lateral: int) -> tuple[LayerSpec, ...]:
    """Halve the size twice over, by a max-pool and by a strided convolution; `lateral` layers join the two."""
    return (HALVE, conv(channels), conv(channels, source=-3), conv(channels, 3, 2), concat(-1, -3, *lateral))


def _rep_conv(channels: int, source: int) -> LayerSpec:
    return LayerSpec(Op.REP_CONV, (source,), channels, 3, 1)


TINY_ANCHORS: AnchorSizes = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)

YOLOV7_TINY = Graph(
    name="yolov7-tiny",
    layers=(
        *(conv(32, 3, 2), conv(64, 3, 2), *_tiny_elan(32, 64)),
        *(HALVE, *_tiny_elan(64, 128)),
        *(HALVE, *_tiny_elan(128, 256)),
        *(HALVE, *_tiny_elan(256, 512)),
        *tiny_neck(start=29, p3=14, p4=21),
    ),
    outputs=tiny_outputs(start=29),
    anchors=TINY_ANCHORS,
    activation=leaky_relu,
    features=(14, 21, 28),
)

YOLOV7 = Graph(
    name="yolov7",
    layers=(
        *(conv(32, 3), conv(64, 3, 2), conv(64, 3), conv(128, 3, 2), *_elan(64, 256)),
        *(*_transition(128), *_elan(128, 512)),
        *(*_transition(256), *_elan(256, 1024)),
        *(*_transition(512), *_elan(256, 1024)),
        LayerSpec(Op.SPPCSPC, channels=512),
        *(conv(256), UPSAMPLE, conv(256, source=37), concat(-1, -2), *_neck_elan(256)),
        *(conv(128), UPSAMPLE, conv(128, source=24), concat(-1, -2), *_neck_elan(128)),
        *(*_transition(128, 63), *_neck_elan(256)),
        *(*_transition(256, 51), *_neck_elan(512)),
        *(_rep_conv(256, 75), _rep_conv(512, 88), _rep_conv(1024, 101)),
    ),
    outputs=(102, 103, 104),
    anchors=(
        ((12, 16), (19, 36), (40, 28)),
        ((36, 75), (76, 55), (72, 146)),
        ((142, 110), (192, 243), (459, 401)),
    ),
    activation=silu,
    features=(24, 37, 50),
)

FRACATLAS_ANCHORS: AnchorSizes = (
    ((12.5, 17), (19.5, 23), (31, 19.5)),
    ((14, 51), (24, 34), (40, 32)),
    ((31, 69), (52, 50), (64, 102)),
)
"""k-means (log scale, nine clusters) of FracAtlas' training boxes at a longer side of 512 px."""


def _tiny_on(name: str, backbone: ModuleFactory) -> Graph:
    """The neck and head of yolov7-tiny on a backbone for which ImageNet weights can be had."""
    return Graph(
        name=name,
        layers=(module(backbone), pick(0, 0), pick(0, 1), pick(0, 2), *tiny_neck(start=4, p3=1, p4=2)),
        outputs=tiny_outputs(start=4),
        anchors=FRACATLAS_ANCHORS,
        activation=leaky_relu,
        features=(1, 2, 3),
    )


YOLOV7_TINY_LITE0 = _tiny_on("yolov7-tiny-lite0", make_lite0)
YOLOV7_TINY_LITE2 = _tiny_on("yolov7-tiny-lite2", make_lite2)

GRAPHS: dict[str, Graph] = {graph.name: graph for graph in (YOLOV7_TINY, YOLOV7, YOLOV7_TINY_LITE0, YOLOV7_TINY_LITE2)}
