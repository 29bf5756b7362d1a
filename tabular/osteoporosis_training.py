"""Fit and measure the trees that find osteoporosis nobody has looked for.

Every figure is cross-fitted: folds of primary sampling units, the trees fitted without the fold. Survey weights are
respected twice: their square roots weigh the rows while the trees learn (the full weights span a factor of 100 and
leave only a third of the cases to learn from), and the full weights measure calibration and the referral thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.isotonic import IsotonicRegression

from tabular.calibration import weighted_quantile
from tabular.formula import FloatArray, probability
from tabular.metrics import IntArray, Metric, SurveyBootstrap, auc, brier
from tabular.osteoporosis import (
    FEATURES,
    MONOTONE,
    T_SCORE_LIMIT,
    OsteoporosisFigures,
    OsteoporosisModel,
    information,
)
from tabular.recalibration import logistic_line
from tabular.results import DxaThreshold
from tabular.teaching import MINIMUM_AGE_YEARS

REFERRAL_AGE_YEARS = 50
"""Thresholds are set on people from here on."""
ORAI_AGE_YEARS = 45
_SENSITIVITY, _SPECIFICITY = 0.90, 0.90
_HIDE_RATES = (0.2, 0.5, 0.8, 1.0)
_GAP_MASKS = 3
_COVERAGE = 0.9
_HIDE_SEX = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class OsteoporosisSettings:
    """Size and speed of learning, chosen by cross-fitting."""

    rounds: int = 180
    depth: int = 3
    rate: float = 0.05
    smallest_leaf: float = 12.0
    """Least curvature in a leaf, in people."""
    shrinkage: float = 15.0
    repeats: int = 3
    """Times each person is shown, with other answers hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsteoporosisFit:
    """Trees for everyone, and what cross-fitting measured."""

    model: OsteoporosisModel
    metrics: Mapping[str, Any]
    people: pd.DataFrame
    margins: FloatArray
    """Cross-fitted log-odds of `people`, shape (n,)."""
    fold: IntArray


def undiagnosed(cohort: pd.DataFrame) -> pd.DataFrame:
    """People of 40 or more with a measured T-score who were never told that they have osteoporosis."""
    rows = (
        (cohort["age_years"] >= MINIMUM_AGE_YEARS)
        & cohort["femoral_neck_t_score"].notna()
        & (cohort["osteoporosis_diagnosed"] != 1.0)
        & (cohort["weight"] > 0)
    )
    return cohort[rows]


def osteoporosis_events(people: pd.DataFrame) -> FloatArray:
    """1.0 for a T-score of -2.5 or lower, shape (n,)."""
    return np.asarray(people["femoral_neck_t_score"] <= T_SCORE_LIMIT, dtype=np.float64)


def inputs_of(people: pd.DataFrame) -> FloatArray:
    """Cohort rows as the trees read them, shape (n, 11)."""
    return people[list(FEATURES)].to_numpy(dtype=np.float64)


def fit_trees(people: pd.DataFrame, settings: OsteoporosisSettings, seed: int) -> xgb.Booster:
    """Fit the trees; their margin is the log-odds, without later calibration."""
    rng = np.random.default_rng(seed)
    answered, events = inputs_of(people), osteoporosis_events(people)
    weights = np.sqrt(people["weight"].to_numpy(dtype=np.float64))
    weights = weights / weights.mean() / settings.repeats
    shown = [answered, *(_hide(answered, rng) for _ in range(settings.repeats - 1))]
    data = xgb.DMatrix(np.vstack(shown), np.tile(events, len(shown)), weight=np.tile(weights, len(shown)), nthread=1)
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": settings.depth,
        "eta": settings.rate,
        "min_child_weight": settings.smallest_leaf,
        "reg_lambda": settings.shrinkage,
        "subsample": 0.7,
        "colsample_bytree": 0.9,
        "nthread": 1,
        "seed": seed,
        "base_score": float(np.clip(np.average(events, weights=weights), 1e-3, 1 - 1e-3)),
        "monotone_constraints": tuple(MONOTONE.values()),
    }
    return xgb.train(parameters, data, settings.rounds)


