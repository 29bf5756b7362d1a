"""Coded concepts of the DICOM objects written here: public codes where there is one, our own scheme elsewhere.

Own codes stand under `SCHEME`, with meanings that say what was measured and where; every object that uses one names
the scheme in its Coding Scheme Identification Sequence. DCM, SCT and UCUM codes are those of PS3.16 and of SNOMED CT's
free subset for DICOM; LOINC 85151-9 is "XR Bone age".
"""

from typing import Final

from pydicom.sr.coding import Code

from imaging.dicom.writer import REGIONS
from imaging.labels import BodyRegion, FracturePattern
from imaging.results import FractureCall, SpacingOrigin

SCHEME: Final = "99FRACTURECDS"
"""Coding Scheme Designator of the engine's own codes; "99" marks a private scheme (PS3.16 section 8)."""
SCHEME_NAME: Final = "fracture-cds local codes"

FRACTURE: Final = Code("125605004", "SCT", "Fracture of bone")
PLAIN_RADIOGRAPHY: Final = Code("168537006", "SCT", "Plain radiography")
BONE_AGE: Final = Code("85151-9", "LN", "XR Bone age")
QUALITATIVE_EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")
SOURCE: Final = Code("260753009", "SCT", "Source")
UPPER_UNCERTAINTY: Final = Code("371886008", "SCT", "+, range of upper measurement uncertainty")
LOWER_UNCERTAINTY: Final = Code("371885007", "SCT", "-, range of lower measurement uncertainty")

PERCENT: Final = Code("%", "UCUM", "%")
RATIO: Final = Code("1", "UCUM", "no units")
MILLIMETRE: Final = Code("mm", "UCUM", "mm")
DEGREE: Final = Code("deg", "UCUM", "degree")
PIXELS: Final = Code("{pixels}", "UCUM", "pixels")
MONTHS: Final = Code("mo", "UCUM", "months")
UNITS: Final[dict[str, Code]] = {"mm": MILLIMETRE, "percent": PERCENT, "deg": DEGREE, "px": PIXELS}
"""Ending of a field of `FractureGeometry` to its unit, the most telling first."""


def own(value: str, meaning: str) -> Code:
    """A concept of the engine's own scheme: a code of at most 16 characters, a meaning of at most 64."""
    return Code(value, SCHEME, meaning)


CALL: Final = own("fracture-call", "Fracture, call of the algorithm")
CALLS: Final[dict[FractureCall, Code]] = {
    FractureCall.DEFINITE: own("definite", "Definite: above the high-specificity point"),
    FractureCall.SUSPECTED: own("suspected", "Suspected: between the two operating points"),
    FractureCall.NOT_SEEN: own("not-seen", "Not seen: this does not exclude a fracture"),
    FractureCall.CANNOT_JUDGE: own("cannot-judge", "Cannot judge: radiograph not fit to be judged"),
}
PRESENCE: Final = Code("121052", "DCM", "Presence of property")
PRESENT: Final = Code("121053", "DCM", "Present")
UNDETERMINED: Final = Code("121059", "DCM", "Presence Undetermined")
IMAGE_PROBABILITY: Final = own("fracture-prob", "Probability of a fracture on this radiograph")
DETECTOR_SCORE: Final = own("detector-score", "Detector score, not a probability")
HIGHEST_SCORE: Final = own("highest-score", "Highest detector score, not a probability")
PATTERN: Final = own("pattern", "Fracture pattern, most probable")
PATTERN_PROBABILITY: Final = own("pattern-prob", "Probability of that pattern")
PATTERN_RANKING: Final = own("pattern-ranking", "Fracture patterns with their probabilities")
DISPLACED_PROBABILITY: Final = own("displaced-prob", "Probability of displaced fragments")
BONE_AGE_DIFFERENCE: Final = own("bone-age-diff", "Skeletal minus chronological age")
BONE_AGE_STANDARD: Final = own("bone-age-std", "Standard of skeletal age")
PATTERNS: Final[dict[FracturePattern, Code]] = {
    pattern: own(pattern.value.removeprefix("fracture_"), pattern.value.replace("_", " ").capitalize())
    for pattern in FracturePattern
}
QUANTITIES: Final[dict[str, Code]] = {
    "displacement": own("displacement", "Displacement across the shaft"),
    "angulation": own("angulation", "Angulation in the plane of the image"),
    "shortening": own("shortening", "Shortening"),
    "line_length": own("line-length", "Length of the fracture line"),
    "shaft_width": own("shaft-width", "Width of the shaft"),
}
"""Quantity of `FractureGeometry`, without its unit."""
DISPLACEMENT_SHARE: Final = own("displacement-pct", "Displacement as a share of the shaft's width")
BOX_SIZES: Final[dict[SpacingOrigin, tuple[Code, Code]]] = {
    SpacingOrigin.CALIBRATED: (
        own("box-width-cal", "Box width, millimetres in the patient"),
        own("box-height-cal", "Box height, millimetres in the patient"),
    ),
    SpacingOrigin.DETECTOR: (
        own("box-width-det", "Box width, millimetres at the detector"),
        own("box-height-det", "Box height, millimetres at the detector"),
    ),
    SpacingOrigin.UNKNOWN: (own("box-width", "Box width, pixels"), own("box-height", "Box height, pixels")),
}
"""Width and height of a box; it is not a measurement of the fracture. UNKNOWN is in pixels."""

LATERALITIES: Final[dict[str, Code]] = {
    "L": Code("7771000", "SCT", "Left"),
    "R": Code("24028007", "SCT", "Right"),
    "B": Code("51440002", "SCT", "Bilateral"),
}
"""DICOM Laterality to its code; an unpaired part has none."""


def region_code(region: BodyRegion) -> Code:
    """The code of a body region, from DICOM's context group 4031."""
    coded = REGIONS[region][1]
    return Code(coded.value, coded.scheme, coded.meaning)
