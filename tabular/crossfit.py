"""Figures from people the trees had not seen: intervals, their coverage, and every metric of the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tabular.calibration import PATTERN_FEATURES, IntervalTable, fit_offsets, pattern_of
from tabular.cohort import OFFICIAL_CYCLE
from tabular.formula import HEADS, FloatArray
from tabular.model import ALL_FEATURES, Boosters, Level, margins_of
from tabular.recalibration import MarginMap, fit_map
from tabular.validation import (
    OFFICIAL_COLUMN,
    Resampling,
    against_official,
    design_matrix,
    ever_matrix,
    ever_metric,
    mean_ratio_by_ethnicity,
    official_margins,
    vertebral_metrics,
    vertebral_references,
    without,
)

IntArray = npt.NDArray[np.int64]
_GAP_RATES = (0.3, 0.6, 1.0)
CORRECTED: tuple[tuple[str, Level], ...] = ((HEADS[1], Level.WITHOUT_DENSITY),)
"""Boosters whose cross-fitted calibration slope lay outside 0.9 to 1.1 without a correction (it was 1.15)."""

Maps = Mapping[tuple[str, Level], MarginMap]
"""Corrections by outcome and level; see `tabular.recalibration`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFit:
    """People, their folds, and the trees fitted without each fold."""

    cohort: pd.DataFrame
    fold: IntArray
    """Shape (n,)."""
    unseen: tuple[Boosters, ...]
    """One set of boosters a fold, fitted on the other folds."""
    maps: tuple[Maps, ...] = ()
    """One set of corrections a fold, fitted on cross-fitted log-odds of the other folds; empty for none."""

    def margins(self, matrix: FloatArray, head: str, repeats: int = 1) -> FloatArray:
        """Log-odds of each row from trees that had not seen the person.

        Args:
            matrix: The cohort's people in their order, `repeats` times over, shape (repeats * n, 11).
            head: Outcome.
            repeats: How often the cohort is repeated.
        """
        fold = np.tile(self.fold, repeats)
        margins = np.empty(len(matrix), dtype=np.float64)
        for index, boosters in enumerate(self.unseen):
            rows = fold == index
            if rows.any():
                told = margins_of(boosters, matrix[rows], head)
                margins[rows] = self._corrected(told, matrix[rows], head, index)
        return margins

    def _corrected(self, margins: FloatArray, matrix: FloatArray, head: str, index: int) -> FloatArray:
        if not self.maps:
            return margins
        measured = ~np.isnan(matrix[:, ALL_FEATURES.index("femoral_neck_t_score")])
        for level, rows in ((Level.WITH_DENSITY, measured), (Level.WITHOUT_DENSITY, ~measured)):
            if (head, level) in self.maps[index]:
                margins = np.where(rows, self.maps[index][head, level](margins), margins)
        return margins

    def official(self) -> "CrossFit":
        """The people with official probabilities."""
        rows = self.cohort["official_major"].notna().to_numpy()
        return replace(self, cohort=self.cohort[rows], fold=self.fold[rows])

    def correct(self) -> tuple["CrossFit", Maps]:
        """Fit the corrections: for each fold on the others, so that what is measured stays unseen; and on everyone.

        Returns:
            The same trees with a correction a fold, and the correction that the final trees are to learn.
        """
        told = self.official()
        weights = told.cohort["weight"].to_numpy(dtype=np.float64)
        final: dict[tuple[str, Level], MarginMap] = {}
        by_fold: list[dict[tuple[str, Level], MarginMap]] = [{} for _ in self.unseen]
        for head, level in CORRECTED:
            matrix = design_matrix(told.cohort)
            if level is Level.WITHOUT_DENSITY:
                matrix = without(matrix, "femoral_neck_t_score")
            margins = told.margins(matrix, head)
            truth = told.cohort[OFFICIAL_COLUMN[head]].to_numpy()
            told_margins = official_margins(told.cohort, head)
            final[head, level] = fit_map(margins, truth, told_margins, weights)
            for index, maps in enumerate(by_fold):
                rows = told.fold != index
                maps[head, level] = fit_map(margins[rows], truth[rows], told_margins[rows], weights[rows])
        return replace(self, maps=tuple(by_fold)), final


