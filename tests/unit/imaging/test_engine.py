"""The engine on random weights: places, calls, runtimes, damaged files."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.engine import MEASURED_DETECTIONS, FractureEngine
from imaging.errors import ModelFilesError
from imaging.geometry.measurement import NOT_AMONG_BEST
from imaging.preprocess import normalise_contrast, prepare
from imaging.radiograph import Radiograph
from imaging.results import FractureCall, PixelSpacing, SpacingOrigin
from tests.support.radiographs import striped_bone, write_classifier, write_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


def radiograph(warnings: tuple[str, ...] = (), height: int = 240, width: int = 192) -> Radiograph:
    image, _ = striped_bone(np.random.default_rng(0), fractured=True)
    pixels = np.kron(image.astype(np.float32) / 255, np.ones((height // 120, width // 96), dtype=np.float32))
    spacing = PixelSpacing(row_mm=0.2, column_mm=0.1, origin=SpacingOrigin.CALIBRATED)
    return Radiograph(pixels=pixels, sha256="0" * 64, source_format="png", spacing=spacing, warnings=warnings)


def test_an_image_classifier_lowers_scores_and_moves_no_box(weights: Path, tmp_path: Path) -> None:
    beside = write_classifier(shutil.copytree(weights, tmp_path / "beside"), log_odds=-3.0, weight=0.5)
    plain, lowered = (FractureEngine.load(folder, runtime="torch") for folder in (weights, beside))
    pixels = radiograph().pixels
    before, after = plain.detect(pixels), lowered.detect(pixels)
    assert len(before) > 3 and len(after) > 3
    torch.testing.assert_close(after[0, :4], before[0, :4])
    # The random network's scores are small, so that log odds and logarithm of the score fall alike.
    torch.testing.assert_close(after[0, 4].log() - before[0, 4].log(), torch.tensor(-1.5), atol=0.15, rtol=0)
    assert lowered.model_id.startswith(plain.model_id + ".") and lowered.model_id != plain.model_id


def test_a_classifier_that_sees_a_fracture_raises_nothing(weights: Path, tmp_path: Path) -> None:
    beside = write_classifier(shutil.copytree(weights, tmp_path / "beside"), log_odds=3.0)
    plain, other = (FractureEngine.load(folder, runtime="openvino") for folder in (weights, beside))
    pixels = radiograph().pixels
    torch.testing.assert_close(other.detect(pixels), plain.detect(pixels))


def test_findings_lie_in_the_image_and_carry_millimetres(weights: Path) -> None:
    findings = FractureEngine.load(weights, runtime="torch").analyse(radiograph())
    assert (findings.width_px, findings.height_px) == (192, 240)
    assert findings.detections
    scores = [detection.score for detection in findings.detections]
    assert scores == sorted(scores, reverse=True)
    for detection in findings.detections:
        box = detection.box
        assert 0 <= box.x1 < box.x2 <= 192 and 0 <= box.y1 < box.y2 <= 240
        assert detection.box_width_mm == pytest.approx((box.x2 - box.x1) * 0.1)
        assert detection.box_height_mm == pytest.approx((box.y2 - box.y1) * 0.2)
        assert detection.call is FractureCall.SUSPECTED
    assert findings.call is FractureCall.SUSPECTED


@pytest.mark.parametrize(("definite", "measured"), [(0, 1), (2, 2), (5, MEASURED_DETECTIONS)])
def test_only_the_best_boxes_are_measured(
    definite: int, measured: int, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FractureEngine.load(weights, runtime="torch")
    look = engine.look(radiograph().pixels)
    # Random weights give many boxes one score; here each has its own, so that a threshold can pass between any two.
    ranked = look.boxes.clone()
    ranked[:, 4] = torch.linspace(0.05, 0.01, len(ranked))
    monkeypatch.setattr(engine, "look", lambda _: replace(look, boxes=ranked))
    scores = ranked[:, 4].tolist()
    assert len(scores) > definite
    threshold = (scores[definite] + scores[definite - 1]) / 2 if definite else 1.0
    point = replace(engine.manifest.high_specificity, threshold=threshold)
    engine.manifest = replace(engine.manifest, high_specificity=point)
    found = engine.analyse(radiograph()).detections
    left_out = [set(dict(one.geometry.not_measured).values()) == {NOT_AMONG_BEST} for one in found if one.geometry]
    assert left_out == [False] * measured + [True] * (len(found) - measured)


def test_faint_boxes_beside_a_much_surer_one_are_not_told(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FractureEngine.load(weights, runtime="torch")
    look = engine.look(radiograph().pixels)
    ranked = look.boxes[:4].clone()
    ranked[:, 4] = torch.tensor([0.5, 0.026, 0.024, 0.001])
    monkeypatch.setattr(engine, "look", lambda _: replace(look, boxes=ranked))
    assert engine.manifest.high_sensitivity.threshold < 0.001
    told = [one.score for one in engine.analyse(radiograph()).detections]
    assert told == pytest.approx([0.5, 0.026])


def test_openvino_and_torch_agree(weights: Path) -> None:
    torch.manual_seed(1)
    canvas = torch.rand(1, 3, 128, 128)
    first, second = (
        FractureEngine.load(weights, runtime=name).runtime.predict(canvas).decoded for name in ("torch", "openvino")
    )
    assert first.shape == second.shape == (1, 3 * (16 * 16 + 8 * 8 + 4 * 4), 6)
    torch.testing.assert_close(first, second, atol=1e-3, rtol=1e-4)


def test_bfloat16_finds_the_same_boxes_up_to_its_rounding(weights: Path) -> None:
    torch.manual_seed(1)
    canvas = torch.rand(1, 3, 128, 128)
    runtimes = [FractureEngine.load(weights, runtime=name).runtime for name in ("openvino", "openvino-bf16")]
    exact, rounded = (runtime.predict(canvas).decoded for runtime in runtimes)
    assert [runtime.name for runtime in runtimes] == ["openvino", "openvino-bf16"]
    torch.testing.assert_close(rounded[..., 4:], exact[..., 4:], atol=0.05, rtol=0.0)


def test_scale_of_the_file_does_not_move_the_boxes(weights: Path) -> None:
    engine = FractureEngine.load(weights, runtime="torch")
    small, large = (engine.detect(radiograph(height=h, width=w).pixels)[0, :4] for h, w in ((240, 192), (1440, 1152)))
    torch.testing.assert_close(large / 6, small, atol=4.0, rtol=0.05)


def test_nothing_seen_on_an_unfit_image_is_no_answer(weights: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict"
    write_weights(strict)
    manifest = json.loads((strict / "manifest.json").read_text())
    manifest["operating_points"]["high_sensitivity"]["threshold"] = 0.99
    manifest["operating_points"]["high_specificity"]["threshold"] = 0.995
    (strict / "manifest.json").write_text(json.dumps(manifest))
    engine = FractureEngine.load(strict, runtime="torch")
    assert engine.analyse(radiograph()).call is FractureCall.NOT_SEEN
    assert engine.analyse(radiograph(("imaging.content.low_contrast",))).call is FractureCall.CANNOT_JUDGE


@pytest.mark.parametrize(
    "damage", ["digest", "manifest", "missing", "preprocessing", "entry", "graph", "classifier", "other_classifier"]
)
def test_damaged_model_files_are_named(damage: str, tmp_path: Path) -> None:
    folder = write_weights(tmp_path / "w")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    if damage == "digest":
        data = bytearray((folder / "detector.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "detector.safetensors").write_bytes(data)
    elif damage == "manifest":
        path.write_text("{")
    elif damage == "missing":
        (folder / "detector.safetensors").unlink()
    elif damage == "preprocessing":
        manifest["preprocessing"]["id"] = "other/1"
        path.write_text(json.dumps(manifest))
    elif damage == "classifier":
        (write_classifier(folder) / "image_classifier.safetensors").unlink()
    elif damage == "other_classifier":
        shutil.copyfile(folder / "detector.safetensors", write_classifier(folder) / "image_classifier.safetensors")
        manifest = json.loads(path.read_text())
        manifest["image_classifier"]["sha256"] = manifest["sha256"]
        path.write_text(json.dumps(manifest))
    elif damage == "graph":
        manifest["graph"] = "yolov7"
        path.write_text(json.dumps(manifest))
    else:
        del manifest["sha256"]
        path.write_text(json.dumps(manifest))
    with pytest.raises(ModelFilesError) as caught:
        FractureEngine.load(folder, runtime="torch")
    assert caught.value.remedy


def test_preparation_evens_contrast_and_keeps_shape() -> None:
    dim = (radiograph().pixels * 0.3).astype(np.float32)
    prepared = prepare(dim)
    assert prepared.shape == dim.shape and prepared.dtype == np.float32
    assert prepared.max() > 0.9 and prepared.min() >= 0
    assert prepare(np.zeros((3000, 2000), dtype=np.float32)).shape == (1024, 683)
    flat = np.full((64, 64), 7, dtype=np.uint8)
    assert np.array_equal(normalise_contrast(flat), flat)
