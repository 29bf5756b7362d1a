"""Labelled radiographs on disk: FracAtlas' official folder layout and the ``images.csv`` + ``boxes.csv`` layout.

Reading never stops at the first bad row: what is wrong is collected in `Collection.problems`, row by row, and the
caller decides whether to go on without those rows.
"""

import csv
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torchvision import tv_tensors

from imaging.preprocess import normalise_contrast
from imaging.training.boxes import judge_box
from imaging.training.errors import TrainingDataError

BLOCK_SIZE = 100
"""Images per id block: neighbouring FracAtlas ids are views of one limb, so a split never goes through a block."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

Target = dict[str, torch.Tensor]

_HOW_TO_SPLIT = (
    "write a split list with 'cds data split' and give it as --split-list, or take all of it, unsplit: "
    "'split: all' in the settings of a training, --split all of an evaluation"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRadiograph:
    """One image file and what is known of it."""

    image_id: str
    path: Path
    boxes: tuple[tuple[float, float, float, float], ...]
    """(x1, y1, x2, y2) of each fracture, as fractions of width and height in 0..1."""
    fractured: bool
    boxes_known: bool = True
    """False when the image is fractured and no fracture-line box is recorded: it serves image-level metrics only."""
    group: str = ""
    """Images of one group never fall into different folds."""
    hard_points: tuple[tuple[float, float], ...] = ()
    """(x, y) as fractions of width and height where an earlier model saw a fracture that is not there."""
    hardness: float = 0.0
    """Highest score of those, 0..1: how far the earlier model was from seeing that there is none."""
    weight: float = 1.0
    """How often it is drawn while training, relative to the others of its class; above 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A data set as read from disk."""

    name: str
    samples: tuple[LabelledRadiograph, ...]
    problems: tuple[str, ...] = field(default=())
    """One line per row that could not be used, naming the row and the reason."""

    def digest(self) -> str:
        """SHA-256 over ids, labels and file sizes: changes when the data change, without reading every pixel."""
        total = hashlib.sha256()
        for sample in sorted(self.samples, key=lambda one: one.image_id):
            total.update(f"{sample.image_id}|{sample.boxes}|{sample.fractured}|{sample.path.stat().st_size}".encode())
        return total.hexdigest()


def read_collection(root: Path, split: str = "all") -> Collection:
    """Read whichever documented layout lies in `root`.

    Args:
        root: folder with ``images/Fractured`` (FracAtlas), or with ``images.csv``.
        split: ``all``, or a value of the split list (FracAtlas: ``split.csv``; CSV layout: column ``split``).

    Raises:
        TrainingDataError: no known layout, no such split, or nothing usable in it.
    """
    if not root.is_dir():
        raise TrainingDataError(f"no folder {root.name!r}", "give the folder that holds the images and their labels")
    if (root / "images.csv").is_file():
        collection = _read_csv_layout(root, split)
    elif (root / "images" / "Fractured").is_dir() or (root / "images" / "Non_fractured").is_dir():
        collection = _read_fracatlas(root, split)
    else:
        raise TrainingDataError(
            f"{root.name!r} has neither images.csv nor images/Fractured",
            "use FracAtlas' official folder layout, or images.csv + boxes.csv beside a folder images",
        )
    if not collection.samples:
        raise TrainingDataError(
            f"nothing usable in {root.name!r}, split {split!r}: {'; '.join(collection.problems[:3]) or 'it is empty'}",
            "check the label files: cds data check names every row that cannot be used",
        )
    return collection


def _read_fracatlas(root: Path, split: str) -> Collection:
    wanted = _ids_of_split(root / "split.csv", split)
    samples: list[LabelledRadiograph] = []
    problems: list[str] = []
    for folder, fractured in (("Fractured", True), ("Non_fractured", False)):
        for path in sorted((root / "images" / folder).iterdir()) if (root / "images" / folder).is_dir() else ():
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if wanted is not None and path.name not in wanted:
                continue
            boxes: tuple[tuple[float, float, float, float], ...] = ()
            if fractured:
                boxes, faults = _read_yolo_labels(root / "Annotations" / "YOLO" / f"{path.stem}.txt")
                problems.extend(f"{path.name}: {fault}" for fault in faults)
            samples.append(
                LabelledRadiograph(
                    image_id=path.name,
                    path=path,
                    boxes=boxes,
                    fractured=fractured,
                    boxes_known=bool(boxes) or not fractured,
                    group=id_block(path.stem),
                )
            )
    if wanted is not None:
        missing = wanted - {sample.image_id for sample in samples}
        problems.extend(f"{image_id}: listed in split.csv, but no image file" for image_id in sorted(missing))
    return Collection(name="fracatlas", samples=tuple(samples), problems=tuple(problems))


def _ids_of_split(table: Path, split: str) -> set[str] | None:
    """Image names of a split; None for all. Works without a list only when all are wanted."""
    if split == "all":
        return None
    if not table.is_file():
        raise TrainingDataError(f"split {split!r} asked for, but there is no split.csv", _HOW_TO_SPLIT)
    rows = _read_table(table, ("image_id", "split"))
    known = {row["split"] for row in rows}
    if split not in known:
        raise TrainingDataError(f"no split {split!r} in split.csv", f"known splits: {', '.join(sorted(known))}, all")
    return {row["image_id"] for row in rows if row["split"] == split}


def id_block(stem: str) -> str:
    """The group of a FracAtlas image, from its file name without suffix."""
    digits = "".join(ch for ch in stem if ch.isdigit())
    return f"block{int(digits) // BLOCK_SIZE:04d}" if digits else stem


def _read_yolo_labels(path: Path) -> tuple[tuple[tuple[float, float, float, float], ...], list[str]]:
    """Boxes of a YOLO label file (class cx cy w h, as fractions), and what is wrong with the rest of it."""
    if not path.is_file():
        return (), ["fractured, but no YOLO label file; used for image-level metrics only"]
    boxes: list[tuple[float, float, float, float]] = []
    faults: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            _, cx, cy, width, height = (float(part) for part in line.split())
        except ValueError:
            faults.append(f"label line {number} is not 'class cx cy w h'")
            continue
        box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        clipped, fault = judge_box(box)
        if fault:
            faults.append(f"label line {number} {fault}")
        if clipped is not None:
            boxes.append(clipped)
    if not boxes:
        faults.append("fractured, but no usable box; used for image-level metrics only")
    return tuple(boxes), faults


def _read_csv_layout(root: Path, split: str) -> Collection:
    """``images.csv`` (image, and any of has_fracture, group, split, width, height, weight) with ``boxes.csv``.

    Boxes are fracture boxes unless they carry a ``label``: femur parts (``hip``) are larger than fracture lines and
    healthy sides are labelled ``normal-*``, so a collection with labelled boxes serves image-level metrics only.
    """
    rows = _read_table(root / "images.csv", ("image",))
    _check_split(root, rows, split)
    box_table = root / "boxes.csv"
    box_rows = _read_table(box_table, ("image", "x1", "y1", "x2", "y2")) if box_table.is_file() else []
    labelled_parts = any("label" in row for row in box_rows)
    by_image: dict[str, list[dict[str, str]]] = {}
    for row in box_rows:
        by_image.setdefault(row["image"], []).append(row)
    samples: list[LabelledRadiograph] = []
    problems: list[str] = []
    for row in rows:
        if split != "all" and row.get("split") != split:
            continue
        path = root / "images" / row["image"]
        if not path.is_file():
            problems.append(f"{row['image']}: listed in images.csv, but no image file")
            continue
        fractured = _is_fractured(row)
        if fractured is None:
            problems.append(f"{row['image']}: images.csv does not say whether it is fractured")
            continue
        weight = _weight(row)
        if weight is None:
            problems.append(f"{row['image']}: its weight is no number above 0; drawn like any other")
        boxes: tuple[tuple[float, float, float, float], ...] = ()
        if fractured and not labelled_parts:
            boxes, faults = _pixel_boxes(path, by_image.get(row["image"], []))
            problems.extend(f"{row['image']}: {fault}" for fault in faults)
        samples.append(
            LabelledRadiograph(
                image_id=row["image"],
                path=path,
                boxes=boxes,
                fractured=fractured,
                boxes_known=bool(boxes) or not fractured,
                group=row.get("group") or row["image"],
                weight=weight or 1.0,
            )
        )
    unlisted = set(by_image) - {row["image"] for row in rows}
    problems.extend(f"{image}: has a box, but is not in images.csv" for image in sorted(unlisted))
    return Collection(name=root.resolve().name, samples=tuple(samples), problems=tuple(problems))


def _check_split(root: Path, rows: Sequence[dict[str, str]], split: str) -> None:
    """Refuse a split that no row of ``images.csv`` names; an import leaves the column empty where nothing told it."""
    known = {row["split"] for row in rows if row.get("split")}
    if not rows or split == "all" or split in known:
        return
    if known:
        raise TrainingDataError(
            f"no split {split!r} in images.csv of {root.name!r}", f"known splits: {', '.join(sorted(known))}, all"
        )
    raise TrainingDataError(
        f"split {split!r} asked for, but images.csv of {root.name!r} puts no image into a split", _HOW_TO_SPLIT
    )


def _is_fractured(row: dict[str, str]) -> bool | None:
    if row.get("has_fracture"):
        return row["has_fracture"] not in ("0", "0.0", "false", "False")
    if row.get("type"):
        return row["type"] != "healthy"
    return None


def _weight(row: dict[str, str]) -> float | None:
    """The row's weight, 1 where it states none; None when it is no number above 0."""
    try:
        weight = float(row.get("weight") or 1.0)
    except ValueError:
        return None
    return weight if 0 < weight < math.inf else None


