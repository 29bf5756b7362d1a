"""Which part of the body a DICOM radiograph says it shows.

Two fields are meant for it and are believed: Body Part Examined (0018,0015), a defined term, and Anatomic Region
Sequence (0008,2218), a code. If either names a part outside the intended use, the radiograph is refused. Free text
(series, then study descriptions) is only asked when these are silent or say no more than "a limb": it gives a region
with a warning; it refuses only when it names parts outside the intended use and no limb at all ("femoral neck" and
"radial head" are limbs).

Terms: DICOM PS3.16 annex L and context group 4031; vendors' common variants are added.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from imaging.dicom.dataset import items, text
from imaging.errors import OutsideIntendedUseError
from imaging.labels import BodyRegion


class Scope(Enum):
    """A body part that is no single region."""

    LIMB = "limb"
    """Within the intended use, but not told which region."""
    OUTSIDE = "outside"
    """Outside the intended use."""


Part = BodyRegion | Scope

_R = BodyRegion
_LIMB, _OUTSIDE = Scope.LIMB, Scope.OUTSIDE


def _terms(part: Part, words: str) -> dict[str, Part]:
    return dict.fromkeys(words.split(), part)


TERMS: Final[dict[str, Part]] = {
    **_terms(_R.HAND, "HAND FINGER FINGERS THUMB METACARPAL METACARPALS METACARPUS PHALANX"),
    **_terms(_R.WRIST, "WRIST CARPUS CARPAL CARPALS SCAPHOID DISTALRADIUS"),
    **_terms(_R.FOREARM, "FOREARM LOWERARM RADIUS ULNA RADIUSULNA RADIUSANDULNA"),
    **_terms(_R.ELBOW, "ELBOW OLECRANON RADIALHEAD"),
    **_terms(_R.HUMERUS, "HUMERUS UPPERARM"),
    **_terms(_R.SHOULDER, "SHOULDER SCAPULA GLENOID"),
    **_terms(_R.CLAVICLE, "CLAVICLE CLAVICLES ACJOINT ACJOINTS"),
    **_terms(_R.PELVIS, "PELVIS ILIUM SIJOINT SIJOINTS ACETABULUM"),
    **_terms(_R.HIP, "HIP HIPS FEMORALNECK PROXIMALFEMUR"),
    **_terms(_R.FEMUR, "FEMUR THIGH UPPERLEG"),
    **_terms(_R.KNEE, "KNEE KNEES PATELLA"),
    **_terms(_R.LOWER_LEG, "LOWERLEG LEG TIBIA FIBULA TIBFIB TIBIAFIBULA TIBIAANDFIBULA TIBIAFIBIA"),
    **_terms(_R.ANKLE, "ANKLE ANKLES MALLEOLUS"),
    **_terms(_R.FOOT, "FOOT FEET TOE TOES CALCANEUS HEEL METATARSAL METATARSALS METATARSUS TARSUS"),
    **_terms(
        _LIMB,
        "EXTREMITY EXTREMITIES UPPEREXTREMITY LOWEREXTREMITY UPPERLIMB LOWERLIMB LIMB LIMBS ARM BONE "
        "UPEXM LOWEXM JOINT SKELETON",
    ),
    **_terms(
        _OUTSIDE,
        "CHEST THORAX LUNG LUNGS RIB RIBS STERNUM HEART MEDIASTINUM BREAST ABDOMEN ABDOMENPELVIS CHESTABDOMEN "
        "CHESTABDPELVIS ABDOMINAL KUB STOMACH COLON BOWEL INTESTINE LARGEINTESTINE SMALLINTESTINE ESOPHAGUS KIDNEY "
        "BLADDER LIVER GALLBLADDER PANCREAS SPLEEN URETER URETHRA UTERUS PROSTATE "
        "HEAD SKULL CRANIUM BRAIN FACE FACIAL JAW MANDIBLE MAXILLA NOSE NASAL NASALBONE ORBIT ORBITS SINUS SINUSES "
        "PARANASALSINUS ZYGOMA TMJ TMJOINT TEMPORALBONE MASTOID SELLA SELLATURCICA EYE EAR TEETH TOOTH DENTAL "
        "HEADNECK NECK LARYNX TRACHEA PHARYNX "
        "SPINE SPINAL CSPINE TSPINE LSPINE SSPINE CTSPINE TLSPINE LSSPINE CERVICALSPINE THORACICSPINE DORSALSPINE "
        "LUMBARSPINE LUMBOSACRALSPINE CERVICAL THORACIC LUMBAR LUMBOSACRAL SACRUM COCCYX VERTEBRA VERTEBRAE VERTEBRAL "
        "SCOLIOSIS WHOLEBODY WHOLESPINE PHANTOM TESTOBJECT",
    ),
}
"""Upper-case term without spaces or punctuation, to its part."""

_CODES: Final[dict[str, Part]] = {
    **_terms(_R.HAND, "85562004 7569003 76505004"),
    **_terms(_R.WRIST, "74670003"),
    **_terms(_R.FOREARM, "14975008"),
    **_terms(_R.ELBOW, "16953009"),
    **_terms(_R.HUMERUS, "85050009 40983000"),
    **_terms(_R.SHOULDER, "16982005 79601000"),
    **_terms(_R.CLAVICLE, "51299004 85856004"),
    **_terms(_R.PELVIS, "816092008 12921003 22356005 39723000"),
    **_terms(_R.HIP, "29836001 24136001"),
    **_terms(_R.FEMUR, "71341001 68367000"),
    **_terms(_R.KNEE, "72696002 64234005"),
    **_terms(_R.LOWER_LEG, "30021000 87342007 12611008"),
    **_terms(_R.ANKLE, "70258002"),
    **_terms(_R.FOOT, "56459004 29707007 80144004 27949001 58742003"),
    **_terms(_LIMB, "66019005 61685007 53120007 72001000 371195002 1231522001"),
    **_terms(
        _OUTSIDE,
        "816094009 51185008 113197003 56873002 80891009 72410000 76752008 818981001 818982008 113345001 416550000 "
        "416775004 417437006 416152001 416319003 69536005 89546000 91397008 661005 91609006 70925003 74386004 13881006 "
        "53620006 2095001 363654007 371398005 81745001 59066005 42575006 774007 45048000 421060004 122494005 122495006 "
        "122496007 1217257000 1217256009 1217253001 1217254007 54735007 64688005 110517009 38266002 706342009 7844006",
    ),
}
"""SNOMED CT identifier to part; context group 4031 and its retired predecessors."""

_SERIES_TEXTS: Final = (
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionDeviceProcessingDescription",
    "PerformedProcedureStepDescription",
)
_STUDY_TEXTS: Final = ("StudyDescription", "RequestedProcedureDescription")
_TWO_WORD_TERMS: Final = frozenset(
    {
        "LOWERLEG", "UPPERLEG", "LOWERARM", "UPPERARM", "UPPERLIMB", "LOWERLIMB", "UPPEREXTREMITY", "LOWEREXTREMITY",
        "DISTALRADIUS", "FEMORALNECK", "PROXIMALFEMUR", "RADIALHEAD", "ACJOINT", "SIJOINT", "CSPINE", "TSPINE",
        "LSPINE", "TIBFIB", "WHOLEBODY",
    }
)  # fmt: skip
_SIDES: Final = {"L", "R", "B", "U"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What the file says is shown."""

    region: BodyRegion | None
    laterality: str | None
    """``L``, ``R``, ``B`` or ``U``."""
    warnings: tuple[str, ...]


