"""Samples to batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from imaging.training.augment import training_transform
from imaging.training.compose import ComposedWindows
from imaging.training.datasets import LabelledRadiograph, RadiographDataset, Target
from imaging.training.reproducible import DrawnWhenAsked, EpochSampler, SeededDraws, Windows
from imaging.yolov7.postprocess import LetterboxTransform, letterbox


@dataclass(frozen=True, slots=True)
class Batch:
    """Images [B, 3, S, S] in 0..1 and targets [T, 6] (image, class, cx, cy, w, h as fractions of S)."""

    images: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True)
class EvaluationBatch:
    """Letterboxed images, how to come back from them, and the truth in pixels of the original images."""

    images: Tensor
    """[B, 3, S, S] in 0..1."""
    transforms: tuple[LetterboxTransform, ...]
    boxes: tuple[Tensor, ...]
    """[n, 4] xyxy per image."""
    numbers: tuple[int, ...]
    """Row of each image in the data set."""


def to_three_channels(image: Tensor) -> Tensor:
    """[B, 1, H, W] grey to [B, 3, H, W]: the network keeps the three inputs of its published weights."""
    return image.expand(-1, 3, -1, -1)


def collate_training(rows: Sequence[tuple[tv_tensors.Image, Target]]) -> Batch:
    """Stack crops of one size and number their targets."""
    images = torch.stack([image.as_subclass(torch.Tensor) for image, _ in rows])
    size = images.shape[-1]
    targets = []
    for number, (_, target) in enumerate(rows):
        boxes = target["boxes"].as_subclass(torch.Tensor)
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2 / size, (boxes[:, 2:] - boxes[:, :2]) / size
        index = torch.full((len(boxes), 1), float(number))
        targets.append(torch.cat((index, target["labels"][:, None].float(), centres, sides), dim=1))
    return Batch(images=to_three_channels(images), targets=torch.cat(targets))


class EvaluationCollate:
    """Letterbox whole images exactly as the application does; picklable, so that workers can use it."""

    def __init__(self, size: int, pad_value: float) -> None:
        self.size = size
        self.pad_value = pad_value

    def __call__(self, rows: Sequence[tuple[tv_tensors.Image, Target]]) -> EvaluationBatch:
        """Images uint8 [1, H, W] of any size to one batch."""
        canvases, transforms = [], []
        for image, _ in rows:
            grey = image.as_subclass(torch.Tensor)[0].numpy().astype(np.float32) / 255.0
            canvas, transform = letterbox(grey, self.size, pad_value=self.pad_value)
            canvases.append(torch.from_numpy(canvas))
            transforms.append(transform)
        return EvaluationBatch(
            images=to_three_channels(torch.stack(canvases)[:, None]),
            transforms=tuple(transforms),
            boxes=tuple(target["boxes"].as_subclass(torch.Tensor) for _, target in rows),
            numbers=tuple(int(target["image_number"]) for _, target in rows),
        )


class FractureDataModule(pl.LightningDataModule):
    """Crops for training, whole letterboxed images for validation.

    Fractures are rare (one image in six), so images are drawn with replacement such that a share
    `positive_fraction` of a training epoch is fractured. Within a class they are drawn in proportion to their `weight`.
    Where samples carry a `hardness`, half of the others are drawn in proportion to it.

    Args:
        train: samples to learn from; fractured ones without boxes are left out.
        validation: samples to measure on.
        image_size: side of the evaluation canvas in pixels.
        crop_size: side of the training window; equal to `image_size` for whole-image training.
        whole_images: train on whole images instead of windows around fractures.
        batch_size: windows per step.
        samples_per_epoch: windows per epoch.
        positive_fraction: share of fractured images in an epoch, 0..1.
        workers: loader processes.
        seed: of the draws and their augmentation; with the number of the epoch it fixes them.
        pad_value: grey of the letterbox margins, 0..1.
        transform: instead of the usual one.
        mosaic: share of windows put together from four radiographs, 0..1.
        copy_paste: share of windows without a fracture for which one of another radiograph is tried on, 0..1.
    """

    def __init__(
        self,
        train: Sequence[LabelledRadiograph],
        validation: Sequence[LabelledRadiograph],
        *,
        image_size: int = 512,
        crop_size: int = 320,
        whole_images: bool = False,
        batch_size: int = 16,
        samples_per_epoch: int = 1600,
        positive_fraction: float = 0.5,
        workers: int = 1,
        seed: int = 0,
        pad_value: float = 0.0,
        transform: Callable[[tv_tensors.Image, Target], tuple[tv_tensors.Image, Target]] | None = None,
        mosaic: float = 0.0,
        copy_paste: float = 0.0,
    ) -> None:
        super().__init__()
        usable = [sample for sample in train if sample.boxes_known]
        self.image_size = image_size
        self.batch_size = batch_size
        self.samples_per_epoch = samples_per_epoch
        self.positive_fraction = positive_fraction
        self.workers = workers
        self.seed = seed
        self.pad_value = pad_value
        chosen = transform or training_transform(crop_size, image_size, whole=whole_images)
        self.train_set = RadiographDataset(usable, chosen)
        self.validation_set = RadiographDataset(validation)
        composes = mosaic > 0 or copy_paste > 0
        self.windows: Windows = (
            ComposedWindows(self.train_set, mosaic=mosaic, copy_paste=copy_paste) if composes else self.train_set
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """Balanced random windows."""
        fractured = torch.tensor([sample.fractured for sample in self.train_set.samples])
        stated = torch.tensor([sample.weight for sample in self.train_set.samples]).double()
        hardness = torch.tensor([0.0 if s.fractured else s.hardness for s in self.train_set.samples]).double()
        negative_weights = stated / stated[~fractured].sum().clamp_min(1e-12)
        if hardness.sum() > 0:
            negative_weights = 0.5 * negative_weights + 0.5 * hardness / hardness.sum()
        weights = torch.where(
            fractured,
            self.positive_fraction * stated / stated[fractured].sum().clamp_min(1e-12),
            (1 - self.positive_fraction) * negative_weights,
        )
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
        sampler = EpochSampler(
            weights.tolist(), self.samples_per_epoch, seed=self.seed, rank=rank, world_size=world_size
        )
        return DrawnWhenAsked(
            SeededDraws(self.windows),
            self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=collate_training,
            persistent_workers=self.workers > 0,
            drop_last=True,
            worker_init_fn=_single_thread,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Whole images, in order."""
        return DataLoader(
            self.validation_set, 8, num_workers=0, collate_fn=EvaluationCollate(self.image_size, self.pad_value)
        )

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move the tensors of a batch; the rest stays where it is."""
        if isinstance(batch, Batch):
            return Batch(images=batch.images.to(device), targets=batch.targets.to(device))
        if isinstance(batch, EvaluationBatch):
            return EvaluationBatch(
                images=batch.images.to(device), transforms=batch.transforms, boxes=batch.boxes, numbers=batch.numbers
            )
        return super().transfer_batch_to_device(batch, device, dataloader_idx)


def _single_thread(_: int) -> None:
    torch.set_num_threads(1)
