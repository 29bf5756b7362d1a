"""A whole training on a handful of synthetic shafts: release, resume, average, bad data."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from imaging.engine import FractureEngine
from imaging.manifest import read_manifest
from imaging.training import evaluate, mining
from imaging.training.datamodule import FractureDataModule
from imaging.training.datasets import read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.module import FractureDetector, WeightAverage
from imaging.training.release import record_validation, set_operation
from imaging.training.splits import REST, plan_splits, shares_of, write_list
from imaging.training.train import TrainingConfig, run
from imaging.yolov7 import build, ota_loss, plain_loss
from imaging.yolov7.graphs import YOLOV7_TINY
from tests.support.radiographs import write_fracatlas, write_weights
from tests.support.trainings import TINY

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(data, release folder) of one epoch."""
    torch.set_num_threads(1)  # more of them wait for each other where processors are shared
    root = tmp_path_factory.mktemp("training")
    data = write_fracatlas(root / "fa")
    return data, run(data, root / "out", config=TINY, progress=False, report=lambda _: None)


def test_release_is_complete_and_loads(trained: tuple[Path, Path]) -> None:
    _, out = trained
    manifest = read_manifest(out)
    assert manifest.sha256 and manifest.image_size == 96
    assert manifest.document["training"]["config"]["seed"] == TINY.seed
    assert manifest.document["training"]["data"]["n"] == 12
    assert 0 < manifest.high_sensitivity.threshold <= manifest.high_specificity.threshold
    assert FractureEngine.load(out, runtime="torch").model_id.endswith(manifest.sha256[:8])


