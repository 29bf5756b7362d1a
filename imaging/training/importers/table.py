"""CSV: a row per box, or per image without one, under the column names that are in common use."""

import csv
from dataclasses import dataclass
from pathlib import Path

from imaging.training.boxes import Box
from imaging.training.errors import TrainingDataError
from imaging.training.importers.found import SPLIT_NAMES, Found, FoundBox, FoundImage, ImageIndex, split_of

COLUMNS: dict[str, tuple[str, ...]] = {
    "image": ("image", "image_id", "filename", "file_name", "file", "image_path", "path"),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "label": ("label", "class", "class_name", "category", "name"),
    "fractured": ("has_fracture", "fractured", "fracture", "fracture_visible"),
    "group": ("group", "patient", "patient_id", "study", "study_id", "case"),
    "split": ("split", "set", "subset", "fold"),
}
"""What a column may be called, the preferred name first."""

CORNERS = ("x1", "y1", "x2", "y2")
YES, NO = frozenset({"1", "1.0", "true", "yes", "y"}), frozenset({"0", "0.0", "false", "no", "n"})
DEFAULT_LABEL = "fracture"


@dataclass(slots=True)
class _Image:
    """What the rows of one image have said so far."""

    path: Path
    boxes: list[FoundBox]
    doubtful: bool = False
    fractured: bool | None = None
    split: str = ""
    group: str = ""


def read_table(source: Path) -> Found:
    """Read the one CSV file in `source` (or `source` itself, when it is a file) and the images it names.

    Corners are pixels; when no corner in the whole file exceeds 1, they are fractions. A row with empty corners says
    "no box in this image"; without a label column every box is a fracture.

    Raises:
        TrainingDataError: no CSV file, several of them, or columns missing.
    """
    table = _only_table(source)
    index = ImageIndex(table.parent)
    with table.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle)
        names = _columns(reader.fieldnames or (), table.name)
        rows = [
            (reader.line_num, {key: (row.get(name) or "").strip() for key, name in names.items()}) for row in reader
        ]
    fractions = _are_fractions(row for _, row in rows)
    problems = list(index.problems)
    images: dict[Path, _Image] = {}
    for line, row in rows:
        where = f"{table.name}:{line}"
        path = index.find(row["image"], near=table.parent) or index.by_stem(row["image"], near=table.parent)
        if not row["image"] or path is None:
            problems.append(f"{where}: no image file {Path(row['image']).name!r}")
            continue
        _add_row(images.setdefault(path, _Image(path, [])), row, where, index.size(path), fractions, problems)
    found = []
    for path in index.paths:
        width, height = index.size(path)
        seen = images.get(path) or _Image(path, [])
        found.append(
            FoundImage(
                path=path,
                width=width,
                height=height,
                boxes=tuple(seen.boxes),
                labelled=path in images,
                doubtful=seen.doubtful,
                fractured=seen.fractured,
                split=seen.split or split_of(path.parent.relative_to(table.parent)),
                group=seen.group,
            )
        )
    return Found(images=tuple(found), problems=tuple(problems))


def _only_table(source: Path) -> Path:
    if source.is_file():
        return source
    tables = sorted(source.glob("*.csv"))
    if len(tables) != 1:
        what = "no CSV file" if not tables else f"several CSV files ({', '.join(path.name for path in tables[:5])})"
        raise TrainingDataError(f"{what} in {source.name!r}", "give the CSV file itself as the source")
    return tables[0]


def _columns(header: object, table: str) -> dict[str, str]:
    """Our name to the file's name of each column that is there."""
    given = {str(name).strip().lower(): str(name) for name in header} if isinstance(header, list | tuple) else {}
    names = {key: given[alias] for key, aliases in COLUMNS.items() for alias in reversed(aliases) if alias in given}
    missing = [key for key in ("image", *CORNERS) if key not in names]
    if missing:
        raise TrainingDataError(
            f"{table} lacks the column(s) {', '.join(missing)}", "name them image, x1, y1, x2, y2 (label is optional)"
        )
    return names


def _are_fractions(rows: object) -> bool:
    values = []
    for row in rows:  # type: ignore[attr-defined]
        for key in CORNERS:
            try:
                values.append(abs(float(row[key])))
            except ValueError:
                continue
    return bool(values) and max(values) <= 1.0


def _add_row(
    image: _Image, row: dict[str, str], where: str, size: tuple[int, int], fractions: bool, problems: list[str]
) -> None:
    image.group = image.group or row.get("group", "")
    split = row.get("split", "")
    image.split = image.split or SPLIT_NAMES.get(split.lower(), split)
    stated = row.get("fractured", "").lower()
    if stated and stated not in YES | NO:
        problems.append(f"{where}: {stated!r} is neither 1 nor 0 as a fracture flag")
        image.doubtful = True
    elif stated:
        if image.fractured is not None and image.fractured != (stated in YES):
            problems.append(f"{where}: contradicts an earlier row on whether there is a fracture")
            image.doubtful = True
        image.fractured = stated in YES or bool(image.fractured)
    corners = [row[key] for key in CORNERS]
    if not any(corners):
        return
    if "label" in row and not row["label"]:
        problems.append(f"{where}: the box has no label")
        image.doubtful = True
        return
    box = _box(corners, (1, 1) if fractions else size)
    if box is None:
        problems.append(f"{where}: x1, y1, x2, y2 are not four numbers")
    image.boxes.append(FoundBox(label=row.get("label", DEFAULT_LABEL), box=box, where=where))


def _box(corners: list[str], size: tuple[int, int]) -> Box | None:
    width, height = size
    try:
        x1, y1, x2, y2 = (float(value) for value in corners)
    except ValueError:
        return None
    return (x1 / width, y1 / height, x2 / width, y2 / height)