def fit_osteoporosis(
    cohort: pd.DataFrame,
    fold: IntArray,
    *,
    settings: OsteoporosisSettings,
    replicates: int,
    seed: int,
) -> OsteoporosisFit:
    """Fit on everyone, and measure on people the trees had not seen.

    Args:
        cohort: Cohort rows.
        fold: Fold of each row, shape (n,).
        settings: Size of the trees.
        replicates: Bootstrap replicates.
        seed: Seed of hiding, trees and bootstrap.
    """
    kept = cohort.index.get_indexer(undiagnosed(cohort).index)
    people, fold = cohort.iloc[kept].reset_index(drop=True), fold[kept]
    answered = inputs_of(people)
    rng = np.random.default_rng(seed)
    masked = [_hide(answered, rng) for _ in range(_GAP_MASKS)]
    margins = np.empty(len(people))
    hidden = [np.empty(len(people)) for _ in masked]
    for index in np.unique(fold):
        here = fold == index
        booster = fit_trees(people[~here], settings, seed)
        for source, target in zip([answered, *masked], [margins, *hidden], strict=True):
            target[here] = booster.predict(xgb.DMatrix(source[here], nthread=1), output_margin=True)
    boot = _bootstrap(people, replicates, seed)
    metrics = measure_osteoporosis(people, margins, replicates=replicates, seed=seed)
    metrics["brier_after_isotonic"] = _isotonic(people, margins, fold)
    figures = OsteoporosisFigures(
        thresholds=_thresholds(people, margins, replicates, seed),
        gaps=_gaps(margins, masked, hidden, people["weight"].to_numpy(dtype=np.float64)),
        covariance=_covariance(people, margins, boot),
        validation=_validation(metrics, people),
        interval_meaning=_MEANING,
    )
    model = OsteoporosisModel(booster=fit_trees(people, settings, seed), figures=figures)
    found = {name: metric.to_json() for name, metric in metrics.items()}
    return OsteoporosisFit(model=model, metrics=found, people=people, margins=margins, fold=fold)


_MEANING = (
    "The limits hold what the model would have said with every answer known (90 % of survey participants of whom as "
    "much was known), widened by the sampling error of its calibration; they do not say how thin the bone is."
)


def measure_osteoporosis(
    people: pd.DataFrame, margins: FloatArray, *, replicates: int, seed: int, brief: bool = False
) -> dict[str, Metric]:
    """Discrimination and calibration, beside simple published scores on the same people.

    Args:
        people: Rows of `undiagnosed`.
        margins: Log-odds, shape (n,).
        replicates: Bootstrap replicates.
        seed: Seed of the bootstrap.
        brief: Leave out the parts by age and sex, and the simple scores.

    Returns:
        Metrics by name; empty when there are no cases, or nobody else.
    """
    events = osteoporosis_events(people)
    if len(np.unique(events)) < 2:
        return {}
    weights = people["weight"].to_numpy(dtype=np.float64)
    boot = _bootstrap(people, replicates, seed)
    ours = probability(margins)
    found = {
        "auc_osteoporosis": boot.measure(lambda w: auc(margins, events, w), np.ones(len(people))),
        "auc_osteoporosis_weighted": boot.measure(lambda w: auc(margins, events, w), weights),
        "brier_osteoporosis": boot.measure(lambda w: brier(events, ours, w), weights),
        "calibration_slope_osteoporosis": boot.measure(lambda w: logistic_line(margins, events, w)[1], weights),
        "mean_ratio_osteoporosis": boot.measure(lambda w: _ratio(float(w @ ours), float(w @ events)), weights),
    }
    if brief:
        return found
    years, female = people["age_years"].to_numpy(), (people["female"] == 1.0).to_numpy()
    groups = {
        "from_50": years >= REFERRAL_AGE_YEARS,
        "women_from_50": female & (years >= REFERRAL_AGE_YEARS),
        "men_from_50": ~female & (years >= REFERRAL_AGE_YEARS),
    }
    for name, rows in groups.items():
        if len(np.unique(events[rows])) == 2:
            found |= _pair(people[rows], margins[rows], f"auc_osteoporosis_{name}", replicates, seed)
    for name, (score, rows) in simple_scores(people).items():
        if len(np.unique(events[rows])) == 2:
            here = people[rows]
            found |= _pair(here, score[rows], f"auc_osteoporosis_{name}", replicates, seed)
            if not rows.all():
                found |= _pair(here, margins[rows], f"auc_osteoporosis_same_people_as_{name}", replicates, seed)
    return found


