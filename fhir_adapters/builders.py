"""Plain data to FHIR R4 resources: texts, numbers and times in, JSON objects out.

Every resource carries a short narrative made of the texts given, so that a viewer that knows no code still shows it,
and those that hold a result carry the security label of data that an algorithm asserted.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from fhir_adapters.r4_types import (
    Code,
    Component,
    Concept,
    Interpretation,
    IssueSeverity,
    Json,
    JsonObject,
    ObservationCategory,
    ObservationStatus,
    Prediction,
    ReportStatus,
    Value,
    as_object,
    coding,
    concept,
    decimal,
    instant,
    narrative,
    noted,
    quantity,
    value_in_words,
    value_x,
    without_empty,
)

_OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_OBSERVATION_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"


def asserted_by_machine() -> JsonObject:
    """``meta`` with the security label for data that an algorithm asserted (HL7 v3 ObservationValue)."""
    label = Code(system=_OBSERVATION_VALUE, code="AIAST", display="Artificial Intelligence asserted")
    return {"security": [coding(label)]}


def device(*, business_id: JsonObject, name: str, kind: str, versions: Mapping[str, str], note: str) -> JsonObject:
    """A software Device.

    Args:
        business_id: From `identifier`; the same software has the same identifier.
        name: Model name.
        kind: What it is, in words.
        versions: Component to version, for instance ``{"engine": "0.1.0"}``.
        note: What a reader must know, such as an investigational status.
    """
    listed: list[Json] = [{"type": {"text": component}, "value": version} for component, version in versions.items()]
    resource: JsonObject = {
        "resourceType": "Device",
        "text": narrative([f"{name}: {kind}", *(f"{one}: {value}" for one, value in versions.items()), note]),
        "identifier": [business_id],
        "status": "active",
        "deviceName": [{"name": name, "type": "model-name"}],
        "type": {"text": kind},
        "version": listed,
        "note": noted([note]),
    }
    return as_object(without_empty(resource))


def observation(
    *,
    business_id: JsonObject,
    status: ObservationStatus,
    category: ObservationCategory,
    code: Concept,
    subject: JsonObject,
    issued: datetime,
    value: Value | None,
    device_reference: JsonObject,
    absent_reason: Concept | None = None,
    effective: datetime | None = None,
    interpretation: Interpretation | None = None,
    body_site: Concept | None = None,
    method: str = "",
    components: Sequence[Component] = (),
    members: Sequence[JsonObject] = (),
    derived_from: Sequence[JsonObject] = (),
    notes: Sequence[str] = (),
) -> JsonObject:
    """An Observation made by software.

    Args:
        business_id: From `identifier`.
        status: Whether a person has verified it.
        category: Kind of observation.
        code: What was observed.
        subject: From `reference` or `logical_reference`.
        issued: When it was made available.
        value: The result; None needs `absent_reason` or members.
        device_reference: The Device that made it.
        absent_reason: ``data-absent-reason`` code and words; only without a value (invariant obs-6).
        effective: When it was true of the patient; None when not known.
        interpretation: Coarse reading for programs.
        body_site: Where in the body.
        method: How it was made.
        components: Parts with values of their own.
        members: References to Observations this one sums up.
        derived_from: References to what it was read from.
        notes: Further sentences.

    Raises:
        ValueError: When both a value and a reason for its absence are given.
    """
    if value is not None and absent_reason is not None:
        raise ValueError("an Observation with a value has no reason for its absence")
    parts: list[Json] = [{"code": concept(one.code), **value_x(one.value)} for one in components]
    resource: JsonObject = {
        "resourceType": "Observation",
        "meta": asserted_by_machine(),
        "text": narrative([f"{code.text}: {value_in_words(value, absent_reason)}", *notes]),
        "identifier": [business_id],
        "status": status.value,
        "category": [{"coding": [coding(_category(category))]}],
        "code": concept(code),
        "subject": subject,
        "effectiveDateTime": instant(effective) if effective is not None else None,
        "issued": instant(issued),
        "dataAbsentReason": concept(absent_reason) if absent_reason is not None else None,
        "interpretation": [{"coding": [coding(_interpretation(interpretation))]}] if interpretation else None,
        "note": noted(notes),
        "bodySite": concept(body_site) if body_site is not None else None,
        "method": {"text": method} if method else None,
        "device": device_reference,
        "hasMember": list(members),
        "derivedFrom": list(derived_from),
        "component": parts,
    }
    if value is not None:
        resource |= value_x(value)
    return as_object(without_empty(resource))


def _category(category: ObservationCategory) -> Code:
    return Code(system=_OBSERVATION_CATEGORY, code=category.value, display=category.value.capitalize())


def _interpretation(value: Interpretation) -> Code:
    display = value.name.replace("_", " ").capitalize()
    return Code(system=_INTERPRETATION, code=value.value, display=display)


def diagnostic_report(
    *,
    business_id: JsonObject,
    status: ReportStatus,
    code: Concept,
    subject: JsonObject,
    issued: datetime,
    results: Sequence[JsonObject],
    imaging_studies: Sequence[JsonObject],
    conclusion: str,
    conclusion_codes: Sequence[Concept] = (),
    lines: Sequence[str] = (),
) -> JsonObject:
    """A radiology DiagnosticReport.

    Args:
        business_id: From `identifier`.
        status: Whether a person has verified it.
        code: Kind of study.
        subject: From `reference` or `logical_reference`.
        issued: When it was made available.
        results: References to the Observations.
        imaging_studies: References to the studies read.
        conclusion: The answer in words.
        conclusion_codes: The answer in codes, only where it is definite.
        lines: Further paragraphs of the narrative.
    """
    section = Code(system=_SECTION, code="RAD", display="Radiology")
    codes: list[Json] = [concept(one) for one in conclusion_codes]
    resource: JsonObject = {
        "resourceType": "DiagnosticReport",
        "meta": asserted_by_machine(),
        "text": narrative([conclusion, *lines]),
        "identifier": [business_id],
        "status": status.value,
        "category": [{"coding": [coding(section)]}],
        "code": concept(code),
        "subject": subject,
        "issued": instant(issued),
        "result": list(results),
        "imagingStudy": list(imaging_studies),
        "conclusion": conclusion,
        "conclusionCode": codes,
    }
    return as_object(without_empty(resource))


def _prediction(prediction: Prediction) -> JsonObject:
    if not 0 <= prediction.percent <= 100:
        raise ValueError("a predicted probability must lie between 0 and 100 per cent")
    return {
        "outcome": concept(prediction.outcome),
        "probabilityDecimal": decimal(prediction.percent),
        "whenRange": {"low": quantity(0, "years", "a"), "high": quantity(prediction.within_years, "years", "a")},
        "rationale": prediction.rationale,
    }


def risk_assessment(
    *,
    business_id: JsonObject,
    status: ObservationStatus,
    code: Concept,
    method: str,
    subject: JsonObject,
    occurrence: datetime,
    performer: JsonObject,
    predictions: Sequence[Prediction],
    notes: Sequence[str] = (),
) -> JsonObject:
    """A RiskAssessment. ``probabilityDecimal`` is a percentage (R4, invariant ras-2), so 2 means 2%.

    Raises:
        ValueError: When a probability is outside 0..100.
    """
    listed: list[Json] = [_prediction(one) for one in predictions]
    shown = [f"{one.outcome.text}: {decimal(one.percent):g}%. {one.rationale}" for one in predictions]
    resource: JsonObject = {
        "resourceType": "RiskAssessment",
        "meta": asserted_by_machine(),
        "text": narrative([code.text, *shown, *notes]),
        "identifier": [business_id],
        "status": status.value,
        "method": {"text": method},
        "code": concept(code),
        "subject": subject,
        "occurrenceDateTime": instant(occurrence),
        "performer": performer,
        "prediction": listed,
        "note": noted(notes),
    }
    return as_object(without_empty(resource))


def detected_issue(
    *,
    business_id: JsonObject,
    status: ObservationStatus,
    code: Concept,
    severity: IssueSeverity,
    patient: JsonObject,
    identified: datetime,
    author: JsonObject,
    implicated: Sequence[JsonObject],
    detail: str,
    evidence: Sequence[JsonObject] = (),
    sources: Sequence[Concept] = (),
    source_url: str = "",
    proposal: str = "",
) -> JsonObject:
    """A DetectedIssue: something in the record that speaks against a drug or supplement, or asks for care with it.

    Args:
        business_id: From `identifier`.
        status: Whether a person has verified it.
        code: What kind of issue, about what.
        severity: How much harm it may do.
        patient: From `reference`.
        identified: When.
        author: Reference to the Device.
        implicated: References to the entries of the record that make the issue.
        detail: The issue in words.
        evidence: References to measurements among them.
        sources: What the rule rests on.
        source_url: Public address of the first of them.
        proposal: What is proposed against it, in words; nothing was done yet.
    """
    shown: JsonObject = {"code": [concept(one) for one in sources], "detail": list(evidence)}
    resource: JsonObject = {
        "resourceType": "DetectedIssue",
        "meta": asserted_by_machine(),
        "text": narrative([f"{code.text}: {detail}", proposal]),
        "identifier": [business_id],
        "status": status.value,
        "code": concept(code),
        "severity": severity.value,
        "patient": patient,
        "identifiedDateTime": instant(identified),
        "author": author,
        "implicated": list(implicated),
        "evidence": [shown],
        "detail": detail,
        "reference": source_url,
        "mitigation": [{"action": {"text": proposal}}] if proposal else [],
    }
    return as_object(without_empty(resource))


def provenance(
    *,
    targets: Sequence[JsonObject],
    recorded: datetime,
    agent: JsonObject,
    models: Sequence[JsonObject] = (),
    sources: Sequence[JsonObject],
    activity: str,
) -> JsonObject:
    """The Provenance of what software made.

    Args:
        targets: References to what was made; at least one.
        recorded: When.
        agent: Reference to the Device of the engine.
        models: References to the Devices of the models that worked for it.
        sources: References to inputs and rules.
        activity: What was done, in words.
    """
    performer: Json = {"coding": [coding(Code(system=_PARTICIPANT, code="performer", display="Performer"))]}
    entities: list[Json] = [{"role": "source", "what": one} for one in sources]
    agents: list[Json] = [
        {"type": performer, "who": agent},
        *({"type": performer, "who": one, "onBehalfOf": agent} for one in models),
    ]
    resource: JsonObject = {
        "resourceType": "Provenance",
        "text": narrative([activity, *(str(one["display"]) for one in models if "display" in one)]),
        "target": list(targets),
        "recorded": instant(recorded),
        "activity": {"text": activity},
        "agent": agents,
        "entity": entities,
    }
    return as_object(without_empty(resource))


def transaction(entries: Mapping[str, JsonObject], business_id: JsonObject, timestamp: datetime) -> JsonObject:
    """A transaction Bundle that creates every resource, or none, and nothing twice.

    Each is created only if the server does not hold it yet (``ifNoneExist``), so that a bundle may be sent again after
    an answer was lost. A Device outlives its case and is found by its identifier. The others are found by their last
    tag: every server can search ``_tag`` in every type, while some know no ``identifier`` of the rarer ones, and a
    Provenance has none; such a server would refuse the whole transaction. What has no tag is created without a
    condition.

    Args:
        entries: ``urn:uuid:`` address to resource, in the order of the bundle.
        business_id: Of the bundle.
        timestamp: When it was assembled.
    """
    listed: list[Json] = []
    for address, resource in entries.items():
        request: JsonObject = {"method": "POST", "url": resource["resourceType"]}
        if (condition := _condition(resource)) is not None:
            request["ifNoneExist"] = condition
        listed.append({"fullUrl": address, "resource": resource, "request": request})
    return {
        "resourceType": "Bundle",
        "identifier": business_id,
        "type": "transaction",
        "timestamp": instant(timestamp),
        "entry": listed,
    }


def _condition(resource: JsonObject) -> str | None:
    """The search that finds the same resource; None when there is nothing to find it by."""
    device = resource["resourceType"] == "Device"
    held = resource["identifier"] if device else as_object(resource.get("meta")).get("tag")
    if not isinstance(held, list) or not held:
        return None
    named = as_object(held[0] if device else held[-1])
    name, value = ("identifier", named["value"]) if device else ("_tag", named["code"])
    return f"{name}=" + quote(f"{named['system']}|{value}", safe=":/|")