def anatomy(dataset: Dataset) -> Anatomy:
    """Find the body region, or refuse.

    Raises:
        OutsideIntendedUseError: The radiograph shows a part that the engine was not made for.
    """
    warnings: list[str] = []
    coded = [part for part in (_stated_term(dataset, warnings), _stated_code(dataset)) if part is not None]
    if _OUTSIDE in coded:
        raise OutsideIntendedUseError("The DICOM file states a body part outside the intended use.")
    regions = {part for part in coded if isinstance(part, BodyRegion)}
    if len(regions) > 1:
        return _result(dataset, None, [*warnings, "imaging.region.conflict"])
    described = _described(dataset)
    if regions:
        region = regions.pop()
        if described is _OUTSIDE:
            warnings.append("imaging.region.conflict")
        return _result(dataset, region, warnings)
    if isinstance(described, BodyRegion):
        return _result(dataset, described, [*warnings, "imaging.region.from_description"])
    if described is _OUTSIDE and not coded:
        raise OutsideIntendedUseError("The descriptions in the DICOM file name a body part outside the intended use.")
    if described is _OUTSIDE:
        return _result(dataset, None, [*warnings, "imaging.region.conflict"])
    limb = bool(coded) or described is _LIMB
    return _result(dataset, None, [*warnings, "imaging.region.unspecific" if limb else "imaging.region.missing"])


def _result(dataset: Dataset, region: BodyRegion | None, warnings: Iterable[str]) -> Anatomy:
    return Anatomy(region=region, laterality=laterality(dataset), warnings=tuple(warnings))


def laterality(dataset: Dataset) -> str | None:
    """Image Laterality, else Laterality; None when absent or not a defined term."""
    for keyword in ("ImageLaterality", "Laterality"):
        value = (text(dataset, keyword) or "").upper()
        if value in _SIDES:
            return value
    return None


def _stated_term(dataset: Dataset, warnings: list[str]) -> Part | None:
    value = text(dataset, "BodyPartExamined")
    if value is None:
        return None
    part = TERMS.get(re.sub(r"[^A-Z]", "", value.upper()))
    if part is None:
        part = part_in_words(value)
    if part is None:
        warnings.append("imaging.region.unrecognised")
    return part


def _stated_code(dataset: Dataset) -> Part | None:
    for item in items(dataset, "AnatomicRegionSequence"):
        value, scheme = text(item, "CodeValue"), text(item, "CodingSchemeDesignator")
        if value is None:
            continue
        if scheme == "SCT" and value in _CODES:
            return _CODES[value]
        if scheme in ("SRT", "SNM3"):
            old = Code(value, "SRT", "")
            return next((part for code, part in _CODES.items() if old == Code(code, "SCT", "")), None)
    return None


def _described(dataset: Dataset) -> Part | None:
    """What the free text says: the series' own texts first, the study's only if those say nothing."""
    for keywords in (_SERIES_TEXTS, _STUDY_TEXTS):
        part = part_in_words(" / ".join(value for key in keywords if (value := text(dataset, key))))
        if part is not None:
            return part
    return None


def part_in_words(words: str) -> Part | None:
    """The part that free text names.

    One region if exactly one is named; `Scope.LIMB` if several or only "limb" is; `Scope.OUTSIDE` if only parts outside
    the intended use are; None if none is.
    """
    tokens = re.findall(r"[A-Z]+", words.upper())
    found: list[Part] = []
    position = 0
    while position < len(tokens):
        pair = "".join(tokens[position : position + 2])
        if pair in _TWO_WORD_TERMS:
            found.append(TERMS[pair])
            position += 2
            continue
        part = TERMS.get(tokens[position])
        if part is not None:
            found.append(part)
        position += 1
    regions = {part for part in found if isinstance(part, BodyRegion)}
    if len(regions) == 1:
        return regions.pop()
    if regions or _LIMB in found:
        return _LIMB
    return _OUTSIDE if _OUTSIDE in found else None
