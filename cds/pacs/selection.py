"""What an instance from a PACS is, and whether it is a radiograph to assess; decided from its header alone."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

import numpy as np
from pydicom.dataset import Dataset

from imaging.dicom.anatomy import anatomy
from imaging.dicom.dataset import parse, quiet, text
from imaging.dicom.filing import MANUFACTURER
from imaging.dicom.pixels import pixel_module, stored_values
from imaging.errors import ImagingError, OutsideIntendedUseError
from imaging.limits import ReadLimits

RADIOGRAPHY: Final = frozenset({"CR", "DX", "RG", "DR"})
"""Modalities of projection radiography. Captures (OT) are not taken without a person who says that they are one."""
PATIENT_KEY_LENGTH: Final = 255


class Skip(StrEnum):
    """Why an instance is accepted but not assessed."""

    OWN = "own_result"
    """This program made it: assessing it would go round in circles."""
    NOT_RADIOGRAPH = "not_a_radiograph"
    NOT_LIMB = "outside_intended_use"
    """It states a part of the body that the detector was not made for."""
    NOT_STATED = "body_part_not_stated"


class Change(StrEnum):
    """What is different about an instance that came before."""

    IMAGE = "changed_image"
    PATIENT = "changed_patient"
    """Its results are filed under the patient that it named first: a person has to look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What the header of an instance says, as far as it concerns the queue."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    patient_key: str | None
    """Patient ID, for erasure; patient data."""
    skip: Skip | None
    """None for a radiograph to assess."""


def read_instance(data: bytes, *, max_bytes: int, unstated: Literal["assess", "skip"] = "assess") -> Instance | None:
    """Read the header of a DICOM file.

    Args:
        data: the whole file.
        max_bytes: bound on what a deflated file may unpack to.
        unstated: what becomes of a radiograph that names no part of the body.

    Returns:
        What it is; None for what is damaged, or lacks one of the three UIDs.
    """
    with quiet():
        try:
            dataset = parse(data, max_bytes=max_bytes)
            uids = [text(dataset, name) or "" for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")]
            patient = text(dataset, "PatientID")
            skip = _reason(dataset, unstated)
        except Exception:  # pydicom answers damaged bytes with almost any exception, and its texts quote the file
            return None
    if not all(0 < len(uid) <= 64 for uid in uids):
        return None
    return Instance(
        sop_class_uid=uids[0],
        sop_instance_uid=uids[1],
        study_uid=uids[2],
        patient_key=patient[:PATIENT_KEY_LENGTH] if patient else None,
        skip=skip,
    )


def same_image(one: bytes, other: bytes, *, max_bytes: int) -> bool:
    """Whether two DICOM files hold the same pixels, whatever their header says and however they are compressed.

    Args:
        one: a whole file.
        other: a whole file.
        max_bytes: bound on what a deflated file may unpack to.
    """
    with quiet():
        try:
            return _pixels(one, max_bytes) == _pixels(other, max_bytes)
        except Exception:  # as in `read_instance`; what cannot be compared is not taken for the same
            return False


def _pixels(data: bytes, max_bytes: int) -> tuple[object, ...]:
    dataset = parse(data, max_bytes=max_bytes)
    module = pixel_module(dataset, ReadLimits(max_file_bytes=max_bytes))
    digest = hashlib.sha256()
    for frame in range(1, module.frames + 1):
        digest.update(np.ascontiguousarray(stored_values(dataset, module, frame).astype(np.int64)).tobytes())
    return module.frames, dataset.Rows, dataset.Columns, digest.digest()


def _reason(dataset: Dataset, unstated: Literal["assess", "skip"]) -> Skip | None:
    if (text(dataset, "Modality") or "").upper() not in RADIOGRAPHY or "Rows" not in dataset:
        # Results are SR, PR and OT, so that only these can come back; an example radiograph of ours is a radiograph.
        own = (text(dataset, "Manufacturer") or "").strip().lower() == MANUFACTURER
        return Skip.OWN if own else Skip.NOT_RADIOGRAPH
    try:
        shown = anatomy(dataset)
    except OutsideIntendedUseError:
        return Skip.NOT_LIMB
    except ImagingError:
        return Skip.NOT_RADIOGRAPH
    silent = shown.region is None and unstated == "skip"
    return Skip.NOT_STATED if silent else None
