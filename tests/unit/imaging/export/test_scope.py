"""The scope check that travels with an export: the application's own, in NumPy."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.attributes.pixel_statistics import LENGTH, pixel_statistics
from imaging.attributes.pooling import pool_image
from imaging.attributes.scope import SCOPE_DOCUMENT, SCOPE_SCHEMA, SCOPE_WEIGHTS, ScopeModel
from imaging.decision import SCOPE_CAUTION, SCOPE_REFUSAL
from imaging.export import check, edge_scope
from imaging.export.exporter import export_detector
from imaging.export.scope import CHECKED, NOT_CHECKED, scope_entry
from imaging.export.writers import EdgeFormat
from imaging.manifest import read_manifest
from imaging.yolov7 import GRAPHS, letterbox, save_weights
from tests.unit.imaging.export.test_exporter import read_alone

CHANNELS = 32
"""Of the small detector's maps at strides 16 and 32 together."""
POOLED = 2 * CHANNELS


def small_scope(shift: float = 0.0) -> ScopeModel:
    """A scope model of the small detector; a high `shift` of its rule refuses everything."""
    draw = torch.Generator().manual_seed(1)
    length = POOLED + LENGTH
    directions, _ = torch.linalg.qr(torch.randn(POOLED, 4, generator=draw))
    weights = 0.05 * torch.randn(length + 1, generator=draw)
    weights[-1] = shift
    values = {
        "centre": torch.rand(length, generator=draw),
        "spread": 1 + torch.rand(length, generator=draw),
        "directions": directions,
        "variances": 1 + torch.rand(4, generator=draw),
        "weights": weights,
        "distances": torch.linspace(0, 4, 2000),
        "odds": torch.linspace(-4, 4, 2000),
    }
    return ScopeModel(document={}, **{name: value.half().float() for name, value in values.items()})


def with_scope(folder: Path, scope: ScopeModel) -> Path:
    """The model folder with a scope model of its own, and a graph that names its features."""
    digest = save_weights(folder / SCOPE_WEIGHTS, {name: one.half() for name, one in scope.tensors().items()}, {})
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    document = {"schema": SCOPE_SCHEMA, "detector_sha256": manifest["sha256"], "weights": SCOPE_WEIGHTS}
    (folder / SCOPE_DOCUMENT).write_text(json.dumps(document | {"sha256": digest}), encoding="utf-8")
    return folder


@pytest.fixture
def scoped(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    graph = GRAPHS["export-test"]
    monkeypatch.setitem(GRAPHS, graph.name, dataclasses.replace(graph, features=(9, 10, 11)))
    folder = tmp_path / "model"
    folder.mkdir()
    for path in model_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(("height", "width"), [(64, 64), (373, 454), (1300, 700), (90, 1100)])
def test_pixels_are_described_as_the_application_does(height: int, width: int) -> None:
    pixels = np.random.default_rng(height).random((height, width)).astype(np.float32)
    np.testing.assert_allclose(edge_scope.describe(pixels), pixel_statistics(pixels).numpy(), atol=1e-6)
    flat = np.full((height, width), 0.5, dtype=np.float32)
    np.testing.assert_allclose(edge_scope.describe(flat), pixel_statistics(flat).numpy(), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (96, 7), (31, 96), (70, 96)])
def test_features_are_pooled_as_the_application_does(height: int, width: int) -> None:
    _, transform = letterbox(np.zeros((height, width), dtype=np.float32), 96)
    maps = [torch.randn(1, 5, 96 // stride, 96 // stride) for stride in (8, 16, 32)]
    left, top = transform.pad
    window = (left, top, width, height)
    pooled = [edge_scope.pool(one.numpy(), stride, window) for one, stride in zip(maps[1:], (16, 32), strict=True)]
    np.testing.assert_allclose(np.concatenate(pooled), pool_image(maps, transform).numpy(), atol=1e-6)


def test_limits_are_the_applications_thresholds() -> None:
    scope = small_scope()
    entry = scope_entry(scope)
    for distance in np.linspace(3.5, 4.5, 41):
        for odds in np.linspace(3.0, 5.0, 41):
            score = float(scope.shares(torch.tensor([distance]).float(), torch.tensor([odds]).float())[0])
            for word, threshold in (("outside", SCOPE_REFUSAL), ("unusual", SCOPE_CAUTION)):
                limit = entry[word]
                beyond = np.float32(distance) > limit["distance"] or np.float32(odds) > limit["log_odds"]
                assert beyond == (score < threshold)


def test_too_few_known_radiographs_refuse_nothing() -> None:
    few = dataclasses.replace(small_scope(), distances=torch.arange(5.0), odds=torch.arange(5.0))
    assert scope_entry(few)["outside"] == {"distance": 1e9, "log_odds": 1e9}


@pytest.mark.parametrize("edge_format", [EdgeFormat.ONNX, EdgeFormat.OPENVINO])
def test_an_export_carries_the_scope_check(
    edge_format: EdgeFormat, scoped: Path, labelled: Path, tmp_path: Path
) -> None:
    export = export_detector(edge_format, tmp_path / "out", model=with_scope(scoped, small_scope()), data=labelled)
    assert (export.document["scope_checked"], export.document["scope_notice"]) == (True, CHECKED)
    assert export.document["check"]["agreement"]["same_scope_share"] == 1.0
    assert (tmp_path / "out" / "edge_scope.py").is_file()
    image = next((labelled / "images" / "Fractured").iterdir())
    (judged,) = read_alone(export, image)
    expected = check.eager_detector(read_manifest(scoped), 96)(image)[1]
    assert judged["scope_checked"] is True
    assert judged["scope"] == expected


def test_what_is_outside_is_not_judged(scoped: Path, labelled: Path, tmp_path: Path) -> None:
    export = export_detector(EdgeFormat.ONNX, tmp_path / "out", model=with_scope(scoped, small_scope(9.0)), phantoms=1)
    (judged,) = read_alone(export, next((labelled / "images" / "Fractured").iterdir()))
    assert judged["scope"] == "outside"
    assert (judged["call"], judged["detections"], judged["fracture_probability"]) == ("cannot_judge", [], None)


def test_a_file_that_does_not_check_says_so(model_folder: Path, labelled: Path, tmp_path: Path) -> None:
    export = export_detector(EdgeFormat.ONNX, tmp_path, model=model_folder, phantoms=1)
    assert (export.document["scope_checked"], export.document["scope"]) == (False, None)
    (judged,) = read_alone(export, next((labelled / "images" / "Fractured").iterdir()))
    assert (judged["scope_checked"], judged["scope"], judged["scope_notice"]) == (False, None, NOT_CHECKED)


def test_another_canvas_has_neither_scope_nor_probability(scoped: Path, tmp_path: Path) -> None:
    model = with_scope(scoped, small_scope())
    export = export_detector(EdgeFormat.ONNX, tmp_path / "out", model=model, phantoms=1, size=64)
    assert (export.document["scope_checked"], export.document["calibration"]) == (False, None)


def test_a_missing_script_is_an_error_not_an_unchecked_picture(scoped: Path, labelled: Path, tmp_path: Path) -> None:
    export = export_detector(EdgeFormat.ONNX, tmp_path / "out", model=with_scope(scoped, small_scope()), phantoms=1)
    (tmp_path / "out" / "edge_scope.py").unlink()
    with pytest.raises(AssertionError, match="No module named 'edge_scope'"):
        read_alone(export, next((labelled / "images" / "Fractured").iterdir()))
