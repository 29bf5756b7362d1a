"""De-identification of radiographs for training exports: DICOM PS3.15 Annex E, Basic Application Level Confidentiality.

The profile's table says what to remove. This goes further and turns it round: what is not on the short list below is
removed, so that no free text, no private tag, no overlay and no nested item is left to think about. What stays are
numbers of the pixel and display modules, coded terms from closed lists, and identifiers that are made anew.

* UIDs are replaced consistently: HMAC-SHA-256 of the old one under a key, below the root 2.25. With the same key the
  same study stays one study; without the key nobody gets back.
* A patient becomes a pseudonym made the same way, so that splits can keep patients together.
* Dates go (or are shifted by days that the key and the patient decide); times of day go.
* Pixels are decoded and written plainly: comments inside a compressed stream, bits above the stored ones, bytes after
  the last frame and the preamble are gone. Burned-in text near the borders is masked, see `imaging.dicom.burned_in`
  for what that cannot see.
* Afterwards every value that was removed is searched for in the bytes that were written.
"""

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRLittleEndian

from imaging.dicom.burned_in import TextRegion, find_text, mask
from imaging.dicom.dataset import items, parse, quiet, text
from imaging.dicom.pixels import PixelModule, pixel_module, stored_values
from imaging.dicom.writer import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION, REGIONS
from imaging.errors import CorruptFileError, ImagingError, NoPixelDataError, ResidueError, UnsupportedEncodingError
from imaging.limits import DEFAULT_LIMITS, ReadLimits

METHOD: Final = "fracture-cds: PS3.15 Basic Profile, allow-list"
_NUMBERS: Final = (
    "SamplesPerPixel", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "NumberOfFrames", "PixelAspectRatio", "SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope", "PixelSpacing",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "EstimatedRadiographicMagnificationFactor",
    "DistanceSourceToDetector", "DistanceSourceToPatient", "PixelIntensityRelationshipSign", "KVP",
)  # fmt: skip
"""Attributes that hold numbers only; a value that is none is dropped."""
_TERMS: Final = {
    "Modality": {"CR", "DX", "RG", "OT"},
    "ImageType": {"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", ""},
    "PresentationIntentType": {"FOR PRESENTATION", "FOR PROCESSING"},
    "PhotometricInterpretation": {"MONOCHROME1", "MONOCHROME2"},
    "PixelIntensityRelationship": {"LIN", "LOG", "DISP", "TABLE"},
    "PresentationLUTShape": {"IDENTITY", "INVERSE"},
    "VOILUTFunction": {"LINEAR", "LINEAR_EXACT", "SIGMOID"},
    "RescaleType": {"US", "OD", "HU"},
    "PixelSpacingCalibrationType": {"GEOMETRY", "FIDUCIAL"},
    "LossyImageCompression": {"00", "01"},
    "Laterality": {"L", "R", ""},
    "ImageLaterality": {"L", "R", "U", "B"},
    "ViewPosition": {"AP", "PA", "LL", "RL", "LLD", "LLO", "RLD", "RLO", ""},
    "BodyPartExamined": {term for term, _ in REGIONS.values()}
    | {"ARM", "FINGER", "THUMB", "TOE", "TIBFIB", "UPRARM", "LOWERARM", "LOWERLEG", "EXTREMITY", "SCAPULA", "HEEL"},
    "PatientOrientation": {"A", "P", "L", "R", "H", "F"},
    "DetectorType": {"DIRECT", "SCINTILLATOR", "STORAGE", "FILM"},
    "PositionerType": {"NONE", "CARM", "COLUMN"},
    "SyntheticData": {"YES", "NO"},
}
"""Coded attributes and the terms that may stay."""
_METHODS: Final = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113103": "Clean Graphics Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
}
"""Codes of PS3.16 CID 7050 that apply here."""
_EMPTY: Final = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "PatientSex", "StudyID",
    "Manufacturer",
)  # fmt: skip
"""Attributes that have to be there, empty (type 2)."""
_DATES: Final = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_STANDARD_ROOT: Final = "1.2.840.10008."
_OLDEST: Final = 90
"""Years: everybody of that age and above is told as that old."""
_LEAST: Final = 4
"""Characters of a removed value that are worth a search; shorter ones occur by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeidentifyOptions:
    """What may stay."""

    key: bytes = field(repr=False)
    """Makes new identifiers, at least 16 random bytes; whoever has it can tell whether two files are one patient's."""
    shift_dates: bool = False
    """Shift dates by 1 to 3650 days back, the same for all of a patient, instead of removing them."""
    keep_characteristics: bool = False
    """Keep sex and age in years (`_OLDEST` at most), which bone age needs."""
    mask_text: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Deidentified:
    """A file that may be looked over and then leave."""

    data: bytes = field(repr=False)
    """A DICOM file, Explicit VR Little Endian."""
    instance_uid: str
    patient: str
    """Pseudonym."""
    masked: tuple[TextRegion, ...]
    """Where burned-in text was painted over, of all frames."""
    residue: int
    """How many removed values were found in the result: 0, or `deidentify` had raised."""
    needs_review: bool
    """The file said that text is burned in, and none was found: a person has to look."""
    suffix: str = ".dcm"
    """Of the file's name."""


