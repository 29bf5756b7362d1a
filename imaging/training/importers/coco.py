"""COCO: a JSON file with images, annotations and categories; boxes as x, y, width, height in pixels."""

import json
import re
from pathlib import Path
from typing import Any

from imaging.training.boxes import Box
from imaging.training.errors import TrainingDataError
from imaging.training.importers.found import SPLIT_NAMES, Found, FoundBox, FoundImage, ImageIndex, split_of


def read_coco(source: Path) -> Found:
    """Read every COCO JSON file below `source`.

    A listed image without annotations is healthy; an image in no list is not labelled. The split is told by the name of
    the JSON file or its folder (``instances_train.json``, ``valid/_annotations.coco.json``).

    Raises:
        TrainingDataError: no COCO file there.
    """
    index = ImageIndex(source)
    problems = list(index.problems)
    described: dict[Path, FoundImage] = {}
    files = 0
    for path in sorted(source.rglob("*.json")):
        document = _load(path)
        if document is None:
            continue
        files += 1
        for image in _read_file(path, document, index, problems):
            if image.path in described:
                problems.append(f"{index.short(path)}: {image.path.name} is listed twice; only the first was used")
            else:
                described[image.path] = image
    if not files:
        raise TrainingDataError("no COCO JSON file there", "give the folder with images and their JSON file")
    for image_path in index.paths:
        if image_path not in described:
            width, height = index.size(image_path)
            described[image_path] = FoundImage(path=image_path, width=width, height=height, labelled=False)
    return Found(images=tuple(described[path] for path in index.paths), problems=tuple(problems))


def _load(path: Path) -> dict[str, Any] | None:
    """The document when it is a COCO file, else None."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        return None
    is_coco = isinstance(document, dict) and all(
        isinstance(document.get(key), list) for key in ("images", "annotations")
    )
    return document if is_coco else None


def _read_file(path: Path, document: dict[str, Any], index: ImageIndex, problems: list[str]) -> list[FoundImage]:
    short = index.short(path)
    names = {one.get("id"): str(one.get("name", "")) for one in document.get("categories") or []}
    listed: dict[Any, Path] = {}
    repeated: list[Any] = []
    for row, entry in enumerate(document["images"]):
        name = str(entry.get("file_name", ""))
        image = index.find(name, near=path.parent) if name else None
        if image is None:
            problems.append(f"{short}, images[{row}]: no image file {Path(name).name!r}")
        elif entry.get("id") in listed:
            problems.append(f"{short}, images[{row}]: id is used twice; both images were left out")
            repeated.append(entry.get("id"))
        else:
            listed[entry.get("id")] = image
    for number in repeated:
        listed.pop(number, None)
    boxes: dict[Path, list[FoundBox]] = {image: [] for image in listed.values()}
    doubtful: set[Path] = set()
    for row, entry in enumerate(document["annotations"]):
        where = f"{short}, annotations[{row}]"
        target = listed.get(entry.get("image_id"))
        if target is None:
            problems.append(f"{where}: label without an image")
        elif not names.get(entry.get("category_id")):
            problems.append(f"{where}: category {entry.get('category_id')} is not one of the file's categories")
            doubtful.add(target)
        else:
            box = _box(entry.get("bbox"), *index.size(target))
            if box is None:
                problems.append(f"{where}: bbox is not four numbers")
            boxes[target].append(FoundBox(label=names[entry["category_id"]], box=box, where=where))
    split = _split(path, index.root)
    return [
        FoundImage(
            path=image,
            width=index.size(image)[0],
            height=index.size(image)[1],
            boxes=tuple(found),
            doubtful=image in doubtful,
            split=split or split_of(image.parent.relative_to(index.root)),
        )
        for image, found in boxes.items()
    ]


def _box(values: Any, width: int, height: int) -> Box | None:
    try:
        x, y, side_x, side_y = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return (x / width, y / height, (x + side_x) / width, (y + side_y) / height)


def _split(path: Path, root: Path) -> str:
    words = re.split(r"[^a-z]+", path.stem.lower())
    named = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")
    return named or split_of(path.parent.relative_to(root))
