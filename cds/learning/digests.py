"""By which an image or a row is recognised again without keeping it."""

import hashlib
from pathlib import Path

import cv2
import numpy as np


def image_digests(content: bytes) -> tuple[str, ...]:
    """SHA-256 of an image file and, where it decodes, of its grey pixels: a copy saved anew is recognised by these.

    Args:
        content: PNG, JPEG or DICOM file; of a DICOM file only the file itself counts.

    Returns:
        One or two digests in hexadecimal digits.
    """
    whole = hashlib.sha256(content).hexdigest()
    pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_GRAYSCALE) if content else None
    if pixels is None:
        return (whole,)
    shape = f"{pixels.shape[0]}x{pixels.shape[1]}:".encode()
    return whole, hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def file_digests(path: Path) -> tuple[str, ...]:
    """`image_digests` of a file."""
    return image_digests(path.read_bytes())


def row_digest(values: dict[str, object]) -> str:
    """SHA-256 of a row's content, whatever the order of its columns; missing values count as empty."""
    text = "\n".join(f"{name}={'' if value is None else value}" for name, value in sorted(values.items()))
    return hashlib.sha256(text.encode()).hexdigest()
