"""What every result object shares: the image it belongs to, its identifiers, patient, study and equipment.

Results are filed in the study of the image they were made from: identifiers, patient and study attributes are copied
from it, and nothing else is. Each object's UID is computed from the image's own, the model and the content, so that
the same result made twice has the same UID and a PACS keeps one copy. The original is read and never changed.

A PNG or JPEG has no study and no patient. It is wrapped as a Secondary Capture in a study of its own
(`imaging.dicom.capture.wrap_radiograph`), with the patient left empty: a record that came beside it does not prove
whose picture it is.
"""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import Final
from uuid import NAMESPACE_OID, uuid5

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from imaging.dicom.dataset import parse, quiet, text
from imaging.dicom.writer import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from imaging.errors import CorruptFileError, ImagingError, NoPixelDataError
from imaging.limits import DEFAULT_LIMITS
from imaging.results import ImageFindings

MANUFACTURER: Final = "fracture-cds"
DISCLAIMER: Final = "Investigational, not for diagnostic use"
SERIES_NUMBERS: Final[dict[str, int]] = {"SR": 9801, "PR": 9802, "OT": 9803}
"""Series Number by modality: high, so that a PACS lists results after the images."""
MULTI_FRAME_CLASSES: Final = tuple(f"1.2.840.10008.5.1.4.1.1.7.{tail}" for tail in (1, 2, 3, 4))
"""Multi-frame Secondary Capture, the only images of several frames that are read."""
_ROOT: Final = uuid5(NAMESPACE_OID, IMPLEMENTATION_CLASS_UID)

_Accept = Callable[[str], bool]


def _matches(pattern: str) -> _Accept:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


_ANY: Final[_Accept] = bool
_DATE: Final = _matches(r"\d{8}")
_TIME: Final = _matches(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")
_ZONE: Final = _matches(r"[+-](0\d|1[0-4])[0-5]\d")
_COPIED: Final[dict[str, _Accept]] = {
    "PatientName": _ANY,
    "PatientID": _ANY,
    "IssuerOfPatientID": _ANY,
    "PatientBirthDate": _DATE,
    "PatientSex": _matches("[MFO]"),
    "PatientIdentityRemoved": _matches("YES|NO"),
    "DeidentificationMethod": _ANY,
    "PatientAge": _matches(r"\d{3}[DWMY]"),
    "StudyDate": _DATE,
    "StudyTime": _TIME,
    "StudyID": _ANY,
    "StudyDescription": _ANY,
    "AccessionNumber": _ANY,
    "ReferringPhysicianName": _ANY,
    "TimezoneOffsetFromUTC": _ZONE,
}
"""Attribute of the patient or the study to what a valid value looks like; an invalid one is left out."""
_ALWAYS: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Present in every object, empty where nothing is known (type 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """When and by what a result was made; part of its identity."""

    created: datetime
    """Timezone-aware."""
    software_version: str
    content_key: str
    """Digest of everything the result says; the same key on the same image gives the same UIDs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SourceImage:
    """The image that results are filed beside."""

    dataset: FileDataset
    """The image as it was read. Never changed; its patient attributes must not reach a log."""
    frame: int = 1
    """The frame that was assessed, counted from 1."""

    @property
    def has_frames(self) -> bool:
        """Whether a reference to the image must name the frame: its class is one of several frames."""
        return text(self.dataset, "SOPClassUID") in MULTI_FRAME_CLASSES

    @property
    def frame_unnamed(self) -> bool:
        """Whether the file holds several frames although its class allows one, so that no reference can name it."""
        return not self.has_frames and (text(self.dataset, "NumberOfFrames") or "1") != "1"

    @property
    def uids(self) -> tuple[str, str, str, str]:
        """SOP class, SOP instance, series and study UID."""
        keywords = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
        found = [text(self.dataset, keyword) or "" for keyword in keywords]
        return found[0], found[1], found[2], found[3]

    def reference(self) -> Dataset:
        """An item that refers to the image, and to the frame where there are several."""
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = self.uids[:2]
        if self.has_frames:
            item.ReferencedFrameNumber = self.frame
        return item


def read_source(data: bytes, *, frame: int = 1) -> SourceImage:
    """Parse the DICOM file that an image was read from.

    Args:
        data: the whole file.
        frame: the frame that was assessed.

    Raises:
        NoPixelDataError: the file is no image, or lacks one of the four UIDs that results refer to.
        ImagingError: the file cannot be parsed.
    """
    with quiet():
        try:
            source = SourceImage(dataset=parse(data, max_bytes=DEFAULT_LIMITS.max_file_bytes), frame=frame)
            known = all(source.uids) and text(source.dataset, "Rows") and text(source.dataset, "Columns")
        except ImagingError:
            raise
        except Exception:  # pydicom answers damaged bytes with almost any exception, and its texts quote the file
            raise CorruptFileError("The DICOM file is damaged and cannot be read.") from None
    if not known:
        raise NoPixelDataError("The DICOM file lacks the identifiers that results would refer to.")
    return source


def derived_uid(*parts: object) -> UID:
    """A UID under 2.25 (PS3.5 B.2) that depends on the parts alone: a name-based UUID, version 5 (RFC 9562)."""
    name = "/".join(str(part) for part in parts)
    return UID(f"2.25.{uuid5(_ROOT, name).int}")


def result_uid(source: SourceImage, findings: ImageFindings, filing: Filing, kind: str) -> UID:
    """The SOP Instance UID of one kind of result."""
    return derived_uid(
        kind, source.uids[1], source.frame, findings.model_id, filing.software_version, filing.content_key
    )


def place_uid(source: SourceImage, findings: ImageFindings, number: int) -> UID:
    """The Tracking UID of one detection, the same in every object that shows it."""
    box = findings.detections[number - 1].box
    corners = ",".join(f"{value:.2f}" for value in (box.x1, box.y1, box.x2, box.y2))
    return derived_uid("place", source.uids[1], source.frame, findings.model_id, number, corners)


def series_uid(source: SourceImage, findings: ImageFindings, modality: str) -> UID:
    """One series a study, a model and a kind of result: three views of a wrist do not make nine series."""
    return derived_uid("series", source.uids[3], findings.model_id, modality)


def instance_number(source: SourceImage) -> int:
    """The image's own number, so that results sort like their images; 1 where it has none."""
    value = text(source.dataset, "InstanceNumber") or ""
    return int(value) if value.isascii() and value.isdigit() and 0 < int(value[:9]) < 2**31 else 1


def local_moment(source: SourceImage | None, created: datetime) -> tuple[str, str]:
    """Date and time of creation as the object states them: in the time zone the image states, else in its own."""
    offset = None if source is None else text(source.dataset, "TimezoneOffsetFromUTC")
    if offset is not None and _ZONE(offset):
        sign = -1 if offset[0] == "-" else 1
        zone = timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5])))
        created = created.astimezone(zone)
    return created.strftime("%Y%m%d"), created.strftime("%H%M%S")


