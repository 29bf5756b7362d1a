"""The row of the screening list: its columns, and how one patient becomes one.

`COLUMNS` is the documented schema (``cds screen --describe`` prints it). Text columns with several entries separate
them by ``; ``. Percentages are rounded to four decimals so that Parquet and CSV hold the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

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
    percent,
    schema_of,
)
from cds.batch.tables import FIELDS, ID_COLUMN, KIND_WORDS
from cds.presenters.wording import UNITS, feature_name, feature_value, odds, ratio
from fhir_adapters.patient import PatientSnapshot
from fhir_adapters.warnings import FhirWarning
from tabular.errors import TabularError
from tabular.features import RiskFeatures
from tabular.results import FractureProbability, RiskEstimate

SHOWN_REASONS = 3
"""Contributions told in words; the largest, of the major fracture probability."""
FAINT_LOG_ODDS = 0.05
"""A contribution smaller than this (5 % of the odds) is no reason."""
ON_TREATMENT = "cds.screen.on_treatment"
"""Warning of a patient who takes a bone-protecting drug, which the model does not know of."""
GAPS_NOT_JUDGED = "cds.screen.care_gaps_not_judged"
"""Warning of a row of features: care gaps need the record."""


class Status(StrEnum):
    """What became of a patient."""

    ESTIMATED = "estimated"
    NOT_ESTIMATED = "not_estimated"
    """The model does not apply; `not_estimated_because` says why."""
    DECEASED = "deceased"
    """Recorded as deceased: not ranked, and no care gaps, so that no letter goes out."""


def _probability(name: str, words: str) -> tuple[Column, ...]:
    model = Column(name=f"{name}_model_percent", kind=NUMBER, meaning="the model alone, before adjustments")
    return (*interval_columns(name, f"{words} within ten years, with cited adjustments"), model)


COLUMNS: tuple[Column, ...] = (
    Column(name="rank", kind=COUNT, meaning="place in the list; empty without estimate and for the deceased"),
    Column(name="patient_id", kind=TEXT, meaning="logical id of the Patient, or the id given in the table"),
    Column(name="status", kind=TEXT, meaning="estimated, not_estimated or deceased"),
    Column(name="age_years", kind=COUNT, meaning="completed years at as_of"),
    Column(name="sex", kind=TEXT, meaning="female, male, other or unknown, as recorded"),
    *_probability(
        "major_osteoporotic_fracture_10y", "probability of a hip, clinical spine, forearm or humerus fracture"
    ),
    *_probability("hip_fracture_10y", "probability of a hip fracture"),
    Column(
        name="undiagnosed_osteoporosis_percent",
        kind=NUMBER,
        meaning="probability of a femoral neck T-score of -2.5 or lower, where the model gives it",
    ),
    Column(name="adjustments", kind=TEXT, meaning="cited relative risks applied on top of the model, with evidence id"),
    Column(name="reasons", kind=TEXT, meaning="the largest contributions to the major fracture probability, in words"),
    Column(name="missing", kind=TEXT, meaning="inputs that the model would have used and did not get"),
    Column(name="care_gaps", kind=TEXT, meaning="codes of the care gaps, most pressing first"),
    Column(name="care_gaps_in_words", kind=TEXT, meaning="the same in words"),
    Column(
        name="care_gap_resources", kind=TEXT, meaning="the resources that triggered them, code=reference, reference"
    ),
    Column(name="not_estimated_because", kind=TEXT, meaning="code of the reason why there is no estimate"),
    Column(name="warnings", kind=TEXT, meaning="codes of what the reader of the row must know; details after a colon"),
    Column(name="model_id", kind=TEXT, meaning="name, version and digest of the risk model"),
    Column(name="engine_version", kind=TEXT, meaning="version of this software"),
    Column(name="as_of", kind=TEXT, meaning="time that the row describes, ISO 8601"),
)
"""All columns in their order."""

SCHEMA = schema_of(COLUMNS)
RANKING = (
    "Rank 1 has the highest ten-year probability of a major osteoporotic fracture (with cited adjustments), equal ones"
    " by the hip fracture probability, then by patient_id. Patients without estimate follow, the deceased come last,"
    " both by patient_id."
)
_ORDER = {Status.ESTIMATED.value: 0, Status.NOT_ESTIMATED.value: 1, Status.DECEASED.value: 2}
SortKey = tuple[int, float, float, str]


def sort_key(row: Mapping[str, object]) -> SortKey:
    """The rule of `RANKING`, on the rounded numbers that the list shows."""
    major, hip = row["major_osteoporotic_fracture_10y_percent"], row["hip_fracture_10y_percent"]
    return (
        _ORDER[str(row["status"])],
        -major if isinstance(major, float) else 0.0,
        -hip if isinstance(hip, float) else 0.0,
        str(row["patient_id"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What every row of a run carries."""

    model_id: str
    engine_version: str
    as_of: datetime


