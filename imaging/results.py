"""What the image branch tells the rest of the engine: `ImageFindings` and its parts.

Plain frozen data, free of any framework, so that `fusion` can read it without loading torch or pydicom.
Pixel coordinates are those of the radiograph as stored in the file: x to the right, y downwards, origin at
the outer corner of the first pixel.
"""

from dataclasses import dataclass
from enum import StrEnum

from imaging.labels import BodyRegion, FracturePattern, LimbGroup, View


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
class PointPx:
    """A point in pixels of the original radiograph."""

    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A measured value with its 90 % interval, ``low <= value <= high``; the unit is in the name of the field."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureGeometry:
    """What was measured from the bone's own edges around one detection.

    A quantity that could not be measured is None and stands in `not_measured` with its reason. Millimetres exist only
    with calibrated spacing; pixels and degrees always.
    """

    line_length_px: Measurement | None = None
    line_length_mm: Measurement | None = None
    shaft_width_px: Measurement | None = None
    shaft_width_mm: Measurement | None = None
    displacement_px: Measurement | None = None
    """Offset of the fragments' axes at the fracture, across the shaft."""
    displacement_mm: Measurement | None = None
    displacement_percent: Measurement | None = None
    """Displacement as a share of the shaft's width, percent."""
    angulation_deg: Measurement | None = None
    """Angle between the fragments' axes, 0..90 degrees, in the plane of the image."""
    shortening_px: Measurement | None = None
    shortening_mm: Measurement | None = None
    not_measured: tuple[tuple[str, str], ...] = ()
    """(quantity, dotted reason code of `imaging.warnings`), for instance
    ``("angulation", "imaging.geometry.one_fragment")``."""
    axes: tuple[tuple[PointPx, PointPx], ...] = ()
    """Axis of each fragment, for the overlay."""
    edges: tuple[tuple[PointPx, ...], ...] = ()
    """Traced cortical edges, for the overlay."""
    line: tuple[PointPx, ...] = ()
    """The traced fracture line, for the overlay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternEstimate:
    """What the network says of a fracture's pattern, from the radiograph as a whole: places on one share it."""

    pattern: FracturePattern
    """The most probable pattern, or UNDETERMINED when the ranking is not reliable enough to name it."""
    probabilities: tuple[tuple[FracturePattern, float], ...]
    """Every pattern the model knows with its probability, falling; they add up to 1."""
    displaced_probability: float | None = None
    """Probability that the fragments are displaced, 0..1; None when the model cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAttributes:
    """What the network says of the radiograph as a whole, beside fractures. All probabilities are 0..1."""

    model_id: str
    """Name, version and digest prefix of the attribute heads."""
    limb: tuple[tuple[LimbGroup, float], ...]
    """Limb groups with their probabilities, falling."""
    views: tuple[tuple[View, float], ...]
    """Probability that a view is on the radiograph; they need not add up to 1."""
    hardware_probability: float | None
    """Plates, screws, nails or casts' metal on the radiograph."""


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
    pattern: PatternEstimate | None = None
    """None when no attribute model is loaded."""
    geometry: FractureGeometry | None = None
    """None when geometry was not asked for."""


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
    sensitivity_low: float | None = None
    """Lower end of the one-sided 95 % bound of the sensitivity on the same images."""
    specificity_low: float | None = None
    """The same for the specificity."""


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
    fracture_probability: Measurement | None = None
    """Calibrated probability that the radiograph shows a fracture, at the training data's share of fractures (see the
    model card), with a 90 % interval; None when nothing was judged or the model is not calibrated."""
    calibration_prevalence: float | None = None
    """The share of fractures at which `fracture_probability` holds, 0..1; None without a calibrated probability."""
    scope_score: float | None = None
    """How far the radiograph lies from those the model was made for, as a share of in-scope radiographs that lie
    further out, 0..1: small means strange. None when not judged."""
    attributes: ImageAttributes | None = None
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


class AgeDiscrepancyVerdict(StrEnum):
    """Whether skeletal age lies more than two standard deviations from chronological age."""

    WITHIN = "within"
    """The estimate lies within two standard deviations."""
    MAY_BE_DELAYED = "may_be_delayed"
    """The estimate lies more than two below, but not the whole interval: the model's own error may explain it."""
    MAY_BE_ADVANCED = "may_be_advanced"
    """The estimate lies more than two above, but not the whole interval."""
    DELAYED = "delayed"
    """The whole interval lies more than two standard deviations below."""
    ADVANCED = "advanced"
    """The whole interval lies more than two standard deviations above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeDiscrepancy:
    """Skeletal age beside chronological age."""

    chronological_months: float
    difference_months: float
    """Skeletal minus chronological age: negative when the skeleton is behind."""
    sd_months: float | None
    """Standard deviation of skeletal age in healthy children of this age and sex; None where the table has none."""
    sd_score: Measurement | None
    """The difference in standard deviations, with the 90 % interval that the model's error alone gives it."""
    verdict: AgeDiscrepancyVerdict | None
    """None when there is no standard deviation to judge by."""
    not_judged: str | None
    """Dotted code of `imaging.warnings` when there is no verdict; None otherwise."""
    source: str
    """Where the standard deviations come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneAgeEstimate:
    """Skeletal age read from a radiograph of a child's hand."""

    months: float
    """Skeletal age, months."""
    low: float
    """Lower end of the 90 % interval, months."""
    high: float
    """Upper end of the 90 % interval, months."""
    sex_used: str | None
    """``female`` or ``male``; None when the answer was given without it."""
    standard: str
    """The standard whose reading by radiologists the model imitates."""
    model_id: str
    """Name, version and digest prefix of the weights."""
    model_validation: str
    """One sentence: how good the model was measured to be, on what, with sample size."""
    interval_meaning: str
    """One sentence: what the interval covers and how that was measured."""
    likeness: float | None = None
    """Share of the hands learned from that look at least as strange as this picture, 0..1: small means strange."""
    discrepancy: AgeDiscrepancy | None = None
    """None when the chronological age is not known to the month."""
    warnings: tuple[str, ...] = ()
    """Dotted codes of `imaging.warnings`."""
