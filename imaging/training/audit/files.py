"""Checks of single image files: decodable to the last row, with content, and no copy of another."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imaging.errors import ImagingError, UnfitContentError
from imaging.reader import read_radiograph

FILL_GREY = 128 / 255
"""JPEG decoders fill what is missing with this grey; saved again, such a file looks complete."""
FILL_TOLERANCE = 2.5 / 255
FILL_PATCH_PX = 8
MIN_FILL_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFault:
    """What is wrong with an image file."""

    code: str
    reason: str
    remedy: str
    fatal: bool
    """False when the image can still be used."""


def image_fault(path: Path) -> FileFault | None:
    """Read a file with the application's own strict reader; None when nothing is wrong with it."""
    try:
        pixels = read_radiograph(path).pixels
    except UnfitContentError as error:
        return FileFault(code="image.unfit", reason=_clause(error), remedy=error.remedy, fatal=True)
    except ImagingError as error:
        return FileFault(code="image.corrupt", reason=_clause(error), remedy=error.remedy, fatal=True)
    share = filled_share(pixels)
    if share >= MIN_FILL_SHARE:
        return FileFault(
            code="image.cut_short",
            reason=f"the lowest {share:.0%} are one flat grey, as if the file had been cut short and saved again",
            remedy="Replace it by the complete file.",
            fatal=False,
        )
    return None


def _clause(error: ImagingError) -> str:
    text = str(error).rstrip(".")
    return text[:1].lower() + text[1:]


def filled_share(pixels: NDArray[np.float32]) -> float:
    """Share of the height, from below, that ends in the flat grey of a decoder that ran out of data.

    Decoders fill to the right and downwards from where the data end, so the lower right corner tells.

    Args:
        pixels: [H, W] in 0..1.
    """
    if min(pixels.shape) < 4 * FILL_PATCH_PX:
        return 0.0
    # Radiographs stored bright-on-dark and inverted ones meet here as grey or its complement.
    edge = np.abs(pixels[:, -FILL_PATCH_PX:] - FILL_GREY).max(axis=1) <= FILL_TOLERANCE
    rows = len(edge) if edge.all() else int(np.argmin(edge[::-1]))
    return rows / len(pixels) if rows >= FILL_PATCH_PX else 0.0


class ContentCheck:
    """Finds files of one content."""

    def __init__(self) -> None:
        self._seen: dict[str, Path] = {}

    def twin_of(self, path: Path) -> Path | None:
        """An earlier file with the same bytes."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        earlier = self._seen.setdefault(digest, path)
        return None if earlier == path else earlier
