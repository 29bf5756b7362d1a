"""By which an image is recognised again without keeping it.

A row of a table has no such digest: its values are few, and whoever holds the digest could find them by trying.
"""

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
