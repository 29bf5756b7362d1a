"""A tiny JPEG Lossless encoder (ITU-T T.81 annex H, selection value 1), since no library here writes that process."""

import struct

import numpy as np
from numpy.typing import NDArray

_CATEGORIES = 17


def encode_jpeg_lossless(pixels: NDArray[np.unsignedinteger], precision: int) -> bytes:
    """Encode a grey image [H, W] with every difference category coded in five bits."""
    rows, columns = pixels.shape
    values = pixels.astype(np.int64)
    prediction = np.empty_like(values)
    prediction[0, 0] = 1 << (precision - 1)
    prediction[0, 1:] = values[0, :-1]
    prediction[1:, 0] = values[:-1, 0]
    prediction[1:, 1:] = values[1:, :-1]
    differences = (values - prediction) & 0xFFFF
    bits: list[str] = []
    for difference in differences.ravel():
        signed = int(difference) - 0x10000 if difference >= 0x8000 else int(difference)
        category = abs(signed).bit_length()
        bits.append(f"{category:05b}")
        if 0 < category < 16:
            bits.append(f"{signed if signed > 0 else signed + (1 << category) - 1:0{category}b}")
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    data = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    # 17 codes of five bits: 00000 to 10000.
    lengths = bytes([0, 0, 0, 0, _CATEGORIES] + [0] * 11)
    table = _segment(0xC4, b"\x00" + lengths + bytes(range(_CATEGORIES)))
    frame = _segment(0xC3, struct.pack(">BHHB", precision, rows, columns, 1) + bytes([1, 0x11, 0]))
    scan = _segment(0xDA, bytes([1, 1, 0, 1, 0, 0]))
    return b"\xff\xd8" + frame + table + scan + data + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
