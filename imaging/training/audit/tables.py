"""The check of the ``images.csv`` + ``boxes.csv`` layout."""

from collections import Counter
from pathlib import Path

from imaging.training.audit.builder import Audit, read_rows
from imaging.training.audit.findings import Effect
from imaging.training.boxes import Box
from imaging.training.datasets import IMAGE_SUFFIXES
from imaging.training.errors import TrainingDataError
from imaging.training.importers.found import FOREIGN_SUFFIXES, upright_size

NO, YES = frozenset({"0", "0.0", "false"}), frozenset({"1", "1.0", "true"})
CORNERS = ("x1", "y1", "x2", "y2")


def audit_tables(found: Audit) -> None:
    """Rows of both tables, and the image files."""
    fractured = _audit_image_rows(found, found.root / "images.csv")
    found.images, found.fractured = len(fractured), sum(fractured.values())
    paths = [found.root / "images" / name for name in fractured]
    found.check_images(paths, fractured)
    for path in sorted((found.root / "images").glob("*")):
        if path.suffix.lower() in FOREIGN_SUFFIXES:
            found.foreign(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES and path.name not in found.listed:
            found.add(
                "image.unlisted",
                path,
                "image without a row in images.csv: not used",
                "Add a row for it, or take the file away.",
                Effect.NOTE,
                image=path.name,
            )
    unboxed = _audit_box_rows(found, found.root / "boxes.csv", fractured)
    found.check_classes(unboxed)


def _audit_image_rows(found: Audit, path: Path) -> dict[str, bool]:
    """Usable images with their label."""
    fractured: dict[str, bool] = {}
    rows = read_rows(path)
    if rows and "image" not in rows[0][1]:
        raise TrainingDataError("images.csv lacks the column image", "name the column of the file names image")
    for row, entry in rows:
        image = entry["image"]
        again = image in found.listed
        found.listed.add(image)
        label = _fracture_flag(entry)
        code, reason, remedy = "", "", ""
        if not image or not (found.root / "images" / image).is_file():
            code, reason, remedy = (
                "image.missing",
                "no such image file",
                "Add the file to images, or take the row away.",
            )
        elif again:
            code, reason, remedy = "image.twice", "the image is listed twice", "Keep one row."
        elif label is None:
            code, reason = "class.blank", "does not say whether there is a fracture"
            remedy = "Fill in has_fracture with 1 or 0, or the column type."
        if code:
            effect = Effect.ROW_OUT if code == "image.missing" else Effect.IMAGE_OUT
            # Of two rows that agree, one is as good as the other; only rows that disagree cost the image.
            if again and fractured.get(image) == label:
                effect = Effect.NOTE
            found.add(code, path, reason, remedy, effect, row=row, image=image)
        else:
            fractured[image] = bool(label)
            found.groups[image] = entry.get("group") or image
            _check_size(found, path, row, entry)
    _check_groups(found, path, rows)
    return fractured


def _fracture_flag(entry: dict[str, str]) -> bool | None:
    flag = entry.get("has_fracture", "").strip().lower()
    if flag:
        return True if flag in YES else False if flag in NO else None
    kind = entry.get("type", "").strip()
    return kind != "healthy" if kind else None


def _check_size(found: Audit, path: Path, row: int, entry: dict[str, str]) -> None:
    if not (entry.get("width") and entry.get("height")):
        return
    try:
        stated = (round(float(entry["width"])), round(float(entry["height"])))
        actual = upright_size(found.root / "images" / entry["image"])
    except (OSError, ValueError):
        return  # an unreadable file is named by the check of the files
    if stated != actual:
        found.add(
            "image.size",
            path,
            f"states {stated[0]} x {stated[1]} pixels, the file has {actual[0]} x {actual[1]}: boxes may be off",
            "Draw the boxes on the file that is there.",
            Effect.NOTE,
            row=row,
            image=entry["image"],
        )


def _check_groups(found: Audit, path: Path, rows: list[tuple[int, dict[str, str]]]) -> None:
    """Groups whose images are spread over several splits."""
    splits: dict[str, set[str]] = {}
    first: dict[str, int] = {}
    for row, entry in rows:
        if entry.get("group") and entry.get("split"):
            splits.setdefault(entry["group"], set()).add(entry["split"])
            first.setdefault(entry["group"], row)
    for group, names in splits.items():
        if len(names) > 1:
            found.add(
                "split.leak",
                path,
                f"images of one group are in several splits ({', '.join(sorted(names))}): metrics would flatter",
                "Split anew by group: cds data split.",
                Effect.NOTE,
                row=first[group],
            )


def _audit_box_rows(found: Audit, path: Path, fractured: dict[str, bool]) -> int:
    """Check the boxes; return how many fractured images have no usable fracture box."""
    count = sum(fractured.values())
    if not path.is_file():
        return count
    rows = read_rows(path)
    missing = [name for name in ("image", *CORNERS) if rows and name not in rows[0][1]]
    if missing:
        raise TrainingDataError(f"boxes.csv lacks the column(s) {', '.join(missing)}", "see the layout in the README")
    parts = bool(rows) and "label" in rows[0][1]
    if parts:
        labels = Counter(entry["label"] for _, entry in rows)
        found.add(
            "box.labelled",
            path,
            f"the boxes carry {len(labels)} labels, so they are not taken for fractures: image-level metrics only",
            "To train on them, import the table: cds data import --format csv --fracture-label NAME.",
            Effect.NOTE,
        )
    seen: dict[str, list[Box]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for row, entry in rows:
        image = entry["image"]
        if image not in fractured:
            reason = "label of an image that cannot be used" if image in found.listed else "label without an image"
            found.add(
                "label.no_image",
                path,
                reason,
                "Add the image to images.csv, or take the row away.",
                Effect.ROW_OUT,
                row=row,
                image=image,
            )
            continue
        if not fractured[image] and not parts:
            found.add(
                "label.contradiction",
                path,
                "a fracture box on an image without a fracture: not used",
                "Look which is right.",
                Effect.NOTE,
                row=row,
                image=image,
            )
        boxes = seen.setdefault((f"{entry['label']}|" if parts else "") + image, [])
        _audit_box_row(found, path, row, entry, boxes, sizes)
    boxed = {image for image, boxes in seen.items() if boxes and fractured.get(image)}
    return 0 if parts else count - len(boxed)


def _audit_box_row(
    found: Audit, path: Path, row: int, entry: dict[str, str], seen: list[Box], sizes: dict[str, tuple[int, int]]
) -> None:
    image = entry["image"]
    if "label" in entry and not entry["label"].strip():
        found.add(
            "label.class",
            path,
            "the box has an empty label",
            "Fill in the label.",
            Effect.ROW_OUT,
            row=row,
            image=image,
        )
        return
    try:
        x1, y1, x2, y2 = (float(entry[key]) for key in CORNERS)
        width, height = sizes.setdefault(image, upright_size(found.root / "images" / image))
    except ValueError:
        found.add(
            "label.malformed",
            path,
            "x1, y1, x2, y2 are not four numbers",
            "Write them as pixels.",
            Effect.ROW_OUT,
            row=row,
            image=image,
        )
        return
    except OSError:
        return  # an unreadable file is named by the check of the files
    found.check_box((x1 / width, y1 / height, x2 / width, y2 / height), seen, path, row, image)
