"""The written cases: bedside facts and findings from ``case.yaml``, the record as ``record.json``, and their report.

The record reader, the risk model and the rules are the real ones; only the image engine answers from the case file, so
that a case stands for its rules and not for the detector of the day.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from cds.bootstrap import build_engines
from cds.case import CaseInput, CaseResult
from cds.pipeline import Engines, run_case
from cds.presenters.messages import case_warnings, explain
from cds.settings import Settings
from fusion.context import ClinicalContext, FractureType, Gustilo, Mechanism
from fusion.results import Advice, FollowUp, Statement
from fusion.sites import FractureSite
from imaging.labels import BodyRegion, FracturePattern, View
from imaging.radiograph import Radiograph
from imaging.results import (
    BoxPx,
    FractureCall,
    FractureDetection,
    FractureGeometry,
    ImageAttributes,
    ImageFindings,
    Measurement,
    PatternEstimate,
)
from tests.support import cases as drawn

CASES_DIR = Path(__file__).resolve().parent
_ENUMS: dict[str, type[StrEnum]] = {
    "site": FractureSite,
    "fracture_type": FractureType,
    "mechanism": Mechanism,
    "gustilo": Gustilo,
}
_IMAGE_KEYS = {"call", "region", "score", "view", "pattern", "geometry"}
_WIDTH = 118


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCase:
    """One case as a person wrote it."""

    name: str
    title: str
    story: str
    as_of: datetime
    context: ClinicalContext
    findings: ImageFindings
    record: bytes


@dataclass(frozen=True, slots=True)
class FixedImageEngine:
    """Answers with the findings of the case, whatever it is shown."""

    findings: ImageFindings

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """The findings of the case."""
        return self.findings


def case_names() -> tuple[str, ...]:
    """Every case, in order."""
    return tuple(sorted(path.parent.name for path in CASES_DIR.glob("*/case.yaml")))


def load(name: str) -> WrittenCase:
    """Read one case.

    Raises:
        KeyError: a key of the file is missing.
        TypeError: a key of ``context`` is no field of `ClinicalContext`.
    """
    raw = yaml.safe_load((CASES_DIR / name / "case.yaml").read_text(encoding="utf-8"))
    return WrittenCase(
        name=name,
        title=raw["title"],
        story=raw["story"].strip(),
        as_of=raw["as_of"],
        context=_context(raw["context"]),
        findings=_findings(raw["image"]),
        record=(CASES_DIR / name / "record.json").read_bytes(),
    )


def _context(raw: Mapping[str, Any]) -> ClinicalContext:
    fields: dict[str, Any] = {key: _ENUMS[key](value) if key in _ENUMS else value for key, value in raw.items()}
    return ClinicalContext(**fields)


def _findings(raw: Mapping[str, Any]) -> ImageFindings:
    """Findings without pixels: a call, a region, and where the case needs them a view, a pattern and measurements."""
    if unknown := set(raw) - _IMAGE_KEYS:
        raise KeyError(f"unknown keys of image: {sorted(unknown)}")
    call = FractureCall(raw["call"])
    seen = call in {FractureCall.DEFINITE, FractureCall.SUSPECTED}
    view = raw.get("view")
    return ImageFindings(
        model_id="fixed-findings@1.0.0+00000000",
        model_validation="Findings written by hand for this case; no model was run.",
        image_sha256="0" * 64,
        width_px=drawn.WIDTH_PX,
        height_px=drawn.HEIGHT_PX,
        call=call,
        max_score=raw["score"],
        attributes=None if view is None else _attributes(View(view)),
        detections=(_detection(raw, call),) if seen else (),
        region=None if raw["region"] is None else BodyRegion(raw["region"]),
        region_source=None if raw["region"] is None else "dicom",
    )


def _attributes(view: View) -> ImageAttributes:
    return ImageAttributes(
        model_id="fixed-attributes@1.0.0+00000000",
        limb=(),
        views=tuple((one, 0.97 if one is view else 0.02) for one in View),
        hardware_probability=0.02,
    )


def _detection(raw: Mapping[str, Any], call: FractureCall) -> FractureDetection:
    measured: dict[str, Any] = {
        name: Measurement(value=value, low=low, high=high)
        for name, (value, low, high) in raw.get("geometry", {}).items()
    }
    pattern = raw.get("pattern")
    return FractureDetection(
        box=BoxPx(x1=80.0, y1=180.0, x2=130.0, y2=230.0),
        score=raw["score"],
        call=call,
        label="fracture",
        pattern=None if pattern is None else _pattern(*pattern),
        geometry=FractureGeometry(**measured) if measured else None,
    )


def _pattern(name: str, probability: float) -> PatternEstimate:
    return PatternEstimate(
        pattern=FracturePattern(name), probabilities=((FracturePattern(name), probability),), displaced_probability=None
    )


# --- running


@lru_cache(maxsize=1)
def real_engines() -> Engines:
    return build_engines(Settings())


def run(case: WrittenCase) -> CaseResult:
    """The case through the pipeline."""
    engines = replace(
        real_engines(),
        read_image=lambda source, *, frame=1: drawn.radiograph(),
        image=FixedImageEngine(case.findings),
        explain=None,
        bone_age=None,
    )
    given = CaseInput(image=b"drawn", bundle=case.record, context=case.context, as_of=case.as_of, bone_age=False)
    return run_case(given, engines, case_id=case.name)


# --- the report as plain text


def report(case: WrittenCase, result: CaseResult) -> str:
    """Every statement by section, each with its rule, certainty, evidence and record reference."""
    assessment = result.assessment
    severity, healing, fragility = assessment.severity, assessment.healing, assessment.fragility
    weeks: list[str] = []
    sections: list[tuple[str, Iterable[str]]] = [
        ("Summary", _say([assessment.summary])),
        (
            f"Severity: {severity.grade}, act: {severity.urgency}",
            (
                *(line for flag in severity.red_flags for line in _one(flag.statement, f"RED FLAG {flag.urgency}: ")),
                *_say(severity.reasons),
            ),
        ),
        ("Clinician must check", _say(severity.clinician_must_check)),
        ("Severity: not judged", _say(severity.not_judged)),
    ]
    if healing is not None:
        weeks = [*_say([healing.baseline]), *_say(one.statement for one in healing.factors)]
        weeks += [*_say([healing.nonunion] if healing.nonunion is not None else []), *_say(healing.notes)]
        span = f"Healing: median {healing.median_weeks:.1f} weeks, {healing.low_weeks:.1f} to {healing.high_weeks:.1f}"
        sections.append((span, weeks))
    if fragility is not None:
        said = (fragility.statement, *fragility.reasons, *fragility.remarks)
        sections.append((f"Weak bone: {fragility.verdict}, pathway {fragility.pathway}", _say(said)))
    unavailable = (result.risk_unavailable,) if result.risk_unavailable is not None else ()
    sections += [
        ("Next fracture", (*_say(assessment.risk_statements), *(f"- {one}" for one in unavailable))),
        ("Supplements, drugs, habits", (line for one in assessment.supplementation for line in _advice(one))),
        ("Follow-up", (line for one in assessment.follow_up for line in _follow_up(one))),
        ("Limitations", _say(assessment.limitations)),
        ("Warnings", _warnings(result)),
    ]
    head = [f"{case.name}: {case.title}", *textwrap.wrap(case.story, _WIDTH), ""]
    body = [line for title, lines in sections for line in (f"== {title}", *lines, "")]
    return "\n".join([*head, *body]).rstrip() + "\n"


def _one(statement: Statement, prefix: str = "") -> Iterator[str]:
    yield from textwrap.wrap(f"{prefix}{statement.text}", _WIDTH, initial_indent="- ", subsequent_indent="  ")
    origin = [statement.id, statement.certainty.value]
    if statement.evidence:
        origin.append("evidence " + " ".join(statement.evidence))
    if statement.record:
        origin.append("record " + " ".join(statement.record))
    yield f"    [{' | '.join(origin)}]"


def _say(statements: Iterable[Statement]) -> Iterator[str]:
    return (line for statement in statements for line in _one(statement))


def _advice(advice: Advice) -> Iterator[str]:
    dose = "" if advice.dose_low is None else f" ({advice.dose_low:g} to {advice.dose_high or 0:g} {advice.dose_unit})"
    return _one(advice.statement, f"{advice.action.upper()} {advice.agent}{dose}: ")


def _follow_up(step: FollowUp) -> Iterator[str]:
    ends = [f"{one:.1f}" if one is not None else "" for one in (step.earliest_week, step.latest_week)]
    when = "no date" if not any(ends) else f"week {ends[0]}-{ends[1]}"
    return _one(step.statement, f"{step.what} ({when}, {step.urgency}): ")


def _warnings(result: CaseResult) -> Iterator[str]:
    for message in explain(case_warnings(result)):
        details = f" ({', '.join(message.details)})" if message.details else ""
        yield f"- {message.code}{details}: {message.text}"
