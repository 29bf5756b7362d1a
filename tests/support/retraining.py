"""Small feedback exports and models for tests of retraining."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cds.learning.feedback.tables import BOX_COLUMNS, IMAGE_COLUMNS
from imaging.training.train import TrainingConfig
from tests.support.radiographs import striped_bone, write_classifier, write_weights

TINY: Mapping[str, Any] = {
    "crop_size": 64,
    "batch_size": 2,
    "samples_per_epoch": 4,
    "epochs": 1,
    "workers": 0,
    "precision": "32-true",
    "gallery": 0,
}
"""Settings of a training that takes seconds."""


def write_parent(folder: Path, *, seed: int = 0) -> Path:
    """A random detector whose manifest says how it was trained: every third block of its data held out."""
    write_weights(folder, seed=seed, image_size=64)
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    config = TrainingConfig(graph="yolov7-tiny", split="train", folds=3, development_fold=0, image_size=64)
    document["training"] = {"config": asdict(config)}
    path.write_text(json.dumps(document))
    return write_classifier(folder)


def write_feedback(
    folder: Path, *, fractured: int = 4, healthy: int = 4, per_patient: int = 2, seed: int = 100, prefix: str = "p"
) -> Path:
    """A folder as ``cds feedback export`` writes it, with synthetic shafts."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    image_rows, box_rows = [], []
    for number in range(fractured + healthy):
        broken = number < fractured
        pixels, box = striped_bone(rng, broken)
        name = f"{folder.name}{number:03d}.png"
        cv2.imwrite(str(folder / "images" / name), pixels)
        group = f"{prefix}{number // per_patient}"
        row = {"image": name, "width": 96, "height": 120, "has_fracture": int(broken), "group": group}
        image_rows.append({**row, "type": "spiral" if broken else "healthy", "boxes_known": 1})
        if box is not None:
            x1, y1, x2, y2 = box
            box_rows.append({"image": name, "x1": x1 * 96, "y1": y1 * 120, "x2": x2 * 96, "y2": y2 * 120, "drawn": 1})
    write_table(folder / "images.csv", IMAGE_COLUMNS, image_rows)
    write_table(folder / "boxes.csv", BOX_COLUMNS, box_rows)
    return sign(folder)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A CSV file."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def sign(folder: Path) -> Path:
    """Write the manifest over what lies in the folder now."""
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    document = {"schema": "fracture-cds.feedback-export/1", "key": "0123", "files": digests}
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder
