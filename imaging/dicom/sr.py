"""Findings as a Comprehensive 3D SR, TID 1500 "Measurement Report", in the study of the image.

Tree: Imaging Measurement Report (126000) > Imaging Measurements (126010) > one Measurement Group (125007) for the
radiograph as a whole, one with its region for each place, one for skeletal age; then Qualitative Evaluations, which
hold the disclaimer, what the model was measured to do, what it warns of, and the notes that the caller adds.

Regions are closed polylines in columns and rows of the stored image, measured from the outer corner of the first pixel
(0.0, 0.0) to that of the last (Columns, Rows), as PS3.3 C.18.6 wants it; `BoxPx` counts the same way.

A value that was not measured is no numeric item: readers of measurements fall over an empty one. It is a text item with
the same name that says why. The ranges beside a value are distances from it, in its unit, of a 90 % interval.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final

import numpy as np
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageContentItem,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as NumericMeasurement
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from imaging.dicom import codes as concepts
from imaging.dicom.filing import (
    DISCLAIMER,
    MANUFACTURER,
    Filing,
    SourceImage,
    derived_uid,
    describe_instance,
    local_moment,
    place_uid,
    with_file_meta,
)
from imaging.labels import FracturePattern
from imaging.results import (
    BoneAgeEstimate,
    FractureCall,
    FractureDetection,
    FractureGeometry,
    ImageFindings,
    Measurement,
    PatternEstimate,
    SpacingOrigin,
)
from imaging.warnings import WARNINGS

SERIES_DESCRIPTION: Final = "fracture-cds findings (not for diagnostic use)"
INTERVAL_NOTE: Final = "Ranges of uncertainty are distances from the value, in its unit, of a 90 % interval."
_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_FRACTURE_CALLS: Final = (FractureCall.DEFINITE, FractureCall.SUSPECTED)

UNRELIABLE_RANKING: Final = (
    "The ranking is not reliable enough to name one; it follows region and picture more than the fracture line. "
)
RANKED_PATTERNS: Final = 3
"""Patterns named with their probability."""


class NoteKind(Enum):
    """What a text of the report is, as DICOM codes it."""

    IMPRESSION = Code("121073", "DCM", "Impression")
    RECOMMENDATION = Code("121075", "DCM", "Recommendation")
    COMMENT = Code("121106", "DCM", "Comment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence that the report carries beside the measurements; no patient identifiers."""

    kind: NoteKind
    text: str


def build_report(
    source: SourceImage,
    findings: ImageFindings,
    filing: Filing,
    *,
    bone_age: BoneAgeEstimate | None = None,
    notes: Sequence[Note] = (),
) -> Dataset:
    """Make the structured report.

    Args:
        source: the image that was assessed.
        findings: what was found on it.
        filing: when and by what.
        bone_age: skeletal age, where it was read.
        notes: further sentences, in the order in which they are to stand.

    Returns:
        A data set with file meta information, ready for `imaging.dicom.filing.file_bytes`.
    """
    report = MeasurementReport(
        observation_context=_observer(findings, filing),
        procedure_reported=concepts.PLAIN_RADIOGRAPHY,
        imaging_measurements=list(_groups(source, findings, bone_age)),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            CodedConcept("en-GB", "RFC5646", "English (United Kingdom)")
        ),
    )
    root = report[0].ContentSequence
    root.insert(len(root) - 1, _image_library(source))
    root.append(_evaluations((*_first_notes(source, findings), *notes, *_last_notes(findings))))
    day, time = local_moment(source, filing.created)
    document = Comprehensive3DSR(
        # Without the patient: highdicom logs a name that it finds odd. `describe_instance` copies it afterwards.
        evidence=[_evidence(source)],
        content=report[0],
        series_instance_uid=derived_uid("unset"),
        series_number=1,
        sop_instance_uid=derived_uid("unset"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        content_date=day,
        content_time=time,
        specific_character_set="ISO_IR 192",
        coding_schemes=[
            CodingSchemeIdentificationItem(
                designator=concepts.SCHEME, name=concepts.SCHEME_NAME, responsible_organization=MANUFACTURER
            )
        ],
    )
    # highdicom names itself there with the time of day, which would make every run another file.
    del document.ContributingEquipmentSequence
    describe_instance(document, source, findings, filing, modality="SR", description=SERIES_DESCRIPTION)
    return with_file_meta(document)


def _evidence(source: SourceImage) -> Dataset:
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID, item.SeriesInstanceUID, item.StudyInstanceUID = source.uids
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(item, keyword, None)
    item.StudyDate = item.StudyTime = None
    return item


def _observer(findings: ImageFindings, filing: Filing) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", filing.software_version, findings.model_id),
        name=f"{MANUFACTURER} ({DISCLAIMER.lower()})",
        manufacturer_name=MANUFACTURER,
        model_name=f"{MANUFACTURER} {filing.software_version}",
        serial_number=findings.model_id,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )


