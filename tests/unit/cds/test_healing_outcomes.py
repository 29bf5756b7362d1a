"""Rules and recorded outcomes meet: the forecast of a row, the row of a case, and what the report says."""

import math
from dataclasses import replace
from typing import Any

import pytest

from cds.healing_outcomes import LearnedAssessor, forecast_of_row, row_of
from fhir_adapters.patient import DiabetesType, DrugClass, SmokingStatus
from fusion.context import ClinicalContext, FractureType
from fusion.evidence_base import EvidenceBase
from fusion.healing_learned import BLEND
from fusion.results import Assessment
from fusion.sites import FractureSite
from tabular.healing.outcomes import PATTERNS, SITE_GROUPS, HealingRow
from tabular.healing.training import HALF_WEIGHT_EVENTS
from tabular.results import HealingComparison, LearnedHealing
from tests.unit.fusion.cases import NOW, drug, engine, facts, patient, sourced

WON = HealingComparison(
    score_gain=0.3,
    score_gain_low=0.2,
    score_gain_high=0.4,
    concordance_learned=0.7,
    concordance_rules=0.6,
    coverage_learned=0.79,
    coverage_rules=0.6,
)
LEARNED = LearnedHealing(
    model_id="fracture-healing-site+0123",
    group="lower_leg",
    cases=300,
    events=240,
    weight=0.8,
    log_median=math.log(30.0),
    log_sigma=0.2,
    comparison=WON,
)


class Fixed:
    """A model that always says the same."""

    def __init__(self, answer: LearnedHealing | None) -> None:
        self.answer = answer
        self.asked: list[HealingRow] = []

    def estimate(self, row: HealingRow, start_log_weeks: float) -> LearnedHealing | None:
        assert start_log_weeks > 0
        self.asked.append(row)
        return self.answer


def assess(answer: LearnedHealing | None, **context: Any) -> Assessment:
    return LearnedAssessor(engine(), Fixed(answer)).assess(
        findings=None,
        patient=patient(40, smoking=sourced(SmokingStatus.CURRENT, "Observation/s")),
        risk=None,
        context=ClinicalContext(**{"site": FractureSite.TIBIAL_SHAFT, **context}),
        as_of=NOW,
    )


def notes(assessment: Assessment) -> dict[str, str]:
    assert assessment.healing is not None
    return {one.id: one.text for one in assessment.healing.notes}


def test_a_model_that_won_moves_the_window_and_says_so() -> None:
    with_model, without = assess(LEARNED).healing, assess(None).healing
    assert with_model is not None and without is not None
    assert with_model.median_weeks > 1.2 * without.median_weeks
    assert with_model.published_weeks is not None
    assert with_model.published_weeks.median == pytest.approx(without.median_weeks)
    assert with_model.learned == LEARNED
    text = notes(assess(LEARNED))["healing.note.learned"]
    assert "300 recorded cases of this site" in text and "weight 80 %" in text and "0.30 per case better" in text
    assert "79 %" in text and "0.70 against 0.60" in text
    assert [one.median_weeks for one in with_model.what_if] == [one.median_weeks for one in without.what_if]


def test_the_blend_is_the_mixture() -> None:
    healing = assess(LEARNED).healing
    assert healing is not None
    all_of_it = assess(replace(LEARNED, weight=1.0)).healing
    assert all_of_it is not None and all_of_it.median_weeks == pytest.approx(30.0, rel=1e-6)
    assert healing.median_weeks < all_of_it.median_weeks


def test_a_model_that_did_not_win_changes_nothing_and_says_so() -> None:
    lost = replace(LEARNED, weight=0.0, log_median=None, log_sigma=None, comparison=replace(WON, score_gain_low=-0.1))
    healing, without = assess(lost).healing, assess(None).healing
    assert healing is not None and without is not None
    assert (healing.low_weeks, healing.high_weeks) == (without.low_weeks, without.high_weeks)
    assert healing.published_weeks is None
    assert "was not shown to be better" in notes(assess(lost))["healing.note.learned_refused"]
    few = replace(lost, comparison=None, cases=20, events=18)
    assert "too few" in notes(assess(few))["healing.note.learned_refused"]


def test_without_a_model_the_figures_stand_alone() -> None:
    said = notes(assess(None))
    assert "no public data" in said["healing.note.rules_alone"]
    assert not {"healing.note.learned", "healing.note.learned_refused"} & set(said)
    assert "healing.note.rules_alone" not in notes(assess(LEARNED))


def test_the_weight_is_the_one_that_is_cited() -> None:
    assert EvidenceBase.load()[BLEND].value == HALF_WEIGHT_EVENTS


def test_a_case_becomes_a_row() -> None:
    person = patient(
        40,
        smoking=sourced(SmokingStatus.FORMER, "Observation/s"),
        diabetes=sourced(DiabetesType.TYPE_1, "Condition/d"),
        medications=(drug(DrugClass.NSAID),),
    )
    case = facts(
        person=person, site=FractureSite.ANKLE, fracture_type=FractureType.COMMINUTED, open_wound=True, operated=True
    )
    assert row_of(case) == HealingRow(
        site="ankle",
        pattern="comminuted",
        age_years=40,
        female=True,
        diabetes=True,
        smoking=False,
        osteoporosis=False,
        nsaid=True,
        open=True,
        comminuted=True,
        operated=True,
    )


def test_what_is_not_known_stays_unknown_and_no_site_no_row() -> None:
    assert row_of(facts(site=FractureSite.ANKLE)) == HealingRow(site="ankle")
    assert row_of(facts()) is None
    asked = Fixed(None)
    LearnedAssessor(engine(), asked).assess(
        findings=None, patient=None, risk=None, context=ClinicalContext(), as_of=NOW
    )
    assert asked.asked == []


def test_the_forecast_of_a_row_is_that_of_the_rules() -> None:
    row = HealingRow(site="tibial_shaft", age_years=40, female=True, smoking=True)
    found, healing = forecast_of_row(row), assess(None).healing
    assert healing is not None
    assert found.quantile(0.5) == pytest.approx(healing.median_weeks, rel=1e-6)
    assert healing.nonunion_low is not None and healing.nonunion_high is not None
    assert healing.nonunion_low < found.never < healing.nonunion_high
    assert math.exp(found.base_log_median) < found.quantile(0.5)


def test_the_words_of_the_table_are_those_of_the_rules() -> None:
    assert set(SITE_GROUPS) == {one.value for one in FractureSite}
    assert set(PATTERNS) == {one.value for one in FractureType}
    for site in FractureSite:
        for age in (None, 8, 40):
            forecast = forecast_of_row(HealingRow(site=site.value, age_years=age))
            assert 0 <= forecast.never < 0.5 and 1 < forecast.quantile(0.5) < 40
