"""A DICOM file to a `Radiograph`: what is accepted, and what is refused in which order.

1. No pixel data: a report, a presentation state, a directory (or a cut file, when it calls itself an image).
2. Modality and SOP class: CR, DX and RG; OT and secondary captures with a warning; everything else is refused by name.
3. Body part: limbs, shoulder girdle, pelvis and hips; see `imaging.dicom.anatomy`.
4. Size, from the header, before decoding.
5. Decoding, display values, and the checks on what is seen.

Synthetic images are told by Synthetic Data (0008,001C) = YES, the attribute the standard has for it, or by what
`imaging.dicom.writer` writes: Image Type DERIVED from the manufacturer "fracture-cds phantom".
"""

from typing import Final

from pydicom.dataset import FileDataset

from imaging.dicom.anatomy import anatomy
from imaging.dicom.dataset import has_pixels, parse, quiet, text
from imaging.dicom.display import display
from imaging.dicom.pixels import pixel_module, stored_values
from imaging.dicom.spacing import pixel_spacing
from imaging.dicom.writer import PHANTOM_MANUFACTURER
from imaging.errors import (
    CorruptFileError,
    ImageTooLargeError,
    ImagingError,
    NoPixelDataError,
    TruncatedFileError,
    UnsupportedModalityError,
)
from imaging.grey import content_warnings
from imaging.limits import DEFAULT_LIMITS, ReadLimits
from imaging.radiograph import DicomReference, Radiograph

_RADIOGRAPHY: Final = ("CR", "DX", "RG")
_UNSPECIFIC: Final = ("OT", "SC")
_MODALITY_NAMES: Final = {
    "CT": "computed tomography",
    "MR": "magnetic resonance",
    "US": "ultrasound",
    "NM": "nuclear medicine",
    "PT": "positron emission tomography",
    "MG": "mammography",
    "XA": "X-ray angiography",
    "RF": "fluoroscopy",
    "PX": "panoramic dental X-ray",
    "IO": "intra-oral X-ray",
    "BMD": "bone densitometry",
    "ES": "endoscopy",
    "XC": "photography",
    "OP": "ophthalmic photography",
    "SM": "slide microscopy",
    "GM": "microscopy",
    "SEG": "segmentation",
    "RTIMAGE": "radiotherapy image",
    "RTDOSE": "radiotherapy dose",
}
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_RADIOGRAPHY_CLASSES: Final = (_STORAGE + "1", _STORAGE + "1.1", _STORAGE + "1.1.1")
_CAPTURE_CLASSES: Final = tuple(_STORAGE + tail for tail in ("7", "7.1", "7.2", "7.3", "7.4"))


def read_dicom(data: bytes, *, sha256: str, frame: int = 1, limits: ReadLimits = DEFAULT_LIMITS) -> Radiograph:
    """Read one radiograph from the bytes of a DICOM file.

    Args:
        data: The whole file.
        sha256: Digest of `data`, carried into the result.
        frame: Frame number, counted from 1.
        limits: Bounds on size.

    Raises:
        ImagingError: The file cannot be used; the subclass says why.
    """
    with quiet():
        try:
            return _read(data, sha256, frame, limits)
        except ImagingError:
            raise
        except MemoryError:
            raise ImageTooLargeError("The DICOM file unpacks to more than can be read.") from None
        except Exception:  # pydicom answers damaged bytes with almost any exception, and its texts quote the file
            raise CorruptFileError("The DICOM file is damaged and cannot be read.") from None


def _read(data: bytes, sha256: str, frame: int, limits: ReadLimits) -> Radiograph:
    dataset = parse(data, max_bytes=limits.max_file_bytes)
    warnings = list(_check_kind(dataset))
    shown = anatomy(dataset)
    warnings.extend(shown.warnings)
    module = pixel_module(dataset, limits)
    image = display(stored_values(dataset, module, frame), dataset, module)
    spacing, spacing_warnings = pixel_spacing(dataset)
    warnings.extend(spacing_warnings)
    warnings.extend(image.warnings)
    if module.frames > 1:
        warnings.append(f"imaging.frames.several:{module.frames}")
    if (text(dataset, "PresentationIntentType") or "").upper() == "FOR PROCESSING":
        warnings.append("imaging.presentation.for_processing")
    if (text(dataset, "BurnedInAnnotation") or "").upper() == "YES":
        warnings.append("imaging.annotation.burned_in")
    warnings.extend(content_warnings(image.pixels))
    reference = _reference(dataset, frame)
    if reference is None:
        warnings.append("imaging.identifiers.missing")
    return Radiograph(
        pixels=image.pixels,
        sha256=sha256,
        source_format="dicom",
        spacing=spacing,
        region=shown.region,
        laterality=shown.laterality,
        synthetic=_is_synthetic(dataset),
        dicom=reference,
        warnings=tuple(warnings),
    )


def _check_kind(dataset: FileDataset) -> tuple[str, ...]:
    """Refuse what is no projection radiograph; warn where the file does not say."""
    modality = (text(dataset, "Modality") or "").upper()
    sop_class = text(dataset, "SOPClassUID") or ""
    if not has_pixels(dataset):
        if modality in _RADIOGRAPHY or sop_class in _RADIOGRAPHY_CLASSES or "Rows" in dataset or not len(dataset):
            raise TruncatedFileError("The DICOM file calls itself an image but ends before its pixel data.")
        raise NoPixelDataError("The DICOM file holds no image.")
    if modality and modality not in _RADIOGRAPHY + _UNSPECIFIC:
        name = _MODALITY_NAMES.get(modality, "of a modality that is not read here")
        raise UnsupportedModalityError(f"The DICOM image is {name}, not a radiograph.")
    if sop_class in _RADIOGRAPHY_CLASSES:
        return () if modality in _RADIOGRAPHY or not modality else ("imaging.modality.unspecific",)
    if sop_class in _CAPTURE_CLASSES:
        return ("imaging.modality.unspecific",)
    if not sop_class and modality in _RADIOGRAPHY:
        return ()
    raise UnsupportedModalityError("The DICOM image is of a class (SOP Class UID) that is no projection radiograph.")


def _is_synthetic(dataset: FileDataset) -> bool:
    if (text(dataset, "SyntheticData") or "").upper() == "YES":
        return True
    return text(dataset, "Manufacturer") == PHANTOM_MANUFACTURER and text(dataset, "ImageType") == "DERIVED"


def _reference(dataset: FileDataset, frame: int) -> DicomReference | None:
    identifiers = [
        text(dataset, keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    ]
    sop_class, instance, series, study = identifiers
    if not (sop_class and instance and series and study):
        return None
    return DicomReference(
        sop_class_uid=sop_class,
        sop_instance_uid=instance,
        series_instance_uid=series,
        study_instance_uid=study,
        frame=frame,
    )
