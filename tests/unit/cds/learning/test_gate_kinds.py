"""The gate's questions beside the detector's: types of fractures, what was foretold, intervals."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cds.errors import InputError
from cds.learning.gate import Answer, Margins, Scored, compare, read_margins
from cds.learning.gate_metrics import Measures
from cds.learning.model_kinds import ModelKind, Question
from cds.learning.promotion import origin_of
from cds.learning.provenance import Provenance
from cds.learning.scoring import score, together
from cds.learning.scoring_bone_age import digests_of
from cds.learning.scoring_heads import samples_of
from cds.learning.scoring_healing import cases_learned, digest_of_case
from cds.learning.verdict import Standing, Verdict
from tests.support.gate_sets import drawn_pair
from tests.support.radiographs import write_types

TYPES = ("spiral", "transverse", "oblique")
CLEAN = Provenance(kind="detector", parent=None, why="", method="")
MARGINS = read_margins("fracture_type")


def typed(name: str, *, right: float, n: int = 360, seed: int = 0) -> Scored:
    """Fractures of three types, two of each group, of which a share is named rightly; models share their luck."""
    rng = np.random.default_rng(seed)
    luck = np.repeat(rng.random(n // 2), 2)
    answers = []
    for place in range(n):
        label = TYPES[place // 2 % 3]
        named = label if luck[place] < right else TYPES[(TYPES.index(label) + 1) % 3]
        probabilities = {one: 0.7 if one == named else 0.15 for one in TYPES}
        displaced = bool(rng.random() < 0.5)
        answers.append(
            Answer(
                id=str(place),
                group=f"patient{place // 2}",
                label=label,
                named=named,
                class_probabilities=probabilities,
                log_score=math.log(probabilities[label]),
                further={"displaced": (displaced, 0.4 + 0.2 * displaced)} if place % 3 else {},
                subgroups={"type": label, "source": "ab"[place % 2]},
                digests=(f"{place:064x}",),
            )
        )
    return Scored(model_id=name, answers=tuple(answers), data_sha256="b" * 64, data_name="types")


def judged(current: Scored, candidate: Scored, *, kind: str = "fracture_type", margins: Margins = MARGINS) -> Verdict:
    """Two hundred draws."""
    return compare(current, candidate, margins, kind=kind, provenance=CLEAN, rounds=200)


def test_heads_that_are_as_good_pass_and_worse_ones_do_not() -> None:
    current = typed("a", right=0.8)
    same = judged(current, typed("b", right=0.8))
    assert same.promoted, same.reasons
    assert {one.metric for one in same.differences} == {"type_accuracy", "type_auc", "log_score", "displaced_auc"}
    worse = judged(current, typed("b", right=0.6))
    fell = {one.metric for one in worse.differences if one.standing is Standing.FELL}
    assert {"type_accuracy", "type_auc", "log_score"} <= fell
    assert any("types that are named rightly falls" in one for one in worse.reasons)


def test_groups_are_drawn_whole_and_counted_by_metric() -> None:
    current = typed("a", right=0.8)
    verdict = judged(current, typed("b", right=0.8))
    assert verdict.n == 360 and verdict.n_groups == 180
    few = replace(current, answers=tuple(replace(one, group=f"g{int(one.id) % 4}") for one in current.answers))
    assert any("4 independent groups" in one for one in judged(few, replace(few, model_id="b")).reasons)


def test_harm_to_one_type_refuses_and_names_it() -> None:
    current = typed("a", right=0.95)
    blind = tuple(
        replace(one, named="oblique") if one.label == "spiral" and int(one.id) % 4 < 2 else one
        for one in current.answers
    )
    margins = replace(MARGINS, by_metric={"type_accuracy": 0.4})
    verdict = judged(current, replace(current, model_id="b", answers=blind), margins=margins)
    assert not verdict.promoted
    assert any("type = spiral" in one for one in verdict.reasons)


def test_too_few_of_each_type_tell_nothing() -> None:
    current = typed("a", right=0.8, n=40)
    verdict = judged(current, replace(current, model_id="b"))
    assert any("too few fractures of each type" in one for one in verdict.reasons)


def test_a_detector_is_judged_on_its_boxes_and_its_heads_together() -> None:
    current, _ = drawn_pair(1, n=400, boxes=True)
    again = replace(current, model_id="b")
    both = together(current, typed("types", right=0.8))
    margins = read_margins("detector")
    assert both.answers[-1].id.startswith("types/")
    passed = judged(both, together(again, typed("types", right=0.8)), kind="detector", margins=margins)
    assert passed.promoted, passed.reasons
    assert passed.n_positive == sum(bool(one.positive) for one in current.answers)
    worse = judged(both, together(again, typed("types", right=0.5)), kind="detector", margins=margins)
    assert any("types that are named rightly" in one for one in worse.reasons)


def test_a_few_types_beside_a_detectors_set_are_shown_and_not_judged() -> None:
    current, _ = drawn_pair(1, n=400)
    both, worse = (together(current, typed("types", right=share, n=24)) for share in (0.9, 0.3))
    verdict = judged(both, replace(worse, model_id="b"), kind="detector", margins=read_margins("detector"))
    assert verdict.promoted, verdict.reasons
    assert any("--locked-types" in one for one in verdict.notes)


def test_the_mean_area_is_that_of_each_class_against_the_others() -> None:
    scored = typed("a", right=0.7, n=90)
    measures = Measures(scored)
    areas = []
    for name in TYPES:
        own = [one.class_probabilities[name] for one in scored.answers if one.label == name]
        rest = [one.class_probabilities[name] for one in scored.answers if one.label != name]
        areas.append(float(np.mean([(a > b) + 0.5 * (a == b) for a in own for b in rest])))
    assert float(measures.at("type_auc", np.ones((1, 90)))[0]) == pytest.approx(np.mean(areas))


def test_what_was_foretold_and_how_often_the_interval_held() -> None:
    def model(name: str, error: float, covered: float) -> Scored:
        rng = np.random.default_rng(3)
        truth, noise, luck = rng.normal(2.5, 0.5, 200), rng.normal(0, 1, 200), rng.random(200)
        answers = tuple(
            Answer(
                id=str(n),
                group=str(n),
                target=float(truth[n]) if n % 4 else None,
                estimate=float(truth[n] + error * noise[n]),
                log_score=-error * abs(float(noise[n])),
                inside=bool(luck[n] < covered) if n % 4 else None,
            )
            for n in range(200)
        )
        return Scored(model_id=name, answers=answers)

    margins = read_margins("healing")
    passed = judged(model("a", 0.1, 0.8), model("b", 0.1, 0.8), kind="healing", margins=margins)
    assert passed.promoted, passed.reasons
    assert {one.metric for one in passed.differences} == {"absolute_error", "log_score", "interval_coverage"}
    narrow = judged(model("a", 0.1, 0.8), model("b", 0.1, 0.5), kind="healing", margins=margins)
    assert any("inside the interval falls" in one for one in narrow.reasons)
    few = replace(margins, fewest_each=151)
    assert any(
        "150 items whose true amount is known" in one
        for one in judged(model("a", 0.1, 0.8), model("b", 0.1, 0.8), kind="healing", margins=few).reasons
    )


def test_further_truths_must_agree() -> None:
    current = typed("a", right=0.8, n=60)
    other = tuple(
        replace(one, further={"displaced": (not one.further["displaced"][0], 0.5)}) if one.further else one
        for one in current.answers
    )
    with pytest.raises(InputError, match="different truths"):
        judged(current, replace(current, answers=other))


def test_pictures_that_show_no_limb_are_not_asked_about(tmp_path: Path) -> None:
    data = write_types(tmp_path / "fracture_types", 4)
    listed = "bb_0084.jpg"  # a spine, by the list
    (data / "images" / "3.png").rename(data / "images" / listed)
    table = data / "images.csv"
    table.write_text(table.read_text().replace("3.png", listed))
    lines: list[str] = []
    assert [one.image_id for one in samples_of(data, None, lines.append)] == ["0.png", "1.png", "2.png"]
    assert lines == ["1 of 4 pictures of fracture_types are no limb radiographs: left out"]
    elsewhere = data.rename(tmp_path / "a_hospitals_own")
    assert len(samples_of(elsewhere, None, lines.append)) == 4, "the name alone of a file says nothing"


def test_questions_are_asked_by_either_spelling() -> None:
    assert Question.of("bone_age") is Question.of("bone-age") is Question.of(ModelKind.BONE_AGE)
    assert Question.FRACTURE_TYPE.kind is ModelKind.DETECTOR
    assert {one.key for one in Question} == {"detector", "fracture_type", "risk", "healing", "bone_age"}
    for one in Question:
        assert read_margins(one.key).by_metric


def test_a_table_has_no_splits(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no splits"):
        score(Question.HEALING, None, tmp_path, split="val")
    with pytest.raises(InputError, match="table of recorded outcomes"):
        score(Question.HEALING, None, tmp_path)


def test_the_cases_of_a_candidate_are_known_from_its_work_folder_alone(tmp_path: Path) -> None:
    assert cases_learned(tmp_path) == frozenset()
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "cases.json").write_text('["key/c1", null]')
    assert cases_learned(tmp_path) == {digest_of_case("key/c1")}


def test_the_weights_of_a_bone_age_model_tell_what_they_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Weights:
        learnt = np.array([7, 8])
        manifest = SimpleNamespace(fold_count=2)

    monkeypatch.setattr("imaging.bone_age.engine.BoneAgeEngine.load", lambda folder: Weights())
    monkeypatch.setattr("cds.learning.scoring_bone_age.identify", lambda kind, folder: "hands@1")
    found = origin_of(ModelKind.BONE_AGE, tmp_path)
    assert found is not None
    assert found.digests == set(digests_of([7, 8])) and found.data[0]["n"] == 2
    assert origin_of(ModelKind.RISK, tmp_path) is None
