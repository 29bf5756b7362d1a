"""The comparison's networks on a handful of synthetic shafts: same windows, one interface, one table, no repetition."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from imaging.engine import FractureEngine
from imaging.runtime import RuntimeName, load_runtime
from imaging.training import release
from imaging.training.baselines.fit import budgeted, fit, make_data, rate_factor, windows_of
from imaging.training.baselines.measure import compare, evenly, find_in, held_out
from imaging.training.baselines.networks import (
    BaselineName,
    PixelBoxGenerator,
    TorchvisionDetector,
    make_baseline,
    torchvision_targets,
)
from imaging.training.datamodule import Batch
from imaging.training.datasets import read_collection
from imaging.training.train import TrainingConfig
from tests.benchmarks import detectors
from tests.support.radiographs import write_fracatlas

TINY = budgeted(
    TrainingConfig(folds=3, development_fold=0, image_size=96, crop_size=64, batch_size=2, workers=0, epochs=2), 4
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("windows", "epochs", "per_epoch"), [(54_400, 34, 1600), (64, 4, 16), (100, 6, 16)])
def test_the_budget_is_never_exceeded(windows: int, epochs: int, per_epoch: int) -> None:
    config = budgeted(TrainingConfig(), windows)
    assert (config.epochs, config.samples_per_epoch) == (epochs, per_epoch)
    assert windows_of(config) <= windows


def test_a_budget_below_one_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="one batch"):
        budgeted(TrainingConfig(), 15)


def test_rate_rises_and_falls() -> None:
    factors = [rate_factor(step, 100) for step in range(101)]
    assert max(factors) == factors[5] == 1.0
    assert factors[0] == pytest.approx(0.2) and factors[100] == pytest.approx(0.02)


def test_every_network_sees_the_same_windows(tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa")).samples
    torch.manual_seed(1)
    first = next(iter(make_data(samples, TINY).train_dataloader()))
    torch.manual_seed(2)
    second = next(iter(make_data(samples, TINY).train_dataloader()))
    assert torch.equal(first.images, second.images) and torch.equal(first.targets, second.targets)


def test_targets_for_torchvision() -> None:
    batch = Batch(images=torch.zeros(2, 3, 64, 64), targets=torch.tensor([[1, 0, 0.5, 0.25, 0.25, 0.125]]))
    empty, one = torchvision_targets(batch)
    assert empty["boxes"].shape == (0, 4) and empty["labels"].shape == (0,)
    assert one["boxes"].tolist() == [[24.0, 12.0, 40.0, 20.0]] and one["labels"].tolist() == [1]


def test_default_boxes_keep_their_size_on_a_larger_canvas() -> None:
    boxes = PixelBoxGenerator((28.0, 48.0, 80.0))
    for side in (64, 128):
        shares = boxes._grid_default_boxes([[side // 16] * 2, [side // 32] * 2], [side, side])
        assert shares[0, 2].item() * side == pytest.approx(28.0)
        assert shares[-6, 2].item() * side == pytest.approx(48.0)


@pytest.mark.parametrize("name", [BaselineName.SSDLITE, BaselineName.FASTER_RCNN])
def test_torchvision_takes_windows_and_canvases_as_they_are(name: BaselineName) -> None:
    torch.manual_seed(0)
    detector = make_baseline(name, TINY).eval()
    assert isinstance(detector, TorchvisionDetector)
    with torch.inference_mode():
        images, _ = detector.network.transform([torch.rand(3, 96, 96)])
        assert images.tensors.shape == (1, 3, 96, 96)
        (found,) = detector.find(torch.rand(1, 3, 96, 96))
    assert found.shape[1] == 5 and len(found) <= 100
    assert (found[:, 4].diff() <= 0).all() and found[:, :4].min() >= 0 and found[:, :4].max() <= 96


def test_classifier_learns_to_tell_shafts_apart(tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa")).samples
    config = budgeted(TrainingConfig(batch_size=8, workers=0, epochs=2, average_decay=0.0, seed=1), 16)
    losses: list[str] = []
    torch.manual_seed(0)
    classifier = make_baseline(BaselineName.CLASSIFIER, config)
    before = [parameter.detach().clone() for parameter in classifier.parameters() if parameter.requires_grad]
    classifier = fit(classifier, make_data(samples, config, whole_images_px=64), config, report=losses.append)
    after = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    assert len(losses) == 2 and losses[1].startswith("epoch 2 of 2, 16 of 16 windows")
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    records = find_in(classifier, samples, size=64)
    assert all(len(record.scores) == 1 and not record.boxes_known for record in records)
    assert set(compare(records, rounds=5)) == {"image_auc"}


def test_evaluation_subset_keeps_the_share_of_fractures(tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa", fractured=4, healthy=12)).samples
    some = evenly(samples, 8)
    assert len({sample.image_id for sample in some}) == 8
    assert sum(sample.fractured for sample in some) == 2
    assert len(evenly(samples, None)) == 16


def test_only_a_record_that_held_the_images_out_at_every_stage_counts() -> None:
    config = TrainingConfig()
    stage = {"split": "train", "folds": 10, "development_fold": 7}
    first = {"config": stage, "start": "ImageNet"}
    assert held_out(first, config)
    assert held_out({"config": stage, "start": {"sha256": "0", "training": first}}, config)
    leaked = {"config": stage | {"development_fold": 3}, "start": "ImageNet"}
    assert not held_out({"config": stage, "start": {"sha256": "0", "training": leaked}}, config)
    both = [{"sha256": "0", "training": first}, {"sha256": "1", "training": first}]
    assert held_out({"config": stage, "start": {"members": both}}, config)
    assert not held_out({"config": stage, "start": {"members": [both[0], {"training": leaked}]}}, config)
    assert not held_out({"config": stage}, config)
    assert not held_out(None, config)


def test_whole_comparison_is_one_table_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_fracatlas(tmp_path / "fa", fractured=20, healthy=20)
    # Converting for OpenVINO and a thousand resamples take seconds, and are tested elsewhere.
    in_torch = partial(load_runtime, name=RuntimeName.TORCH)
    monkeypatch.setattr(detectors, "load_runtime", lambda manifest, _, threads: in_torch(manifest, threads=threads))
    monkeypatch.setattr(release, "measure", partial(release.measure, rounds=5))
    monkeypatch.setattr(release, "FractureEngine", SimpleNamespace(load=partial(FractureEngine.load, runtime="torch")))
    monkeypatch.setattr(detectors, "MODELS", tuple(name for name in detectors.MODELS if name != detectors.SHIPPED))
    flags = (
        f"--data {data} --out {tmp_path / 'out'} --json {tmp_path / 'table.json'} --budget-windows 4 --epochs 2 "
        "--batch-size 2 --image-size 96 --crop-size 64 --classifier-size 64 --precision 32-true --workers 0 "
        "--limit-evaluation 4 --rounds 5 --runs 1 --threads 1"
    ).split()
    detectors.main(flags)
    first = capsys.readouterr()
    document = json.loads((tmp_path / "table.json").read_text())
    assert [row["model"] for row in document["rows"]] == ["ours", *BaselineName]
    assert all(row["windows"] == 4 and row["parameters"] > 1e6 for row in document["rows"])
    assert all(np.isfinite(list(row["latency_ms"].values())).all() for row in document["rows"])
    assert set(document["rows"][0]["latency_ms"]) == {"torch", "openvino"}
    assert first.out.startswith("| model |") and "random weights" in first.out
    detectors.main(flags)
    again = capsys.readouterr()
    assert again.err.count("finished before") == 4 and "epoch" not in again.err
    repeated = json.loads((tmp_path / "table.json").read_text())
    for old, new in zip(document["rows"], repeated["rows"], strict=True):
        assert old["metrics"] == new["metrics"]
