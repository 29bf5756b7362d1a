"""Whether skeletal age may be read at all: a child's hand, or the reason why not. Imports no framework."""

from typing import Final

from imaging.labels import BodyRegion, LimbGroup
from imaging.results import FractureCall, ImageFindings

ADULT_YEARS: Final = 19
"""From this age on nothing is read: the standards end at 18 years in girls and 19 in boys."""
HANDS: Final = frozenset({BodyRegion.HAND, BodyRegion.WRIST})
"""DICOM regions that may show the whole hand; the picture itself is checked as well."""
HAND_PROBABILITY: Final = 0.1
"""Where the file names no region, the limb group "hand or arm" must be at least as probable. So low, because that head
learned from other views than whole hands: of 100 hands of the bone-age data (100 px) it gives 39 less than .5 and 8
less than .1; of 100 held-out FracAtlas radiographs of other limbs it gives 96 less than .5 and 89 less than .1."""

NOT_A_HAND: Final = "imaging.bone_age.not_a_hand"
ADULT: Final = "imaging.bone_age.adult"
AGE_UNKNOWN: Final = "imaging.bone_age.age_unknown"
NOT_JUDGED: Final = "imaging.bone_age.not_judged"


def reason_against(
    findings: ImageFindings, *, age_years: float | None, asked: bool = False, hand_stated: bool = False
) -> str | None:
    """Why skeletal age may not be read from a radiograph, as a dotted code; None when it may.

    Args:
        findings: what was seen on the radiograph.
        age_years: chronological age; None when not known.
        asked: skeletal age was asked for explicitly: then the age need not be known, but an adult's is not read.
        hand_stated: the one who asks says that a hand is shown; the picture is still checked by the model.
    """
    if age_years is not None and age_years >= ADULT_YEARS:
        return ADULT
    if findings.call is FractureCall.CANNOT_JUDGE:
        return NOT_JUDGED
    if not hand_stated and not _is_hand(findings):
        return NOT_A_HAND
    if age_years is None and not asked:
        return AGE_UNKNOWN
    return None


def _is_hand(findings: ImageFindings) -> bool:
    """From the file's region where it has one, otherwise from the attribute heads; unknown passes on to the model."""
    if findings.region is not None:
        return findings.region in HANDS
    if findings.attributes is None or not findings.attributes.limb:
        return True
    return dict(findings.attributes.limb).get(LimbGroup.HAND_ARM, 0.0) >= HAND_PROBABILITY
