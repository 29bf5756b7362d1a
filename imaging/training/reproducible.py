"""Chance that depends on (seed, epoch, draw) alone, so that an interrupted training goes on along the same curve.

Class imbalance and what to do about it
---------------------------------------
One radiograph in six shows a fracture. ``sampling: balanced`` draws images with replacement until a share
`positive_fraction` of an epoch is fractured; augmentation makes each draw a different picture. This is the default: the
detector's loss is summed over anchors, of which even in a fractured radiograph fewer than one in a thousand lies on a
fracture, so that weighting classes in the loss would not change what the images show. ``sampling: natural`` keeps the
share of the data: slower to learn, better calibrated from the start. Class weights belong in the heads that name one
class per radiograph, where the loss has a term per class. SMOTE mixes neighbours of a rare class: of pooled feature
vectors that is a sensible cloud of points; of pixels it is a double exposure that no limb ever gave, so it is not
offered for radiographs.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import tv_tensors

from imaging.training.datasets import LabelledRadiograph, Target
from imaging.training.errors import TrainingDataError
from imaging.yolov7.network import Yolov7


class Windows(Protocol):
    """A data set of windows that can be counted."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, Target]: ...


class Sampling(StrEnum):
    """Which images an epoch is made of."""

    BALANCED = "balanced"
    """Drawn with replacement, a fixed share fractured."""
    NATURAL = "natural"
    """Drawn with replacement, each image alike."""


def positive_share(sampling: Sampling | str, samples: Sequence[LabelledRadiograph], positive_fraction: float) -> float:
    """Share of fractured images in an epoch, 0..1."""
    if Sampling(sampling) is Sampling.BALANCED:
        return positive_fraction
    usable = [sample for sample in samples if sample.boxes_known]
    return sum(sample.fractured for sample in usable) / max(1, len(usable))


def seed_for(*parts: int) -> int:
    """A seed in 0..2^63 - 1 from several numbers; neighbouring numbers give unrelated seeds."""
    high, low = (int(word) for word in np.random.SeedSequence(parts).generate_state(2, np.uint32))
    return (high << 31) ^ low


