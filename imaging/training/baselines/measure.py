"""What a network finds in whole radiographs, letterboxed to one canvas, and how good that is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from imaging.training.baselines.networks import Finder
from imaging.training.datamodule import EvaluationCollate
from imaging.training.datasets import LabelledRadiograph, RadiographDataset
from imaging.training.evaluate import as_table
from imaging.training.metrics import COMPARED, ImageRecord, Thresholds, measure
from imaging.training.train import TrainingConfig

BATCH_SIZE = 8
_ANY = Thresholds(high_sensitivity=0.5, high_specificity=0.5)
"""`measure` asks for operating points; the compared figures have none."""


def find_in(finder: Finder, samples: Sequence[LabelledRadiograph], *, size: int) -> list[ImageRecord]:
    """One record per radiograph, in their order; boxes in pixels of the radiographs.

    Args:
        finder: on the CPU, in evaluation mode.
        samples: radiographs with their labels.
        size: side of the canvas in pixels.
    """
    loader: DataLoader[Any] = DataLoader(
        RadiographDataset(samples, keep_in_memory=False), BATCH_SIZE, collate_fn=EvaluationCollate(size, 0.0)
    )
    records = []
    for batch in loader:
        with torch.inference_mode():
            found = finder.find(batch.images)
        for rows, transform, truth, number in zip(found, batch.transforms, batch.boxes, batch.numbers, strict=True):
            sample = samples[number]
            records.append(
                ImageRecord(
                    image_id=sample.image_id,
                    fractured=sample.fractured,
                    boxes_known=sample.boxes_known and finder.locates,
                    truth=truth.numpy().astype(np.float64),
                    boxes=transform.to_image(rows[:, :4]).numpy().astype(np.float64),
                    scores=rows[:, 4].numpy().astype(np.float64),
                )
            )
    return records


def compare(records: Sequence[ImageRecord], *, rounds: int) -> dict[str, dict[str, float]]:
    """The figures in `COMPARED` that these records can give, with 95 % bootstrap intervals by image."""
    table = as_table(measure(records, _ANY, rounds=rounds))
    return {name: table[name] for name in COMPARED if name in table}


def evenly(samples: Sequence[LabelledRadiograph], limit: int | None) -> list[LabelledRadiograph]:
    """At most `limit` samples, evenly spaced over those with a fracture first and then those without.

    The share of fractures stays that of all, to one image.
    """
    ordered = sorted(samples, key=lambda sample: not sample.fractured)
    if limit is None or limit >= len(ordered):
        return ordered
    return [ordered[int((place + 0.5) * len(ordered) / limit)] for place in range(limit)]


def held_out(training: dict[str, Any] | None, config: TrainingConfig) -> bool:
    """Whether a manifest's record of a training, and of every stage before it, held out the same radiographs.

    Of a mean of weights (`imaging.training.soup`) every member must have.
    """
    if not training or not isinstance(training.get("config"), dict):
        return False
    stage = training["config"]
    same = all(stage.get(key) == getattr(config, key) for key in ("split", "folds", "development_fold", "split_list"))
    start = training.get("start")
    if not isinstance(start, dict):
        return same and start is not None
    earlier = start.get("members") or [start]
    return same and all(held_out(one.get("training"), config) for one in earlier)
