"""An evaluation as a folder a person can read: ``report.md`` with tables, ``roc.svg`` and ``calibration.svg``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tabular.calibration import weighted_quantile
from tabular.evaluation import Predictions
from tabular.formula import HEADS, FloatArray, probability
from tabular.model import RiskModel
from tabular.osteoporosis_training import osteoporosis_events, simple_scores, undiagnosed

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#8a8a8a"
_STYLE: Any = {"font.size": 9.0, "svg.hashsalt": "fracture-cds", "svg.fonttype": "path"}
_GROUPS = 10
_MAJOR, _HIP = HEADS


def write_report(folder: Path, result: Mapping[str, Any], told: Predictions, model: RiskModel) -> None:
    """Write the report; its bytes depend on the result alone.

    Args:
        folder: Made if it is not there.
        result: What `tabular.evaluation.evaluate` returns.
        told: The model's answers.
        model: For the cross-fitted figures of its manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    with mpl.rc_context(_STYLE):
        for name, drawn in (("roc.svg", _draw_roc(told)), ("calibration.svg", _draw_calibration(told))):
            if drawn is not None:
                drawn.savefig(folder / name, format="svg", metadata={"Date": None, "Creator": None})
                pictures.append(name)
    (folder / "report.md").write_text(_markdown(result, model.manifest, pictures), encoding="utf-8")


