"""Active selection: does labelling what `cds.learning.selection` suggests teach more than labelling at random?

    python -m tests.benchmarks.learning --only selection

The learner is a logistic regression on the frozen detector's pooled features. The detector was trained on the same
block of FracAtlas, so that the absolute figures on it are too good; random and selected labels share that advantage.
The validation part was never learned from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cds.learning.selection import entropy, principal, spread
from tests.benchmarks.learning_cases import SeenCases, seen_cases
from tests.benchmarks.learning_report import Section, Table

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws

FIRST: Final = 40
"""Labels at the beginning, at random."""
STEP: Final = 20
"""Labels per round: about what an hour allows."""
COMPONENTS: Final = 48
STRATEGIES: Final = ("random", "uncertainty alone", "uncertainty and diversity")
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is computed."""

    images: int | None
    seeds: int
    rounds: int


SIZES: Final = {
    "tiny": Size(images=160, seeds=2, rounds=2),
    "small": Size(images=1200, seeds=30, rounds=14),
    "full": Size(images=None, seeds=100, rounds=30),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What is learned from and measured on."""

    features: NDArray[np.float64]
    """[n, d], of the training block, then the validation part."""
    fractured: NDArray[np.bool_]
    block: int
    """Radiographs of the training block; they come first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What one strategy reached: one row per seed, one column per round."""

    labels: tuple[int, ...]
    block_auc: Scores
    """AUC on the half of the training block that nobody labels, 0..1."""
    unseen_auc: Scores
    """AUC on the validation part, 0..1."""
    fractures: Scores
    """Fractures among the labels."""


def prove(data: Path, out: Path, *, budget: str) -> Sequence[Section]:
    """Compare learning curves.

    Args:
        data: folder that holds ``fracatlas``.
        out: folder for pictures; what the detector saw is kept beside it, for all proofs.
        budget: ``small``, ``full`` or ``tiny``.
    """
    size = SIZES[budget]
    limit = None if size.images is None or size.images > 232 else size.images // 2
    block = seen_cases(data, out.parent / "cases", split="train", limit=size.images)
    unseen = seen_cases(data, out.parent / "cases", split="val", limit=limit)
    task = task_of(block, unseen)
    curves = {name: learned(task, name, size) for name in STRATEGIES}
    return [_section(task, curves, size, out)]


def task_of(block: SeenCases, unseen: SeenCases) -> Task:
    """The two parts as one table of principal components of the features; labels take no part in making it."""
    vectors = np.concatenate((block.vectors, unseen.vectors))
    return Task(
        features=principal(vectors, COMPONENTS) / np.sqrt(vectors.shape[1] / COMPONENTS),
        fractured=np.concatenate((block.fractured, unseen.fractured)),
        block=len(block),
    )


def learned(task: Task, strategy: str, size: Size) -> Curve:
    """The curves of one strategy; a seed gives every strategy the same pool and the same first labels."""
    found = [_one_seed(task, strategy, seed, size.rounds) for seed in range(size.seeds)]
    labels = tuple(FIRST + STEP * number for number in range(size.rounds + 1))
    block, unseen, fractures = (np.array([one[place] for one in found]) for place in range(3))
    return Curve(labels=labels, block_auc=block, unseen_auc=unseen, fractures=fractures)


def _one_seed(task: Task, strategy: str, seed: int, rounds: int) -> tuple[list[float], list[float], list[float]]:
    draw = np.random.default_rng(seed)
    # Neighbouring radiographs are views of one limb: the halves are made of runs of the list, not of single ones.
    runs = np.array_split(np.arange(task.block), max(4, task.block // 20))
    order = draw.permutation(len(runs))
    pool = np.concatenate([runs[place] for place in order[: len(runs) // 2]])
    held_out = np.concatenate([runs[place] for place in order[len(runs) // 2 :]])
    unseen = np.arange(task.block, len(task.fractured))
    chosen = _first(draw, pool, task.fractured)
    block_auc, unseen_auc, fractures = [], [], []
    for number in range(rounds + 1):
        head = LogisticRegression(C=0.1, max_iter=500, class_weight="balanced")
        head.fit(task.features[chosen], task.fractured[chosen])
        block_auc.append(_auc(head, task, held_out))
        unseen_auc.append(_auc(head, task, unseen))
        fractures.append(float(task.fractured[chosen].sum()))
        left = np.setdiff1d(pool, chosen)
        if number < rounds:
            chosen = np.concatenate((chosen, left[_picked(draw, strategy, head, task.features, left, chosen)]))
    return block_auc, unseen_auc, fractures


def _first(draw: np.random.Generator, pool: NDArray[np.int64], fractured: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Random first labels with at least two of each kind: without them nothing can be fitted."""
    while True:
        chosen = draw.choice(pool, min(FIRST, len(pool) // 2), replace=False)
        if 2 <= fractured[chosen].sum() <= len(chosen) - 2:
            return np.asarray(chosen, dtype=np.int64)


def _picked(
    draw: np.random.Generator,
    strategy: str,
    head: LogisticRegression,
    features: NDArray[np.float64],
    left: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Places in `left` of what is labelled next."""
    count = min(STEP, len(left))
    if strategy == "random":
        return np.asarray(draw.choice(len(left), count, replace=False), dtype=np.int64)
    doubts = np.array([entropy(float(share)) for share in head.predict_proba(features[left])[:, 1]])
    if strategy == "uncertainty alone":
        return np.asarray(np.argsort(-doubts, kind="stable")[:count], dtype=np.int64)
    vectors, judged = (features[rows].astype(np.float32) for rows in (left, chosen))
    order, _ = spread(vectors, doubts, count=count, judged=judged)
    return np.array(order, dtype=np.int64)


def _auc(head: LogisticRegression, task: Task, rows: NDArray[np.int64]) -> float:
    if len(set(task.fractured[rows].tolist())) < 2:
        return float("nan")
    return float(roc_auc_score(task.fractured[rows], head.decision_function(task.features[rows])))


# --- the section


def _section(task: Task, curves: Mapping[str, Curve], size: Size, out: Path) -> Section:
    rows = []
    data: dict[str, object] = {}
    for name, curve in curves.items():
        data[name] = {
            "labels": list(curve.labels),
            "block_auc": curve.block_auc.mean(axis=0).round(4).tolist(),
            "unseen_auc": curve.unseen_auc.mean(axis=0).round(4).tolist(),
            "fractures": curve.fractures.mean(axis=0).round(1).tolist(),
        }
        if name == "random":
            continue
        gains = (
            _gain(curve.block_auc, curves["random"].block_auc),
            _gain(curve.unseen_auc, curves["random"].unseen_auc),
        )
        last = (curve.fractures[:, -1] - curves["random"].fractures[:, -1]).mean()
        rows.append((name, *(_interval(one) for one in gains), f"{last:+.0f}", _saved_labels(curve, curves["random"])))
        data[name] |= {"gain_block": gains[0], "gain_unseen": gains[1]}  # type: ignore[operator]
    unseen = len(task.fractured) - task.block
    return Section(
        heading="Active selection against labelling at random",
        paragraphs=(
            f"{size.seeds} seeds. Each splits {task.block} radiographs of FracAtlas' training block into a pool and a"
            f" half that nobody labels, begins with {FIRST} random labels and adds {STEP} a round, {size.rounds} rounds"
            " long. The learner is a logistic regression on the frozen detector's pooled features; selection sees no"
            " label that was not asked for. Gains are means over all rounds of the difference in AUC to random labels"
            " of the same seed.",
            verdict(curves),
            "What it does not show: the detector has learned from this block before, so that its features separate"
            f" fractures better there than on new radiographs; the {unseen} validation radiographs are new, but few,"
            " and are the same for every seed, so that the interval there covers the choice of labels, not of patients."
            " A detector that is fine-tuned as a whole may gain more or less. Nobody measured a radiologist's time.",
        ),
        tables=(
            Table(
                columns=(
                    "Strategy",
                    "Gain in AUC, unlabelled half (95 %)",
                    "Gain in AUC, validation part (95 %)",
                    "More fractures among the labels",
                    "Labels for what random reaches at the end",
                ),
                rows=tuple(rows),
                caption="Against labelling at random; 95 % t intervals over seeds.",
            ),
        ),
        figures=(_picture(curves, out / "selection-curves.png"),),
        data=data,
    )


def verdict(curves: Mapping[str, Curve]) -> str:
    """In one sentence whether the strategy that the command uses wins."""
    own, random = curves["uncertainty and diversity"], curves["random"]
    parts = []
    for words, mine, theirs in (
        ("the unlabelled half", own.block_auc, random.block_auc),
        ("the validation part", own.unseen_auc, random.unseen_auc),
    ):
        _, low, high = _gain(mine, theirs)
        parts.append(f"{'better' if low > 0 else 'worse' if high < 0 else 'no different'} on {words}")
    return f"In short, against labelling at random, selection by uncertainty and diversity is {' and '.join(parts)}."


def _gain(mine: Scores, theirs: Scores) -> tuple[float, float, float]:
    """Mean difference over rounds, with its interval over seeds."""
    differences = np.nanmean(mine[:, 1:] - theirs[:, 1:], axis=1)
    middle = float(differences.mean())
    half = float(stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences)))
    return middle, middle - half, middle + half


def _interval(gain: tuple[float, float, float]) -> str:
    return f"{gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f})"


def _saved_labels(curve: Curve, random: Curve) -> str:
    """Labels after which the mean curve stays where random ends."""
    target = float(np.nanmean(random.block_auc[:, -1]))
    reached = np.flatnonzero(np.nanmean(curve.block_auc, axis=0) >= target)
    return f"{curve.labels[reached[0]]} instead of {random.labels[-1]}" if reached.size else "not reached"


def _picture(curves: Mapping[str, Curve], path: Path) -> Path:
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.3))
    titles = ("AUC, unlabelled half", "AUC, validation part", "fractures among the labels")
    for name, curve in curves.items():
        for axis, values in zip(axes, (curve.block_auc, curve.unseen_auc, curve.fractures), strict=True):
            middle = np.nanmean(values, axis=0)
            half = 1.96 * np.nanstd(values, axis=0) / np.sqrt(len(values))
            axis.plot(curve.labels, middle, label=name)
            axis.fill_between(curve.labels, middle - half, middle + half, alpha=0.2)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("labels", fontsize=8)
    axes[0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)
    return path
