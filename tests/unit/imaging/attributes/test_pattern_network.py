"""The network of the pattern head: what it sees, what its files say, and every way in which it is asked."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from imaging.attributes.heads import AffineHead
from imaging.attributes.manifest import PatternNetworkEntry
from imaging.attributes.model import AttributeModel
from imaging.attributes.pattern_network import SIDES, PatternNetwork
from imaging.attributes.pooling import (
    PATTERN_STATISTICS_ID,
    STATISTICS_ID,
    pool_pattern_statistics,
    pool_statistics,
)
from imaging.engine import FractureEngine
from imaging.errors import ModelFilesError
from imaging.explanation.explainer import Explainer
from imaging.explanation.results import MapTarget
from imaging.labels import FracturePattern
from imaging.manifest import ACCURATE_WEIGHTS, SHIPPED_WEIGHTS, read_manifest
from imaging.radiograph import Radiograph
from imaging.runtime import RuntimeName, load_module
from imaging.training import pattern_network
from imaging.training.attributes import AttributeConfig
from imaging.training.attributes_data import AttributeSample
from imaging.training.attributes_features import FeatureTable, extract_for_patterns
from imaging.training.attributes_heads import NEVER_ANSWERS, HeadSettings, fit_patterns
from imaging.training.errors import TrainingDataError
from imaging.yolov7.checkpoint import save_weights
from imaging.yolov7.postprocess import LetterboxTransform
from tests.support.radiographs import write_weights

SMALL = {"efficientnet-lite2": 64, "efficientnet-lite0": 32}
LENGTH = 3 * (48 + 120 + 352 + 40 + 112 + 320)
WIDE = LetterboxTransform(image_size=(64, 32), canvas_size=(64, 64), scale=(1.0, 1.0), pad=(0, 16))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> PatternNetwork:
    torch.manual_seed(0)
    return PatternNetwork(SMALL).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, network: PatternNetwork) -> Path:
    """A detector with random heads, of which that for the pattern reads a small random network."""
    folder = write_weights(tmp_path_factory.mktemp("model"), image_size=96)
    look = FractureEngine.load(folder, runtime="torch", threads=1).look(radiograph())
    length = len(pool_statistics(look.features))
    generator = torch.Generator().manual_seed(0)
    state = {
        **AffineHead(weight=torch.randn(2, LENGTH, generator=generator), bias=torch.zeros(2)).state("pattern"),
        **AffineHead(weight=torch.randn(1, length, generator=generator), bias=torch.zeros(1)).state("hardware"),
    }
    document = {
        "name": "attribute-heads",
        "version": "0.0.1",
        "weights": "attributes.safetensors",
        "sha256": save_weights(folder / "attributes.safetensors", state, {}),
        "detector_sha256": read_manifest(folder).sha256,
        "pooling": STATISTICS_ID,
        "undetermined_below": 0.0,
        "answers": {"pattern": ["spiral", "oblique"], "limb": [], "view": []},
        "training_images": [],
        "pattern_network": {
            "weights": "pattern_network.safetensors",
            "sha256": save_weights(folder / "pattern_network.safetensors", network.state_dict(), {}),
            "sides": SMALL,
            "pooling": PATTERN_STATISTICS_ID,
        },
    }
    (folder / "attributes.json").write_text(json.dumps(document))
    return folder


def radiograph() -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = np.linspace(0, 1, 120, dtype=np.float32)[:, None] * np.ones((1, 80), np.float32)
    return np.asarray(np.clip(rows + rng.normal(0, 0.1, rows.shape), 0, 1), dtype=np.float32)


def test_maps_of_each_backbone_at_its_own_size(network: PatternNetwork) -> None:
    maps = network(torch.rand(1, 3, 96, 96))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (48, 8, 8), (120, 4, 4), (352, 2, 2), (40, 4, 4), (112, 2, 2), (320, 1, 1),
    ]  # fmt: skip
    assert pool_pattern_statistics(maps).shape == (LENGTH,)


@pytest.mark.parametrize("sides", [{}, {"resnet": 64}, {"efficientnet-lite0": 50}, {"efficientnet-lite0": 0}])
def test_other_networks_are_refused(sides: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected backbones"):
        PatternNetwork(sides)


def test_margins_do_not_count() -> None:
    maps = [torch.rand(1, 2, 8, 8), torch.rand(1, 3, 4, 4)]
    before = pool_pattern_statistics(maps, WIDE)
    maps[0][0, :, :2] = 100
    maps[1][0, :, 3:] = 100
    assert torch.equal(pool_pattern_statistics(maps, WIDE), before)
    assert not torch.equal(pool_pattern_statistics(maps), before)


def test_canvases_are_reduced_with_antialiasing(network: PatternNetwork) -> None:
    canvas = torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(1)).expand(2, 3, 96, 96)
    maps = network(canvas)
    for place, (name, side) in enumerate(SMALL.items()):
        reduced = functional.interpolate(canvas, (side, side), mode="bilinear", align_corners=False, antialias=True)
        for found, expected in zip(maps[3 * place :], network.backbones[name](reduced), strict=False):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_canvas_whoever_asked_first(network: PatternNetwork) -> None:
    with torch.inference_mode():
        network(torch.rand(1, 3, 160, 160))
    canvas = torch.rand(1, 3, 160, 160, requires_grad=True)
    network(canvas)[0].sum().backward()
    assert canvas.grad is not None and float(canvas.grad.abs().sum()) > 0


def test_openvino_reduces_the_canvas_as_torch_does(network: PatternNetwork) -> None:
    canvas = torch.rand(1, 1, 96, 96, generator=torch.Generator().manual_seed(1)).expand(1, 3, 96, 96)
    runtimes = [load_module(network, 96, name, threads=1) for name in (RuntimeName.TORCH, RuntimeName.OPENVINO)]
    for one, other in zip(*(runtime.run(canvas) for runtime in runtimes), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_engine_asks_it_where_a_fracture_is_told(model: Path) -> None:
    engine = FractureEngine.load(model, runtime="torch", threads=1)
    heads = engine.attributes
    assert heads is not None and engine.pattern_network is not None
    look = engine.look(radiograph())
    assert look.canvas.shape == (1, 3, 96, 96)
    vector = pool_pattern_statistics(engine.pattern_network.run(look.canvas), look.transform)
    expected = heads.patterns(vector, torch.zeros(1, 4))[0]
    made = Radiograph(pixels=radiograph(), source_format="png", sha256="0" * 64)
    findings = engine.analyse(made)
    assert findings.detections, "the random detector finds something everywhere"
    assert all(one.pattern == expected for one in findings.detections)
    assert findings.attributes is not None and findings.attributes.hardware_probability is not None
    maps = Explainer.load(model, steps=1).explain(made.pixels, findings.detections[0]).maps
    assert maps[-1].target is MapTarget.PATTERN and maps[-1].heat.shape == made.pixels.shape


def test_mirrored_features_lie_where_the_radiograph_lies(model: Path, tmp_path: Path) -> None:
    picture = (radiograph() * 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "b.png"), np.ascontiguousarray(picture[:, ::-1]))
    (tmp_path / "c.png").write_bytes(b"")
    samples = [
        AttributeSample(image_id=name, path=tmp_path / f"{name}.png", collection="", source="", group=name)
        for name in "abc"
    ]
    engine = FractureEngine.load(model, runtime="torch", threads=1, boxes_only=True)
    heads, lines = AttributeModel.of(engine.manifest), list[str]()
    assert heads is not None
    straight = extract_for_patterns(samples, engine, heads, cache=tmp_path / "cache", report=lines.append)
    assert straight.refused == ("c",) and any("refused" in line for line in lines)
    turned = extract_for_patterns(samples, engine, heads, mirrored=True, cache=tmp_path / "cache")
    assert straight.vectors.shape == turned.vectors.shape == (2, LENGTH)
    # The mirror image of one picture is the other.
    np.testing.assert_allclose(turned.vectors[0], straight.vectors[1], rtol=0.05, atol=0.05)
    again = extract_for_patterns(samples, engine, heads, cache=tmp_path / "cache")
    assert np.array_equal(again.vectors, straight.vectors) and len(list((tmp_path / "cache").glob("*.npz"))) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "0" * 64},
        {"weights": "missing.safetensors"},
        {"sides": {"efficientnet-lite0": 32}},
        {"sides": {"resnet": 32}},
        {"pooling": "other"},
        {"sides": None},
    ],
)
def test_files_that_do_not_fit_are_refused(model: Path, tmp_path: Path, change: dict[str, object]) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    document = json.loads((folder / "attributes.json").read_text())
    document["pattern_network"] |= change
    (folder / "attributes.json").write_text(json.dumps(document))
    with pytest.raises(ModelFilesError):
        FractureEngine.load(folder, runtime="torch")


def test_where_it_comes_from(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = read_manifest(model)
    assert pattern_network.place_network("none", detector, tmp_path) is None
    placed = pattern_network.place_network("shipped", detector, tmp_path / "heads")
    assert isinstance(placed, PatternNetworkEntry) and placed.weights.parent == tmp_path / "heads"
    assert placed.weights.read_bytes() == (SHIPPED_WEIGHTS / pattern_network.NETWORK_NAME).read_bytes()
    # A pair's heads read the file of its first detector.
    shared = pattern_network.place_network("shipped", read_manifest(ACCURATE_WEIGHTS), tmp_path / "pair")
    assert shared is not None and shared.weights.samefile(SHIPPED_WEIGHTS / pattern_network.NETWORK_NAME)
    assert not list((tmp_path / "pair").iterdir())
    monkeypatch.setattr(pattern_network, "SHIPPED_WEIGHTS", tmp_path)
    with pytest.raises(ModelFilesError, match="not among the shipped weights"):
        pattern_network.place_network("shipped", detector, tmp_path / "other")


def test_the_shipped_file_is_made_anew_from_the_published_weights(tmp_path: Path) -> None:
    digest = pattern_network.write_imagenet(tmp_path / "made.safetensors")
    entry = AttributeModel.of(read_manifest(SHIPPED_WEIGHTS))
    assert entry is not None and entry.manifest.pattern_network is not None
    assert entry.manifest.pattern_network.sha256 == digest and entry.manifest.pattern_network.sides == SIDES


def test_settings_name_it(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("pattern_network: none\nfolds: 3\n")
    config = AttributeConfig.read(path)
    assert (config.pattern_network, config.heads.folds, config.split) == ("none", 3, "train")
    path.write_text("pattern_network: other\n")
    with pytest.raises(TrainingDataError, match="no pattern_network 'other'"):
        AttributeConfig.read(path)


def sample(number: int, source: str, pattern: str) -> AttributeSample:
    return AttributeSample(
        image_id=str(number),
        path=Path(str(number)),
        collection="fracture_types",
        source=source,
        group=str(number),
        pattern=FracturePattern(pattern),
    )


@pytest.mark.parametrize("carries", [True, False])
def test_a_pattern_is_named_only_where_that_carries_over_to_other_sources(carries: bool) -> None:
    rng = np.random.default_rng(0)
    samples, rows = [], []
    for number in range(240):
        source, spiral = ("one", "other")[number % 2], number % 4 < 2
        # What tells the patterns apart has the opposite sign in the other source when it does not carry over.
        sign = (1 if spiral else -1) * (1 if carries or source == "one" else -1)
        rows.append(np.r_[sign * 2.0, float(source == "one"), sign * 2.0 * (source == "one")] + rng.normal(0, 0.3, 3))
        samples.append(sample(number, source, "spiral" if spiral else "avulsion"))
    table = FeatureTable(
        samples=tuple(samples), vectors=np.array(rows, dtype=np.float32), max_scores=np.zeros(len(rows))
    )
    settings = HeadSettings(rounds=50, pattern_penalty=0.1)
    _, head = fit_patterns(table, settings, mirrored=replace(table, vectors=table.vectors + 0.01))
    across = head.metrics["across_sources"]
    assert set(across) == {"one", "other"}
    assert (min(one["macro_auc"]["low"] for one in across.values()) > 0.5) is carries
    assert (head.undetermined_below == NEVER_ANSWERS) is not carries
    # One source alone cannot be measured so, and is not held against the head.
    alone = replace(
        table,
        samples=tuple(one for one in table.samples if one.source == "one"),
        vectors=table.vectors[::2],
        max_scores=table.max_scores[::2],
    )
    _, head = fit_patterns(alone, settings)
    assert head.metrics["across_sources"] == {} and head.undetermined_below < 1
