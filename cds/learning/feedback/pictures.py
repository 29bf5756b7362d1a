"""A radiograph as the reader saw it, as 8-bit grey values alone: no header, no metadata, no burned-in text.

Every image is written anew: bytes of the original, even of one without metadata, would let whoever holds it find it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cds.learning.feedback import reasons
from cds.pipeline import ImageReader
from cds.store.feedback import Box
from imaging.dicom.burned_in import find_text, mask
from imaging.dicom.dataset import parse, quiet, text
from imaging.dicom.deidentify import DeidentifyOptions, deidentify
from imaging.errors import ImagingError
from imaging.limits import DEFAULT_LIMITS

HIDDEN: Final = 0.25
"""A labelled place of which text covers this share cannot be learned from."""
MOST_HIDDEN: Final = 0.05
"""Where more than this share of an image looks like text it is rather anatomy: fingers near a border look alike. On 145
public limb radiographs 42 had something masked, up to 16 % of the image."""
_COMPRESSION: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image that holds nothing but grey values."""

    png: bytes = field(repr=False)
    width: int
    height: int
    synthetic: bool
    """The file says that it is a phantom."""
    covered: NDArray[np.bool_] = field(repr=False)
    """[H, W], True where text was painted over."""
    patient_id: str | None = field(repr=False)
    """Of the DICOM file, to keep the patient's images together; it goes into no export."""


def picture_of(data: bytes, *, frame: int, read_image: ImageReader, key: bytes) -> Picture | str:
    """Free a radiograph of identifiers.

    A DICOM file goes through `imaging.dicom.deidentify`, which refuses what it cannot vouch for, and gives the regions
    of text in the stored values; what the reader saw is masked there and where text shows in the display.

    Args:
        data: a DICOM, PNG or JPEG file.
        frame: which frame, from 1.
        read_image: as the case was read.
        key: of the export.

    Returns:
        The picture; a code of `reasons` where there can be none.
    """
    try:
        radiograph = read_image(data, frame=frame)
        grey = np.rint(np.clip(np.nan_to_num(radiograph.pixels), 0.0, 1.0) * 255.0).astype(np.uint8)
        regions = find_text(grey.astype(np.float64))
        patient = None
        if radiograph.source_format == "dicom":
            done = deidentify(data, DeidentifyOptions(key=key))
            regions = (*regions, *done.masked)
            if done.needs_review and not regions:
                return reasons.TEXT_LEFT
            with quiet():
                patient = text(parse(data, max_bytes=DEFAULT_LIMITS.max_file_bytes), "PatientID")
    except ImagingError as error:
        return f"{reasons.IMAGE_UNUSABLE}:{error.code}"
    numbers = np.arange(grey.size).reshape(grey.shape)
    covered = mask(numbers, regions) != numbers
    if float(covered.mean()) > MOST_HIDDEN:
        return reasons.MUCH_MASKED
    return Picture(
        png=_png(mask(grey, regions)),
        width=grey.shape[1],
        height=grey.shape[0],
        synthetic=radiograph.synthetic,
        covered=covered,
        patient_id=patient or None,
    )


def fitted(boxes: Sequence[Box], picture: Picture) -> tuple[Box, ...] | str:
    """Boxes cut at the borders of the picture.

    Returns:
        The boxes; a code of `reasons` where one lies outside by more than half, or under text.
    """
    found: list[Box] = []
    for x0, y0, x1, y1 in boxes:
        box = max(0.0, x0), max(0.0, y0), min(float(picture.width), x1), min(float(picture.height), y1)
        area = max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
        if area < 0.5 * (x1 - x0) * (y1 - y0):
            return reasons.BOX_OUTSIDE
        left, top, right, bottom = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
        if float(picture.covered[top:bottom, left:right].mean()) >= HIDDEN:
            return reasons.LABEL_MASKED
        found.append(box)
    return tuple(found)


def _png(grey: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()
