"""What people alike would answer: the distribution of every input in the survey, given age, sex and body mass.

Survey-weighted figures of the US National Health and Nutrition Examination Survey 2005-2010 and 2013-2014 (people of 40
or more; the survey that taught the trees), computed with `measure` and kept here as numbers, so that an estimate needs
no survey file. They describe the US population of those years, not the reader's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pandas as pd

from tabular.features import RiskFeatures
from tabular.formula import FloatArray

Answers: TypeAlias = tuple[tuple[float, float], ...]
"""Pairs of a value (1 for yes, 0 for no) and its weight, by rising value; the weights add up to 1."""

YES_NO: tuple[str, ...] = (
    "prior_fragility_fracture",
    "parental_hip_fracture",
    "current_smoker",
    "glucocorticoids",
    "rheumatoid_arthritis",
    "alcohol_3_or_more_units_per_day",
    "osteoporosis_diagnosed",
)
_BANDS: tuple[int, ...] = (40, 60, 80)
"""First year of each age band; the last is open."""
_T_STEP, _BMI_GRID = 0.5, (20.0, 23.0, 26.0, 29.0, 32.0, 36.0, 40.0)
_Z_90 = 1.6449
"""Standard deviations from the middle to the 5th and the 95th percentile."""
_MIDDLE_AGE, _MIDDLE_BMI = 60.0, 27.0
_BMI_HELD = (15.0, 45.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """What was measured in the survey for one sex."""

    t_score: tuple[float, float, float, float, float]
    """Femoral neck T-score: at 60 years and 27 kg/m2, per ten years, per kg/m2, with a diagnosis of osteoporosis, and
    the standard deviation around these."""
    log_bmi: Mapping[int, tuple[float, float]]
    """By age band: mean and standard deviation of the natural logarithm of the body mass index in kg/m2."""
    yes: Mapping[str, tuple[float, float, float]]
    """Share of yes, 0..1, in each age band."""


POPULATIONS: Mapping[bool, Population] = {
    True: Population(
        t_score=(-0.968, -0.385, 0.071, -0.472, 0.918),
        log_bmi={40: (3.35, 0.245), 60: (3.358, 0.226), 80: (3.271, 0.178)},
        yes={
            "prior_fragility_fracture": (0.276, 0.384, 0.424),
            "parental_hip_fracture": (0.084, 0.135, 0.132),
            "current_smoker": (0.222, 0.126, 0.023),
            "glucocorticoids": (0.07, 0.086, 0.071),
            "rheumatoid_arthritis": (0.055, 0.101, 0.105),
            "alcohol_3_or_more_units_per_day": (0.012, 0.007, 0.003),
            "osteoporosis_diagnosed": (0.063, 0.215, 0.32),
        },
    ),
    False: Population(
        t_score=(-0.439, -0.261, 0.074, -0.438, 1.013),
        log_bmi={40: (3.357, 0.188), 60: (3.357, 0.186), 80: (3.278, 0.155)},
        yes={
            "prior_fragility_fracture": (0.342, 0.379, 0.353),
            "parental_hip_fracture": (0.07, 0.13, 0.092),
            "current_smoker": (0.252, 0.135, 0.033),
            "glucocorticoids": (0.041, 0.061, 0.076),
            "rheumatoid_arthritis": (0.039, 0.077, 0.078),
            "alcohol_3_or_more_units_per_day": (0.06, 0.051, 0.011),
            "osteoporosis_diagnosed": (0.013, 0.034, 0.047),
        },
    ),
}
"""By sex, True for women."""

FEMALE_SHARE: tuple[float, float, float] = (0.512, 0.539, 0.627)
"""Share of women in each age band."""


def answers_for(feature: str, person: RiskFeatures) -> Answers:
    """Plausible answers of people alike.

    Args:
        feature: A column of `tabular.model.ALL_FEATURES` other than the age.
        person: Age known; with sex unknown, both sexes by their shares.
    """
    if feature == "female":
        share = FEMALE_SHARE[_band(person)]
        return ((0.0, 1 - share), (1.0, share))
    if feature in YES_NO:
        share = sum(weight * POPULATIONS[sex].yes[feature][_band(person)] for sex, weight in _sexes(person))
        return ((0.0, 1 - share), (1.0, share))
    if feature == "bmi_kg_m2":
        return _body_mass(person)
    return _t_scores(person)


def _band(person: RiskFeatures) -> int:
    return sum((person.age_years or 0.0) >= start for start in _BANDS[1:])


def _sexes(person: RiskFeatures) -> tuple[tuple[bool, float], ...]:
    if person.female is not None:
        return ((person.female, 1.0),)
    share = FEMALE_SHARE[_band(person)]
    return ((True, share), (False, 1 - share))


def _body_mass(person: RiskFeatures) -> Answers:
    logs = [(weight, *POPULATIONS[sex].log_bmi[_BANDS[_band(person)]]) for sex, weight in _sexes(person)]
    edges = [math.log((low + high) / 2) for low, high in pairwise(_BMI_GRID)]
    return _shares(_BMI_GRID, edges, logs)


def _t_scores(person: RiskFeatures) -> Answers:
    """From the 5th to the 95th percentile in half units; the outermost stand for the tails as well."""
    normals = []
    bmi = _MIDDLE_BMI if person.bmi_kg_m2 is None else min(max(person.bmi_kg_m2, _BMI_HELD[0]), _BMI_HELD[1])
    for sex, weight in _sexes(person):
        start, per_decade, per_bmi, diagnosed, deviation = POPULATIONS[sex].t_score
        mean = start + per_decade * (min(person.age_years or _MIDDLE_AGE, 80.0) - _MIDDLE_AGE) / 10
        mean += per_bmi * (bmi - _MIDDLE_BMI) + diagnosed * bool(person.osteoporosis_diagnosed)
        if person.bmi_kg_m2 is None:  # the spread of body mass adds to that of bone density
            middle, spread = POPULATIONS[sex].log_bmi[_BANDS[_band(person)]]
            deviation = math.hypot(deviation, per_bmi * math.exp(middle) * spread)
        normals.append((weight, mean, deviation))
    low = min(round((mean - _Z_90 * deviation) / _T_STEP) for _, mean, deviation in normals)
    high = max(round((mean + _Z_90 * deviation) / _T_STEP) for _, mean, deviation in normals)
    grid = tuple(_T_STEP * step for step in range(low, high + 1))
    return _shares(grid, [value + _T_STEP / 2 for value in grid[:-1]], normals)


def _shares(grid: tuple[float, ...], edges: list[float], normals: list[tuple[float, float, float]]) -> Answers:
    """Mass of a mixture of (weight, mean, standard deviation) between the edges, one share a point of the grid."""

    def mass_below(edge: float) -> float:
        return sum(
            weight * 0.5 * (1 + math.erf((edge - mean) / (deviation * math.sqrt(2))))
            for weight, mean, deviation in normals
        )

    below = [mass_below(edge) for edge in edges]
    ends = [0.0, *below, 1.0]
    return tuple((value, ends[place + 1] - ends[place]) for place, value in enumerate(grid))


def measure(cohort: pd.DataFrame) -> tuple[dict[bool, Population], tuple[float, ...]]:
    """Compute `POPULATIONS` and `FEMALE_SHARE` anew.

    Args:
        cohort: See `tabular.cohort.read_survey`.

    Returns:
        By sex (True for women), and the share of women in each age band; rounded as they are kept.
    """
    people = cohort[(cohort["age_years"] >= _BANDS[0]) & (cohort["weight"] > 0)]
    band = np.digitize(people["age_years"], _BANDS[1:])
    populations = {}
    for sex in (True, False):
        own = people["female"] == float(sex)
        bands = [people[own & (band == place)] for place in range(len(_BANDS))]
        yes = {name: tuple(round(_mean(group, name)[0], 3) for group in bands) for name in YES_NO}
        logs = [_rounded(_mean(group.assign(log=np.log(group["bmi_kg_m2"])), "log")) for group in bands]
        populations[sex] = Population(
            t_score=_regress(people[own]),
            log_bmi=dict(zip(_BANDS, logs, strict=True)),
            yes={name: (shares[0], shares[1], shares[2]) for name, shares in yes.items()},
        )
    women = tuple(round(_mean(people[band == place], "female")[0], 3) for place in range(len(_BANDS)))
    return populations, women


def _mean(group: pd.DataFrame, name: str) -> tuple[float, float]:
    """Survey-weighted mean and standard deviation of those who answered."""
    known = group[group[name].notna()]
    mean = float(np.average(known[name], weights=known["weight"]))
    return mean, math.sqrt(float(np.average((known[name] - mean) ** 2, weights=known["weight"])))


def _rounded(pair: tuple[float, float]) -> tuple[float, float]:
    return round(pair[0], 3), round(pair[1], 3)


def _regress(people: pd.DataFrame) -> tuple[float, float, float, float, float]:
    """Weighted least squares of the T-score."""
    known = people[people["femoral_neck_t_score"].notna() & people["bmi_kg_m2"].notna()]
    weight: FloatArray = known["weight"].to_numpy(dtype=np.float64)
    told: FloatArray = known["femoral_neck_t_score"].to_numpy(dtype=np.float64)
    columns = (
        np.ones(len(known)),
        (known["age_years"].to_numpy(dtype=np.float64) - _MIDDLE_AGE) / 10,
        known["bmi_kg_m2"].clip(*_BMI_HELD).to_numpy(dtype=np.float64) - _MIDDLE_BMI,
        known["osteoporosis_diagnosed"].fillna(0.0).to_numpy(dtype=np.float64),
    )
    x, root = np.stack(columns, axis=1), np.sqrt(weight)
    solution = np.linalg.lstsq(x * root[:, None], told * root, rcond=None)[0]
    spread = math.sqrt(float(np.average((told - x @ solution) ** 2, weights=weight)))
    start, per_decade, per_bmi, diagnosed = (round(float(item), 3) for item in solution)
    return start, per_decade, per_bmi, diagnosed, round(spread, 3)
