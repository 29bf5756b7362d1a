"""Measure a written model on a file, as a whole and in subgroups."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tabular.cohort import build_cohort
from tabular.errors import CohortError
from tabular.formula import HEADS, FloatArray
from tabular.metrics import Metric
from tabular.model import Boosters, RiskModel, load_model, margins_of, sha256_of
from tabular.osteoporosis_training import inputs_of, measure_osteoporosis, osteoporosis_events, undiagnosed
from tabular.teaching import MINIMUM_AGE_YEARS
from tabular.validation import (
    ETHNICITY,
    MAJOR_OUTCOME_AGE_YEARS,
    Resampling,
    against_official,
    design_matrix,
    ever_matrix,
    ever_metric,
    glow_discrimination,
    glow_matrix,
    is_glow,
    vertebral_metrics,
)

_MAJOR, _HIP = HEADS
_AGE_GROUPS = ((40, 50), (50, 60), (60, 70), (70, 200))
_SUBGROUP_METRICS = (
    "auc_osteoporosis",
    "auc_vertebral",
    "auc_major_fracture_ever",
    "brier",
    "calibration_slope",
    "mean_ratio",
    "brier_osteoporosis",
    "calibration_slope_osteoporosis",
    "mean_ratio_osteoporosis",
)
_FEWEST_CASES = 10
"""A subgroup with fewer cases, or fewer others, gets no AUC: its interval would be as wide as the scale."""
_FEWEST_PEOPLE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """A model's log-odds of everyone in a file, by what they are to be compared with."""

    people: pd.DataFrame
    by_head: Mapping[str, FloatArray]
    """By outcome, every answer used, shape (n,)."""
    ever: Mapping[str, FloatArray]
    """By metric: major osteoporotic fracture with all hidden that a past fracture may have caused."""
    osteoporosis: FloatArray | None
    """Bone density hidden; None for model folders without this estimate."""

    def part(self, rows: "np.ndarray[Any, np.dtype[np.bool_]]") -> "Predictions":
        """Those of some people."""
        return Predictions(
            people=self.people[rows].reset_index(drop=True),
            by_head={head: margins[rows] for head, margins in self.by_head.items()},
            ever={name: margins[rows] for name, margins in self.ever.items()},
            osteoporosis=None if self.osteoporosis is None else self.osteoporosis[rows],
        )


def predict(model: RiskModel, people: pd.DataFrame) -> Predictions:
    """Ask the model about every person of a cohort."""
    matrix = design_matrix(people)
    blind = {"auc_major_fracture_ever": True, "auc_major_fracture_ever_without_density": False}
    screen = model.osteoporosis
    return Predictions(
        people=people,
        by_head={head: model.margins(matrix, head) for head in HEADS},
        ever={name: model.margins(ever_matrix(people, density=seen), _MAJOR) for name, seen in blind.items()},
        osteoporosis=None if screen is None else screen.margins(inputs_of(people)),
    )


def measure_predictions(told: Predictions, how: Resampling, *, brief: bool = False) -> dict[str, Metric]:
    """Every metric that the file can give; the others are left out.

    Args:
        told: The model's answers.
        how: Bootstrap.
        brief: Leave out what has parts or rivals of its own: enough for a subgroup.
    """
    people = told.people
    found: dict[str, Metric] = {}
    if told.osteoporosis is not None and len(people):
        rows = people.index.get_indexer(undiagnosed(people).index)
        here = people.iloc[rows].reset_index(drop=True)
        found |= measure_osteoporosis(
            here, told.osteoporosis[rows], replicates=how.replicates, seed=how.seed, brief=brief
        )
    found |= vertebral_metrics(people, told.by_head, how)
    for name, margins in told.ever.items():
        metric = ever_metric(people, margins, how)
        if metric is not None:
            found[name] = metric
    official = people["official_major"].notna().to_numpy()
    if official.any():
        agreement = against_official(people[official], told.by_head[_MAJOR][official], _MAJOR, how)
        names = {"brier_against_official": "brier"}
        kept = ("brier_against_official", "calibration_slope", "median_absolute_error_points", "mean_ratio")
        found |= {names.get(name, name): agreement[name] for name in kept}
        hip = against_official(people[official], told.by_head[_HIP][official], _HIP, how)
        found |= {"brier_hip": hip["brier_against_official"], "calibration_slope_hip": hip["calibration_slope"]}
    return found


