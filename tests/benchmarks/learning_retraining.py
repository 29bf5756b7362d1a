"""Gated retraining on real radiographs: four rounds of feedback, a poisoned fifth, and what is forgotten meanwhile.

    python -m tests.benchmarks.learning_retraining --out FOLDER [--minutes 50] [--data FRACATLAS]

FracAtlas is parted by blocks of a hundred neighbouring ids, so that views of one limb stay together:

* ``base``, a third, and ``home``, its own held-out blocks: together half of what is not locked away. A detector is
  trained on ``base`` from the ImageNet weights of its backbone; the shipped weights saw all blocks and take no part.
* ``round1`` to ``round4``: the other half comes as feedback, in folders as ``cds feedback export`` writes them. Each is
  screened, mixed with a replay of all that came before, learnt, and then promoted or refused by the gate. What was
  refused is offered again with the next round.
* ``poison``: a fifth round whose every label is flipped. The gate must refuse it.
* ``locked``: the blocks of the official validation list and some more. No model sees them; the gate decides on them.

Every stage is kept in the folder, so that an interrupted run goes on; deterministic by seed, but for the speed of the
machine, which decides nothing: ``--minutes`` is turned into a fixed number of windows.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from cds.learning.gate import Scored, Verdict, compare
from cds.learning.margins import Margins, read_margins
from cds.learning.models import ModelStore
from cds.learning.provenance import PROVENANCE_NAME, Provenance, read_provenance
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.detector import retrain_detector
from cds.learning.retraining.mix import mix, write_mix
from cds.learning.retraining.record import Record, SourceCount, write_record
from cds.learning.scoring import score_collection
from imaging.manifest import MANIFEST_NAME
from imaging.training.datasets import Collection
from imaging.training.release import WEIGHTS_NAME
from imaging.training.train import TrainingConfig
from imaging.training.train import run as train
from tests.benchmarks.learning_report import Proof
from tests.benchmarks.learning_retraining_data import POISON, ROUNDS, read_parts, write_export
from tests.benchmarks.learning_retraining_page import figures_of, plots, sections, verdict_entry
from tests.support.shared import shared_dir

WINDOWS_PER_MINUTE: Final = 1300
"""Of a training on one core, set low; the rest of a budget is spent on looking at the locked set."""
BASE_SHARE: Final = 0.42
"""Of the windows of a budget, those of the base model; the five rounds share the rest."""
LOOKING_SHARE: Final = 0.2
"""Of the minutes, what looking and writing take."""
DRAWS: Final = 1000
FORGETTING: Final[Mapping[str, tuple[str, ...]]] = {
    "held-out blocks of the base half": ("home",),
    "the locked set": ("locked",),
    "both together": ("home", "locked"),
}
"""Radiographs that neither the base model nor the last promoted one learned from; both were asked about them anyway."""
WHO: Final = "proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much work the proof does."""

    base_windows: int = 24000
    round_windows: int = 6400
    replay_share: float = 0.6
    graph: str = "yolov7-tiny-lite0"
    image_size: int = 512
    crop_size: int = 256
    batch_size: int = 16
    precision: str = "auto"
    draws: int = DRAWS
    limit: int | None = None
    """So many images of each part at most; None takes all."""
    seed: int = 20261122

    @classmethod
    def of_minutes(cls, minutes: float) -> "Plan":
        """As much as one core does in that time."""
        windows = minutes * (1 - LOOKING_SHARE) * WINDOWS_PER_MINUTE
        base = int(windows * BASE_SHARE) // 800 * 800
        each = int(windows * (1 - BASE_SHARE) / (len(ROUNDS) + 1)) // 400 * 400
        return cls(base_windows=max(base, 800), round_windows=max(each, 400))

    def training(self) -> TrainingConfig:
        """Settings of the base model."""
        epochs = 10
        return TrainingConfig(
            graph=self.graph,
            split_list="split_list.csv",
            image_size=self.image_size,
            crop_size=self.crop_size,
            batch_size=self.batch_size,
            samples_per_epoch=max(self.base_windows // epochs, self.batch_size),
            epochs=epochs,
            learning_rate=1e-3,
            average_decay=0.998,
            validate_every=1000,
            early_stopping_patience=1000,
            workers=0,
            precision=self.precision,
            gallery=0,
            seed=self.seed,
        )

    def retraining(self) -> RetrainConfig:
        """Settings of each round. The base half's own held-out blocks set the thresholds all along."""
        epochs = 4
        return RetrainConfig(
            replay_share=self.replay_share,
            held_out_share=0.0,
            seed=self.seed,
            training={
                "epochs": epochs,
                "samples_per_epoch": max(self.round_windows // epochs, self.batch_size),
                "gallery": 0,
            },
        )


BUDGETS: Final[Mapping[str, Plan]] = {
    "tiny": replace(Plan.of_minutes(0.1), limit=20, draws=50),
    "small": replace(Plan.of_minutes(3), limit=60, draws=200),
    "full": Plan.of_minutes(50),
}
"""Minutes of one core; the two smaller ones show that everything works, and prove nothing."""


class Stages:
    """What is finished, one JSON file per stage, with the seconds that it took."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self.folder = folder
        self._report = report
        folder.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of a stage: kept, or worked out now."""
        path = self.folder / f"{name}.json"
        if path.is_file():
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        self._report(f"{datetime.now(UTC):%H:%M:%S} {name} begins")
        start, cpu = time.monotonic(), time.process_time()
        result = work()
        result |= {"seconds": round(time.monotonic() - start), "cpu_seconds": round(time.process_time() - cpu)}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
        self._report(f"{datetime.now(UTC):%H:%M:%S} {name} done in {result['seconds']} s")
        return result


class RetrainingProof:
    """The whole proof in one folder.

    Args:
        data: FracAtlas.
        out: everything goes here.
        plan: how much work to do.
        margins: of the gate.
        report: receives one line per stage.
    """

    def __init__(
        self, data: Path, out: Path, plan: Plan, margins: Margins, report: Callable[[str], None] = print
    ) -> None:
        self.out = out
        self.plan = plan
        self.margins = margins
        self.report = report
        self.parts = read_parts(data, seed=plan.seed, limit=plan.limit)
        self.stages = Stages(out / "stages", report)
        self.store = ModelStore(out / "models")
        self.data = data

    def run(self) -> dict[str, Any]:
        """Every stage that is not done yet; the figures."""
        results: dict[str, Any] = {
            "plan": asdict(self.plan),
            "parts": {
                name: {
                    "n": len(some),
                    "n_fractured": sum(one.fractured for one in some),
                    "blocks": len({one.group for one in some}),
                }
                for name, some in self.parts.items()
            },
            "margins": dict(self.margins.by_metric),
            "rounds": [],
        }
        results["base"] = self.stages.once("base", self._base)
        self._save(results)
        waiting: list[Path] = []
        replay = self.out / "base-data"
        for name in (*ROUNDS, POISON):
            offered = [*waiting, self._export(name)]
            candidate = self.out / f"candidate-{name}"
            stage = self.stages.once(
                name, partial(self._round, offered, replay, candidate, results["base"]["model_id"])
            )
            results["rounds"].append({"name": name, **stage})
            self._save(results)
            if stage["verdict"]["promoted"]:
                waiting, replay = [], candidate
            elif name != POISON:
                waiting = offered
        promoted = [
            one["model_id"] for one in results["rounds"] if one["verdict"]["promoted"] and one["name"] != POISON
        ]
        if promoted:
            work = partial(self._forgetting, results["base"]["model_id"], promoted[-1])
            results["forgetting"] = self.stages.once("forgetting", work)
            self._save(results)
        return results

    def _forgetting(self, base_id: str, last_id: str) -> dict[str, Any]:
        """The base model and the last promoted one on radiographs that neither learned from."""
        found: dict[str, Any] = {"base": base_id, "last": last_id, "sets": {}}
        for name, parts in FORGETTING.items():
            before, after = (self._joined(parts, one) for one in (base_id, last_id))
            verdict = compare(before, after, self.margins, rounds=self.plan.draws, seed=self.plan.seed)
            auc = next(one for one in verdict.differences if one.metric == "auc")
            figures = {key: round(getattr(auc, key), 4) for key in ("current", "candidate", "gain", "low", "high")}
            counts = {"n": verdict.n, "n_fractured": verdict.n_positive, "limbs": verdict.n_groups}
            found["sets"][name] = {**counts, **figures, "margin": self.margins.by_metric["auc"]}
        return found

    def _joined(self, parts: Sequence[str], model_id: str) -> Scored:
        scored = [self._scored(part, model_id) for part in parts]
        return replace(scored[0], answers=tuple(one for some in scored for one in some.answers))

    def _save(self, results: Mapping[str, Any]) -> None:
        (self.out / "result.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    def _base(self) -> dict[str, Any]:
        """Train the base model; adopt it as the current one."""
        folder = self.out / "base"
        if not (folder / PROVENANCE_NAME).is_file():
            self._train_base(folder)
        model_id = self.store.adopt("detector", folder, by=WHO, why="the base model")
        self.store.promote("detector", model_id, by=WHO, why="the base model")
        return {"model_id": model_id, **self._figures(model_id)}

    def _train_base(self, folder: Path) -> None:
        data, work = self.out / "base-data", self.out / "base-work"
        mixed = mix(
            self.parts["base"], self.parts["home"], (), replay_share=0.5, held_out_share=0.0, seed=self.plan.seed
        )
        listed = write_mix(mixed, data, report=self.report)
        config = replace(self.plan.training(), split_list=str(listed))
        train(data, work, config=config, resume=True, progress=False, report=self.report)
        folder.mkdir(exist_ok=True)
        for name in (WEIGHTS_NAME, MANIFEST_NAME):
            shutil.copyfile(work / name, folder / name)
        source = SourceCount(name="base", role="replay", n=len(mixed.cases), held_out=len(self.parts["home"]))
        record = Record(
            kind="detector",
            parent_id=None,
            parent_sha256=None,
            why="The starting point of the proof.",
            method="Trained from the ImageNet weights of the backbone.",
            command="cds train detector --data DATA --out OUT",
            seed=self.plan.seed,
            config=asdict(config),
            sources=(source,),
            digests=mixed.digests,
        )
        write_record(record, folder, parent=None)

    def _export(self, name: str) -> Path:
        folder = self.out / "feedback" / name
        if not (folder / MANIFEST_NAME).is_file():
            write_export(folder, self.parts[name], site=name, poisoned=name == POISON, seed=self.plan.seed)
        return folder

    def _round(self, offered: Sequence[Path], replay: Path, out: Path, base_id: str) -> dict[str, Any]:
        """Retrain from the model in use, judge, and promote or refuse."""
        current_id = self.store.state().of("detector").current
        if current_id is None:
            raise RuntimeError("the base model was not promoted")
        retrain_detector(
            offered,
            replay,
            out,
            parent=self.store.path("detector", current_id),
            config=self.plan.retraining(),
            resume=out.is_dir(),
            report=self.report,
        )
        provenance = read_provenance(out)
        if provenance is None:
            raise RuntimeError("the candidate carries no provenance")
        model_id = self.store.adopt("detector", out, by=WHO, why=f"feedback of {offered[-1].name}")
        verdict = self._judged("locked", current_id, model_id, provenance)
        if verdict.promoted:
            self.store.promote("detector", model_id, by=WHO, why="the gate let it pass")
        else:
            self.store.refuse("detector", model_id, by=WHO, why=" ".join(verdict.reasons))
        kept = self._judged("home", base_id, model_id, None)
        forgetting = next(one for one in kept.differences if one.metric == "auc")
        return {
            "model_id": model_id,
            "parent": current_id,
            "offered": [one.name for one in offered],
            "screen": dict(provenance.details["screen"]),
            "verdict": verdict_entry(verdict),
            "home_against_base": {
                **{name: round(getattr(forgetting, name), 4) for name in ("gain", "low", "high")},
                "margin": self.margins.by_metric["auc"],
            },
            **self._figures(model_id),
        }

    def _scored(self, part: str, model_id: str) -> Scored:
        """What a kept model says of a part; each model looks at it once."""
        folder = self.store.path("detector", model_id)
        collection = Collection(name=part, samples=self.parts[part])
        return score_collection(folder, collection, self.data, cache=self.store.scores)

    def _judged(self, part: str, current_id: str, candidate_id: str, provenance: Provenance | None) -> Verdict:
        before, after = (self._scored(part, one) for one in (current_id, candidate_id))
        looks = None if provenance is None else self.store.count_look(before.data_sha256, candidate_id)
        return compare(
            before,
            after,
            self.margins,
            provenance=provenance,
            rounds=self.plan.draws,
            seed=self.plan.seed,
            looks=looks,
        )

    def _figures(self, model_id: str) -> dict[str, Any]:
        return {
            part: figures_of(self._scored(part, model_id), draws=self.plan.draws, seed=self.plan.seed)
            for part in ("locked", "home")
        }


def prove(data: Path, out: Path, *, budget: str) -> Proof:
    """The proof for the common page of the learning loop.

    Args:
        data: folder that holds ``fracatlas``.
        out: folder; an unfinished run of this budget in it goes on, and a finished one of this or of the full budget is
            shown as it is.
        budget: a key of `BUDGETS`.
    """
    for folder in (out / "full", out / budget):
        if is_finished(folder):
            return so_far(folder)
    return proof(out / budget, data=data / "fracatlas", plan=BUDGETS[budget])


def proof(out: Path, *, data: Path, plan: Plan, report: Callable[[str], None] = print) -> Proof:
    """Run or go on with the proof and say what came of it."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    margins = read_margins("detector", Path(__file__).with_name("learning_retraining_margins.yaml"))
    results = RetrainingProof(data, out.resolve(), plan, margins, report).run()
    return sections(results, plots(results, out))


def is_finished(out: Path) -> bool:
    """Whether a run in this folder came to its end."""
    result = out / "result.json"
    if not result.is_file():
        return False
    names = [one["name"] for one in json.loads(result.read_text(encoding="utf-8"))["rounds"]]
    return names == [*ROUNDS, POISON]


def so_far(out: Path) -> Proof:
    """What an unfinished run has found; nothing is computed."""
    results = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return sections(results, plots(results, out))


def main() -> None:
    """Run the proof, or show what is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder; an unfinished run in it goes on")
    parser.add_argument("--data", type=Path, help="FracAtlas; the shared data by default")
    parser.add_argument("--minutes", type=float, default=50.0, help="of one core")
    parser.add_argument("--limit", type=int, help="images of each part at most")
    parser.add_argument("--show", action="store_true", help="compute nothing: show what is there")
    chosen = parser.parse_args()
    if chosen.show:
        made = so_far(chosen.out)
    else:
        shared = shared_dir()
        data = chosen.data or (None if shared is None else shared / "data" / "fracatlas")
        if data is None:
            sys.exit("no FracAtlas: give its folder with --data")
        plan = replace(Plan.of_minutes(chosen.minutes), limit=chosen.limit)
        made = proof(chosen.out, data=data, plan=plan, report=lambda line: print(line, flush=True))
    for section in made:
        print(f"\n{section.heading}\n")
        print("\n\n".join(section.paragraphs))
        for table in section.tables:
            print("\n" + " | ".join(table.columns))
            print(*(" | ".join(row) for row in table.rows), sep="\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
