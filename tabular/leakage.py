"""Does a figure rest on something the model could not know? Checks of what finds undiagnosed osteoporosis.

* Consequences of the outcome (a diagnosis) and the outcome itself (bone density) are no inputs; what they would give
  as inputs is measured, to show the size of the trap.
* Each input alone, and the fall of the area when it is shuffled: one input near the whole area would be suspect.
* Shuffled outcomes: the same training on outcomes dealt at random must find nothing.
* People who look alike: rows equal in age, sex, weight and height on both sides of a fold's border.
* Time: taught by the earlier survey cycles, judged on the last.
"""

from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb

from tabular.metrics import auc
from tabular.osteoporosis import FEATURES, MONOTONE
from tabular.osteoporosis_training import (
    OsteoporosisFit,
    OsteoporosisSettings,
    fit_trees,
    inputs_of,
    osteoporosis_events,
)

_SHUFFLES = 5
_ALIKE = ("age_years", "female", "weight_kg", "height_cm")


def check_leakage(
    cohort: pd.DataFrame, fit: OsteoporosisFit, *, settings: OsteoporosisSettings, seed: int
) -> dict[str, Any]:
    """Run every check.

    Args:
        cohort: All cohort rows, people with a diagnosis among them.
        fit: The fitted trees and their cross-fitted log-odds.
        settings: Size of the trees.
        seed: Seed of shuffling and of the trees.

    Returns:
        Figures by check, for the manifest.
    """
    people, events = fit.people, osteoporosis_events(fit.people)
    ones = np.ones(len(people))
    if len(np.unique(events)) < 2:
        return {}
    whole = auc(fit.margins, events, ones)
    alone = {name: round(_alone(people[name], events, MONOTONE[name] or 1), 4) for name in FEATURES}
    return {
        "auc_cross_fitted": round(whole, 4),
        "auc_of_each_input_alone": alone,
        "auc_lost_when_shuffled": _shuffled_inputs(fit, whole, settings, seed),
        "auc_with_shuffled_outcomes": _shuffled_outcomes(fit, settings, seed),
        "rows_with_a_double_in_another_fold": _doubles(fit),
        "auc_without_those_rows": _without_doubles(fit),
        "auc_last_cycle_taught_by_earlier_ones": _later(fit, settings, seed),
        "excluded_inputs": {
            "osteoporosis_diagnosed": _diagnosis(cohort),
            "femoral_neck_t_score": "is the outcome",
            "treatment for osteoporosis": "follows from a diagnosis; not in the features",
        },
    }


def _alone(column: pd.Series, events: np.ndarray[Any, Any], direction: int) -> float:
    known = column.notna().to_numpy()
    return auc(direction * column.to_numpy(dtype=np.float64)[known], events[known], np.ones(int(known.sum())))


def _shuffled_inputs(fit: OsteoporosisFit, whole: float, settings: OsteoporosisSettings, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    events, matrix = osteoporosis_events(fit.people), inputs_of(fit.people)
    trees = {int(index): fit_trees(fit.people[fit.fold != index], settings, seed) for index in np.unique(fit.fold)}
    lost = {}
    for column, name in enumerate(FEATURES):
        areas = []
        for _ in range(_SHUFFLES):
            shuffled = matrix.copy()
            shuffled[:, column] = matrix[rng.permutation(len(matrix)), column]
            margins = np.empty(len(matrix))
            for index, booster in trees.items():
                rows = fit.fold == index
                margins[rows] = booster.predict(xgb.DMatrix(shuffled[rows], nthread=1), output_margin=True)
            areas.append(auc(margins, events, np.ones(len(events))))
        lost[name] = round(whole - float(np.mean(areas)), 4)
    return lost


def _shuffled_outcomes(fit: OsteoporosisFit, settings: OsteoporosisSettings, seed: int) -> float:
    rng = np.random.default_rng(seed)
    dealt = fit.people.assign(
        femoral_neck_t_score=fit.people["femoral_neck_t_score"].to_numpy()[rng.permutation(len(fit.people))]
    )
    events, margins = osteoporosis_events(dealt), np.empty(len(dealt))
    for index in np.unique(fit.fold):
        here = fit.fold == index
        booster = fit_trees(dealt[~here], settings, seed)
        margins[here] = booster.predict(xgb.DMatrix(inputs_of(dealt[here]), nthread=1), output_margin=True)
    return round(auc(margins, events, np.ones(len(events))), 4)


def _has_double(fit: OsteoporosisFit) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    keyed = fit.people[list(_ALIKE)].assign(fold=fit.fold)
    folds = keyed.groupby(list(_ALIKE), dropna=False)["fold"].transform("nunique")
    return np.asarray(folds > 1, dtype=bool)


def _doubles(fit: OsteoporosisFit) -> int:
    return int(_has_double(fit).sum())


def _without_doubles(fit: OsteoporosisFit) -> float:
    single = ~_has_double(fit)
    return round(auc(fit.margins[single], osteoporosis_events(fit.people[single]), np.ones(int(single.sum()))), 4)


def _later(fit: OsteoporosisFit, settings: OsteoporosisSettings, seed: int) -> dict[str, float | int] | None:
    last = max(fit.people["cycle"])
    late = (fit.people["cycle"] == last).to_numpy()
    events = osteoporosis_events(fit.people[late])
    if late.all() or len(np.unique(events)) < 2 or not osteoporosis_events(fit.people[~late]).any():
        return None
    booster = fit_trees(fit.people[~late], settings, seed)
    margins = booster.predict(xgb.DMatrix(inputs_of(fit.people[late]), nthread=1), output_margin=True)
    return {"value": round(auc(margins.astype(np.float64), events, np.ones(len(events))), 4), "n": int(late.sum())}


def _diagnosis(cohort: pd.DataFrame) -> dict[str, float | int]:
    """What a diagnosis alone would give among everyone measured: the reason why people who have one are left out."""
    rows = cohort["femoral_neck_t_score"].notna() & cohort["osteoporosis_diagnosed"].notna()
    here = cohort[rows]
    ill = osteoporosis_events(here)
    told = here["osteoporosis_diagnosed"].to_numpy(dtype=np.float64)
    return {"auc_alone": round(auc(told, ill, np.ones(len(here))), 4), "n": len(here)}
