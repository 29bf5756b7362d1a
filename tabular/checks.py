"""One person's row made fit for the model: what cannot be judged is refused, what cannot be true is set aside."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from tabular.calibration import PATTERN_FEATURES, pattern_of
from tabular.cohort import TOP_CODED_AGE_YEARS
from tabular.comorbidities import COMORBIDITIES
from tabular.errors import AgeBelowModelError, AgeMissingError
from tabular.features import RiskFeatures
from tabular.formula import FloatArray
from tabular.model import ALL_FEATURES, FEATURES, Level
from tabular.teaching import MINIMUM_AGE_YEARS

_OLDEST_PUBLISHED_YEARS = 90
_SEVERAL_COMORBIDITIES = 3
PLAUSIBLE: dict[str, tuple[float, float]] = {
    "bmi_kg_m2": (10.0, 80.0),
    "weight_kg": (20.0, 400.0),
    "height_cm": (90.0, 250.0),
    "femoral_neck_t_score": (-8.0, 8.0),
}
"""Values outside are errors of unit or of typing, and count as not known."""
TAUGHT_BMI = (15.0, 45.0)
"""Body mass indices that the official probabilities span; beyond them the estimate is that of the nearest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One person as the model reads them."""

    features: RiskFeatures
    values: tuple[float, ...]
    """Columns of `ALL_FEATURES`, NaN where not known; the age is held at the survey's top code."""
    level: Level
    pattern: str
    """Name of the pattern of information; see `tabular.calibration`."""
    missing: tuple[str, ...]
    warnings: tuple[str, ...]


def prepare(features: RiskFeatures) -> Row:
    """Refuse what cannot be judged, set aside what cannot be true, and derive what follows from the rest.

    Raises:
        AgeMissingError: Age is not known.
        AgeBelowModelError: Younger than 40 years.
    """
    checked, warnings = _check(features)
    values = values_of(checked)
    unknown = tuple(value != value for value in values)
    level, missing, known = _information(unknown)
    if len(missing) > len(FEATURES[level]) / 2:
        warnings.append("risk.inputs.few")
    return Row(
        features=checked,
        values=values,
        level=level,
        pattern=_pattern(level is Level.WITH_DENSITY, known, values[0]),
        missing=missing,
        warnings=tuple(warnings),
    )


def values_of(person: RiskFeatures) -> tuple[float, ...]:
    """Columns of `ALL_FEATURES`: age held at 80, NaN for None. The age must be known; nothing else is checked."""
    values = [math.nan if (value := getattr(person, name)) is None else float(value) for name in ALL_FEATURES]
    values[0] = min(values[0], float(TOP_CODED_AGE_YEARS))
    return tuple(values)


def matrix_of(people: list[RiskFeatures]) -> FloatArray:
    """Rows of `RiskFeatures` as the model's matrix, shape (n, 11): ages held at 80, NaN for None.

    Ages must be known; nothing else is checked or derived here.
    """
    rows = [values_of(person) for person in people]
    return np.array(rows, dtype=np.float64).reshape(len(people), len(ALL_FEATURES))


@lru_cache(maxsize=4096)
def _information(unknown: tuple[bool, ...]) -> tuple[Level, tuple[str, ...], int]:
    """Level, what the model would have used and did not get, and how many of `PATTERN_FEATURES` are known.

    Args:
        unknown: One flag a column of `ALL_FEATURES`.
    """
    by_name = dict(zip(ALL_FEATURES, unknown, strict=True))
    measured = not by_name["femoral_neck_t_score"]
    missing = tuple(
        # a diagnosis is not needed beside a measurement
        name
        for name in ALL_FEATURES
        if by_name[name] and not (measured and name == "osteoporosis_diagnosed")
    )
    known = sum(not by_name[name] for name in PATTERN_FEATURES)
    return (Level.WITH_DENSITY if measured else Level.WITHOUT_DENSITY), missing, known


@lru_cache(maxsize=4096)
def _pattern(measured: bool, known: int, age_years: float) -> str:
    return pattern_of(t_score_known=measured, known=known, age_years=age_years)


def _check(features: RiskFeatures) -> tuple[RiskFeatures, list[str]]:
    age = features.age_years
    if age is None or math.isnan(age):
        raise AgeMissingError
    if age < MINIMUM_AGE_YEARS:
        raise AgeBelowModelError(MINIMUM_AGE_YEARS)
    warnings = []
    for name, (lowest, highest) in PLAUSIBLE.items():
        value = getattr(features, name)
        if value is not None and not lowest <= value <= highest:
            features = replace(features, **{name: None})
            warnings.append(f"risk.value.implausible:{name}")
    if features.bmi_kg_m2 is None and features.weight_kg is not None and features.height_cm is not None:
        derived = features.weight_kg / (features.height_cm / 100) ** 2
        lowest, highest = PLAUSIBLE["bmi_kg_m2"]
        if lowest <= derived <= highest:
            features = replace(features, bmi_kg_m2=derived)
            warnings.append("risk.bmi.derived")
    if features.recent_fracture_2y and not features.prior_fragility_fracture:
        features = replace(features, prior_fragility_fracture=True)
        warnings.append("risk.prior_fracture.from_recent")
    warnings += _notes(features, age)
    return features, warnings


def _notes(features: RiskFeatures, age: float) -> list[str]:
    """What the reader should know of the person's place in the model."""
    notes = []
    if age > _OLDEST_PUBLISHED_YEARS:
        notes.append("risk.age.above_model")
    elif age >= TOP_CODED_AGE_YEARS:
        notes.append("risk.age.top_coded")
    if features.female is None:
        notes.append("risk.sex.missing")
    if features.bmi_kg_m2 is not None and not TAUGHT_BMI[0] <= features.bmi_kg_m2 <= TAUGHT_BMI[1]:
        notes.append("risk.bmi.beyond_taught")
    if features.femoral_neck_t_score is None:
        notes.append("risk.bone_density.missing")
    elif features.secondary_osteoporosis and not features.diabetes_type_1:
        notes.append("risk.secondary_osteoporosis.in_t_score")
    if sum(getattr(features, field) is True for field in COMORBIDITIES) >= _SEVERAL_COMORBIDITIES:
        notes.append("risk.comorbidities.several")
    if features.diabetes_type_1 and features.diabetes_type_2:
        notes.append("risk.diabetes.both_types")
    return notes
