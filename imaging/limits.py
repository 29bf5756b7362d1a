"""Bounds on what is read, checked before anything is decoded."""

from dataclasses import dataclass
from typing import Final

from imaging.errors import CorruptFileError, ImageTooLargeError, ImageTooSmallError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """How large and how small a radiograph may be."""

    max_file_bytes: int = 512 * 1024 * 1024
    max_pixels: int = 100_000_000
    """Rows times columns; the largest detectors have about 20 million."""
    min_side_px: int = 64
    """Shortest side of an image that may show a fracture."""

    def check_size(self, rows: int, columns: int) -> None:
        """Judge the size a header announces.

        Raises:
            CorruptFileError: It announces no pixels.
            ImageTooLargeError: More than `max_pixels`.
            ImageTooSmallError: A side shorter than `min_side_px`.
        """
        if rows < 1 or columns < 1:
            raise CorruptFileError("The header announces an image without pixels.")
        if rows * columns > self.max_pixels:
            raise ImageTooLargeError(
                f"The header announces {columns} x {rows} pixels; at most {self.max_pixels:,} pixels are read."
            )
        if min(rows, columns) < self.min_side_px:
            raise ImageTooSmallError(
                f"The image has {columns} x {rows} pixels; the shorter side needs at least {self.min_side_px}."
            )


DEFAULT_LIMITS: Final = ReadLimits()
