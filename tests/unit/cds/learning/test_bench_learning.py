"""The one page of the proofs: a failure is shown and stops nothing; the page needs no other file."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks import learning_drift, learning_selection
from tests.benchmarks.learning import Prove, document, main, render, run, write
from tests.benchmarks.learning_cases import NUMBERS, SeenCases
from tests.benchmarks.learning_report import Section, Table
from tests.benchmarks.learning_retraining_data import POISON, ROUNDS
from tests.support.federation import survey_table

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


def load(name: str) -> Prove:
    def works(data: Path, out: Path, *, budget: str) -> Sequence[Section]:
        picture = out / "a-curve.png"
        picture.write_bytes(PIXEL)
        table = Table(columns=("what",), rows=(("<b>1 & 2</b>",),))
        return [Section(heading=name, paragraphs=(budget,), tables=(table,), figures=(picture,), data={"n": 3})]

    def fails(data: Path, out: Path, *, budget: str) -> Sequence[Section]:
        raise ValueError("no data <here>")

    return fails if name == "federated" else works


def test_a_failing_proof_is_shown_and_stops_nothing(tmp_path: Path) -> None:
    report = run(("federated", "drift"), tmp_path, tmp_path / "out", budget="small", load=load)
    write(report, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Failed." in page
    assert "no data &lt;here&gt;" in page
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in page
    assert 'src="data:image/png;base64,' in page
    assert "http://" not in page
    assert str(tmp_path) not in page
    stored = json.loads((tmp_path / "out" / "learning.json").read_text())
    assert [one["failure"] is None for one in stored["proofs"]] == [False, True]
    assert stored["proofs"][1]["sections"][0]["data"] == {"n": 3}
    assert document(report)["budget"] == "small"
    assert render(report) == page


def test_what_is_finished_is_kept(tmp_path: Path) -> None:
    first = run(("drift", "federated"), tmp_path, tmp_path, budget="small", load=load)
    again = run(("drift", "federated"), tmp_path, tmp_path, budget="small", keep=True, load=lambda name: never)
    assert again.proofs[0] == first.proofs[0]
    assert again.proofs[1].failure is not None
    other = run(("drift",), tmp_path, tmp_path, budget="full", keep=True, load=load)
    assert other.proofs[0].sections[0].paragraphs == ("full",)


def never(data: Path, out: Path, *, budget: str) -> Sequence[Section]:
    raise RuntimeError("it was to be kept")


# --- the whole report, tiny


def made_up_cases(data: Path, cache: Path, *, split: str, limit: int | None = None, **_: object) -> SeenCases:
    """Cases as the detector might see them."""
    count = 240 if split == "train" else 40
    draw = np.random.default_rng(count)
    fractured = draw.random(count) < 0.4
    numbers = draw.random((count, len(NUMBERS)))
    for name in ("abstained", "positive", "suspected"):
        numbers[:, NUMBERS.index(name)] = numbers[:, NUMBERS.index(name)] > 0.6
    return SeenCases(
        ids=tuple(map(str, range(count))),
        numbers=numbers,
        regions=tuple(draw.choice(["hand_arm", "hip_pelvis"], count).tolist()),
        fractured=fractured,
        scores=draw.random(count),
        vectors=(draw.normal(size=(count, 64)) + fractured[:, None]).astype(np.float32),
        model="made-up",
    )


def write_finished_retraining(folder: Path) -> None:
    """The result of a run that came to its end, as `tests.benchmarks.learning_retraining` keeps it."""
    figure = {"value": 0.7, "low": 0.6, "high": 0.8}
    figures = {"locked": {"auc": figure, "ap50": figure}, "home": {"auc": figure}}
    screen = {"n": 8, "contradictions": 2, "noise": None, "suspicious": False, "words": "2 of 8 contradict."}
    gain = {"gain": 0.0, "low": -0.02}
    verdict = {"promoted": False, "reasons": ["It falls."], "differences": {"auc": gain}}
    kept = {"gain": 0.0, "low": -0.1, "high": 0.1, "margin": 0.05}
    rounds = [
        {"name": name, **figures, "screen": screen, "verdict": verdict, "home_against_base": kept}
        for name in (*ROUNDS, POISON)
    ]
    parts = {name: {"n": 30, "n_fractured": 10, "blocks": 3} for name in ("base", "locked")}
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"parts": parts, "base": figures, "rounds": rounds}))


def test_the_whole_report_tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (learning_drift, learning_selection):
        monkeypatch.setattr(module, "seen_cases", made_up_cases)
    (tmp_path / "data" / "tabular").mkdir(parents=True)
    years = []
    for index, cycle in enumerate(("2005-2006", "2007-2008", "2009-2010")):
        people = survey_table(150, index).assign(cycle=cycle)
        years.append(people.assign(SDMVSTRA=people.index % 5, SDMVPSU=people.index % 2 + 1))
    pd.concat(years).to_csv(tmp_path / "data" / "tabular" / "nhanes_osteo.csv.gz", index=False)
    out = tmp_path / "out"
    write_finished_retraining(out / "retraining" / "full")
    asked = ["--data", str(tmp_path / "data"), "--out", str(out), "--budget", "tiny"]
    code = main([*asked, "--only", "retraining,federated,drift,selection"])
    told = json.loads((out / "learning.json").read_text())
    assert [(one["name"], one["failure"]) for one in told["proofs"]] == [
        (name, None) for name in ("retraining", "federated", "drift", "selection")
    ]
    assert code == 0
    page = (out / "index.html").read_text()
    assert page.count('src="data:image/png;base64,') >= 9
    assert str(tmp_path) not in page + json.dumps(told)
    assert not {"NaN", "nan"} & set(page.replace(">", " ").replace("<", " ").split())


def test_unknown_proofs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path), "--out", str(tmp_path), "--only", "alchemy"])
