"""The model beside published tables, and beside simpler methods on GLOW500.

Published tables are facts of the evidence base; they reach this module as plain mappings, so that it needs no other
package. Agreement is a check of plausibility: those figures were not used to fit the trees.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tabular.features import RiskFeatures
from tabular.formula import FACTORS, HEADS, FloatArray, probability
from tabular.metrics import auc, person_bootstrap
from tabular.model import ALL_FEATURES, Boosters, margins_of
from tabular.relative_risks import adjustments_for
from tabular.validation import Resampling, design_matrix, glow_matrix, without

_MAJOR, _HIP = HEADS
_SHORT = {"mof": _MAJOR, "hip": _HIP}
TABLE_FACTORS: Mapping[str, str | None] = {
    "none": None,
    "parental": "parental_hip_fracture",
    "smoking": "current_smoker",
    "alcohol": "alcohol_3_or_more_units_per_day",
    "ra": "rheumatoid_arthritis",
    "gc": "glucocorticoids",
    "prior_fx": "prior_fragility_fracture",
}
"""Rows of the published ten-year table and the inputs they stand for."""
_TABLE_BMI = 25.0

RATIO_FIELDS: Mapping[str, str] = {
    "t1dm": "diabetes_type_1",
    "t2dm": "diabetes_type_2",
    "corticosteroids": "glucocorticoids",
    "falls_history": "falls_last_year",
    "prior_fracture": "prior_fragility_fracture",
    "ra_or_sle": "rheumatoid_arthritis",
    "malabsorption": "secondary_osteoporosis",
    "parental_osteoporosis": "parental_hip_fracture",
    "smoke_light": "current_smoker",
    "smoke_moderate": "current_smoker",
    "smoke_heavy": "current_smoker",
    "alcohol_3_6u": "alcohol_3_or_more_units_per_day",
    "alcohol_7_9u": "alcohol_3_or_more_units_per_day",
    "alcohol_gt9u": "alcohol_3_or_more_units_per_day",
    "dementia": "dementia",
    "parkinson": "parkinson",
    "epilepsy_or_anticonvulsant": "epilepsy_or_anticonvulsant",
    "ckd": "chronic_kidney_disease",
    "chronic_liver": "chronic_liver_disease",
    "cvd": "cardiovascular_disease",
    "asthma_copd": "asthma_or_copd",
    "cancer": "cancer",
    "antidepressant": "antidepressant",
    "endocrine": "endocrine_disease",
    "hrt": "hormone_replacement",
    "smoke_ex": "former_smoker",
}
"""Published factors that an input can express, and the input: the nearest one, without grades of smoking or alcohol."""
OTHER_EXPOSURE: Mapping[str, str] = {
    "parental_osteoporosis": "parental",
    **dict.fromkeys(("alcohol_3_6u", "alcohol_7_9u", "alcohol_gt9u"), "alcohol"),
}
"""Published factors that are not quite what the input asks, and the row of the published table that is.

