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
