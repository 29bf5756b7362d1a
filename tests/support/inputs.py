"""Input files made in code: sound and broken radiographs, small patient records with a planted name."""

import io
import json
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage, ExplicitVRLittleEndian, generate_uid

PLANTED = ("Plantedname", "Plantedgiven", "planted-id-4711", "1958-09-17")
"""Words that no message, log or traceback may ever show."""


def dicom_file(*, modality: str = "CR", rows: int = 256, columns: int = 192, written_rows: int | None = None) -> bytes:
    """A DICOM Part 10 file of a bright shaft, with a planted patient.

    Args:
        modality: ``CR`` or ``CT``.
        rows: Rows as the header states them.
        columns: Columns.
        written_rows: rows of pixel data really there; `rows` by default.
    """
    storage = CTImageStorage if modality == "CT" else ComputedRadiographyImageStorage
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID = storage
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.Modality = modality
    image.PatientName, image.PatientID, image.PatientBirthDate = (
        "Plantedname^Plantedgiven",
        "planted-id-4711",
        "19580917",
    )
    image.BodyPartExamined = "WRIST"
    image.Rows, image.Columns = rows, columns
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    height = rows if written_rows is None else written_rows
    profile = np.clip(1 - np.abs(np.linspace(-3, 3, columns)), 0.02, 1) * 4000
    shade = np.linspace(0.8, 1.0, max(height, 1))[:height, None]
    image.PixelData = (shade * profile).astype("<u2").tobytes()
    target = io.BytesIO()
    image.save_as(target, enforce_file_format=True)
    return target.getvalue()


def png_file(width: int, height: int) -> bytes:
    """A sound greyscale PNG."""
    target = io.BytesIO()
    Image.new("L", (width, height), 128).save(target, format="PNG")
    return target.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


BROKEN_IMAGES: dict[str, bytes] = {
    "truncated.dcm": dicom_file()[:-5000],
    "ct.dcm": dicom_file(modality="CT"),
    "text.dcm": b"Plantedname wrote this text, it is no image.\n",
    "tiny.png": png_file(1, 1),
    "huge.dcm": dicom_file(rows=30000, columns=30000, written_rows=1),
    "huge.png": png_header(30000, 30000),
    "empty.png": b"",
}
"""File name to bytes that must be refused as an image."""


def patient_bundle(**patient: Any) -> bytes:
    """A Bundle of one woman with a planted name; keyword arguments replace elements of the Patient, None drops them."""
    resource = {
        "resourceType": "Patient",
        "id": "planted-id-4711",
        "name": [{"family": "Plantedname", "given": ["Plantedgiven"]}],
        "gender": "female",
        "birthDate": "1958-09-17",
        **patient,
    }
    kept = {name: value for name, value in resource.items() if value is not None}
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": kept}]}).encode()


BROKEN_RECORDS: dict[str, bytes] = {
    "other.json": b'{"resourceType": "Patient", "id": "planted-id-4711", "name": [{"family": "Plantedname"}]}',
    "history.json": b'{"resourceType": "Bundle", "type": "history", "entry": []}',
    "invalid.json": b'{"resourceType": "Bundle", "entry": [{"Plantedname',
    "empty.json": b"",
    "nobody.json": b'{"resourceType": "Bundle", "type": "collection", "entry": []}',
    "cut.json.gz": b"\x1f\x8b\x08\x00Plantedname",
}
"""File name to bytes that must be refused as a patient record."""
