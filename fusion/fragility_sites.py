"""How far a broken bone is a sign of osteoporosis, by site."""

from enum import StrEnum

from fusion.facts import CaseFacts
from fusion.sites import HIP_SITES, SCAPHOID_SITES, FractureSite
from imaging.labels import BodyRegion


class SiteClass(StrEnum):
    """What guidelines and panels make of a site."""

    HIP = "hip"
    """Femoral neck and trochanter: osteoporosis by definition after a low-energy fracture from 50 years."""
    TYPICAL = "typical"
    """Proximal humerus, distal radius, pelvis; osteoporosis by definition when the bone density is low too."""
    OTHER = "other"
    """Other long bones, clavicle, patella: counted by the guidelines, attributed less by the panels."""
    DISPUTED = "disputed"
    """Ankle, foot, hand and scaphoid: one guideline counts any fracture from 50 years, another leaves these out."""
    NOT_COUNTED = "not_counted"
    """Fingers and toes."""


_TYPICAL = (FractureSite.HUMERUS_PROXIMAL, FractureSite.DISTAL_RADIUS, FractureSite.PELVIS)
_DISPUTED = SCAPHOID_SITES | {
    FractureSite.METACARPAL,
    FractureSite.ANKLE,
    FractureSite.CALCANEUS,
    FractureSite.METATARSAL,
}
_CLASSES: dict[FractureSite, SiteClass] = (
    dict.fromkeys(FractureSite, SiteClass.OTHER)
    | dict.fromkeys(HIP_SITES, SiteClass.HIP)
    | dict.fromkeys(_TYPICAL, SiteClass.TYPICAL)
    | dict.fromkeys(_DISPUTED, SiteClass.DISPUTED)
    | dict.fromkeys((FractureSite.HAND_PHALANX, FractureSite.TOE), SiteClass.NOT_COUNTED)
)
_BEYOND_SITES: dict[BodyRegion, SiteClass] = {
    BodyRegion.ELBOW: SiteClass.OTHER,
    BodyRegion.FOOT: SiteClass.NOT_COUNTED,
}
"""Bones that a region shows and `FractureSite` does not name: around the elbow, the toes."""


def site_class(site: FractureSite) -> SiteClass:
    """The class of a stated site."""
    return _CLASSES[site]


def site_classes(facts: CaseFacts) -> frozenset[SiteClass]:
    """The class of the stated site, else of every site that the region may show; all of them when neither is known."""
    if facts.context.site is not None:
        return frozenset({_CLASSES[facts.context.site]})
    if facts.region is None:
        return frozenset(SiteClass)
    shown = {_CLASSES[site] for site in facts.sites}
    if facts.region in _BEYOND_SITES:
        shown.add(_BEYOND_SITES[facts.region])
    return frozenset(shown)
