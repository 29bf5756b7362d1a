"""Fracture sites as the evidence base names them."""

from enum import StrEnum


class FractureSite(StrEnum):
    """A bone and its part; the keys of ``union_weeks_adult`` in the evidence base."""

    HAND_PHALANX = "hand_phalanx"
    METACARPAL = "metacarpal"
    SCAPHOID_DISTAL = "scaphoid_distal"
    SCAPHOID_WAIST = "scaphoid_waist"
    SCAPHOID_PROXIMAL = "scaphoid_proximal"
    DISTAL_RADIUS = "distal_radius"
    FOREARM_SHAFT = "forearm_shaft"
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
