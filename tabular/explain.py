"""Why the estimate is what it is: exact TreeSHAP values in log-odds.

XGBoost computes them itself (``pred_contribs``); they add up to the margin with the base (Lundberg et al. 2020).
"""

import numpy as np
import xgboost as xgb

from tabular.formula import FloatArray
from tabular.model import ALL_FEATURES, FEATURES, Level, as_dmatrix
from tabular.results import Contribution

LABELS: dict[str, str] = {
    "age_years": "Age",
    "female": "Female sex",
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


def explain(booster: xgb.Booster, row: FloatArray, level: Level) -> tuple[float, tuple[Contribution, ...]]:
    """Base and contributions of one prediction.

    Args:
        booster: The trees of `level`.
        row: Columns of `ALL_FEATURES`, shape (1, 11), NaN where not known.
        level: Which trees these are.

    Returns:
        Base log-odds, and the contributions by falling absolute size. A feature that is not known has a contribution
        too: what the trees make of its absence.
    """
    told = booster.predict(as_dmatrix(row, level), pred_contribs=True, validate_features=False)
    values = np.asarray(told, dtype=np.float64)[0]
    contributions = []
    for name, log_odds in zip(FEATURES[level], values[:-1].tolist(), strict=True):
        seen = float(row[0, ALL_FEATURES.index(name)])
        contributions.append(
            Contribution(
                feature=name, label=LABELS[name], value=None if np.isnan(seen) else seen, log_odds=float(log_odds)
            )
        )
    contributions.sort(key=lambda item: -abs(item.log_odds))
    return float(values[-1]), tuple(contributions)
