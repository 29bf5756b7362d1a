"""Osteoporosis that nobody has looked for: who should be sent for a bone density scan.

The outcome is a femoral neck T-score of -2.5 or lower (reference: young white women of NHANES III) in people of 40 or
more who were never told that they have osteoporosis. A diagnosis, treatment and bone density itself are no inputs:
they follow from the outcome, or are it. Boosted trees with monotone constraints; missing answers are the trees' own
business, after a random part of the answers was hidden while they learned.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost as xgb

from tabular.cohort import TOP_CODED_AGE_YEARS
from tabular.errors import ManifestError
from tabular.features import RiskFeatures
from tabular.formula import FloatArray, probability
from tabular.results import Contribution, DxaThreshold, OsteoporosisEstimate
from tabular.tree_shap import explainer_of

BOOSTER_NAME = "osteoporosis.ubj"
FIGURES_NAME = "osteoporosis.json"
T_SCORE_LIMIT = -2.5
"""Osteoporosis at the femoral neck: this T-score or lower."""

MONOTONE: Mapping[str, int] = {
    "age_years": 1,
    "female": 1,  # one reference for both sexes, and women have the thinner bones at every age
    "weight_kg": -1,
    "height_cm": 0,
    "bmi_kg_m2": -1,
    "prior_fragility_fracture": 1,
    "parental_hip_fracture": 1,
    "current_smoker": 1,
    "glucocorticoids": 1,
    "rheumatoid_arthritis": 1,
    "alcohol_3_or_more_units_per_day": 1,
}
"""Inputs in the order of the trees, and the direction each may move the probability: 1 up, -1 down, 0 free."""
FEATURES: tuple[str, ...] = tuple(MONOTONE)
_LABELS = {"weight_kg": "Body weight", "height_cm": "Body height"}
_Z = 1.6449
"""Normal quantile of a two-sided 90 % interval."""
_ALL, _MOST, _FEW = "all_known", "most_known", "few_known"
_ENOUGH_KNOWN = 7


class Answer(NamedTuple):
    """An estimate, or the code of `tabular.warnings.REASONS` that says why there is none."""

    estimate: OsteoporosisEstimate | None
    absent: str | None


def information(known: int) -> str:
    """Name of the pattern of information.

    Args:
        known: How many of the inputs other than the age are known, 0..10.
    """
    return _ALL if known == len(FEATURES) - 1 else _MOST if known >= _ENOUGH_KNOWN else _FEW


@dataclass(frozen=True, slots=True, kw_only=True)
class OsteoporosisFigures:
    """What was measured in cross-fitting and is needed to speak of one person."""

    thresholds: tuple[DxaThreshold, DxaThreshold]
    gaps: Mapping[str, tuple[float, float]]
    """By pattern of information: log-odds from our answer to the ends that hold 90 % of the answers that the same
    people got with nothing hidden."""
    covariance: tuple[float, float, float]
    """Sampling variance of the calibration's shift, covariance, and variance of its slope."""
    validation: str
    interval_meaning: str

    def bounds(self, margins: FloatArray, known: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Log-odds of the interval's ends, each of shape (n,)."""
        shift, both, slope = self.covariance
        error = _Z * np.sqrt(np.maximum(0.0, shift + 2 * margins * both + margins**2 * slope))
        gaps = np.array([self.gaps[information(count)] for count in known]).reshape(len(margins), 2)
        return margins - np.hypot(gaps[:, 0], error), margins + np.hypot(gaps[:, 1], error)

    def to_json(self) -> dict[str, Any]:
        """Plain content for a JSON file."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "OsteoporosisFigures":
        """Inverse of `to_json`.

        Raises:
            ManifestError: The content is of another form.
        """
        try:
            sensitive, specific = (
                DxaThreshold(**{field.name: each[field.name] for field in fields(DxaThreshold)})
                for each in content["thresholds"]
            )
            shift, both, slope = (float(item) for item in content["covariance"])
            gaps = {name: (float(low), float(high)) for name, (low, high) in content["gaps"].items()}
            if set(gaps) != {_ALL, _MOST, _FEW}:
                raise ManifestError(f"{FIGURES_NAME} does not cover every pattern of information")
            return OsteoporosisFigures(
                thresholds=(sensitive, specific),
                gaps=gaps,
                covariance=(shift, both, slope),
                validation=str(content["validation"]),
                interval_meaning=str(content["interval_meaning"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ManifestError(f"{FIGURES_NAME} is of another form") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class OsteoporosisModel:
    """The trees and their figures."""

    booster: xgb.Booster
    figures: OsteoporosisFigures

    @staticmethod
    def load(directory: Path) -> "OsteoporosisModel":
        """Read both files; digests are checked by `tabular.model.load_model`.

        Raises:
            ManifestError: A file is not of the form that this release writes.
        """
        booster = xgb.Booster({"nthread": 1})
        booster.load_model(directory / BOOSTER_NAME)
        try:
            content = json.loads((directory / FIGURES_NAME).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ManifestError(f"{FIGURES_NAME} is not JSON") from error
        if booster.num_features() != len(FEATURES):
            raise ManifestError(f"{BOOSTER_NAME} reads other inputs than this release")
        return OsteoporosisModel(booster=booster, figures=OsteoporosisFigures.from_json(content))

    def save(self, directory: Path) -> None:
        """Write both files."""
        self.booster.save_model(directory / BOOSTER_NAME)
        text = json.dumps(self.figures.to_json(), indent=1, ensure_ascii=False) + "\n"
        (directory / FIGURES_NAME).write_text(text, encoding="utf-8")

    def margins(self, matrix: FloatArray) -> FloatArray:
        """Log-odds of many people.

        Args:
            matrix: Columns of `FEATURES`, shape (n, 11), NaN where not known; ages held at 80.

        Returns:
            Shape (n,).
        """
        data = xgb.DMatrix(matrix, nthread=1)
        return self.booster.predict(data, output_margin=True, validate_features=False).astype(np.float64)

    def estimate_many(self, people: Sequence[RiskFeatures], *, explain: bool = True) -> list[Answer]:
        """Estimate everyone whose bone density is not known and who has no diagnosis, with one prediction.

        Args:
            people: Rows of 40 years or more whose implausible values were set aside.
            explain: Whether to tell what moved each probability; without, the base is the whole log-odds.

        Returns:
            In the order of `people`.
        """
        answers = [Answer(None, absence(person)) for person in people]
        places = [place for place, answer in enumerate(answers) if answer.absent is None]
        if not places:
            return answers
        matrix = matrix_of([people[place] for place in places])
        margins = self.margins(matrix)
        known = (~np.isnan(matrix[:, 1:])).sum(axis=1).tolist()
        low, high = (probability(end).tolist() for end in self.figures.bounds(margins, known))
        values = probability(margins).tolist()
        bases, contributions = self._explained(matrix, margins) if explain else (margins, [()] * len(places))
        for index, place in enumerate(places):
            estimate = OsteoporosisEstimate(
                value=values[index],
                low=low[index],
                high=high[index],
                base_log_odds=float(bases[index]),
                contributions=contributions[index],
                thresholds=self.figures.thresholds,
                validation=self.figures.validation,
                interval_meaning=self.figures.interval_meaning,
            )
            answers[place] = Answer(estimate, None)
        return answers

    def _explained(self, matrix: FloatArray, margins: FloatArray) -> tuple[FloatArray, list[tuple[Contribution, ...]]]:
        """Bases and exact TreeSHAP values; what single precision leaves goes to the largest contribution."""
        from tabular.explain import LABELS  # reads `tabular.model`, which reads this module

        explainer = explainer_of(self.booster)
        values = explainer.values(matrix)
        bases = np.full(len(values), explainer.base_log_odds)
        total = bases.copy()
        for column in range(values.shape[1]):
            total += values[:, column]
        values[np.arange(len(values)), np.abs(values).argmax(axis=1)] += margins - total
        ranked = np.argsort(-np.abs(values), axis=1, kind="stable").tolist()
        labels = LABELS | _LABELS
        contributions = [
            tuple(
                Contribution(
                    feature=FEATURES[place],
                    label=labels[FEATURES[place]],
                    value=None if seen[place] != seen[place] else seen[place],
                    log_odds=moved[place],
                )
                for place in order
            )
            for order, moved, seen in zip(ranked, values.tolist(), matrix.tolist(), strict=True)
        ]
        return bases, contributions


def absence(person: RiskFeatures) -> str | None:
    """Why there is nothing to estimate, or None."""
    if person.osteoporosis_diagnosed:
        return "risk.osteoporosis.already_diagnosed"
    if person.femoral_neck_t_score is not None:
        return "risk.osteoporosis.t_score_known"
    return None


def matrix_of(people: Sequence[RiskFeatures]) -> FloatArray:
    """Rows as the trees read them, shape (n, 11): ages held at 80, NaN for None. Ages must be known."""
    rows = [
        [np.nan if (value := getattr(person, name)) is None else float(value) for name in FEATURES] for person in people
    ]
    matrix = np.array(rows, dtype=np.float64).reshape(len(people), len(FEATURES))
    matrix[:, 0] = np.minimum(matrix[:, 0], TOP_CODED_AGE_YEARS)
    return matrix
