"""A radiograph in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.labels import BodyRegion
from imaging.results import PixelSpacing


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomReference:
    """Identifiers that tie a result to the image it was read from."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    frame: int
    """Frame number, counted from 1 as DICOM does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Radiograph:
    """One projection radiograph, ready for the network."""

    pixels: NDArray[np.float32]
    """[H, W], 0..1, bone bright."""
    sha256: str
    """Digest of the file's bytes, in hexadecimal."""
    source_format: str
    """``dicom``, ``png`` or ``jpeg``."""
    spacing: PixelSpacing | None = None
    region: BodyRegion | None = None
    laterality: str | None = None
    synthetic: bool = False
    dicom: DicomReference | None = None
    warnings: tuple[str, ...] = ()
