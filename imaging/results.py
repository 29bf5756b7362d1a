"""What the image branch tells the rest of the engine: `ImageFindings` and its parts.

Plain frozen data, free of any framework, so that `fusion` can read it without loading torch or pydicom.
Pixel coordinates are those of the radiograph as stored in the file: x to the right, y downwards, origin at
the outer corner of the first pixel.
"""

from dataclasses import dataclass
from enum import StrEnum

from imaging.labels import BodyRegion


class FractureCall(StrEnum):
    """The image-level answer, in words a report may print."""

    DEFINITE = "definite"
    """The score passes the high-specificity operating point."""
    SUSPECTED = "suspected"
    """The score lies between the two operating points."""
    NOT_SEEN = "not_seen"
    """The score is below the high-sensitivity operating point; this does not exclude a fracture."""
    CANNOT_JUDGE = "cannot_judge"
    """The radiograph is not fit to be judged."""


class SpacingOrigin(StrEnum):
    """Where the millimetres per pixel come from."""

    CALIBRATED = "calibrated"
    """Pixel Spacing corrected to the patient plane: patient millimetres."""
    DETECTOR = "detector"
    """Imager Pixel Spacing or uncorrected Pixel Spacing: millimetres at the detector, larger than in the patient."""
    UNKNOWN = "unknown"
    """No spacing: no millimetres may be printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSpacing:
    """Millimetres per pixel and their provenance."""

    row_mm: float
    """Distance between the centres of neighbouring rows, in mm."""
    column_mm: float
    """Distance between the centres of neighbouring columns, in mm."""
    origin: SpacingOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxPx:
    """An axis-parallel box in pixels of the original radiograph, ``x1 < x2`` and ``y1 < y2``."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureDetection:
    """One place where the detector sees a fracture."""

    box: BoxPx
    score: float
    """Detector score, 0..1; not a probability."""
    call: FractureCall
    """DEFINITE or SUSPECTED."""
    label: str
    """Class name, one of `imaging.labels.DETECTOR_CLASSES`."""
    box_width_mm: float | None = None
    """Box width in mm; None without spacing. A box is not a measurement of the fracture."""
    box_height_mm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A score threshold and what it was measured to do."""

    name: str
    """``high_sensitivity`` or ``high_specificity``."""
    threshold: float
    """Detector score, 0..1."""
    sensitivity: float
    """Image-level sensitivity on the data named in the model's manifest, 0..1."""
    specificity: float
    """Image-level specificity on the same data, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFindings:
    """All that the image branch says about one radiograph."""

    model_id: str
    """Name, version and digest prefix of the weights, for instance ``yolov7-tiny-fracatlas@1.0.0+ab12cd34``."""
    model_validation: str
    """One sentence: how good the model was measured to be, on what, with sample size."""
    image_sha256: str
    """Digest of the file's bytes."""
    width_px: int
    height_px: int
    call: FractureCall
    max_score: float | None
    """Highest detector score in the image, 0..1; None when nothing was judged."""
    detections: tuple[FractureDetection, ...] = ()
    """Sorted by falling score."""
    operating_points: tuple[OperatingPoint, ...] = ()
    spacing: PixelSpacing | None = None
    region: BodyRegion | None = None
    region_source: str | None = None
    """``dicom`` (Body Part Examined) or ``model``; None when the region is unknown."""
    laterality: str | None = None
    """``L``, ``R``, ``B`` or ``U`` as in DICOM; None when not recorded."""
    synthetic: bool = False
    """True for a phantom that carries no patient."""
    warnings: tuple[str, ...] = ()
    """Dotted codes, ``imaging.spacing.missing``; a colon may add a detail."""
