"""Train, measure and write the risk model; measure a written one.

`train` is deterministic: the same file, seed and settings give the same bytes. Every figure it writes into the manifest
comes from cross-fitting: five folds of primary sampling units, the formula and the trees fitted without the fold.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tabular import manifest as texts
from tabular.cohort import read_survey
from tabular.comparisons import Published, agreement, compare_ratios, compare_table, glow_side_by_side
from tabular.crossfit import CrossFit, Maps, measure, measure_intervals
from tabular.evaluation import glow_metrics
from tabular.formula import HEADS
from tabular.leakage import check_leakage
from tabular.model import SETTINGS, Boosters, BoosterSettings, Level, fit_booster, margins_of, save_model
from tabular.osteoporosis_training import OsteoporosisSettings, fit_osteoporosis
from tabular.recalibration import maps_to_json
from tabular.reference import describe_population
from tabular.teaching import MINIMUM_AGE_YEARS, Class, lessons, make_class
from tabular.validation import (
    Resampling,
    design_matrix,
    folds_of,
)

Progress = Callable[[str, float], None]
"""Told what is being done and the share done, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How much work training does; the defaults are those of the shipped model."""

    folds: int = 5
    repeats: int = 5
    """Lessons a person and booster."""
    boosters: Mapping[Level, BoosterSettings] = field(default_factory=lambda: SETTINGS)
    masks: int = 6
    """Patterns of missing answers tried a person when intervals are measured."""
    coverage: float = 0.9
    resampling: Resampling = field(default_factory=Resampling)
    osteoporosis: OsteoporosisSettings = field(default_factory=OsteoporosisSettings)


def _silent(_step: str, _share: float) -> None:
    """Say nothing."""


def train(
    csv_path: Path,
    out_dir: Path,
    *,
    seed: int,
    progress: Progress = _silent,
    settings: TrainingSettings | None = None,
    glow_path: Path | None = None,
    published: Published | None = None,
) -> dict[str, Any]:
    """Train the model, measure it by cross-fitting and write its files.

    Args:
        csv_path: The survey (see `tabular.cohort`).
        out_dir: Where boosters, intervals and manifest go; made if it is not there.
        seed: Seed of folds, lessons, trees and bootstrap.
        progress: Told of each step.
        settings: Amount of work; None for that of the shipped model.
        glow_path: GLOW500 as an external test of ranking, or None.
        published: Published tables to hold the model against, or None.

    Returns:
        The metrics written to the manifest.

    Raises:
        CohortError: The survey cannot be used.
    """
    # One thread for linear algebra: the order of summation, and so the last bit, must not depend on the machine's load.
    with threadpool_limits(limits=1):
        return _train(csv_path, out_dir, seed, progress, settings or TrainingSettings(), glow_path, published)


def _train(
    csv_path: Path,
    out_dir: Path,
    seed: int,
    progress: Progress,
    chosen: TrainingSettings,
    glow_path: Path | None,
    published: Published | None,
) -> dict[str, Any]:
    survey = read_survey(csv_path)
    cohort = survey[(survey["age_years"] >= MINIMUM_AGE_YEARS) & (survey["weight"] > 0)].reset_index(drop=True)
    steps = chosen.folds + 3
    fold = folds_of(cohort, chosen.folds, seed)
    everyone = make_class(cohort)  # first, so that an unfit file is refused at once
    unseen = []
    for index in range(chosen.folds):
        progress(f"cross-fitting, fold {index + 1} of {chosen.folds}", index / steps)
        unseen.append(_fit(make_class(cohort[fold != index]), chosen, seed))
    fit, maps = CrossFit(cohort=cohort, fold=fold, unseen=tuple(unseen)).correct()
    progress("final fit", chosen.folds / steps)
    boosters = _fit(everyone, chosen, seed, maps)
    progress("undiagnosed osteoporosis", (chosen.folds + 1) / steps)
    screen = fit_osteoporosis(
        cohort, fold, settings=chosen.osteoporosis, replicates=chosen.resampling.replicates, seed=seed
    )
    progress("measuring", (chosen.folds + 2) / steps)
    intervals, kept = measure_intervals(fit, masks=chosen.masks, coverage=chosen.coverage, seed=seed)
    metrics = measure(fit, chosen.resampling) | {"osteoporosis": screen.metrics, "interval_coverage": kept}
    metrics["leakage"] = check_leakage(cohort, screen, settings=chosen.osteoporosis, seed=seed)
    if published is not None:
        metrics["agreement"] = agreement(
            compare_table(boosters, published.table),
            compare_ratios(boosters, cohort, published.ratios, published.table),
        )
    if glow_path is not None:
        women = pd.read_csv(glow_path)
        metrics["glow500_external"] = glow_metrics(women, boosters, chosen.resampling)
        metrics["glow500_side_by_side"] = glow_side_by_side(women, boosters, chosen.resampling)
    facts = texts.facts(
        csv_path=csv_path, everyone=everyone, metrics=metrics, seed=seed, coverage=chosen.coverage, folds=chosen.folds
    ) | {"recalibration": maps_to_json(maps)}
    matrix = design_matrix(cohort)
    reference = describe_population(cohort, {head: margins_of(boosters, matrix, head) for head in HEADS})
    save_model(out_dir, boosters, intervals, facts, osteoporosis=screen.model, reference=reference)
    progress("done", 1.0)
    return metrics


def _fit(taught: Class, settings: TrainingSettings, seed: int, maps: Maps | None = None) -> Boosters:
    boosters = {}
    for head in HEADS:
        for level in Level:
            matrix, labels, weights = lessons(taught, head, level, repeats=settings.repeats, seed=seed)
            boosters[head, level] = fit_booster(
                matrix,
                labels,
                weights,
                level=level,
                settings=settings.boosters[level],
                seed=seed,
                correct=(maps or {}).get((head, level)),
            )
    return boosters
