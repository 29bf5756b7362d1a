"""Exports of a small detector, checked, read by the script alone, and refused when they are wrong."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from imaging.decision import TOLD_SHARE
from imaging.export import check, writers
from imaging.export.calibration import choose, read_export_data
from imaging.export.errors import CheckFailedError, ExportError, MissingExtraError
from imaging.export.exporter import Export, export_detector
from imaging.export.network import EdgeNetwork
from imaging.export.writers import EdgeFormat
from imaging.manifest import read_manifest
from imaging.runtime import DecodedNetwork, load_network
from imaging.training.datasets import read_collection
from tests.support.radiographs import write_classifier

requires_edge = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None and os.environ.get("CI") != "true",
    reason="the extra 'edge' is not installed",
)

READ_ALONE = """
import runpy, sys
for name in ("torch", "torchvision", "imaging", "cds", "tabular", "fusion", "fhir_adapters"):
    sys.modules[name] = None  # importing it raises ImportError
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def read_alone(export: Export, *images: Path) -> list[dict[str, object]]:
    command = [sys.executable, "-c", READ_ALONE, str(export.reader), str(export.model), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=export.reader.parent, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_export(export: Export, model_folder: Path, image: Path) -> None:
    """The script, alone, finds what the application finds with the same weights."""
    folder = export.model.parent
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [export.model.name, export.card.name, "edge_reader.py"]
    )
    (judged,) = read_alone(export, image)
    manifest = read_manifest(model_folder)
    expected = check.eager_detector(manifest, export.document["preprocessing"]["image_size"])(image)[0]
    told = max(manifest.high_sensitivity.threshold, TOLD_SHARE * expected[0, 4])
    reported = [row for row in expected if row[4] >= told]
    detections = judged["detections"]
    assert isinstance(detections, list)
    assert len(reported) > 0
    if export.document["precision"] == "float32":
        assert len(detections) == len(reported)
        # Boxes whose scores are alike to rounding may change places.
        for row in reported:
            one = min(detections, key=lambda found: float(np.abs(np.array(found["box_px"]) - row[:4]).max()))
            np.testing.assert_allclose(one["box_px"], row[:4], atol=0.11)
            assert one["score"] == pytest.approx(row[4], abs=1e-3)
    assert judged["model"] == manifest.model_id


@pytest.fixture(scope="module")
def image(labelled: Path) -> Path:
    return read_collection(labelled, "val").samples[0].path


