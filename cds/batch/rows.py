"""The row of the screening list: its columns, and how one patient becomes one.

`COLUMNS` is the documented schema (``cds screen --describe`` prints it). Text columns with several entries separate
them by ``; ``. Percentages are rounded to four decimals so that Parquet and CSV hold the same numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from cds.batch.care_gaps import GAP_WORDS, CareGap
from cds.presenters.wording import feature_name, feature_value, odds, ratio
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

Row = dict[str, object]


class Status(StrEnum):
    """What became of a patient."""

    ESTIMATED = "estimated"
    NOT_ESTIMATED = "not_estimated"
    """The model does not apply; `not_estimated_because` says why."""
    DECEASED = "deceased"
    """Recorded as deceased: not ranked, and no care gaps, so that no letter goes out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the list."""

    name: str
    kind: pa.DataType
    meaning: str


_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.int32()


def _probability(prefix: str, words: str) -> tuple[Column, ...]:
    return (
        Column(name=f"{prefix}_10y_percent", kind=_NUMBER, meaning=f"{words} within ten years, with cited adjustments"),
        Column(name=f"{prefix}_10y_low_percent", kind=_NUMBER, meaning="lower end of its interval"),
        Column(name=f"{prefix}_10y_high_percent", kind=_NUMBER, meaning="upper end of its interval"),
        Column(name=f"{prefix}_10y_model_percent", kind=_NUMBER, meaning="the model alone, before adjustments"),
    )


COLUMNS: tuple[Column, ...] = (
    Column(name="rank", kind=_COUNT, meaning="place in the list; empty without estimate and for the deceased"),
    Column(name="patient_id", kind=_TEXT, meaning="logical id of the Patient, or the id given in the table"),
    Column(name="status", kind=_TEXT, meaning="estimated, not_estimated or deceased"),
    Column(name="age_years", kind=_COUNT, meaning="completed years at as_of"),
    Column(name="sex", kind=_TEXT, meaning="female, male, other or unknown, as recorded"),
    *_probability("major_osteoporotic_fracture", "probability of a hip, clinical spine, forearm or humerus fracture"),
    *_probability("hip_fracture", "probability of a hip fracture"),
    Column(
        name="undiagnosed_osteoporosis_percent",
        kind=_NUMBER,
        meaning="probability of a femoral neck T-score of -2.5 or lower, where the model gives it",
    ),
    Column(
        name="adjustments", kind=_TEXT, meaning="cited relative risks applied on top of the model, with evidence id"
    ),
    Column(name="reasons", kind=_TEXT, meaning="the largest contributions to the major fracture probability, in words"),
    Column(name="missing", kind=_TEXT, meaning="inputs that the model would have used and did not get"),
    Column(name="care_gaps", kind=_TEXT, meaning="codes of the care gaps, most pressing first"),
    Column(name="care_gaps_in_words", kind=_TEXT, meaning="the same in words"),
    Column(
        name="care_gap_resources", kind=_TEXT, meaning="the resources that triggered them, code=reference, reference"
    ),
    Column(name="not_estimated_because", kind=_TEXT, meaning="code of the reason why there is no estimate"),
    Column(name="warnings", kind=_TEXT, meaning="codes of what the reader of the row must know; details after a colon"),
    Column(name="model_id", kind=_TEXT, meaning="name, version and digest of the risk model"),
    Column(name="engine_version", kind=_TEXT, meaning="version of this software"),
    Column(name="as_of", kind=_TEXT, meaning="time that the row describes, ISO 8601"),
)
"""All columns in their order."""

SCHEMA = pa.schema([(column.name, column.kind) for column in COLUMNS])
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
        **_percentages("major_osteoporotic_fracture", None if shown is None else shown.major_osteoporotic),
        **_percentages("hip_fracture", None if shown is None else shown.hip),
        "undiagnosed_osteoporosis_percent": _undiagnosed(shown),
        "adjustments": "" if shown is None else _adjustments(shown),
        "reasons": "" if shown is None else _reasons(shown.major_osteoporotic),
        "missing": "" if shown is None else "; ".join([feature_name(name) for name in shown.missing]),
        "care_gaps": "; ".join([gap.kind.value for gap in gaps]),
        "care_gaps_in_words": "; ".join([GAP_WORDS[gap.kind] for gap in gaps]),
        "care_gap_resources": "; ".join([f"{gap.kind}={', '.join(gap.resources)}" for gap in gaps if gap.resources]),
        "not_estimated_because": told.code if isinstance(told, TabularError) and not deceased else "",
        "warnings": "; ".join(dict.fromkeys((*warnings, *(() if shown is None else shown.warnings)))),
        "model_id": stamp.model_id,
        "engine_version": stamp.engine_version,
        "as_of": stamp.as_of.isoformat(),
    }
    return row


def describe() -> str:
    """The schema and the ranking rule as text."""
    width = max(len(column.name) for column in COLUMNS)
    kinds = {_TEXT: "text", _NUMBER: "float64", _COUNT: "int32"}
    lines = [f"{column.name:{width}}  {kinds[column.kind]:7}  {column.meaning}" for column in COLUMNS]
    return "\n".join([*lines, "", RANKING])


def _sex(patient: PatientSnapshot | None, features: RiskFeatures) -> str | None:
    if patient is not None:
        return None if patient.sex is None else patient.sex.value
    return None if features.female is None else "female" if features.female else "male"


def _percentages(prefix: str, one: FractureProbability | None) -> Row:
    values = (None,) * 4 if one is None else (one.value, one.low, one.high, one.model_value)
    names = ("", "_low", "_high", "_model")
    return {f"{prefix}_10y{name}_percent": _percent(value) for name, value in zip(names, values, strict=True)}


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100.0 * value, 4)


def _undiagnosed(estimate: RiskEstimate | None) -> float | None:
    told = None if estimate is None else estimate.undiagnosed_osteoporosis
    return None if told is None else _percent(told.value)


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