def evaluate(
    csv_path: Path,
    model_dir: Path,
    *,
    split: str = "all",
    resampling: Resampling | None = None,
    report_dir: Path | None = None,
) -> dict[str, Any]:
    """Measure a written model on a file.

    On the file it was trained on the trees have seen the people: the manifest then holds the fairer, cross-fitted
    figures, and ``seen_in_training`` is true. Metrics that the file cannot support are left out.

    Args:
        csv_path: A survey file, or GLOW500 (recognised by its columns).
        model_dir: Folder with the manifest.
        split: ``all`` or one survey cycle, for instance ``2017-2020``.
        resampling: Bootstrap; None for the default.
        report_dir: Where to write a report with tables and plots; None for no report. Survey files only.

    Returns:
        ``{"dataset", "split", "n", "model_id", "data_sha256", "seen_in_training", "metrics", "subgroups"}``; a metric
        is ``{"value", "low", "high", "n"}``, subgroups are metrics by ``sex``, ``age``, ``ethnicity`` and group.

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
    digest = sha256_of(csv_path)
    result: dict[str, Any] = {
        "split": split,
        "model_id": model.model_id,
        "data_sha256": digest,
        "seen_in_training": digest == model.manifest.get("training_data", {}).get("sha256"),
    }
    if is_glow(raw.columns):
        return result | {"dataset": "glow500", "n": len(raw), "metrics": glow_metrics(raw, model.boosters, how)}
    told = predict(model, _people(raw, split))
    metrics = measure_predictions(told, how)
    result |= {
        "dataset": "nhanes",
        "n": len(told.people),
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
        "subgroups": subgroups(told, how),
    }
    if report_dir is not None:
        from tabular.report import write_report  # matplotlib loads only when it is needed

        write_report(report_dir, result, told, model)
    return result


def glow_metrics(women: pd.DataFrame, boosters: Boosters, how: Resampling) -> dict[str, Any]:
    """AUC of both probabilities for a fracture within a year in GLOW500."""
    matrix = glow_matrix(women)
    return {
        f"auc_fracture_one_year_{head}": glow_discrimination(women, margins_of(boosters, matrix, head), how).to_json()
        for head in HEADS
    }


def subgroups(told: Predictions, how: Resampling) -> dict[str, dict[str, dict[str, Any]]]:
    """Metrics by sex, age and ethnicity; groups and figures with too few people behind them are left out."""
    people = told.people
    years = people["age_years"].to_numpy()
    groups: dict[str, dict[str, Any]] = {
        "sex": {"female": people["female"] == 1.0, "male": people["female"] == 0.0},
        "age": {
            f"{low}-{high - 1}" if high < 200 else f"{low}+": (years >= low) & (years < high)
            for low, high in _AGE_GROUPS
        },
        "ethnicity": {name: people["ethnicity"] == code for code, name in ETHNICITY.items()},
    }
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, members in groups.items():
        found[kind] = {}
        for name, flags in members.items():
            rows = np.asarray(flags, dtype=bool)
            if rows.sum() < _FEWEST_PEOPLE:
                continue
            part = told.part(rows)
            few = _too_few(part.people)
            measured = measure_predictions(part, how, brief=True)
            found[kind][name] = {
                metric: measured[metric].to_json()
                for metric in _SUBGROUP_METRICS
                if metric in measured and metric not in few
            }
    return found


def _too_few(people: pd.DataFrame) -> set[str]:
    """Metrics that this group cannot carry."""
    osteoporosis = osteoporosis_events(undiagnosed(people))
    ever = people.loc[people["age_years"] >= MAJOR_OUTCOME_AGE_YEARS, "major_fracture_ever"].dropna().to_numpy()
    vertebral = people["vertebral_fracture"].dropna().to_numpy()
    few: set[str] = set()
    for outcome, metrics in (
        (osteoporosis, [name for name in _SUBGROUP_METRICS if name.endswith("_osteoporosis")]),
        (ever, ["auc_major_fracture_ever"]),
        (vertebral, ["auc_vertebral"]),
    ):
        if min(float((outcome == 1.0).sum()), float((outcome == 0.0).sum())) < _FEWEST_CASES:
            few |= set(metrics)
    if people["official_major"].notna().sum() < _FEWEST_PEOPLE:
        few |= {"brier", "calibration_slope", "mean_ratio"}
    return few


def _people(raw: pd.DataFrame, split: str) -> pd.DataFrame:
    people = build_cohort(raw)
    people = people[(people["age_years"] >= MINIMUM_AGE_YEARS) & (people["weight"] > 0)]
    people = (people if split == "all" else people[people["cycle"] == split]).reset_index(drop=True)
    if people.empty:
        raise CohortError(
            "nobody of 40 years or more is in this split",
            remedy="Name a survey cycle of the file, or all.",
            code="risk.cohort.split_empty",
        )
    return people
