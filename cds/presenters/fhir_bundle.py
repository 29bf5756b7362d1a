"""`CaseResult` to a FHIR R4 transaction that an electronic health record can store.

Why a transaction: a ``collection`` cannot be posted; a transaction of POST requests with ``urn:uuid:`` addresses lets
the server give its own ids, rewrites the references between the resources and stores all of them or none. The
Device is created only once per server (``ifNoneExist``); the rest carries business identifiers made of the case id,
by which a receiver knows a case that it was sent before.

What is in it: the engine as Device; one DiagnosticReport with the image-level call and one Observation per place the
detector marked; severity; weeks to union; the ten-year probabilities as RiskAssessment; one DetectedIssue per line of
drug-safety advice; one Provenance over all. Nothing here was verified by a person, so nothing is ``final``: the
report is ``partial`` ("may be incomplete or unverified") and the rest ``preliminary``.

Codes: LOINC and SNOMED CT only where their meaning fits exactly (kind of study, body region, "fracture of bone" as
the conclusion of a definite call); the engine's own answers have codes of its own system, because a disorder code on
a suspected or negative finding would be read as the disorder by a program that searches for it.

Without a record there is no patient to refer to: Observations and report then name an unidentified patient in words,
and resources that cannot do without one (RiskAssessment, DetectedIssue) are left out.
"""

from collections.abc import Sequence
from dataclasses import fields
from uuid import NAMESPACE_URL, uuid5

import orjson

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.fhir_estimates import osteoporosis_prediction, risk_notes
from cds.presenters.fhir_imaging import add_imaging
from cds.presenters.fhir_transaction import CASE_SYSTEM, Transaction, own, studies, texts
from fhir_adapters import builders
from fhir_adapters.patient import PatientSnapshot, Sourced
from fhir_adapters.r4_types import (
    Code,
    Component,
    Concept,
    JsonObject,
    Measured,
    MeasuredRange,
    ObservationCategory,
    ObservationStatus,
    Prediction,
    identifier,
    logical_reference,
    reference,
)
from fusion.results import Advice, AdviceAction, HealingEstimate, Severity, SeverityAssessment
from tabular.results import FractureProbability, RiskEstimate

DEVICE_SYSTEM = "urn:fracture-cds:device"
IMAGE_SYSTEM = "urn:fracture-cds:image-sha256"
MODEL_SYSTEM = "urn:fracture-cds:model"
EVIDENCE_SYSTEM = "urn:fracture-cds:evidence"

_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_SAFETY_ACTIONS = frozenset(AdviceAction) - {AdviceAction.CONSIDER, AdviceAction.INFORM}


def _versions(result: CaseResult) -> dict[str, str]:
    """Everything that decided the answer, by name."""
    versions = {"engine": result.engine_version, "evidence base": result.assessment.evidence_version}
    if result.findings is not None:
        versions["radiograph model"] = result.findings.model_id
    if result.bone_age is not None:
        versions["skeletal-age model"] = result.bone_age.model_id
    if result.risk is not None:
        versions["risk model"] = result.risk.model_id
    return versions


def _add_device(bundle: Transaction) -> None:
    versions = _versions(bundle.result)
    same_software = uuid5(NAMESPACE_URL, "|".join(f"{name}={version}" for name, version in versions.items()))
    bundle.add(
        "device",
        builders.device(
            business_id=identifier(DEVICE_SYSTEM, str(same_software)),
            name="fracture-cds",
            kind="Clinical decision support software",
            versions=versions,
            note=wording.NOTICE,
        ),
    )


