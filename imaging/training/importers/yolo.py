"""YOLO: one text file per image, ``class cx cy w h`` per line as fractions; or a polygon instead of the four."""

from pathlib import Path
from typing import Any

import yaml

from imaging.training.boxes import Box
from imaging.training.errors import TrainingDataError
from imaging.training.importers.found import Found, FoundBox, FoundImage, ImageIndex, split_of

NOT_LABELS = frozenset({"classes.txt", "obj.names", "train.txt", "val.txt", "test.txt", "readme.txt"})
MIN_POLYGON_VALUES = 6


def read_yolo(source: Path) -> Found:
    """Read ``images`` + ``labels`` (+ ``data.yaml`` with the class names) below `source`.

    The label file of an image lies at the same place with ``labels`` for ``images`` in its path, beside it, or is the
    only one of its stem. An empty label file says "healthy"; a missing one says nothing.

    Raises:
        TrainingDataError: ``data.yaml`` cannot be read.
    """
    index = ImageIndex(source)
    names = _class_names(source)
    files = {
        path
        for path in source.rglob("*.txt")
        if path.name.lower() not in NOT_LABELS and not path.name.lower().startswith("readme")
    }
    by_stem: dict[str, list[Path]] = {}
    for path in files:
        by_stem.setdefault(path.stem, []).append(path)
    problems = list(index.problems)
    images, used = [], set()
    for path in index.paths:
        label = _label_file(path, files, by_stem)
        width, height = index.size(path)
        boxes: tuple[FoundBox, ...] = ()
        doubtful = False
        if label is not None:
            used.add(label)
            boxes, faults, doubtful = _read_labels(label, index.short(label), names)
            problems += faults
        images.append(
            FoundImage(
                path=path,
                width=width,
                height=height,
                boxes=boxes,
                labelled=label is not None,
                doubtful=doubtful,
                split=split_of(path.parent.relative_to(source)),
            )
        )
    problems += [f"{index.short(path)}: label file without an image" for path in sorted(files - used)]
    return Found(images=tuple(images), problems=tuple(problems))


def _class_names(source: Path) -> dict[int, str] | None:
    """Class names by number from ``data.yaml`` or ``classes.txt``; None when neither is there."""
    for candidate in sorted([*source.glob("*.yaml"), *source.glob("*.yml")]):
        try:
            document: Any = yaml.safe_load(candidate.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise TrainingDataError(f"{candidate.name} is not YAML", "correct it, or take it away") from error
        names = document.get("names") if isinstance(document, dict) else None
        if isinstance(names, dict):
            return {int(number): str(name) for number, name in names.items()}
        if isinstance(names, list):
            return {number: str(name) for number, name in enumerate(names)}
    for name in ("classes.txt", "labels/classes.txt", "obj.names"):
        if (source / name).is_file():
            lines = (source / name).read_text(encoding="utf-8").split("\n")
            return {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    return None


def _label_file(image: Path, files: set[Path], by_stem: dict[str, list[Path]]) -> Path | None:
    parts = list(image.parts)
    for number in range(len(parts) - 1, -1, -1):
        if parts[number] == "images":
            twin = Path(*parts[:number], "labels", *parts[number + 1 :]).with_suffix(".txt")
            if twin in files:
                return twin
            break
    if image.with_suffix(".txt") in files:
        return image.with_suffix(".txt")
    same = by_stem.get(image.stem, [])
    return same[0] if len(same) == 1 else None


def _read_labels(path: Path, short: str, names: dict[int, str] | None) -> tuple[tuple[FoundBox, ...], list[str], bool]:
    """Boxes, problems, and whether a row could not be understood at all."""
    boxes: list[FoundBox] = []
    problems: list[str] = []
    doubtful = False
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{short}:{number}"
        try:
            values = [float(part) for part in line.split()]
            kind = int(values[0])
        except (ValueError, OverflowError):
            problems.append(f"{where}: not 'class cx cy w h'")
            doubtful = True
            continue
        if kind != values[0] or kind < 0 or (names is not None and kind not in names):
            problems.append(f"{where}: class {values[0]:g} is not one of the data set's classes")
            doubtful = True
            continue
        box = _box(values[1:])
        if box is None:
            problems.append(f"{where}: neither 'class cx cy w h' nor a polygon")
        boxes.append(FoundBox(label=names[kind] if names else f"class {kind}", box=box, where=where))
    return tuple(boxes), problems, doubtful


def _box(values: list[float]) -> Box | None:
    if len(values) == 4:
        cx, cy, width, height = values
        return (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    if len(values) >= MIN_POLYGON_VALUES and len(values) % 2 == 0:
        return (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    return None
