"""Pascal VOC: one XML file per image, corners in pixels."""

from pathlib import Path
from xml.etree import ElementTree

from imaging.training.boxes import Box
from imaging.training.importers.found import SPLIT_NAMES, Found, FoundBox, FoundImage, ImageIndex, split_of

MAX_XML_BYTES = 4 << 20


def read_voc(source: Path) -> Found:
    """Read all XML files with an ``annotation`` root below `source` and the images they name.

    Splits come from ``ImageSets/Main/train.txt`` and its like, else from folder names. A file without objects says
    "healthy"; an image without a file says nothing.
    """
    index = ImageIndex(source)
    problems = list(index.problems)
    splits = _image_sets(source)
    described: dict[Path, FoundImage] = {}
    for path in sorted(source.rglob("*.xml")):
        short = index.short(path)
        root = _parse(path)
        if root is None or root.tag != "annotation":
            problems.append(f"{short}: not a Pascal VOC annotation")
            continue
        image = _image_of(path, root, index)
        if image is None:
            problems.append(f"{short}: label file without an image")
        elif image in described:
            problems.append(f"{short}: a second annotation of {image.name}; only the first was used")
        else:
            width, height = index.size(image)
            boxes, faults, doubtful = _objects(root, short, width, height)
            problems += faults
            described[image] = FoundImage(
                path=image,
                width=width,
                height=height,
                boxes=boxes,
                doubtful=doubtful,
                split=splits.get(image.stem) or split_of(image.parent.relative_to(source)),
            )
    for image in index.paths:
        if image not in described:
            width, height = index.size(image)
            split = splits.get(image.stem) or split_of(image.parent.relative_to(source))
            described[image] = FoundImage(path=image, width=width, height=height, labelled=False, split=split)
    return Found(images=tuple(described[path] for path in index.paths), problems=tuple(problems))


def _parse(path: Path) -> ElementTree.Element | None:
    if path.stat().st_size > MAX_XML_BYTES:
        return None
    try:
        data = path.read_bytes()
        # Labels define no entities: those that do would unpack to gigabytes.
        return None if b"<!" in data.replace(b"<!--", b"") else ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError):
        return None


def _image_of(path: Path, root: ElementTree.Element, index: ImageIndex) -> Path | None:
    name = (root.findtext("filename") or "").strip()
    found = index.find(name, near=path.parent) if name else None
    return found or index.by_stem(path.stem, near=path.parent)


def _objects(
    root: ElementTree.Element, short: str, width: int, height: int
) -> tuple[tuple[FoundBox, ...], list[str], bool]:
    """Boxes, problems, and whether an object could not be understood at all."""
    boxes: list[FoundBox] = []
    problems: list[str] = []
    doubtful = False
    stated = tuple(_number(root.findtext(f"size/{side}")) for side in ("width", "height"))
    other_size = stated not in ((float(width), float(height)), (None, None), (0.0, 0.0))
    if other_size:
        problems.append(
            f"{short}: drawn on an image of another size ({stated[0]:g} x {stated[1]:g})"
            if None not in stated
            else f"{short}: the stated image size is incomplete"
        )
    for number, item in enumerate(root.iter("object"), start=1):
        where = f"{short}, object {number}"
        label = (item.findtext("name") or "").strip()
        if not label:
            problems.append(f"{where}: has no name")
            doubtful = True
            continue
        box = None if other_size else _corners(item, width, height)
        if box is None and not other_size:
            problems.append(f"{where}: bndbox is not four numbers")
        boxes.append(FoundBox(label=label, box=box, where=where))
    return tuple(boxes), problems, doubtful


def _corners(item: ElementTree.Element, width: int, height: int) -> Box | None:
    values = [_number(item.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")]
    x1, y1, x2, y2 = values
    if x1 is None or y1 is None or x2 is None or y2 is None:
        return None
    return (x1 / width, y1 / height, x2 / width, y2 / height)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _image_sets(source: Path) -> dict[str, str]:
    """Image stem to split, from ``ImageSets/Main``."""
    found: dict[str, str] = {}
    for path in sorted(source.glob("**/ImageSets/Main/*.txt")):
        split = SPLIT_NAMES.get(path.stem.lower())
        if split:
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    found[line.split()[0]] = split
    return found