def copy_patient_and_study(source: SourceImage, target: Dataset) -> None:
    """Copy who and which study it is into a new object, in UTF-8; what is invalid in the image is left out."""
    target.SpecificCharacterSet = "ISO_IR 192"
    target.StudyInstanceUID = UID(source.uids[3])
    for keyword in _ALWAYS:
        setattr(target, keyword, None)
    with quiet():
        for keyword, accept in _COPIED.items():
            value = text(source.dataset, keyword)
            if value is None or not accept(value):
                continue
            element = source.dataset[keyword]
            # The value is the hospital's own: it is carried on as it is, even where it is longer than it should be.
            target[element.tag] = DataElement(element.tag, element.VR, value, validation_mode=config.IGNORE)
        codes = source.dataset.get("DeidentificationMethodCodeSequence")
        if codes:
            target.DeidentificationMethodCodeSequence = deepcopy(codes)


def describe_instance(
    target: Dataset, source: SourceImage, findings: ImageFindings, filing: Filing, *, modality: str, description: str
) -> None:
    """Fill patient, study, series, equipment and the common attributes of a result in the image's study.

    Args:
        target: the object; its SOP class is set already.
        source: the image.
        findings: what was found; names the model.
        filing: when and by what.
        modality: ``SR``, ``PR`` or ``OT``.
        description: Series Description, at most 64 characters.
    """
    copy_patient_and_study(source, target)
    target.SOPInstanceUID = result_uid(source, findings, filing, modality)
    target.SeriesInstanceUID = series_uid(source, findings, modality)
    target.SeriesNumber = SERIES_NUMBERS[modality]
    target.SeriesDescription = description
    target.Modality = modality
    target.InstanceNumber = instance_number(source)
    if modality != "SR":
        # One series may hold results of both sides: the side stands in the report.
        target.Laterality = None
    describe_creation(target, source, filing)


def describe_creation(target: Dataset, source: SourceImage | None, filing: Filing) -> None:
    """Fill equipment, time of creation and the mark that this is research, not a product."""
    day, time = local_moment(source, filing.created)
    target.InstanceCreationDate, target.InstanceCreationTime = day, time
    target.Manufacturer = MANUFACTURER
    target.ManufacturerModelName = MANUFACTURER
    target.DeviceSerialNumber = "0"
    target.SoftwareVersions = filing.software_version[:64]
    target.ContentQualification = "RESEARCH"


def with_file_meta(dataset: Dataset) -> Dataset:
    """Give an object its file meta information: Explicit VR Little Endian, this program as its writer."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    dataset.file_meta = meta
    return dataset


def file_bytes(dataset: Dataset) -> bytes:
    """The object as a DICOM file."""
    target = BytesIO()
    with quiet():
        dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()
