"""Fracture sites as the evidence base names them."""

from enum import StrEnum

from imaging.labels import BodyRegion


class FractureSite(StrEnum):
    """A bone and its part; the keys of ``union_weeks_adult`` in the evidence base."""

    HAND_PHALANX = "hand_phalanx"
    METACARPAL = "metacarpal"
    SCAPHOID_DISTAL = "scaphoid_distal"
    SCAPHOID_WAIST = "scaphoid_waist"
    SCAPHOID_PROXIMAL = "scaphoid_proximal"
    DISTAL_RADIUS = "distal_radius"
    FOREARM_SHAFT = "forearm_shaft"
    OLECRANON = "olecranon"
    HUMERUS_SHAFT = "humerus_shaft"
    HUMERUS_PROXIMAL = "humerus_proximal"
    CLAVICLE = "clavicle"
    PELVIS = "pelvis"
    FEMORAL_NECK = "femoral_neck"
    INTERTROCHANTERIC = "intertrochanteric"
    FEMORAL_SHAFT = "femoral_shaft"
    PATELLA = "patella"
    TIBIAL_PLATEAU = "tibial_plateau"
    TIBIAL_SHAFT = "tibial_shaft"
    ANKLE = "ankle"
    CALCANEUS = "calcaneus"
    METATARSAL = "metatarsal"
    TOE = "toe"


SITE_NAMES: dict[FractureSite, str] = {
    FractureSite.HAND_PHALANX: "phalanx of the hand",
    FractureSite.METACARPAL: "metacarpal",
    FractureSite.SCAPHOID_DISTAL: "distal scaphoid",
    FractureSite.SCAPHOID_WAIST: "scaphoid waist",
    FractureSite.SCAPHOID_PROXIMAL: "proximal pole of the scaphoid",
    FractureSite.DISTAL_RADIUS: "distal radius",
    FractureSite.FOREARM_SHAFT: "forearm shaft",
    FractureSite.OLECRANON: "olecranon",
    FractureSite.HUMERUS_SHAFT: "humeral shaft",
    FractureSite.HUMERUS_PROXIMAL: "proximal humerus",
    FractureSite.CLAVICLE: "clavicle",
    FractureSite.PELVIS: "pelvis",
    FractureSite.FEMORAL_NECK: "femoral neck",
    FractureSite.INTERTROCHANTERIC: "intertrochanteric femur",
    FractureSite.FEMORAL_SHAFT: "femoral shaft",
    FractureSite.PATELLA: "patella",
    FractureSite.TIBIAL_PLATEAU: "tibial plateau",
    FractureSite.TIBIAL_SHAFT: "tibial shaft",
    FractureSite.ANKLE: "ankle",
    FractureSite.CALCANEUS: "calcaneus",
    FractureSite.METATARSAL: "metatarsal",
    FractureSite.TOE: "toe",
}
"""Sites in the words of a report."""

