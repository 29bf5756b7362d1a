"""Types, risk and healing times go on learning; the entry for all kinds."""

import csv
import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cds.learning.model_kinds import sha256_of_file
from cds.learning.provenance import read_provenance
from cds.learning.retraining import fracture_type, healing, risk
from cds.learning.retraining.config import RetrainConfig
from cds.learning.retraining.errors import RetrainingError
from cds.learning.retraining.risk import Course, FollowedPerson, decide, observed_risk
from cds.learning.retraining.run import Kind, retrain
from imaging.manifest import SHIPPED_WEIGHTS, read_manifest
from tabular.anchoring import read_anchor
from tabular.healing.outcomes import REQUIRED
from tabular.model import DEFAULT_DIRECTORY, load_model
from tests.support.radiographs import write_classifier
from tests.support.retraining import sign, write_feedback, write_parent, write_table


def silent(_: str) -> None:
    """Report nothing."""


def outcome(number: int, *, weeks: float | None = None, **changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(REQUIRED, "")
    week = 6 + number % 9 if weeks is None else weeks
    return {**row, "site": "distal_radius", "age": 40 + number % 40, "sex": "female", "weeks_observed": week,
            "united": 1, **changes}  # fmt: skip


def write_outcomes(folder: Path, rows: Sequence[Mapping[str, Any]], cases: Sequence[str] | None = None) -> Path:
    """An export with outcomes alone."""
    folder.mkdir(parents=True)
    write_table(folder / "healing_outcomes.csv", REQUIRED, rows)
    if cases is not None:
        united = [str(row["united"]) == "1" for row in rows]
        pd.DataFrame({"case": cases, "outcome_united": united}).to_parquet(folder / "rows.parquet")
    return sign(folder)


def test_healing_times_are_fitted_to_earlier_and_new_outcomes_each_case_once(tmp_path: Path) -> None:
    earlier = write_outcomes(tmp_path / "earlier", [outcome(n) for n in range(30)], [f"c{n:03d}" for n in range(30)])
    rows = [outcome(n, weeks=8) for n in range(20, 50)]
    rows[3]["site"] = "elbow of a friend"
    new = write_outcomes(tmp_path / "new", rows, [f"c{n:03d}" for n in range(20, 50)])
    lines: list[str] = []
    out = retrain(Kind.HEALING, [new], tmp_path / "out", replay=earlier, report=lines.append)
    found = read_provenance(out)
    assert found is not None and found.kind == "healing" and found.parent is None
    assert {one["name"]: one["n"] for one in found.data} == {"replay": 21, "new": 29}
    assert "new: row 4 left out: site is missing or not valid" in found.details["problems"]
    assert "replay: 9 cases come again later; the later row holds" in found.details["notes"]
    assert len(pd.read_csv(out / healing.WORK_NAME / healing.MERGED_NAME)) == 50
    assert json.loads((out / "manifest.json").read_text())["data"]["cases"] == 50
    again = retrain(Kind.HEALING, [new], tmp_path / "again", replay=out, parent=out, report=silent)
    follower = read_provenance(again)
    assert follower is not None
    assert follower.parent == json.loads((out / "manifest.json").read_text())["model_id"]
    assert {one["name"]: one["n"] for one in follower.data} == {"replay": 21, "new": 29}, "a candidate remembers cases"
    tables = [new / "healing_outcomes.csv", out / healing.WORK_NAME / healing.MERGED_NAME]
    tables.append(earlier / "healing_outcomes.csv")
    assert follower.digests == {sha256_of_file(table) for table in tables}, "of tables, not of rows"


def test_outcomes_without_pseudonyms_are_all_kept_and_named(tmp_path: Path) -> None:
    table = tmp_path / "earlier.csv"
    write_table(table, REQUIRED, [outcome(1), outcome(1)])
    old = healing.read_source(table, role="replay", report=silent)
    new = healing.read_source(write_outcomes(tmp_path / "new", [outcome(1)], ["c1"]), role="new", report=silent)
    kept, notes = healing.each_once([old, new])
    assert [len(rows) for rows in kept.values()] == [2, 1]
    assert notes == ["replay: 2 rows tell no pseudonym; whether such a case comes twice cannot be seen"]


@pytest.mark.parametrize(
    ("places", "words"), [(("jan/new", "feb/new"), "bear the name new"), (("replay",), "old data")]
)
def test_sources_that_names_do_not_tell_apart_are_refused(tmp_path: Path, places: Sequence[str], words: str) -> None:
    folders = [write_outcomes(tmp_path / place, [outcome(1)], ["c1"]) for place in places]
    for kind in (Kind.HEALING, Kind.RISK):
        with pytest.raises(RetrainingError, match=words):
            retrain(kind, folders, tmp_path / "out", replay=tmp_path, report=silent)


def test_healing_without_a_usable_outcome_is_refused(tmp_path: Path) -> None:
    broken = write_outcomes(tmp_path / "new", [outcome(1, united=7)])
    with pytest.raises(RetrainingError, match="no export holds an outcome"):
        retrain(Kind.HEALING, [broken], tmp_path / "out", report=silent)
    with pytest.raises(RetrainingError, match=r"holds no healing_outcomes\.csv"):
        retrain(Kind.HEALING, [write_feedback(tmp_path / "images")], tmp_path / "out", report=silent)


@pytest.mark.parametrize(
    ("official", "events", "course"),
    [(500, 0, Course.REFITTED), (499, 100, Course.ANCHORED), (499, 99, Course.LEFT_ALONE), (0, 0, Course.LEFT_ALONE)],
)
def test_what_the_rows_can_carry(official: int, events: int, course: Course) -> None:
    decided, why = decide(official, events, RetrainConfig())
    assert decided is course
    assert str(events) in why or course is Course.REFITTED


def people(n: int, *, rate: float, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "sex": "female" if number % 3 else "male",
            "age_years": 66 + number % 9,
            "years_observed": 5,
            "major_osteoporotic": int(rng.random() < rate * 5),
            "hip": 0,
        }
        for number in range(n)
    ]


