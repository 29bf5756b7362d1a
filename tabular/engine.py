"""One person's row in, `RiskEstimate` out."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tabular.calibration import PATTERN_FEATURES, pattern_of
from tabular.cohort import TOP_CODED_AGE_YEARS
from tabular.errors import AgeBelowModelError, AgeMissingError
from tabular.explain import explain
from tabular.features import RiskFeatures
from tabular.formula import HEADS, FloatArray, probability
from tabular.model import ALL_FEATURES, DEFAULT_DIRECTORY, FEATURES, Level, RiskModel, load_model
from tabular.relative_risks import adjustments_for, apply_to
from tabular.results import FractureProbability, RiskEstimate
from tabular.teaching import MINIMUM_AGE_YEARS

HORIZON_YEARS = 10.0
_OLDEST_PUBLISHED_YEARS = 90
_PLAUSIBLE: dict[str, tuple[float, float]] = {
    "bmi_kg_m2": (10.0, 80.0),
    "weight_kg": (20.0, 400.0),
    "height_cm": (90.0, 250.0),
    "femoral_neck_t_score": (-8.0, 8.0),
}
"""Values outside are errors of unit or of typing, and count as not known."""


class RiskEngine:
    """Estimates ten-year fracture probabilities. Safe to share between threads: it keeps no state between calls."""

    def __init__(self, model: RiskModel) -> None:
        self._model = model

    @classmethod
    def load(cls, directory: Path | None = None) -> "RiskEngine":
        """Load a model and check its digests.

        Args:
            directory: Folder with ``manifest.json``; None for the weights that ship with the package.

        Raises:
            WeightsMissingError: A file is not there.
            WeightsDigestError: A file is not the one the manifest names.
            ManifestError: The manifest cannot be used.
        """
        return cls(load_model(directory or DEFAULT_DIRECTORY))

    @property
    def model_id(self) -> str:
        """Name, version and digest prefix of the model in use."""
        return self._model.model_id

    def estimate(self, features: RiskFeatures) -> RiskEstimate:
        """Estimate both ten-year probabilities.

        Args:
            features: One person; None for what is not known.

        Returns:
            Probabilities with intervals, explanations, cited adjustments, what was missing, and warnings.

        Raises:
            AgeMissingError: Age is not known.
            AgeBelowModelError: Younger than 40 years.
        """
        checked, warnings = _check(features)
        row = matrix_of([checked])
        measured = checked.femoral_neck_t_score is not None
        level = Level.WITH_DENSITY if measured else Level.WITHOUT_DENSITY
        missing = tuple(name for name in ALL_FEATURES if _is_missing(checked, name, measured=measured))
        if len(missing) > len(FEATURES[level]) / 2:
            warnings.append("risk.inputs.few")
        known = sum(getattr(checked, name) is not None for name in PATTERN_FEATURES)
        pattern = pattern_of(t_score_known=measured, known=known, age_years=float(row[0, 0]))
        major, hip = (self._outcome(head, level, row, pattern, checked) for head in HEADS)
        if hip.value > major.value:
            major = replace(major, value=hip.value, high=max(major.high, hip.value))
            warnings.append("risk.major.raised_to_hip")
        return RiskEstimate(
            model_id=self._model.model_id,
            model_validation=self._model.manifest["validation"],
            major_osteoporotic=major,
            hip=hip,
            interval_meaning=self._model.manifest["interval_meaning"],
            missing=missing,
            warnings=tuple(warnings),
        )

    def estimate_margins(self, matrix: FloatArray, head: str) -> FloatArray:
        """Log-odds of many people at once, before any cited adjustment.

        Args:
            matrix: Columns of `tabular.model.ALL_FEATURES`, shape (n, 11), NaN where not known; ages 40 or more.
            head: ``major_osteoporotic`` or ``hip``.

        Returns:
            Shape (n,).
        """
        held = matrix.copy()
        held[:, 0] = np.minimum(held[:, 0], TOP_CODED_AGE_YEARS)
        return self._model.margins(held, head)

    def _outcome(
        self, head: str, level: Level, row: FloatArray, pattern: str, features: RiskFeatures
    ) -> FractureProbability:
        base, contributions = explain(self._model.boosters[head, level], row, level)
        margin = base + sum(item.log_odds for item in contributions)
        ends = (margin, *self._model.intervals.bounds(head, pattern, margin))
        value, low, high = (float(item) for item in probability(np.array(ends)))
        adjustments = adjustments_for(features, head)
        return FractureProbability(
            outcome=head,
            value=apply_to(value, adjustments),
            low=apply_to(low, adjustments),
            high=apply_to(high, adjustments),
            horizon_years=HORIZON_YEARS,
            base_log_odds=base,
            contributions=contributions,
            model_value=value,
            adjustments=adjustments,
        )


def matrix_of(people: list[RiskFeatures]) -> FloatArray:
    """Rows of `RiskFeatures` as the model's matrix, shape (n, 11): ages held at 80, NaN for None.

    Ages must be known; nothing else is checked or derived here.
    """
    rows = [[_number(getattr(person, name)) for name in ALL_FEATURES] for person in people]
    matrix = np.array(rows, dtype=np.float64).reshape(len(people), len(ALL_FEATURES))
    matrix[:, 0] = np.minimum(matrix[:, 0], TOP_CODED_AGE_YEARS)
    return matrix


def _number(value: float | bool | None) -> float:
    return float("nan") if value is None else float(value)


def _is_missing(features: RiskFeatures, name: str, *, measured: bool) -> bool:
    """Whether the model would have used a field it did not get; a diagnosis is not needed beside a measurement."""
    return getattr(features, name) is None and not (measured and name == "osteoporosis_diagnosed")


def _check(features: RiskFeatures) -> tuple[RiskFeatures, list[str]]:
    """Refuse what cannot be judged, set aside what cannot be true, and derive what follows from the rest."""
    age = features.age_years
    if age is None or np.isnan(age):
        raise AgeMissingError
    if age < MINIMUM_AGE_YEARS:
        raise AgeBelowModelError(MINIMUM_AGE_YEARS)
    warnings = []
    for name, (lowest, highest) in _PLAUSIBLE.items():
        value = getattr(features, name)
        if value is not None and not lowest <= value <= highest:
            features = replace(features, **{name: None})
            warnings.append(f"risk.value.implausible:{name}")
    if features.bmi_kg_m2 is None and features.weight_kg is not None and features.height_cm is not None:
        derived = features.weight_kg / (features.height_cm / 100) ** 2
        lowest, highest = _PLAUSIBLE["bmi_kg_m2"]
        if lowest <= derived <= highest:
            features = replace(features, bmi_kg_m2=derived)
            warnings.append("risk.bmi.derived")
    if features.recent_fracture_2y and not features.prior_fragility_fracture:
        features = replace(features, prior_fragility_fracture=True)
        warnings.append("risk.prior_fracture.from_recent")
    if age > _OLDEST_PUBLISHED_YEARS:
        warnings.append("risk.age.above_model")
    elif age >= TOP_CODED_AGE_YEARS:
        warnings.append("risk.age.top_coded")
    if features.female is None:
        warnings.append("risk.sex.missing")
    if features.femoral_neck_t_score is None:
        warnings.append("risk.bone_density.missing")
    elif features.secondary_osteoporosis and not features.diabetes_type_1:
        warnings.append("risk.secondary_osteoporosis.in_t_score")
    if features.diabetes_type_1 and features.diabetes_type_2:
        warnings.append("risk.diabetes.both_types")
    return features, warnings
