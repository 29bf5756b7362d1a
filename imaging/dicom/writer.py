"""A minimal valid DICOM radiograph: Digital X-Ray or Computed Radiography, for presentation, uncompressed.

Made for phantoms and tests. The result carries what PS3.3 demands (A.26 DX, A.2 CR) and nothing that could name a
person unless the caller gives it.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from imaging.labels import BodyRegion
from imaging.results import PixelSpacing, SpacingOrigin

IMPLEMENTATION_CLASS_UID: Final = UID("2.25.309130482764301955374512347126713251894")
IMPLEMENTATION_VERSION: Final = "FRACTURE-CDS"
PHANTOM_MANUFACTURER: Final = "fracture-cds phantom"
"""Manufacturer of synthetic images, whose Image Type is DERIVED; `imaging.dicom.reader` recognises the two together.

The standard's own attribute, Synthetic Data (0008,001C), is optional and newer than many validators, which report it as
an error; it is read, but not written.
"""


class RadiographClass(StrEnum):
    """Storage class of the written image."""

    DX = "1.2.840.10008.5.1.4.1.1.1.1"
    """Digital X-Ray Image Storage - For Presentation."""
    CR = "1.2.840.10008.5.1.4.1.1.1"
    """Computed Radiography Image Storage."""


class View(StrEnum):
    """Projection, as in View Position (0018,5101)."""

    AP = "AP"
    """Antero-posterior."""
    PA = "PA"
    """Postero-anterior."""
    LL = "LL"
    """Left lateral."""
    RL = "RL"
    """Right lateral."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coded:
    value: str
    meaning: str
    scheme: str = "SCT"

    def item(self) -> Dataset:
        item = Dataset()
        item.CodeValue = self.value
        item.CodingSchemeDesignator = self.scheme
        item.CodeMeaning = self.meaning
        return item


