"""How good the trees are: on people they had not seen, against the official probabilities and against fractures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tabular.errors import CohortError
from tabular.formula import HEADS, FloatArray, log_odds, probability
from tabular.metrics import (
    IntArray,
    Metric,
    SurveyBootstrap,
    auc,
    brier,
    explained_variance,
    median_absolute_error,
    person_bootstrap,
    slope,
)
from tabular.model import ALL_FEATURES
from tabular.recalibration import logistic_line

MAJOR_OUTCOME_AGE_YEARS = 50
"""Self-reported fractures are asked of people from here on."""
OFFICIAL_COLUMN: Mapping[str, str] = {"major_osteoporotic": "official_major", "hip": "official_hip"}
_GLOW_COLUMNS = ("age", "bmi", "priorfrac", "momfrac", "smoke", "fracture", "fracscore")
ETHNICITY: Mapping[float, str] = {
    1.0: "mexican_american",
    2.0: "other_hispanic",
    3.0: "white",
    4.0: "black",
    5.0: "other_or_multiracial",
}
"""Groups that the survey records (RIDRETH1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How intervals are made."""

    replicates: int = 400
    seed: int = 20


def design_matrix(people: pd.DataFrame) -> FloatArray:
    """Cohort rows as the model's matrix, shape (n, 11)."""
    return people[list(ALL_FEATURES)].to_numpy(dtype=np.float64)


def without(matrix: FloatArray, *names: str) -> FloatArray:
    """The matrix with some features not known."""
    hidden = matrix.copy()
    hidden[:, [ALL_FEATURES.index(name) for name in names]] = np.nan
    return hidden


def against_official(people: pd.DataFrame, margins: FloatArray, head: str, how: Resampling) -> dict[str, Metric]:
    """Agreement with the official ten-year probability, survey-weighted.

    Args:
        people: Cohort rows with official probabilities.
        margins: Our log-odds, shape (n,).
        head: Outcome.
        how: Bootstrap.
    """
    official = people[OFFICIAL_COLUMN[head]].to_numpy()
    ours = probability(margins)
    boot, weights = _survey(people, how), people["weight"].to_numpy()
    told = official_margins(people, head)
    return {
        "r2": boot.measure(lambda w: explained_variance(official, ours, w), weights),
        "r2_log_odds": boot.measure(lambda w: explained_variance(told, margins, w), weights),
        "median_absolute_error_points": boot.measure(lambda w: 100 * median_absolute_error(official, ours, w), weights),
        "brier_against_official": boot.measure(lambda w: brier(official, ours, w), weights),
        "calibration_slope": boot.measure(lambda w: slope(told, margins, w), weights),
        "calibration_slope_of_the_mean": boot.measure(lambda w: logistic_line(margins, official, w)[1], weights),
        "mean_ratio": boot.measure(lambda w: float(w @ ours / (w @ official)), weights),
    }


def mean_ratio_by_ethnicity(people: pd.DataFrame, margins: FloatArray, head: str) -> dict[str, dict[str, float | int]]:
    """Our mean probability over the official one, by the ethnicity the survey recorded."""
    ours = probability(margins)
    official = people[OFFICIAL_COLUMN[head]].to_numpy()
    weights = people["weight"].to_numpy()
    result: dict[str, dict[str, float | int]] = {}
    for code, name in ETHNICITY.items():
        rows = (people["ethnicity"] == code).to_numpy()
        if rows.any():
            ratio = float(weights[rows] @ ours[rows] / (weights[rows] @ official[rows]))
            result[name] = {"value": round(ratio, 3), "n": int(rows.sum())}
    return result


def discrimination(
    people: pd.DataFrame, scores: FloatArray, outcome: str, how: Resampling, *, weighted: bool = False
) -> Metric:
    """AUC of a score for a yes/no outcome, with intervals from the survey's design."""
    weights = people["weight"].to_numpy() if weighted else np.ones(len(people))
    events = people[outcome].to_numpy(dtype=np.float64)
    return _survey(people, how).measure(lambda w: auc(scores, events, w), weights)


def glow_matrix(women: pd.DataFrame) -> FloatArray:
    """GLOW500 rows as the model's matrix: age, body mass, prior fracture, mother's hip fracture, smoking.

    Raises:
        CohortError: Columns are missing.
    """
    absent = [name for name in _GLOW_COLUMNS if name not in women.columns]
    if absent:
        raise CohortError(
            f"the file lacks the columns {', '.join(absent)}",
            remedy="Use the layout of the published GLOW500 data.",
            code="risk.cohort.column_missing",
        )
    known = {
        "age_years": women["age"].clip(upper=80),
        "female": pd.Series(1.0, index=women.index),
        "bmi_kg_m2": women["bmi"],
        "prior_fragility_fracture": _yes(women["priorfrac"]),
        "parental_hip_fracture": _yes(women["momfrac"]),
        "current_smoker": _yes(women["smoke"]),
    }
    return pd.DataFrame(known, index=women.index).reindex(columns=list(ALL_FEATURES)).to_numpy(dtype=np.float64)


def glow_discrimination(women: pd.DataFrame, margins: FloatArray, how: Resampling) -> Metric:
    """AUC for a fracture within one year. The sample is enriched with fractures: ranks count, probabilities do not."""
    events = np.asarray(_yes(women["fracture"]), dtype=np.float64)
    boot = person_bootstrap(len(women), replicates=how.replicates, seed=how.seed)
    return boot.measure(lambda w: auc(margins, events, w), np.ones(len(women)))


def is_glow(columns: pd.Index) -> bool:
    """Whether a file is laid out like GLOW500."""
    return set(_GLOW_COLUMNS) <= set(columns)


def folds_of(people: pd.DataFrame, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Fold of each person, 0..count-1; all people of a primary sampling unit share one."""
    unit = people["stratum"].astype("int64") * 10 + people["psu"].astype("int64")
    units, position = np.unique(unit.to_numpy(), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(units))
    return np.asarray(order % count, dtype=np.int64)[position]


def official_margins(people: pd.DataFrame, head: str) -> FloatArray:
    """Official log-odds, shape (n,); 0.00 % counts as 0.01 %, the rounding of the official numbers."""
    return log_odds(np.maximum(people[OFFICIAL_COLUMN[head]].to_numpy(), 1e-4))


def vertebral_metrics(
    people: pd.DataFrame, margins: Mapping[str, FloatArray], how: Resampling, *, prefix: str = "auc_vertebral"
) -> dict[str, Metric]:
    """AUC of both probabilities for vertebral fractures read on images; empty where nobody was read.

    The one without a suffix is that of the hip probability: of the two published probabilities, too, the one for the
    hip ranks these fractures better, since it leans more on bone density and age and less on past fractures.

    Args:
        people: Cohort rows.
        margins: Our log-odds by outcome, shape (n,).
        how: Bootstrap.
        prefix: Start of the metrics' names.
    """
    rows = people["vertebral_fracture"].notna().to_numpy()
    seen, outcome = people[rows], "vertebral_fracture"
    if seen[outcome].nunique() < 2:
        return {}
    major, hip = HEADS
    return {
        prefix: discrimination(seen, margins[hip][rows], outcome, how),
        f"{prefix}_weighted": discrimination(seen, margins[hip][rows], outcome, how, weighted=True),
        f"{prefix}_major_probability": discrimination(seen, margins[major][rows], outcome, how),
        f"{prefix}_major_probability_weighted": discrimination(seen, margins[major][rows], outcome, how, weighted=True),
    }


def vertebral_references(people: pd.DataFrame, margins: Mapping[str, FloatArray], how: Resampling) -> dict[str, Metric]:
    """The same AUC among people with an official probability: ours, the official ones and age alone."""
    both = (people["vertebral_fracture"].notna() & people["official_major"].notna()).to_numpy()
    rows = people[both]
    scores = {
        "ours": margins[HEADS[1]][both],
        "ours_major_probability": margins[HEADS[0]][both],
        "official": rows["official_hip"].to_numpy(),
        "official_major_probability": rows["official_major"].to_numpy(),
        "age": rows["age_years"].to_numpy(),
    }
    if rows["vertebral_fracture"].nunique() < 2:
        return {}
    return {
        f"auc_vertebral_same_people_{name}": discrimination(rows, score, "vertebral_fracture", how)
        for name, score in scores.items()
    }


def ever_matrix(people: pd.DataFrame, *, density: bool) -> FloatArray:
    """The model's matrix with all hidden that a past fracture may have caused: prior fracture and a diagnosis."""
    hidden = without(design_matrix(people), "prior_fragility_fracture", "osteoporosis_diagnosed")
    return hidden if density else without(hidden, "femoral_neck_t_score")


def ever_metric(people: pd.DataFrame, margins: FloatArray, how: Resampling) -> Metric | None:
    """AUC for ever having broken hip, wrist or spine, from 50 years on: cross-sectional, a weak test."""
    old = ((people["age_years"] >= MAJOR_OUTCOME_AGE_YEARS) & people["major_fracture_ever"].notna()).to_numpy()
    if people.loc[old, "major_fracture_ever"].nunique() < 2:
        return None
    return discrimination(people[old], margins[old], "major_fracture_ever", how)


def _survey(people: pd.DataFrame, how: Resampling) -> SurveyBootstrap:
    stratum: IntArray = people["stratum"].to_numpy(dtype=np.int64)
    psu: IntArray = people["psu"].to_numpy(dtype=np.int64)
    return SurveyBootstrap(stratum=stratum, psu=psu, replicates=how.replicates, seed=how.seed)


def _yes(answers: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(answers):
        return answers.astype(float)
    return answers.map({"Yes": 1.0, "No": 0.0})