def _pixel_boxes(
    path: Path, rows: Sequence[dict[str, str]]
) -> tuple[tuple[tuple[float, float, float, float], ...], list[str]]:
    if not rows:
        return (), []
    try:
        height, width = read_grey(path).shape
    except TrainingDataError as error:
        return (), [str(error)]
    boxes: list[tuple[float, float, float, float]] = []
    faults: list[str] = []
    for row in rows:
        try:
            x1, y1, x2, y2 = (float(row[key]) for key in ("x1", "y1", "x2", "y2"))
        except ValueError:
            faults.append("a box is not four numbers")
            continue
        box, fault = judge_box((x1 / width, y1 / height, x2 / width, y2 / height))
        if fault:
            faults.append(f"a box {fault}")
        if box is not None:
            boxes.append(box)
    return tuple(boxes), faults


def _read_table(path: Path, required: Iterable[str]) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        missing = [name for name in required if name not in (reader.fieldnames or ())]
        if missing:
            raise TrainingDataError(
                f"{path.name} lacks the column(s) {', '.join(missing)}", "see the layout in the data set's README"
            )
        return list(reader)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """An 8-bit grey image [H, W].

    Raises:
        TrainingDataError: the file cannot be decoded.
    """
    decoded = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_GRAYSCALE) if path.stat().st_size else None
    if decoded is None:
        raise TrainingDataError(f"{path.name} cannot be decoded as an image", "replace the file, or drop its row")
    return np.asarray(decoded, dtype=np.uint8)


