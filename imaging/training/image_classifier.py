"""Training of the image classifier: fracture or none, from whole radiographs, beside a finished detector."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional

from imaging.manifest import CLASSIFIER_KEY, MANIFEST_NAME, read_manifest
from imaging.training.datamodule import Batch, FractureDataModule
from imaging.training.datasets import Collection, LabelledRadiograph
from imaging.training.errors import TrainingDataError
from imaging.training.fitting import fit
from imaging.training.memory import keep_freed_memory
from imaging.training.module import WeightAverage, with_cosine
from imaging.training.precision import PRECISIONS, resolve
from imaging.training.pretraining import hand_backbone, words_for
from imaging.training.release import CLASSIFIER_NAME, recorded_config, set_operation, write_document
from imaging.training.settings import (
    Count,
    NotNegative,
    OneOf,
    Positive,
    Seed,
    ShareAboveZero,
    ShareBelowOne,
    Whole,
    read_settings,
)
from imaging.training.stale_heads import drop_stale_heads
from imaging.training.train import check_epoch, check_trainable, imagenet_state, learn_and_development
from imaging.yolov7.checkpoint import save_weights
from imaging.yolov7.efficientnet_lite import EfficientNetLite0, fold_imagenet_state
from imaging.yolov7.image_classifier import ImageClassifier

SCORE_FLOOR = 0.0001
"""Boxes of a radiograph that looks healthy keep low scores instead of none, so that radiographs can still be ranked."""
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig:
    """Settings of one training; what is held out is said by the detector's manifest."""

    epochs: Count = 20
    samples_per_epoch: Count = 1600
    batch_size: Count = 16
    positive_fraction: ShareAboveZero = 0.5
    """Share of fractured radiographs among those it learns from, 0..1."""
    learning_rate: Positive = 1e-3
    backbone_learning_rate: NotNegative = 3e-4
    weight_decay: NotNegative = 0.005
    frozen_blocks: Whole = 3
    backbone_from: str | None = None
    """Folder of skeletal age networks (`cds train bone-age`) whose backbone it starts from; else ImageNet's."""
    average_decay: ShareBelowOne = 0.9985
    weight: NotNegative = 0.75
    """Factor on the log odds that lower the detector's; at least 0."""
    seed: Seed = 20261121
    workers: Whole = 1
    precision: Annotated[str, OneOf(PRECISIONS)] = "auto"

    @classmethod
    def read(cls, path: Path) -> Self:
        """A YAML mapping of these fields.

        Raises:
            TrainingDataError: no YAML, an unknown setting, or a value that it cannot have.
        """
        config = read_settings(path, cls)
        check_epoch(path.name, config.samples_per_epoch, config.batch_size)
        return config


class ClassifierTraining(pl.LightningModule):
    """Binary cross entropy, AdamW and a cosine, as for the detector.

    Args:
        network: the classifier, changed in place.
        config: its rates.
    """

    WARMUP_FRACTION = 0.05
    FINAL_FRACTION = 0.02

    def __init__(self, network: ImageClassifier, config: ClassifierConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """See `fracture_loss`."""
        odds = self.network(batch.images.contiguous(memory_format=torch.channels_last))
        loss = fracture_loss(odds.float(), batch)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch.images))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Kernels decay, biases do not; the backbone learns more slowly."""
        optimiser = torch.optim.AdamW(self._parameter_groups())
        total = int(self.trainer.estimated_stepping_batches)
        return with_cosine(optimiser, total, warmup_fraction=self.WARMUP_FRACTION, final_fraction=self.FINAL_FRACTION)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        config, groups = self.config, []
        for part, rate in (
            (self.network.backbone, config.backbone_learning_rate),
            (self.network.head, config.learning_rate),
        ):
            for decays in (True, False):
                chosen: list[nn.Parameter] = [
                    one for one in part.parameters() if one.requires_grad and (one.ndim > 1) is decays
                ]
                groups.append({"params": chosen, "lr": rate, "weight_decay": config.weight_decay if decays else 0.0})
        return groups


def fracture_loss(odds: Tensor, batch: Batch) -> Tensor:
    """Binary cross entropy of log odds [B]; an image is positive when a fracture's box is left in it."""
    wanted = torch.zeros_like(odds)
    wanted[batch.targets[:, 0].long()] = 1.0
    return functional.binary_cross_entropy_with_logits(odds, wanted)


