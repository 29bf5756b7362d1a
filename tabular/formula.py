"""A smooth formula fitted to the survey's official ten-year probabilities: the teacher of the boosted trees.

The survey publishes, for 3,127 people, the probability that a published ten-year tool computed from their answers. That
computation is a deterministic function, so a smooth formula reproduces it within about 2 %. The formula serves three
ends that the raw numbers cannot:

* **One calibration for all.** The published tool has separate US calibrations by ethnicity. `RiskFeatures` carries no
  ethnicity, so each official number is put on one calibration: the survey-weighted average of the population. Left
  alone, bone density and body mass would stand in for ethnicity.
* **Answers read as the record will give them.** The survey counted fewer than half of the reported parental hip
  fractures and just over half of the reported glucocorticoid courses (it asked for more than the public file holds:
  length of the course, osteoporosis of the parent). Whether an answer was counted can be read off the official number,
  because the step is large and the rest of the function is known. The trees are taught what the published tool says
  when the answer counts.
* **More people.** The same function applies to the people of the other survey cycles whose bone density was measured;
  they teach how risk factors and bone density go together when density is not known.

The form is ordinary ridge regression of the log-odds on age, sex, bone density, body mass and six yes/no factors with
their interactions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tabular.errors import CohortError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HEADS: tuple[str, ...] = ("major_osteoporotic", "hip")
"""The two outcomes."""
FACTORS: tuple[str, ...] = (
    "prior_fragility_fracture",
    "parental_hip_fracture",
    "current_smoker",
    "glucocorticoids",
    "rheumatoid_arthritis",
    "alcohol_3_or_more_units_per_day",
)
"""The yes/no factors of the published tool, in the order of the formula's columns."""

_OFFICIAL = {"major_osteoporotic": "official_major", "hip": "official_hip"}
_PRIOR, _PARENTAL, _STEROIDS = 0, 1, 3
_SMALLEST = 5e-5
"""Official numbers are rounded to 0.01 %; half of that stands for 0.00 %."""
_REFERENCE_BMI = 27.0
_TOO_ROUNDED = {"major_osteoporotic": _SMALLEST, "hip": 5e-4}
"""Official numbers up to here say little: rounding alone changes them by 10 % or more."""
_LARGEST_RESIDUAL = 0.5
_RIDGE = 1e-2
_ROUNDS = 4
_FIRST_GUESS = {"parental": 0.69, "steroids": 0.47}
"""Log-odds steps to start from: the published tables show factors of about 2.0 and 1.6."""


def log_odds(probability: npt.ArrayLike) -> FloatArray:
    """Log-odds of probabilities, held away from 0 and 1 by half the rounding of the official numbers."""
    held = np.clip(np.asarray(probability, dtype=np.float64), _SMALLEST, 1 - _SMALLEST)
    return np.asarray(np.log(held / (1 - held)), dtype=np.float64)


def probability(margin: npt.ArrayLike) -> FloatArray:
    """Inverse of `log_odds`."""
    exponential = np.exp(-np.asarray(margin, dtype=np.float64))
    return np.asarray(1.0 / (1.0 + exponential), dtype=np.float64)