def test_the_release_says_what_else_it_learned_from(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, teacher = trained
    data = write_fracatlas(tmp_path / "fa")
    more = write_fracatlas(tmp_path / "more")
    boxed = [sample for sample in read_collection(more).samples if sample.fractured][:3]
    monkeypatch.setattr(mining, "label", lambda *_: boxed)
    config = replace(TINY, extra_data=("more",), self_labelled=("more",), teacher=str(teacher), gallery=0)
    run(data, tmp_path / "out", config=config, progress=False, report=lambda _: None)
    record = read_manifest(tmp_path / "out").document["training"]
    assert record["teacher"] == read_manifest(teacher).model_id
    extra, labelled = record["data"]["further"]
    everything = read_collection(more)
    assert (extra["name"], extra["n"], extra["boxes"]) == ("more", len(everything.samples), "of the data set")
    assert (labelled["name"], labelled["n"], labelled["boxes"]) == ("more", 3, "of the teacher")
    assert extra["sha256"] == everything.digest() != labelled["sha256"]


def test_windows_are_put_together_where_the_configuration_says_so(tmp_path: Path) -> None:
    config = replace(TINY, mosaic=0.5, copy_paste=0.5, gallery=0)
    run(write_fracatlas(tmp_path / "fa"), tmp_path / "out", config=config, progress=False, report=lambda _: None)
    recorded = read_manifest(tmp_path / "out").document["training"]["config"]
    assert (recorded["mosaic"], recorded["copy_paste"]) == (0.5, 0.5)


def test_evaluation_has_the_published_schema(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = trained
    result = evaluate.run(data, "val", model=out, runtime="torch", rounds=20)
    assert {"dataset", "split", "n", "metrics"} <= set(result)
    assert result["n"] == 4
    for name in (
        "map50",
        "map50_95",
        "image_auc",
        "sensitivity_high_sensitivity",
        "specificity_high_sensitivity",
        "sensitivity_high_specificity",
        "specificity_high_specificity",
    ):
        metric = result["metrics"][name]
        assert metric["low"] <= metric["value"] <= metric["high"]
    json.dumps(result)


def test_independent_figures_replace_those_of_the_choice(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = trained
    folder = shutil.copytree(out, tmp_path / "release", ignore=shutil.ignore_patterns("checkpoints", "log"))
    result = evaluate.run(data, "val", model=folder, runtime="torch", rounds=5)
    record_validation(folder, result, evaluate.sentence(result))
    manifest = read_manifest(folder)
    wanted = result["metrics"]["sensitivity_high_sensitivity"]["value"]
    assert manifest.high_sensitivity.sensitivity == wanted
    assert manifest.document["operating_points"]["high_specificity"]["measured_on"] == "fracatlas/val"
    assert "4 radiographs" in manifest.validation
    assert manifest.document["development"]["metrics"]


def test_operating_points_come_from_the_part_that_the_split_list_held_out(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa", fractured=6, healthy=6)
    samples = read_collection(data).samples
    folds = plan_splits(samples, shares_of("kfold", 3), seed=0)
    listed = write_list(tmp_path / "folds.csv", samples, folds)
    folder = write_weights(tmp_path / "release", image_size=64)
    document = json.loads((folder / "manifest.json").read_text())
    settings = asdict(replace(TINY, split=REST, split_list="gone.csv", development_split="fold2"))
    document["training"] = {"config": settings}
    (folder / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(TrainingDataError, match=r"no split list 'gone\.csv'"):
        set_operation(folder, data, report=lambda _: None)
    held_out = [sample for sample in samples if folds[sample.image_id] == "fold2"]
    lines: list[str] = []
    set_operation(folder, data, split_list=listed, report=lines.append)
    development = json.loads((folder / "manifest.json").read_text()).get("development")
    assert development is not None, lines
    assert development["n"] == len(held_out) == 4


def test_resume_goes_on_where_it_stopped(trained: tuple[Path, Path]) -> None:
    data, out = trained
    longer = TrainingConfig(**{**{f: getattr(TINY, f) for f in TINY.__dataclass_fields__}, "epochs": 2})
    run(data, out, config=longer, resume=True, progress=False, report=lambda _: None)
    checkpoint = torch.load(out / "checkpoints" / "last.ckpt", weights_only=False)
    assert checkpoint["epoch"] == 1
    assert checkpoint["global_step"] == 4


def test_a_run_may_end_before_its_epochs_do(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fracatlas")
    config = replace(TINY, epochs=5, stop_after=2)
    run(data, tmp_path / "out", config=config, progress=False, report=lambda _: None)
    checkpoint = torch.load(tmp_path / "out" / "checkpoints" / "last.ckpt", weights_only=False)
    assert checkpoint["epoch"] + 1 == 2
    assert checkpoint["lr_schedulers"][0]["_last_lr"][0] > 0


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa", healthy=0)
    with pytest.raises(TrainingDataError, match="no radiograph without a fracture"):
        run(data, tmp_path / "out", config=TINY, progress=False, report=lambda _: None)


def test_config_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("epochs: 3\nloss: plain\n")
    assert TrainingConfig.read(path).epochs == 3
    path.write_text("epochz: 3\n")
    with pytest.raises(TrainingDataError, match="epochz"):
        TrainingConfig.read(path)


def test_balanced_sampling(tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa", fractured=2, healthy=30), "all").samples
    module = FractureDataModule(
        samples, samples, image_size=96, crop_size=64, batch_size=8, samples_per_epoch=400, workers=0
    )
    with_targets = sum(len(set(batch.targets[:, 0].tolist())) for batch in module.train_dataloader())
    assert 120 < with_targets < 230


@pytest.mark.parametrize("make_loss", [plain_loss, ota_loss])
def test_loss_falls_on_one_batch(make_loss: object, tmp_path: Path) -> None:
    torch.manual_seed(0)
    samples = read_collection(write_fracatlas(tmp_path / "fa", fractured=4, healthy=1), "all").samples
    data = FractureDataModule(
        samples, samples, image_size=96, crop_size=96, batch_size=4, samples_per_epoch=4, workers=0
    )
    batch = next(iter(data.train_dataloader()))
    network = build(YOLOV7_TINY, num_classes=1, width=0.25)
    module = FractureDetector(network, make_loss(network))  # type: ignore[operator]
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        total = module.loss(network(batch.images), batch.targets).total
        total.backward()
        optimiser.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_average_moves_towards_the_live_weights() -> None:
    network = build(YOLOV7_TINY, num_classes=1, width=0.25)
    module = FractureDetector(network, plain_loss(network))
    average = WeightAverage(decay=0.5, ramp=1e-6)
    average.on_train_batch_end(None, module, None, None, 0)  # type: ignore[arg-type]
    name = "model.0.conv.weight"
    before = network.state_dict()[name].clone()
    with torch.no_grad():
        network.state_dict()[name].add_(1.0)
    average.on_train_batch_end(None, module, None, None, 1)  # type: ignore[arg-type]
    assert average.average is not None
    torch.testing.assert_close(average.average[name], before + 0.5)