The cohort notes osteoporosis or a hip fracture of a parent where the input means the hip fracture, and grades of
drinking where the input has none. The trees learned these inputs from official probabilities, as the table has them;
where two published figures differ, theirs is the one of the same question, and a ratio of the other on top would count
the factor twice."""
NOT_EXPRESSED: tuple[str, ...] = ("care_home",)
"""Published factors that no input can express: records seldom say where a person lives."""
_FACTOR_OF = 2.0
_NO_DIRECTION = (0.95, 1.05)
"""Published ratios between these say nothing of a direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Published figures that the model is held against."""

    table: Mapping[str, Any]
    """Ten-year probabilities; see `compare_table`."""
    ratios: Mapping[str, Mapping[str, float]]
    """Hazard ratios; see `compare_ratios`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCell:
    """One cell of the published ten-year table beside ours."""

    female: bool
    age_years: int
    factor: str
    outcome: str
    published: float
    """Probability, 0..1."""
    ours: float
    same_direction: bool | None
    """Whether ours, too, is raised by the factor; None where the published number is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioCell:
    """One published hazard ratio beside the one that the model implies."""

    factor: str
    field: str
    outcome: str
    female: bool
    published: float
    ours: float
    same_direction: bool | None
    """None where the published ratio is within 5 % of 1."""
    within_factor_two: bool
    table_low: float | None = None
    """For a factor of `OTHER_EXPOSURE`: the least hazard ratio over the ages of the published table, else None."""
    table_high: float | None = None
    """The largest one."""


def compare_table(boosters: Boosters, table: Mapping[str, Any]) -> list[TableCell]:
    """The published ten-year table (body mass index 25, bone density unknown), cell by cell.

    Args:
        boosters: Trees by outcome and level.
        table: ``ages``, and by ``men``/``women``, factor and ``mof``/``hip`` the probabilities in percent.
    """
    cells = []
    ages = [int(age) for age in table["ages"]]
    for sex in ("men", "women"):
        for factor in table[sex]:
            for short, head in _SHORT.items():
                ours = _table_risk(boosters, ages, sex == "women", TABLE_FACTORS[factor], head)
                plain = _table_risk(boosters, ages, sex == "women", None, head)
                for index, age in enumerate(ages):
                    published, base = (table[sex][name][short][index] / 100 for name in (factor, "none"))
                    cells.append(
                        TableCell(
                            female=sex == "women",
                            age_years=age,
                            factor=factor,
                            outcome=head,
                            published=published,
                            ours=float(ours[index]),
                            same_direction=bool(ours[index] > plain[index]) if published > base else None,
                        )
                    )
    return cells


def _table_risk(boosters: Boosters, ages: list[int], female: bool, factor: str | None, head: str) -> FloatArray:
    known = {"female": float(female), "bmi_kg_m2": _TABLE_BMI} | dict.fromkeys(FACTORS, 0.0)
    if factor is not None:
        known[factor] = 1.0
    rows = [[float(age) if name == "age_years" else known.get(name, math.nan) for name in ALL_FEATURES] for age in ages]
    return probability(margins_of(boosters, np.array(rows), head))


def compare_ratios(
    boosters: Boosters,
    people: pd.DataFrame,
    published: Mapping[str, Mapping[str, float]],
    table: Mapping[str, Any] | None = None,
) -> list[RatioCell]:
    """Published hazard ratios beside those that the model implies.

    For an input of the trees: every person of the survey is asked about twice, without and with the factor, bone
    density unknown as in the published cohort; ours is the survey-weighted geometric mean of the ratio of the hazards
    ``-log(1 - p)``. For a cited relative risk: the ratio in use.

    Args:
        boosters: Trees by outcome and level.
        people: Cohort rows of 40 years or more.
        published: By factor: ``hip_women``, ``hip_men``, ``mof_women``, ``mof_men``, some of them.
        table: The table of `compare_table`, to show beside the factors of `OTHER_EXPOSURE`; None to leave that out.
    """
    cells = []
    for factor, field in RATIO_FIELDS.items():
        for key, ratio in published.get(factor, {}).items():
            short, _, sex = key.partition("_")
            female, head = sex == "women", _SHORT[short]
            ours = implied_ratio(boosters, people, field, head, female=female)
            if ours is None:
                continue
            low, high = _NO_DIRECTION
            row = OTHER_EXPOSURE.get(factor)
            inside = None if table is None or row is None else table_ratios(table, row, head, female=female)
            cells.append(
                RatioCell(
                    factor=factor,
                    field=field,
                    outcome=head,
                    female=female,
                    published=float(ratio),
                    ours=ours,
                    same_direction=None if low <= ratio <= high else (ours > 1) == (ratio > 1),
                    within_factor_two=1 / _FACTOR_OF <= ours / ratio <= _FACTOR_OF,
                    table_low=None if inside is None else min(inside),
                    table_high=None if inside is None else max(inside),
                )
            )
    return cells


def table_ratios(table: Mapping[str, Any], factor: str, head: str, *, female: bool) -> tuple[float, ...]:
    """Hazard ratios that the published ten-year table implies for a factor, one for each of its ages.

    Args:
        table: As in `compare_table`.
        factor: A row of it, of `TABLE_FACTORS`.
        head: One of `HEADS`.
        female: Which half of the table.

    Returns:
        ``log(1 - with) / log(1 - without)`` of the printed percentages, which are rounded.
    """
    rows = table["women" if female else "men"]
    short = next(name for name, long in _SHORT.items() if long == head)
    pairs = zip(rows[factor][short], rows["none"][short], strict=True)
    return tuple(math.log1p(-affected / 100) / math.log1p(-plain / 100) for affected, plain in pairs)


def implied_ratio(boosters: Boosters, people: pd.DataFrame, field: str, head: str, *, female: bool) -> float | None:
    """Hazard ratio of one input, see `compare_ratios`; None where it has no effect on this outcome."""
    if field not in FACTORS:
        value: Any = 1 if field == "falls_last_year" else True
        cited = adjustments_for(RiskFeatures(age_years=70.0, female=female, **{field: value}), head)
        return math.prod(item.ratio for item in cited) if cited else None
    here = people[(people["female"] == float(female)).to_numpy()]
    matrix = without(design_matrix(here), "femoral_neck_t_score")
    hazards = []
    for answer in (0.0, 1.0):
        matrix[:, ALL_FEATURES.index(field)] = answer
        hazards.append(-np.log1p(-probability(margins_of(boosters, matrix, head))))
    weights = here["weight"].to_numpy(dtype=np.float64)
    return float(np.exp(np.average(np.log(hazards[1] / hazards[0]), weights=weights)))


def agreement(cells: Sequence[TableCell], ratios: Sequence[RatioCell]) -> dict[str, Any]:
    """Both comparisons in figures, for the manifest."""
    errors = [abs(cell.ours / cell.published - 1) for cell in cells]
    raised = [cell.same_direction for cell in cells if cell.same_direction is not None]
    directed = [cell.same_direction for cell in ratios if cell.same_direction is not None]
    return {
        "table_cells": len(cells),
        "table_median_relative_error": round(float(np.median(errors)), 4) if errors else None,
        "table_directions_right": sum(raised),
        "table_directions": len(raised),
        "ratio_factors_expressed": len({cell.factor for cell in ratios}),
        "ratio_factors_not_expressed": list(NOT_EXPRESSED),
        "ratio_cells": len(ratios),
        "ratio_cells_within_factor_two": sum(cell.within_factor_two for cell in ratios),
        "ratio_directions_right": sum(directed),
        "ratio_directions": len(directed),
        "ratios": [
            {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(cell).items()}
            for cell in ratios
        ],
    }


_GLOW_YES_NO = ("priorfrac", "premeno", "momfrac", "armassist", "smoke")
_GLOW_NUMBERS = ("age", "weight", "height", "bmi")
_INNER_FOLDS = 5
_PENALTIES = (0.01, 0.1, 1.0)


def glow_inputs(women: pd.DataFrame) -> FloatArray | None:
    """All questions of GLOW500, shape (500, 11); None when the file lacks some."""
    if not {*_GLOW_YES_NO, *_GLOW_NUMBERS, "raterisk"} <= set(women.columns):
        return None
    flags = women[list(_GLOW_YES_NO)].apply(lambda column: (column == "Yes").astype(float))
    rated = women["raterisk"].map({"Less": -1.0, "Same": 0.0, "Greater": 1.0}).rename("raterisk")
    return np.asarray(pd.concat([women[list(_GLOW_NUMBERS)], flags, rated], axis=1), dtype=np.float64)


def glow_side_by_side(
    women: pd.DataFrame, boosters: Boosters, how: Resampling, *, folds: int = 10, repeats: int = 3
) -> dict[str, Any]:
    """Simple and elaborate methods on GLOW500, by nested cross-validation.

    Ours and the points score are only ranked: they saw none of these women. The others are fitted on all folds but one
    and judged on that one, several times over; the penalty of the logistic regression is chosen inside.

    Args:
        women: GLOW500 rows.
        boosters: Our trees.
        how: Bootstrap, and the seed of the folds.
        folds: How many.
        repeats: How often the folds are drawn anew.

    Returns:
        By method the AUC, and its difference to the best method's with a paired bootstrap interval; ``best``.
    """
    inputs = glow_inputs(women)
    if inputs is None:
        return {}
    events: FloatArray = np.asarray(women["fracture"] == "Yes", dtype=np.float64)
    told = margins_of(boosters, glow_matrix(women), _MAJOR)
    scores = {
        "ours_unfitted": told,
        "points_score": women["fracscore"].to_numpy(dtype=np.float64),
        "logistic": np.zeros(len(events)),
        "untuned_xgboost": np.zeros(len(events)),
        "logistic_with_ours": np.zeros(len(events)),
    }
    both = np.column_stack([inputs, told])
    for repeat in range(repeats):
        for train, test in StratifiedKFold(folds, shuffle=True, random_state=how.seed + repeat).split(inputs, events):
            for name, matrix in (("logistic", inputs), ("logistic_with_ours", both)):
                inner = GridSearchCV(
                    make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
                    {"logisticregression__C": _PENALTIES},
                    scoring="roc_auc",
                    cv=_INNER_FOLDS,
                ).fit(matrix[train], events[train])
                scores[name][test] += inner.decision_function(matrix[test])
            trees = xgb.XGBClassifier(n_jobs=1, random_state=how.seed).fit(inputs[train], events[train])
            scores["untuned_xgboost"][test] += trees.predict(inputs[test], output_margin=True)
    boot = person_bootstrap(len(events), replicates=how.replicates, seed=how.seed)
    ones = np.ones(len(events))
    measured = {
        name: boot.measure(_Statistic(score=score, other=None, events=events), ones) for name, score in scores.items()
    }
    best = max(measured, key=lambda name: measured[name].value)
    result: dict[str, Any] = {name: metric.to_json() for name, metric in measured.items()}
    for name, score in scores.items():
        if name != best:
            ahead = boot.measure(_Statistic(score=scores[best], other=score, events=events), ones)
            result[name] |= {"behind_best": ahead.to_json()}
    return result | {"best": best}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statistic:
    """AUC of a score, less that of another."""

    score: FloatArray
    other: FloatArray | None
    events: FloatArray

    def __call__(self, weights: FloatArray) -> float:
        mine = auc(self.score, self.events, weights)
        return mine if self.other is None else mine - auc(self.other, self.events, weights)
