"""Kept cases with their feedback: what the machine had said, one truth each, and the disagreements that are open."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cds.learning.feedback.readers import MachineRead
from cds.learning.feedback.truth import CaseTruth, truth_of
from cds.options import ReportFormat
from cds.outputs import FILE_KINDS
from cds.store.cases import StoredCase
from cds.store.feedback import Feedback
from cds.store.opening import Store

REPORT = FILE_KINDS[ReportFormat.JSON].file_name
"""The report of a case that holds what the machine said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """What a kept report tells of the case beside its feedback; None for what it does not tell."""

    machine: MachineRead
    score: float | None = None
    """Highest detector score, 0..1."""
    probability: float | None = None
    """Calibrated probability of a fracture, 0..1."""
    region: str | None = None
    region_source: str | None = None
    """``dicom`` or ``model``."""
    hardware_probability: float | None = None
    """As the model sees it, 0..1."""
    synthetic: bool = False
    age_years: int | None = None
    sex: str | None = None
    """``female`` or ``male``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCase:
    """A kept case that somebody spoke about."""

    case: StoredCase
    feedback: tuple[Feedback, ...]
    """All of it, superseded ones too, the oldest first."""
    facts: ReportFacts
    truth: CaseTruth


def report_facts(report: Mapping[str, Any]) -> ReportFacts:
    """What is needed of a kept ``report.json``; an empty one gives nothing."""
    findings, patient = report.get("findings") or {}, report.get("patient") or {}
    boxes = [one["box"] for one in findings.get("detections") or ()]
    sex = patient.get("sex")
    return ReportFacts(
        machine=MachineRead(
            call=findings.get("call"),
            boxes=tuple((float(one["x1"]), float(one["y1"]), float(one["x2"]), float(one["y2"])) for one in boxes),
        ),
        score=findings.get("max_score"),
        probability=(findings.get("fracture_probability") or {}).get("value"),
        region=findings.get("region"),
        region_source=findings.get("region_source"),
        hardware_probability=(findings.get("attributes") or {}).get("hardware_probability"),
        synthetic=bool(findings.get("synthetic")),
        age_years=patient.get("age_years"),
        sex=sex if sex in ("female", "male") else None,
    )


def judged_case(store: Store, case_id: str) -> JudgedCase:
    """One case with its feedback and its truth.

    Raises:
        NotStoredError: there is no such case.
        DamagedBlobError: its report is damaged.
    """
    case = store.cases.get(case_id)
    kept = any(one.name == REPORT for one in case.files)
    report = json.loads(store.cases.file(case_id, REPORT)[0]) if kept else {}
    feedback = store.feedback.of_case(case_id, current=False)
    facts = report_facts(report)
    return JudgedCase(case=case, feedback=feedback, facts=facts, truth=truth_of(feedback, facts.machine))


def judged_cases(store: Store, *, since: datetime | None = None) -> Iterator[JudgedCase]:
    """Every case that somebody spoke about, the one with the oldest first word first.

    Args:
        store: where cases are kept.
        since: only cases about which something was said since then; what was said before counts all the same.

    Raises:
        StoreError: a case cannot be read.
    """
    for case_id in dict.fromkeys(one.case_id for one in store.feedback.all(since=since, current=False)):
        yield judged_case(store, case_id)


def open_disagreements(store: Store, *, since: datetime | None = None) -> tuple[JudgedCase, ...]:
    """Cases whose readers disagree and that nobody has settled, the oldest first.

    Args:
        store: where cases are kept.
        since: as in `judged_cases`.
    """
    said = store.feedback.all(since=since, current=False)
    authors: dict[str, set[str]] = {}
    for one in store.feedback.all(current=False) if since else said:
        authors.setdefault(one.case_id, set()).add(one.author)
    several = [case_id for case_id in dict.fromkeys(one.case_id for one in said) if len(authors[case_id]) > 1]
    found = (judged_case(store, case_id) for case_id in several)
    return tuple(one for one in found if one.truth.needs_adjudication)
