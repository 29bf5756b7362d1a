"""The words and figures of the manifest that say what the model is, what it was taught and what it is for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xgboost

from tabular.model import sha256_of
from tabular.teaching import Class

NAME = "fracture-risk-nhanes"
VERSION = "1.1.0"

_DESCRIPTION = (
    "Surrogate of a published ten-year probability of major osteoporotic and of hip fracture, as computed by the US "
    "survey of 2013-14, on one calibration for the whole US population."
)
_INTENDED_USE = (
    "Investigational. Supports, and never replaces, the judgement of a clinician who assesses fracture risk in adults "
    "of 40 years or more. Not for people under 40, not for those under treatment for osteoporosis, not for a diagnosis."
)
_LIMITS = [
    "It reproduces a published probability; it was not fitted to, nor checked against, fractures that happened later.",
    "Calibrated to the US population of 2013-14. Countries differ by a factor of two and more.",
    "Ethnicity is not an input. The published US tool divides the odds by about 2.4 for Black and 1.9 for Hispanic and "
    "Asian people; this score is the average of the population: above that tool for them, below it for white people.",
    "Ages of 80 and more are one group in the survey.",
    "An unknown answer stands for the average of people alike, not for 'no'; the survey itself read unknown answers as "
    "'no', so the estimate leans that way.",
    "Alcohol was counted in US drinks (14 g of ethanol); a UK unit is 8 g.",
    "Treatment, frailty, dose of glucocorticoids and number of prior fractures are not inputs.",
    "Undiagnosed osteoporosis means the femoral neck alone, by the young female reference for both sexes: thin bones "
    "of the spine or the total hip are not looked for. A published score of weight and age alone ranks almost as well.",
]
_DEFINITIONS = {
    "interval": "95 %, bootstrap of primary sampling units within strata (GLOW500: of women)",
    "mean_ratio": "mean of ours over mean of the official probability",
    "brier_against_official": "mean squared difference of our and the official probability",
    "calibration_slope": "slope of official log-odds on our log-odds",
    "calibration_slope_of_the_mean": "slope of a fractional logistic regression of the official probability on our "
    "log-odds: calibration of the mean, where calibration_slope is that of the typical person",
    "recalibration": "correction that the final trees of an outcome and level learnt: shift + slope * log-odds above "
    "the knot, slope_below under it; fitted on cross-fitted log-odds, and measured with corrections fitted without the "
    "fold",
    "auc_vertebral": "vertebral fracture read on densitometer images, people unweighted, by the hip probability; "
    "..._major_probability by the major osteoporotic probability",
    "auc_osteoporosis": "femoral neck T-score of -2.5 or lower among people of 40 or more without a diagnosis, bone "
    "density hidden, people unweighted; ..._weighted with survey weights",
    "mean_ratio_osteoporosis": "mean probability of osteoporosis over its frequency, survey-weighted",
    "auc_major_fracture_ever": "hip, wrist or spine fracture ever, self-reported, 50 years or more, cycles 2005-2010; "
    "prior fracture and diagnosed osteoporosis hidden. Cross-sectional: a weak test",
    "leakage": "see tabular.leakage; areas are unweighted",
    "agreement": "published figures that were not used to fit the trees; ratios are hazard ratios by sex and outcome",
    "glow500_side_by_side": "nested cross-validation, ten folds three times; ours and the points score are not fitted; "
    "behind_best is the AUC of the best method less this one's, paired bootstrap",
    "glow500_external": "fracture within one year, 500 women, enriched with fractures: ranks only",
}


def facts(
    *, csv_path: Path, everyone: Class, metrics: Mapping[str, Any], seed: int, coverage: float, folds: int
) -> dict[str, Any]:
    """Entries of the manifest beside files, features and constraints."""
    formula = everyone.formula
    official = len(next(iter(formula.residual.values())))
    return {
        "name": NAME,
        "version": VERSION,
        "description": _DESCRIPTION,
        "intended_use": _INTENDED_USE,
        "limits": _LIMITS,
        "validation": _validation(metrics),
        "interval_meaning": _interval_meaning(coverage),
        "training_data": {
            "name": "US National Health and Nutrition Examination Survey 2005-2010 and 2013-2014, public-use files",
            "origin": "Centers for Disease Control and Prevention, National Center for Health Statistics",
            "licence": "public domain (work of the US government)",
            "file": csv_path.name,
            "sha256": sha256_of(csv_path),
            "people_with_official_probabilities": official,
            "people_labelled_by_the_formula": len(everyone.people) - official,
        },
        "labels": {
            "parental_hip_fractures_counted_by_the_survey": formula.counted_parental,
            "glucocorticoid_courses_counted_by_the_survey": formula.counted_glucocorticoids,
            "calibration_shares_white_black_hispanic_and_asian": [round(x, 3) for x in formula.calibration_shares],
        },
        "metrics": metrics,
        "metric_definitions": _DEFINITIONS,
        "seed": seed,
        "folds": folds,
        "command": f"cds train risk --data {csv_path.name} --glow glow500.csv --seed {seed} --out FOLDER",
        "software": {"xgboost": xgboost.__version__},
    }


def _validation(metrics: Mapping[str, Any]) -> str:
    agreement = metrics["official_major_osteoporotic_with_density"]
    r2, slope = agreement["r2_log_odds"], agreement["calibration_slope"]
    text = (
        f"Cross-fitted on {r2['n']:,} US survey participants of 40 years or more: the score explains "
        f"{100 * r2['value']:.0f} % of the variation of the official log-odds (calibration slope {slope['value']:.2f})"
    )
    spine = metrics["fractures"].get("auc_vertebral")
    if spine is not None:
        text += (
            " and, by its hip probability, separates people with a vertebral fracture on images with an AUC of "
            f"{spine['value']:.2f} ({spine['low']:.2f} to {spine['high']:.2f}, n = {spine['n']:,})"
        )
    return text + "; it has not been checked against fractures that happened later."


def _interval_meaning(coverage: float) -> str:
    return (
        f"In cross-fitting, the official ten-year probability of {100 * coverage:.0f} % of survey participants of whom "
        "as much was known lay between these limits: they show what missing answers and the unknown ethnic calibration "
        "leave open, not how certain a fracture is nor how exact the published probability itself is."
    )
