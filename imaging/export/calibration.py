"""Radiographs for an export: those that set int8 ranges come from training, those that check it do not."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError
from imaging.phantom import make_phantom, phantom_png, random_spec
from imaging.preprocess import prepare
from imaging.reader import read_radiograph
from imaging.training.datasets import LabelledRadiograph, read_collection
from imaging.training.errors import TrainingDataError
from imaging.training.train import split_development
from imaging.yolov7 import letterbox

CALIBRATION_IMAGES: Final = 256
"""Half of them fractured where there are enough; ranges no longer move beyond some dozens."""
AGREEMENT_IMAGES: Final = 50
_SEED: Final = 20261122


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportData:
    """Labelled radiographs in their three roles."""

    name: str
    digest: str
    """SHA-256 of the whole collection's list, see `Collection.digest`."""
    calibration: tuple[LabelledRadiograph, ...]
    development: tuple[LabelledRadiograph, ...]
    """Held out in training: the export must keep its accuracy here."""
    confirmation: tuple[LabelledRadiograph, ...]
    """The data set's own ``val`` split, on which nothing was chosen; empty when it has none."""


def read_export_data(folder: Path, trained_with: Mapping[str, Any]) -> ExportData:
    """Radiographs of a data set in a documented layout.

    Args:
        folder: the data set.
        trained_with: settings of the training, from the manifest: its development fold is held out here too.

    Raises:
        TrainingDataError: no known layout, or nothing usable in it.
    """
    split = str(trained_with.get("split", "train"))
    collection = read_collection(folder, split if _has_split(folder, split) else "all")
    folds, fold = int(trained_with.get("folds", 10)), int(trained_with.get("development_fold", 7))
    learn, development = split_development(collection.samples, folds, fold)
    confirmation = read_collection(folder, "val").samples if _has_split(folder, "val") else ()
    confirmed = {sample.image_id for sample in confirmation}
    learn = [sample for sample in learn if sample.image_id not in confirmed]
    development = [sample for sample in development if sample.image_id not in confirmed]
    return ExportData(
        name=collection.name,
        digest=collection.digest(),
        calibration=tuple(choose(learn, CALIBRATION_IMAGES)),
        development=tuple(development),
        confirmation=tuple(confirmation),
    )


def _has_split(folder: Path, split: str) -> bool:
    try:
        return bool(read_collection(folder, split).samples)
    except TrainingDataError:
        return False


def choose(samples: Sequence[LabelledRadiograph], count: int) -> list[LabelledRadiograph]:
    """At most `count` of the samples, half of them fractured where there are enough; the same ones every time."""
    rng = random.Random(_SEED)
    ordered = sorted(samples, key=lambda sample: sample.image_id)
    fractured = [sample for sample in ordered if sample.fractured]
    others = [sample for sample in ordered if not sample.fractured]
    rng.shuffle(fractured)
    rng.shuffle(others)
    half = min(len(fractured), max(count // 2, count - len(others)))
    chosen = fractured[:half] + others[: count - half]
    rng.shuffle(chosen)
    return chosen


def canvases(paths: Sequence[Path], size: int, pad_value: float) -> Iterator[NDArray[np.float32]]:
    """The network's inputs [1, 1, S, S] of image files; a file that the reader refuses is left out."""
    for path in paths:
        try:
            pixels = read_radiograph(path).pixels
        except ImagingError:
            continue
        canvas, _ = letterbox(prepare(pixels), size, pad_value=pad_value)
        yield np.ascontiguousarray(canvas[None, None])


def draw_phantoms(folder: Path, count: int) -> list[Path]:
    """PNG files of synthetic limbs, for a check without any patient's radiograph."""
    paths = []
    for number in range(count):
        path = folder / f"phantom-{number:03d}.png"
        path.write_bytes(phantom_png(make_phantom(random_spec(number), seed=number)))
        paths.append(path)
    return paths