def _add_severity(bundle: Transaction, severity: SeverityAssessment) -> None:
    grade = wording.SEVERITIES[severity.grade]
    resource = builders.observation(
        business_id=bundle.business_id("severity"),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.EXAM,
        code=own("injury-severity", "Severity of the injury, graded by rule"),
        subject=bundle.subject,
        issued=bundle.created,
        effective=bundle.created,
        value=own(f"severity-{severity.grade.value}", grade),
        device_reference=bundle.device,
        components=(
            Component(
                code=own("urgency", "Urgency"),
                value=own(f"urgency-{severity.urgency.value}", wording.URGENCIES[severity.urgency]),
            ),
        ),
        notes=(
            *(f"Red flag: {text}" for text in texts(flag.statement for flag in severity.red_flags)),
            *texts(severity.reasons),
            *(f"To be checked: {text}" for text in texts(severity.clinician_must_check)),
            *(f"Not judged: {text}" for text in texts(severity.not_judged)),
        ),
    )
    bundle.add("severity", resource)


def _add_healing(bundle: Transaction, healing: HealingEstimate) -> None:
    parts = [
        Component(
            code=own("union-median", "Median time to union"),
            value=Measured(value=healing.median_weeks, unit="weeks", ucum="wk"),
        )
    ]
    if healing.nonunion_low is not None and healing.nonunion_high is not None:
        chance = MeasuredRange(low=100 * healing.nonunion_low, high=100 * healing.nonunion_high, unit="%", ucum="%")
        parts.append(Component(code=own("nonunion", "Probability of non-union"), value=chance))
    told = (healing.baseline, *(factor.statement for factor in healing.factors), *healing.notes)
    resource = builders.observation(
        business_id=bundle.business_id("union"),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.EXAM,
        code=own("time-to-union", "Expected time to union, 10th to 90th percentile"),
        subject=bundle.subject,
        issued=bundle.created,
        effective=bundle.created,
        value=MeasuredRange(low=healing.low_weeks, high=healing.high_weeks, unit="weeks", ucum="wk"),
        device_reference=bundle.device,
        method=f"Cited rules, evidence base {bundle.result.assessment.evidence_version}",
        components=tuple(parts),
        notes=texts((*told, healing.nonunion) if healing.nonunion is not None else told),
    )
    bundle.add("union", resource)


def _prediction(probability: FractureProbability) -> Prediction:
    applied = "; ".join(f"{one.factor}, hazard x {one.ratio:g}" for one in probability.adjustments)
    return Prediction(
        outcome=own(
            f"fracture-{probability.outcome.replace('_', '-')}",
            wording.OUTCOMES.get(probability.outcome, wording.words(probability.outcome)),
        ),
        percent=100 * probability.value,
        within_years=probability.horizon_years,
        rationale=(
            f"Probability in per cent. Interval {wording.percent(probability.low)} to"
            f" {wording.percent(probability.high)}. Model alone {wording.percent(probability.model_value)};"
            f" {f'adjusted for {applied}' if applied else 'no published factor added'}."
        ),
    )


def _record_sources(patient: PatientSnapshot) -> tuple[JsonObject, ...]:
    """References to the resources whose values the record gave, each once."""
    values = [getattr(patient, field.name) for field in fields(patient)]
    sourced = [value for value in values if isinstance(value, Sourced)]
    listed = [one for value in sourced for one in (value.resource, *value.derived_from)]
    listed += [fracture.resource for fracture in patient.prior_fractures]
    listed += [condition.resource for condition in patient.conditions]
    listed += [medication.resource for medication in patient.medications]
    return tuple(reference(one) for one in dict.fromkeys(listed))


def _add_risk(bundle: Transaction, risk: RiskEstimate) -> None:
    resource = builders.risk_assessment(
        business_id=bundle.business_id("risk"),
        status=ObservationStatus.PRELIMINARY,
        code=own("fracture-risk", "Probability of a next fracture"),
        method=risk.model_id,
        subject=bundle.subject,
        occurrence=bundle.created,
        performer=bundle.device,
        predictions=(_prediction(risk.major_osteoporotic), _prediction(risk.hip), *osteoporosis_prediction(risk)),
        notes=(
            risk.interval_meaning,
            risk.model_validation,
            *risk_notes(risk),
            *texts(bundle.result.assessment.risk_statements),
            *((f"Did without: {', '.join(map(wording.feature_name, risk.missing))}.",) if risk.missing else ()),
        ),
    )
    bundle.add("risk", resource)


