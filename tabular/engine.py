"""People's rows in, `RiskEstimate` out: one at a time or many at once, with the same numbers."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tabular.anchoring import RiskAnchor, read_anchor
from tabular.checks import Row, matrix_of, prepare
from tabular.cohort import TOP_CODED_AGE_YEARS
from tabular.errors import TabularError
from tabular.explain import explain_rows, unexplained
from tabular.features import RiskFeatures
from tabular.formula import HEADS, FloatArray, probability
from tabular.model import DEFAULT_DIRECTORY, Level, RiskModel, as_dmatrix, load_model
from tabular.relative_risks import adjustments_for, apply_to
from tabular.results import FractureProbability, RiskEstimate
from tabular.tree_shap import TreeExplainer
from tabular.what_if import questions_for, supposed, with_changes

__all__ = ["HORIZON_YEARS", "RiskEngine", "matrix_of"]

HORIZON_YEARS = 10.0


class RiskEngine:
    """Estimates ten-year fracture probabilities.

    Safe to share between threads: what it keeps between calls follows from the model alone.
    """

    def __init__(self, model: RiskModel, *, anchor: RiskAnchor | None = None) -> None:
        self._model = model
        self._anchor = anchor
        self._explainers: dict[tuple[str, Level], TreeExplainer] = {}

    @classmethod
    def load(cls, directory: Path | None = None, *, anchor: Path | None = None) -> "RiskEngine":
        """Load a model and check its digests.

        Args:
            directory: Folder with ``manifest.json``; None for the weights that ship with the package.
            anchor: Table of a population's mean risk to move the probabilities to (see `tabular.anchoring`); None to
                stay with the US survey's.

        Raises:
            WeightsMissingError: A file is not there.
            WeightsDigestError: A file is not the one the manifest names.
            ManifestError: The manifest cannot be used.
            AnchorError: The table cannot be used.
        """
        model = load_model(directory or DEFAULT_DIRECTORY)
        return cls(model, anchor=None if anchor is None else read_anchor(anchor, model.reference))

    @property
    def model_id(self) -> str:
        """Name, version and digest prefix of the model in use."""
        return self._model.model_id

    def estimate(self, features: RiskFeatures) -> RiskEstimate:
        """Estimate both ten-year probabilities.

        Args:
            features: One person; None for what is not known.

        Returns:
            Probabilities with intervals, explanations, cited adjustments, what would change them, what was missing, and
            warnings.

        Raises:
            AgeMissingError: Age is not known.
            AgeBelowModelError: Younger than 40 years.
        """
        (told,) = self.estimate_many([features], what_if=True)
        if isinstance(told, TabularError):
            raise told
        return told

    def estimate_many(
        self,
        rows: Sequence[RiskFeatures],
        *,
        explain: bool | Collection[str] = True,
        what_if: bool = False,
        screen: bool = True,
    ) -> list[RiskEstimate | TabularError]:
        """Estimate many people with one prediction a booster; each as `estimate` would alone, to the last bit.

        Args:
            rows: People; None for what is not known.
            explain: Whether to tell what moved each probability, or the outcomes of `HEADS` of which to tell it.
                Without, `FractureProbability.contributions` is empty, `FractureProbability.base_log_odds` is the whole
                margin, and nothing else changes.
            what_if: Whether to tell what would change each probability, which takes some 30 more predictions a person.
                Without, `FractureProbability.would_change` is empty.
            screen: Whether to tell how likely undiagnosed osteoporosis is, one more prediction for all. Without,
                `RiskEstimate.undiagnosed_osteoporosis` is None.

        Returns:
            In the order of `rows`: the estimate, or the error that `estimate` would have raised.
        """
        heads = (HEADS if explain else ()) if isinstance(explain, bool) else explain
        prepared = [_prepared(features) for features in rows]
        fit = [one for one in prepared if isinstance(one, Row)]
        estimates: dict[int, RiskEstimate] = {}
        for level in Level:
            places = [place for place, row in enumerate(fit) if row.level is level]
            if places:
                told = self._estimate_level(level, [fit[place] for place in places], heads)
                estimates.update(zip(places, told, strict=True))
        ordered = [estimates[place] for place in range(len(fit))]
        if screen:
            ordered = self._screened(fit, ordered, explain=explain is True)
        rest = iter(self._with_changes(fit, ordered) if what_if else ordered)
        return [next(rest) if isinstance(one, Row) else one for one in prepared]

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

    def _estimate_level(self, level: Level, rows: list[Row], explained: Collection[str]) -> list[RiskEstimate]:
        """Estimates of people of whom bone density is known, or of people of whom it is not."""
        matrix = np.array([row.values for row in rows], dtype=np.float64)
        majors, hips = (self._outcomes(head, level, matrix, rows, explain=head in explained) for head in HEADS)
        manifest, model_id = self._model.manifest, self._model.model_id
        validation, meaning = manifest["validation"], manifest["interval_meaning"]
        estimates = []
        for row, major, hip in zip(rows, majors, hips, strict=True):
            warnings = row.warnings
            if self._anchor is not None:
                warnings = (*warnings, *self._anchor.warnings(row.features))
            if hip.value > major.value:
                major = replace(major, value=hip.value, high=max(major.high, hip.value))
                warnings = (*warnings, "risk.major.raised_to_hip")
            estimates.append(
                RiskEstimate(
                    model_id=model_id,
                    model_validation=validation,
                    major_osteoporotic=major,
                    hip=hip,
                    interval_meaning=meaning,
                    missing=row.missing,
                    warnings=warnings,
                    anchor=None if self._anchor is None else self._anchor.label,
                )
            )
        return estimates

    def _screened(self, rows: list[Row], estimates: list[RiskEstimate], *, explain: bool) -> list[RiskEstimate]:
        """The estimates with how likely undiagnosed osteoporosis is, or why that is not estimated."""
        if self._model.osteoporosis is None:
            return [replace(now, undiagnosed_osteoporosis_absent="risk.osteoporosis.no_model") for now in estimates]
        answers = self._model.osteoporosis.estimate_many([row.features for row in rows], explain=explain)
        return [
            replace(now, undiagnosed_osteoporosis=told.estimate, undiagnosed_osteoporosis_absent=told.absent)
            for now, told in zip(estimates, answers, strict=True)
        ]

    def _shifts(self, head: str, rows: list[Row]) -> FloatArray:
        """Log-odds by which each person is moved to the anchor's population, 0 where it says nothing."""
        if self._anchor is None:
            return np.zeros(len(rows))
        return np.array([self._anchor.shift_for(row.features, head) or 0.0 for row in rows])

    def _with_changes(self, rows: list[Row], estimates: list[RiskEstimate]) -> list[RiskEstimate]:
        """The estimates with what would change them: all supposed answers of all people in one go."""
        asked = [questions_for(row) for row in rows]
        people = [supposed(row, questions) for row, questions in zip(rows, asked, strict=True)]
        told = self.estimate_many([one for variants in people for one in variants], explain=False, screen=False)
        rest = iter([one for one in told if isinstance(one, RiskEstimate)])
        return [
            with_changes(now, questions, [next(rest) for _ in variants])
            for now, questions, variants in zip(estimates, asked, people, strict=True)
        ]

    def _explainer(self, head: str, level: Level) -> TreeExplainer:
        """Made when first asked for: a run without explanations never pays for it."""
        if (head, level) not in self._explainers:
            self._explainers[head, level] = TreeExplainer(self._model.boosters[head, level])
        return self._explainers[head, level]

    def _outcomes(
        self, head: str, level: Level, matrix: FloatArray, rows: list[Row], *, explain: bool
    ) -> list[FractureProbability]:
        booster = self._model.boosters[head, level]
        data = as_dmatrix(matrix, level)
        margins = booster.predict(data, validate_features=False).astype(np.float64)
        shifts = self._shifts(head, rows)
        bounds = self._model.intervals.bounds
        ends = [
            (margin, *bounds(head, row.pattern, margin)) for row, margin in zip(rows, margins.tolist(), strict=True)
        ]
        probabilities = probability(np.array(ends) + shifts[:, None]).tolist()
        told = explain_rows(self._explainer(head, level), matrix, margins, level) if explain else unexplained(margins)
        outcomes = []
        moved = zip(rows, probabilities, *told, shifts.tolist(), strict=True)
        for row, (value, low, high), base, contributions, shift in moved:
            adjustments = adjustments_for(row.features, head)
            outcomes.append(
                FractureProbability(
                    outcome=head,
                    value=apply_to(value, adjustments),
                    low=apply_to(low, adjustments),
                    high=apply_to(high, adjustments),
                    horizon_years=HORIZON_YEARS,
                    base_log_odds=base + shift,
                    contributions=contributions,
                    model_value=value,
                    adjustments=adjustments,
                )
            )
        return outcomes


def _prepared(features: RiskFeatures) -> Row | TabularError:
    try:
        return prepare(features)
    except TabularError as error:
        return error
