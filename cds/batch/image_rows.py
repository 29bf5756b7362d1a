"""The row of the radiograph list: its columns, how one case becomes one, and which case comes first.

`COLUMNS` is the documented schema (``cds screen --describe --images LIST`` prints it). Text columns with several
entries separate them by ``; ``. Percentages are rounded to four decimals so that Parquet and CSV hold the same numbers.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cds.batch.care_gaps import CareGap
from cds.batch.columns import (
    COUNT,
    NUMBER,
    TEXT,
    Column,
    Row,
    described,
    interval_cells,
    interval_columns,
    schema_of,
)
from cds.batch.worklist import COLUMNS as LIST_COLUMNS
from cds.batch.worklist import Entry
from cds.case import CaseResult
from cds.presenters.messages import case_warnings
from fhir_adapters.warnings import FhirWarning
from fusion.results import Severity, Urgency
from imaging.results import FractureCall, ImageFindings

SIDE_CONFLICT = "cds.screen.laterality_conflict"
"""Warning of a radiograph whose header names the other side than the work list."""

COLUMNS: tuple[Column, ...] = (
    Column(name="rank", kind=COUNT, meaning="place in the list, the most pressing first"),
    Column(name="case_id", kind=TEXT, meaning="as in the work list; row-N without one"),
    Column(name="row", kind=COUNT, meaning="row of the work list, from 1"),
    Column(name="image", kind=TEXT, meaning="as in the work list"),
    Column(name="patient", kind=TEXT, meaning="as in the work list"),
    Column(name="image_sha256", kind=TEXT, meaning="digest of the file of the radiograph"),
    Column(name="urgency", kind=TEXT, meaning="immediate, within_hours, clinic or routine"),
    Column(name="call", kind=TEXT, meaning="definite, suspected, not_seen (excludes nothing) or cannot_judge"),
    *interval_columns("fracture_probability", "calibrated probability that the radiograph shows a fracture"),
    Column(name="severity", kind=TEXT, meaning="mild, moderate, severe, undetermined or not_applicable"),
    Column(name="red_flags", kind=TEXT, meaning="identifiers of the rules that made it urgent"),
    Column(name="summary", kind=TEXT, meaning="the head of the report, one sentence"),
    Column(name="boxes", kind=COUNT, meaning="places where a fracture is seen or suspected"),
    Column(name="best_box_score", kind=NUMBER, meaning="detector score of the best one, 0 to 1; not a probability"),
    *(
        Column(name=f"best_box_{edge}_px", kind=NUMBER, meaning=f"its {words}, pixels of the file")
        for edge, words in (("x1", "left edge"), ("y1", "upper edge"), ("x2", "right edge"), ("y2", "lower edge"))
    ),
    Column(name="region", kind=TEXT, meaning="region of the limb"),
    Column(name="region_source", kind=TEXT, meaning="dicom or model"),
    Column(name="limb", kind=TEXT, meaning="the group of limbs that the network sees"),
    Column(name="laterality", kind=TEXT, meaning="L, R, B or U: of the header, else of the work list"),
    Column(name="site", kind=TEXT, meaning="bone and part as the work list states it"),
    Column(name="age_years", kind=COUNT, meaning="completed years, of the record"),
    Column(name="sex", kind=TEXT, meaning="of the record"),
    *interval_columns("major_osteoporotic_fracture_10y", "probability within ten years, where there is a record"),
    *interval_columns("hip_fracture_10y", "probability of a hip fracture within ten years"),
    Column(name="no_risk_because", kind=TEXT, meaning="why there is no ten-year probability, in a sentence"),
    Column(name="care_gaps", kind=TEXT, meaning="codes of the care gaps in the record, most pressing first"),
    Column(name="warnings", kind=TEXT, meaning="codes of what the reader must know; details after a colon"),
    Column(name="assessment_id", kind=TEXT, meaning="the case_id of the audit record and of the JSON report"),
    Column(name="report_file", kind=TEXT, meaning="JSON report in the folder of --export-reports"),
    Column(name="image_model_id", kind=TEXT, meaning="name, version and digest of the detector"),
    Column(name="risk_model_id", kind=TEXT, meaning="of the risk model, where it was used"),
    Column(name="evidence_version", kind=TEXT, meaning="version and digest of the evidence base"),
    Column(name="engine_version", kind=TEXT, meaning="version of this software"),
    Column(name="as_of", kind=TEXT, meaning="time of the assessment, ISO 8601"),
)
"""All columns in their order."""

SCHEMA = schema_of(COLUMNS)
RANKING = (
    "Rows are ordered by urgency (immediate, within_hours, clinic, routine), then by call (definite, suspected,"
    " cannot_judge, not_seen), then by falling fracture probability, then by severity (severe first), then by row of"
    " the work list. A radiograph that could not be read has no row: it stands in the rejects file and wants a person."
)
_URGENCIES = {member.value: place for place, member in enumerate(Urgency)}
_CALLS = {
    member.value: place
    for place, member in enumerate(
        (FractureCall.DEFINITE, FractureCall.SUSPECTED, FractureCall.CANNOT_JUDGE, FractureCall.NOT_SEEN)
    )
}
_SEVERITIES = {
    member.value: place
    for place, member in enumerate(
        (Severity.SEVERE, Severity.MODERATE, Severity.UNDETERMINED, Severity.MILD, Severity.NOT_APPLICABLE)
    )
}
SortKey = tuple[int, int, float, int, int]


def sort_key(row: Mapping[str, object]) -> SortKey:
    """The rule of `RANKING`, on the rounded numbers that the list shows."""
    probability, number = row["fracture_probability_percent"], row["row"]
    return (
        _URGENCIES[str(row["urgency"])],
        _CALLS[str(row["call"])],
        -probability if isinstance(probability, float) else 0.0,
        _SEVERITIES[str(row["severity"])],
        number if isinstance(number, int) else 0,
    )


def build_row(
    entry: Entry,
    result: CaseResult,
    *,
    gaps: Sequence[CareGap],
    report_file: str,
    as_of: datetime,
) -> Row:
    """One case's row; `rank` is filled when all rows are known.

    Args:
        entry: The row of the work list.
        result: The case, with a radiograph.
        gaps: Care gaps of the record.
        report_file: Name of the JSON report; empty without one.
        as_of: Time of the assessment.

    Raises:
        ValueError: The case has no radiograph.
    """
    findings, assessment, patient = result.findings, result.assessment, result.patient
    if findings is None:
        raise ValueError("a case without a radiograph has no row")
    deceased = patient is not None and FhirWarning.PATIENT_DECEASED.value in patient.warnings
    risk = None if deceased else result.risk
    severity = assessment.severity
    conflict = findings.laterality in {"L", "R"} and entry.laterality in {"L", "R"}
    conflict = conflict and findings.laterality != entry.laterality
    return {
        "rank": None,
        "case_id": entry.case_id,
        "row": entry.row,
        "image": entry.image,
        "patient": entry.patient,
        "image_sha256": findings.image_sha256,
        "urgency": severity.urgency.value,
        "call": findings.call.value,
        **interval_cells("fracture_probability", findings.fracture_probability),
        "severity": severity.grade.value,
        "red_flags": "; ".join([flag.statement.id for flag in severity.red_flags]),
        "summary": assessment.summary.text,
        **_boxes(findings),
        "region": None if findings.region is None else findings.region.value,
        "region_source": findings.region_source,
        "limb": _limb(findings),
        "laterality": findings.laterality or entry.laterality or None,
        "site": None if result.context.site is None else result.context.site.value,
        "age_years": None if patient is None or patient.age_years is None else int(patient.age_years),
        "sex": None if patient is None or patient.sex is None else patient.sex.value,
        **interval_cells("major_osteoporotic_fracture_10y", None if risk is None else risk.major_osteoporotic),
        **interval_cells("hip_fracture_10y", None if risk is None else risk.hip),
        "no_risk_because": _no_risk(entry, result, deceased=deceased),
        "care_gaps": "; ".join([gap.kind.value for gap in gaps]),
        "warnings": "; ".join(dict.fromkeys((*((SIDE_CONFLICT,) if conflict else ()), *case_warnings(result)))),
        "assessment_id": result.case_id,
        "report_file": report_file,
        "image_model_id": findings.model_id,
        "risk_model_id": None if risk is None else risk.model_id,
        "evidence_version": assessment.evidence_version,
        "engine_version": result.engine_version,
        "as_of": as_of.isoformat(),
    }


def describe() -> str:
    """The columns of the work list, those of the output, and the ranking rule as text."""
    width = max(len(name) for name in (*LIST_COLUMNS, *(column.name for column in COLUMNS)))
    given = [f"{name:{width}}  {meaning}" for name, meaning in LIST_COLUMNS.items()]
    made = described(COLUMNS, width)
    return "\n".join(["Columns of the work list (only image must be there)", *given, "", "Output", *made, "", RANKING])


def _no_risk(entry: Entry, result: CaseResult, *, deceased: bool) -> str:
    if deceased:
        return "The patient is recorded as deceased."
    if result.patient is None and entry.patient:
        return "The record of the patient could not be used; the rejects file says why."
    return result.risk_unavailable or ""


def _boxes(findings: ImageFindings) -> Row:
    best = findings.detections[0] if findings.detections else None
    box = None if best is None else best.box
    return {
        "boxes": len(findings.detections),
        "best_box_score": None if best is None else round(float(best.score), 4),
        **{
            f"best_box_{edge}_px": None if box is None else round(float(getattr(box, edge)), 1)
            for edge in ("x1", "y1", "x2", "y2")
        },
    }


def _limb(findings: ImageFindings) -> str | None:
    attributes = findings.attributes
    return None if attributes is None or not attributes.limb else attributes.limb[0][0].value
