"""`train_bone_age`: cross-validated networks, their measured error, and the weights that ship.

The networks of the folds are what ships: each hand was then unseen by one of them, so the error and the interval come
from exactly these networks, and the mean of all of them, which answers in use, errs no more than each alone.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytorch_lightning as pl
import torch
import yaml
from numpy.typing import NDArray
from pytorch_lightning.callbacks import ModelCheckpoint

from imaging.bone_age.data import Hands, folds_of, read_hands
from imaging.bone_age.ensemble import Ensemble
from imaging.bone_age.module import BoneAgeRegressor, HandsModule
from imaging.bone_age.network import BoneAgeNetwork, Graph, LiteFeatures
from imaging.manifest import read_manifest
from imaging.training.errors import TrainingDataError
from imaging.training.memory import keep_freed_memory
from imaging.training.precision import AUTO, resolve
from imaging.training.reproducible import SeedEachBatch
from imaging.training.train import imagenet_state
from imaging.yolov7.checkpoint import load_weights
from imaging.yolov7.efficientnet_lite import EfficientNetLite0, fold_imagenet_state
from imaging.yolov7.network import build

OUT_OF_FOLD: Final = "out_of_fold.npz"
NETWORK_NAME: Final = "network.pt"
CONFIG_NAME: Final = "config.json"
RUN_NAME: Final = "run.json"
"""What a training folder is for: configuration, digest of the hands, what the networks began with."""


class Start(StrEnum):
    """What a ``lite0`` backbone begins with."""

    DETECTOR = "detector"
    IMAGENET = "imagenet"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneAgeConfig:
    """Everything that a training of the bone-age networks depends on, beside the data."""

    folds: int = 3
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    dropout: float = 0.2
    hidden_sex: float = 0.1
    graph: str = "lite0"
    """``lite0`` or ``residual``; see `imaging.bone_age.network`."""
    start: str = "imagenet"
    """What a ``lite0`` backbone begins with: the shipped fracture ``detector``, ``imagenet``, or ``nothing``."""
    frozen_blocks: int = 3
    """Of a ``lite0`` backbone that does not begin with nothing; its 5x5 depthwise kernels stay fixed too."""
    width: float = 1.0
    """Factor of the channels of ``residual``."""
    zoom: float = 1.0
    """Factor by which the network enlarges the pictures first, 1 to 4."""
    augmentation: float = 1.0
    """Factor of how far pictures are turned, scaled, shifted and exposed otherwise while learning, 0 to 3."""
    limit: int | None = None
    """Hands used; None for all."""
    seed: int = 20261122
    precision: str = AUTO
    """Lightning's word, or ``auto``: bfloat16 where the machine has it."""


def read_config(path: Path | None) -> BoneAgeConfig:
    """A YAML file of the fields of `BoneAgeConfig`; the defaults without one.

    Raises:
        TrainingDataError: the file cannot be read, or names an unknown field.
    """
    if path is None:
        return BoneAgeConfig()
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise TrainingDataError(
            "The training configuration cannot be read", remedy="Give a YAML file of name: value lines"
        ) from error
    known = {field.name for field in fields(BoneAgeConfig)}
    unknown = sorted(set(given) - known) if isinstance(given, dict) else ["(no mapping)"]
    if unknown:
        raise TrainingDataError(
            f"The configuration names {', '.join(map(str, unknown))}, which does not exist",
            remedy=f"Use {', '.join(sorted(known))}",
        )
    config = BoneAgeConfig(**given)
    if wrong := _wrong_values(config):
        raise TrainingDataError(
            f"The configuration gives {', '.join(wrong)} a value that it cannot have",
            remedy="Give numbers above 0; folds from 2 on; zoom from 1 to 4; augmentation from 0 to 3; dropout and "
            "hidden_sex from 0 to below 1",
        )
    return config


