"""The script beside an export does what the application does, without it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imaging.calibration import SMALLEST_SCORE
from imaging.export import edge_reader
from imaging.export.card import make_card
from imaging.export.network import EdgeNetwork
from imaging.export.writers import EdgeFormat, Written
from imaging.manifest import read_manifest
from imaging.preprocess import prepare
from imaging.reader import read_radiograph
from imaging.runtime import load_network
from imaging.yolov7 import non_max_suppression


@pytest.fixture(scope="module")
def preprocessing(model_folder: Path) -> dict[str, object]:
    manifest = read_manifest(model_folder)
    written = Written(data=b"", input_name="a", output_names=("b", "c"), quantisation=None)
    network = EdgeNetwork(load_network(manifest))
    card = make_card(manifest, network, written, EdgeFormat.ONNX, 96, "x")
    settings: dict[str, object] = card["preprocessing"]
    return settings


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth grey values with noise and a black collimated border."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    grey = 90 + 60 * np.sin(rows / 17 + seed) * np.cos(columns / 23) + rng.normal(0, 6, (height, width))
    grey[:5], grey[:, :9] = 0, 0
    return np.clip(grey, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (373, 454), (1300, 700), (90, 1100)])
def test_preprocessing_is_that_of_training(preprocessing: dict[str, object], height: int, width: int) -> None:
    for seed in range(3):
        pixels = scene(seed, height, width).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(edge_reader.prepare(pixels, preprocessing), prepare(pixels))


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_preprocessing_of_a_flat_image(preprocessing: dict[str, object], value: float) -> None:
    pixels = np.full((70, 80), value, dtype=np.float32)
    np.testing.assert_array_equal(edge_reader.prepare(pixels, preprocessing), prepare(pixels))


def files(folder: Path) -> list[Path]:
    grey = scene(1, 130, 90)
    colour = np.stack([grey, 255 - grey, grey // 2], axis=2)
    alpha = np.dstack([colour, np.where(grey > 100, 255, 90).astype(np.uint8)])
    deep = (grey.astype(np.uint16) * 13 + 40).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(grey).save(folder / "grey.jpg", quality=88)
    Image.fromarray(grey).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(colour).save(folder / "colour.jpg")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(folder / "grey-as-colour.png")
    Image.fromarray(alpha).save(folder / "alpha.png")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(colour).quantize(64).save(folder / "palette.png")
    return sorted(folder.iterdir())


def test_files_are_read_as_the_application_reads_them(tmp_path: Path) -> None:
    for path in files(tmp_path):
        np.testing.assert_allclose(
            edge_reader.read_grey(path), read_radiograph(path).pixels, atol=1e-6, err_msg=path.name
        )


def test_damaged_and_tiny_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.fromarray(scene(0, 200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OSError, match="truncated"):
        edge_reader.read_grey(path)
    Image.fromarray(scene(0, 30, 200)).save(path)
    with pytest.raises(ValueError, match="200 x 30"):
        edge_reader.read_grey(path)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 80), classes=st.integers(1, 3))
def test_suppression_is_that_of_the_application(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(1, 40, (count, 2))), axis=1).astype(np.float32)
    scores = rng.uniform(0, 1, (count, classes)).astype(np.float32)
    found = edge_reader.suppress(boxes, scores, score_floor=0.2, iou=0.45, max_detections=20)
    centre = torch.as_tensor(np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), axis=1))
    decoded = torch.cat((centre, torch.ones(count, 1), torch.as_tensor(scores)), dim=1)[None]
    (expected,) = non_max_suppression(decoded, score_threshold=0.2, iou_threshold=0.45, max_detections=20)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_an_unfit_image_is_not_called_free_of_fractures() -> None:
    points = {"high_sensitivity": {"threshold": 0.2}, "high_specificity": {"threshold": 0.6}}
    card = {
        "operating_points": points,
        "classes": ["fracture"],
        "model_id": "m",
        "told_share": 0.05,
        "calibration": None,
        "scope_notice": "Not checked.",
        "intended_use": "Investigational.",
    }
    nothing = np.zeros((0, 6), dtype=np.float32)
    clear = scene(0, 100, 100).astype(np.float32) / np.float32(255)
    assert edge_reader.judge(np.full((70, 70), 0.5, dtype=np.float32), nothing, None, card)["call"] == "cannot_judge"
    assert edge_reader.judge(clear, nothing, None, card)["call"] == "not_seen"
    rows = np.array([[1, 2, 3, 4, 0.7, 0], [1, 2, 3, 4, 0.3, 0], [1, 2, 3, 4, 0.1, 0]], dtype=np.float32)
    judged = edge_reader.judge(clear, rows, None, card)
    assert judged["call"] == "definite"
    assert [one["call"] for one in judged["detections"]] == ["definite", "suspected"]


@given(score=st.floats(0, 1))
def test_probability_is_that_of_the_application(score: float) -> None:
    calibration = read_manifest().calibration
    assert calibration is not None
    line = calibration.as_entry() | {"smallest_score": SMALLEST_SCORE}
    expected, found = calibration.probability(score), edge_reader.probability(score, line)
    assert found is not None
    for name in ("value", "low", "high"):
        assert found[name] == pytest.approx(getattr(expected, name), abs=1e-4)
    assert found["prevalence"] == round(calibration.prevalence, 4)
    assert edge_reader.probability(score, None) is None
