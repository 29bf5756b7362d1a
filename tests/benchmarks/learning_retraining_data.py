"""FracAtlas parted by id block for the proof of gated retraining, and written as feedback, some of it poisoned."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from cds.learning.feedback.tables import BOX_COLUMNS, IMAGE_COLUMNS
from imaging.manifest import MANIFEST_NAME
from imaging.training.datasets import LabelledRadiograph, read_collection, read_grey
from imaging.training.splits import plan_splits

ROUNDS: Final = ("round1", "round2", "round3", "round4")
POISON: Final = "poison"
SHARES: Final[Mapping[str, float]] = {
    "base": 0.34, "home": 0.09, "locked": 0.15, **dict.fromkeys(ROUNDS, 0.0825), POISON: 0.09,
}  # fmt: skip

Parts = Mapping[str, tuple[LabelledRadiograph, ...]]
"""The radiographs by part."""


def read_parts(data: Path, *, seed: int, limit: int | None = None) -> Parts:
    """FracAtlas parted by id block; the blocks of its validation list are all locked away."""
    samples = read_collection(data).samples
    listed = {one.group for one in read_collection(data, "val").samples} if (data / "split.csv").is_file() else set()
    free = [one for one in samples if one.group not in listed]
    place = plan_splits(free, SHARES, seed=seed)
    by_part: dict[str, list[LabelledRadiograph]] = {name: [] for name in SHARES}
    for one in samples:
        by_part[place.get(one.image_id, "locked")].append(one)
    return {name: tuple(_evenly(some, limit)) for name, some in by_part.items()}


def _evenly(samples: Sequence[LabelledRadiograph], limit: int | None) -> list[LabelledRadiograph]:
    """At most `limit` of them, spread evenly, each class by itself."""
    if limit is None or len(samples) <= limit:
        return list(samples)
    chosen: list[LabelledRadiograph] = []
    for fractured in (True, False):
        some = [one for one in samples if one.fractured is fractured]
        chosen += [some[int(n)] for n in np.linspace(0, len(some) - 1, min(len(some), limit // 2)).round()]
    return chosen


def write_export(
    folder: Path, samples: Sequence[LabelledRadiograph], *, site: str, poisoned: bool = False, seed: int = 0
) -> Path:
    """Radiographs as a feedback export; with `poisoned` every label says the opposite.

    A false fracture gets a box of a real one's size, placed at random.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    sizes = [(x2 - x1, y2 - y1) for one in samples for x1, y1, x2, y2 in one.boxes] or [(0.2, 0.2)]
    image_rows, box_rows = [], []
    for one in samples:
        pixels = read_grey(one.path)
        height, width = pixels.shape
        name = f"{hashlib.sha256(f'{site}/{one.image_id}'.encode()).hexdigest()[:20]}.png"
        cv2.imwrite(str(images / name), pixels)
        fractured = one.fractured is not poisoned
        boxes: Iterable[Sequence[float]] = one.boxes
        if poisoned:
            boxes = [_anywhere(sizes[int(rng.integers(len(sizes)))], rng)] if fractured else ()
        row = {"image": name, "width": width, "height": height, "has_fracture": int(fractured), "group": one.group}
        image_rows.append({**row, "source": site, "type": "" if fractured else "healthy", "boxes_known": 1})
        box_rows += [
            {"image": name, "x1": f"{x1 * width:.2f}", "y1": f"{y1 * height:.2f}", "x2": f"{x2 * width:.2f}"}
            | {"y2": f"{y2 * height:.2f}", "drawn": 1}
            for x1, y1, x2, y2 in boxes
        ]
    tables = {"images.csv": (IMAGE_COLUMNS, image_rows), "boxes.csv": (BOX_COLUMNS, box_rows)}
    for table, (columns, rows) in tables.items():
        with (folder / table).open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    digests = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }
    document = {"schema": "fracture-cds.feedback-export/1", "site": site, "files": digests}
    (folder / MANIFEST_NAME).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return folder


def _anywhere(size: tuple[float, float], rng: np.random.Generator) -> tuple[float, float, float, float]:
    wide, high = (min(max(side, 0.03), 0.9) for side in size)
    left, top = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
    return float(left), float(top), float(left + wide), float(top + high)
