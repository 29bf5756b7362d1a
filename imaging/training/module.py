"""`FractureDetector`: the Lightning module around an injected network, and the moving average of its weights."""

import copy
import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics.detection import MeanAveragePrecision

from imaging.training.datamodule import Batch, EvaluationBatch
from imaging.yolov7.efficientnet_lite import EfficientNetLite
from imaging.yolov7.loss import DetectionLoss
from imaging.yolov7.network import Yolov7
from imaging.yolov7.postprocess import non_max_suppression


def with_cosine(
    optimiser: torch.optim.Optimizer, total: int, *, warmup_fraction: float, final_fraction: float
) -> OptimizerLRScheduler:
    """An optimiser with rates that rise in a line, then fall as a cosine.

    Args:
        optimiser: with the highest rates.
        total: steps of the training.
        warmup_fraction: share of them in which the rates rise, 0..1.
        final_fraction: of the highest rates is left at the end, 0..1.
    """
    total = max(1, total)
    warmup = max(1, int(total * warmup_fraction))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, total - warmup))
        return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class FractureDetector(pl.LightningModule):
    """Trains a detector: loss, optimiser, schedule, validation by mean average precision.

    Args:
        network: the network to train; it is not built here, so that any graph and any width will do.
        loss: the plain or the OTA loss for that network.
        learning_rate: peak rate of the neck and the head (AdamW).
        backbone_learning_rate: peak rate of a pre-trained backbone; that of the rest when the backbone is untrained.
        weight_decay: on convolution kernels only.
        warmup_fraction: share of all steps during which the rate rises linearly.
        final_fraction: rate at the end of the cosine, as a share of the peak.
        score_threshold: boxes below this do not enter validation metrics.
    """

    def __init__(
        self,
        network: Yolov7,
        loss: DetectionLoss,
        *,
        learning_rate: float = 1e-3,
        backbone_learning_rate: float = 3e-4,
        weight_decay: float = 5e-4,
        warmup_fraction: float = 0.05,
        final_fraction: float = 0.02,
        score_threshold: float = 0.01,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.learning_rate = learning_rate
        self.backbone_learning_rate = backbone_learning_rate
        self.weight_decay = weight_decay
        self.warmup_fraction = warmup_fraction
        self.final_fraction = final_fraction
        self.score_threshold = score_threshold
        self._average_precision = MeanAveragePrecision(backend="faster_coco_eval", box_format="xyxy")
        self._average_precision.warn_on_many_detections = False

    def forward(self, images: Tensor) -> list[Tensor]:
        """Raw outputs of the network for images [B, 3, S, S] in 0..1."""
        raw: list[Tensor] = self.network(images)
        return raw

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch."""
        raw = self.network(batch.images.contiguous(memory_format=torch.channels_last))
        items = self.loss(raw, batch.targets)
        size = len(batch.images)
        self.log_dict(
            {"loss": items.total / size, "box": items.box, "objectness": items.objectness},
            prog_bar=True,
            batch_size=size,
        )
        mean: Tensor = items.total / size
        return mean

    def validation_step(self, batch: EvaluationBatch, batch_index: int) -> None:
        """Collect boxes of whole images, in pixels of the originals."""
        predictions = self.detect(batch)
        wanted = [{"boxes": boxes, "labels": torch.zeros(len(boxes), dtype=torch.int64)} for boxes in batch.boxes]
        found = [{"boxes": p[:, :4], "scores": p[:, 4], "labels": p[:, 5].long()} for p in predictions]
        self._average_precision.update(found, wanted)

    def detect(self, batch: EvaluationBatch) -> list[Tensor]:
        """[n, 6] (xyxy in pixels of the original image, score, class) per image of the batch, on the CPU."""
        raw = self.network(batch.images.contiguous(memory_format=torch.channels_last))
        decoded = self.network.decode([level.float() for level in raw])
        boxes = non_max_suppression(decoded, score_threshold=self.score_threshold, max_detections=100)
        placed = []
        for found, transform in zip(boxes, batch.transforms, strict=True):
            found = found.cpu()
            placed.append(torch.cat((transform.to_image(found[:, :4]), found[:, 4:]), dim=1))
        return placed

    def on_validation_epoch_end(self) -> None:
        """Log ``map50`` and ``map50_95``."""
        result = self._average_precision.compute()
        self._average_precision.reset()
        self.log_dict({"map50": result["map_50"].clamp(min=0), "map50_95": result["map"].clamp(min=0)}, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW: kernels decay, biases and norms do not; a pre-trained backbone learns more slowly. Cosine schedule."""
        optimiser = torch.optim.AdamW(self._parameter_groups(), lr=self.learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        return with_cosine(optimiser, total, warmup_fraction=self.warmup_fraction, final_fraction=self.final_fraction)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        backbone = {id(p) for m in self.network.modules() if isinstance(m, EfficientNetLite) for p in m.parameters()}
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                key = (id(parameter) in backbone, parameter.ndim > 1 and parameter.shape[0] > 1)
                groups.setdefault(key, []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": self.backbone_learning_rate if in_backbone else self.learning_rate,
                "weight_decay": self.weight_decay if decays else 0.0,
            }
            for (in_backbone, decays), parameters in groups.items()
        ]


class StopAfter(Callback):
    """Ends a run after some of its epochs; the schedule of the learning rate stays that of all of them."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask the trainer to end when the epoch was the last wanted."""
        if trainer.current_epoch + 1 >= self._epochs:
            trainer.should_stop = True


class WeightAverage(Callback):
    """Exponential moving average of all weights and buffers, used for validation and kept in checkpoints.

    The decay rises as ``decay * (1 - exp(-step / ramp))`` so that the average forgets the random start quickly
    (YOLOv7's recipe: .9999 over 2,000 steps; shorter here, because the runs are).
    """

    def __init__(self, decay: float = 0.9995, ramp: float = 400.0) -> None:
        super().__init__()
        self.decay = decay
        self.ramp = ramp
        self.average: dict[str, Tensor] | None = None
        self.steps = 0
        self._live: dict[str, Tensor] | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average one step towards the live weights."""
        live = _network(pl_module).state_dict()
        if self.average is None:
            self.average = {name: value.detach().clone() for name, value in live.items()}
        self.steps += 1
        decay = self.decay * (1 - math.exp(-self.steps / self.ramp))
        with torch.no_grad():
            for name, value in live.items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value.detach(), 1 - decay)
                else:
                    self.average[name].copy_(value)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the average in place of the live weights."""
        if self.average is not None:
            network = _network(pl_module)
            self._live = copy.deepcopy(network.state_dict())
            network.load_state_dict(self.average)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the live weights back."""
        if self._live is not None:
            _network(pl_module).load_state_dict(self._live)
            self._live = None

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"average": self.average, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.average = state_dict["average"]
        self.steps = state_dict["steps"]


def _network(module: pl.LightningModule) -> nn.Module:
    network = module.network
    if not isinstance(network, nn.Module):
        raise TypeError("the moving average serves a module that names its network")
    return network
