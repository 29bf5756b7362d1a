"""A hospital's table to a matrix on a public grid.

A boosted tree's threshold is a value of somebody's row. Therefore every value is rounded, before anything learns from
it, to steps that are fixed here for all hospitals: a threshold then tells only that some person was on either side of
a public number. Centres and scales for the logistic model are fixed here too, not computed from data.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cds.learning.federated.errors import HospitalDataError
from tabular.cohort import read_survey

Floats = npt.NDArray[np.float64]

LEAST_AGE_YEARS = 40.0
OSTEOPOROSIS_T_SCORE = -2.5
"""WHO 1994: femoral neck T-score at or below."""


class Outcome(StrEnum):
    """What the model predicts."""

    FRACTURE = "fracture"
    """A hip, wrist or spine fracture ever, self-reported."""
    OSTEOPOROSIS = "osteoporosis"
    """Femoral neck T-score of -2.5 or below, among people who were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A feature and its public grid."""

    name: str
    centre: float
    scale: float
    step: float
    """Values are rounded to multiples of this."""
    low: float
    high: float
    """Values are held within these."""


def _flag(name: str) -> Column:
    return Column(name=name, centre=0.5, scale=0.5, step=1.0, low=0.0, high=1.0)


_PLAIN = (
    Column(name="age_years", centre=60.0, scale=12.0, step=1.0, low=18.0, high=80.0),
    _flag("female"),
    Column(name="bmi_kg_m2", centre=28.0, scale=6.0, step=0.5, low=12.0, high=60.0),
    Column(name="height_cm", centre=168.0, scale=10.0, step=1.0, low=120.0, high=210.0),
    _flag("parental_hip_fracture"),
    _flag("current_smoker"),
    _flag("former_smoker"),
    _flag("glucocorticoids"),
    _flag("rheumatoid_arthritis"),
    _flag("alcohol_3_or_more_units_per_day"),
)
_DENSITY = Column(name="femoral_neck_t_score", centre=-1.0, scale=1.2, step=0.1, low=-6.0, high=4.0)
COLUMNS: dict[Outcome, tuple[Column, ...]] = {
    # Without earlier fractures and the diagnosis, which follow from the outcome.
    Outcome.FRACTURE: (*_PLAIN, _DENSITY),
    Outcome.OSTEOPOROSIS: (*_PLAIN, _flag("prior_fragility_fracture")),
}
"""Features by outcome, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a learner sees."""

    matrix: Floats
    """Shape (n, columns), on the grid, NaN where not known."""
    events: Floats
    """1.0 or 0.0, shape (n,)."""


def to_grid(values: Floats, columns: tuple[Column, ...]) -> Floats:
    """Values rounded to the grid, shape (n, columns), NaN kept.

    Steps are counted from zero; the grid's numbers are float32, as trees compare them.
    """
    step = np.array([column.step for column in columns])
    held = np.clip(values, [column.low for column in columns], [column.high for column in columns])
    rounded: Floats = (np.round(held / step) * step).astype(np.float32).astype(np.float64)
    return rounded


def read_rows(path: Path, outcome: Outcome) -> Rows:
    """A hospital's rows.

    Args:
        path: a CSV file (plain or gzip) in the layout of `tabular.cohort`, or a folder with exactly one.
        outcome: what to predict.

    Raises:
        HospitalDataError: no such file, or nothing in it to learn from.
        CohortError: the file has another layout.
    """
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.name.endswith((".csv", ".csv.gz")))
        if len(files) != 1:
            raise HospitalDataError(
                "the data folder must hold exactly one CSV file", remedy="Give the file itself as --data."
            )
        path = files[0]
    return rows_of(read_survey(path), outcome)


def rows_of(cohort: pd.DataFrame, outcome: Outcome) -> Rows:
    """Rows of a cohort: people of `LEAST_AGE_YEARS` and more whose outcome is known.

    Raises:
        HospitalDataError: nobody, or only one kind of outcome.
    """
    chosen, events = people(cohort, outcome)
    if len(chosen) == 0 or events.min() == events.max():
        raise HospitalDataError(
            "the table holds nobody with and nobody without the outcome", remedy="Give a table with both."
        )
    names = [column.name for column in COLUMNS[outcome]]
    return Rows(matrix=to_grid(chosen[names].to_numpy(dtype=np.float64), COLUMNS[outcome]), events=events)


def people(cohort: pd.DataFrame, outcome: Outcome) -> tuple[pd.DataFrame, Floats]:
    """(cohort rows whose outcome is known, outcomes as 1.0 or 0.0)."""
    if outcome is Outcome.FRACTURE:
        truth = cohort["major_fracture_ever"]
    else:
        score = cohort["femoral_neck_t_score"]
        truth = (score <= OSTEOPOROSIS_T_SCORE).astype(float).where(score.notna())
    kept = (cohort["age_years"] >= LEAST_AGE_YEARS) & truth.notna()
    return cohort[kept], truth[kept].to_numpy(dtype=np.float64)
