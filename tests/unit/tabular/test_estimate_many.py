"""Many people at once: the same numbers as one at a time, errors as objects, in order."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.engine import RiskEngine
from tabular.errors import AgeBelowModelError, AgeMissingError, TabularError
from tabular.features import RiskFeatures
from tabular.results import FractureProbability, RiskEstimate

ENGINE = RiskEngine.load()
maybe = st.sampled_from([None, True, False])
people = st.builds(
    RiskFeatures,
    age_years=st.none() | st.just(float("nan")) | st.floats(30, 100) | st.integers(35, 95),
    female=maybe,
    bmi_kg_m2=st.none() | st.floats(5, 90),
    weight_kg=st.none() | st.floats(15, 150),
    height_cm=st.none() | st.floats(80, 210),
    prior_fragility_fracture=maybe,
    recent_fracture_2y=maybe,
    parental_hip_fracture=maybe,
    current_smoker=maybe,
    glucocorticoids=maybe,
    rheumatoid_arthritis=maybe,
    alcohol_3_or_more_units_per_day=maybe,
    secondary_osteoporosis=maybe,
    diabetes_type_1=maybe,
    diabetes_type_2=maybe,
    osteoporosis_diagnosed=maybe,
    femoral_neck_t_score=st.none() | st.floats(-9, 9),
    falls_last_year=st.none() | st.integers(0, 3),
)


def alone(person: RiskFeatures) -> RiskEstimate | TabularError:
    try:
        return ENGINE.estimate(person)
    except TabularError as error:
        return error


def without_explanation(estimate: RiskEstimate) -> RiskEstimate:
    def bare(outcome: FractureProbability) -> FractureProbability:
        return replace(outcome, base_log_odds=0.0, contributions=(), would_change=())

    screened = estimate.undiagnosed_osteoporosis
    return replace(
        estimate,
        major_osteoporotic=bare(estimate.major_osteoporotic),
        hip=bare(estimate.hip),
        undiagnosed_osteoporosis=screened and replace(screened, base_log_odds=0.0, contributions=()),
    )


@settings(deadline=None, max_examples=20)
@given(group=st.lists(people, max_size=8))
def test_together_as_alone_to_the_last_bit(group: list[RiskFeatures]) -> None:
    together, unexplained = ENGINE.estimate_many(group, what_if=True), ENGINE.estimate_many(group, explain=False)
    assert len(together) == len(unexplained) == len(group)
    for person, told, bare in zip(group, together, unexplained, strict=True):
        expected = alone(person)
        if isinstance(expected, TabularError):
            assert type(told) is type(bare) is type(expected)
        else:
            assert told == expected
            assert isinstance(bare, RiskEstimate)
            assert without_explanation(bare) == without_explanation(expected)


@settings(deadline=None, max_examples=20)
@given(person=people.filter(lambda one: one.age_years is not None and one.age_years >= 40))
def test_the_explanation_adds_up_exactly(person: RiskFeatures) -> None:
    estimate = ENGINE.estimate(person)
    for outcome in (estimate.major_osteoporotic, estimate.hip):
        margin = outcome.base_log_odds + sum(item.log_odds for item in outcome.contributions)
        (bare,) = ENGINE.estimate_many([person], explain=False)
        assert isinstance(bare, RiskEstimate)
        assert outcome.model_value == getattr(bare, outcome.outcome).model_value
        assert 1 / (1 + math.exp(-margin)) == pytest.approx(outcome.model_value, abs=1e-12)


def test_who_cannot_be_judged_is_an_error_in_its_place() -> None:
    group = [RiskFeatures(age_years=age, female=True) for age in (None, 70, 12, 50)]
    missing, old, child, middle = ENGINE.estimate_many(group)
    assert isinstance(missing, AgeMissingError)
    assert isinstance(child, AgeBelowModelError)
    assert isinstance(old, RiskEstimate)
    assert isinstance(middle, RiskEstimate)
    assert old.hip.value > middle.hip.value


def test_nobody_is_nobody() -> None:
    assert ENGINE.estimate_many([]) == []
