"""Headers of JPEG, JPEG-LS and JPEG 2000 code streams: size and completeness, known before anything is decoded.

A decoder allocates what the code stream announces, so the announcement is read and judged first. Sources: ITU-T T.81
annex B (JPEG), ITU-T T.87 annex C (JPEG-LS), ITU-T T.800 annex A (JPEG 2000).
"""

import struct
from dataclasses import dataclass
from typing import Final

JPEG_START: Final = b"\xff\xd8"
JPEG_2000_START: Final = b"\xff\x4f\xff\x51"

_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_SOF: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SOF_LS: Final = 0xF7
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_PADDING: Final = 64
"""Bytes of padding that writers leave after the last marker."""


class CodestreamError(ValueError):
    """The code stream cannot be what it should be."""

    def __init__(self, message: str, *, truncated: bool = False) -> None:
        """Store the message and whether the cause is a missing end."""
        super().__init__(message)
        self.truncated = truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class CodestreamHeader:
    """What a code stream announces."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits per sample."""
    process: int
    """JPEG: number of the start-of-frame marker (0 baseline, 1 extended, 2 progressive, 3 lossless, 0xF7 - 0xC0 = 55
    JPEG-LS); JPEG 2000: -1."""
    end: int
    """Position after the header segment this was read from."""


def jpeg_header(data: bytes) -> CodestreamHeader:
    """Read a JPEG or JPEG-LS header up to the start-of-frame marker.

    Raises:
        CodestreamError: The markers make no sense or end too early.
    """
    if data[:2] != JPEG_START:
        raise CodestreamError("no start-of-image marker")
    position = 2
    while True:
        position, marker = _next_marker(data, position)
        if marker in _STANDALONE:
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            raise CodestreamError("no frame header before the image data")
        if position + 2 > len(data):
            raise CodestreamError("ends inside its header", truncated=True)
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise CodestreamError("a header segment has no length")
        if marker in _SOF or marker == _SOF_LS:
            return _frame_header(data, position, length, marker)
        position += length


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """Position after the next marker, and its second byte; fill bytes (0xFF) are skipped."""
    if position >= len(data):
        raise CodestreamError("ends inside its header", truncated=True)
    if data[position] != 0xFF:
        raise CodestreamError("a header marker is missing")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise CodestreamError("ends inside its header", truncated=True)
    return position + 1, data[position]


def _frame_header(data: bytes, position: int, length: int, marker: int) -> CodestreamHeader:
    if position + max(length, 8) > len(data):
        raise CodestreamError("ends inside its frame header", truncated=True)
    precision, rows, columns, components = struct.unpack_from(">BHHB", data, position + 2)
    if not (rows and columns and components):
        raise CodestreamError("announces an image without pixels")
    return CodestreamHeader(
        rows=rows,
        columns=columns,
        components=components,
        precision=precision,
        process=marker - 0xC0,
        end=position + length,
    )


def jpeg_2000_header(data: bytes) -> CodestreamHeader:
    """Read the SIZ segment of a JPEG 2000 code stream.

    Raises:
        CodestreamError: There is none, it ends too early or is contradictory.
    """
    if data[:4] != JPEG_2000_START:
        raise CodestreamError("no JPEG 2000 start-of-codestream marker")
    if len(data) < 45:
        raise CodestreamError("ends inside its header", truncated=True)
    x_size, y_size, x_offset, y_offset, tile_x, tile_y, _, _, components = struct.unpack_from(">8IH", data, 8)
    precision, step_x, step_y = data[42:45]
    columns, rows = x_size - x_offset, y_size - y_offset
    if rows < 1 or columns < 1 or components < 1 or tile_x < 1 or tile_y < 1:
        raise CodestreamError("announces an image without pixels")
    if (step_x, step_y) != (1, 1):
        raise CodestreamError("announces a subsampled image")
    return CodestreamHeader(
        rows=rows,
        columns=columns,
        components=components,
        precision=(precision & 0x7F) + 1,
        process=-1,
        end=45,
    )


def ends_properly(data: bytes) -> bool:
    """Whether a JPEG, JPEG-LS or JPEG 2000 code stream ends with its end marker (0xFFD9), but for padding."""
    return b"\xff\xd9" in data[-_PADDING:]