def simple_scores(people: pd.DataFrame) -> dict[str, tuple[FloatArray, "np.ndarray[Any, np.dtype[np.bool_]]"]]:
    """Published simple scores, higher meaning more likely osteoporosis, and whom each can judge.

    * OST (Koh 2001): 0.2 x (weight in kg - age in years), here with its sign turned.
    * ORAI (Cadarette 2000), women of 45 or more: 15, 9 or 5 points for ages from 75, 65 and 55; 9 points below 60 kg,
      3 below 70 kg. Its third item, 2 points without oestrogen, is not in the survey's file and is left out.
    * Age alone.
    """
    years = people["age_years"].to_numpy(dtype=np.float64)
    kilograms = people["weight_kg"].to_numpy(dtype=np.float64)
    weighed = ~np.isnan(kilograms)
    points = np.select([years >= 75, years >= 65, years >= 55], [15.0, 9.0, 5.0], 0.0)
    points = points + np.select([kilograms < 60, kilograms < 70], [9.0, 3.0], 0.0)
    women = (people["female"] == 1.0).to_numpy() & (years >= ORAI_AGE_YEARS)
    return {
        "ost": (-0.2 * (kilograms - years), weighed),
        "orai_without_oestrogen": (points, weighed & women),
        "age_alone": (years, np.ones(len(people), dtype=bool)),
    }


def _pair(people: pd.DataFrame, score: FloatArray, name: str, replicates: int, seed: int) -> dict[str, Metric]:
    events, boot = osteoporosis_events(people), _bootstrap(people, replicates, seed)
    weights = people["weight"].to_numpy(dtype=np.float64)
    return {
        name: boot.measure(lambda w: auc(score, events, w), np.ones(len(people))),
        f"{name}_weighted": boot.measure(lambda w: auc(score, events, w), weights),
    }


def _bootstrap(people: pd.DataFrame, replicates: int, seed: int) -> SurveyBootstrap:
    return SurveyBootstrap(
        stratum=people["stratum"].to_numpy(dtype=np.int64),
        psu=people["psu"].to_numpy(dtype=np.int64),
        replicates=replicates,
        seed=seed,
    )


def _hide(answered: FloatArray, rng: np.random.Generator) -> FloatArray:
    rate = rng.choice(_HIDE_RATES, size=len(answered))[:, None]
    hidden = rng.random(answered.shape) < rate
    hidden[:, FEATURES.index("age_years")] = False
    hidden[:, FEATURES.index("female")] = rng.random(len(answered)) < _HIDE_SEX
    return np.where(hidden, np.nan, answered)


