"""The gate: passes what is no worse, refuses what is, and says when a set cannot tell."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.errors import InputError, SettingsError
from cds.learning.gate import HIGH_SENSITIVITY, Answer, Scored, bounds, compare, read_margins, student
from cds.learning.gate_metrics import Measures, group_weights
from cds.learning.provenance import Provenance, read_provenance
from cds.learning.verdict import Standing, verdict_of
from imaging.training.metrics import (
    ImageRecord,
    PrecisionTable,
    area_under_curve,
    calibration_error,
    calibration_line,
)
from tests.support.gate_sets import drawn_pair

MARGINS = read_margins("detector")
CLEAN = Provenance(kind="detector", parent=None, why="", method="")
SETS = 20
IMAGES = 1200


def refusals(worse_by: float, *, sets: int = SETS, n: int = IMAGES) -> float:
    """Share of drawn sets on which the candidate is refused."""
    outcomes = [
        compare(*drawn_pair(seed, worse_by=worse_by, n=n, columns=False), MARGINS, rounds=100, seed=seed)
        for seed in range(sets)
    ]
    return float(np.mean([not one.promoted for one in outcomes]))


def test_the_same_model_is_promoted() -> None:
    current, _ = drawn_pair(1, n=400, boxes=True)
    verdict = compare(current, replace(current, model_id="again"), MARGINS, provenance=CLEAN, rounds=100)
    assert verdict.promoted, verdict.reasons
    assert {one.metric for one in verdict.differences} >= {"auc", "ap50", "calibration_error"}
    assert all(one.gain == one.low == one.high == 0 for one in verdict.differences)


def test_a_worse_model_is_refused_in_nearly_every_set() -> None:
    rate = refusals(0.15)
    print(f"worse by construction: refused in {rate:.2f} of {SETS} sets of {IMAGES}")
    assert rate >= 0.95


def test_an_equal_model_is_refused_rarely() -> None:
    rate = refusals(0.0)
    print(f"equal by construction: refused in {rate:.2f} of {SETS} sets of {IMAGES}")
    assert rate <= 0.15


def test_a_set_that_is_too_small_refuses_and_says_that_it_cannot_tell() -> None:
    current, candidate = drawn_pair(3, n=80)
    verdict = compare(current, candidate, MARGINS, provenance=CLEAN, rounds=100)
    assert not verdict.promoted
    assert Standing.NOT_SHOWN in {one.standing for one in verdict.differences}
    assert any("cannot be ruled out" in one for one in verdict.reasons)


def test_harm_to_one_subgroup_refuses_and_names_it() -> None:
    current, _ = drawn_pair(4, n=1500)
    hip = [one.id for one in current.answers if one.subgroups["region"] == "hip" and one.positive]
    blind = set(hip[: len(hip) // 4])
    answers = tuple(replace(one, score=0.0) if one.id in blind else one for one in current.answers)
    margins = replace(MARGINS, by_metric={**MARGINS.by_metric, "sensitivity_high_sensitivity": 0.099})
    verdict = compare(current, replace(current, answers=answers, model_id="b"), margins, provenance=CLEAN, rounds=100)
    (harmed,) = (one for one in verdict.subgroups if one.harmed)
    assert harmed.value == "hip"
    assert "sensitivity_high_sensitivity" in harmed.harmed
    assert not verdict.promoted
    assert any("region = hip" in one for one in verdict.reasons)


def test_a_subgroup_that_is_too_small_is_shown_and_not_judged() -> None:
    current, _ = drawn_pair(5, n=200)
    few = {one.id for one in current.answers if one.positive}
    some = set(sorted(few)[:8])
    answers = tuple(replace(one, subgroups={"site": "b" if one.id in some else "a"}) for one in current.answers)
    blind = tuple(replace(one, score=0.0) if one.id in some else one for one in answers)
    verdict = compare(
        replace(current, answers=answers), replace(current, answers=blind, model_id="b"), MARGINS, rounds=100
    )
    (small,) = (one for one in verdict.subgroups if one.value == "b")
    assert not small.judged
    assert not small.harmed
    assert small.n == len(some)


def test_a_candidate_that_saw_its_exam_is_refused() -> None:
    current, _ = drawn_pair(6, n=400)
    seen = replace(CLEAN, digests=frozenset({current.answers[3].digests[0], "f" * 64}))
    verdict = compare(current, replace(current, model_id="b"), MARGINS, provenance=seen, rounds=100)
    assert verdict.shared_items == 1
    assert not verdict.promoted
    assert "seen its exam" in verdict.reasons[0]


def test_of_tables_only_whole_files_are_compared() -> None:
    current, _ = drawn_pair(6, n=400)
    again = replace(current, model_id="b")
    other = replace(CLEAN, kind="risk", digests=frozenset({"f" * 64}))
    verdict = compare(current, again, MARGINS, kind="risk", provenance=other, rounds=100)
    assert verdict.shared_items is None
    assert any("only whole files" in note for note in verdict.notes)
    same = replace(other, digests=frozenset(current.answers[0].digests))
    assert compare(current, again, MARGINS, kind="risk", provenance=same, rounds=100).shared_items == 1


def test_a_candidate_without_provenance_is_refused_where_it_is_needed() -> None:
    current, _ = drawn_pair(6, n=400)
    again = replace(current, model_id="b")
    assert compare(current, again, MARGINS, rounds=100).promoted
    verdict = compare(current, again, MARGINS, rounds=100, needs_provenance=True)
    assert not verdict.promoted
    assert verdict.shared_items is None


def test_probabilities_that_are_far_too_extreme_are_refused() -> None:
    current, _ = drawn_pair(7, n=1200)

    def extreme(one: Answer) -> Answer:
        odds = math.log(one.probability / (1 - one.probability)) if one.probability else 0.0
        return replace(one, probability=1 / (1 + math.exp(-2.5 * odds)))

    candidate = replace(current, model_id="b", answers=tuple(map(extreme, current.answers)))
    verdict = compare(current, candidate, MARGINS, provenance=CLEAN, rounds=100)
    assert verdict.calibration is not None
    assert not verdict.calibration.holds
    assert any("calibration slope" in one for one in verdict.reasons)


def test_a_candidate_without_probabilities_is_refused() -> None:
    current, _ = drawn_pair(8, n=400)
    mute = replace(current, model_id="b", answers=tuple(replace(one, probability=None) for one in current.answers))
    verdict = compare(current, mute, MARGINS, provenance=CLEAN, rounds=100)
    assert any("does not give the expected calibration error" in one for one in verdict.reasons)


def test_few_groups_tell_nothing() -> None:
    current, _ = drawn_pair(9, n=400)
    answers = tuple(replace(one, group=f"hospital{int(one.id[5:]) % 3}") for one in current.answers)
    current = replace(current, answers=answers)
    verdict = compare(current, replace(current, model_id="b"), MARGINS, provenance=CLEAN, rounds=100)
    assert any("3 independent groups" in one for one in verdict.reasons)


def test_models_that_answered_different_items_are_not_compared() -> None:
    current, candidate = drawn_pair(10, n=100)
    for answers in (candidate.answers[:-1], (*candidate.answers[:-1], candidate.answers[0])):
        with pytest.raises(InputError, match="same items"):
            compare(current, replace(candidate, answers=answers), MARGINS)
    other = replace(candidate.answers[0], positive=not candidate.answers[0].positive)
    with pytest.raises(InputError, match="different truths"):
        compare(current, replace(candidate, answers=(other, *candidate.answers[1:])), MARGINS)


def test_the_order_of_the_items_does_not_matter_and_the_seed_decides() -> None:
    current, candidate = drawn_pair(11, n=200)
    one = compare(current, candidate, MARGINS, rounds=100)
    other = compare(current, replace(candidate, answers=candidate.answers[::-1]), MARGINS, rounds=100)
    assert one == other


def test_a_verdict_survives_its_document() -> None:
    verdict = compare(*drawn_pair(12, n=200, boxes=True), MARGINS, rounds=100, looks=7)
    assert verdict_of(json.loads(json.dumps(verdict.as_document()))) == verdict
    assert any("7 candidates" in one for one in verdict.notes)


def test_amounts_are_compared_by_their_error_and_slope() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=300)

    def model(name: str, error: float, slope: float = 1.0) -> Scored:
        noise = np.random.default_rng(1).normal(size=300) * error
        return Scored(
            model_id=name,
            answers=tuple(
                Answer(id=str(i), group=str(i), target=float(truth[i]), estimate=float(slope * (truth[i] + noise[i])))
                for i in range(300)
            ),
        )

    margins = read_margins("healing")
    assert compare(model("a", 0.3), model("b", 0.31), margins, kind="healing", rounds=100).promoted
    worse = compare(model("a", 0.3), model("b", 0.6), margins, kind="healing", rounds=100)
    assert worse.differences[0].gain < 0
    assert worse.differences[0].standing is Standing.FELL
    assert not worse.promoted
    flat = compare(model("a", 0.3), model("b", 0.3, 2.5), margins, kind="healing", rounds=100)
    assert flat.calibration is not None
    assert not flat.calibration.holds


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_metrics_equal_the_plain_ones_on_the_drawn_items(seed: int) -> None:
    current, _ = drawn_pair(seed, n=60, boxes=True)
    weights = group_weights([one.group for one in current.answers], rounds=2, seed=seed)
    drawn = [one for one, count in zip(current.answers, weights[1], strict=True) for _ in range(int(count))]
    assert len(drawn) == len(current.answers)
    measures = Measures(current)
    truth = np.array([bool(one.positive) for one in drawn])
    score = np.array([one.score for one in drawn], dtype=float)
    area = area_under_curve(truth, score)
    assert measures.at("auc", weights)[1] == pytest.approx(area, nan_ok=True)
    plain = Measures(current).at("calibration_error", np.ones((1, len(drawn))))[0]
    every = np.array([one.score for one in current.answers], dtype=float)
    known = np.array([bool(one.positive) for one in current.answers])
    assert plain == pytest.approx(calibration_error(known, every), abs=1e-9)
    records = [
        ImageRecord(
            image_id=one.id,
            fractured=bool(one.positive),
            boxes_known=True,
            truth=one.truth,
            boxes=one.boxes,
            scores=one.box_scores,
        )
        for one in current.answers
    ]
    expected = PrecisionTable(records).average_precision(weights[1])[0]
    assert measures.at("ap50", weights)[1] == pytest.approx(expected, nan_ok=True)


def test_the_slope_of_a_draw_is_that_of_the_drawn_items() -> None:
    current, _ = drawn_pair(2, n=400, columns=False)
    weights = group_weights([one.group for one in current.answers], rounds=5, seed=2)
    for found, counts in zip(Measures(current).slope(weights), weights, strict=True):
        drawn = [one for one, count in zip(current.answers, counts, strict=True) for _ in range(int(count))]
        truth = np.array([bool(one.positive) for one in drawn])
        told = np.array([one.probability for one in drawn], dtype=float)
        assert found == pytest.approx(calibration_line(truth, told)[0], abs=1e-5)


@pytest.mark.parametrize(("freedom", "expected"), [(4, 2.132), (9, 1.833), (29, 1.699), (1000, 1.646)])
def test_student(freedom: int, expected: float) -> None:
    assert student(0.95, freedom) == pytest.approx(expected, abs=0.02)


def test_bounds_are_wider_with_fewer_groups_and_hold_the_estimate() -> None:
    draws = np.random.default_rng(0).normal(size=2000)
    few, many = bounds(draws, 0.0, 0.95, 6), bounds(draws, 0.0, 0.95, 600)
    assert few[0] < many[0] < 0 < many[1] < few[1]
    assert bounds(draws, 9.0, 0.95, 50)[1] == 9.0
    assert bounds(np.array([np.nan]), 0.0, 0.95, 50) == (-math.inf, math.inf)


def test_own_margins_are_laid_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "margins.yaml"
    path.write_text("confidence: 0.9\nsubgroups: {items: 25}\n", encoding="utf-8")
    own = read_margins("detector", path)
    assert (own.confidence, own.subgroup_items, own.subgroup_each) == (0.9, 25, MARGINS.subgroup_each)
    assert own.by_metric == MARGINS.by_metric
    assert set(MARGINS.reasons) == set(MARGINS.by_metric)
    assert HIGH_SENSITIVITY in "".join(MARGINS.by_metric)


@pytest.mark.parametrize(
    "text", ["[", "- a", "confidence: 1.5", "unknown: 1", "metrics: {detector: {auc: {margin: -1}}}"]
)
def test_margins_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "margins.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError):
        read_margins("detector", path)


def test_provenance_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_provenance(tmp_path) is None
    told = Provenance(
        kind="detector", parent="a@1", why="w", method="m", data=({"name": "x", "n": 3},), digests=frozenset({"0" * 64})
    )
    told.write(tmp_path)
    assert read_provenance(tmp_path) == told
    (tmp_path / "provenance.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError):
        read_provenance(tmp_path)


def test_a_set_without_fractures_cannot_promote() -> None:
    current, _ = drawn_pair(5, n=400, boxes=True)
    intact = tuple(replace(one, positive=False) for one in current.answers)
    verdict = compare(
        replace(current, answers=intact), replace(current, answers=intact, model_id="b"), MARGINS, provenance=CLEAN
    )
    untold = {one.metric for one in verdict.differences if one.standing is Standing.UNTOLD}
    assert {"auc", "sensitivity_high_sensitivity"} <= untold
    assert not verdict.promoted
    assert any("0 items with the finding" in one for one in verdict.reasons)


def test_a_handful_of_fractures_cannot_promote() -> None:
    current, _ = drawn_pair(6, n=400)
    found = [one.id for one in current.answers if one.positive]
    few = tuple(one for one in current.answers if not one.positive or one.id in found[:10])
    verdict = compare(replace(current, answers=few), replace(current, answers=few, model_id="b"), MARGINS)
    assert not verdict.promoted
    assert any("10 items with the finding" in one for one in verdict.reasons)


def test_what_learned_from_suspicious_labels_is_refused_until_somebody_has_looked() -> None:
    current, _ = drawn_pair(1, n=400, boxes=True)
    screened = replace(CLEAN, details={"screen": {"suspicious": True, "words": "147 of 311 contradict."}})
    pair = (current, replace(current, model_id="again"))
    refused = compare(*pair, MARGINS, provenance=screened, rounds=100)
    assert not refused.promoted and "147 of 311" in refused.reasons[0]
    kept = compare(*pair, MARGINS, provenance=screened, rounds=100, labels_checked=True)
    assert kept.promoted and "147 of 311" in kept.notes[-1]
    calm = replace(CLEAN, details={"screen": {"suspicious": False, "words": "Not suspicious."}})
    assert compare(*pair, MARGINS, provenance=calm, rounds=100).promoted
