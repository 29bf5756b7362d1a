"""Attribute heads from a handful of drawn shafts: labels, fit, release, evaluation."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from imaging.attributes.model import AttributeModel
from imaging.engine import FractureEngine
from imaging.errors import ModelFilesError
from imaging.labels import FracturePattern, LimbGroup
from imaging.manifest import read_manifest
from imaging.training import attributes, evaluate_attributes, scope_pictures
from imaging.training.attributes import AttributeConfig, unseen_by
from imaging.training.attributes_data import (
    look_alike_group,
    pattern_of,
    read_fracatlas,
    read_samples,
    read_types,
)
from imaging.training.attributes_features import FeatureTable
from imaging.training.attributes_fit import (
    Standard,
    answering_threshold,
    binary_line,
    final_head,
    folds_of,
    one_hot,
    ridge,
    softmax,
    softmax_line,
)
from imaging.training.attributes_heads import HeadSettings
from imaging.training.attributes_metrics import pattern_metrics
from imaging.training.datasets import read_collection, read_grey
from imaging.training.errors import TrainingDataError
from imaging.training.splits import plan_splits, shares_of, write_list
from tests.support.radiographs import write_flags, write_fracatlas, write_types, write_weights
from tests.support.shared import requires_shared, shared_dir

FEW = AttributeConfig(split="all", heads=HeadSettings(folds=2, rounds=10, fewest=2))


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """(data, folder with detector and heads, report) of a fit without the hips."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("attributes")
    atlas = write_fracatlas(root / "data" / "fracatlas", fractured=6, healthy=6)
    write_flags(atlas, 12)
    write_types(root / "data" / "fracture_types")
    model = write_weights(root / "model", image_size=96)
    lines: list[str] = []
    attributes.run(
        root / "data", model, model=model, config=FEW, cache=root / "cache", runtime="torch", report=lines.append
    )
    return root / "data", model, lines


def test_what_is_missing_is_left_out_and_said(fitted: tuple[Path, Path, list[str]]) -> None:
    _, folder, lines = fitted
    assert any("'hip'" in line for line in lines)
    document = json.loads((folder / "attributes.json").read_text())
    assert document["left_out"] == ["hip"]
    assert document["answers"]["pattern"] == ["spiral", "avulsion"]
    assert {"n", "sha256", "licence"} <= set(document["data"]["fracture_types"])
    assert document["cross_validation"]["pattern"]["macro_auc"]["value"] > 0.9
    assert "hardware" not in document["cross_validation"]


def test_the_model_loads_and_answers(fitted: tuple[Path, Path, list[str]]) -> None:
    _, folder, _ = fitted
    sha256 = read_manifest(folder).sha256
    model = AttributeModel.load(folder, sha256)
    assert model is not None
    document = json.loads((folder / "attributes.json").read_text())
    assert model.manifest.model_id.startswith("attribute-heads@")
    assert len(document["training_images"]) == 12
    with pytest.raises(ModelFilesError, match="another detector"):
        AttributeModel.load(folder, "0" * 64)