def write_followed(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    folder.mkdir()
    write_table(folder / risk.OUTCOMES, ("sex", "age_years", "years_observed", *risk.HEADS), rows)
    return folder


def test_enough_fractures_move_the_mean_risk_and_small_groups_are_named(tmp_path: Path) -> None:
    rows = people(1500, rate=0.02)
    rows[4]["sex"] = "unknown"
    rows[7]["years_observed"] = -1
    folder = write_followed(tmp_path / "county", rows)
    lines: list[str] = []
    out = retrain(Kind.RISK, [folder], tmp_path / "out", replay=tmp_path, report=lines.append)
    model = load_model(DEFAULT_DIRECTORY)
    anchor = read_anchor(out / risk.ANCHOR_NAME, model.reference)
    assert anchor.shift("major_osteoporotic", age_years=70, female=True) is not None
    assert anchor.shift("major_osteoporotic", age_years=50, female=True) is None
    assert anchor.shift("hip", age_years=70, female=True) is None
    found = read_provenance(out)
    assert found is not None and found.details["course"] == "anchored"
    assert found.parent == model.model_id
    assert "county: fracture_outcomes.csv row 5 left out: sex is missing or not valid" in lines
    assert "county: fracture_outcomes.csv row 8 left out: years_observed is not above 0" in lines
    assert any("hip, female, 65 to 74: 0 fractures, too few" in line for line in found.details["notes"])


def test_the_ten_year_probability_is_that_of_a_constant_hazard() -> None:
    person = FollowedPerson(sex="male", age_years=58, years=10, fractured=(False, False))
    hurt = FollowedPerson(sex="male", age_years=58, years=10, fractured=(True, False))
    entries, _ = observed_risk([hurt] * 25 + [person] * 75)
    assert entries["major_osteoporotic"] == [
        {
            "sex": "male",
            "age_from": 55,
            "age_to": 64,
            "mean_probability": pytest.approx(1 - 2.718281828**-0.25, abs=1e-4),
        }
    ]


def test_few_rows_leave_the_risk_model_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    lines: list[str] = []
    retrain(
        Kind.RISK, [write_followed(tmp_path / "few", people(20, rate=0.01))], out, replay=tmp_path, report=lines.append
    )
    assert sorted(path.name for path in out.iterdir()) == ["provenance.json"]
    assert lines[0].startswith("Left alone: 0 survey rows")


def test_enough_survey_rows_refit_on_old_and_new_together(tmp_path: Path) -> None:
    old = tmp_path / "old.csv.gz"
    with gzip.open(old, "wt", newline="") as handle:
        writer = csv.DictWriter(handle, ("SEQN", risk.OFFICIAL))
        writer.writeheader()
        writer.writerows({"SEQN": n, risk.OFFICIAL: 4.5} for n in range(7))
    new = tmp_path / "new"
    new.mkdir()
    write_table(new / "survey.csv", ("SEQN", risk.OFFICIAL), [{"SEQN": n, risk.OFFICIAL: 5} for n in range(100, 105)])
    asked: dict[str, Any] = {}

    def train(survey: Path, out: Path, *, seed: int, progress: Any) -> None:
        asked.update(rows=len(pd.read_csv(survey)), out=out, seed=seed)
        progress("fitting", 0.5)

    out = tmp_path / "out"
    course = risk.retrain_risk([new], old, out, config=RetrainConfig(survey_rows=5, seed=9), train=train, report=silent)
    assert course is Course.REFITTED
    assert asked == {"rows": 12, "out": out, "seed": 9}
    found = read_provenance(out)
    assert found is not None
    assert found.digests == {sha256_of_file(old), sha256_of_file(new / "survey.csv")}, "of files, not of rows"


def test_a_folder_without_either_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetrainingError, match=r"holds neither survey\.csv nor fracture_outcomes\.csv"):
        retrain(Kind.RISK, [tmp_path], tmp_path / "out", replay=tmp_path, report=silent)


