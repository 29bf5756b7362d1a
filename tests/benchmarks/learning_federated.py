"""Proof of federated learning on public data: each hospital alone, together, and all data in one place.

    .venv/bin/python -m tests.benchmarks.learning_federated --data ../shared/data --out proof

Risk: NHANES survey cycles are the hospitals, separate processes over Flower; a fifth of the survey's sampling units is
locked away from all of them. Small budgets: the figures compare ways to learn, they are not those of the shipped
models. The detector has a proof of its own: ``learning_federated_detector``.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cds.learning.federated.transport import quiet_flower

quiet_flower()

from cds.learning.federated.client import HospitalClient  # noqa: E402
from cds.learning.federated.identity import load_identity  # noqa: E402
from cds.learning.federated.learners import linear, trees  # noqa: E402
from cds.learning.federated.learners.base import Learner  # noqa: E402
from cds.learning.federated.learners.choose import make_rules  # noqa: E402
from cds.learning.federated.learners.rows import Outcome, Rows, read_rows  # noqa: E402
from cds.learning.federated.orders import Order  # noqa: E402
from cds.learning.federated.privacy import Steps, epsilon_of  # noqa: E402
from cds.learning.federated.server import RoundServer  # noqa: E402
from cds.learning.federated.settings import (  # noqa: E402
    Aggregation,
    FederationSettings,
    ModelKind,
    NoiseSettings,
)
from cds.learning.federated.simulation import SimulatedHospital, simulate  # noqa: E402
from cds.learning.federated.wire import Tensors, read_sent, totals  # noqa: E402
from tabular.metrics import Metric, auc, person_bootstrap  # noqa: E402
from tests.benchmarks.learning_report import Proof, Section, Table  # noqa: E402
from tests.support.federation import BadLearner, DirectProxy, scaled_update  # noqa: E402

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much work the proof does."""

    tree_rounds: int = 15
    linear_rounds: int = 10
    noise_multipliers: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 16.0, 64.0)
    replicates: int = 400
    """Bootstrap draws of an interval."""
    processes: bool = True
    """Whether hospitals are real processes; otherwise server and clients share one, without a network."""
    process_timeout_s: float = 3600.0
    detector_rounds: int = 3
    detector_steps: int = 16
    detector_crops: int = 160
    detector_locked: int = 120
    """Radiographs of the locked set, half of them fractured as far as there are."""
    detector_side: int = 320
    """Side of the canvas for judging, pixels."""
    detector_proximal: bool = False
    """Whether FedProx is tried beside FedAvg; a federation costs more than all that is learnt in one process."""