def _issue_code(advice: Advice) -> Concept:
    """The action and agent in words, with the code of an interaction where a drug of the record triggered it."""
    text = f"{wording.ACTIONS[advice.action]}: {wording.words(advice.agent)}"
    by_drug = any(one.startswith("Medication") for one in advice.statement.record)
    interaction = Code(system=_ACT_CODE, code="DRG", display="Drug Interaction Alert")
    return Concept(text=text, codes=(interaction,) if by_drug else ())


def _add_issues(bundle: Transaction, advice: Sequence[Advice]) -> None:
    for place, one in enumerate((line for line in advice if line.action in _SAFETY_ACTIONS), start=1):
        name = f"issue-{place}"
        resource = builders.detected_issue(
            business_id=bundle.business_id(name),
            status=ObservationStatus.PRELIMINARY,
            code=_issue_code(one),
            patient=bundle.subject,
            identified=bundle.created,
            author=bundle.device,
            implicated=tuple(reference(target) for target in one.statement.record if "/" in target),
            detail=one.statement.text,
        )
        bundle.add(name, resource)


def _provenance_sources(result: CaseResult) -> tuple[JsonObject, ...]:
    """The image and its study, the resources of the record that were read, the models and the rules."""
    sources: list[JsonObject] = []
    if result.findings is not None:
        sources.append(
            logical_reference(
                "Media", system=IMAGE_SYSTEM, value=result.findings.image_sha256, display="Radiograph file, SHA-256"
            )
        )
        sources.append(_model("Radiograph model", result.findings.model_id))
    if result.bone_age is not None:
        sources.append(_model("Skeletal-age model", result.bone_age.model_id))
    sources.extend(studies(result))
    if result.patient is not None:
        sources.append(reference(f"Patient/{result.patient.patient_id}"))
        sources.extend(_record_sources(result.patient))
    if result.risk is not None:
        sources.append(_model("Risk model", result.risk.model_id))
    sources.append(
        logical_reference(
            "Library", system=EVIDENCE_SYSTEM, value=result.assessment.evidence_version, display="Evidence base"
        )
    )
    return tuple(sources)


def _model(display: str, model_id: str) -> JsonObject:
    return logical_reference("Device", system=MODEL_SYSTEM, value=model_id, display=display)


def build_bundle(result: CaseResult) -> JsonObject:
    """The transaction as JSON values; see the module for what it holds.

    Args:
        result: The case; any part of it may be missing.

    Returns:
        A FHIR R4 Bundle of type ``transaction``; the same case always gives the same bundle.
    """
    bundle = Transaction(result)
    assessment = result.assessment
    _add_device(bundle)
    if result.findings is not None:
        add_imaging(bundle, result.findings)
    if assessment.severity.grade is not Severity.NOT_APPLICABLE:
        _add_severity(bundle, assessment.severity)
    if assessment.healing is not None:
        _add_healing(bundle, assessment.healing)
    if result.patient is not None:
        if result.risk is not None:
            _add_risk(bundle, result.risk)
        _add_issues(bundle, assessment.supplementation)
    made = [
        reference(address, str(resource["resourceType"]))
        for address, resource in bundle.entries.items()
        if address != bundle.device["reference"]
    ]
    if made:
        bundle.add(
            "provenance",
            builders.provenance(
                targets=made,
                recorded=bundle.created,
                agent=bundle.device,
                sources=_provenance_sources(result),
                activity="Assessed by decision-support software; not verified by a person.",
            ),
        )
    return builders.transaction(bundle.entries, identifier(CASE_SYSTEM, result.case_id), bundle.created)


def render_bundle(result: CaseResult) -> bytes:
    """One case as ``bundle.json``: UTF-8, indented, ending in a newline."""
    return orjson.dumps(build_bundle(result), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
