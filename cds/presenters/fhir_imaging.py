"""The radiograph's findings as FHIR resources: one Observation per place, one for the image, one report."""

from cds.presenters import wording
from cds.presenters.fhir_bone_age import add_bone_age
from cds.presenters.fhir_devices import model_device
from cds.presenters.fhir_estimates import detection_components, detection_notes, image_components
from cds.presenters.fhir_transaction import Transaction, body_site, own, studies, texts
from cds.presenters.image_view import open_or_closed, operating_point, reasons_not_judged
from fhir_adapters import builders
from fhir_adapters.r4_types import (
    LOINC,
    SNOMED_CT,
    Code,
    Component,
    Concept,
    Interpretation,
    JsonObject,
    Measured,
    MeasuredRange,
    ObservationCategory,
    ObservationStatus,
    ReportStatus,
    data_absent_unknown,
)
from imaging.results import FractureCall, FractureDetection, ImageFindings, PixelSpacing, SpacingOrigin

_IMAGING_STUDY = Concept(
    text="Diagnostic imaging study",
    codes=(Code(system=LOINC, code="18748-4", display="Diagnostic imaging study"),),
)
_FRACTURE = Concept(
    text="Fracture of bone", codes=(Code(system=SNOMED_CT, code="125605004", display="Fracture of bone"),)
)
_INTERPRETATIONS: dict[FractureCall, Interpretation] = {
    FractureCall.DEFINITE: Interpretation.POSITIVE,
    FractureCall.SUSPECTED: Interpretation.INDETERMINATE,
    FractureCall.NOT_SEEN: Interpretation.NOT_DETECTED,
}


def _body_site(findings: ImageFindings) -> Concept | None:
    if findings.region is None:
        return None
    side = wording.LATERALITIES.get(findings.laterality or "", "")
    return body_site(f"{side} {wording.words(findings.region)}".strip(), findings.region)


def _box_components(detection: FractureDetection, spacing: PixelSpacing | None) -> tuple[Component, ...]:
    """The box in pixels of the stored image, and in mm where millimetres mean something."""
    box = detection.box
    parts = [
        Component(
            code=own("detector-score", "Detector score, not a probability"),
            value=Measured(value=detection.score, unit="1", ucum="1"),
        ),
        Component(
            code=own("box-columns", "Box, columns of the image"),
            value=MeasuredRange(low=box.x1, high=box.x2, unit="px"),
        ),
        Component(
            code=own("box-rows", "Box, rows of the image"), value=MeasuredRange(low=box.y1, high=box.y2, unit="px")
        ),
    ]
    if spacing is None or spacing.origin is SpacingOrigin.UNKNOWN:
        return tuple(parts)
    where = "at the detector" if spacing.origin is SpacingOrigin.DETECTOR else "in the patient"
    for name, size in (("width", detection.box_width_mm), ("height", detection.box_height_mm)):
        if size is not None:
            parts.append(
                Component(
                    code=own(f"box-{name}-{spacing.origin.value}", f"Box {name}, millimetres {where}"),
                    value=Measured(value=size, unit="mm", ucum="mm"),
                )
            )
    return tuple(parts)


def _instance(bundle: Transaction) -> tuple[Component, ...]:
    """Which image of the study it is; empty when the radiograph came as PNG or JPEG."""
    dicom = bundle.result.radiograph.dicom if bundle.result.radiograph is not None else None
    if dicom is None:
        return ()
    words = f"urn:oid:{dicom.sop_instance_uid}, frame {dicom.frame}"
    return (Component(code=own("dicom-instance", "DICOM SOP instance and frame"), value=words),)


def _add_detections(bundle: Transaction, findings: ImageFindings) -> tuple[JsonObject, ...]:
    """One Observation per place the detector marked."""
    references = []
    for place, detection in enumerate(findings.detections, start=1):
        name = f"detection-{place}"
        resource = builders.observation(
            business_id=bundle.business_id(name),
            status=ObservationStatus.PRELIMINARY,
            category=ObservationCategory.IMAGING,
            code=own("fracture-detection", "Place marked by the fracture detector"),
            subject=bundle.subject,
            issued=bundle.created,
            value=own(f"call-{detection.call.value}", wording.CALLS[detection.call]),
            device_reference=model_device(bundle, findings.model_id),
            interpretation=_INTERPRETATIONS.get(detection.call),
            body_site=_body_site(findings),
            method=findings.model_id,
            components=(
                *_box_components(detection, findings.spacing),
                *detection_components(detection),
                *_instance(bundle),
            ),
            derived_from=studies(bundle.result),
            notes=(
                f"Place {place}, class {detection.label}. A box is not a measurement of the fracture.",
                *detection_notes(detection),
            ),
        )
        references.append(bundle.add(name, resource, f"Place {place}: {wording.CALLS[detection.call]}"))
    return tuple(references)


def _call_notes(bundle: Transaction, findings: ImageFindings) -> tuple[str, ...]:
    """What the call means, why there is none, how good the model is, and what no radiograph shows."""
    skin = open_or_closed(bundle.result.context)
    return (
        wording.CALL_EXPLANATIONS[findings.call],
        *reasons_not_judged(findings),
        findings.model_validation,
        *map(operating_point, findings.operating_points),
        f"{skin.label}: {skin.value}; {skin.note}.",
    )


def add_imaging(bundle: Transaction, findings: ImageFindings) -> JsonObject:
    """The image-level call, its places, and the report over them; a reference to the report."""
    members = _add_detections(bundle, findings)
    judged = findings.call is not FractureCall.CANNOT_JUDGE
    call_text = wording.CALLS[findings.call]
    call = builders.observation(
        business_id=bundle.business_id("fracture-call"),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.IMAGING,
        code=own("fracture-call", "Fracture on the radiograph, judged by software"),
        subject=bundle.subject,
        issued=bundle.created,
        value=own(f"call-{findings.call.value}", call_text) if judged else None,
        absent_reason=None if judged else data_absent_unknown(call_text),
        device_reference=model_device(bundle, findings.model_id),
        interpretation=_INTERPRETATIONS.get(findings.call),
        body_site=_body_site(findings),
        method=findings.model_id,
        components=(*image_components(findings), *_instance(bundle)),
        members=members,
        derived_from=studies(bundle.result),
        notes=_call_notes(bundle, findings),
    )
    results = (bundle.add("fracture-call", call, call_text), *members, *add_bone_age(bundle))
    report = builders.diagnostic_report(
        business_id=bundle.business_id("report"),
        status=ReportStatus.PARTIAL,
        code=_IMAGING_STUDY,
        subject=bundle.subject,
        issued=bundle.created,
        results=results,
        imaging_studies=studies(bundle.result),
        conclusion=f"{call_text}. {bundle.result.assessment.summary.text} {wording.NOTICE}",
        conclusion_codes=(_FRACTURE,) if findings.call is FractureCall.DEFINITE else (),
        lines=texts(flag.statement for flag in bundle.result.assessment.severity.red_flags),
    )
    return bundle.add("report", report, "Radiograph, read by software")
