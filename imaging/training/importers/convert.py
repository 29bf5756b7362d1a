"""A data set in another tool's format to ``images.csv`` + ``boxes.csv`` + ``images``, in one piece or not at all."""

import csv
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imaging.training.boxes import Box, judge_box
from imaging.training.errors import TrainingDataError
from imaging.training.importers.coco import read_coco
from imaging.training.importers.found import DatasetFormat, Found, FoundImage
from imaging.training.importers.table import read_table
from imaging.training.importers.voc import read_voc
from imaging.training.importers.yolo import read_yolo

READERS: dict[DatasetFormat, Callable[[Path], Found]] = {
    DatasetFormat.YOLO: read_yolo,
    DatasetFormat.VOC: read_voc,
    DatasetFormat.COCO: read_coco,
    DatasetFormat.CSV: read_table,
}

IMAGE_COLUMNS = ("image", "width", "height", "has_fracture", "group", "split", "source")
BOX_COLUMNS = ("image", "x1", "y1", "x2", "y2", "source_label")

_EXPORT_MARK = re.compile(r"\.rf\.[0-9a-f]{8,}", re.IGNORECASE)
"""Roboflow writes augmented copies of one image as ``<image>.rf.<digest>.jpg``: they must stay in one group."""


class Placement(StrEnum):
    """How the image files come into the new folder. The source is never changed."""

    COPY = "copy"
    LINK = "link"
    """Symbolic links to the files of the source, which must stay where they are."""


class Unlabelled(StrEnum):
    """What becomes of an image that no label file and no list mentions."""

    LEAVE_OUT = "leave-out"
    HEALTHY = "healthy"
    """It counts as an image without a fracture: right only where every fracture was labelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the labels mean, and where images go."""

    fracture_labels: frozenset[str] = frozenset()
    """Labels that are fractures; may stay empty when the data set has one label only."""
    unlabelled: Unlabelled = Unlabelled.LEAVE_OUT
    placement: Placement = Placement.COPY
    group_pattern: str | None = None
    """Regular expression whose first group, in the file name, is the patient or study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What was written."""

    out: Path
    images: int
    fractured: int
    boxes: int
    labels: tuple[tuple[str, int, bool], ...]
    """(label, how many boxes, whether it counts as a fracture)."""
    problems: tuple[str, ...]
    """One line per row that could not be used, naming file and row."""
    splits: tuple[str, ...] = ()
    """Splits that the source names, by its folders or lists; empty when it names none."""


def convert(source: Path, out: Path, kind: DatasetFormat, options: ImportOptions | None = None) -> ImportResult:
    """Read `source` and write `out`, which must not exist yet or be empty.

    The new folder appears in one step when it is complete; after a failure nothing is left behind.

    Raises:
        TrainingDataError: nothing usable, `out` is in use, or several labels and no word on which are fractures.
    """
    options = options or ImportOptions()
    if not source.exists():
        raise TrainingDataError(f"no folder {source.name!r}", "give the folder of the data set")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingDataError(f"{out.name!r} is there already and not empty", "give a new folder")
    found = READERS[kind](source)
    labels = _label_meanings(found.images, options.fracture_labels)
    plan = _plan(found, labels, options)
    if not plan.rows:
        raise TrainingDataError(
            f"no usable image in {source.name!r}: {'; '.join(plan.problems[:3]) or 'it is empty'}",
            "check the format and the folder",
        )
    counts = Counter(box.label for image in found.images for box in image.boxes)
    result = ImportResult(
        out=out,
        images=len(plan.rows),
        fractured=sum(row["has_fracture"] == "1" for _, row in plan.rows),
        boxes=len(plan.boxes),
        labels=tuple((label, counts[label], meaning) for label, meaning in sorted(labels.items())),
        problems=tuple(plan.problems),
        splits=tuple(sorted({row["split"] for _, row in plan.rows} - {""})),
    )
    _write(plan, result, kind, options)
    return result


@dataclass(slots=True)
class _Plan:
    """Rows of both tables before anything is written."""

    rows: list[tuple[Path, dict[str, str]]]
    boxes: list[dict[str, str]]
    problems: list[str]


