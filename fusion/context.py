"""What no radiograph and no record can tell: the clinician's own input. Every field may be None (not stated)."""

from dataclasses import dataclass
from enum import StrEnum

from fusion.sites import FractureSite


class Mechanism(StrEnum):
    """How the bone was broken."""

    LOW_ENERGY = "low_energy"
    """A fall from standing height or less."""
    HIGH_ENERGY = "high_energy"
    """Traffic, fall from a height, crush."""
    PATHOLOGICAL = "pathological"
    """No adequate trauma; a lesion is suspected."""


class Gustilo(StrEnum):
    """Open-fracture grade; set at surgery, never inferred from a radiograph."""

    I = "I"  # noqa: E741
    II = "II"
    IIIA = "IIIA"
    IIIB = "IIIB"
    IIIC = "IIIC"


class FractureType(StrEnum):
    """Fracture pattern as the clinician reads it."""

    TRANSVERSE = "transverse"
    OBLIQUE = "oblique"
    SPIRAL = "spiral"
    COMMINUTED = "comminuted"
    GREENSTICK = "greenstick"
    AVULSION = "avulsion"
    IMPACTED = "impacted"
    HAIRLINE = "hairline"
    PATHOLOGICAL = "pathological"
    FRACTURE_DISLOCATION = "fracture_dislocation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicalContext:
    """Bedside facts. None everywhere means: not stated, and the assessment says so."""

    site: FractureSite | None = None
    """The broken bone and its part."""
    fracture_type: FractureType | None = None
    mechanism: Mechanism | None = None
    displaced: bool | None = None
    intra_articular: bool | None = None
    open_wound: bool | None = None
    gustilo: Gustilo | None = None
    vascular_deficit: bool | None = None
    neurological_deficit: bool | None = None
    compartment_signs: bool | None = None
    skin_threatened: bool | None = None
    dislocation: bool | None = None
    clinical_suspicion_high: bool | None = None
    """Findings on examination that suggest a fracture whatever the radiograph shows."""
    non_ambulant_infant: bool | None = None
    operated: bool | None = None
    """The fracture was operated on (plate, nail, wires); rehabilitation after an operation is shown only then."""
    growth_plate: bool | None = None
    """The fracture line enters a growth plate (Salter-Harris); asked of children."""
    calcium_diet_mg_per_day: float | None = None
    """Calcium from food, mg per day."""