def _thresholds(
    people: pd.DataFrame, margins: FloatArray, replicates: int, seed: int
) -> tuple[DxaThreshold, DxaThreshold]:
    old = (people["age_years"] >= REFERRAL_AGE_YEARS).to_numpy()
    here, ours = people[old], probability(margins[old])
    events, weights = osteoporosis_events(here), here["weight"].to_numpy(dtype=np.float64)
    ill, well = events == 1.0, events == 0.0
    if not ill.any() or not well.any():
        ill = well = np.ones(len(here), dtype=bool)
    sensitive = weighted_quantile(ours[ill], weights[ill], 1 - _SENSITIVITY)
    specific = weighted_quantile(ours[well], weights[well], _SPECIFICITY)
    boot = _bootstrap(here, replicates, seed)
    found = []
    for name, limit in (("sensitive", round(sensitive, 4)), ("specific", round(specific, 4))):
        reached = (ours >= limit).astype(np.float64)
        sensitivity = boot.measure(lambda w, r=reached: _share(r, w * ill), weights)  # type: ignore[misc]
        specificity = boot.measure(lambda w, r=reached: _share(1 - r, w * well), weights)  # type: ignore[misc]
        found.append(
            DxaThreshold(
                name=name,
                probability=limit,
                sensitivity=round(sensitivity.value, 4),
                sensitivity_low=round(sensitivity.low, 4),
                sensitivity_high=round(sensitivity.high, 4),
                specificity=round(specificity.value, 4),
                specificity_low=round(specificity.low, 4),
                specificity_high=round(specificity.high, 4),
                people=len(here),
                cases=int(events.sum()),
            )
        )
    return found[0], found[1]


def _ratio(ours: float, observed: float) -> float:
    return float(ours / observed) if observed > 0 else float("nan")


def _share(flags: FloatArray, weights: FloatArray) -> float:
    total = float(weights.sum())
    return float(flags @ weights) / total if total > 0 else float("nan")


def _gaps(
    margins: FloatArray, masked: list[FloatArray], hidden: list[FloatArray], weights: FloatArray
) -> dict[str, tuple[float, float]]:
    differences = np.concatenate([margins - each for each in hidden])
    known = np.concatenate([(~np.isnan(each[:, 1:])).sum(axis=1) for each in masked])
    names = np.array([information(int(count)) for count in known])
    repeated = np.tile(weights, len(masked))
    tail = (1 - _COVERAGE) / 2
    gaps = {information(len(FEATURES) - 1): (0.0, 0.0)}
    for name in (information(len(FEATURES) - 2), information(0)):
        rows = names == name
        if not rows.any():
            rows = np.ones(len(names), dtype=bool)
        low = weighted_quantile(differences[rows], repeated[rows], tail)
        high = weighted_quantile(differences[rows], repeated[rows], 1 - tail)
        gaps[name] = (round(max(0.0, -low), 4), round(max(0.0, high), 4))
    return gaps


def _covariance(people: pd.DataFrame, margins: FloatArray, boot: SurveyBootstrap) -> tuple[float, float, float]:
    events, weights = osteoporosis_events(people), people["weight"].to_numpy(dtype=np.float64)
    lines = np.array([logistic_line(margins, events, weights * row) for row in boot.multipliers()])
    spread = np.cov(lines.T)
    return round(float(spread[0, 0]), 6), round(float(spread[0, 1]), 6), round(float(spread[1, 1]), 6)


def _isotonic(people: pd.DataFrame, margins: FloatArray, fold: IntArray) -> Metric:
    """Brier score after isotonic regression fitted on the other folds: no lower means that none is needed."""
    events, weights = osteoporosis_events(people), people["weight"].to_numpy(dtype=np.float64)
    remade = np.empty(len(margins))
    for index in np.unique(fold):
        here = fold == index
        curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        remade[here] = curve.fit(margins[~here], events[~here], weights[~here]).predict(margins[here])
    return _bootstrap(people, 100, 0).measure(lambda w: brier(events, remade, w), weights)


def _validation(metrics: Mapping[str, Metric], people: pd.DataFrame) -> str:
    found = metrics.get("auc_osteoporosis")
    cases = int(osteoporosis_events(people).sum())
    if found is None:
        return "Not measured: the survey file holds no case."
    return (
        f"Cross-fitted on {len(people):,} US survey participants of 40 years or more without a diagnosis, {cases:,} "
        f"of them with a femoral neck T-score of -2.5 or lower: AUC {found.value:.2f} ({found.low:.2f} to "
        f"{found.high:.2f})."
    )
