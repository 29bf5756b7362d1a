"""The Lightning module that trains a `BoneAgeNetwork`, and its data."""

import math
from typing import Any, Final

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from imaging.bone_age.data import EpochSampler, Hands, augment
from imaging.bone_age.network import SPREAD_MONTHS, BoneAgeNetwork

_BACKBONE_SHARE: Final = 0.25
"""A backbone that knows radiographs already learns at this share of the rate."""
Batch = list[Tensor]
"""Pictures uint8 [B, S, S], months [B], sex [B]."""


class HandsModule(pl.LightningDataModule):
    """Shuffled hands to learn from.

    Args:
        learn: hands to learn from.
        batch_size: hands a step.
        seed: of the order.
    """

    def __init__(self, learn: Hands, *, batch_size: int, seed: int) -> None:
        super().__init__()
        self._learn = TensorDataset(
            torch.from_numpy(learn.pictures), torch.from_numpy(learn.months), torch.from_numpy(learn.sex)
        )
        self._batch_size = batch_size
        self._seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """One epoch."""
        sampler = EpochSampler(len(self._learn), self._seed)
        return DataLoader(self._learn, batch_size=self._batch_size, sampler=sampler, drop_last=True)


class BoneAgeRegressor(pl.LightningModule):
    """Absolute error of the months, and the likelihood of the scale around months that are held fixed.

    Held fixed, because a scale that may grow would otherwise excuse the network from hard hands.

    Args:
        network: the network to train.
        learning_rate: peak rate (AdamW).
        weight_decay: on matrices and kernels.
        hidden_sex: share of hands whose sex is hidden, so that the network also answers without it.
        seed: of the augmentation, which depends on (seed, step) alone.
        augmentation: factor of its width; 1 as in `augment`.
    """

    def __init__(
        self,
        network: BoneAgeNetwork,
        *,
        learning_rate: float = 2e-3,
        weight_decay: float = 2e-2,
        hidden_sex: float = 0.1,
        seed: int = 0,
        augmentation: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.hidden_sex = hidden_sex
        self.seed = seed
        self.augmentation = augmentation

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch."""
        pictures, months, sex = batch
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        images = augment(pictures[:, None].float().cpu() / 255.0, generator, self.augmentation)
        hidden = torch.rand(len(sex), generator=generator) < self.hidden_sex
        sex = torch.where(hidden.to(sex.device), torch.zeros_like(sex), sex)
        mean, scale = self.network(images.to(months.device).contiguous(memory_format=torch.channels_last), sex)
        error = (mean - months).abs() / SPREAD_MONTHS
        width = scale / SPREAD_MONTHS
        likelihood = error.detach() / width + torch.log(width)
        loss: Tensor = (error + 0.1 * likelihood).mean()
        self.log_dict({"mae_months": error.mean() * SPREAD_MONTHS, "scale": scale.mean()}, on_epoch=True, on_step=False)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW; warm-up, then a cosine to nothing."""
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((".backbone." in name, parameter.ndim > 1), []).append(parameter)
        optimiser = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": self.learning_rate * (_BACKBONE_SHARE if in_backbone else 1.0),
                    "weight_decay": self.weight_decay if decays else 0.0,
                }
                for (in_backbone, decays), parameters in groups.items()
            ],
            lr=self.learning_rate,
        )
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, total // 20)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