def _image_library(source: SourceImage) -> ContainerContentItem:
    """TID 1600: the one image, with its size and the frame that was assessed."""
    library = ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    group = ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    image = ImageContentItem(
        name=concepts.SOURCE,
        referenced_sop_class_uid=source.uids[0],
        referenced_sop_instance_uid=source.uids[1],
        referenced_frame_numbers=_frames(source),
        relationship_type=_CONTAINS,
    )
    group.ContentSequence = ContentSequence([image])
    library.ContentSequence = ContentSequence([group])
    return library


def _frames(source: SourceImage) -> list[int] | None:
    return [source.frame] if source.has_frames else None


def _groups(
    source: SourceImage, findings: ImageFindings, bone_age: BoneAgeEstimate | None
) -> Iterator[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations]:
    sites = _sites(findings)
    yield _radiograph_group(source, findings, sites)
    for number, detection in enumerate(findings.detections, start=1):
        yield _place_group(source, findings, number, detection, sites)
    if bone_age is not None:
        yield _bone_age_group(source, findings, bone_age)


def _sites(findings: ImageFindings) -> list[FindingSite] | None:
    """The region with its side; None where the region is not known."""
    if findings.region is None:
        return None
    side = concepts.LATERALITIES.get(findings.laterality or "")
    return [FindingSite(anatomic_location=concepts.region_code(findings.region), laterality=side)]


def _algorithm(model_id: str, name: str, findings: ImageFindings | None = None) -> AlgorithmIdentification:
    """Name, version and digest of a model, from ``name@version+digest``, with its operating points."""
    model, _, rest = model_id.partition("@")
    version, _, digest = rest.partition("+")
    parameters = [f"model {model}", f"sha256 of the weights begins {digest or 'not recorded'}"]
    if findings is not None:
        parameters += [
            f"{point.name.replace('_', '-')} point: score {point.threshold:.3f},"
            f" sensitivity {100 * point.sensitivity:.1f} %, specificity {100 * point.specificity:.1f} %"
            for point in findings.operating_points
        ]
    return AlgorithmIdentification(
        name=name, version=version or "not recorded", parameters=parameters, manufacturer=MANUFACTURER
    )


def _radiograph_group(
    source: SourceImage, findings: ImageFindings, sites: list[FindingSite] | None
) -> MeasurementsAndQualitativeEvaluations:
    """The radiograph as a whole: the call, the calibrated probability, the highest score."""
    values = []
    if findings.fracture_probability is not None:
        values.append(_measured(concepts.IMAGE_PROBABILITY, _percent(findings.fracture_probability), concepts.PERCENT))
    if findings.max_score is not None:
        values.append(_number(concepts.HIGHEST_SCORE, findings.max_score, concepts.RATIO))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            identifier="Radiograph", uid=derived_uid("radiograph", source.uids[1], source.frame, findings.model_id)
        ),
        # A reader that shows the finding alone must not show a fracture that was not seen.
        finding_type=concepts.FRACTURE if findings.call in _FRACTURE_CALLS else None,
        algorithm_id=_algorithm(findings.model_id, "Fracture detection", findings),
        finding_sites=sites,
        measurements=values,
        qualitative_evaluations=[QualitativeEvaluation(name=concepts.CALL, value=concepts.CALLS[findings.call])],
    )
    if findings.fracture_probability is None:
        why = "Not given: nothing was judged, or this model carries no calibration."
        _append(group, concepts.IMAGE_PROBABILITY, why)
    else:
        share = findings.calibration_prevalence
        holds = "" if share is None else f" The probability holds where {100 * share:.0f} % of radiographs show one."
        _append(group, NoteKind.COMMENT.value, f"{INTERVAL_NOTE}{holds}")
    return group


def _place_group(
    source: SourceImage,
    findings: ImageFindings,
    number: int,
    detection: FractureDetection,
    sites: list[FindingSite] | None,
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """One place with its region."""
    presence = concepts.PRESENT if detection.call is FractureCall.DEFINITE else concepts.UNDETERMINED
    evaluations = [
        QualitativeEvaluation(name=concepts.CALL, value=concepts.CALLS[detection.call]),
        QualitativeEvaluation(name=concepts.PRESENCE, value=presence),
    ]
    if detection.pattern is not None:
        evaluations.append(
            QualitativeEvaluation(name=concepts.PATTERN, value=concepts.PATTERNS[detection.pattern.pattern])
        )
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(identifier=f"Place {number}", uid=place_uid(source, findings, number)),
        referenced_region=_region(source, findings, detection),
        finding_type=concepts.FRACTURE,
        algorithm_id=_algorithm(findings.model_id, "Fracture detection"),
        finding_sites=sites,
        measurements=[
            _number(concepts.DETECTOR_SCORE, detection.score, concepts.RATIO),
            *_box_size(findings, detection),
            *_pattern_values(detection.pattern),
            *_geometry_values(detection.geometry),
        ],
        qualitative_evaluations=evaluations,
    )
    for name, text in (*_pattern_texts(detection.pattern), *_geometry_texts(detection.geometry)):
        _append(group, name, text)
    return group