def roc_curve(scores: FloatArray, events: FloatArray) -> tuple[FloatArray, FloatArray]:
    """One less specificity, and sensitivity, from the highest score down; each of shape (m,)."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    cases, others = np.cumsum(events[order])[last], np.cumsum(1 - events[order])[last]
    zero = np.zeros(1)
    return np.concatenate([zero, others / others[-1]]), np.concatenate([zero, cases / cases[-1]])


def _draw_roc(told: Predictions) -> Figure | None:
    curves: list[tuple[str, str, FloatArray, FloatArray]] = []
    people = told.people
    if told.osteoporosis is not None:
        rows = people.index.get_indexer(undiagnosed(people).index)
        here = people.iloc[rows]
        events = osteoporosis_events(here)
        curves.append(("osteoporosis, undiagnosed", _BLUE, told.osteoporosis[rows], events))
        score, weighed = simple_scores(here)["ost"]
        curves.append(("the same by weight and age alone", _GREY, score[weighed], events[weighed]))
    seen = people["vertebral_fracture"].notna().to_numpy()
    curves.append(
        (
            "vertebral fracture on images",
            _ORANGE,
            told.by_head[_HIP][seen],
            people["vertebral_fracture"].to_numpy(dtype=np.float64)[seen],
        )
    )
    curves = [curve for curve in curves if len(np.unique(curve[3])) == 2]
    if not curves:
        return None
    figure, axes = _axes("ROC, people unweighted", "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":")
    for label, colour, scores, events in curves:
        axes.plot(*roc_curve(scores, events), color=colour, label=label)
    axes.legend(loc="lower right", frameon=False)
    return figure


def _draw_calibration(told: Predictions) -> Figure | None:
    people = told.people
    points: list[tuple[str, str, FloatArray, FloatArray, FloatArray]] = []
    weights = people["weight"].to_numpy(dtype=np.float64)
    official = people["official_major"].notna().to_numpy()
    if official.any():
        truth = people["official_major"].to_numpy(dtype=np.float64)[official]
        ours = probability(told.by_head[_MAJOR][official])
        points.append(("major fracture, official probability", _ORANGE, ours, truth, weights[official]))
    if told.osteoporosis is not None:
        rows = people.index.get_indexer(undiagnosed(people).index)
        if len(rows):
            events = osteoporosis_events(people.iloc[rows])
            points.append(
                ("osteoporosis, observed", _BLUE, probability(told.osteoporosis[rows]), events, weights[rows])
            )
    if not points:
        return None
    figure, axes = _axes("Calibration, tenths of the population", "predicted, %", "official or observed, %")
    top = 0.0
    for label, colour, ours, truth, mass in points:
        x, y = _tenths(ours, truth, mass)
        axes.plot(x, y, "o-", color=colour, label=label, markersize=3.5)
        top = max(top, float(x.max()), float(y.max()))
    axes.plot([0, top], [0, top], color=_GREY, linewidth=0.8, linestyle=":")
    axes.legend(loc="upper left", frameon=False)
    return figure


def _tenths(ours: FloatArray, truth: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    edges = [weighted_quantile(ours, weights, step / _GROUPS) for step in range(1, _GROUPS)]
    group = np.searchsorted(edges, ours, side="right")
    kept = [index for index in range(_GROUPS) if weights[group == index].sum() > 0]
    x = [100 * np.average(ours[group == i], weights=weights[group == i]) for i in kept]
    y = [100 * np.average(truth[group == i], weights=weights[group == i]) for i in kept]
    return np.array(x), np.array(y)


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _markdown(result: Mapping[str, Any], manifest: Mapping[str, Any], pictures: list[str]) -> str:
    lines = [
        "# Fracture risk: evaluation",
        "",
        f"Model `{result['model_id']}`, data SHA-256 `{result['data_sha256'][:16]}`, split {result['split']}, "
        f"n = {result['n']:,} people of 40 years or more. Intervals: 95 %, bootstrap of primary sampling units.",
        "",
    ]
    if result["seen_in_training"]:
        lines += [
            "**The trees were taught on this file: the figures of this run flatter them.** The cross-fitted figures "
            "below come from people the trees had not seen.",
            "",
        ]
    lines += ["## Figures of this run", "", *_metric_table(result["metrics"]), ""]
    lines += [line for name in pictures for line in (f"![{name.removesuffix('.svg')}]({name})", "")]
    lines += ["## Subgroups", "", *_subgroup_table(result["subgroups"]), ""]
    cross = manifest.get("metrics", {})
    for title, key in (("undiagnosed osteoporosis", "osteoporosis"), ("fractures", "fractures")):
        if cross.get(key):
            lines += [f"## Cross-fitted: {title}", "", *_metric_table(cross[key]), ""]
    for title, key in (
        ("Leakage checks", "leakage"),
        ("Agreement with published figures", "agreement"),
        ("GLOW500, method by method", "glow500_side_by_side"),
    ):
        if cross.get(key):
            lines += [f"## {title}", "", *_listing(cross[key]), ""]
    lines += ["## What the names mean", ""]
    lines += [f"* `{name}`: {meaning}" for name, meaning in manifest.get("metric_definitions", {}).items()]
    return "\n".join(lines) + "\n"


def _metric_table(metrics: Mapping[str, Mapping[str, float]]) -> list[str]:
    rows = [
        f"| `{name}` | {metric['value']:.4g} | {metric['low']:.4g} to {metric['high']:.4g} | {metric['n']:,} |"
        for name, metric in metrics.items()
    ]
    return ["| metric | value | 95 % interval | n |", "|---|---|---|---|", *rows]


def _subgroup_table(groups: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    rows = [
        f"| {kind} | {name} | `{metric}` | {found['value']:.4g} | {found['low']:.4g} to {found['high']:.4g} "
        f"| {found['n']:,} |"
        for kind, members in groups.items()
        for name, metrics in members.items()
        for metric, found in metrics.items()
    ]
    return ["| by | group | metric | value | 95 % interval | n |", "|---|---|---|---|---|---|", *rows]


def _listing(content: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            inside = ", ".join(f"{key} {_words(each)}" for key, each in value.items())
            lines.append(f"* `{name}`: {inside}")
        elif name == "ratios":
            lines += ["", "| factor | outcome | sex | published | ours | direction | within a factor of two |"]
            lines += ["|---|---|---|---|---|---|---|"]
            lines += [
                f"| {row['factor']} | {row['outcome']} | {'women' if row['female'] else 'men'} | {row['published']} "
                f"| {row['ours']} | {_flag(row['same_direction'])} | {_flag(row['within_factor_two'])} |"
                for row in value
            ]
        else:
            lines.append(f"* `{name}`: {_words(value)}")
    return lines


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        if {"value", "low", "high"} <= set(value):
            return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
        return "; ".join(f"{key} {_words(each)}" for key, each in value.items())
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _flag(value: bool | None) -> str:
    return "none published" if value is None else "yes" if value else "no"