class RadiographDataset(Dataset[tuple[tv_tensors.Image, Target]]):
    """Samples as tv_tensors: image uint8 [1, H, W]; target boxes xyxy in pixels [n, 4], labels [n], image number.

    Images are kept in memory after the first read (about 600 MB for FracAtlas at 454 px), so that each is decoded and
    its contrast normalised once.
    """

    def __init__(
        self,
        samples: Sequence[LabelledRadiograph],
        transform: Callable[[tv_tensors.Image, Target], tuple[tv_tensors.Image, Target]] | None = None,
        *,
        keep_in_memory: bool = True,
    ) -> None:
        self.samples = tuple(samples)
        self.transform = transform
        self._kept: dict[int, NDArray[np.uint8]] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, Target]:
        """The sample, transformed when there is a transform."""
        pixels = self._pixels(index)
        height, width = pixels.shape
        scale = torch.tensor([width, height, width, height], dtype=torch.float32)
        boxes = torch.tensor(self.samples[index].boxes, dtype=torch.float32).reshape(-1, 4) * scale
        hard_points = torch.tensor(self.samples[index].hard_points, dtype=torch.float32).reshape(-1, 2) * scale[:2]
        image = tv_tensors.Image(torch.from_numpy(pixels)[None])
        target: Target = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "labels": torch.zeros(len(boxes), dtype=torch.int64),
            "image_number": torch.tensor(index),
            "hard_points": hard_points,
        }
        return self.transform(image, target) if self.transform is not None else (image, target)

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        if self._kept is None:
            return normalise_contrast(read_grey(self.samples[index].path))
        if index not in self._kept:
            self._kept[index] = normalise_contrast(read_grey(self.samples[index].path))
        return self._kept[index]