def _wrong_values(config: BoneAgeConfig) -> list[str]:
    """Names of fields whose type or range does not fit."""
    least = {"folds": 2, "epochs": 1, "batch_size": 1, "seed": 0, "frozen_blocks": 0} | (
        {} if config.limit is None else {"limit": 1}
    )
    wrong = [name for name, low in least.items() if not _whole(getattr(config, name)) or getattr(config, name) < low]
    for name, zero_allowed in (("learning_rate", False), ("weight_decay", True), ("width", False)):
        value = getattr(config, name)
        if not _number(value) or value < 0 or (value == 0 and not zero_allowed):
            wrong.append(name)
    shares = (("dropout", config.dropout), ("hidden_sex", config.hidden_sex))
    wrong += [name for name, value in shares if not _number(value) or not 0 <= value < 1]
    if not _number(config.zoom) or not 1 <= config.zoom <= 4:
        wrong.append("zoom")
    if not _number(config.augmentation) or not 0 <= config.augmentation <= 3:
        wrong.append("augmentation")
    choices = (("graph", [*Graph]), ("start", [*Start]))
    wrong += [name for name, allowed in choices if getattr(config, name) not in allowed]
    return wrong + ([] if isinstance(config.precision, str) else ["precision"])


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def make_network(config: BoneAgeConfig, *, started: bool) -> BoneAgeNetwork:
    """The configured network.

    Args:
        config: what to make.
        started: whether a ``lite0`` backbone is to hold the weights that learning begins with.

    Raises:
        TrainingDataError: the ImageNet weights are not installed.
        ModelFilesError: the shipped detector cannot be read.
    """
    network = BoneAgeNetwork(config.graph, dropout=config.dropout, width=config.width, zoom=config.zoom)
    if started and isinstance(network.features, LiteFeatures) and config.start != Start.NOTHING:
        backbone = network.features.backbone
        if config.start == Start.IMAGENET:
            backbone.load_state_dict(fold_imagenet_state(imagenet_state()))
        else:
            manifest = read_manifest()
            detector = build(manifest.graph, num_classes=1)
            detector.load_state_dict(load_weights(manifest.weights, sha256=manifest.sha256)[0])
            trained = next(module for module in detector.modules() if isinstance(module, EfficientNetLite0))
            backbone.load_state_dict(trained.state_dict())
        backbone.freeze_slow_parts(config.frozen_blocks)
    return network


def start_of(config: BoneAgeConfig) -> str:
    """What learning begins with, for the manifest: the detector's digest, for instance."""
    if config.graph != Graph.LITE0 or config.start == Start.NOTHING:
        return "random weights"
    if config.start == Start.IMAGENET:
        return "ImageNet weights of EfficientNet-Lite0 (Apache-2.0)"
    return f"backbone of the fracture detector {read_manifest().model_id}"


def train_folds(
    data: Path,
    config: BoneAgeConfig,
    *,
    out: Path,
    resume: bool = False,
    fold: int | None = None,
    continue_from: Path | None = None,
    report: Callable[[str], None] = print,
) -> Hands:
    """Train one network a fold and write each fold's answers for the hands it had not seen.

    Args:
        data: folder of Parquet files; see `imaging.bone_age.data`.
        config: what to do.
        out: folder for ``fold-N/`` with checkpoints, weights and out-of-fold answers.
        resume: go on from what is there; a finished fold is kept.
        fold: train this one only, so that several machines or processes can share the folds of one folder.
        continue_from: folder of an earlier training whose networks are begun with. It had the same folds, or a
            whole part of as many: fold 4 of 9 then goes on from fold 1 of 3, which left out the same hands and more.
        report: told about progress.

    Returns:
        The hands, in the order of the answers.

    Raises:
        TrainingDataError: the data cannot be used, or `out` holds an earlier training that is not to be resumed or had
            another configuration or other hands.
    """
    keep_freed_memory()
    hands = read_hands(data, limit=config.limit)
    for line in hands.left_out:
        report(f"left out: {line}")
    parts = folds_of(hands.ids, config.folds)
    if fold is not None and not 0 <= fold < config.folds:
        raise TrainingDataError("There is no such fold", remedy=f"Give a fold from 0 to {config.folds - 1}")
    if len(set(parts.tolist())) < config.folds:
        raise TrainingDataError(
            "There are too few hands for so many folds", remedy="Give more hands, or fewer folds in the configuration"
        )
    plan = {"config": asdict(config), "data_sha256": hands.sha256, "start": start_of(config)}
    folds_before = config.folds
    if continue_from is not None:
        plan["start"], folds_before = _continued(continue_from, config, hands.sha256)
    _claim(out, plan, resume=resume or fold is not None)
    for number in range(config.folds) if fold is None else (fold,):
        folder = out / f"fold-{number}"
        if resume and (folder / OUT_OF_FOLD).is_file():
            report(f"fold {number}: already there")
            continue
        before = None if continue_from is None else continue_from / f"fold-{number % folds_before}" / NETWORK_NAME
        _train_fold(hands, parts == number, config, folder, number, resume, before)
        errors = np.load(folder / OUT_OF_FOLD)
        report(
            f"fold {number}: {np.abs(errors['months'] - hands.months[parts == number]).mean():.2f} months mean "
            f"absolute error on {int((parts == number).sum())} unseen hands"
        )
    return hands