def deidentify(data: bytes, options: DeidentifyOptions, *, limits: ReadLimits = DEFAULT_LIMITS) -> Deidentified:
    """De-identify one DICOM radiograph.

    Args:
        data: the whole file.
        options: key, and what may stay.
        limits: bounds on size.

    Raises:
        ImagingError: the file cannot be read, is no grey image, or a removed value is left in the result.
        ValueError: the key is too short.
    """
    if len(options.key) < 16:
        raise ValueError("The key needs at least 16 random bytes.")
    with quiet():
        try:
            return _deidentify(data, options, limits)
        except ImagingError:
            raise
        except Exception:  # as in `imaging.dicom.reader`: damaged bytes raise almost anything
            raise CorruptFileError("The DICOM file is damaged and cannot be de-identified.") from None


def _deidentify(data: bytes, options: DeidentifyOptions, limits: ReadLimits) -> Deidentified:
    source = parse(data, max_bytes=limits.max_file_bytes)
    if "PixelData" not in source:
        raise NoPixelDataError("The DICOM file holds no image.")
    module = pixel_module(source, limits)
    if not module.monochrome:
        raise UnsupportedEncodingError(
            "Colour images are not de-identified here.", remedy="Export the grey radiograph itself."
        )
    made = _kept(source, options)
    masked = _write_pixels(made, source, module, options)
    said = (text(source, "BurnedInAnnotation") or "").upper()
    needs_review = said == "YES" and not masked
    made.BurnedInAnnotation = "YES" if needs_review else "NO"
    _write_method(made, options, masked=bool(masked))
    stream = BytesIO()
    made.file_meta = _meta(made)
    made.preamble = b"\x00" * 128
    dcmwrite(stream, made, enforce_file_format=True)
    written = stream.getvalue()
    left = residue(source, written)
    if left:
        raise ResidueError(f"{len(left)} removed values are still in the result, of: {', '.join(left[:5])}.")
    return Deidentified(
        data=written,
        instance_uid=str(made.SOPInstanceUID),
        patient=str(made.PatientID),
        masked=masked,
        residue=0,
        needs_review=needs_review,
    )


def new_uid(key: bytes, old: str) -> UID:
    """The UID that replaces another one, under the root 2.25 (PS3.5 B.2)."""
    digest = hmac.new(key, f"uid {old}".encode(), hashlib.sha256).digest()
    return UID(f"2.25.{int.from_bytes(digest[:15], 'big')}")


def pseudonym(key: bytes, patient: str) -> str:
    """The name that replaces a patient's."""
    return "P" + hmac.new(key, f"patient {patient}".encode(), hashlib.sha256).hexdigest()[:15].upper()


