"""The proof of gated retraining in figures, words, tables and plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cds.learning.gate import Scored, Verdict
from cds.learning.gate_metrics import Measures, group_weights
from cds.learning.verdict import Standing
from tests.benchmarks.learning_report import Proof, Section, Table
from tests.benchmarks.learning_retraining_data import POISON, ROUNDS


def figures_of(scored: Scored, *, draws: int, seed: int) -> dict[str, Any]:
    """AUC and AP50 with 95 % percentile intervals over limbs."""
    measures = Measures(scored)
    weights = group_weights([one.group for one in scored.answers], rounds=draws, seed=seed)
    found: dict[str, Any] = {"n": len(scored.answers), "n_fractured": sum(bool(one.positive) for one in scored.answers)}
    for name in ("auc", "ap50"):
        if name not in measures.statistics:
            continue
        drawn = measures.at(name, weights)
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        value = float(measures.at(name, np.ones((1, measures.n)))[0])
        found[name] = {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4)}
    return found


def verdict_entry(verdict: Verdict) -> dict[str, Any]:
    """What is kept of a verdict."""
    differences = {
        one.metric: {
            name: None if value is None else round(value, 4)
            for name, value in {
                "current": one.current, "candidate": one.candidate, "gain": one.gain, "low": one.low, "high": one.high,
                "margin": one.margin,
            }.items()
        }
        | {"standing": str(one.standing)}
        for one in verdict.differences
    }  # fmt: skip
    return {"promoted": verdict.promoted, "reasons": list(verdict.reasons), "differences": differences}


def plots(results: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Curve of the locked set, and what is left of the base half."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = ["base", *(one["name"] for one in results["rounds"])]
    rows = [results["base"], *results["rounds"]]
    promoted = [True, *(one["verdict"]["promoted"] for one in results["rounds"])]
    made = []
    wanted = (
        ("locked", "auc", "Locked set: area under the ROC curve"),
        ("locked", "ap50", "Locked set: AP50"),
        ("home", "auc", "Held-out blocks of the base half: area under the ROC curve"),
    )
    for part, metric, title in wanted:
        if any(metric not in row[part] for row in rows):
            continue
        figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
        values = [row[part][metric] for row in rows]
        for number, (one, passed) in enumerate(zip(values, promoted, strict=True)):
            reach = [[max(one["value"] - one["low"], 0.0)], [max(one["high"] - one["value"], 0.0)]]
            axis.errorbar(
                number, one["value"], yerr=reach, fmt="o" if passed else "X", capsize=4,
                color="#1f5fa8" if passed else "#b3261e", markersize=8,
            )  # fmt: skip
        line = [number for number, passed in enumerate(promoted) if passed]
        axis.plot(line, [values[number]["value"] for number in line], color="#1f5fa8", linewidth=1)
        axis.set_xticks(range(len(names)), names)
        axis.set_title(f"{title} (95 % interval over limbs)", fontsize=10)
        axis.grid(axis="y", alpha=0.3)
        axis.annotate("dot: in use afterwards; cross: refused", (0.01, 0.02), xycoords="axes fraction", fontsize=8)
        made.append(folder / f"retraining-{part}-{metric}.png")
        figure.savefig(made[-1], dpi=110)
        plt.close(figure)
    return tuple(made)


def sections(results: Mapping[str, Any], figures: Sequence[Path]) -> Proof:
    """The figures in words, tables and plots."""
    parts, rounds = results["parts"], results["rounds"]
    said = [one for one in rounds if one["name"] != POISON]
    poison = next((one for one in rounds if one["name"] == POISON), None)
    paragraphs = [
        f"A detector was trained on {parts['base']['n']} radiographs ({parts['base']['n_fractured']} fractured) of"
        f" {parts['base']['blocks']} id blocks and then given four rounds of feedback, each mixed with a replay of all"
        f" that came before. The locked set has {parts['locked']['n']} radiographs"
        f" ({parts['locked']['n_fractured']} fractured) of {parts['locked']['blocks']} blocks that no model learned"
        " from; intervals draw its limbs anew. The budget is small, so the detector is weak and the area under the ROC"
        " curve is the axis to read; later rounds also had more training steps than the base model, which the curve"
        " cannot tell from more data.",
        f"{sum(one['verdict']['promoted'] for one in said)} of {len(said)} honest rounds were promoted.",
    ]
    if poison is None:
        paragraphs.append(f"The run is not finished: {len(said)} of {len(ROUNDS)} rounds, and not the poisoned one.")
    else:
        paragraphs.append(
            f"The poisoned round was {'PROMOTED' if poison['verdict']['promoted'] else 'refused'}:"
            f" {' '.join(poison['verdict']['reasons'])} Its screen said: {poison['screen']['words']}"
        )
        differences = poison["verdict"]["differences"].values()
        if all(one.get("standing") in (Standing.HELD, Standing.SHOWN_ONLY) for one in differences):
            paragraphs.append(
                "By its metrics alone the poisoned candidate would have passed these wide margins: most of what it saw"
                " is the replay of good cases. The rule that a suspicious round is refused until somebody has looked at"
                " its labels was made after this was seen; the limits of the screen were set before."
            )
    last = next((one for one in reversed(said) if one["verdict"]["promoted"]), None)
    if last is not None:
        kept = last["home_against_base"]
        held = "stays within" if kept["low"] > -kept["margin"] else "is not shown to stay within"
        paragraphs.append(
            f"On the base half's own held-out blocks the area under the curve changes by {kept['gain']:+.3f}"
            f" ({kept['low']:+.3f} to {kept['high']:+.3f}) from the base model to {last['name']}; it {held} the margin"
            f" of {kept['margin']:g}. Thresholds were set on these blocks; weights were not."
        )
    forgetting = results.get("forgetting")
    if forgetting is not None:
        paragraphs.append(_forgotten(forgetting["sets"]))
    return (
        Section(
            heading="Gated retraining",
            paragraphs=tuple(paragraphs),
            tables=(
                _curve_table(results),
                _screen_table(rounds),
                *(() if forgetting is None else (_forgetting_table(forgetting["sets"]),)),
            ),
            figures=tuple(figures),
            data=dict(results),
        ),
    )


def _forgotten(sets: Mapping[str, Mapping[str, Any]]) -> str:
    """What can be said of forgetting, from everything that neither model learned from."""
    one = list(sets.values())[-1]
    shown = "is shown to stay within" if one["low"] > -one["margin"] else "is not shown to stay within"
    return (
        "Those blocks hold too few fractures to show a loss of that size by themselves. Blocks of ids are dealt at"
        " random, so any block that neither model learned from shows what the base model knew. On all"
        f" {one['n']} such radiographs ({one['n_fractured']} fractured, {one['limbs']} limbs) the change is"
        f" {one['gain']:+.3f} (one-sided 95 % bounds {one['low']:+.3f} and {one['high']:+.3f}); it {shown} the margin"
        f" of {one['margin']:g}. Most of these are the locked set, at which the gate looked before each promotion: that"
        " flatters the figure, and a fresh set would be needed to be sure."
    )


def _forgetting_table(sets: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            name,
            f"{one['n']} ({one['n_fractured']})",
            f"{one['current']:.3f}",
            f"{one['candidate']:.3f}",
            f"{one['gain']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})",
        )
        for name, one in sets.items()
    )
    columns = ("radiographs that neither learned from", "n (fractured)", "base", "last promoted", "change in AUC")
    caption = (
        "Paired bootstrap over limbs, one-sided 95 % bounds. The gate looked at the locked set when it promoted, which"
        " flatters the rows that hold it."
    )
    return Table(columns=columns, rows=rows, caption=caption)


def _curve_table(results: Mapping[str, Any]) -> Table:
    rows = [("base", *_cells(results["base"]), "", "")]
    for one in results["rounds"]:
        gain = one["verdict"]["differences"]["auc"]
        rows.append(
            (
                one["name"],
                *_cells(one),
                f"{gain['gain']:+.3f} (from {gain['low']:+.3f})",
                "promoted" if one["verdict"]["promoted"] else "refused",
            )
        )
    columns = ("after", "locked AUC", "locked AP50", "home AUC", "gain in AUC (one-sided 95 %)", "gate")
    return Table(columns=columns, rows=tuple(rows), caption="Value (95 % bootstrap interval over limbs).")


def _cells(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return _cell(row["locked"], "auc"), _cell(row["locked"], "ap50"), _cell(row["home"], "auc")


def _cell(figures: Mapping[str, Any], name: str) -> str:
    one = figures.get(name)
    return "" if one is None else f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _screen_table(rounds: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            one["name"],
            str(one["screen"]["n"]),
            str(one["screen"]["contradictions"]),
            "cannot be estimated"
            if one["screen"]["noise"] is None
            else "{noise:.0%} ({noise_low:.0%} to {noise_high:.0%})".format(**one["screen"]),
            "yes" if one["screen"]["suspicious"] else "no",
        )
        for one in rounds
    )
    columns = ("round", "new labels", "contradict the model", "estimated share of wrong labels", "suspicious")
    return Table(columns=columns, rows=rows, caption="The screen before training.")
