"""FHIR R4 data types from plain data, and the value sets that the engine's resources need.

What is built here is plain R4 (4.0.1): no element or code of R4B or R5. Nothing is null or empty, as FHIR asks.
"""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

LOINC = "http://loinc.org"
SNOMED_CT = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
DICOM_UID = "urn:dicom:uid"
_DATA_ABSENT_REASON = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_XHTML = "http://www.w3.org/1999/xhtml"


class ObservationStatus(StrEnum):
    """Value set ``observation-status`` of R4, required for Observation, RiskAssessment and DetectedIssue."""

    PRELIMINARY = "preliminary"
    """Data may be incomplete or unverified."""
    FINAL = "final"


class ReportStatus(StrEnum):
    """Value set ``diagnostic-report-status`` of R4."""

    PARTIAL = "partial"
    """Data may be incomplete or unverified; R4's ``preliminary`` would claim that they were verified."""
    FINAL = "final"


class IssueSeverity(StrEnum):
    """Value set ``detectedissue-severity`` of R4."""

    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"


class ObservationCategory(StrEnum):
    """Those of R4's ``observation-category`` that the engine uses."""

    IMAGING = "imaging"
    EXAM = "exam"


class Interpretation(StrEnum):
    """Those of ``v3-ObservationInterpretation`` that the engine uses."""

    POSITIVE = "POS"
    INDETERMINATE = "IND"
    NOT_DETECTED = "ND"
    """Not found within the limits of the test, which is less than absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code of one system."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """Words for people, and codes for programs where there are any."""

    text: str
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A number with its unit; without `ucum` the unit has no UCUM code."""

    value: float
    unit: str
    ucum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRange:
    """A range with its unit; `low` must not exceed `high`."""

    low: float
    high: float
    unit: str
    ucum: str | None = None


Value: TypeAlias = Concept | Measured | MeasuredRange | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of an Observation."""

    code: Concept
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One predicted outcome of a RiskAssessment."""

    outcome: Concept
    percent: float
    """0..100 (invariant ras-2)."""
    within_years: float
    rationale: str


def without_empty(value: Json) -> Json:
    """The same JSON without nulls, empty texts, empty lists and empty objects, at every depth."""
    if isinstance(value, dict):
        kept = {key: without_empty(one) for key, one in value.items()}
        return {key: one for key, one in kept.items() if one is not None} or None
    if isinstance(value, list):
        return [one for one in map(without_empty, value) if one is not None] or None
    return None if value == "" else value


def as_object(value: Json) -> JsonObject:
    """The value when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def noted(sentences: Iterable[str]) -> list[Json]:
    """Annotations, one per sentence."""
    return [{"text": sentence} for sentence in sentences]


def instant(moment: datetime) -> str:
    """A time as FHIR ``instant``, to the millisecond.

    Raises:
        ValueError: When the time has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a FHIR instant needs a time zone")
    return moment.isoformat(timespec="milliseconds")


def decimal(value: float, digits: int = 4) -> float:
    """A number rounded to the significant digits it deserves.

    Raises:
        ValueError: When the number is not finite: FHIR has no such decimal.
    """
    if not math.isfinite(value):
        raise ValueError("a FHIR decimal must be finite")
    return float(f"{value:.{digits}g}")


def narrative(lines: Iterable[str]) -> JsonObject:
    """Generated text, one paragraph per line, escaped as XHTML."""
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)
    return {"status": "generated", "div": f'<div xmlns="{_XHTML}">{paragraphs}</div>'}


def coding(code: Code) -> JsonObject:
    """A Coding."""
    return {"system": code.system, "code": code.code, "display": code.display}


def concept(value: Concept) -> JsonObject:
    """A CodeableConcept; the text always stands beside the codes."""
    codes: list[Json] = [coding(one) for one in value.codes]
    return {"coding": codes, "text": value.text}


def identifier(system: str, value: str) -> JsonObject:
    """A business identifier."""
    return {"system": system, "value": value}


def reference(target: str, resource_type: str | None = None, display: str = "") -> JsonObject:
    """A literal reference: ``Patient/123``, or the ``urn:uuid:`` of an entry in the same bundle with its type."""
    named: JsonObject = {"reference": target} if resource_type is None else {"reference": target, "type": resource_type}
    return named | {"display": display} if display else named


def logical_reference(resource_type: str, *, system: str = "", value: str = "", display: str = "") -> JsonObject:
    """A reference by business identifier, or by words alone, where no address is known."""
    named: Json = identifier(system, value) if value else None
    return {"type": resource_type, "identifier": named, "display": display}


def imaging_study_reference(study_instance_uid: str) -> JsonObject:
    """The study an image belongs to, by its DICOM UID, as R4's ImagingStudy mapping asks."""
    return logical_reference("ImagingStudy", system=DICOM_UID, value=f"urn:oid:{study_instance_uid}")


def quantity(value: float, unit: str, ucum: str | None) -> JsonObject:
    """A Quantity; without a UCUM code it has neither system nor code."""
    return {"value": decimal(value), "unit": unit, "system": UCUM if ucum else None, "code": ucum}


def value_x(value: Value) -> JsonObject:
    """``value[x]`` for the kinds the engine uses."""
    if isinstance(value, Concept):
        return {"valueCodeableConcept": concept(value)}
    if isinstance(value, Measured):
        return {"valueQuantity": quantity(value.value, value.unit, value.ucum)}
    if isinstance(value, MeasuredRange):
        low, high = (quantity(one, value.unit, value.ucum) for one in (value.low, value.high))
        return {"valueRange": {"low": low, "high": high}}
    return {"valueString": value}


def data_absent_unknown(text: str) -> Concept:
    """The reason "unknown" of R4's ``data-absent-reason``, with its words."""
    return Concept(text=text, codes=(Code(system=_DATA_ABSENT_REASON, code="unknown", display="Unknown"),))


def value_in_words(value: Value | None, absent_reason: Concept | None = None) -> str:
    """A value as a narrative prints it."""
    if value is None:
        return absent_reason.text if absent_reason is not None else "see its members"
    if isinstance(value, Concept):
        return value.text
    if isinstance(value, Measured):
        return f"{decimal(value.value):g} {value.unit}"
    if isinstance(value, MeasuredRange):
        return f"{decimal(value.low):g} to {decimal(value.high):g} {value.unit}"
    return value
