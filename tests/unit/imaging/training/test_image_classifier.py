"""Teaching an image classifier beside a finished detector."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from imaging.bone_age.manifest import SHIPPED_BONE_AGE
from imaging.engine import FractureEngine
from imaging.errors import ModelFilesError
from imaging.manifest import SHIPPED_WEIGHTS, read_manifest
from imaging.training.errors import TrainingDataError
from imaging.training.image_classifier import SCORE_FLOOR, ClassifierConfig, ClassifierTraining, run
from imaging.training.pretraining import hand_backbone, words_for
from imaging.training.stale_heads import drop_stale_heads
from imaging.training.train import run as train_detector
from imaging.yolov7.checkpoint import load_weights
from tests.support.radiographs import write_fracatlas, write_weights
from tests.support.trainings import TINY, untrained_detector

pytestmark = pytest.mark.usefixtures("few_resamples")

CONFIG = ClassifierConfig(
    epochs=2, samples_per_epoch=4, batch_size=2, workers=0, precision="32-true", average_decay=0.5, weight=0.75
)


def silent(_: str) -> None:
    """Report nothing."""


def teach(data: Path, model: Path, out: Path, **options: Any) -> Path:
    """`run`, without a word."""
    return run(data, model, out, **({"config": CONFIG, "progress": False, "report": silent} | options))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(data, detector with a classifier)."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("classifier")
    data = write_fracatlas(root / "fa")
    return data, teach(data, untrained_detector(root / "model"), root / "out")


def test_the_detector_is_released_anew_with_its_classifier(taught: tuple[Path, Path], tmp_path: Path) -> None:
    manifest = read_manifest(taught[1])
    before = read_manifest(untrained_detector(tmp_path / "before"))
    assert manifest.image_classifier is not None and manifest.image_classifier.weight == 0.75
    assert manifest.sha256 == before.sha256 and manifest.score_floor == SCORE_FLOOR
    assert manifest.high_sensitivity.threshold != before.high_sensitivity.threshold
    assert manifest.document["development"]["n"] == 4
    record = manifest.document["image_classifier"]["training"]
    assert record["config"]["seed"] == CONFIG.seed and record["data"]["n"] == 8
    assert record["command"].startswith("cds train image-classifier --data fracatlas ")
    assert FractureEngine.load(taught[1], runtime="torch").model_id == manifest.model_id


def test_an_interrupted_training_ends_in_the_same_weights(
    taught: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, straight = taught
    model, out = untrained_detector(tmp_path / "model"), tmp_path / "out"
    step = ClassifierTraining.training_step

    def interrupted(self: ClassifierTraining, batch: Any, batch_index: int) -> torch.Tensor:
        if self.current_epoch == 1:
            raise RuntimeError("the power failed")
        return step(self, batch, batch_index)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power failed"):
        patch.setattr(ClassifierTraining, "training_step", interrupted)
        teach(data, model, out)
    assert read_manifest(model).image_classifier is None
    teach(data, model, out, resume=True)
    one, other = (load_weights(folder / "image_classifier.safetensors")[0] for folder in (straight, model))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_detector_that_learns_on_keeps_the_classifier(taught: tuple[Path, Path], tmp_path: Path) -> None:
    data, model = taught
    config = replace(TINY, start_from=str(model), gallery=0)
    train_detector(data, tmp_path / "on", config=config, progress=False, report=silent)
    before, after = read_manifest(model), read_manifest(tmp_path / "on")
    assert before.image_classifier is not None and after.image_classifier is not None
    assert after.image_classifier.sha256 == before.image_classifier.sha256 and after.sha256 != before.sha256
    assert after.image_classifier.weights.parent == tmp_path / "on" and after.score_floor == SCORE_FLOOR
    FractureEngine.load(tmp_path / "on", runtime="torch")


def test_heads_that_read_an_earlier_classifier_are_removed(taught: tuple[Path, Path], tmp_path: Path) -> None:
    model = shutil.copytree(taught[1], tmp_path / "model")
    document = json.loads((SHIPPED_WEIGHTS / "attributes.json").read_text())
    document["detector_sha256"] = read_manifest(model).digest
    (model / "attributes.json").write_text(json.dumps(document))
    (model / document["weights"]).touch()
    lines: list[str] = []
    drop_stale_heads(model, lines.append)
    assert not lines and (model / "attributes.json").is_file()
    teach(taught[0], model, tmp_path / "out", config=replace(CONFIG, seed=7), report=lines.append)
    assert any("removed" in line and "cds train fracture-type" in line for line in lines)
    assert not list(model.glob("attributes.*"))
    FractureEngine.load(model, runtime="torch")


def test_what_cannot_be_taught_is_refused(taught: tuple[Path, Path], tmp_path: Path) -> None:
    data, model = taught
    pair = shutil.copytree(model, tmp_path / "pair")
    document = json.loads((pair / "manifest.json").read_text())
    document["companion"] = {name: document[name] for name in ("graph", "weights", "sha256")}
    (pair / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(TrainingDataError, match="first detector"):
        teach(data, pair, tmp_path / "out")
    with pytest.raises(TrainingDataError, match="held out"):
        teach(data, write_weights(tmp_path / "unknown"), tmp_path / "out")
    with pytest.raises(ModelFilesError):
        teach(data, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(TrainingDataError, match="no radiograph without a fracture"):
        teach(write_fracatlas(tmp_path / "one", healthy=0), model, tmp_path / "out")


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("epochs: 3\nweight: 0.5\n")
    assert (ClassifierConfig.read(path).epochs, ClassifierConfig.read(path).weight) == (3, 0.5)
    path.write_text("epochz: 3\n")
    with pytest.raises(TrainingDataError, match="epochz"):
        ClassifierConfig.read(path)


def test_it_may_start_from_the_skeletal_age_networks(taught: tuple[Path, Path], tmp_path: Path) -> None:
    """Its frozen first blocks are theirs, and the manifest names them."""
    model = untrained_detector(tmp_path / "model")
    config = replace(CONFIG, epochs=1, backbone_from=str(SHIPPED_BONE_AGE))
    teach(taught[0], model, tmp_path / "out", config=config)
    hands = hand_backbone(SHIPPED_BONE_AGE)
    weights = load_weights(model / "image_classifier.safetensors")[0]
    first = next(iter(hands))
    assert torch.equal(weights[f"backbone.{first}"], hands[first])
    start = read_manifest(model).document["image_classifier"]["training"]["start"]
    assert start == words_for(SHIPPED_BONE_AGE) and "skeletal age" in start
    with pytest.raises(TrainingDataError, match="no skeletal age weights"):
        teach(taught[0], model, tmp_path / "out", config=replace(config, backbone_from="nowhere"))