def build_row(
    patient_id: str,
    features: RiskFeatures,
    told: RiskEstimate | TabularError,
    stamp: Stamp,
    *,
    patient: PatientSnapshot | None,
    gaps: Sequence[CareGap],
    warnings: Sequence[str],
) -> Row:
    """One patient's row; `rank` is filled when all rows are known.

    Args:
        patient_id: The id the list shows.
        features: What the model was given.
        told: Its estimate, or why there is none.
        stamp: Model, version and time.
        patient: The record; None for a row of features.
        gaps: Care gaps; empty for the deceased.
        warnings: All warnings but those of the estimate.
    """
    estimate = told if isinstance(told, RiskEstimate) else None
    deceased = patient is not None and FhirWarning.PATIENT_DECEASED.value in patient.warnings
    status = Status.DECEASED if deceased else Status.NOT_ESTIMATED if estimate is None else Status.ESTIMATED
    shown = None if deceased else estimate
    row: Row = {
        "rank": None,
        "patient_id": patient_id,
        "status": status.value,
        "age_years": None if features.age_years is None else int(features.age_years),
        "sex": _sex(patient, features),
        **_percentages("major_osteoporotic_fracture_10y", None if shown is None else shown.major_osteoporotic),
        **_percentages("hip_fracture_10y", None if shown is None else shown.hip),
        "undiagnosed_osteoporosis_percent": _undiagnosed(shown),
        "adjustments": "" if shown is None else _adjustments(shown),
        "reasons": "" if shown is None else _reasons(shown.major_osteoporotic),
        "missing": "" if shown is None else "; ".join([feature_name(name) for name in shown.missing]),
        "care_gaps": "; ".join([gap.kind.value for gap in gaps]),
        "care_gaps_in_words": "; ".join([gap.words for gap in gaps]),
        "care_gap_resources": "; ".join([f"{gap.kind}={', '.join(gap.resources)}" for gap in gaps if gap.resources]),
        "not_estimated_because": told.code if isinstance(told, TabularError) and not deceased else "",
        "warnings": "; ".join(dict.fromkeys((*warnings, *(() if shown is None else shown.warnings)))),
        "model_id": stamp.model_id,
        "engine_version": stamp.engine_version,
        "as_of": stamp.as_of.isoformat(),
    }
    return row


def describe() -> str:
    """The columns of a table of risk factors, the schema of the list and its ranking rule as text."""
    output = described(COLUMNS)
    width = max(len(name) for name in FIELDS)
    given = [
        f"{ID_COLUMN:{width}}  text     id of the patient, must be there",
        *(f"{name:{width}}  {KIND_WORDS[kind]:7}  {_given(name)}" for name, kind in FIELDS.items()),
    ]
    table = "Columns of a table of risk factors (CSV or Parquet instead of FHIR; empty where not known)"
    return "\n".join([*output, "", RANKING, "", table, *given])


def _given(field: str) -> str:
    """What a column of a table of risk factors holds, with its unit."""
    if field == "female":
        return "female yes, male no"
    name, unit = feature_name(field), UNITS.get(field)
    return name if unit is None else f"{name}, {unit}"


def _sex(patient: PatientSnapshot | None, features: RiskFeatures) -> str | None:
    if patient is not None:
        return None if patient.sex is None else patient.sex.value
    return None if features.female is None else "female" if features.female else "male"


def _percentages(name: str, one: FractureProbability | None) -> Row:
    model = None if one is None else one.model_value
    return {**interval_cells(name, one), f"{name}_model_percent": percent(model)}


def _undiagnosed(estimate: RiskEstimate | None) -> float | None:
    told = None if estimate is None else estimate.undiagnosed_osteoporosis
    return None if told is None else percent(told.value)


def _adjustments(estimate: RiskEstimate) -> str:
    """Factors of both outcomes; a factor may weigh differently for the hip."""
    told = [
        f"{name}: {item.factor} x{ratio(item.ratio)} [{item.evidence_id}]"
        for name, one in (("major", estimate.major_osteoporotic), ("hip", estimate.hip))
        for item in one.adjustments
    ]
    return "; ".join(told)


def _reasons(one: FractureProbability) -> str:
    """Facts that moved the probability most; what is missing has a column of its own."""
    known = [item for item in one.contributions if item.value is not None and abs(item.log_odds) >= FAINT_LOG_ODDS]
    return "; ".join(
        [
            f"{feature_name(item.feature)} {feature_value(item.feature, item.value)} ({odds(item.log_odds)})"
            for item in known[:SHOWN_REASONS]
        ]
    )