def measure_intervals(fit: CrossFit, *, masks: int, coverage: float, seed: int) -> tuple[IntervalTable, dict[str, Any]]:
    """Offsets of the intervals, and the share of people inside when the offsets come from the other folds.

    Args:
        fit: Cross-fitted trees.
        masks: Patterns of missing answers tried a person.
        coverage: Share to be held inside, 0..1.
        seed: Seed of the missing answers.
    """
    fit = fit.official()
    matrix, patterns = _masked(design_matrix(fit.cohort), masks, np.random.default_rng(seed))
    weights = np.tile(fit.cohort["weight"].to_numpy(dtype=np.float64), masks)
    fold = np.tile(fit.fold, masks)
    offsets, kept = {}, {}
    for head in HEADS:
        residuals = np.tile(official_margins(fit.cohort, head), masks) - fit.margins(matrix, head, masks)
        offsets[head] = fit_offsets(residuals, patterns, weights, coverage=coverage)
        kept[head] = _coverage(residuals, patterns, weights, fold, coverage)
    return IntervalTable(coverage=coverage, offsets=offsets), kept


def measure(fit: CrossFit, how: Resampling) -> dict[str, Any]:
    """Metrics of the manifest; see `tabular.manifest` for what each means."""
    cohort = fit.cohort
    matrix = design_matrix(cohort)
    known = {head: fit.margins(matrix, head) for head in HEADS}
    blind = {head: fit.margins(without(matrix, "femoral_neck_t_score"), head) for head in HEADS}
    rows = cohort["official_major"].notna().to_numpy()
    official = cohort[rows]
    result: dict[str, Any] = {}
    for name, margins in (("with_density", known), ("without_density", blind)):
        for head in HEADS:
            agreement = against_official(official, margins[head][rows], head, how)
            result[f"official_{head}_{name}"] = {key: metric.to_json() for key, metric in agreement.items()}
    result["mean_ratio_by_ethnicity"] = {
        head: mean_ratio_by_ethnicity(official, known[head][rows], head) for head in HEADS
    }
    fractures = vertebral_metrics(cohort, known, how) | vertebral_references(cohort, known, how)
    fractures |= vertebral_metrics(cohort, blind, how, prefix="auc_vertebral_without_density")
    earlier = (cohort["cycle"] != OFFICIAL_CYCLE).to_numpy()
    for name, density in (("auc_major_fracture_ever", True), ("auc_major_fracture_ever_without_density", False)):
        margins_ever = fit.margins(ever_matrix(cohort, density=density), HEADS[0])
        metric = ever_metric(cohort[earlier], margins_ever[earlier], how)
        if metric is not None:
            fractures[name] = metric
    result["fractures"] = {key: metric.to_json() for key, metric in fractures.items()}
    return result


def _masked(matrix: FloatArray, masks: int, rng: np.random.Generator) -> tuple[FloatArray, list[str]]:
    """The people under several patterns: as answered, without density, and with random further gaps."""
    density, always = (
        ALL_FEATURES.index("femoral_neck_t_score"),
        [ALL_FEATURES.index(x) for x in ("age_years", "female")],
    )
    matrices = []
    for mask in range(masks):
        hidden = matrix.copy()
        if mask >= 2:
            gaps = rng.random(matrix.shape) < rng.choice(_GAP_RATES, size=len(matrix))[:, None]
            gaps[:, [*always, density]] = False
            hidden[gaps] = np.nan
        if mask % 2 == 1:
            hidden[:, density] = np.nan
        matrices.append(hidden)
    stacked = np.vstack(matrices)
    counted = [ALL_FEATURES.index(name) for name in PATTERN_FEATURES]
    known = (~np.isnan(stacked[:, counted])).sum(axis=1)
    measured = ~np.isnan(stacked[:, density])
    patterns = [
        pattern_of(t_score_known=bool(t), known=int(k), age_years=float(age))
        for t, k, age in zip(measured, known, stacked[:, 0], strict=True)
    ]
    return stacked, patterns


def _coverage(
    residuals: FloatArray, patterns: list[str], weights: FloatArray, fold: IntArray, coverage: float
) -> dict[str, float]:
    names = np.array(patterns)
    inside = np.zeros(len(names), dtype=bool)
    for index in np.unique(fold):
        here = fold == index
        table = fit_offsets(residuals[~here], names[~here].tolist(), weights[~here], coverage=coverage)
        bounds = np.array([table.get(name) or table[name.partition("/")[0]] for name in names[here].tolist()])
        inside[here] = (residuals[here] >= bounds[:, 0]) & (residuals[here] <= bounds[:, 1])
    groups = {"all": np.ones(len(names), dtype=bool)} | {name: names == name for name in sorted(set(patterns))}
    return {name: round(float(np.average(inside[rows], weights=weights[rows])), 3) for name, rows in groups.items()}