def _label_meanings(images: Iterable[FoundImage], fracture_labels: frozenset[str]) -> dict[str, bool]:
    """Label to whether it is a fracture."""
    known = {box.label for image in images for box in image.boxes}
    wanted = {label.strip().casefold() for label in fracture_labels}
    meanings = {label: label.strip().casefold() in wanted for label in known}
    unknown = wanted - {label.strip().casefold() for label in known}
    listed = ", ".join(repr(label) for label in sorted(known)) or "none"
    if unknown:
        raise TrainingDataError(f"no box is labelled {', '.join(sorted(unknown))}", f"labels there: {listed}")
    if not wanted and len(known) > 1:
        raise TrainingDataError(
            f"the boxes carry several labels ({listed})", "say which of them are fractures with --fracture-label"
        )
    return meanings if wanted else dict.fromkeys(known, True)


def _plan(found: Found, labels: dict[str, bool], options: ImportOptions) -> _Plan:
    plan = _Plan([], [], list(found.problems))
    pattern = _compiled(options.group_pattern)
    names = _unique_names([image.path for image in found.images])
    for image in found.images:
        name = names[image.path]
        if not image.labelled and options.unlabelled is Unlabelled.LEAVE_OUT:
            plan.problems.append(
                f"{image.path.name}: no label mentions it, left out; --unlabelled healthy counts it as healthy"
            )
            continue
        fractured = image.fractured or any(labels[box.label] for box in image.boxes)
        if not fractured and image.doubtful:
            plan.problems.append(f"{image.path.name}: left out, since a row of its labels cannot be read")
            continue
        if image.fractured is False and any(labels[box.label] for box in image.boxes):
            plan.problems.append(
                f"{image.path.name}: stated to be without a fracture, but has a fracture box; left out"
            )
            continue
        _add_boxes(plan, name, image, labels)
        row = {
            "image": name,
            "width": str(image.width),
            "height": str(image.height),
            "has_fracture": "1" if fractured else "0",
            "group": image.group or _group(image.path, pattern),
            "split": image.split,
            "source": image.path.name,
        }
        plan.rows.append((image.path, row))
    return plan


def _add_boxes(plan: _Plan, name: str, image: FoundImage, labels: dict[str, bool]) -> None:
    seen: set[Box] = set()
    for found in image.boxes:
        if not labels[found.label] or found.box is None:
            continue
        box, fault = judge_box(found.box)
        if fault is not None:
            plan.problems.append(f"{found.where}: the box {fault.value}")
        if box is None:
            continue
        rounded = tuple(round(value, 4) for value in box)
        if rounded in seen:
            plan.problems.append(f"{found.where}: the same box again; left out")
            continue
        seen.add((rounded[0], rounded[1], rounded[2], rounded[3]))
        sides = (image.width, image.height, image.width, image.height)
        corners = {key: f"{value * side:.2f}" for key, value, side in zip(BOX_COLUMNS[1:5], box, sides, strict=True)}
        plan.boxes.append({"image": name, **corners, "source_label": found.label})


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise TrainingDataError(f"the group pattern is no regular expression ({error})", "correct it") from error
    if compiled.groups < 1:
        raise TrainingDataError("the group pattern has no group", "put the patient's part in round brackets")
    return compiled


def _group(path: Path, pattern: re.Pattern[str] | None) -> str:
    """The patient's or study's part of a file name; else the name without the mark of an exported copy."""
    if pattern is not None and (match := pattern.search(path.name)) and match.group(1):
        return match.group(1)
    return _EXPORT_MARK.split(path.stem)[0]


def _unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """File names in the new folder: the old ones, with their folders in front where two would be alike."""
    often = Counter(path.name.lower() for path in paths)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        name, depth = path.name, 1
        if often[path.name.lower()] > 1:
            while name.lower() in taken or depth == 1:
                depth += 1
                name = "_".join(path.parts[-depth:]).replace(os.sep, "")
        taken.add(name.lower())
        names[path] = name
    return names


def _write(plan: _Plan, result: ImportResult, kind: DatasetFormat, options: ImportOptions) -> None:
    out = result.out
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        (partial / "images").mkdir()
        for path, row in plan.rows:
            target = partial / "images" / row["image"]
            if options.placement is Placement.LINK:
                target.symlink_to(path.resolve())
            else:
                shutil.copyfile(path, target)
        _write_table(partial / "images.csv", IMAGE_COLUMNS, [row for _, row in plan.rows])
        _write_table(partial / "boxes.csv", BOX_COLUMNS, plan.boxes)
        record = {
            "format": kind.value,
            "images": result.images,
            "fractured": result.fractured,
            "boxes": result.boxes,
            "labels": [{"label": label, "boxes": n, "fracture": yes} for label, n, yes in result.labels],
            "unlabelled": options.unlabelled.value,
            "problems": list(result.problems),
        }
        (partial / "import.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        partial.replace(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