def run(
    data: Path,
    model: Path,
    out: Path,
    *,
    config: ClassifierConfig | None = None,
    resume: bool = False,
    progress: bool = True,
    report: Report = print,
    trainer_options: dict[str, Any] | None = None,
) -> Path:
    """Teach a classifier what the detector learned from, and put it beside the detector.

    Args:
        data: the data set the detector was trained on.
        model: folder of the detector; its manifest says which radiographs were held out. It gets the classifier's
            weights, the entry for them, and operating points and a calibration set anew with both; attribute heads that
            read an earlier classifier are removed.
        out: folder for checkpoints and the log.
        config: settings.
        resume: go on from ``out/checkpoints/last.ckpt`` when it is there.
        progress: show a progress bar.
        report: receives one line per problem in the data and per stage.
        trainer_options: further options of the Lightning Trainer.

    Returns:
        The folder `model`.

    Raises:
        TrainingDataError: the data cannot be used, the folder holds a pair, or the manifest names no split.
        ModelFilesError: the folder holds no detector that can be used.
    """
    config = config or ClassifierConfig()
    manifest = read_manifest(model)
    if manifest.companion is not None:
        raise TrainingDataError("a pair takes the image classifier of its first detector", "name that one's folder")
    keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    collection, learn, _ = learn_and_development(data, recorded_config(manifest.document), report=report)
    check_trainable(learn)
    report(f"{len(learn)} radiographs to learn from")
    module = ClassifierTraining(ImageClassifier(_backbone(config), weight=config.weight), config)
    average = WeightAverage(config.average_decay)
    data_module = _data(learn, manifest.image_size, config)
    trainer = fit(
        module,
        data_module,
        out,
        average=average,
        seed=config.seed,
        resume=resume,
        progress=progress,
        max_epochs=config.epochs,
        precision=resolve(config.precision),
        limit_val_batches=0,
        **(trainer_options or {}),
    )
    if average.average is not None:
        module.network.load_state_dict(average.average)
    if not trainer.is_global_zero:
        return model
    attach(model, module.network, config, collection, len(learn))
    drop_stale_heads(model, report)
    return set_operation(model, data, report=report)


def attach(
    model: Path, network: ImageClassifier, config: ClassifierConfig, collection: Collection, learned_from: int
) -> None:
    """Write the classifier's weights into a detector's folder and name them in its manifest."""
    digest = save_weights(model / CLASSIFIER_NAME, network.state_dict(), {"graph": "efficientnet-lite0-classifier"})
    document = json.loads((model / MANIFEST_NAME).read_text(encoding="utf-8"))
    document[CLASSIFIER_KEY] = {
        "weights": CLASSIFIER_NAME,
        "sha256": digest,
        "weight": config.weight,
        "training": {
            "command": f"cds train image-classifier --data {shlex.quote(collection.name)} --model MODEL --out OUT",
            "config": asdict(config),
            "start": words_for(Path(config.backbone_from))
            if config.backbone_from
            else "ImageNet weights of EfficientNet-Lite0 (Apache-2.0) in the backbone, the rest random",
            "torch": torch.__version__.split("+")[0],
            "data": {"name": collection.name, "n": learned_from, "sha256": collection.digest()},
        },
    }
    document["suppression"]["score_floor"] = SCORE_FLOOR
    write_document(model, document)


def _backbone(config: ClassifierConfig) -> EfficientNetLite0:
    backbone = EfficientNetLite0()
    hands = config.backbone_from
    backbone.load_state_dict(hand_backbone(Path(hands)) if hands else fold_imagenet_state(imagenet_state()))
    backbone.freeze_slow_parts(config.frozen_blocks)
    return backbone


def _data(learn: Sequence[LabelledRadiograph], side: int, config: ClassifierConfig) -> FractureDataModule:
    return FractureDataModule(
        learn,
        (),
        image_size=side,
        crop_size=side,
        whole_images=True,
        batch_size=config.batch_size,
        samples_per_epoch=config.samples_per_epoch,
        positive_fraction=config.positive_fraction,
        workers=config.workers,
        seed=config.seed,
    )
