"""DICOM files for tests, made in memory: one valid radiograph, bent and encoded in every way a PACS might send it."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from imaging.dicom.writer import DicomHeader, RadiographClass, build_dicom
from imaging.labels import BodyRegion
from imaging.results import PixelSpacing, SpacingOrigin
from tests.support.jpeg_lossless import encode_jpeg_lossless

PATIENT_NAME = "Rosalind^Unmistakable"
PATIENT_ID = "ID-49281734"

Bend = Callable[[FileDataset], None]


def limb_image(rows: int = 96, columns: int = 80) -> NDArray[np.float64]:
    """A bright bone on grey flesh on a dark ground, 0..1, with every row and column different."""
    x = np.linspace(-1.0, 1.0, columns)[None, :]
    y = np.linspace(0.0, 1.0, rows)[:, None]
    flesh = 0.45 * np.sqrt(np.clip(1.0 - (x / 0.7) ** 2, 0.0, 1.0))
    bone = 0.35 * np.sqrt(np.clip(1.0 - ((x - 0.1) / 0.25) ** 2, 0.0, 1.0))
    return np.clip(0.05 + (flesh + bone) * (0.85 + 0.15 * y) + 0.02 * np.sin(9.0 * y), 0.0, 1.0)


def header(**changes: object) -> DicomHeader:
    """A CR radiograph of a wrist without spacing, of a patient with a telling name."""
    fields: dict[str, object] = {
        "region": BodyRegion.WRIST,
        "laterality": "L",
        "storage": RadiographClass.CR,
        "patient_name": PATIENT_NAME,
        "patient_id": PATIENT_ID,
    }
    return DicomHeader(**{**fields, **changes})  # type: ignore[arg-type]


def spacing(row: float, column: float | None = None, origin: SpacingOrigin = SpacingOrigin.CALIBRATED) -> PixelSpacing:
    """A `PixelSpacing`, square unless told otherwise."""
    return PixelSpacing(row_mm=row, column_mm=row if column is None else column, origin=origin)


def dataset(pixels: NDArray[np.float64] | None = None, **changes: object) -> FileDataset:
    """A valid radiograph as a data set."""
    return build_dicom(limb_image() if pixels is None else pixels, header(**changes))


def to_bytes(made: FileDataset) -> bytes:
    """The file of a data set, with its preamble."""
    buffer = BytesIO()
    syntax = made.file_meta.TransferSyntaxUID
    # pydicom refuses to change the byte order on its own.
    swapped = syntax == ExplicitVRBigEndian
    encoding = {"force_encoding": True, "implicit_vr": False, "little_endian": False} if swapped else {}
    dcmwrite(buffer, made, enforce_file_format=not swapped, **encoding)
    return buffer.getvalue()


def file(bend: Bend | None = None, **changes: object) -> bytes:
    """A valid radiograph, then bent by `bend`, as the bytes of a file."""
    made = build_dicom(limb_image(), header(**changes))
    if bend is not None:
        bend(made)
    return to_bytes(made)


def set_stored(made: FileDataset, values: NDArray[np.integer], bits_stored: int) -> None:
    """Replace the pixels by integers [H, W] or [N, H, W]."""
    frames = values if values.ndim == 3 else values[None]
    made.BitsAllocated = 8 * values.dtype.itemsize
    made.BitsStored, made.HighBit = bits_stored, bits_stored - 1
    made.PixelRepresentation = int(np.issubdtype(values.dtype, np.signedinteger))
    made.Rows, made.Columns = frames.shape[1:]
    if values.ndim == 3:
        made.NumberOfFrames = len(frames)
    raw = frames.astype(values.dtype.newbyteorder("<")).tobytes()
    made.PixelData = raw + b"\x00" * (len(raw) % 2)
    for keyword in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "RescaleType"):
        if keyword in made:
            delattr(made, keyword)


def encapsulated(made: FileDataset, frames: list[bytes], syntax: UID) -> FileDataset:
    """Replace the pixel data by compressed frames."""
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = syntax
    return made


def compressed(syntax: UID, bits: int = 12, frames: int = 1) -> tuple[bytes, NDArray[np.integer]]:
    """A file in a compressed transfer syntax, and the stored values [N, H, W] it was made from."""
    top = (1 << bits) - 1
    dtype = np.uint16 if bits > 8 else np.uint8
    stored: NDArray[np.integer] = np.stack(
        [np.rint(np.roll(limb_image(), 3 * n, axis=1) * top) for n in range(frames)]
    ).astype(dtype)
    made = dataset(bits_stored=bits)
    set_stored(made, stored if frames > 1 else stored[0], bits)
    if syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        made.compress(syntax, generate_instance_uid=False)
    elif syntax == JPEGLosslessSV1:
        encapsulated(made, [encode_jpeg_lossless(frame, bits) for frame in stored], syntax)
    elif syntax == JPEGBaseline8Bit:
        encapsulated(made, [jpeg(frame, quality=98) for frame in stored], syntax)
    elif syntax == ExplicitVRBigEndian:
        made.PixelData = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
        made.file_meta.TransferSyntaxUID = syntax
    else:
        made.file_meta.TransferSyntaxUID = syntax
    return to_bytes(made), stored


def jpeg(values: NDArray[np.uint8], **options: object) -> bytes:
    """A JPEG file of an 8-bit image [H, W] or [H, W, 3]."""
    buffer = BytesIO()
    Image.fromarray(values).save(buffer, format="JPEG", **options)
    return buffer.getvalue()


def png(image: Image.Image, **options: object) -> bytes:
    """A PNG file."""
    buffer = BytesIO()
    image.save(buffer, format="PNG", **options)
    return buffer.getvalue()
