"""One way to run a training: checkpoints after every epoch, a log that a resumption adds to, chance by (seed, step)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar

from imaging.training.module import WeightAverage
from imaging.training.reproducible import SeedEachBatch, log_version


def fit(
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    out: Path,
    *,
    average: WeightAverage,
    seed: int,
    resume: bool = False,
    progress: bool = True,
    further: Sequence[Callback] = (),
    **options: Any,
) -> pl.Trainer:
    """Train a module, from its last checkpoint if that is wanted and there.

    Args:
        module: what learns.
        data: what it learns from.
        out: folder; gets ``checkpoints/last.ckpt`` after every epoch, and ``log/metrics.csv``.
        average: the moving average of the weights.
        seed: of dropout and the like.
        resume: go on from the last checkpoint.
        progress: show a progress bar.
        further: callbacks beside these.
        options: of the Lightning Trainer.

    Returns:
        The trainer, when it is done.
    """
    checkpoints = out / "checkpoints"
    callbacks: list[Callback] = [
        average,
        SeedEachBatch(seed),
        *further,
        ModelCheckpoint(checkpoints, filename="epoch", save_last=True, every_n_epochs=1, save_on_train_epoch_end=True),
    ]
    if progress:
        callbacks.append(RichProgressBar())
    trainer = pl.Trainer(
        callbacks=callbacks,
        num_sanity_val_steps=0,
        gradient_clip_val=10.0,
        logger=pl.loggers.CSVLogger(str(out), name="log", version=log_version(out / "log")),
        # The sampler deals its draws to the ranks itself, so that they are the same list however many there are.
        use_distributed_sampler=False,
        enable_progress_bar=progress,
        enable_model_summary=False,
        **options,
    )
    last = checkpoints / "last.ckpt"
    trainer.fit(module, datamodule=data, ckpt_path=str(last) if resume and last.is_file() else None)
    return trainer
