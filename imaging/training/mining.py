"""What an earlier model can tell about the training images: where it is wrong, and where fractures without boxes lie.

Hard negatives: most of a radiograph is easy; after a while, windows at random places of healthy limbs teach little.
Windows around the model's own false alarms teach what it confuses with a fracture: growth plates, vessels, overlapping
bones, edges.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from imaging.engine import FractureEngine
from imaging.training.datasets import LabelledRadiograph, read_grey
from imaging.training.errors import TrainingDataError

POINTS_PER_IMAGE = 4
SAFE_IOU = 0.02
"""A box that overlaps a labelled fracture more than this is no false alarm."""


def mine(
    samples: Sequence[LabelledRadiograph], engine: FractureEngine, kept: Path | None = None
) -> list[LabelledRadiograph]:
    """The samples with `hard_points` and `hardness` filled in from the model's false alarms.

    An image that cannot be decoded is returned as it is.

    Args:
        samples: what to look at.
        engine: the model whose mistakes are wanted.
        kept: file that holds what this model found earlier, written when it is not there: a resumed run need not look
            again.
    """
    known = _read(kept, engine.manifest.digest)
    mined = [
        _filled(sample, known[sample.image_id]) if sample.image_id in known else _mined(sample, engine)
        for sample in samples
    ]
    if kept is not None and not known:
        kept.parent.mkdir(parents=True, exist_ok=True)
        images = {sample.image_id: [sample.hardness, *sample.hard_points] for sample in mined}
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps({"model": engine.manifest.digest, "images": images}), encoding="utf-8")
        partial.replace(kept)
    return mined


def label(samples: Sequence[LabelledRadiograph], engine: FractureEngine, least: float) -> list[LabelledRadiograph]:
    """Radiographs known to be fractured, with the boxes that a model is sure of in place of the ones nobody drew.

    That a radiograph is fractured was told by a person; only where is the model's answer. Images in which it finds
    nothing from `least` on, or that cannot be decoded, are left out.

    Args:
        samples: fractured radiographs without boxes.
        engine: the model that looks for the fractures.
        least: score from which a box counts, 0..1.
    """
    labelled: list[LabelledRadiograph] = []
    for sample in samples:
        try:
            pixels = read_grey(sample.path).astype(np.float32) / 255.0
        except TrainingDataError:
            continue
        found = engine.detect(pixels)
        height, width = pixels.shape
        sure = (found[found[:, 4] >= least, :4] / torch.tensor([width, height, width, height])).clamp(0, 1)
        if len(sure):
            boxes = tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in sure.tolist())
            labelled.append(dataclasses.replace(sample, boxes=boxes, boxes_known=True))
    return labelled


def _read(kept: Path | None, model: str) -> dict[str, list[Any]]:
    """Per image the hardness and its points; empty when nothing was kept or another model wrote it."""
    if kept is None or not kept.is_file():
        return {}
    document = json.loads(kept.read_text(encoding="utf-8"))
    return dict(document["images"]) if document["model"] == model else {}


def _filled(sample: LabelledRadiograph, entry: list[Any]) -> LabelledRadiograph:
    hardness, *points = entry
    return dataclasses.replace(sample, hardness=float(hardness), hard_points=tuple((x, y) for x, y in points))


def _mined(sample: LabelledRadiograph, engine: FractureEngine) -> LabelledRadiograph:
    try:
        pixels = read_grey(sample.path).astype(np.float32) / 255.0
    except TrainingDataError:
        return sample
    found = engine.detect(pixels)
    height, width = pixels.shape
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    truth = torch.tensor(sample.boxes, dtype=torch.float32).reshape(-1, 4) * scale
    if len(truth) and len(found):
        found = found[box_iou(found[:, :4], truth).amax(dim=1) <= SAFE_IOU]
    if not len(found):
        return sample
    wrong = found[:POINTS_PER_IMAGE]
    centres = (wrong[:, :2] + wrong[:, 2:4]) / 2 / scale[:2]
    return dataclasses.replace(
        sample,
        hard_points=tuple((float(x), float(y)) for x, y in centres.tolist()),
        hardness=float(wrong[0, 4]),
    )