def residue(source: Dataset, written: bytes) -> tuple[str, ...]:
    """Search a result for everything that was removed, whatever the encoding.

    Independent of how the result was made: values of the source, words of names, private bytes, dates in two
    writings, against the raw bytes of everything but the pixels.

    Args:
        source: the data set as it was.
        written: the file that was made of it.

    Returns:
        Tags of the attributes whose values were found; names no value.
    """
    made = parse(written, max_bytes=len(written) + 1)
    hay = written
    # Neither the pixels nor what was made of random bytes: four digits in a row occur there by chance.
    random = {str(made.get(one, "")).encode() for one in ("PatientID", *_UIDS)}
    for part in (bytes(made.PixelData), *random):
        hay = hay.replace(part, b" ") if part else hay
    hay = hay.lower()
    numbers = {one for keyword in (*_NUMBERS, "PatientAge") for one in _pieces(str(made.get(keyword, "")))}
    found: list[str] = []
    for tag, value in _values(source):
        for piece in _pieces(value):
            plain = piece.upper()
            # HAND, or the width of a window, that the result states on its own account is no residue.
            if len(piece) < _LEAST or plain in _OWN_WORDS or (len(piece) < 8 and piece in numbers):
                continue
            needles = {piece.lower().encode(one, errors="ignore") for one in ("utf-8", "latin-1", "utf-16-le")}
            if any(needle in hay for needle in needles if len(needle) >= _LEAST):
                found.append(tag)
    return tuple(dict.fromkeys(found))


def _kept(source: FileDataset, options: DeidentifyOptions) -> FileDataset:
    """A new data set with the allow-listed attributes, new identifiers and what has to be there."""
    made = FileDataset("", {}, preamble=b"\x00" * 128)
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _EMPTY:
        setattr(made, keyword, "")
    for keyword in _NUMBERS:
        _copy_numbers(source, made, keyword)
    for keyword, terms in _TERMS.items():
        _copy_terms(source, made, keyword, terms)
    region = _region(source)
    if region is not None:
        made.AnatomicRegionSequence = [region]
    made.SOPClassUID = UID(_standard(source, "SOPClassUID") or "1.2.840.10008.5.1.4.1.1.1")
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(made, keyword, new_uid(options.key, text(source, keyword) or keyword))
    if text(source, "FrameOfReferenceUID"):
        made.FrameOfReferenceUID = new_uid(options.key, text(source, "FrameOfReferenceUID") or "")
    patient = text(source, "PatientID") or text(source, "PatientName") or text(source, "StudyInstanceUID") or ""
    made.PatientID = pseudonym(options.key, patient)
    made.PatientName = made.PatientID
    made.SeriesNumber, made.InstanceNumber = 1, 1
    made.AcquisitionContextSequence = []
    _dates(source, made, options, patient)
    if options.keep_characteristics:
        _characteristics(source, made)
    return made


def _copy_numbers(source: Dataset, made: Dataset, keyword: str) -> None:
    value = source.get(keyword)
    if value is None or value == "":
        return
    several = [value] if isinstance(value, str | int | float) or not hasattr(value, "__iter__") else list(value)
    try:
        plain = [float(one) for one in several]
    except (TypeError, ValueError):
        return
    if all(np.isfinite(one) and abs(one) < 1e7 for one in plain) and len(plain) <= 16:
        setattr(made, keyword, value)


def _copy_terms(source: Dataset, made: Dataset, keyword: str, terms: set[str]) -> None:
    value = source.get(keyword)
    if value is None:
        return
    several = [value] if isinstance(value, str) else list(value)
    plain = [str(one).strip().upper() for one in several]
    if keyword == "PatientOrientation":
        usable = len(plain) == 2 and all(1 <= len(one) <= 3 and set(one) <= terms for one in plain)
    else:
        # What an image type says from the third value on is the vendor's own.
        plain = plain[:2] if keyword == "ImageType" else plain
        usable = bool(plain) and all(one in terms for one in plain)
    if usable:
        setattr(made, keyword, plain if len(plain) > 1 else plain[0])


def _region(source: Dataset) -> Dataset | None:
    """The anatomic region in our own words; a code that is not ours is dropped with its text."""
    for item in items(source, "AnatomicRegionSequence"):
        for _, code in REGIONS.values():
            if text(item, "CodeValue") == code.value:
                return code.item()
    return None