def test_the_edge_network_decodes_as_the_network_does(model_folder: Path) -> None:
    network = load_network(read_manifest(model_folder))
    canvas = torch.rand(1, 1, 96, 96)
    boxes, scores = EdgeNetwork(network)(canvas)
    (decoded,) = DecodedNetwork(network)(canvas.expand(1, 3, -1, -1))
    torch.testing.assert_close(scores[..., 0], decoded[..., 4] * decoded[..., 5])
    torch.testing.assert_close(boxes[..., :2], decoded[..., :2] - decoded[..., 2:4] / 2, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(boxes[..., 2:], decoded[..., :2] + decoded[..., 2:4] / 2, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("edge_format", [EdgeFormat.ONNX, EdgeFormat.OPENVINO])
def test_float_exports(
    edge_format: EdgeFormat, model_folder: Path, labelled: Path, image: Path, tmp_path: Path
) -> None:
    export = export_detector(edge_format, tmp_path / "out", model=model_folder, data=labelled, size=64)
    check_export(export, model_folder, image)
    agreement = export.document["check"]["agreement"]
    assert agreement["boxes"] > 0
    assert agreement["matched_share"] == 1.0
    assert agreement["max_score_difference"] < 1e-4
    assert json.loads(export.card.read_text(encoding="utf-8")) == export.document


def test_the_image_classifier_is_exported_with_the_detector(model_folder: Path, image: Path, tmp_path: Path) -> None:
    beside = write_classifier(shutil.copytree(model_folder, tmp_path / "model"), log_odds=-0.5)
    export = export_detector(EdgeFormat.ONNX, tmp_path / "out", model=beside, phantoms=4)
    check_export(export, beside, image)
    classifier = read_manifest(beside).image_classifier
    assert classifier is not None and export.document["image_classifier_sha256"] == classifier.sha256


@pytest.mark.parametrize("edge_format", [EdgeFormat.ONNX, EdgeFormat.OPENVINO])
def test_int8_exports(edge_format: EdgeFormat, model_folder: Path, labelled: Path, image: Path, tmp_path: Path) -> None:
    export = export_detector(edge_format, tmp_path / "out", model=model_folder, data=labelled, int8=True)
    check_export(export, model_folder, image)
    assert export.model.name.startswith("detector.int8.")
    quantisation, measured = export.document["quantisation"], export.document["check"]
    assert quantisation["radiographs"] > 0
    assert set(measured["accuracy"]) == {"development", "val"}
    assert measured["agreement"]["max_score_difference"] > 0.0


@requires_edge
def test_tflite_exports(model_folder: Path, labelled: Path, image: Path, tmp_path: Path) -> None:
    export = export_detector(EdgeFormat.TFLITE, tmp_path, model=model_folder, data=labelled)
    check_export(export, model_folder, image)


@requires_edge
def test_tflite_int8_exports(model_folder: Path, labelled: Path, image: Path, tmp_path: Path) -> None:
    """Backbones with fixed ranges, the rest with those of the radiograph: weights of both are integers."""
    beside = write_classifier(shutil.copytree(model_folder, tmp_path / "model"), log_odds=-0.5)
    export = export_detector(EdgeFormat.TFLITE, tmp_path / "out", model=beside, data=labelled, int8=True)
    check_export(export, beside, image)
    parameters = sum(value.numel() for value in load_network(read_manifest(beside)).state_dict().values())
    assert export.model.stat().st_size < 1.6 * parameters


def test_an_export_without_radiographs_is_checked_on_synthetic_limbs(model_folder: Path, tmp_path: Path) -> None:
    export = export_detector(EdgeFormat.ONNX, tmp_path, model=model_folder, phantoms=1)
    assert export.document["check"]["agreement"]["source"] == "synthetic limbs"


def test_a_file_that_loses_accuracy_is_not_left(
    model_folder: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(check.MAX_AP50_LOSS, "int8", -1.0)
    with pytest.raises(CheckFailedError, match="AP50 falls by"):
        export_detector(EdgeFormat.ONNX, tmp_path, model=model_folder, data=labelled, int8=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_finds_something_else_is_not_left(
    model_folder: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = EdgeNetwork.forward

    def shifted(self: EdgeNetwork, canvas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        boxes, scores = right(self, canvas)
        return boxes + 2.0, scores

    monkeypatch.setattr(EdgeNetwork, "forward", shifted)
    with pytest.raises(CheckFailedError, match="smallest IoU"):
        export_detector(EdgeFormat.ONNX, tmp_path, model=model_folder, data=labelled)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named_with_its_remedy(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(MissingExtraError, match="litert_torch") as caught:
        export_detector(EdgeFormat.TFLITE, tmp_path, model=model_folder)
    assert "make edge" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_senseless_combinations(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="int8 needs radiographs") as caught:
        export_detector(EdgeFormat.ONNX, tmp_path, model=model_folder, int8=True)
    assert "--calibration" in caught.value.remedy
    with pytest.raises(ExportError, match="100 pixels"):
        export_detector(EdgeFormat.ONNX, tmp_path, model=model_folder, size=100)


def test_a_changed_file_is_not_read(model_folder: Path, image: Path, tmp_path: Path) -> None:
    export = export_detector(EdgeFormat.ONNX, tmp_path, model=model_folder, phantoms=1)
    export.model.write_bytes(export.model.read_bytes() + b"x")
    with pytest.raises(ValueError, match="damaged"):
        check.edge_detector(export.model)


def test_calibration_and_check_share_no_radiograph(labelled: Path) -> None:
    data = read_export_data(labelled, {"folds": 3, "development_fold": 1})
    parts = [{sample.image_id for sample in part} for part in (data.calibration, data.development, data.confirmation)]
    assert all(parts)
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert choose(data.development, 2) == choose(tuple(reversed(data.development)), 2)


def test_agreement_of_nothing_is_no_agreement() -> None:
    measured = check.agreement([], [], score_floor=0.01, thresholds=(0.1, 0.5))
    with pytest.raises(CheckFailedError, match="not checked"):
        check.require_agreement(measured, "float32")


def test_lost_boxes_are_counted() -> None:
    one = np.array([[0.0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.4, 0]])
    measured = check.agreement([(one, None)], [(one[:1], None)], score_floor=0.01, thresholds=(0.1, 0.5))
    assert measured.matched_share == 0.5
    with pytest.raises(CheckFailedError, match="share of boxes"):
        check.require_agreement(measured, "float32")


def test_a_box_flat_against_the_border_is_found_again() -> None:
    rows = np.array([[0.0, 5, 0, 20, 0.9, 0], [50, 50, 60, 60, 0.4, 0]])
    measured = check.agreement([(rows, None)], [(rows, None)], score_floor=0.01, thresholds=(0.1, 0.5))
    assert measured.matched_share == 1.0


def test_a_scope_that_differs_is_refused() -> None:
    rows = np.array([[50.0, 50, 60, 60, 0.4, 0]])
    measured = check.agreement([(rows, "inside")], [(rows, "outside")], score_floor=0.01, thresholds=(0.1, 0.5))
    assert (measured.same_scope_share, measured.refused_share) == (0.0, 1.0)
    with pytest.raises(CheckFailedError, match="same scope"):
        check.require_agreement(measured, "float32")


def test_every_format_has_a_suffix() -> None:
    assert set(writers.SUFFIX) == set(EdgeFormat)