REGION_SITES: dict[BodyRegion, tuple[FractureSite, ...]] = {
    BodyRegion.HAND: (FractureSite.HAND_PHALANX, FractureSite.METACARPAL),
    BodyRegion.WRIST: (
        FractureSite.DISTAL_RADIUS,
        FractureSite.SCAPHOID_DISTAL,
        FractureSite.SCAPHOID_WAIST,
        FractureSite.SCAPHOID_PROXIMAL,
    ),
    BodyRegion.FOREARM: (FractureSite.FOREARM_SHAFT, FractureSite.DISTAL_RADIUS),
    BodyRegion.ELBOW: (),
    BodyRegion.HUMERUS: (FractureSite.HUMERUS_SHAFT, FractureSite.HUMERUS_PROXIMAL),
    BodyRegion.SHOULDER: (FractureSite.HUMERUS_PROXIMAL, FractureSite.CLAVICLE),
    BodyRegion.CLAVICLE: (FractureSite.CLAVICLE,),
    BodyRegion.PELVIS: (FractureSite.PELVIS,),
    BodyRegion.HIP: (FractureSite.FEMORAL_NECK, FractureSite.INTERTROCHANTERIC),
    BodyRegion.FEMUR: (FractureSite.FEMORAL_SHAFT,),
    BodyRegion.KNEE: (FractureSite.PATELLA, FractureSite.TIBIAL_PLATEAU),
    BodyRegion.LOWER_LEG: (FractureSite.TIBIAL_SHAFT,),
    BodyRegion.ANKLE: (FractureSite.ANKLE,),
    BodyRegion.FOOT: (FractureSite.METATARSAL, FractureSite.CALCANEUS),
}
"""Sites from which a region alone is estimated; none for the elbow, most of whose bones have no figures.

Bones of a region without figures (carpus beside the scaphoid, fibula, talus) are not among the sites: a report that
estimates from the region says which sites it covers.
"""
STATED_SITES: dict[BodyRegion, tuple[FractureSite, ...]] = {
    BodyRegion.ELBOW: (FractureSite.OLECRANON,),
    BodyRegion.FOOT: (FractureSite.TOE,),
}
"""Sites of a region that count only where the clinician states them: the film alone would rather mean another bone."""

HIP_SITES = frozenset({FractureSite.FEMORAL_NECK, FractureSite.INTERTROCHANTERIC})
LOWER_LIMB_SITES = HIP_SITES | {
    FractureSite.PELVIS,
    FractureSite.FEMORAL_SHAFT,
    FractureSite.PATELLA,
    FractureSite.TIBIAL_PLATEAU,
    FractureSite.TIBIAL_SHAFT,
    FractureSite.ANKLE,
    FractureSite.CALCANEUS,
    FractureSite.METATARSAL,
    FractureSite.TOE,
}
SCAPHOID_SITES = frozenset({FractureSite.SCAPHOID_DISTAL, FractureSite.SCAPHOID_WAIST, FractureSite.SCAPHOID_PROXIMAL})

_NEIGHBOURS: dict[BodyRegion, frozenset[BodyRegion]] = {
    BodyRegion.HAND: frozenset({BodyRegion.WRIST}),
    BodyRegion.WRIST: frozenset({BodyRegion.HAND, BodyRegion.FOREARM}),
    BodyRegion.FOREARM: frozenset({BodyRegion.WRIST, BodyRegion.ELBOW}),
    BodyRegion.ELBOW: frozenset({BodyRegion.FOREARM, BodyRegion.HUMERUS}),
    BodyRegion.HUMERUS: frozenset({BodyRegion.ELBOW, BodyRegion.SHOULDER}),
    BodyRegion.SHOULDER: frozenset({BodyRegion.HUMERUS, BodyRegion.CLAVICLE}),
    BodyRegion.CLAVICLE: frozenset({BodyRegion.SHOULDER}),
    BodyRegion.PELVIS: frozenset({BodyRegion.HIP}),
    BodyRegion.HIP: frozenset({BodyRegion.PELVIS, BodyRegion.FEMUR}),
    BodyRegion.FEMUR: frozenset({BodyRegion.HIP, BodyRegion.KNEE}),
    BodyRegion.KNEE: frozenset({BodyRegion.FEMUR, BodyRegion.LOWER_LEG}),
    BodyRegion.LOWER_LEG: frozenset({BodyRegion.KNEE, BodyRegion.ANKLE}),
    BodyRegion.ANKLE: frozenset({BodyRegion.LOWER_LEG, BodyRegion.FOOT}),
    BodyRegion.FOOT: frozenset({BodyRegion.ANKLE}),
}


def site_fits_region(site: FractureSite, region: BodyRegion) -> bool:
    """Whether a radiograph of a region may show a site: the region itself or one that its margin reaches."""
    return any(site in sites_of(one) for one in {region} | _NEIGHBOURS[region])


def sites_of(region: BodyRegion) -> tuple[FractureSite, ...]:
    """Every site in a region, stated or not."""
    return (*REGION_SITES[region], *STATED_SITES.get(region, ()))