class EpochSampler(Sampler[tuple[int, int]]):
    """Weighted draws with replacement, fixed by (seed, epoch); every draw carries a seed for its own augmentation.

    Lightning calls `set_epoch` before each epoch, after a resumption as well; `DrawnWhenAsked` is the loader that
    waits for it. With several devices each rank takes every `world_size`-th draw of the same list.

    Args:
        weights: chance of each image, in any unit.
        count: draws per epoch, over all ranks.
        seed: of the whole training.
        rank: number of this process.
        world_size: number of processes.
    """

    def __init__(self, weights: Sequence[float], count: int, *, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.weights = torch.as_tensor(weights, dtype=torch.float64)
        self.count = count
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(image number, seed of the draw)."""
        generator = torch.Generator().manual_seed(seed_for(self.seed, self.epoch))
        chosen = torch.multinomial(self.weights, self.count, replacement=True, generator=generator).tolist()
        # A list and not a generator: the epoch that counts is the one set before iteration begins.
        places = range(self.rank, self.rank + len(self) * self.world_size, self.world_size)
        return iter([(chosen[place], seed_for(self.seed, self.epoch, place)) for place in places])


class DrawnWhenAsked(DataLoader[Any]):
    """A loader that begins an epoch when its first batch is asked for, not when its iterator is made.

    Lightning makes the first iterator of a training before it reads the number of the epoch from the checkpoint and
    before `EpochSampler.set_epoch`; loader processes are given their first draws at that moment. A resumed training
    would begin with the draws of the first epoch once more.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches of the epoch that is set when the first of them is asked for."""
        yield from super().__iter__()


class SeededDraws(Dataset[tuple[tv_tensors.Image, Target]]):
    """A data set whose items are asked for as (number, seed): the transforms' chance comes from that seed alone.

    So it makes no difference how many loader processes there are, nor how long they have lived.
    """

    def __init__(self, inner: Windows) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[tv_tensors.Image, Target]:
        """The item `draw[0]`, with torch's generator seeded by `draw[1]` while it is made."""
        number, seed = draw
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.inner[number]


class SeedEachBatch(Callback):
    """Seeds torch before every training batch: dropout and the like depend on (seed, epoch, batch, rank) alone.

    Per batch and not per epoch, because how much chance the loaders use up in between is not the same after a
    resumption.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Called by Lightning."""
        torch.manual_seed(seed_for(self.seed, trainer.current_epoch, batch_idx, trainer.global_rank, 1))


class DropoutConv2d(nn.Conv2d):
    """A 1 x 1 convolution that drops whole input channels while training; its weights are named like a plain one's."""

    def __init__(self, plain: nn.Conv2d, probability: float) -> None:
        super().__init__(plain.in_channels, plain.out_channels, 1)
        self.weight, self.bias = plain.weight, plain.bias
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Like `torch.nn.Conv2d`; in evaluation mode exactly so."""
        return super().forward(functional.dropout2d(x, self.probability, self.training))


def add_head_dropout(network: Yolov7, probability: float) -> Yolov7:
    """Drop channels of the features before each of the head's convolutions (SpatialDropout, arXiv 1411.4280).

    Weights and their names stay as they are, so that checkpoints fit with and without it.

    Args:
        network: changed in place.
        probability: share of channels dropped, 0..1; 0 changes nothing.

    Returns:
        The same network.
    """
    if not 0.0 <= probability < 1.0:
        raise ValueError(f"dropout must lie in 0..1, got {probability}")
    if probability > 0:
        plain = [layer for layer in network.head.m if isinstance(layer, nn.Conv2d)]
        network.head.m = nn.ModuleList(DropoutConv2d(layer, probability) for layer in plain)
    return network


def device_options(devices: str | None, strategy: str | None, accelerator: str | None = None) -> dict[str, Any]:
    """Options of the Lightning Trainer from the words of the command line; what is None is left to Lightning.

    Args:
        devices: a number of devices, a list of their numbers (``0,1``), or ``auto``.
        strategy: for instance ``ddp``.
        accelerator: for instance ``gpu``.

    Raises:
        TrainingDataError: no such devices or strategy, as far as the words tell; see `check_devices`.
    """
    options: dict[str, Any] = {}
    if devices is not None:
        if not re.fullmatch(r"-1|[1-9]\d*|\d+(,\d+)+|\d+,|auto", devices):
            raise TrainingDataError(
                f"--devices cannot be {devices!r}",
                "give how many devices (2), which of them by number (0,1), -1 for all, or auto",
            )
        options["devices"] = int(devices) if devices.lstrip("-").isdigit() else devices
    if strategy is not None:
        options["strategy"] = strategy
    if accelerator is not None:
        options["accelerator"] = accelerator
    return options


def check_devices(options: Mapping[str, Any]) -> None:
    """Refuse options of the Lightning Trainer that this machine cannot serve, before anything is read.

    Raises:
        TrainingDataError: it has not these devices, or does not know the strategy.
    """
    if not {"devices", "strategy", "accelerator"} & set(options):
        return
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the Trainer that trains says the same
    try:
        pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, **options)
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        raise TrainingDataError(
            f"this machine cannot train with {', '.join(f'--{name} {value}' for name, value in options.items())}: "
            f"{str(error).splitlines()[0].rstrip('.')}",
            "leave --devices and --strategy out to use what is there, or give what this machine has",
        ) from error
    finally:
        logger.setLevel(level)


def log_version(folder: Path) -> str:
    """Name for the next part of a training's log: a resumed run must not overwrite the curve of the part before.

    Returns:
        ``""`` for the first part (``metrics.csv`` lies in `folder` itself), then ``part2``, ``part3`` ...
    """
    if not (folder / "metrics.csv").exists():
        return ""
    number = 2
    while (folder / f"part{number}").exists():
        number += 1
    return f"part{number}"