def factor_matrix(people: pd.DataFrame) -> FloatArray:
    """The yes/no factors, shape (n, 6); an unknown answer counts as no, as the published tool counts it."""
    return np.asarray(np.nan_to_num(people[list(FACTORS)].to_numpy(dtype=np.float64)), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialFormula:
    """The fitted formula of both outcomes."""

    coefficients: Mapping[str, FloatArray]
    """By outcome: one coefficient a column of the design."""
    population_shift: Mapping[str, float]
    """By outcome: log-odds from the calibration for white people to that of the whole population."""
    ceiling: Mapping[str, float]
    """By outcome: the largest official probability; the formula is not trusted beyond it."""
    residual: Mapping[str, FloatArray]
    """By outcome: official log-odds less the formula's, one a person it was fitted on; 0 where rounding hides it."""
    counted_parental: int
    counted_glucocorticoids: int
    calibration_shares: tuple[float, float, float]
    """Survey-weighted shares of the three calibrations: white, Black, Hispanic and Asian."""

    def margins(self, people: pd.DataFrame, factors: FloatArray, head: str) -> FloatArray:
        """Log-odds on the population's calibration, shape (n,).

        Args:
            people: Cohort rows with a measured T-score.
            factors: The yes/no factors to assume, shape (n, 6).
            head: One of `HEADS`.
        """
        return _design(people, factors) @ self.coefficients[head] + self.population_shift[head]


def fit_formula(official: pd.DataFrame) -> OfficialFormula:
    """Fit the formula.

    Args:
        official: Cohort rows (see `tabular.cohort`) that all carry official probabilities and a T-score.

    Returns:
        The formula; its residuals are in the order of the rows.

    Raises:
        CohortError: No row carries an official probability (``risk.cohort.no_official``).
    """
    if official.empty:
        raise CohortError(
            "the survey file holds no official ten-year probabilities",
            remedy="Train on a file that includes the 2013-2014 cycle.",
            code="risk.cohort.no_official",
        )
    counted, calibration, coefficients, shifts = _read_answers(official)
    shares = np.bincount(calibration, weights=official["weight"].to_numpy(), minlength=3)
    shares = shares / shares.sum()
    all_coefficients, all_shifts, residual, population = {}, {}, {}, {}
    for head in HEADS:
        if head != "major_osteoporotic":
            coefficients, shifts = _regress(official, head, counted, calibration, np.ones(len(official), dtype=bool))
        all_coefficients[head], all_shifts[head] = coefficients, shifts
        population[head] = float(np.log((shares * np.exp(shifts)).sum()))
        actual = counted.copy()
        actual[:, _PRIOR] = np.nan_to_num(official["prior_fragility_fracture"].to_numpy())
        told = official[_OFFICIAL[head]].to_numpy()
        error = log_odds(told) - (_design(official, actual) @ coefficients + shifts[calibration])
        residual[head] = np.where(told > _TOO_ROUNDED[head], np.clip(error, -_LARGEST_RESIDUAL, _LARGEST_RESIDUAL), 0.0)
    return OfficialFormula(
        coefficients=all_coefficients,
        population_shift=population,
        ceiling={head: float(official[f"{_OFFICIAL[head]}_if_fracture"].max()) for head in HEADS},
        residual=residual,
        counted_parental=int(counted[:, _PARENTAL].sum()),
        counted_glucocorticoids=int(counted[:, _STEROIDS].sum()),
        calibration_shares=(float(shares[0]), float(shares[1]), float(shares[2])),
    )


def _read_answers(official: pd.DataFrame) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:
    """Which answers the survey counted and which calibration it used, by nearest official number.

    Returns:
        Factors as counted (n, 6); calibration (n,) 0 white, 1 Black, 2 Hispanic or Asian; coefficients and the three
        calibration shifts of the major osteoporotic outcome.
    """
    reported = factor_matrix(official)
    ethnicity = official["ethnicity"].to_numpy()
    mixed = ethnicity == 5  # Asian, multiracial and other people share one code
    calibration = np.select([ethnicity == 4, np.isin(ethnicity, (1, 2, 5))], [1, 2], 0).astype(np.int64)
    counted = reported.copy()
    plain = (reported[:, _PARENTAL] == 0) & (reported[:, _STEROIDS] == 0) & ~mixed
    told = log_odds(official["official_major_if_fracture"])
    for turn in range(_ROUNDS):
        first = turn == 0
        coefficients, shifts = _regress(official, "major_osteoporotic", counted, calibration, plain)
        best = np.full(len(official), np.inf)
        chosen, chosen_calibration = counted.copy(), calibration.copy()
        for parental in (0, 1):
            for steroids in (0, 1):
                allowed = (reported[:, _PARENTAL] >= parental) & (reported[:, _STEROIDS] >= steroids)
                trial = counted.copy()
                trial[:, _PRIOR] = 1.0
                trial[:, _PARENTAL] = 0 if first else parental
                trial[:, _STEROIDS] = 0 if first else steroids
                guess = parental * _FIRST_GUESS["parental"] + steroids * _FIRST_GUESS["steroids"] if first else 0.0
                fitted = _design(official, trial) @ coefficients + guess
                for kind in range(3):
                    possible = allowed & (mixed | (calibration == kind))
                    error = np.where(possible, np.abs(told - fitted - shifts[kind]), np.inf)
                    nearer = error < best
                    best = np.where(nearer, error, best)
                    chosen[nearer, _PARENTAL], chosen[nearer, _STEROIDS] = parental, steroids
                    chosen_calibration[nearer] = kind
        counted, calibration = chosen, chosen_calibration
        plain = np.ones(len(official), dtype=bool)
    coefficients, shifts = _regress(official, "major_osteoporotic", counted, calibration, plain)
    return counted, calibration, coefficients, shifts


def _regress(
    official: pd.DataFrame, head: str, counted: FloatArray, calibration: IntArray, use: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Ridge regression, then once more without gross outliers. People without a prior fracture teach both answers."""
    name = _OFFICIAL[head]
    use = use & official["bmi_kg_m2"].notna().to_numpy()
    groups = np.stack([calibration == 1, calibration == 2], axis=1).astype(np.float64)
    without = official[name].where(official["prior_fragility_fracture"] == 0.0).to_numpy()
    rows, targets = [], []
    for prior, told in ((1.0, official[f"{name}_if_fracture"].to_numpy()), (0.0, without)):
        factors = counted.copy()
        factors[:, _PRIOR] = prior
        keep = use & (np.nan_to_num(told) > _TOO_ROUNDED[head])
        rows.append(np.hstack([_design(official, factors), groups])[keep])
        targets.append(log_odds(told[keep]))
    x, y = np.vstack(rows), np.concatenate(targets)
    solution = _ridge(x, y)
    error = np.abs(y - x @ solution)
    near = error <= 6 * np.median(error)
    solution = _ridge(x[near], y[near])
    return solution[:-2], np.concatenate([[0.0], solution[-2:]])


def _ridge(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y), dtype=np.float64)


def _design(people: pd.DataFrame, factors: FloatArray) -> FloatArray:
    """Columns of the regression, shape (n, k)."""
    years = people["age_years"].to_numpy(dtype=np.float64)
    age = (years - 60) / 10
    oldest = (years >= 80).astype(np.float64)  # a group of many ages: a level of its own
    ramp = np.clip((years - 64) / 11, 0, 1)  # the effect of a parent's hip fracture on the hip rises between these ages
    sex = people["female"].to_numpy(dtype=np.float64) - 0.5
    t = np.clip(people["femoral_neck_t_score"].to_numpy(dtype=np.float64), -4.5, 4.0)
    bmi = people["bmi_kg_m2"].fillna(_REFERENCE_BMI).to_numpy(dtype=np.float64)
    b = (np.clip(bmi, 15, 45) - 27) / 5
    one = np.ones_like(age)
    columns = [one, sex, oldest, oldest * sex, oldest * t, oldest * sex * t]
    columns += [term for power in range(1, 6) for term in (age**power, sex * age**power)]
    for term in (t, t**2, *(np.maximum(0, knot - t) ** 2 for knot in (-3, -2, -1, 0, 1))):
        columns += [term, sex * term, term * age, sex * term * age, term * age**2, term * age**3]
    for term in (b, b**2, b**3):
        columns += [term, term * age, term * sex, term * t, term * age**2, term * t**2]
    for index in range(factors.shape[1]):
        f = factors[:, index]
        effects = [one, age, age**2, ramp, ramp * sex, ramp * t, sex, sex * age, sex * age**2]
        effects += [t, t * age, t**2, oldest, oldest * sex, *factors[:, :index].T]
        columns += [f * effect for effect in effects]
    return np.stack(columns, axis=1)
