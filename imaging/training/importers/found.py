"""What an importer finds: images, boxes with labels, and what is wrong, row by row."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from imaging.training.boxes import Box
from imaging.training.datasets import IMAGE_SUFFIXES

FOREIGN_SUFFIXES = frozenset({".bmp", ".tif", ".tiff", ".webp", ".gif", ".dcm", ".dicom", ".jp2"})
"""Images that other tools label, but that the training reader does not open."""

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folder and file names that say which split an image belongs to."""

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_TAIL_BYTES = 1024
"""Some programs write a little more behind the picture."""

_SIDEWAYS = range(5, 9)
"""EXIF orientations that swap width and height; labels are drawn on the upright image."""


class DatasetFormat(StrEnum):
    """Formats that can be imported."""

    YOLO = "yolo"
    VOC = "voc"
    COCO = "coco"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBox:
    """A labelled box."""

    label: str
    box: Box | None
    """(x1, y1, x2, y2) as fractions of the upright image; None when the label is known and its place is not."""
    where: str
    """File and line, for a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """An image file and what the labels say of it."""

    path: Path
    width: int
    height: int
    boxes: tuple[FoundBox, ...] = ()
    labelled: bool = True
    """False when no label file and no list mentions the image: nobody said that it is healthy."""
    doubtful: bool = False
    """True when a row of its labels cannot be read at all: an image without other boxes may not count as healthy."""
    fractured: bool | None = None
    """What the source says of the whole image; None when only the boxes tell."""
    split: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that an importer found."""

    images: tuple[FoundImage, ...]
    problems: tuple[str, ...]


class ImageIndex:
    """The image files below a folder, by path, name and stem."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths: list[Path] = []
        self.problems: list[str] = []
        self._sizes: dict[Path, tuple[int, int]] = {}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in sorted(root.rglob("*")):
            suffix = path.suffix.lower()
            if suffix in FOREIGN_SUFFIXES and path.is_file():
                self.problems.append(f"{self.short(path)}: neither JPEG nor PNG; convert it and import again")
            elif suffix in IMAGE_SUFFIXES and path.is_file():
                self._add(path)

    def _add(self, path: Path) -> None:
        try:
            self._sizes[path] = upright_size(path)
        except (OSError, UnidentifiedImageError, ValueError):
            self.problems.append(f"{self.short(path)}: cannot be opened as an image; replace the file")
            return
        if cut_short(path):
            self.problems.append(f"{self.short(path)}: the file seems cut short, its end is missing; replace the file")
        self.paths.append(path)
        self._by_name.setdefault(path.name, []).append(path)
        self._by_stem.setdefault(path.stem, []).append(path)

    def short(self, path: Path) -> str:
        """The path below the source folder, for a message."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def size(self, path: Path) -> tuple[int, int]:
        """(width, height) of the upright image in pixels."""
        return self._sizes[path]

    def find(self, name: str, *, near: Path) -> Path | None:
        """The image that a label calls `name`: relative to `near` or to the source, else the only one so called."""
        for base in (near, self.root, self.root / "images"):
            path = base / name
            if path in self._sizes:
                return path
        found = self._by_name.get(Path(name).name, [])
        return found[0] if len(found) == 1 else _nearest(found, near)

    def by_stem(self, stem: str, *, near: Path) -> Path | None:
        """The image of this stem; of several, the one that shares most of its path with `near`."""
        return _nearest(self._by_stem.get(stem, []), near)


def _nearest(paths: Iterable[Path], near: Path) -> Path | None:
    """The path with the longest common beginning; None when there is none or two are equally near."""
    ranked = sorted(((_shared_parts(path, near), path) for path in paths), reverse=True)
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        return None
    return ranked[0][1]


def _shared_parts(first: Path, second: Path) -> int:
    count = 0
    for one, other in zip(first.parts, second.parts, strict=False):
        if one != other:
            break
        count += 1
    return count


def upright_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels as displayed, from the header alone."""
    with Image.open(path) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    return (height, width) if turned else (width, height)


def cut_short(path: Path) -> bool:
    """Whether a JPEG file lacks the mark that it ends with; reads its first and last bytes alone.

    A PNG file that was cut short is not opened at all.
    """
    with path.open("rb") as stream:
        if stream.read(len(_JPEG_START)) != _JPEG_START:
            return False
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return _JPEG_END not in stream.read()


def split_of(path: Path) -> str:
    """The split that the folders of a path name; empty when none does. The innermost counts."""
    return next((SPLIT_NAMES[part.lower()] for part in reversed(path.parts) if part.lower() in SPLIT_NAMES), "")
