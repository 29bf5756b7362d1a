"""Sentences about risk, and what the section shows of them."""

from dataclasses import replace

import pytest

from cds.presenters import risk_words
from cds.presenters.html import render_html
from cds.presenters.risk_view import change_view, osteoporosis_view
from tabular.cohort import TOP_CODED_AGE_YEARS
from tabular.engine import RiskEngine
from tabular.features import RiskFeatures
from tabular.model import ALL_FEATURES
from tabular.results import DxaThreshold, OsteoporosisEstimate
from tests.support.cases import full_case, risk

ENGINE = RiskEngine.load()
PERSON = RiskFeatures(age_years=71, female=True, bmi_kg_m2=24.0, current_smoker=True)
LIMIT = DxaThreshold(
    name="sensitive",
    probability=0.05,
    sensitivity=0.9,
    sensitivity_low=0.85,
    sensitivity_high=0.94,
    specificity=0.6,
    specificity_low=0.58,
    specificity_high=0.62,
    people=7000,
    cases=500,
)


def osteoporosis(value: float) -> OsteoporosisEstimate:
    return OsteoporosisEstimate(
        value=value,
        low=value / 2,
        high=min(1.0, value * 2),
        base_log_odds=-3.0,
        contributions=risk().hip.contributions,
        thresholds=(LIMIT, replace(LIMIT, name="specific", probability=0.2, sensitivity=0.5, specificity=0.95)),
        validation="AUC 0.87 in 7,000 people.",
        interval_meaning="The interval shows what missing answers leave open.",
    )


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        ("age_years", 71.0, "age 71 years"),
        ("age_years", 80.0, "age 80 years or more"),
        ("femoral_neck_t_score", None, "femoral neck T-score not measured"),
        ("femoral_neck_t_score", -2.54, "femoral neck T-score −2.5"),
        ("bmi_kg_m2", 24.21875, "body mass index 24.2 kg/m²"),
        ("female", 0.0, "male sex"),
        ("alcohol_3_or_more_units_per_day", 0.0, "fewer than three units of alcohol a day"),
        ("parental_hip_fracture", None, "hip fracture of a parent not known"),
    ],
)
def test_a_factor_stands_with_its_value(feature: str, value: float | None, words: str) -> None:
    assert risk_words.factor(feature, value) == words


def test_labels_fit_the_drawing() -> None:
    for feature in ALL_FEATURES:
        for value in (None, 0.0, 1.0, 80.0):
            assert len(risk_words.factor(feature, value)) <= 48


def test_the_oldest_group_is_that_of_the_model() -> None:
    assert risk_words.TOP_CODED_AGE_YEARS == TOP_CODED_AGE_YEARS


def test_three_strongest_on_either_side() -> None:
    contributions = ENGINE.estimate(replace(PERSON, female=False, glucocorticoids=False)).hip.contributions
    raising, lowering = risk_words.strongest(contributions)
    assert 0 < len(raising) <= 3
    assert 0 < len(lowering) <= 3
    assert [one.log_odds for one in raising] == sorted((one.log_odds for one in raising), reverse=True)
    assert all(one.log_odds < 0 for one in lowering)
    up, down = risk_words.moved(contributions)
    assert up.startswith("Raised most by age 71 years (odds ×")
    assert down.startswith("Lowered most by ")


def test_a_measured_t_score_would_shrink_the_interval_in_words() -> None:
    (sentence,) = risk_words.changes(ENGINE.estimate(PERSON).major_osteoporotic, 1)
    assert sentence.startswith("With femoral neck T-score measured: ")
    assert "interval would shrink from" in sentence
    assert "T-score −3" in sentence


def test_changes_are_rows_for_both_outcomes() -> None:
    view = change_view(ENGINE.estimate(PERSON))
    assert view is not None
    assert view.missing[0].what == "With femoral neck T-score measured"
    assert [row.what for row in view.habits] == ["Without current smoking"]
    assert all(len(row.values) == 2 and all(row.values) for row in (*view.missing, *view.habits))
    assert view.origins
    assert change_view(risk()) is None


def test_the_report_shows_steps_changes_and_the_meaning_of_the_interval() -> None:
    estimate = ENGINE.estimate(PERSON)
    page = render_html(replace(full_case(), risk=estimate))
    for text in (
        'id="waterfall-major-osteoporotic-title"',
        'id="waterfall-hip-text"',
        "What would change these numbers",
        "Stopping does not give that number at once",
        "They are not causes",
        "What the interval means.",
    ):
        assert text in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("value", "words"), [(0.3, "well worth asking for"), (0.1, "may be asked for"), (0.01, "no reason for")]
)
def test_undiagnosed_osteoporosis_says_what_it_means(value: float, words: str) -> None:
    estimate = replace(risk(), undiagnosed_osteoporosis=osteoporosis(value))
    view = osteoporosis_view(estimate)
    assert view is not None
    assert words in view.meaning
    page = render_html(replace(full_case(), risk=estimate))
    assert "Osteoporosis likely though undiagnosed" in page
    assert words in page


def test_an_absent_osteoporosis_estimate_says_why() -> None:
    told = replace(risk(), undiagnosed_osteoporosis_absent="risk.osteoporosis.already_diagnosed")
    view = osteoporosis_view(told)
    assert view is not None
    assert view.absent == "Osteoporosis is diagnosed already."
    assert osteoporosis_view(risk()) is None