_VIEW_CODES: Final = {
    View.AP: _Coded(value="399348003", meaning="Antero-posterior"),
    View.PA: _Coded(value="272479007", meaning="Postero-anterior"),
    View.LL: _Coded(value="399173006", meaning="Left lateral"),
    View.RL: _Coded(value="399198007", meaning="Right lateral"),
}
REGIONS: Final = {
    BodyRegion.HAND: ("HAND", _Coded(value="85562004", meaning="Hand")),
    BodyRegion.WRIST: ("WRIST", _Coded(value="74670003", meaning="Wrist joint")),
    BodyRegion.FOREARM: ("FOREARM", _Coded(value="14975008", meaning="Forearm")),
    BodyRegion.ELBOW: ("ELBOW", _Coded(value="16953009", meaning="Elbow joint")),
    BodyRegion.HUMERUS: ("HUMERUS", _Coded(value="85050009", meaning="Humerus")),
    BodyRegion.SHOULDER: ("SHOULDER", _Coded(value="16982005", meaning="Shoulder")),
    BodyRegion.CLAVICLE: ("CLAVICLE", _Coded(value="51299004", meaning="Clavicle")),
    BodyRegion.PELVIS: ("PELVIS", _Coded(value="816092008", meaning="Pelvis")),
    BodyRegion.HIP: ("HIP", _Coded(value="24136001", meaning="Hip joint")),
    BodyRegion.FEMUR: ("FEMUR", _Coded(value="71341001", meaning="Femur")),
    BodyRegion.KNEE: ("KNEE", _Coded(value="72696002", meaning="Knee")),
    BodyRegion.LOWER_LEG: ("LEG", _Coded(value="30021000", meaning="Lower leg")),
    BodyRegion.ANKLE: ("ANKLE", _Coded(value="70258002", meaning="Ankle joint")),
    BodyRegion.FOOT: ("FOOT", _Coded(value="56459004", meaning="Foot")),
}
"""Body Part Examined and Anatomic Region Sequence code of each region (context group 4031)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomHeader:
    """What the header of a written image says."""

    region: BodyRegion | None = None
    laterality: str | None = None
    """``L``, ``R``, ``B`` or ``U``; the DX object writes ``U`` for None."""
    view: View = View.PA
    spacing: PixelSpacing | None = None
    """CALIBRATED becomes Pixel Spacing with calibration type FIDUCIAL, DETECTOR becomes Imager Pixel Spacing."""
    storage: RadiographClass = RadiographClass.DX
    inverted: bool = False
    """Write MONOCHROME1; the stored values are then inverted, so the picture stays the same."""
    bits_stored: int = 12
    """8 to 16."""
    magnification: float = 1.1
    """Radiographic magnification: by how much Imager Pixel Spacing exceeds a calibrated Pixel Spacing."""
    synthetic: bool = False
    """Mark as artificial, see `PHANTOM_MANUFACTURER`."""
    patient_id: str = ""
    patient_name: str = ""
    acquired: dt.datetime = dt.datetime(2000, 1, 1, 12, 0, 0)
    uid_seed: str | None = None
    """Makes the UIDs reproducible; None gives fresh ones."""


def build_dicom(pixels: NDArray[np.floating[Any]], header: DicomHeader) -> FileDataset:
    """Make a data set from an image.

    Args:
        pixels: [H, W], 0..1, bone bright.
        header: What to say about it.

    Returns:
        A data set in Explicit VR Little Endian, ready for `FileDataset.save_as`.

    Raises:
        ValueError: The image is not two-dimensional, `bits_stored` is not 8..16, or a DX image has no spacing, which
            that class demands.
    """
    if pixels.ndim != 2 or not 8 <= header.bits_stored <= 16:
        raise ValueError("pixels must be [H, W] and bits_stored 8..16")
    if header.storage is RadiographClass.DX and header.spacing is None:
        raise ValueError("a DX image must state its spacing; use RadiographClass.CR without one")
    uids = _uids(header.uid_seed)
    dataset = FileDataset("", {}, file_meta=_file_meta(header, uids[0]), preamble=b"\x00" * 128)
    _write_identity(dataset, header, uids)
    _write_equipment(dataset, header)
    _write_anatomy(dataset, header)
    _write_spacing(dataset, header)
    _write_pixels(dataset, pixels, header)
    if header.storage is RadiographClass.DX:
        _write_dx(dataset, header)
    else:
        _write_cr(dataset, header)
    return dataset


def write_dicom(path: Path, pixels: NDArray[np.floating[Any]], header: DicomHeader) -> None:
    """Write an image [H, W], 0..1, bone bright, to a DICOM file. See `build_dicom` for what it raises."""
    build_dicom(pixels, header).save_as(path, enforce_file_format=True)


def _uids(seed: str | None) -> Sequence[UID]:
    """SOP instance, series and study UIDs under the root 2.25, which needs no registration (PS3.5 B.2)."""

    def derived(part: str) -> UID:
        if seed is None:
            return UID(f"2.25.{uuid4().int}")
        digest = hashlib.sha256(f"{seed}/{part}".encode()).digest()[:16]
        return UID(f"2.25.{UUID(bytes=digest, version=4).int}")

    return [derived(part) for part in ("instance", "series", "study")]


def _file_meta(header: DicomHeader, instance: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(header.storage.value)
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta


def _write_identity(dataset: Dataset, header: DicomHeader, uids: Sequence[UID]) -> None:
    """SOP common, patient, study and series modules."""
    instance, series, study = uids
    day, time = header.acquired.strftime("%Y%m%d"), header.acquired.strftime("%H%M%S")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(header.storage.value)
    dataset.SOPInstanceUID = instance
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.StudyDate, dataset.StudyTime = day, time
    dataset.ContentDate, dataset.ContentTime = day, time
    dataset.AcquisitionDate, dataset.AcquisitionTime = day, time
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.PatientName = header.patient_name
    dataset.PatientID = header.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.StudyID = ""
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.Modality = header.storage.name


def _write_equipment(dataset: Dataset, header: DicomHeader) -> None:
    """General equipment; the marks of a synthetic image."""
    dataset.Manufacturer = PHANTOM_MANUFACTURER if header.synthetic else "fracture-cds"
    dataset.ManufacturerModelName = "fracture-cds"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    dataset.ImageType = ["DERIVED" if header.synthetic else "ORIGINAL", "PRIMARY", ""]
    if header.synthetic:
        dataset.ImageComments = "SYNTHETIC PHANTOM: no patient, not for diagnosis"
        dataset.DerivationDescription = "Computed radiograph of a mathematical phantom"


def _write_anatomy(dataset: Dataset, header: DicomHeader) -> None:
    if header.region is None:
        dataset.BodyPartExamined = ""
    else:
        term, code = REGIONS[header.region]
        dataset.BodyPartExamined = term
        dataset.AnatomicRegionSequence = [code.item()]
    dataset.PatientOrientation = ["L", "F"] if header.view in (View.AP, View.PA) else ["A", "F"]
    dataset.ViewPosition = header.view.value


def _write_spacing(dataset: Dataset, header: DicomHeader) -> None:
    spacing = header.spacing
    if spacing is None or spacing.origin is SpacingOrigin.UNKNOWN:
        return
    pair = [f"{spacing.row_mm:.6g}", f"{spacing.column_mm:.6g}"]
    if spacing.origin is SpacingOrigin.DETECTOR:
        dataset.ImagerPixelSpacing = pair
        return
    dataset.PixelSpacing = pair
    dataset.ImagerPixelSpacing = [
        f"{spacing.row_mm * header.magnification:.6g}",
        f"{spacing.column_mm * header.magnification:.6g}",
    ]
    dataset.PixelSpacingCalibrationType = "FIDUCIAL"
    dataset.PixelSpacingCalibrationDescription = "known geometry"


def _write_pixels(dataset: Dataset, pixels: NDArray[np.floating[Any]], header: DicomHeader) -> None:
    top = (1 << header.bits_stored) - 1
    wide = header.bits_stored > 8
    scaled = np.clip(np.nan_to_num(np.asarray(pixels, dtype=np.float64)), 0.0, 1.0)
    values = np.rint((1.0 - scaled if header.inverted else scaled) * top).astype("<u2" if wide else "u1")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if header.inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated = 16 if wide else 8
    dataset.BitsStored = header.bits_stored
    dataset.HighBit = header.bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.WindowCenter, dataset.WindowWidth = str((top + 1) / 2), str(top + 1)
    data = values.tobytes()
    dataset.PixelData = data + b"\x00" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"


def _write_dx(dataset: Dataset, header: DicomHeader) -> None:
    """DX series, anatomy imaged, DX image, DX detector and positioning modules."""
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = header.laterality or "U"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1 if not header.inverted else 1
    dataset.PresentationLUTShape = "INVERSE" if header.inverted else "IDENTITY"
    dataset.AcquisitionContextSequence = []
    dataset.DetectorType = "STORAGE"
    dataset.PositionerType = "NONE"
    dataset.ViewCodeSequence = [_VIEW_CODES[header.view].item()]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    if "AnatomicRegionSequence" not in dataset:
        dataset.AnatomicRegionSequence = [_Coded(value="66019005", meaning="Extremity").item()]


def _write_cr(dataset: Dataset, header: DicomHeader) -> None:
    dataset.Laterality = header.laterality or ""
