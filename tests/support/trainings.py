"""Settings of a training that ends within seconds, and a detector that says it was trained by them."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from imaging.training.train import TrainingConfig
from tests.support.radiographs import write_weights

TINY = TrainingConfig(
    graph="yolov7-tiny",
    folds=3,
    development_fold=0,
    image_size=96,
    crop_size=64,
    batch_size=2,
    samples_per_epoch=4,
    epochs=1,
    validate_every=1,
    workers=0,
    precision="32-true",
)


def untrained_detector(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """A random detector that says which radiographs it held out; `changes` are settings other than `TINY`'s."""
    path = write_weights(folder, image_size=TINY.image_size, seed=seed) / "manifest.json"
    document = json.loads(path.read_text())
    document["training"] = {"config": asdict(replace(TINY, **changes))}
    path.write_text(json.dumps(document))
    return folder
