"""The one class map of the detector and the body regions it may be shown."""

from enum import StrEnum

DETECTOR_CLASSES: tuple[str, ...] = ("fracture",)
"""Class names of the detector, by class index."""


class BodyRegion(StrEnum):
    """A limb region as DICOM's Body Part Examined tells it, coarse enough to be read off one radiograph."""

    HAND = "hand"
    """Phalanges and metacarpals."""
    WRIST = "wrist"
    """Distal forearm and carpus."""
    FOREARM = "forearm"
    """Shafts of radius and ulna."""
    ELBOW = "elbow"
    """Distal humerus, proximal radius and ulna."""
    HUMERUS = "humerus"
    """Shaft of the humerus."""
    SHOULDER = "shoulder"
    """Proximal humerus and scapula."""
    CLAVICLE = "clavicle"
    """The collar bone."""
    PELVIS = "pelvis"
    """Pelvic ring and acetabulum."""
    HIP = "hip"
    """Proximal femur."""
    FEMUR = "femur"
    """Shaft of the femur."""
    KNEE = "knee"
    """Distal femur, patella and proximal tibia."""
    LOWER_LEG = "lower_leg"
    """Shafts of tibia and fibula."""
    ANKLE = "ankle"
    """Malleoli, distal tibia, talus."""
    FOOT = "foot"
    """Tarsus, metatarsals and toes."""


class LimbGroup(StrEnum):
    """What the network can tell of the region from the pixels alone: the groups of the FracAtlas flags."""

    HAND_ARM = "hand_arm"
    """Hand, wrist, forearm, elbow."""
    LEG_FOOT = "leg_foot"
    """Knee, lower leg, ankle, foot."""
    HIP_PELVIS = "hip_pelvis"
    """Hip, pelvis, proximal femur."""
    SHOULDER = "shoulder"
    """Shoulder girdle, proximal humerus."""


class View(StrEnum):
    """Direction of a radiograph; one file may hold several views side by side."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    OBLIQUE = "oblique"


class FracturePattern(StrEnum):
    """The pattern of a fracture as the network may name it."""

    TRANSVERSE = "transverse"
    OBLIQUE = "oblique"
    SPIRAL = "spiral"
    COMMINUTED = "comminuted"
    """Three or more fragments; segmental fractures are counted here."""
    GREENSTICK = "greenstick"
    """Greenstick or torus (buckle) fracture of a child's bone."""
    AVULSION = "avulsion"
    IMPACTED = "impacted"
    HAIRLINE = "hairline"
    LONGITUDINAL = "longitudinal"
    """Along the axis of the bone; linear fractures are counted here."""
    PATHOLOGICAL = "pathological"
    FRACTURE_DISLOCATION = "fracture_dislocation"
    UNDETERMINED = "undetermined"
    """The ranking is not reliable enough to name one."""