def _continued(folder: Path, config: BoneAgeConfig, data_sha256: str) -> tuple[str, int]:
    """What an earlier training began with and did, in words, and its folds; they must leave out all of ours.

    Raises:
        TrainingDataError: it is no training, or of other hands, folds or networks.
    """
    try:
        before = json.loads((folder / RUN_NAME).read_text(encoding="utf-8"))
        known = {field.name: before["config"].get(field.name, field.default) for field in fields(BoneAgeConfig)}
        earlier = BoneAgeConfig(**known)
        same = before["data_sha256"] == data_sha256
        start = str(before["start"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingDataError(
            "The training to be continued from cannot be read", remedy=f"Give the folder that holds its {RUN_NAME}"
        ) from error
    shape = ("limit", "graph", "width")
    # A hand's fold is its digest modulo the folds: fold k of 9 lies within fold k % 3 of 3.
    nested = config.folds % earlier.folds == 0
    if not same or not nested or any(getattr(earlier, name) != getattr(config, name) for name in shape):
        raise TrainingDataError(
            "The training to be continued from had other hands, folds or networks",
            remedy="Give one with the same data, limit, graph and width, and folds that divide the new number",
        )
    which = "the same folds" if config.folds == earlier.folds else f"{earlier.folds} folds"
    words = f"networks of {which} after {earlier.epochs} epochs at zoom {earlier.zoom:g}, begun with: {start}"
    return words, earlier.folds


def _claim(out: Path, plan: dict[str, Any], *, resume: bool) -> None:
    """Note what is trained in `out`; mixing it with an earlier training is refused."""
    path = out / RUN_NAME
    if not resume and any(out.glob("fold-*")):
        raise TrainingDataError(
            "The output folder holds an earlier training", remedy="Give --resume to go on with it, or another folder"
        )
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != plan:
        raise TrainingDataError(
            "The training to be resumed had another configuration or other hands",
            remedy="Give the configuration and the data it began with, or another folder",
        )
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan, indent=1), encoding="utf-8")


def _train_fold(
    hands: Hands,
    unseen: NDArray[np.bool_],
    config: BoneAgeConfig,
    folder: Path,
    number: int,
    resume: bool,
    before: Path | None,
) -> None:
    seed = config.seed + number
    pl.seed_everything(seed, workers=True, verbose=False)
    network = make_network(config, started=before is None)
    if before is not None:
        network.load_state_dict(_state(before))
        if isinstance(network.features, LiteFeatures):
            network.features.backbone.freeze_slow_parts(config.frozen_blocks)
    module = BoneAgeRegressor(
        network,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        hidden_sex=config.hidden_sex,
        seed=seed,
        augmentation=config.augmentation,
    )
    checkpoints = folder / "checkpoints"
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        precision=resolve(config.precision),  # type: ignore[arg-type]
        callbacks=[SeedEachBatch(seed), _last_checkpoint(checkpoints)],
        gradient_clip_val=5.0,
        logger=pl.loggers.CSVLogger(str(folder), name="log", version=0),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = checkpoints / "last.ckpt"
    trainer.fit(
        module,
        HandsModule(hands.take(~unseen), batch_size=config.batch_size, seed=seed),
        ckpt_path=str(last) if resume and last.is_file() else None,
    )
    network = module.network.float().cpu()
    held_out = hands.take(unseen)
    answers: dict[str, Any] = {}
    sexes = (torch.from_numpy(held_out.sex), torch.zeros(len(held_out)))
    told = Ensemble([network]).answers(torch.from_numpy(held_out.pictures), sexes)
    for name, (months, scales) in zip(("", "_without_sex"), told, strict=True):
        answers |= {f"months{name}": months.numpy(), f"scale{name}": scales.numpy()}
    torch.save(network.state_dict(), folder / NETWORK_NAME)
    (folder / CONFIG_NAME).write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    # Last and at once: this file says that the fold is finished.
    partial = folder / f"partial-{OUT_OF_FOLD}"
    np.savez(partial, ids=held_out.ids, **answers)
    partial.replace(folder / OUT_OF_FOLD)


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a network that an earlier training left."""
    try:
        state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise TrainingDataError(
            "A fold of the training to be continued from is not finished", remedy="Finish that training first"
        ) from error
    return state


def _last_checkpoint(folder: Path) -> ModelCheckpoint:
    """Keeps the newest epoch as ``last.ckpt``, also of a resumed training.

    Not by ``save_last``: with no best epoch to keep, Lightning then writes nothing at all.
    """
    return ModelCheckpoint(dirpath=folder, filename="last", save_top_k=1, enable_version_counter=False)


def run(
    data: Path,
    out: Path,
    *,
    config: BoneAgeConfig,
    resume: bool = False,
    fold: int | None = None,
    continue_from: Path | None = None,
    command: str = "",
    report: Callable[[str], None] = print,
) -> Path:
    """Train every fold and write the release beside them: what ``cds train bone-age`` does.

    Args:
        data: folder of Parquet files; see `imaging.bone_age.data`.
        out: folder for folds, weights and manifest.
        config: what to do.
        resume: go on from what is there.
        fold: train this one only.
        continue_from: folder of an earlier training whose networks are begun with.
        command: for the manifest.
        report: told about progress.

    Raises:
        TrainingDataError: as `train_folds`.
    """
    from imaging.bone_age.release import release  # which reads this module's names

    train_folds(data, config, out=out, resume=resume, fold=fold, continue_from=continue_from, report=report)
    return release(out, data, out, command=command, report=report)
