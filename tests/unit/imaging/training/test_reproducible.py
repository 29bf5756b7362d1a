"""An interrupted training goes on along the same curve; draws, dropout and logs."""

from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from imaging.training.datamodule import FractureDataModule
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.module import FractureDetector, WeightAverage
from imaging.training.reproducible import (
    DropoutConv2d,
    EpochSampler,
    SeedEachBatch,
    add_head_dropout,
    check_devices,
    device_options,
    log_version,
    positive_share,
)
from imaging.training.splits import REST, plan_splits, shares_of, write_list
from imaging.training.train import TrainingConfig, learn_and_development
from imaging.yolov7 import build, fuse, plain_loss
from imaging.yolov7.graphs import YOLOV7_TINY
from tests.support.radiographs import write_fracatlas


class Losses(Callback):
    """Every training loss by step; can break off before an epoch, as a crash would."""

    def __init__(self, break_before: int | None = None) -> None:
        self.values: dict[int, float] = {}
        self.break_before = break_before

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.break_before:
            raise RuntimeError("power cut")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, *rest: object
    ) -> None:
        assert isinstance(outputs, dict)
        self.values[trainer.global_step] = float(outputs["loss"])


def fit(
    samples: tuple[LabelledRadiograph, ...],
    out: Path,
    losses: Losses,
    *,
    workers: int,
    resume: bool,
    validate_every: int,
) -> dict[str, torch.Tensor]:
    """A tiny training; returns the average of its weights."""
    pl.seed_everything(3, verbose=False)
    data = FractureDataModule(
        samples, samples[:2], image_size=64, crop_size=64, batch_size=2, samples_per_epoch=2, workers=workers, seed=11
    )
    network = add_head_dropout(build(YOLOV7_TINY, num_classes=1, width=0.25), 0.3)
    average = WeightAverage(0.9)
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        callbacks=[
            average,
            SeedEachBatch(11),
            ModelCheckpoint(out, save_last=True, every_n_epochs=1, save_on_train_epoch_end=True),
            losses,
        ],
        check_val_every_n_epoch=validate_every,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    module = FractureDetector(network, plain_loss(network), learning_rate=1e-3)
    trainer.fit(module, data, ckpt_path=str(out / "last.ckpt") if resume else None, weights_only=False)
    assert average.average is not None
    return average.average


@pytest.mark.parametrize("validate_every", [1, 9])
def test_resumed_training_follows_the_same_curve(tmp_path: Path, validate_every: int) -> None:
    """Without loader processes at first, with one after the power cut; with and without validations in between."""
    torch.set_num_threads(1)
    samples = read_collection(write_fracatlas(tmp_path / "fa", fractured=3, healthy=3), "all").samples
    straight = Losses()
    whole = fit(samples, tmp_path / "straight", straight, workers=0, resume=False, validate_every=validate_every)
    first, second = Losses(break_before=1), Losses()
    with pytest.raises(RuntimeError, match="power cut"):
        fit(samples, tmp_path / "broken", first, workers=0, resume=False, validate_every=validate_every)
    joined_up = fit(samples, tmp_path / "broken", second, workers=1, resume=True, validate_every=validate_every)
    assert sorted(first.values) == [1] and sorted(second.values) == [2, 3]
    joined = first.values | second.values
    assert [joined[step] for step in sorted(joined)] == pytest.approx(
        [straight.values[step] for step in sorted(straight.values)], rel=1e-5
    )
    for name, value in whole.items():
        torch.testing.assert_close(joined_up[name], value, rtol=1e-5, atol=1e-6)


def test_a_loader_waits_for_the_number_of_the_epoch(tmp_path: Path) -> None:
    """Made before `set_epoch`, as Lightning does, the iterator still gives the draws of the epoch that is set."""
    samples = read_collection(write_fracatlas(tmp_path / "fa", fractured=3, healthy=3), "all").samples
    for workers in (0, 1):
        loader = FractureDataModule(
            samples, (), image_size=64, crop_size=64, batch_size=2, samples_per_epoch=4, workers=workers, seed=1
        ).train_dataloader()
        assert isinstance(loader.sampler, EpochSampler)
        early = iter(loader)
        loader.sampler.set_epoch(3)
        images = [batch.images for batch in early]
        for one, other in zip(images, [batch.images for batch in loader], strict=True):
            assert torch.equal(one, other)
        loader.sampler.set_epoch(0)
        assert not torch.equal(next(iter(loader)).images, images[0])