def test_evaluation_says_what_it_was_trained_on(fitted: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    data, folder, _ = fitted
    result = evaluate_attributes.run(data / "fracture_types", model=folder, runtime="torch", rounds=10)
    assert result["trained_on"] == result["n"] == 12
    assert "flatter" in result["note"] and result["metrics_from"] == "cross-validation of the fit"
    cross_validated = json.loads((folder / "attributes.json").read_text())["cross_validation"]["pattern"]
    assert result["metrics"]["macro_auc"] == cross_validated["macro_auc"]
    assert result["resubstitution"]["macro_auc"]["value"] >= cross_validated["macro_auc"]["value"]
    fresh = write_types(tmp_path / "fresh", count=4)
    (fresh / "images" / "0.png").write_bytes(b"")
    # The drawing is seeded: what is drawn anew is the same image, so one pixel is changed.
    for path in (fresh / "images").glob("[123].png"):
        image = read_grey(path)
        image[0, 0] ^= 1
        cv2.imwrite(str(path), image)
    result = evaluate_attributes.run(fresh, model=folder, runtime="torch", rounds=10)
    assert (result["trained_on"], result["n_refused"], result["n"]) == (0, 1, 4)
    for name in ("macro_auc", "macro_f1", "accuracy", "coverage"):
        one = result["metrics"][name]
        assert one["low"] <= one["value"] <= one["high"]
    assert result["metrics"]["accuracy"]["value"] <= 0.75
    assert result["metrics_from"] == "these images" and "resubstitution" not in result
    shutil.copy(data / "fracture_types" / "images" / "0.png", fresh / "images" / "0.png")
    result = evaluate_attributes.run(fresh, model=folder, runtime="torch", rounds=10)
    assert (result["trained_on"], result["n"], result["metrics"]["n"]) == (1, 4, 3)
    assert result["resubstitution"]["n"] == 4 and "3 images" in result["metrics_from"]
    json.dumps(result, allow_nan=False)


def test_what_is_no_limb_radiograph_is_neither_learnt_nor_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "outside.csv"
    listed.write_text("collection,image,kind\nfracture_types,3.png,skull\nelsewhere,4.png,spine\n")
    monkeypatch.setattr(scope_pictures, "OUTSIDE_LIST", listed)
    types = write_types(tmp_path / "data" / "fracture_types", 12)
    model, lines = write_weights(tmp_path / "model", image_size=96), list[str]()
    attributes.run(tmp_path / "data", model, model=model, config=FEW, runtime="torch", report=lines.append)
    assert any(line.startswith("1 of 12 pictures of fracture_types") for line in lines)
    document = json.loads((model / "attributes.json").read_text())
    assert len(document["training_images"]) == document["data"]["fracture_types"]["n"] == 11
    # Known by its content: the list need not be there, nor the name be the same.
    monkeypatch.undo()
    result = evaluate_attributes.run(types.rename(tmp_path / "other"), model=model, runtime="torch", rounds=5)
    assert (result["n"], result["trained_on"], result["n_outside_scope"]) == (11, 11, 1)


def test_evaluation_needs_a_pattern_head(tmp_path: Path) -> None:
    folder = write_weights(tmp_path / "bare", image_size=96)
    with pytest.raises(ModelFilesError, match="no head"):
        evaluate_attributes.run(write_types(tmp_path / "types", 2), model=folder, runtime="torch")


def test_words_of_the_data() -> None:
    assert pattern_of("segmental") is FracturePattern.COMMINUTED
    assert pattern_of("linear") is FracturePattern.LONGITUDINAL
    assert pattern_of("fracture-dislocation") is FracturePattern.FRACTURE_DISLOCATION
    assert pattern_of("healthy") is None and pattern_of("undetermined") is None and pattern_of("odd") is None


def test_look_alike_names_stay_together() -> None:
    assert look_alike_group("dislocation_left_12-_png.jpg") == look_alike_group("dislocation_left_14_png.jpg")
    assert look_alike_group("neck_12_png.jpg") != look_alike_group("neck_21_png.jpg")
    assert look_alike_group("neck_12_png.jpg") != look_alike_group("normal_12_png.jpg")


def test_bad_rows_are_reported(tmp_path: Path) -> None:
    root = write_types(tmp_path / "types", 4)
    rows = (root / "images.csv").read_text().splitlines()
    (root / "images.csv").write_text(
        "\n".join([*rows, "none.png,web,x,spiral,", "0.png,web,y,knotted,", "1.png,web,z,healthy,"]) + "\n"
    )
    lines: list[str] = []
    assert len(read_types(root, lines.append)) == 4
    assert len(lines) == 3
    with pytest.raises(TrainingDataError, match="holds none"):
        read_samples(tmp_path, "all", lines.append)


def test_unknown_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("folds: 3\nsplit: all\n")
    assert AttributeConfig.read(path).heads.folds == 3
    path.write_text("colour: red\n")
    with pytest.raises(TrainingDataError, match="colour"):
        AttributeConfig.read(path)


def test_no_group_is_split() -> None:
    groups = [f"g{number // 3}" for number in range(60)]
    folds = folds_of(groups, [number % 2 for number in range(60)], 5, 0)
    assert set(folds) == set(range(5))
    assert all(len(set(folds[np.array(groups) == group])) == 1 for group in groups)


def test_ridge_is_the_same_from_either_side() -> None:
    rng = np.random.default_rng(0)
    vectors, targets, weights = rng.normal(size=(8, 8)), rng.normal(size=(8, 2)), rng.uniform(0.5, 2, 8)
    wide = np.concatenate((vectors, np.zeros((8, 1))), axis=1)
    first, bias = ridge(vectors, targets, weights, 0.7)
    second, other_bias = ridge(wide, targets, weights, 0.7)
    np.testing.assert_allclose(first, second[:, :-1], atol=1e-9)
    np.testing.assert_allclose(bias, other_bias, atol=1e-9)


def test_final_head_equals_its_parts() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(3, 5, size=(30, 6)).astype(np.float32)
    labels = rng.integers(0, 3, 30)
    targets, weights = one_hot(labels, 3), np.ones(30)
    standard = Standard.of(vectors)
    weight, bias = ridge(standard(vectors), targets, weights, 0.5)
    scores = standard(vectors) @ weight.T + bias
    line = softmax_line(scores, labels)
    head = final_head(vectors, targets, weights, 0.5, line)
    np.testing.assert_allclose(head(torch.from_numpy(vectors)).numpy(), line(scores), atol=1e-3)
    # Calibration on the very scores can only help.
    chosen = softmax(line(scores))[np.arange(30), labels]
    assert -np.log(chosen).mean() <= np.log(3)


def test_platt_line_grows_with_the_score() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(200) < 0.3
    assert binary_line(rng.normal(size=200) + 2 * positive, positive).slope > 0


def test_threshold_keeps_its_promise() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    probabilities = softmax(rng.normal(size=(400, 3)) + 1.2 * np.eye(3)[labels])
    threshold = answering_threshold(probabilities, labels, 0.8)
    answered = probabilities.max(axis=1) >= threshold
    assert 40 <= answered.sum() < 400
    assert (probabilities.argmax(axis=1) == labels)[answered].mean() >= 0.8
    assert answering_threshold(probabilities[:10], labels[:10], 0.8) > 1


def test_figures_of_a_perfect_head() -> None:
    labels = np.array([0, 1, 0, 1])
    figures = pattern_metrics(
        (FracturePattern.SPIRAL, FracturePattern.OBLIQUE, FracturePattern.AVULSION),
        labels,
        np.eye(3)[labels],
        np.array([True, False, True, False]),
        20,
    )
    assert figures["macro_auc"]["value"] == figures["macro_f1"]["value"] == figures["accuracy"]["value"] == 1
    assert figures["coverage"]["value"] == 0.5
    assert set(figures["per_class"]) == {"spiral", "oblique"}


@requires_shared
def test_fracatlas_flags() -> None:
    folder = shared_dir()
    assert folder is not None
    samples = read_fracatlas(folder / "data" / "fracatlas", "val")
    assert all(sample.limbs and any(sample.limbs.values()) for sample in samples)
    hips = [sample for sample in samples if sample.limbs and sample.limbs.get(LimbGroup.HIP_PELVIS)]
    assert 0 < len(hips) < len(samples)


@pytest.mark.parametrize("split", ["rest", "fold0"])
def test_what_a_detector_has_seen_comes_from_its_split_list(tmp_path: Path, split: str) -> None:
    data = write_fracatlas(tmp_path / "fa", fractured=3, healthy=3)
    radiographs = read_collection(data).samples
    folds = plan_splits(radiographs, shares_of("kfold", 3), seed=0)
    folder = write_weights(tmp_path / "model")
    document = json.loads((folder / "manifest.json").read_text())
    listed = write_list(tmp_path / "folds.csv", radiographs, folds)
    settings = {"split_list": str(listed), "split": split, "development_split": "fold1", "folds": 3}
    document["training"] = {"config": settings}
    (folder / "manifest.json").write_text(json.dumps(document))
    samples = tuple(read_fracatlas(data, "all"))
    table = FeatureTable(samples=samples, vectors=np.zeros((6, 1), dtype=np.float32), max_scores=np.zeros(6))
    unseen = unseen_by(FractureEngine.load(folder, runtime="torch", boxes_only=True), table)
    wanted = {"rest": {"fold1"}, "fold0": {"fold1", "fold2"}}[split]
    assert list(unseen) == [folds[sample.image_id] in wanted for sample in samples]