def _region(source: SourceImage, findings: ImageFindings, detection: FractureDetection) -> ImageRegion:
    """The box as a closed polyline, clockwise from its upper left corner, clipped to the image."""
    box = detection.box
    x1, x2 = (min(max(value, 0.0), float(findings.width_px)) for value in (box.x1, box.x2))
    y1, y2 = (min(max(value, 0.0), float(findings.height_px)) for value in (box.y1, box.y2))
    corners = np.asarray([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)], dtype=np.float64)
    image = SourceImageForRegion(
        referenced_sop_class_uid=source.uids[0],
        referenced_sop_instance_uid=source.uids[1],
        referenced_frame_numbers=_frames(source),
    )
    return ImageRegion(graphic_type=GraphicTypeValues.POLYLINE, graphic_data=corners, source_image=image)


def _box_size(findings: ImageFindings, detection: FractureDetection) -> tuple[NumericMeasurement, ...]:
    """Width and height: in mm where millimetres mean something, else in pixels."""
    origin = findings.spacing.origin if findings.spacing is not None else SpacingOrigin.UNKNOWN
    sizes = (detection.box_width_mm, detection.box_height_mm)
    if origin is SpacingOrigin.UNKNOWN or None in sizes:
        box = detection.box
        names, unit = concepts.BOX_SIZES[SpacingOrigin.UNKNOWN], concepts.PIXELS
        sizes = (box.x2 - box.x1, box.y2 - box.y1)
    else:
        names, unit = concepts.BOX_SIZES[origin], concepts.MILLIMETRE
    return tuple(_number(name, size, unit) for name, size in zip(names, sizes, strict=True) if size is not None)


def _pattern_values(pattern: PatternEstimate | None) -> Iterator[NumericMeasurement]:
    if pattern is None:
        return
    own = dict(pattern.probabilities).get(pattern.pattern)
    if own is not None:
        yield _number(concepts.PATTERN_PROBABILITY, 100 * own, concepts.PERCENT)
    if pattern.displaced_probability is not None:
        yield _number(concepts.DISPLACED_PROBABILITY, 100 * pattern.displaced_probability, concepts.PERCENT)


def _pattern_texts(pattern: PatternEstimate | None) -> Iterator[tuple[Code, str]]:
    if pattern is None:
        yield concepts.PATTERN, "Not estimated: no model for patterns was used."
        return
    named = pattern.pattern is not FracturePattern.UNDETERMINED
    best = pattern.probabilities[:RANKED_PATTERNS]
    ranking = ", ".join(f"{concepts.PATTERNS[one].meaning.lower()} {100 * value:.0f} %" for one, value in best)
    yield (
        concepts.PATTERN_RANKING,
        f"{'' if named else UNRELIABLE_RANKING}Estimated from the image as a whole: {ranking}.",
    )


def _geometry_values(geometry: FractureGeometry | None) -> Iterator[NumericMeasurement]:
    for quantity, name in concepts.QUANTITIES.items():
        for ending, unit in concepts.UNITS.items():
            value = getattr(geometry, f"{quantity}_{ending}", None)
            if value is not None:
                share = quantity == "displacement" and ending == "percent"
                yield _measured(concepts.DISPLACEMENT_SHARE if share else name, value, unit)


def _geometry_texts(geometry: FractureGeometry | None) -> Iterator[tuple[Code, str]]:
    """Why a quantity, or its millimetres, could not be measured: once, where it is the same for all of them."""
    if geometry is None:
        yield NoteKind.COMMENT.value, "Geometry was not measured at this place."
        return
    missing: dict[str, list[Code]] = {}
    found = False
    for quantity, name in concepts.QUANTITIES.items():
        has_value = any(getattr(geometry, f"{quantity}_{ending}", None) is not None for ending in concepts.UNITS)
        found = found or has_value
        reasons = dict.fromkeys(
            _sentence(code)
            for one, code in geometry.not_measured
            if one == quantity or one.removeprefix(f"{quantity}_") in concepts.UNITS
        )
        if not has_value:
            missing.setdefault(" ".join(reasons) or "No reason was given.", []).append(name)
        elif reasons:
            yield name, " ".join(reasons)
    if not found and len(missing) == 1:
        yield NoteKind.COMMENT.value, f"No geometry was measured. {next(iter(missing))}"
    else:
        yield from ((name, f"Not measured. {reason}") for reason, names in missing.items() for name in names)
    known = tuple(concepts.QUANTITIES)
    others = dict.fromkeys(_sentence(code) for one, code in geometry.not_measured if not one.startswith(known))
    closing = " ".join((*((INTERVAL_NOTE,) if found else ()), *others))
    if closing:
        yield NoteKind.COMMENT.value, closing


