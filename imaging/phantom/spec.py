"""What to draw, and what is true of the drawing."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from imaging.labels import BodyRegion
from imaging.results import BoxPx, PixelSpacing


class Limb(StrEnum):
    """Which limb the phantom shows."""

    FOREARM = "forearm"
    """Distal forearm, wrist and hand, postero-anterior."""
    LOWER_LEG = "lower_leg"
    """Distal lower leg, ankle and foot, antero-posterior."""


class PhantomBone(StrEnum):
    """The bones that can be broken."""

    RADIUS = "radius"
    ULNA = "ulna"
    TIBIA = "tibia"
    FIBULA = "fibula"


class Processing(StrEnum):
    """How the detector's signal becomes a picture."""

    PLATE = "plate"
    """A whole storage phosphor plate: soft contrast, dark halo at edges, unexposed margin."""
    DETECTOR = "detector"
    """A flat-panel image: strong contrast, black collimation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureSpec:
    """One break across one bone. Lengths are in millimetres of the limb, which lies in one plane."""

    bone: PhantomBone
    height_mm: float = 55.0
    """Distance of the fracture's centre from the bone's distal joint surface."""
    obliquity_deg: float = 5.0
    """Angle of the fracture line to the perpendicular of the bone, -60..60; about 0 is transverse, 45 oblique."""
    depth_tilt_deg: float = 15.0
    """Angle of the fracture plane to the beam, -60..60: front and back of the bone then break at different heights."""
    gap_mm: float = 0.8
    """Width of the fracture line, 0..10."""
    displacement_mm: float = 0.0
    """Shift of the distal fragment across the bone's axis; positive to the limb's right as drawn before rotation."""
    angulation_deg: float = 0.0
    """Turn of the distal fragment, -60..60; positive is clockwise in an image that is not rotated or mirrored."""
    shortening_mm: float = 0.0
    """How far the distal fragment is driven up along the bone; negative draws it away."""
    roughness_mm: float = 0.8
    """Height of the teeth of the fracture line, 0..4."""
    fragments: int = 0
    """Number of small loose pieces beside the fracture, 0..8."""
    swelling_mm: float = 4.0
    """How much the soft tissue bulges on each side, 0..20."""

    def __post_init__(self) -> None:
        """Refuse values that would not draw a fracture."""
        limits = {
            "height_mm": (8.0, 250.0),
            "obliquity_deg": (-60.0, 60.0),
            "depth_tilt_deg": (-60.0, 60.0),
            "gap_mm": (0.0, 10.0),
            "displacement_mm": (-40.0, 40.0),
            "angulation_deg": (-60.0, 60.0),
            "shortening_mm": (-20.0, 40.0),
            "roughness_mm": (0.0, 4.0),
            "fragments": (0, 8),
            "swelling_mm": (0.0, 20.0),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie between {low} and {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """One phantom radiograph."""

    limb: Limb = Limb.FOREARM
    fractures: tuple[FractureSpec, ...] = ()
    """Empty for an intact limb; at most one per bone."""
    height_px: int = 454
    width_px: int = 373
    spacing_mm: float = 0.8
    """Millimetres of the limb per pixel, 0.1..2."""
    laterality: str = "R"
    """``L`` or ``R``; mirrors the limb and is burned in as a marker."""
    rotation_deg: float = 0.0
    """Turn of the limb in the image, positive clockwise; 0 shows fingers or toes below."""
    offset_mm: tuple[float, float] = (0.0, 0.0)
    """Shift of the limb in the image, to the right and downwards."""
    crossing_height_mm: float | None = None
    """Height above the stronger bone's distal joint surface at which the slender bone crosses it in the picture,
    60..250, as a pronated forearm or a turned lower leg shows; None keeps the bones side by side."""
    bone_scale: float = 1.0
    """Size of the whole limb, 0.5..1.3."""
    cortex_scale: float = 1.0
    """Thickness of the cortical bone, 0.4..1.5; low is osteoporotic."""
    soft_tissue_scale: float = 1.0
    """Girth of the soft tissue, 0.7..1.6."""
    exposure: float = 1.0
    """Dose at the detector relative to the usual one, 0.2..5: less gives more noise."""
    contrast: float = 1.0
    """Steepness of the display curve, 0.5..2."""
    brightness: float = 0.0
    """Shift of the display curve, -0.2..0.2."""
    processing: Processing = Processing.PLATE
    centre_on_fracture: bool = False
    """Put the first fracture, instead of the middle of the limb, into the middle of the image."""
    annotate: bool = True
    """Burn in the side marker and the words SYNTHETIC PHANTOM."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be drawn."""
        if not (64 <= self.height_px <= 4096 and 64 <= self.width_px <= 4096):
            raise ValueError("height_px and width_px must lie between 64 and 4096")
        if not 0.1 <= self.spacing_mm <= 2.0:
            raise ValueError("spacing_mm must lie between 0.1 and 2")
        if self.laterality not in ("L", "R"):
            raise ValueError("laterality must be L or R")
        if self.crossing_height_mm is not None and not 60.0 <= self.crossing_height_mm <= 250.0:
            raise ValueError("crossing_height_mm must lie between 60 and 250")
        bones = [fracture.bone for fracture in self.fractures]
        if len(set(bones)) != len(bones) or not set(bones) <= set(BONES[self.limb]):
            raise ValueError(f"fractures must name different bones of the {self.limb.value}")


