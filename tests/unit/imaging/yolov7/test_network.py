"""Graphs, parameter names, and the fused network against the unfused one."""

import csv
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from imaging.yolov7 import Graph, LayerSpec, Op, Yolov7, build, fuse, non_max_suppression
from imaging.yolov7.graphs import GRAPHS, TINY_ANCHORS, leaky_relu, module, pick, tiny_neck, tiny_outputs
from imaging.yolov7.layers import Conv, RepConv
from imaging.yolov7.network import _resolve
from tests.support.shared import requires_shared, shared_dir

DATA = Path(__file__).parent / "data"
KEYS: dict[str, dict[str, Any]] = json.loads((DATA / "keys.json").read_text())
NAMES = sorted(KEYS)


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Batch norms as they are after training: a fresh one would fold to almost nothing."""
    generator = torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
            part.bias.data.normal_(0, 0.3, generator=generator)
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(0, 0.3, generator=generator)
            part.running_var.uniform_(0.3, 2.0, generator=generator)


def key_rows(network: Yolov7) -> list[str]:
    return [f"{key},{'x'.join(map(str, value.shape))}" for key, value in network.state_dict().items()]


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_shapes_are_those_of_the_published_weights(name: str) -> None:
    with torch.device("meta"):
        network = build(name, KEYS[name]["num_classes"])
    rows = key_rows(network)
    assert len(rows) == KEYS[name]["keys"]
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest() == KEYS[name]["sha256"]
    assert sum(p.numel() for p in network.parameters()) == KEYS[name]["parameters"]
    assert sum(p.numel() for p in fuse(network).parameters()) == KEYS[name]["fused_parameters"]


@requires_shared
@pytest.mark.parametrize("name", NAMES)
def test_keys_equal_the_shared_list(name: str) -> None:
    folder = shared_dir()
    assert folder is not None
    with open(folder / "fixtures" / f"{name}_state_dict_keys.csv", newline="") as file:
        wanted = [f"{row['key']},{row['shape']}" for row in csv.DictReader(file)]
    with torch.device("meta"):
        assert key_rows(build(name, 3)) == wanted


def describe(spec: LayerSpec) -> str:
    """A layer in the notation of `data/*.graph.txt`."""
    what = {
        Op.CONV: f"Conv c{spec.channels} k{spec.kernel} s{spec.stride}",
        Op.REP_CONV: f"RepConv [{spec.channels}, {spec.kernel}, {spec.stride}]",
        Op.SPPCSPC: f"SPPCSPC [{spec.channels}]",
        Op.HALVE: "MaxPool 2x2 s2",
        Op.SAME_POOL: f"MaxPool k{spec.kernel} s1 same",
        Op.UPSAMPLE: "Upsample x2 nearest",
        Op.CONCAT: "Concat",
    }[spec.op]
    return f"{what} <- {list(spec.inputs) if len(spec.inputs) > 1 else spec.inputs[0]}"


@pytest.mark.parametrize("name", NAMES)
def test_graph_equals_its_written_description(name: str) -> None:
    graph = GRAPHS[name]
    lines = [f"{number}: {describe(spec)}" for number, spec in enumerate(graph.layers)]
    lines.append(f"{len(lines)}: Head (implicit, 3 levels) <- {list(graph.outputs)}")
    assert "\n".join(lines) + "\n" == (DATA / f"{name}.graph.txt").read_text()


@requires_shared
@pytest.mark.parametrize("name", NAMES)
def test_written_description_equals_the_reference(name: str) -> None:
    folder = shared_dir()
    assert folder is not None
    found = re.search(rf"^\*\*{name}\*\*.*\n(.*)$", (folder / "REFERENCE.md").read_text(), re.MULTILINE)
    assert found is not None
    assert found.group(1).split("; ") == (DATA / f"{name}.graph.txt").read_text().splitlines()


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'yolov8'; known graphs: .*yolov7, yolov7-tiny"):
        build("yolov8", 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_raw_outputs_have_one_tensor_a_level(name: str, training: bool) -> None:
    network = build(name, 2, width=0.25, in_channels=1).train(training)
    with torch.no_grad():
        raw = network(torch.rand(2, 1, 96, 64))
        decoded = network.decode(raw)
    assert [tuple(level.shape) for level in raw] == [(2, 3, 12, 8, 7), (2, 3, 6, 4, 7), (2, 3, 3, 2, 7)]
    assert decoded.shape == (2, 3 * (96 + 24 + 6), 7)


def test_anchors_may_be_chosen() -> None:
    sizes = tuple(tuple((8.0 * (level + 1), 4.0 * (anchor + 1)) for anchor in range(2)) for level in range(3))
    network = build("yolov7-tiny", 1, anchors=sizes, width=0.125)
    assert torch.equal(network.anchors, torch.tensor(sizes))
    assert torch.equal(network.head.anchors, torch.tensor(sizes) / torch.tensor([8.0, 16.0, 32.0]).view(3, 1, 1))
    assert network(torch.rand(2, 3, 32, 32))[0].shape == (2, 2, 4, 4, 6)
    with pytest.raises(ValueError, match="anchors must have shape"):
        build("yolov7-tiny", 1, anchors=torch.ones(2, 3, 2))


@pytest.mark.parametrize("name", NAMES)
def test_fused_network_agrees_and_finds_the_same_boxes(name: str) -> None:
    torch.manual_seed(1)
    network = build(name, 2, width=0.25)
    randomise(network)
    # Blobs rather than noise: a random network answers noise with the same logits everywhere, which are all ties.
    images = nn.functional.interpolate(torch.rand(2, 3, 8, 10), (128, 160), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        for layer, level in zip(network.head.m, network.eval()(images), strict=True):
            # Logits of deviation 2 around zero, so that there are boxes to compare and few ties between them.
            layer.get_parameter("bias").zero_()
            layer.get_parameter("weight").mul_(2.0 / level.flatten(0, 3).std(dim=0).mean())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fused = fuse(network.train())
    assert network.training and not fused.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fused.modules())
    assert not any(parameter.requires_grad for parameter in fused.parameters())

    with torch.no_grad():
        raw, fused_raw = network.eval()(images), fused(images)
    for level, fused_level in zip(raw, fused_raw, strict=True):
        torch.testing.assert_close(fused_level, level, rtol=1e-4, atol=2e-4)
    boxes, fused_boxes = (
        non_max_suppression(network.decode(outputs), score_threshold=0.5, max_detections=10_000)
        for outputs in (raw, fused_raw)
    )
    assert sum(len(found) for found in boxes) > 10
    limits = torch.tensor([0.02, 0.02, 0.02, 0.02, 1e-4, 0.0])  # px, score, class
    for found, fused_found in zip(boxes, fused_boxes, strict=True):
        # Boxes of equal score may trade places, so each must have its partner wherever that is; of hundreds a few stand
        # where one box just suppresses another, and there rounding decides.
        same = ((found[:, None] - fused_found[None]).abs() <= limits).all(dim=2)
        for partnered in (same.any(dim=0), same.any(dim=1)):
            assert float(partnered.float().mean()) > 0.9


def test_fusing_twice_changes_nothing() -> None:
    network = build("yolov7", 1, width=0.125)
    images = torch.rand(1, 3, 64, 64)
    once = fuse(network)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(once(images), fuse(once)(images), strict=True))


@pytest.mark.parametrize(("channels", "stride", "identity"), [(8, 1, True), (16, 1, False), (8, 2, False)])
def test_rep_conv_folds_its_branches(channels: int, stride: int, identity: bool) -> None:
    block = RepConv(8, channels, stride, nn.SiLU)
    randomise(block)
    assert (block.rbr_identity is not None) == identity
    features = torch.randn(2, 8, 10, 10)
    with torch.no_grad():
        wanted = block.eval()(features)
        block.fuse_()
        torch.testing.assert_close(block(features), wanted, rtol=1e-4, atol=1e-5)
    assert isinstance(block.rbr_dense, nn.Conv2d)


class TwoStrideBackbone(nn.Module):
    """Three features, as an ImageNet backbone would give."""

    out_channels = (16, 24, 32)

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        widths = (in_channels, 8, 8, *self.out_channels)
        self.stages = nn.ModuleList(Conv(narrow, wide, 3, 2, nn.ReLU) for narrow, wide in itertools.pairwise(widths))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = [images]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return tuple(outputs[3:])


def backbone_graph(*layers: LayerSpec) -> Graph:
    return Graph("other", layers, tiny_outputs(start=4), TINY_ANCHORS, leaky_relu)


def test_another_backbone_fits_under_the_tiny_neck() -> None:
    first = module(lambda in_channels, _width: TwoStrideBackbone(in_channels))
    graph = backbone_graph(first, pick(0, 0), pick(0, 1), pick(0, 2), *tiny_neck(start=4, p3=1, p4=2))
    network = build(graph, 1, width=0.25)
    raw = network(torch.rand(2, 3, 64, 64))
    assert [level.shape[2] for level in raw] == [8, 4, 2]
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fuse(network).modules())
    with pytest.raises(TypeError, match="pick one"):
        build(backbone_graph(first, *tiny_neck(start=1, p3=0, p4=0)), 1)
    with pytest.raises(TypeError, match="several outputs can be picked"):
        build(backbone_graph(first, pick(0, 0), pick(1, 0)), 1)
    with pytest.raises(TypeError, match="out_channels"):
        build(backbone_graph(module(lambda _channels, _width: nn.Identity())), 1)


@pytest.mark.parametrize("name", NAMES)
def test_layers_read_only_earlier_layers(name: str) -> None:
    graph = GRAPHS[name]
    for number, spec in enumerate(graph.layers):
        assert all(-1 <= _resolve(source, number) < number for source in spec.inputs)
