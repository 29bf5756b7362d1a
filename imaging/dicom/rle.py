"""DICOM run-length coding (PS3.5 annex G), bounded.

Written out here because the decoders at hand trust the stream: one panics on damaged data, which no handler of ordinary
exceptions catches, the other lets a small stream grow without bound.
"""

import struct
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from imaging.errors import CorruptFileError, TruncatedFileError

_HEADER_BYTES: Final = 64
_MAX_SEGMENTS: Final = 15


def decode_rle(stream: bytes, *, rows: int, columns: int, samples: int, bytes_per_sample: int) -> NDArray[Any]:
    """Decode one frame.

    Args:
        stream: The frame's fragment, header included.
        rows: Height in pixels.
        columns: Width in pixels.
        samples: 1 for grey, 3 for colour.
        bytes_per_sample: 1 or 2.

    Returns:
        [H, W] or [H, W, 3] of uint8 or uint16.

    Raises:
        CorruptFileError: The segments do not fit the image.
        TruncatedFileError: A segment ends before the image is full.
    """
    expected = rows * columns
    planes = [_decode_segment(segment, expected) for segment in _segments(stream, samples * bytes_per_sample)]
    channels = []
    for start in range(0, len(planes), bytes_per_sample):
        channel = planes[start].astype(f"u{bytes_per_sample}")
        for lower in planes[start + 1 : start + bytes_per_sample]:
            channel = (channel << 8) | lower
        channels.append(channel.reshape(rows, columns))
    return channels[0] if samples == 1 else np.stack(channels, axis=-1)


def _segments(stream: bytes, count: int) -> list[bytes]:
    if len(stream) < _HEADER_BYTES:
        raise TruncatedFileError("The run-length coded DICOM image ends inside its header.")
    stated, *offsets = struct.unpack_from("<16I", stream)
    if stated != count or count > _MAX_SEGMENTS:
        raise CorruptFileError("The run-length coded DICOM image has another number of segments than it needs.")
    bounds = [*offsets[:count], len(stream)]
    if bounds[0] < _HEADER_BYTES or any(low >= high for low, high in pairwise(bounds)):
        raise CorruptFileError("The segments of the run-length coded DICOM image are out of order.")
    return [stream[low:high] for low, high in pairwise(bounds)]


def _decode_segment(segment: bytes, expected: int) -> NDArray[np.uint8]:
    """Undo PackBits until `expected` bytes are there."""
    decoded = bytearray()
    position, end = 0, len(segment)
    while len(decoded) < expected:
        if position + 1 >= end:
            raise TruncatedFileError("The run-length coded DICOM image ends before all its pixels are there.")
        control = segment[position]
        if control < 128:
            decoded += segment[position + 1 : position + 2 + control]
            position += control + 2
        elif control > 128:
            decoded += segment[position + 1 : position + 2] * (257 - control)
            position += 2
        else:
            position += 1
    if len(decoded) != expected or position > end:
        raise CorruptFileError("A run of the run-length coded DICOM image reaches beyond the last pixel.")
    return np.frombuffer(decoded, dtype=np.uint8)