def _bone_age_group(
    source: SourceImage, findings: ImageFindings, estimate: BoneAgeEstimate
) -> MeasurementsAndQualitativeEvaluations:
    age = Measurement(value=estimate.months, low=estimate.low, high=estimate.high)
    values = [_measured(concepts.BONE_AGE, age, concepts.MONTHS)]
    compared = estimate.discrepancy
    if compared is not None:
        values.append(_number(concepts.BONE_AGE_DIFFERENCE, compared.difference_months, concepts.MONTHS))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            identifier="Skeletal age",
            uid=derived_uid("bone-age", source.uids[1], source.frame, estimate.model_id),
        ),
        algorithm_id=_algorithm(estimate.model_id, "Skeletal age"),
        finding_sites=_sites(findings),
        measurements=values,
    )
    _append(group, concepts.BONE_AGE_STANDARD, f"{estimate.standard}; sex {estimate.sex_used or 'not known'}")
    if compared is not None and compared.verdict is not None:
        _append(group, NoteKind.COMMENT.value, f"Against the standards: {compared.verdict.value.replace('_', ' ')}.")
    cautions = (_sentence(code) for code in estimate.warnings)
    texts = (estimate.interval_meaning, estimate.model_validation, INTERVAL_NOTE, *cautions)
    _append(group, NoteKind.COMMENT.value, " ".join(texts))
    return group


def _measured(name: Code, measurement: Measurement, unit: Code) -> NumericMeasurement:
    """A value with the distances to both ends of its interval."""
    made = _number(name, measurement.value, unit)
    item = partial(NumContentItem, unit=unit, relationship_type=RelationshipTypeValues.HAS_PROPERTIES)
    low, value, high = (_rounded(one, unit) for one in (measurement.low, measurement.value, measurement.high))
    made[0].ContentSequence = ContentSequence(
        [
            item(name=concepts.UPPER_UNCERTAINTY, value=_rounded(high - value, unit)),
            item(name=concepts.LOWER_UNCERTAINTY, value=_rounded(value - low, unit)),
        ]
    )
    return made


def _number(name: Code, value: float, unit: Code) -> NumericMeasurement:
    return NumericMeasurement(name=name, value=_rounded(value, unit), unit=unit)


def _rounded(value: float, unit: Code) -> float:
    """As many decimals as the value bears: three of a score, one of a length, an angle, an age or a percentage."""
    return round(float(value), 3 if unit is concepts.RATIO else 1)


def _percent(probability: Measurement) -> Measurement:
    return Measurement(value=100 * probability.value, low=100 * probability.low, high=100 * probability.high)


def _append(group: Sequence[Any], name: Code, text: str) -> None:
    """Add a text to a measurement group (TID 1501 allows qualitative evaluations as text)."""
    group[0].ContentSequence.append(_text(name, text))


def _text(name: Code, text: str) -> TextContentItem:
    return TextContentItem(name=CodedConcept.from_code(name), value=text, relationship_type=_CONTAINS)


def _first_notes(source: SourceImage, findings: ImageFindings) -> Iterator[Note]:
    """What a reader must see before anything else."""
    comment = partial(Note, kind=NoteKind.COMMENT)
    yield comment(
        text=f"{DISCLAIMER}. Computed by software without a human reader; supports a decision, never takes one."
    )
    if findings.synthetic:
        yield comment(text="Synthetic phantom: the image shows no patient.")
    if source.frame_unnamed:
        yield comment(text=f"The file holds several frames; frame {source.frame} was assessed.")


def _last_notes(findings: ImageFindings) -> Iterator[Note]:
    """What the model was measured to do, and what it warns of."""
    comment = partial(Note, kind=NoteKind.COMMENT)
    yield comment(text=f"Model {findings.model_id}: {findings.model_validation}")
    if findings.call in _FRACTURE_CALLS:
        yield comment(text="A region marks where the detector sees a fracture; it is not the outline of the fracture.")
    for sentence in dict.fromkeys(_sentence(code) for code in findings.warnings):
        yield comment(text=sentence)


def _evaluations(notes: Iterable[Note]) -> ContainerContentItem:
    container = ContainerContentItem(name=concepts.QUALITATIVE_EVALUATIONS, relationship_type=_CONTAINS)
    container.ContentSequence = ContentSequence([_text(note.kind.value, note.text) for note in notes])
    return container


def _sentence(code: str) -> str:
    return WARNINGS.get(code.partition(":")[0], code)