def test_draws_depend_on_seed_and_epoch_and_are_dealt_to_ranks() -> None:
    sampler = EpochSampler([1.0, 0.0, 3.0], 40, seed=5)
    first = list(sampler)
    assert first == list(sampler) and {number for number, _ in first} == {0, 2}
    sampler.set_epoch(1)
    assert list(sampler) != first
    ranks = [list(EpochSampler([1.0, 0.0, 3.0], 40, seed=5, rank=rank, world_size=2)) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1]) == 20
    assert [draw for pair in zip(*ranks, strict=True) for draw in pair] == first


def test_dropout_keeps_names_and_is_off_in_use() -> None:
    network = build(YOLOV7_TINY, num_classes=1, width=0.25)
    names = list(network.state_dict())
    images = torch.rand(1, 3, 64, 64)
    plain = network.eval()(images)
    add_head_dropout(network, 0.5)
    assert list(network.state_dict()) == names
    for one, other in zip(plain, network.eval()(images), strict=True):
        assert torch.equal(one, other)
    fused = fuse(network)(images)
    for one, other in zip(plain, fused, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    head = network.head.train()
    features = [torch.rand(1, layer.in_channels, 2, 2) for layer in head.m if isinstance(layer, DropoutConv2d)]
    assert not torch.equal(head(features)[0], head(features)[0])
    with pytest.raises(ValueError, match="dropout"):
        add_head_dropout(network, 1.0)


def test_sampling_choices(tmp_path: Path) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa", fractured=2, healthy=6), "all").samples
    assert positive_share("balanced", samples, 0.5) == 0.5
    assert positive_share("natural", samples, 0.5) == 0.25
    with pytest.raises(ValueError, match="smote"):
        positive_share("smote", samples, 0.5)


def test_words_of_the_command_line() -> None:
    assert device_options(None, None) == {}
    assert device_options("2", "ddp", "gpu") == {"devices": 2, "strategy": "ddp", "accelerator": "gpu"}
    assert device_options("0,1", None) == {"devices": "0,1"}
    assert device_options("-1", None) == {"devices": -1}


@pytest.mark.parametrize("devices", ["abc", "0", "", "-2", "1 2", "1.5"])
def test_no_devices(devices: str) -> None:
    with pytest.raises(TrainingDataError, match="--devices cannot be") as caught:
        device_options(devices, None)
    assert "0,1" in caught.value.remedy


def test_options_that_this_machine_cannot_serve() -> None:
    check_devices({})
    check_devices({"devices": 1, "accelerator": "cpu"})
    for options in ({"devices": "0,1", "accelerator": "cpu"}, {"strategy": "together"}):
        with pytest.raises(TrainingDataError, match="cannot train with --"):
            check_devices(options)


def test_a_resumed_log_keeps_the_earlier_part(tmp_path: Path) -> None:
    assert log_version(tmp_path) == ""
    (tmp_path / "metrics.csv").write_text("step\n")
    assert log_version(tmp_path) == "part2"
    (tmp_path / "part2").mkdir()
    assert log_version(tmp_path) == "part3"


def test_split_lists_in_the_configuration(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa")
    samples = read_collection(data).samples
    folds = plan_splits(samples, shares_of("kfold", 4), seed=0)
    config = TrainingConfig(
        split_list=str(write_list(tmp_path / "folds.csv", samples, folds)), split=REST, development_split="fold1"
    )
    _, learn, development = learn_and_development(data, config, report=lambda _: None)
    assert {folds[sample.image_id] for sample in development} == {"fold1"}
    assert {folds[sample.image_id] for sample in learn} == {"fold0", "fold2", "fold3"}
    named = replace(config, split="fold0")
    assert {folds[sample.image_id] for sample in learn_and_development(data, named, report=lambda _: None)[1]} == {
        "fold0"
    }
    with pytest.raises(TrainingDataError, match="both learnt from and held out"):
        learn_and_development(data, replace(config, split="fold1"), report=lambda _: None)
    with pytest.raises(TrainingDataError, match="no split 'val'"):
        learn_and_development(data, replace(config, development_split="val"), report=lambda _: None)
