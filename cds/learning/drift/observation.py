"""What is kept of a case to watch for drift: figures of the picture and of the answer, no patient data.

Ages are in bands of ten years; devices are named by maker and model, never by serial number or station.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cds.case import CaseResult
from imaging.labels import BodyRegion, LimbGroup
from imaging.quality import measure_quality
from imaging.results import FractureCall, ImageFindings

NOT_RECORDED: Final = "not recorded"
"""The category of what nobody wrote down."""
_PROBE_PIXELS: Final = 65_536
"""Percentiles are read from about so many pixels, evenly spread."""
_MAX_NAME: Final = 80
_OLDEST_BAND: Final = 90
_GROUPS: Final[Mapping[BodyRegion, LimbGroup]] = {
    **dict.fromkeys((BodyRegion.HAND, BodyRegion.WRIST, BodyRegion.FOREARM, BodyRegion.ELBOW), LimbGroup.HAND_ARM),
    **dict.fromkeys((BodyRegion.KNEE, BodyRegion.LOWER_LEG, BodyRegion.ANKLE, BodyRegion.FOOT), LimbGroup.LEG_FOOT),
    **dict.fromkeys((BodyRegion.PELVIS, BodyRegion.HIP, BodyRegion.FEMUR), LimbGroup.HIP_PELVIS),
    **dict.fromkeys((BodyRegion.SHOULDER, BodyRegion.HUMERUS, BodyRegion.CLAVICLE), LimbGroup.SHOULDER),
}
"""The groups that `imaging.attributes` tells apart, for radiographs whose file names the region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One case as the monitors see it."""

    model: str
    """`ImageFindings.model_id` of the detector."""
    numbers: Mapping[str, float]
    """Figures by the name of their monitor; grey levels 0..1, sizes in pixels, ages in bands of ten years (their lower
    end), yes and no as 1 and 0. What a case does not have is left out."""
    categories: Mapping[str, str]
    """Categories by the name of their monitor."""


def observe(result: CaseResult) -> Observation | None:
    """What is watched of a finished case; None for a case without a radiograph.

    Args:
        result: the case; its radiograph and its findings belong together.
    """
    if result.radiograph is None or result.findings is None:
        return None
    numbers = picture_numbers(result.radiograph.pixels) | answer_numbers(result.findings)
    patient = result.patient
    if patient is not None and patient.age_years is not None:
        numbers["age"] = float(min(patient.age_years // 10 * 10, _OLDEST_BAND))
    sex = None if patient is None or patient.sex is None else patient.sex.value
    device, modality = _device(result.source_image)
    categories = {
        "region": region_of(result.findings),
        "device": device,
        "modality": modality,
        "sex": sex or NOT_RECORDED,
    }
    return Observation(model=result.findings.model_id, numbers=numbers, categories=categories)


def picture_numbers(pixels: NDArray[np.float32]) -> dict[str, float]:
    """Figures of a radiograph [H, W] in 0..1 as it was read: exposure, contrast, sharpness, size."""
    quality = measure_quality(pixels)
    step = max(1, int((pixels.size / _PROBE_PIXELS) ** 0.5))
    dark, bright = np.percentile(pixels[::step, ::step], [5, 95])
    return {
        "exposure": quality.mean_of_lit,
        "dark": float(dark),
        "bright": float(bright),
        "contrast": quality.structure,
        "sharpness": quality.sharpness,
        "size": float(max(pixels.shape)),
    }


def answer_numbers(findings: ImageFindings) -> dict[str, float]:
    """Figures of an answer: its call, probability, boxes; nothing but the abstention where nothing was judged."""
    abstained = findings.call is FractureCall.CANNOT_JUDGE
    numbers = {"abstained": float(abstained)}
    if findings.scope_score is not None:
        numbers["likeness"] = findings.scope_score
    if abstained:
        return numbers
    numbers |= {
        "positive": float(findings.call in {FractureCall.DEFINITE, FractureCall.SUSPECTED}),
        "suspected": float(findings.call is FractureCall.SUSPECTED),
        "boxes": float(len(findings.detections)),
    }
    if findings.fracture_probability is not None:
        numbers["probability"] = findings.fracture_probability.value
    return numbers


def region_of(findings: ImageFindings) -> str:
    """The limb group that the file names, else the one that the network sees."""
    if findings.region is not None:
        return _GROUPS[findings.region].value
    limbs = () if findings.attributes is None else findings.attributes.limb
    return limbs[0][0].value if limbs else NOT_RECORDED


def _device(source: bytes | None) -> tuple[str, str]:
    """(maker and model, modality) of a DICOM file."""
    if source is None:
        return NOT_RECORDED, NOT_RECORDED
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        header = dcmread(
            io.BytesIO(source),
            stop_before_pixels=True,
            force=True,
            specific_tags=["Manufacturer", "ManufacturerModelName", "Modality"],
        )
        parts = [str(header.get(name) or "").strip() for name in ("Manufacturer", "ManufacturerModelName")]
        modality = str(header.get("Modality") or "").strip()
    except (InvalidDicomError, ValueError, AttributeError, EOFError, NotImplementedError):
        return NOT_RECORDED, NOT_RECORDED  # the reader could use it; what the header cannot say is not recorded
    name = " ".join(part for part in parts if part)
    return name[:_MAX_NAME] or NOT_RECORDED, modality[:_MAX_NAME] or NOT_RECORDED
