"""One training loop for the baselines; how fast and how long is said by our detector's own configuration."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from imaging.training.baselines.networks import Baseline
from imaging.training.datamodule import Batch, FractureDataModule
from imaging.training.datasets import LabelledRadiograph
from imaging.training.reproducible import EpochSampler, seed_for
from imaging.training.train import TrainingConfig
from imaging.yolov7.efficientnet_lite import EfficientNetLite0

WARMUP_FRACTION = 0.05
FINAL_FRACTION = 0.02
GRADIENT_NORM = 10.0
AVERAGE_RAMP_STEPS = 400.0
"""These four are those of `FractureDetector`, its trainer and `WeightAverage`."""

Report = Callable[[str], None]


def budgeted(config: TrainingConfig, windows: int) -> TrainingConfig:
    """The configuration with just so many windows in all, in whole batches: one epoch at the least.

    Raises:
        ValueError: fewer windows than one batch.
    """
    if windows < config.batch_size:
        raise ValueError(f"a budget of {windows} windows does not fill one batch of {config.batch_size}")
    batches = windows // config.batch_size
    epochs = min(config.epochs, batches)
    return dataclasses.replace(config, epochs=epochs, samples_per_epoch=batches // epochs * config.batch_size)


def windows_of(config: TrainingConfig) -> int:
    """Windows that a training of this configuration sees; incomplete batches are left out."""
    return config.epochs * (config.samples_per_epoch // config.batch_size) * config.batch_size


def make_data(
    learn: Sequence[LabelledRadiograph], config: TrainingConfig, *, whole_images_px: int | None = None
) -> FractureDataModule:
    """The windows of a configuration; with `whole_images_px`, whole images on canvases of that side instead."""
    whole = whole_images_px is not None
    return FractureDataModule(
        learn,
        (),
        image_size=whole_images_px or config.image_size,
        crop_size=whole_images_px or config.crop_size,
        whole_images=whole or config.whole_images,
        batch_size=config.batch_size,
        samples_per_epoch=config.samples_per_epoch,
        positive_fraction=config.positive_fraction,
        workers=config.workers,
        seed=config.seed,
    )


def fit(baseline: Baseline, data: FractureDataModule, config: TrainingConfig, *, report: Report = print) -> Baseline:
    """Teach a baseline in float32, on CUDA where there is one.

    Args:
        baseline: changed in place.
        data: its training windows; see `make_data`.
        config: epochs, rates, weight decay, average and seed.
        report: receives one progress line per epoch.

    Returns:
        The moving average of its weights, in evaluation mode, on the CPU.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    baseline.to(device).train()
    loader = data.train_dataloader()
    sampler = loader.sampler
    optimiser = torch.optim.AdamW(_parameter_groups(baseline, config))
    total = config.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, total))
    average = AveragedModel(baseline, avg_fn=_moving(config.average_decay), use_buffers=True)
    start = time.monotonic()
    for epoch in range(config.epochs):
        if isinstance(sampler, EpochSampler):
            sampler.set_epoch(epoch)
        sum_of_losses = 0.0
        for number, batch in enumerate(loader):
            # Faster R-CNN draws the boxes it learns from, and dropout its channels: see `SeedEachBatch`.
            torch.manual_seed(seed_for(config.seed, epoch, number, 0, 1))
            loss = baseline.loss(Batch(images=batch.images.to(device), targets=batch.targets.to(device)))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(baseline.parameters(), GRADIENT_NORM)
            optimiser.step()
            schedule.step()
            average.update_parameters(baseline)
            sum_of_losses += loss.item()
        report(progress_line(epoch, config, sum_of_losses / max(1, len(loader)), time.monotonic() - start))
    # The average keeps its own copy; the caller gets it back in the module that it gave.
    baseline.load_state_dict(average.module.state_dict())
    return baseline.cpu().eval()


def progress_line(epoch: int, config: TrainingConfig, loss: float, elapsed_s: float) -> str:
    """Where a training stands after an epoch, counted from 0."""
    done, whole = epoch + 1, windows_of(config)
    left_s = elapsed_s / done * (config.epochs - done)
    return (
        f"epoch {done} of {config.epochs}, {whole * done // config.epochs:,} of {whole:,} windows, loss {loss:.3f}, "
        f"{elapsed_s:.0f} s, about {left_s:.0f} s to go"
    )


def rate_factor(step: int, total: int) -> float:
    """Learning rate as a share of its peak: a linear rise, then a cosine, as in `FractureDetector`."""
    warmup = max(1, int(total * WARMUP_FRACTION))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return FINAL_FRACTION + (1 - FINAL_FRACTION) * 0.5 * (1 + math.cos(math.pi * progress))


def _parameter_groups(baseline: Baseline, config: TrainingConfig) -> list[dict[str, object]]:
    """Kernels decay, biases and norms do not; a backbone from ImageNet learns more slowly."""
    backbone = {id(p) for m in baseline.modules() if isinstance(m, EfficientNetLite0) for p in m.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in baseline.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in backbone, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.backbone_learning_rate if in_backbone else config.learning_rate,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in groups.items()
    ]


def _moving(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """The moving average of `WeightAverage`, as torch's `AveragedModel` wants it."""

    def moved(averaged: Tensor, live: Tensor, updates: Tensor | int) -> Tensor:
        if not live.dtype.is_floating_point:
            return live
        now = decay * (1 - math.exp(-(float(updates) + 1) / AVERAGE_RAMP_STEPS))
        return torch.lerp(averaged, live, 1 - now)

    return moved
