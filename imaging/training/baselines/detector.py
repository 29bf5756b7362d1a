"""Our detector on the same budget as the baselines: from ImageNet, on windows alone, in one stage."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from imaging.manifest import DetectorManifest, read_manifest
from imaging.training.baselines.fit import make_data, progress_line
from imaging.training.datasets import Collection, LabelledRadiograph
from imaging.training.module import WeightAverage
from imaging.training.precision import resolve
from imaging.training.release import write_release
from imaging.training.reproducible import SeedEachBatch
from imaging.training.train import TrainingConfig, make_module

Report = Callable[[str], None]


class ProgressLine(Callback):
    """One line per epoch, for a terminal and a log file alike."""

    def __init__(self, config: TrainingConfig, report: Report) -> None:
        self.config = config
        self.report = report
        self._start = time.monotonic()
        self._losses: list[float] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss."""
        self._losses.append(float(outputs["loss"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell where the training stands."""
        loss = sum(self._losses) / max(1, len(self._losses))
        self._losses.clear()
        self.report(progress_line(trainer.current_epoch, self.config, loss, time.monotonic() - self._start))


def fit_detector(
    learn: Sequence[LabelledRadiograph],
    development: Sequence[LabelledRadiograph],
    config: TrainingConfig,
    out: Path,
    *,
    collection: Collection,
    report: Report = print,
) -> DetectorManifest:
    """Train as `imaging.training.train.run` does, but to the end of the budget: nothing stops it early.

    Stopping on the images that all are measured on would give our detector a look at them that the others do not get.

    Args:
        learn: radiographs to learn from.
        development: radiographs on which the release sets its operating points.
        config: settings.
        out: folder for weights and manifest.
        collection: what was read, for the manifest.
        report: receives one progress line per epoch.

    Returns:
        The manifest of the weights in `out`.
    """
    module = make_module(config)
    average = WeightAverage(config.average_decay)
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        precision=resolve(config.precision),  # type: ignore[arg-type]
        callbacks=[average, SeedEachBatch(config.seed), ProgressLine(config, report)],
        limit_val_batches=0,
        gradient_clip_val=10.0,
        logger=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, make_data(learn, config))
    if average.average is not None:
        module.network.load_state_dict(average.average)
    write_release(out, module, config, collection, development, report=lambda _: None)
    return read_manifest(out)