BONES: dict[Limb, tuple[PhantomBone, ...]] = {
    Limb.FOREARM: (PhantomBone.RADIUS, PhantomBone.ULNA),
    Limb.LOWER_LEG: (PhantomBone.TIBIA, PhantomBone.FIBULA),
}
"""Which bones each limb has, the stronger one first."""

REGIONS: dict[Limb, BodyRegion] = {Limb.FOREARM: BodyRegion.FOREARM, Limb.LOWER_LEG: BodyRegion.LOWER_LEG}
"""What the DICOM header says is shown."""

PointPx = tuple[float, float]
"""x, y in pixels of the image, origin at the outer corner of the first pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureTruth:
    """What a perfect measurement of one fracture would give."""

    bone: PhantomBone
    box: BoxPx
    """Around both fracture ends, with the margin an annotator leaves."""
    crack_px: tuple[PointPx, ...]
    """The fracture line on the proximal fragment, from cortex to cortex."""
    crack_length_mm: float
    """Straight length from cortex to cortex: in a shaft, bone width divided by the cosine of the obliquity."""
    bone_width_mm: float
    """Width of the bone at the fracture, across its axis."""
    displacement_mm: float
    """Absolute shift of the distal fragment across the proximal axis, at the fracture."""
    displacement_percent: float
    """The same in percent of the bone's width."""
    angulation_deg: float
    """Absolute angle between the fragments' axes."""
    shortening_mm: float
    gap_mm: float
    overlap_mm: float
    """How far the fragments' ends lie over each other along the bone: shortening less the gap; negative is a gap."""
    obliquity_deg: float
    """Absolute angle of the line to the perpendicular of the bone."""
    fragments: int
    proximal_axis_px: tuple[PointPx, PointPx]
    """The proximal fragment's axis at the fracture: a point 40 mm up, and the fracture's centre."""
    distal_axis_px: tuple[PointPx, PointPx]
    """The distal fragment's axis at the fracture: its own fracture centre, and a point up to 40 mm down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomTruth:
    """What is true of the picture."""

    fractures: tuple[FractureTruth, ...]
    spacing: PixelSpacing
    region: BodyRegion
    laterality: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Phantom:
    """A synthetic radiograph with known geometry."""

    pixels: NDArray[np.float32]
    """[H, W], 0..1, bone bright."""
    truth: PhantomTruth
    spec: PhantomSpec
    seed: int
