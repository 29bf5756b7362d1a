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
from tabular.cohort import build_cohort, read_survey
from tabular.crossfit import CrossFit, measure, measure_intervals
from tabular.errors import CohortError
from tabular.formula import HEADS
from tabular.model import SETTINGS, Boosters, BoosterSettings, Level, fit_booster, load_model, margins_of, save_model
from tabular.teaching import MINIMUM_AGE_YEARS, Class, lessons, make_class
from tabular.validation import (
    Resampling,
    against_official,
    design_matrix,
    ever_matrix,
    ever_metric,
    folds_of,
    glow_discrimination,
    glow_matrix,
    is_glow,
    vertebral_metrics,
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
) -> dict[str, Any]:
    """Train the model, measure it by cross-fitting and write its files.

    Args:
        csv_path: The survey (see `tabular.cohort`).
        out_dir: Where boosters, intervals and manifest go; made if it is not there.
        seed: Seed of folds, lessons, trees and bootstrap.
        progress: Told of each step.
        settings: Amount of work; None for that of the shipped model.
        glow_path: GLOW500 as an external test of ranking, or None.

    Returns:
        The metrics written to the manifest.

    Raises:
        CohortError: The survey cannot be used.
    """
    # One thread for linear algebra: the order of summation, and so the last bit, must not depend on the machine's load.
    with threadpool_limits(limits=1):
        return _train(csv_path, out_dir, seed, progress, settings or TrainingSettings(), glow_path)


def _train(
    csv_path: Path, out_dir: Path, seed: int, progress: Progress, chosen: TrainingSettings, glow_path: Path | None
) -> dict[str, Any]:
    survey = read_survey(csv_path)
    cohort = survey[(survey["age_years"] >= MINIMUM_AGE_YEARS) & (survey["weight"] > 0)].reset_index(drop=True)
    steps = chosen.folds + 2
    progress("final fit", 0.0)
    everyone = make_class(cohort)
    boosters = _fit(everyone, chosen, seed)
    fold = folds_of(cohort, chosen.folds, seed)
    unseen = []
    for index in range(chosen.folds):
        progress(f"cross-fitting, fold {index + 1} of {chosen.folds}", (index + 1) / steps)
        unseen.append(_fit(make_class(cohort[fold != index]), chosen, seed))
    progress("measuring", (chosen.folds + 1) / steps)
    fit = CrossFit(cohort=cohort, fold=fold, unseen=tuple(unseen))
    intervals, kept = measure_intervals(fit, masks=chosen.masks, coverage=chosen.coverage, seed=seed)
    metrics = measure(fit, chosen.resampling) | {"interval_coverage": kept}
    if glow_path is not None:
        metrics["glow500_external"] = _glow(pd.read_csv(glow_path), boosters, chosen.resampling)
    facts = texts.facts(
        csv_path=csv_path, everyone=everyone, metrics=metrics, seed=seed, coverage=chosen.coverage, folds=chosen.folds
    )
    save_model(out_dir, boosters, intervals, facts)
    progress("done", 1.0)
    return metrics


def evaluate(
    csv_path: Path, model_dir: Path, *, split: str = "all", resampling: Resampling | None = None
) -> dict[str, Any]:
    """Measure a written model on a file.

    The trees have seen the answers of the survey cycles they were trained on, though never a fracture as outcome; the
    manifest holds the cross-fitted figures. Metrics that the file cannot support are left out.

    Args:
        csv_path: A survey file, or GLOW500 (recognised by its columns).
        model_dir: Folder with the manifest.
        split: ``all`` or one survey cycle, for instance ``2017-2020``.
        resampling: Bootstrap; None for the default.

    Returns:
        ``{"dataset", "split", "n", "metrics": {name: {"value", "low", "high", "n"}}}``.

    Raises:
        CohortError: The file cannot be used, or holds nobody of the split.
        WeightsError: The model cannot be loaded.
    """
    how = resampling or Resampling()
    model = load_model(model_dir)
    try:
        raw = pd.read_csv(csv_path, low_memory=False)
    except (OSError, ValueError) as error:
        raise CohortError("the file cannot be read as CSV", remedy="Give the path of a CSV file.") from error
    if is_glow(raw.columns):
        return {
            "dataset": "glow500",
            "split": split,
            "n": len(raw),
            "metrics": _glow(raw, model.boosters, how),
        }
    people = build_cohort(raw)
    people = people[(people["age_years"] >= MINIMUM_AGE_YEARS) & (people["weight"] > 0)]
    people = (people if split == "all" else people[people["cycle"] == split]).reset_index(drop=True)
    if people.empty:
        raise CohortError(
            "nobody of 40 years or more is in this split",
            remedy="Name a survey cycle of the file, or all.",
            code="risk.cohort.split_empty",
        )
    found = vertebral_metrics(people, {head: model.margins(design_matrix(people), head) for head in HEADS}, how)
    for name, density in (("auc_major_fracture_ever", True), ("auc_major_fracture_ever_without_density", False)):
        metric = ever_metric(people, model.margins(ever_matrix(people, density=density), HEADS[0]), how)
        if metric is not None:
            found[name] = metric
    official = people[people["official_major"].notna()]
    if len(official):
        agreement = against_official(official, model.margins(design_matrix(official), HEADS[0]), HEADS[0], how)
        found |= {"brier": agreement["brier_against_official"], "calibration_slope": agreement["calibration_slope"]}
        found["median_absolute_error_points"] = agreement["median_absolute_error_points"]
    return {
        "dataset": "nhanes",
        "split": split,
        "n": len(people),
        "metrics": {name: metric.to_json() for name, metric in found.items()},
    }


def _fit(taught: Class, settings: TrainingSettings, seed: int) -> Boosters:
    boosters = {}
    for head in HEADS:
        for level in Level:
            matrix, labels, weights = lessons(taught, head, level, repeats=settings.repeats, seed=seed)
            boosters[head, level] = fit_booster(
                matrix, labels, weights, level=level, settings=settings.boosters[level], seed=seed
            )
    return boosters


def _glow(women: pd.DataFrame, boosters: Boosters, how: Resampling) -> dict[str, Any]:
    matrix = glow_matrix(women)
    return {
        f"auc_fracture_one_year_{head}": glow_discrimination(women, margins_of(boosters, matrix, head), how).to_json()
        for head in HEADS
    }
