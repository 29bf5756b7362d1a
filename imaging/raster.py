"""PNG and JPEG to grey values, strictly: a damaged or cut file raises, it is never completed with grey.

Pillow decodes, since it raises on missing data where OpenCV fills in; before it runs, the size is taken from the header
and, for PNG, every checksum is verified. The resolution a PNG or JPEG states is a print resolution, so it is no pixel
spacing and is not read.
"""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from imaging.codestream import CodestreamError, jpeg_header
from imaging.errors import CorruptFileError, ImageTooLargeError, TruncatedFileError, UnsupportedEncodingError
from imaging.grey import grey_from_8_bit, grey_from_16_bit, grey_from_rgb
from imaging.limits import DEFAULT_LIMITS, ReadLimits

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE: Final = b"\xff\xd8\xff"
PNG_SYNTHETIC: Final = (b"Synthetic Data", b"YES")
"""Keyword and text of the tEXt chunk that marks a phantom, named after the DICOM attribute (0008,001C)."""

_MAX_CHUNKS: Final = 100_000
_MAX_TEXT_CHUNK: Final = 1 << 12
_SIXTEEN_BIT_MODES: Final = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RasterImage:
    """A decoded PNG or JPEG."""

    pixels: NDArray[np.float32]
    """[H, W], 0..1."""
    frames: int
    """How many images the file holds; the first was read."""
    coloured: bool
    """True when colour was lost."""
    synthetic: bool
    """True for a PNG marked as a phantom."""
    stretched: bool
    """True when brightness was set from the image's own grey values (16 bits)."""


def read_png(data: bytes, *, limits: ReadLimits = DEFAULT_LIMITS) -> RasterImage:
    """Decode a PNG file.

    Raises:
        TruncatedFileError: The file ends before its IEND chunk.
        CorruptFileError: A checksum or a structure is wrong.
        UnfitContentError: The header announces a size outside `limits`.
    """
    columns, rows, synthetic = _walk_png(data)
    limits.check_size(rows, columns)
    return _decode(data, "PNG", synthetic=synthetic)


def read_jpeg(data: bytes, *, limits: ReadLimits = DEFAULT_LIMITS) -> RasterImage:
    """Decode a JPEG file, with the EXIF orientation applied.

    Raises:
        TruncatedFileError: The file ends before its end-of-image marker.
        CorruptFileError: A structure is wrong.
        UnfitContentError: The header announces a size outside `limits`.
        UnsupportedEncodingError: A JPEG process without decoder (lossless, arithmetic coding, 12 bits).
    """
    try:
        header = jpeg_header(data)
    except CodestreamError as error:
        raise (TruncatedFileError if error.truncated else CorruptFileError)(f"Damaged JPEG file: {error}.") from None
    limits.check_size(header.rows, header.columns)
    if header.precision != 8 or header.process not in (0, 1, 2):
        raise UnsupportedEncodingError(
            "The JPEG file uses a process that plain JPEG files do not use (lossless, arithmetic or 12-bit).",
            remedy="Save the radiograph as PNG, or as baseline JPEG.",
        )
    # Looked for behind the frame header, since thumbnails before it have end markers of their own; cameras append data.
    if data.find(b"\xff\xd9", header.end) < 0:
        raise TruncatedFileError("The JPEG file ends without its end-of-image marker.")
    return _decode(data, "JPEG", synthetic=False)


def stored_grey(data: bytes) -> NDArray[np.generic]:
    """The grey values of a file that `read_png` or `read_jpeg` has read, upright and as stored.

    Returns:
        [H, W], uint8, or uint16 where the file holds more than 8 bits.
    """
    with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
        image.load()
        upright = _upright(image)
        if upright.mode in _SIXTEEN_BIT_MODES:
            return np.asarray(np.clip(np.asarray(upright), 0, 65535), dtype=np.uint16)
        pixels, _, _ = _to_grey(upright)
        return np.rint(pixels * 255).astype(np.uint8)


def _walk_png(data: bytes) -> tuple[int, int, bool]:
    """Check each chunk's bounds and checksum; return columns, rows and whether the phantom mark is there."""
    position, columns, rows, synthetic = len(PNG_SIGNATURE), 0, 0, False
    view = memoryview(data)
    for index in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise TruncatedFileError("The PNG file ends before its last chunk.")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise TruncatedFileError("The PNG file ends inside a chunk.")
        (expected,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != expected:
            raise CorruptFileError("A checksum in the PNG file does not match its data.")
        if index == 0:
            if kind != b"IHDR" or length != 13:
                raise CorruptFileError("The PNG file does not begin with its header.")
            columns, rows = struct.unpack_from(">II", data, position + 8)
        elif kind == b"tEXt" and length <= _MAX_TEXT_CHUNK:
            synthetic |= tuple(data[position + 8 : end - 4].split(b"\x00", 1)) == PNG_SYNTHETIC
        elif kind == b"IEND":
            return columns, rows, synthetic
        position = end
    raise CorruptFileError("The PNG file is made of too many chunks.")


def _decode(data: bytes, container: str, *, synthetic: bool) -> RasterImage:
    try:
        with Image.open(BytesIO(data), formats=(container,)) as image:
            frames = int(getattr(image, "n_frames", 1))
            image.load()
            upright = _upright(image)
            pixels, coloured, stretched = _to_grey(upright)
    except (OSError, SyntaxError) as error:
        # Pillow tells missing data only by its words.
        if "truncated" in str(error).lower():
            raise TruncatedFileError(f"The {container} file holds less image data than its header announces.") from None
        raise CorruptFileError(f"The {container} file is damaged and cannot be decoded.") from None
    except (Image.DecompressionBombError, MemoryError):
        raise ImageTooLargeError(f"The {container} file unpacks to more than can be read.") from None
    except Exception:  # decoders meet damaged bytes with almost any exception; each means the same to the reader
        raise CorruptFileError(f"The {container} file is damaged and cannot be decoded.") from None
    return RasterImage(pixels=pixels, frames=frames, coloured=coloured, synthetic=synthetic, stretched=stretched)


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; damaged EXIF data are as good as none."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is optional and its damage does not touch the pixels
        return image


def _to_grey(image: Image.Image) -> tuple[NDArray[np.float32], bool, bool]:
    """Grey values 0..1 [H, W], whether colour was lost, whether the range was stretched."""
    if image.mode in _SIXTEEN_BIT_MODES:
        codes = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        return grey_from_16_bit(codes), False, True
    if image.mode in ("L", "1"):
        return grey_from_8_bit(np.asarray(image.convert("L"))), False, False
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, rgba)
    grey, coloured = grey_from_rgb(np.asarray(image.convert("RGB")))
    return grey, coloured, False
