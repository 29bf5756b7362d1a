"""What would change an estimate: supposed answers, their weights, the interval to expect, and habits."""

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.cohort import read_survey
from tabular.engine import RiskEngine
from tabular.features import RiskFeatures
from tabular.model import ALL_FEATURES
from tabular.plausible_answers import FEMALE_SHARE, POPULATIONS, answers_for, measure
from tabular.results import FractureProbability, RiskEstimate, WouldChange
from tests.support.shared import requires_shared, shared_dir

ENGINE = RiskEngine.load()
PERSON = RiskFeatures(age_years=71, female=True, bmi_kg_m2=24.0, current_smoker=True, diabetes_type_2=True)
maybe = st.sampled_from([None, True, False])
people = st.builds(
    RiskFeatures,
    age_years=st.integers(40, 95),
    female=maybe,
    bmi_kg_m2=st.none() | st.floats(11, 60),
    current_smoker=maybe,
    osteoporosis_diagnosed=maybe,
    femoral_neck_t_score=st.none() | st.floats(-5, 4),
)


def outcomes(person: RiskFeatures) -> tuple[FractureProbability, FractureProbability]:
    estimate = ENGINE.estimate(person)
    return estimate.major_osteoporotic, estimate.hip


def named(outcome: FractureProbability, feature: str) -> WouldChange:
    return next(one for one in outcome.would_change if one.feature == feature)


@settings(deadline=None, max_examples=80)
@given(person=people, feature=st.sampled_from(ALL_FEATURES[1:]))
def test_weights_are_shares(person: RiskFeatures, feature: str) -> None:
    answers = answers_for(feature, person)
    assert math.fsum(weight for _, weight in answers) == pytest.approx(1)
    assert all(0 <= weight <= 1 for _, weight in answers)
    assert [value for value, _ in answers] == sorted({value for value, _ in answers})


def test_people_alike_have_thinner_bones_when_older_lighter_or_diagnosed() -> None:
    def mean(person: RiskFeatures) -> float:
        return math.fsum(value * weight for value, weight in answers_for("femoral_neck_t_score", person))

    assert mean(replace(PERSON, age_years=50)) > mean(PERSON) > mean(replace(PERSON, osteoporosis_diagnosed=True))
    assert mean(replace(PERSON, bmi_kg_m2=32.0)) > mean(PERSON)
    assert mean(replace(PERSON, female=False)) > mean(replace(PERSON, female=None)) > mean(PERSON)


@settings(deadline=None, max_examples=25)
@given(person=people)
def test_everything_missing_and_every_habit_is_asked_about(person: RiskFeatures) -> None:
    estimate = ENGINE.estimate(person)
    for outcome in (estimate.major_osteoporotic, estimate.hip):
        missing = [one for one in outcome.would_change if one.kind == "missing"]
        assert {one.feature for one in missing} == set(estimate.missing)
        removed = [max(0, round(100 * one.interval_removed)) for one in missing]
        assert removed == sorted(removed, reverse=True)
        habits = [one.feature for one in outcome.would_change if one.kind == "modifiable"]
        assert habits == (["current_smoker"] if person.current_smoker else [])
        for one in outcome.would_change:
            assert 0 <= one.expected_low <= one.expected_high <= 1
            assert math.fsum(case.weight for case in one.cases) == pytest.approx(1)


@pytest.mark.parametrize("value", [-3.0, -1.0])
def test_a_case_is_the_estimate_with_that_answer(value: float) -> None:
    measured = outcomes(replace(PERSON, femoral_neck_t_score=value))
    for now, then in zip(outcomes(PERSON), measured, strict=True):
        case = next(one for one in named(now, "femoral_neck_t_score").cases if one.value == value)
        assert (case.probability, case.low, case.high) == (then.value, then.low, then.high)


def test_measuring_bone_density_shrinks_the_interval_most() -> None:
    for outcome in outcomes(PERSON):
        first = outcome.would_change[0]
        assert first.feature == "femoral_neck_t_score"
        assert first.interval_removed > 0.1
        assert outcome.low < first.expected_low < outcome.value < first.expected_high < outcome.high
        thin, dense = first.cases[0], first.cases[-1]
        assert thin.probability > outcome.value > dense.probability


def test_without_the_habit_the_number_is_that_of_the_same_person_without_it() -> None:
    for now, then in zip(outcomes(PERSON), outcomes(replace(PERSON, current_smoker=False)), strict=True):
        change = named(now, "current_smoker")
        assert [case.probability for case in change.cases] == [then.value]
        assert (change.expected_low, change.expected_high) == (then.low, then.high)
        assert "at once" in change.origin


def test_many_people_are_asked_only_when_wanted() -> None:
    group = [PERSON, replace(PERSON, age_years=50, femoral_neck_t_score=-1.0), RiskFeatures(age_years=None)]
    bare, full = ENGINE.estimate_many(group), ENGINE.estimate_many(group, what_if=True)
    for person, one, other in zip(group[:2], bare, full, strict=False):
        assert isinstance(one, RiskEstimate)
        assert one.hip.would_change == ()
        assert other == ENGINE.estimate(person)


def test_it_is_cheap() -> None:
    person = RiskFeatures(age_years=71)
    ENGINE.estimate(person)
    best = min(_seconds(person) for _ in range(5))
    assert best < 0.1  # 10 ms on an idle core


def _seconds(person: RiskFeatures) -> float:
    started = time.process_time()
    ENGINE.estimate(person)
    return time.process_time() - started


@requires_shared
def test_the_figures_kept_are_those_of_the_survey() -> None:
    shared = shared_dir()
    assert shared is not None
    path = shared / "data" / "tabular" / "nhanes_osteo.csv.gz"
    assert measure(read_survey(path)) == (POPULATIONS, FEMALE_SHARE)