SIZES = {
    "tiny": Budget(
        tree_rounds=2,
        linear_rounds=2,
        noise_multipliers=(1.0,),
        replicates=20,
        processes=False,
        detector_rounds=1,
        detector_steps=2,
        detector_crops=8,
        detector_locked=8,
    ),
    "small": Budget(),
    "full": Budget(
        tree_rounds=60,
        linear_rounds=40,
        detector_rounds=10,
        detector_steps=60,
        detector_crops=960,
        detector_proximal=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The survey dealt to hospitals, and what none of them sees."""

    hospitals: dict[str, Path]
    locked: Rows
    pooled: Rows


def prove(data: Path, out: Path, *, budget: str, seed: int = 7) -> Proof:
    """All sections.

    Args:
        data: folder with ``tabular``.
        out: folder for figures, processes and ``federated.json``.
        budget: a key of `SIZES`.
        seed: of splits, training and bootstrap.
    """
    size = SIZES[budget]
    if out.exists():
        shutil.rmtree(out)  # a federation would go on from the state that it finds
    out.mkdir(parents=True)
    tables = deal(data / "tabular" / "nhanes_osteo.csv.gz", out / "data", seed)
    sections = [
        risk_section(tables, out, size, seed),
        noise_section(tables, out, size, seed),
        attack_section(tables, out, size, seed),
    ]
    content = {section.heading: section.data for section in sections}
    (out / "federated.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return sections


def deal(survey: Path, out: Path, seed: int) -> Tables:
    """One hospital a survey cycle; whole sampling units (stratum and unit) are locked away first."""
    table = pd.read_csv(survey, low_memory=False)
    unit = table["SDMVSTRA"].astype(int) * 10 + table["SDMVPSU"].astype(int)
    rng = np.random.default_rng(seed)
    units = np.unique(unit)
    locked = unit.isin(rng.choice(units, size=len(units) // 5, replace=False))
    hospitals = {}
    out.mkdir(parents=True, exist_ok=True)
    for cycle, rows in table[~locked].groupby("cycle"):
        hospitals[f"NHANES {cycle}"] = _written(rows, out / f"{cycle}.csv")
    return Tables(
        hospitals=hospitals,
        locked=read_rows(_written(table[locked], out / "locked.csv"), Outcome.FRACTURE),
        pooled=read_rows(_written(table[~locked], out / "pooled.csv"), Outcome.FRACTURE),
    )


def _written(rows: pd.DataFrame, path: Path) -> Path:
    rows.to_csv(path, index=False)
    return path


def measured(scores: Floats, events: Floats, budget: Budget, seed: int) -> Metric:
    """Area under the ROC curve with the 95 % interval of a bootstrap over people."""
    draws = person_bootstrap(len(events), replicates=budget.replicates, seed=seed)
    return draws.measure(lambda weights: auc(scores, events, weights), np.ones(len(events)))


def difference(one: Floats, other: Floats, events: Floats, budget: Budget, seed: int) -> Metric:
    """Difference of two models' AUC on the same people, drawn in pairs."""
    draws = person_bootstrap(len(events), replicates=budget.replicates, seed=seed)
    return draws.measure(lambda weights: auc(one, events, weights) - auc(other, events, weights), np.ones(len(events)))


def words(metric: Metric) -> str:
    """A figure as it is printed."""
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def risk_section(tables: Tables, out: Path, budget: Budget, seed: int) -> Section:
    """Boosted trees: alone, federated over real processes, pooled."""
    begun = time.process_time()
    settings = FederationSettings(
        kind=ModelKind.RISK,
        rounds=budget.tree_rounds,
        min_hospitals=len(tables.hospitals),
        wait_s=budget.process_timeout_s,
        learning={"outcome": "fracture", "trees": 1, "depth": 3, "rate": 0.3, "shrinkage": 5.0},
        seed=seed,
    )
    rows = {name: read_rows(path, Outcome.FRACTURE) for name, path in tables.hospitals.items()}
    scores = {
        name: trees.predict(_grown(one, settings), tables.locked.matrix, Outcome.FRACTURE)
        for name, one in {**rows, "all data in one place": tables.pooled}.items()
    }
    wall = time.monotonic()
    processes = [
        SimulatedHospital(name=f"hospital-{index}", data=path) for index, path in enumerate(tables.hospitals.values())
    ]
    if budget.processes:
        forest = common_model(simulate(settings, processes, out / "risk", timeout_s=budget.process_timeout_s))
    else:
        forest = in_process(settings, list(rows.values()), out / "risk")
    wall = time.monotonic() - wall
    federated = trees.predict(forest, tables.locked.matrix, Outcome.FRACTURE)
    gains = {name: difference(federated, one, tables.locked.events, budget, seed) for name, one in scores.items()}
    scores["federated"] = federated
    metrics = {name: measured(one, tables.locked.events, budget, seed) for name, one in scores.items()}
    sent = {
        name: dict(totals(read_sent(out / "risk" / one.name / "sent.jsonl")))
        for name, one in zip(tables.hospitals, processes, strict=True)
    }
    kinds = sorted({kind for sums in sent.values() for kind in sums})
    learnt = {name: len(one.events) for name, one in rows.items()} | {
        "all data in one place": len(tables.pooled.events)
    }
    learnt["federated"] = learnt["all data in one place"]
    figure = forest_plot(metrics, out / "federated-risk.png", "AUC on the locked set")
    return Section(
        heading="Risk model learnt by several hospitals",
        paragraphs=(
            f"{len(rows)} hospitals (NHANES cycles), "
            f"{'each a process of its own' if budget.processes else 'in one process without a network'}, grew one "
            f"forest with Flower: {budget.tree_rounds} rounds, one tree a hospital and round. Outcome: hip, wrist or "
            "spine fracture ever (self-reported), people of 40 and over. "
            f"Locked set: {len(tables.locked.events)} people, "
            f"{int(tables.locked.events.sum())} with the outcome, from sampling units that no hospital saw.",
            "Each hospital alone and all data in one place had the same number of rounds, depth and learning rate.",
        ),
        tables=(
            Table(
                columns=("model", "learnt from", "AUC (95 % interval)", "federated minus this one, in pairs"),
                rows=tuple(
                    (name, str(learnt[name]), words(metric), words(gains[name]) if name in gains else "")
                    for name, metric in metrics.items()
                ),
                caption="The same locked set for all; bootstrap over people.",
            ),
            Table(
                columns=("hospital", *kinds),
                rows=tuple((name, *(str(sums.get(kind, 0)) for kind in kinds)) for name, sums in sent.items()),
                caption="Everything that left each hospital, bytes by kind (sent.jsonl).",
            ),
        ),
        figures=(figure,),
        data={
            "auc": {name: metric.to_json() for name, metric in metrics.items()},
            "federated_minus": {name: gain.to_json() for name, gain in gains.items()},
            "learnt_from": learnt,
            "sent_bytes": sent,
            "events": int(tables.locked.events.sum()),
            "federation_wall_s": round(wall, 1),
            "own_cpu_s": round(time.process_time() - begun, 1),
        },
    )


def _grown(rows: Rows, settings: FederationSettings) -> Tensors:
    """What one place learns with the same settings, from its own rows only."""
    learner = trees.TreeLearner(rows, Outcome.FRACTURE, settings.learning)
    forest = trees.empty_forest()
    for number in range(settings.rounds):
        order = Order(task="update", run="", round=number + 1, nonce=b"", settings=settings)
        forest = trees.concatenate([forest, learner.learn(forest, order)])
    return forest


def common_model(server: Path) -> Tensors:
    """The weights in a server's folder."""
    state = json.loads((server / "state.json").read_text(encoding="utf-8"))
    with np.load(server / state["weights"], allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def in_process(
    settings: FederationSettings,
    tables: Sequence[Rows],
    out: Path,
    *,
    bad: Callable[[Learner], Learner] | None = None,
) -> Tensors:
    """The same server and clients without a network between them; `bad` replaces the first hospital's learner."""
    server = RoundServer(settings=settings, rules=make_rules(settings), out=out / "server")
    for index, rows in enumerate(tables):
        learner: Learner = (
            trees.TreeLearner(rows, Outcome.FRACTURE, settings.learning)
            if settings.kind is ModelKind.RISK
            else linear.LinearLearner(rows, Outcome.FRACTURE)
        )
        if bad is not None and index == 0:
            learner = bad(learner)
        client = HospitalClient(
            identity=load_identity(out / f"hospital-{index}" / "key"),
            make_learner=lambda _, learner=learner: learner,  # type: ignore[misc]
            out=out / f"hospital-{index}",
        )
        server.client_manager().register(DirectProxy(str(index), client))
    server.fit(1, None)
    if server.failure is not None:
        raise server.failure
    return common_model(out / "server")


def noise_section(tables: Tables, out: Path, budget: Budget, seed: int) -> Section:
    """Differential privacy: epsilon against AUC, logistic model."""
    rows = [read_rows(path, Outcome.FRACTURE) for path in tables.hospitals.values()]
    learning = {"outcome": "fracture", "steps": 10, "sampling": 0.1, "rate": 1.0}
    plain = FederationSettings(
        kind=ModelKind.RISK_LINEAR, rounds=budget.linear_rounds, learning=learning, wait_s=0, seed=seed
    )
    delta = 1e-5
    figures: list[tuple[str, float, Metric]] = []
    for multiplier in (None, *budget.noise_multipliers):
        noise = None if multiplier is None else NoiseSettings(clip_norm=1.0, noise_multiplier=multiplier, delta=delta)
        weights = in_process(replace(plain, noise=noise), rows, out / f"noise-{multiplier}")
        scores = linear.predict(weights, tables.locked.matrix, Outcome.FRACTURE)
        metric = measured(scores, tables.locked.events, budget, seed)
        steps = 10 * budget.linear_rounds
        epsilon = (
            float("inf")
            if multiplier is None
            else epsilon_of([Steps(noise_multiplier=multiplier, sampling=0.1, count=steps)], delta)
        )
        figures.append(("none" if multiplier is None else f"{multiplier:g}", epsilon, metric))
    picture = _epsilon_plot(figures, out / "federated-epsilon.png")
    return Section(
        heading="Differential privacy: what a person's protection costs",
        paragraphs=(
            f"Logistic model on the same hospitals, {budget.linear_rounds} rounds of 10 steps, each person in a step "
            f"with chance 0.1, every person's gradient clipped to norm 1. Epsilon at delta {delta:g}, for adding or "
            "removing one person of one hospital; the number of examples is sent as it is.",
            "Clipping alone costs something too: it is there at every epsilon. "
            "Each row is one run with noise that is drawn anew every time, so that figures differ a little by run.",
        ),
        tables=(
            Table(
                columns=("noise multiplier", "epsilon", "AUC (95 % interval)"),
                rows=tuple(
                    (name, f"{epsilon:.2f}" if np.isfinite(epsilon) else "no bound", words(metric))
                    for name, epsilon, metric in figures
                ),
            ),
        ),
        figures=(picture,),
        data={
            "delta": delta,
            "runs": [
                {"noise_multiplier": name, "epsilon": None if epsilon == float("inf") else round(epsilon, 3)}
                | {"auc": metric.to_json()}
                for name, epsilon, metric in figures
            ],
        },
    )


def attack_section(tables: Tables, out: Path, budget: Budget, seed: int) -> Section:
    """A malicious hospital with and without defence, logistic model."""
    rows = [read_rows(path, Outcome.FRACTURE) for path in tables.hospitals.values()]
    learning = {"outcome": "fracture", "steps": 10, "sampling": 0.5, "rate": 1.0}
    plain = FederationSettings(
        kind=ModelKind.RISK_LINEAR, rounds=budget.linear_rounds, learning=learning, wait_s=0, seed=seed
    )

    def reversed_and_enlarged(learner: Learner) -> Learner:
        return BadLearner(learner, scaled_update(-10.0))

    cases: list[tuple[str, FederationSettings, Callable[[Learner], Learner] | None]] = [
        ("no attack, mean", plain, None),
        ("attack, mean", plain, reversed_and_enlarged),
        ("attack, norm clipped to 1", replace(plain, clip_norm=1.0), reversed_and_enlarged),
        ("attack, median", replace(plain, aggregation=Aggregation.MEDIAN), reversed_and_enlarged),
        (
            "attack, trimmed mean",
            replace(plain, aggregation=Aggregation.TRIMMED_MEAN, trim=0.25),
            reversed_and_enlarged,
        ),
        ("no attack, median", replace(plain, aggregation=Aggregation.MEDIAN), None),
    ]
    metrics = {}
    for index, (name, settings, bad) in enumerate(cases):
        weights = in_process(settings, rows, out / f"attack-{index}", bad=bad)
        scores = linear.predict(weights, tables.locked.matrix, Outcome.FRACTURE)
        metrics[name] = measured(scores, tables.locked.events, budget, seed)
    return Section(
        heading="One malicious hospital",
        paragraphs=(
            f"One of {len(rows)} hospitals sends its update reversed and ten times enlarged in every round. "
            "Norm clipping alone bounds the harm; the median and the trimmed mean ignore it. None of them survives a "
            "malicious majority, nor notices poison that is no larger than an honest update.",
        ),
        tables=(
            Table(
                columns=("rounds", "AUC (95 % interval)"),
                rows=tuple((name, words(metric)) for name, metric in metrics.items()),
            ),
        ),
        figures=(forest_plot(metrics, out / "federated-attack.png", "AUC on the locked set"),),
        data={"auc": {name: metric.to_json() for name, metric in metrics.items()}},
    )


def forest_plot(metrics: dict[str, Metric], path: Path, label: str) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.5 + 0.45 * len(metrics)), layout="constrained")
    axes = figure.subplots()
    for place, metric in enumerate(metrics.values()):
        axes.plot([metric.low, metric.high], [place, place], color="tab:blue")
        axes.plot(metric.value, place, "o", color="tab:blue")
    axes.axvline(0.5, color="grey", linestyle=":")
    axes.set_yticks(range(len(metrics)), list(metrics))
    axes.invert_yaxis()
    axes.set_xlabel(f"{label} (95 % interval)")
    figure.savefig(path, dpi=110)
    return path


def _epsilon_plot(figures: Sequence[tuple[str, float, Metric]], path: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    private = [(epsilon, metric) for _, epsilon, metric in figures if np.isfinite(epsilon)]
    axes.errorbar(
        [epsilon for epsilon, _ in private],
        [metric.value for _, metric in private],
        yerr=np.array([[m.value - m.low, m.high - m.value] for _, m in private]).T,
        fmt="o",
    )
    for _, epsilon, metric in figures:
        if not np.isfinite(epsilon):
            axes.axhline(metric.value, color="grey", linestyle="--", label="without noise")
    axes.set_xscale("log")
    axes.set_xlabel("epsilon (smaller protects more)")
    axes.set_ylabel("AUC on the locked set")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)
    return path


def main() -> None:
    """Run the proof and print its tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with tabular")
    parser.add_argument("--out", type=Path, required=True, help="folder; made anew")
    parser.add_argument("--budget", choices=sorted(SIZES), default="small")
    arguments = parser.parse_args()
    for section in prove(arguments.data, arguments.out, budget=arguments.budget):
        print(section.heading)
        for table in section.tables:
            print("  ", " | ".join(table.columns))
            for row in table.rows:
                print("  ", " | ".join(row))


if __name__ == "__main__":
    main()