def _standard(source: Dataset, keyword: str) -> str | None:
    value = text(source, keyword) or ""
    usable = re.fullmatch(r"[0-9.]{1,64}", value) and value.startswith(_STANDARD_ROOT)
    return value if usable else None


def _dates(source: Dataset, made: Dataset, options: DeidentifyOptions, patient: str) -> None:
    made.LongitudinalTemporalInformationModified = "MODIFIED" if options.shift_dates else "REMOVED"
    if not options.shift_dates:
        return
    digest = hmac.new(options.key, f"days {patient}".encode(), hashlib.sha256).digest()
    days = dt.timedelta(days=1 + int.from_bytes(digest[:4], "big") % 3650)
    for keyword in _DATES:
        try:
            day = dt.datetime.strptime(text(source, keyword) or "", "%Y%m%d").date()
            setattr(made, keyword, (day - days).strftime("%Y%m%d"))
        except (ValueError, OverflowError):
            continue


def _characteristics(source: Dataset, made: Dataset) -> None:
    sex = (text(source, "PatientSex") or "").upper()
    made.PatientSex = sex if sex in {"M", "F", "O"} else ""
    found = re.fullmatch(r"(\d{3})([YMWD])", text(source, "PatientAge") or "")
    if found is not None:
        old = found[2] == "Y" and int(found[1]) >= _OLDEST
        made.PatientAge = f"{_OLDEST:03d}Y" if old else found[0]


def _write_pixels(
    made: Dataset, source: FileDataset, module: PixelModule, options: DeidentifyOptions
) -> tuple[TextRegion, ...]:
    """Decoded, masked, plain; returns what was masked."""
    kind = f"{'i' if module.signed else 'u'}{module.bits_allocated // 8}"
    regions: list[TextRegion] = []
    frames: list[bytes] = []
    for number in range(1, module.frames + 1):
        values = stored_values(source, module, number)
        if options.mask_text:
            found = find_text(values.astype(np.float64))
            regions.extend(found)
            values = mask(values, found)
        frames.append(np.ascontiguousarray(values, dtype=f"<{kind}").tobytes())
    data = b"".join(frames)
    made.BitsStored = module.bits_stored
    made.HighBit = module.bits_stored - 1
    made.PixelData = data + b"\x00" * (len(data) % 2)
    made["PixelData"].VR = "OW"
    return tuple(regions)


def _write_method(made: Dataset, options: DeidentifyOptions, *, masked: bool) -> None:
    """What was done, in the codes of PS3.16 CID 7050."""
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = METHOD
    done = {
        "113100": True,
        "113101": masked,
        "113103": True,
        "113107": options.shift_dates,
        "113108": options.keep_characteristics,
    }
    made.DeidentificationMethodCodeSequence = [_code(one, _METHODS[one]) for one, used in done.items() if used]


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _meta(made: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta


def _values(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Tag and text of every value, private and nested ones too; numbers and pixels are not texts."""
    for element in dataset.iterall():
        if element.VR in {"SQ", "OW", "OF", "OD", "OL", "US", "SS", "UL", "SL", "FL", "FD", "AT"}:
            continue
        if element.keyword in _NUMBERS:
            continue
        value = element.value
        for one in value if isinstance(value, list | MultiValue) else [value]:
            if isinstance(one, bytes):
                yield str(element.tag), one.decode("latin-1").strip("\x00 ")
            elif one is not None:
                yield str(element.tag), str(one)


def _pieces(value: str) -> Iterator[str]:
    """A value as a whole, and the words and numbers in it."""
    if not value.startswith(_STANDARD_ROOT):
        yield value.strip()
        yield from (one for one in re.split(r"[\s^=,;:/\\|()\[\]<>\"']+", value) if one)


_UIDS: Final = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_OWN_WORDS: Final = frozenset(
    piece.upper()
    for whole in (
        *(term for terms in _TERMS.values() for term in terms),
        *(one for _, code in REGIONS.values() for one in (code.value, code.meaning, code.scheme)),
        *_METHODS.values(),
        *("ISO_IR 192", METHOD, IMPLEMENTATION_VERSION, "REMOVED", "MODIFIED"),
    )
    for piece in _pieces(whole)
)
"""What the result says in words of its own."""
