"""Suggestions: unsure, unlike each other, in time, with reasons; never what is judged, refused or erased."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cds.case import CaseInput
from cds.entrypoints import suggest_commands
from cds.entrypoints.cli import app
from cds.learning import models, unlabelled
from cds.learning.selection import DEFAULT_SECONDS, Candidate, entropy, hour, nearness, spread, suggest, uncertainty
from cds.learning.unlabelled import Unlabelled, from_folder, from_store
from cds.settings import Settings
from cds.store.feedback import FeedbackContent, FeedbackKind
from cds.store.opening import Store, open_store
from cds.work.keeping import keep
from cds.work.requests import RawCase
from imaging.results import FractureCall
from tests.support import cases

POINTS = (0.02, 0.32)
POINT_NAMES = ("high_sensitivity", "high_specificity")


def candidate(name: str, probability: float, vector: list[float], *, shadow: float | None = None) -> Candidate:
    return Candidate(
        id=name,
        vector=np.array(vector, dtype=np.float32),
        score=0.001,
        probability=probability,
        shadow_probability=shadow,
    )


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.floats(0, 1))
def test_doubt_is_a_share(probability: float, score: float) -> None:
    one = replace(candidate("a", probability, [0.0]), score=score)
    assert 0 <= uncertainty(one, POINTS) <= 1
    assert 0 <= entropy(probability) <= 1
    assert 0 <= nearness(score, POINTS) <= 1


def test_even_odds_operating_points_and_disagreement_are_doubt() -> None:
    assert entropy(0.5) == 1
    assert nearness(POINTS[1], POINTS) == 1
    sure = candidate("a", 0.01, [0.0])
    assert uncertainty(replace(sure, shadow_probability=0.7), POINTS) > uncertainty(sure, POINTS) + 0.5


def test_the_unsure_come_first_and_not_twice_alike() -> None:
    draw = np.random.default_rng(0)
    background = [candidate(f"sure{n}", 0.01, draw.normal(size=2).tolist()) for n in range(30)]
    twins = [candidate(f"twin{n}", 0.5, [3.0, 0.001 * n]) for n in range(3)]
    other = candidate("other", 0.4, [-3.0, 0.0])
    chosen = suggest([*background, *twins, other], points=POINTS, count=2)
    assert chosen[0].id.startswith("twin")
    assert chosen[1].id == "other"
    assert "nearly even odds (probability 0.50)" in chosen[0].reasons
    assert any("unlike" in words for words in chosen[1].reasons)


def test_what_is_like_a_judged_study_waits() -> None:
    known = np.array([[3.0, 0.0], [3.0, 0.1]], dtype=np.float32)
    pair = [candidate("known kind", 0.5, [3.0, 0.05]), candidate("new kind", 0.5, [-3.0, 0.0])]
    (first,) = suggest(pair, points=POINTS, count=1, judged=known)
    assert first.id == "new kind"


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 15))
def test_nothing_is_chosen_twice(count: int, wanted: int) -> None:
    draw = np.random.default_rng(count)
    vectors = draw.integers(0, 3, (count, 4)).astype(np.float32)
    order, distances = spread(vectors, np.ones(count), count=wanted)
    assert len(set(order)) == len(order) == len(distances) == min(count, wanted)


def test_nothing_to_choose_from() -> None:
    assert suggest([], points=POINTS, count=3) == ()


def test_an_hour_holds_what_fits() -> None:
    assumed = hour(count=100, minutes=60, timed_seconds=[10.0] * 3)
    assert (assumed.studies, assumed.seconds_per_study, assumed.measured) == (30, DEFAULT_SECONDS, False)
    timed = hour(count=100, minutes=60, timed_seconds=[60.0] * 10 + [5000.0] * 50)
    assert (timed.studies, timed.measured) == (60, True)
    assert hour(count=5, minutes=60, timed_seconds=()).studies == 5


# --- where studies come from


def looked(engine: object, name: str, radiograph: object) -> Candidate:
    return candidate(name, 0.5, [float(len(name)), float(sum(map(ord, name)))])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(unlabelled, "candidate", looked)
    monkeypatch.setattr(unlabelled, "read_radiograph", lambda source, frame=1: source)
    opened = open_store(Settings(data_dir=tmp_path, audit_log=None))
    yield opened
    opened.close()


def kept(store: Store, name: str, *, call: FractureCall = FractureCall.SUSPECTED, patient: str | None = None) -> None:
    result = cases.full_case()
    assert result.findings is not None
    result = replace(result, case_id=name, patient=None, findings=replace(result.findings, call=call))
    raw = RawCase(image=b"x", bundle=None, patient_id=None, frame=None, as_of=None, bedside={})
    case = CaseInput(image=name.encode(), as_of=datetime(2026, 3, 4, tzinfo=UTC))
    keep(store, raw, case, result, actor="test", request_key=None, patient_key=patient or name)


def test_judged_refused_erased_and_repeated_studies_are_not_offered(store: Store) -> None:
    for name in ("open", "judged", "erased", "followed"):
        kept(store, name)
    kept(store, "refused", call=FractureCall.CANNOT_JUDGE)
    kept(store, "again", patient="open")
    store.feedback.add("judged", FeedbackKind.AGREE, author="a", role="clinician", finding=0)
    outcome = FeedbackContent(weeks=6.0, united=True)
    store.feedback.add("followed", FeedbackKind.OUTCOME, author="a", role="clinician", content=outcome)
    store.privacy.erase_patient("erased", actor="test")
    pool = from_store(store, SimpleNamespace())  # type: ignore[arg-type]
    assert {one.id for one in pool.candidates} == {"again", "followed"}
    assert pool.left_out == 1
    assert pool.judged is not None
    assert len(pool.judged) == 1


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlabelled, "candidate", looked)
    monkeypatch.setattr(unlabelled, "read_radiograph", lambda source: source)
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.dcm", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    pool = from_folder(tmp_path, SimpleNamespace())  # type: ignore[arg-type]
    assert [one.id for one in pool.candidates] == ["a.png", str(Path("sub") / "b.dcm")]


# --- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw = np.random.default_rng(1)
    found = [candidate(f"study-{n}", 0.4, draw.normal(size=3).tolist()) for n in range(40)]
    pool = Unlabelled(candidates=tuple(found), judged=None, left_out=2)
    monkeypatch.setattr(unlabelled, "from_folder", lambda folder, engine: pool)
    points = {name: SimpleNamespace(threshold=at) for name, at in zip(POINT_NAMES, POINTS, strict=True)}
    fake = SimpleNamespace(manifest=SimpleNamespace(**points))
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(unlabelled.RememberingEngine, "load", classmethod(lambda cls, *_, **__: fake))
    return tmp_path


def test_the_command_asks_the_model_in_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path | None] = []
    load = unlabelled.RememberingEngine.load

    def noted(place: Path | None, **options: Any) -> Any:
        asked.append(place)
        return load(place, **options)

    monkeypatch.setattr(unlabelled.RememberingEngine, "load", noted)
    promoted = folder / "promoted"
    monkeypatch.setattr(
        models, "with_current_models", lambda found: found.model_copy(update={"detector_dir": promoted})
    )
    told = CliRunner().invoke(app, ["learn", "suggest", "--images", str(folder)])
    assert told.exit_code == 0, told.output
    assert asked == [promoted]


def test_the_command_fits_the_time(folder: Path) -> None:
    runner = CliRunner()
    asked = ["learn", "suggest", "--images", str(folder), "--minutes", "10"]
    told = runner.invoke(app, asked)
    assert told.exit_code == 0, told.output
    assert told.output.startswith("5 of 40 unlabelled studies")
    printed = json.loads(runner.invoke(app, [*asked, "--json"]).output)
    assert printed["schema"] == suggest_commands.JSON_SCHEMA
    assert (len(printed["studies"]), printed["left_out"], printed["seconds_measured"]) == (5, 2, False)
    assert all(one["reasons"] for one in printed["studies"])
    listed = told.output.splitlines()[1:]
    assert [line.split()[0] for line in listed[::2]] == [one["id"] for one in printed["studies"]], "ids are not cut"
    assert [line.strip() for line in listed[1::2]] == ["; ".join(one["reasons"]) for one in printed["studies"]]
    rows = list(csv.DictReader(io.StringIO(runner.invoke(app, [*asked, "--csv"]).output)))
    assert [row["id"] for row in rows] == [one["id"] for one in printed["studies"]]


def test_the_command_refuses_two_sources(folder: Path) -> None:
    told = CliRunner().invoke(app, ["learn", "suggest", "--from-store", "--images", str(folder)])
    assert told.exit_code == 2