def test_new_types_stand_after_the_old_ones_and_the_detector_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = write_classifier(write_parent(tmp_path / "parent"))
    old = tmp_path / "data"
    write_feedback(old / "fracture_types", fractured=3, healthy=0, seed=5)
    feedback = write_feedback(tmp_path / "round", fractured=4, healthy=4)
    seen: dict[str, Any] = {}

    def fit(data: Path, out: Path, *, model: Path, config: Any, report: Any) -> Path:
        with (data / "fracture_types" / "images.csv").open(newline="") as handle:
            seen.update(rows=list(csv.DictReader(handle)), model=model)
        heads = json.loads((SHIPPED_WEIGHTS / "attributes.json").read_text())
        (out / "attributes.json").write_text(json.dumps(heads | {"outside_scope": ["0" * 64]}))
        return out

    from imaging.training import attributes

    monkeypatch.setattr(attributes, "run", fit)
    out = retrain(Kind.FRACTURE_TYPE, [feedback], tmp_path / "out", replay=old, parent=parent, report=silent)
    assert [row["type"] for row in seen["rows"]] == ["spiral"] * 7
    assert [row["group"] for row in seen["rows"][3:]] == ["p0", "p0", "p1", "p1"]
    assert seen["model"] == out
    assert all((out / ".work/data/fracture_types/images" / row["image"]).is_file() for row in seen["rows"])
    manifest = read_manifest(out)
    assert manifest.sha256 == read_manifest(parent).sha256
    classifier = manifest.image_classifier
    assert classifier is not None and sha256_of_file(classifier.weights) == classifier.sha256
    assert manifest.version.startswith("0.0.2-h"), "the detector is the same, so the version names the heads"
    found = read_provenance(out)
    assert found is not None and {one["name"]: one["n"] for one in found.data} == {"replay": 2, "round": 4}, (
        "one of the three old pictures shows no limb"
    )
    assert len(found.digests) == 14


def test_feedback_without_types_is_refused(tmp_path: Path) -> None:
    folder = write_feedback(tmp_path / "round", fractured=2, healthy=2)
    table = folder / "images.csv"
    table.write_text(table.read_text().replace("spiral", ""))
    sign(folder)
    with pytest.raises(RetrainingError, match="no export states the type"):
        fracture_type.retrain_fracture_type(
            [folder], tmp_path, tmp_path / "out", parent=write_parent(tmp_path / "parent"), report=silent
        )


def test_old_data_and_feedback_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RetrainingError, match="no feedback was given"):
        retrain(Kind.DETECTOR, [], tmp_path / "out")
    with pytest.raises(RetrainingError, match="needs the old data"):
        retrain(Kind.DETECTOR, [tmp_path], tmp_path / "out")
    with pytest.raises(RetrainingError, match="cannot be resumed"):
        retrain(Kind.RISK, [tmp_path], tmp_path / "out", replay=tmp_path, resume=True)
