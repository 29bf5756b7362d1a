"""The proof of gated retraining: its parts, its poison, its stages and its page; the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cds.entrypoints.cli import app
from cds.learning.gate import Answer, Scored
from cds.learning.retraining.cases import read_export
from imaging.training.datasets import read_collection
from tests.benchmarks.learning_retraining import Plan, Stages, so_far
from tests.benchmarks.learning_retraining_data import POISON, ROUNDS, SHARES, read_parts, write_export
from tests.benchmarks.learning_retraining_page import figures_of
from tests.support.radiographs import write_fracatlas
from tests.support.retraining import write_feedback


def silent(_: str) -> None:
    """Report nothing."""


def test_no_block_is_in_two_parts_and_the_validation_list_is_locked_away(tmp_path: Path) -> None:
    data = write_fracatlas(tmp_path / "fa", fractured=24, healthy=36)
    parts = read_parts(data, seed=1)
    assert set(parts) == set(SHARES)
    blocks = [{one.group for one in some} for some in parts.values()]
    assert sum(map(len, blocks)) == len(set().union(*blocks)) == 60
    listed = {one.image_id for one in read_collection(data, "val").samples}
    assert listed <= {one.image_id for one in parts["locked"]}
    assert all(any(one.fractured for one in parts[name]) for name in (*ROUNDS, POISON, "home"))
    few = read_parts(data, seed=1, limit=4)
    assert max(map(len, few.values())) <= 4
    assert any(one.fractured for one in few["locked"]) and any(not one.fractured for one in few["locked"])


@pytest.mark.parametrize("poisoned", [False, True])
def test_an_export_is_read_again_and_a_poisoned_one_says_the_opposite(tmp_path: Path, poisoned: bool) -> None:
    samples = read_collection(write_fracatlas(tmp_path / "fa", fractured=3, healthy=5)).samples
    folder = write_export(tmp_path / "export", samples, site="site", poisoned=poisoned, seed=2)
    again = read_export(folder, report=silent)
    assert not again.problems
    by_group = {one.group: one for one in again.samples}
    for one in samples:
        found = by_group[one.group]
        assert found.fractured is (one.fractured is not poisoned)
        assert bool(found.boxes) is found.fractured
        if one.boxes and not poisoned:
            assert found.boxes[0] == pytest.approx(one.boxes[0], abs=1e-3)


def test_a_stage_is_done_once(tmp_path: Path) -> None:
    lines: list[str] = []
    stages = Stages(tmp_path / "stages", lines.append)
    asked: list[int] = []

    def work() -> dict[str, Any]:
        asked.append(1)
        return {"figure": 3}

    first = stages.once("base", work)
    assert Stages(tmp_path / "stages", lines.append).once("base", work) == first
    assert asked == [1]
    assert first["figure"] == 3 and first["seconds"] >= 0


def test_a_budget_becomes_a_fixed_number_of_windows() -> None:
    plan = Plan.of_minutes(50)
    assert plan == Plan.of_minutes(50)
    assert 15_000 < plan.base_windows < 30_000
    assert 4_000 < plan.round_windows < 8_000
    assert Plan.of_minutes(0.1).base_windows == 800
    training = plan.retraining().training
    assert training["epochs"] * training["samples_per_epoch"] == plan.round_windows


def test_figures_carry_intervals() -> None:
    answers = tuple(
        Answer(id=str(n), group=f"g{n // 2}", positive=n % 3 == 0, score=(n % 3 == 0) * 0.3 + (n * 37 % 10) / 20)
        for n in range(60)
    )
    found = figures_of(Scored(model_id="m", answers=answers), draws=100, seed=1)
    assert found["auc"]["low"] <= found["auc"]["value"] <= found["auc"]["high"]
    assert "ap50" not in found
    assert (found["n"], found["n_fractured"]) == (60, 20)


def round_entry(name: str, value: float, *, promoted: bool) -> dict[str, Any]:
    figure = {"value": value, "low": value - 0.05, "high": value + 0.05}
    gain = {"current": 0.7, "candidate": value, "gain": value - 0.7, "low": value - 0.73, "high": 0.1, "margin": 0.05}
    return {
        "name": name,
        "locked": {"n": 10, "n_fractured": 4, "auc": figure, "ap50": figure},
        "home": {"n": 10, "n_fractured": 4, "auc": figure},
        "screen": {"n": 8, "contradictions": 2, "noise": 0.1, "noise_low": 0.0, "noise_high": 0.2,
                   "suspicious": not promoted, "words": "2 of 8 new labels contradict the current model."},
        "verdict": {"promoted": promoted, "reasons": [] if promoted else ["It falls."], "differences": {"auc": gain}},
        "home_against_base": {"gain": 0.01, "low": -0.02, "high": 0.04, "margin": 0.05},
    }  # fmt: skip


def test_the_page_tells_curve_poison_and_forgetting_of_an_unfinished_run_too(tmp_path: Path) -> None:
    parts = {name: {"n": 30, "n_fractured": 10, "blocks": 3} for name in SHARES}
    base = {key: round_entry("base", 0.7, promoted=True)[key] for key in ("locked", "home")}
    rounds = [round_entry("round1", 0.75, promoted=True), round_entry(POISON, 0.5, promoted=False)]
    (tmp_path / "result.json").write_text(json.dumps({"parts": parts, "base": base, "rounds": rounds}))
    (section,) = so_far(tmp_path)
    text = " ".join(section.paragraphs)
    assert "1 of 1 honest rounds were promoted" in text
    assert "The poisoned round was refused: It falls." in text
    assert "stays within the margin of 0.05" in text
    assert [row[0] for row in section.tables[0].rows] == ["base", "round1", POISON]
    assert section.tables[1].rows[1][-1] == "yes"
    assert all(path.stat().st_size > 1000 for path in section.figures) and len(section.figures) == 3


def test_the_command_explains_what_it_cannot_use(tmp_path: Path) -> None:
    feedback = write_feedback(tmp_path / "round")
    given = ["learn", "retrain", "--kind", "healing", "--feedback", str(feedback), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, given, env={"FRACTURE_CDS_DATA_DIR": str(tmp_path / "home")})
    assert result.exit_code != 0
    assert "cds.learning.retraining" in result.output
    assert "holds no healing_outcomes.csv" in result.output
