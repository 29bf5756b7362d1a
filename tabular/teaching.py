"""What the trees are shown: people of the survey, some of their answers hidden, each with the probability to learn.

Three kinds of lesson, drawn again for every person:

* *as answered*: every answer the person gave;
* *turned*: with bone density known, each yes/no factor is turned round by chance, the T-score is drawn anew over its
  whole range and the probability moved by what the formula says of them, so that rare factors and very thin bones are
  not confounded with the few people who have them;
* *hidden*: a random part of the answers is hidden, the probability stays that of the whole person. The trees so learn
  the average over what is hidden, in the survey's population.

Nothing is turned where bone density is hidden: there a factor also speaks of the density that goes with it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tabular.cohort import OFFICIAL_CYCLE
from tabular.formula import FACTORS, FloatArray, OfficialFormula, factor_matrix, fit_formula, log_odds, probability
from tabular.model import FEATURES, Level

MINIMUM_AGE_YEARS = 40
"""Youngest age of the published ten-year probabilities."""
_TURN_SHARE = 0.25
_T_SCORES = (-4.0, 2.5)
"""T-scores that the official people cover."""
_HIDE_RATES = (0.2, 0.5, 0.8, 1.0)
_HIDE_SEX = 0.05
_SMALLEST_RISK = 2e-3
_AGE_EDGES = (45, 50, 55, 60, 65, 70, 75, 80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """The people taught from, and the formula that speaks for them."""

    people: pd.DataFrame
    """Cohort rows with a T-score, 40 years or older, official people first."""
    formula: OfficialFormula
    residual: dict[str, FloatArray]
    """By outcome: what the official number of a person had beyond the formula; 0 for people without one."""

    def labels(self, people: pd.DataFrame, factors: FloatArray, head: str) -> FloatArray:
        """Probabilities on the population's calibration, shape (n,), 0..1.

        Args:
            people: The people, whose T-scores may have been changed.
            factors: The yes/no factors to assume, shape (n, 6).
            head: Outcome.
        """
        margins = self.formula.margins(people, factors, head) + self.residual[head]
        ceiling = float(log_odds(self.formula.ceiling[head]))
        return probability(np.minimum(margins, ceiling))


def official_people(cohort: pd.DataFrame) -> pd.DataFrame:
    """Rows that carry official probabilities."""
    return cohort[cohort["official_major_if_fracture"].notna() & (cohort["weight"] > 0)]


def make_class(cohort: pd.DataFrame) -> Class:
    """Fit the formula to the official people and gather everyone it can speak for.

    Raises:
        CohortError: Nobody carries an official probability.
    """
    official = official_people(cohort).reset_index(drop=True)
    formula = fit_formula(official)
    others = cohort[
        (cohort["cycle"] != OFFICIAL_CYCLE)
        & (cohort["age_years"] >= MINIMUM_AGE_YEARS)
        & cohort["femoral_neck_t_score"].notna()
        & (cohort["weight"] > 0)
    ]
    people = pd.concat([official, others], ignore_index=True)
    silence = np.zeros(len(others))
    residual = {head: np.concatenate([formula.residual[head], silence]) for head in formula.residual}
    return Class(people=people, formula=formula, residual=residual)


def lessons(
    taught: Class, head: str, level: Level, *, repeats: int, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw the training rows of one booster.

    Args:
        taught: People and formula.
        head: Outcome.
        level: With or without bone density.
        repeats: Lessons a person.
        seed: Seed of what is turned and hidden.

    Returns:
        Matrix (n, k), probabilities (n,), weights (n,).
    """
    rng = np.random.default_rng(seed)
    names = FEATURES[level]
    factors = factor_matrix(taught.people)
    answered = taught.people[list(names)].to_numpy(dtype=np.float64)
    survey = taught.people["weight"].to_numpy(dtype=np.float64)
    mean = _mean_risk(taught.people, taught.labels(taught.people, factors, head))
    matrices, labels, weights = [], [], []
    for repeat in range(repeats):
        shown, people, assumed = answered, taught.people, factors
        if repeat > 0 and level is Level.WITH_DENSITY and repeat % 2 == 1:
            shown, people, assumed = _turn(answered, people, factors, names, rng)
        elif repeat > 0:
            shown = _hide(answered, names, rng)
        matrices.append(shown)
        labels.append(taught.labels(people, assumed, head))
        weights.append(survey / (_visible_risk(taught, people, head) if level is Level.WITH_DENSITY else mean))
    label, weight = np.concatenate(labels), np.concatenate(weights)
    # Curvature of the loss is weight * p * (1 - p): with a mean of 1, limits on leaves count in people.
    return np.vstack(matrices), label, weight / np.mean(weight * label * (1 - label))


def _turn(
    answered: FloatArray, people: pd.DataFrame, factors: FloatArray, names: tuple[str, ...], rng: np.random.Generator
) -> tuple[FloatArray, pd.DataFrame, FloatArray]:
    turned = rng.random(factors.shape) < _TURN_SHARE
    assumed = np.where(turned, 1.0 - factors, factors)
    columns = [names.index(factor) for factor in FACTORS]
    shown = answered.copy()
    shown[:, columns] = np.where(turned, assumed, shown[:, columns])
    drawn = rng.uniform(*_T_SCORES, size=len(people))
    shown[:, names.index("femoral_neck_t_score")] = drawn
    return shown, people.assign(femoral_neck_t_score=drawn), assumed


def _hide(answered: FloatArray, names: tuple[str, ...], rng: np.random.Generator) -> FloatArray:
    rate = rng.choice(_HIDE_RATES, size=len(answered))[:, None]
    hidden: npt.NDArray[np.bool_] = rng.random(answered.shape) < rate
    hidden[:, names.index("age_years")] = False
    hidden[:, names.index("female")] = rng.random(len(answered)) < _HIDE_SEX
    if "femoral_neck_t_score" in names:
        hidden[:, names.index("femoral_neck_t_score")] = False
    return np.where(hidden, np.nan, answered)


def _visible_risk(taught: Class, people: pd.DataFrame, head: str) -> FloatArray:
    """What the formula says of age, sex and bone density alone, shape (n,).

    The logistic loss cares for absolute error: a survey weight divided by the risk makes the trees hear people at low
    risk too. Averages over hidden answers keep their meaning, because the divisor rests on what is never hidden.
    """
    bare = people.assign(bmi_kg_m2=np.nan)
    margins = taught.formula.margins(bare, np.zeros((len(bare), len(FACTORS))), head)
    return np.maximum(probability(margins), _SMALLEST_RISK)


def _mean_risk(people: pd.DataFrame, label: FloatArray) -> FloatArray:
    """Mean probability of the person's age and sex, shape (n,): the divisor where bone density is hidden."""
    group = np.digitize(people["age_years"].to_numpy(), _AGE_EDGES) * 2 + (people["female"].to_numpy() == 1.0)
    group = group.astype(np.int64)
    survey = people["weight"].to_numpy(dtype=np.float64)
    mean = np.bincount(group, survey * label) / np.maximum(np.bincount(group, survey), np.finfo(float).tiny)
    return np.asarray(mean[group], dtype=np.float64)
