"""Which appointment of the follow-up is a service that somebody is asked for, and under which code.

LOINC and SNOMED CT codes are given where they name exactly what the statement proposes; the place in the body stands in
``bodySite``. A referral without such a code has words only. The codes were read in the R4 definitions' own value sets
(LOINC, categories) and in DICOM PS3.16 (plain radiography, computed tomography, absorptiometry).
"""

from dataclasses import dataclass

from fhir_adapters.r4_types import LOINC, SNOMED_CT, Code, Concept
from fusion.results import FollowUp

_IMAGING = Concept(text="Imaging", codes=(Code(system=SNOMED_CT, code="363679005", display="Imaging"),))
_LABORATORY = Concept(
    text="Laboratory procedure", codes=(Code(system=SNOMED_CT, code="108252007", display="Laboratory procedure"),)
)
PLAIN_FILM = Code(system=SNOMED_CT, code="168537006", display="Plain radiography")
MRI = Code(system=SNOMED_CT, code="113091000", display="Magnetic resonance imaging")
HIP_MRI = Code(system=LOINC, code="36013-1", display="Hip MRI")
DXA = Code(system=LOINC, code="38268-9", display="Skeletal system DXA Bone density")
ABSORPTIOMETRY = Code(system=SNOMED_CT, code="241686001", display="Dual energy X-ray photon absorptiometry")
PHYSIOTHERAPY = Code(system=SNOMED_CT, code="91251008", display="Physical therapy procedure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service to propose."""

    codes: tuple[Code, ...] = ()
    words: str | None = None
    """What is asked for; None when the step of the follow-up is named after it."""
    category: Concept | None = None
    local: bool = True
    """Whether it is done to the injured part of the body."""


_FILM = Service(codes=(PLAIN_FILM,), category=_IMAGING)
_DXA = Service(codes=(DXA, ABSORPTIOMETRY), words="Bone density (DXA)", category=_IMAGING, local=False)
_GENERAL = Service(local=False)

_SERVICES: dict[str, Service] = {
    "follow_up.occult_hip": Service(
        codes=(HIP_MRI, MRI), words="MRI of the hip, or CT where MRI is not to be had in time", category=_IMAGING
    ),
    "follow_up.repeat_imaging": _FILM,
    "follow_up.union": _FILM,
    "follow_up.rust": _FILM,
    "follow_up.rushu_6": _FILM,
    "follow_up.rushu_12": _FILM,
    "follow_up.growth_plate": _FILM,
    "follow_up.check.scaphoid_waist": Service(category=_IMAGING),
    "follow_up.rehab.humerus_shaft_motion": Service(codes=(PHYSIOTHERAPY,)),
    "follow_up.fls.dxa": _DXA,
    "follow_up.bone_density": _DXA,
    "follow_up.fls.risk_assessed": Service(words="Referral to the fracture liaison service", local=False),
    "follow_up.fls.falls_assessment": _GENERAL,
    "follow_up.fls.strength_balance": Service(codes=(PHYSIOTHERAPY,), local=False),
    "follow_up.weak_bone_tests": Service(category=_LABORATORY, local=False),
    "follow_up.child_bone": Service(words="Referral to a paediatric bone service", local=False),
    "follow_up.hip.mobilise": Service(codes=(PHYSIOTHERAPY,), words="Physiotherapy and mobilisation after surgery"),
}
_RADIOGRAPH_CHECKS = "follow_up.check."
"""How the identifiers of the radiographs of a healing calendar begin."""


def service_of(step: FollowUp) -> Service | None:
    """The service that a step of the follow-up asks for; None when it is a date to keep and no order."""
    found = _SERVICES.get(step.statement.id)
    return _FILM if found is None and step.statement.id.startswith(_RADIOGRAPH_CHECKS) else found
