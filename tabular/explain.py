"""Why the estimate is what it is: exact TreeSHAP values in log-odds.

They add up to the margin with the base (Lundberg et al. 2020); `tabular.tree_shap` computes them.
"""

from typing import NamedTuple

import numpy as np

from tabular.formula import FloatArray
from tabular.model import ALL_FEATURES, FEATURES, Level
from tabular.results import Contribution
from tabular.tree_shap import TreeExplainer

LABELS: dict[str, str] = {
    "age_years": "Age",
    "female": "Sex",
    "bmi_kg_m2": "Body mass index",
    "prior_fragility_fracture": "Prior fracture in adult life",
    "parental_hip_fracture": "Parent fractured a hip",
    "current_smoker": "Current smoking",
    "glucocorticoids": "Glucocorticoid tablets, now or for three months or more",
    "rheumatoid_arthritis": "Rheumatoid arthritis",
    "alcohol_3_or_more_units_per_day": "Alcohol, three or more units a day",
    "femoral_neck_t_score": "Bone density (femoral neck T-score)",
    "osteoporosis_diagnosed": "Osteoporosis diagnosed before",
}
"""Each feature of the model in words."""


class Explained(NamedTuple):
    """What moved the predictions of one booster."""

    base_log_odds: list[float]
    """One a row."""
    contributions: list[tuple[Contribution, ...]]
    """One tuple a row, by falling absolute size. A feature that is not known has a contribution too: what the trees
    make of its absence."""


def explain_rows(explainer: TreeExplainer, matrix: FloatArray, margins: FloatArray, level: Level) -> Explained:
    """Base and contributions of many predictions.

    Args:
        explainer: Of the trees of `level`.
        matrix: Columns of `ALL_FEATURES`, shape (n, 11), NaN where not known.
        margins: What the trees predict of each row, log-odds, shape (n,).
        level: Which trees these are.

    Returns:
        Base and contributions that add up to the margin. The trees add in single precision; what rounding leaves
        (about 1e-6) goes to the largest contribution, so that the sum is exact.
    """
    columns = matrix[:, [ALL_FEATURES.index(name) for name in FEATURES[level]]]
    values, base = explainer.values(columns), explainer.base_log_odds
    total = np.full(len(values), base)
    for column in range(values.shape[1]):  # one order of summation, whatever the number of rows
        total += values[:, column]
    values[np.arange(len(values)), np.abs(values).argmax(axis=1)] += margins - total
    return Explained([base] * len(values), _contributions(values, columns, level))


def unexplained(margins: FloatArray) -> Explained:
    """No contributions: the base is the whole margin."""
    return Explained(margins.tolist(), [()] * len(margins))


def _contributions(values: FloatArray, columns: FloatArray, level: Level) -> list[tuple[Contribution, ...]]:
    names = FEATURES[level]
    ranked = np.argsort(-np.abs(values), axis=1, kind="stable")
    labels = [LABELS[name] for name in names]
    return [
        tuple(
            Contribution(
                feature=names[place],
                label=labels[place],
                value=None if (value := inputs[place]) != value else value,
                log_odds=moved[place],
            )
            for place in order
        )
        for order, moved, inputs in zip(ranked.tolist(), values.tolist(), columns.tolist(), strict=True)
    ]
