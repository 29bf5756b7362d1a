"""The check of FracAtlas' official folder layout."""

from pathlib import Path

from imaging.training.audit.builder import Audit, read_rows
from imaging.training.audit.findings import Effect
from imaging.training.boxes import Box, judge_box
from imaging.training.datasets import IMAGE_SUFFIXES, id_block
from imaging.training.importers.found import FOREIGN_SUFFIXES


def audit_fracatlas(found: Audit) -> None:
    """Images, label files and the split list."""
    root = found.root
    paths: dict[str, Path] = {}
    fractured: dict[str, bool] = {}
    for folder, broken in (("Fractured", True), ("Non_fractured", False)):
        for path in sorted((root / "images" / folder).glob("*")):
            if path.suffix.lower() in FOREIGN_SUFFIXES:
                found.foreign(path)
            elif path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            elif path.name in paths:
                found.add(
                    "image.contradiction",
                    path,
                    "the same name is in Fractured and in Non_fractured",
                    "Keep it in one of the two folders.",
                    Effect.IMAGE_OUT,
                    image=path.name,
                )
            else:
                paths[path.name], fractured[path.name] = path, broken
    found.groups = {name: id_block(path.stem) for name, path in paths.items()}
    found.images, found.fractured = len(paths), sum(fractured.values())
    found.check_images(list(paths.values()), fractured)
    unboxed = _audit_label_files(found, {path.stem: name for name, path in paths.items()}, fractured)
    _audit_split_list(found, set(paths))
    found.check_classes(unboxed)


def _audit_label_files(found: Audit, image_of: dict[str, str], fractured: dict[str, bool]) -> int:
    """Check the YOLO label files; return how many fractured images have no usable box."""
    folder = found.root / "Annotations" / "YOLO"
    boxed: set[str] = set()
    for path in sorted(folder.glob("*.txt")):
        image = image_of.get(path.stem)
        if path.name == "classes.txt":
            continue
        if image is None:
            found.add(
                "label.no_image",
                path,
                "label file without an image",
                "Add the image, or take the file away.",
                Effect.ROW_OUT,
            )
            continue
        boxes = _audit_yolo_file(found, path, image)
        if boxes and fractured[image]:
            boxed.add(image)
        elif boxes:
            found.add(
                "label.contradiction",
                path,
                "has boxes, but the image lies in Non_fractured; the boxes are not used",
                "Look which is right; move the image, or take the file away.",
                Effect.NOTE,
                image=image,
            )
    without = sorted(name for name, broken in fractured.items() if broken and name not in boxed)
    for name in without:
        found.add(
            "label.missing",
            found.root / "images" / "Fractured" / name,
            "fractured, but without a usable box: not used to learn where fractures are",
            f"Label it in Annotations/YOLO/{Path(name).stem}.txt.",
            Effect.NOTE,
            image=name,
        )
    return len(without)


def _audit_yolo_file(found: Audit, path: Path, image: str) -> list[Box]:
    seen: list[Box] = []
    for row, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, cx, cy, width, height = (float(part) for part in line.split())
        except ValueError:
            found.add(
                "label.malformed",
                path,
                "not 'class cx cy w h'",
                "Write the row as five numbers.",
                Effect.ROW_OUT,
                row=row,
                image=image,
            )
            continue
        box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        if kind != 0:
            found.add(
                "label.class",
                path,
                f"class {kind:g}, but 0 (fracture) is the only class",
                "Correct the class, or take the row away.",
                Effect.ROW_OUT,
                row=row,
                image=image,
                box=judge_box(box)[0],
            )
            continue
        found.check_box(box, seen, path, row, image)
    return seen


def _audit_split_list(found: Audit, images: set[str]) -> None:
    path = found.root / "split.csv"
    if not path.is_file():
        return
    split_of: dict[str, str] = {}
    for row, entry in read_rows(path):
        image, split = entry.get("image_id", ""), entry.get("split", "")
        if image not in images:
            found.add(
                "image.missing",
                path,
                "listed, but there is no such image file",
                "Add the file, or take the row away.",
                Effect.ROW_OUT,
                row=row,
                image=image,
            )
        elif split_of.setdefault(image, split) != split:
            found.add(
                "split.twice",
                path,
                f"is in two splits, {split_of[image]} and {split}",
                "Keep one of the rows.",
                Effect.IMAGE_OUT,
                row=row,
                image=image,
            )
    for image in sorted(images - set(split_of)):
        found.add(
            "split.unlisted",
            path,
            "not in the split list: used only with --split all",
            "Add a row for it.",
            Effect.NOTE,
            image=image,
        )
