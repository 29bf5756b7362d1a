"""The shipped model: directions, explanations, missing values, cited adjustments, warnings and refusals."""

import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.engine import RiskEngine, matrix_of
from tabular.errors import AgeBelowModelError, AgeMissingError, TabularError
from tabular.explain import LABELS
from tabular.features import RiskFeatures
from tabular.formula import FACTORS, HEADS
from tabular.model import ALL_FEATURES, FEATURES, MONOTONE, Level, as_dmatrix
from tabular.relative_risks import EVIDENCE_IDS, adjustments_for, apply_to
from tabular.results import FractureProbability, RiskEstimate
from tabular.warnings import WARNINGS, describe

EVIDENCE = Path(__file__).resolve().parents[3] / "fusion" / "evidence" / "risk.yaml"
ENGINE = RiskEngine.load()
ROUNDING = 1e-6
"""Trees add up in single precision."""

maybe = st.sampled_from([None, True, False])
people = st.builds(
    RiskFeatures,
    age_years=st.floats(40, 100),
    female=maybe,
    bmi_kg_m2=st.none() | st.floats(15, 50),
    prior_fragility_fracture=maybe,
    parental_hip_fracture=maybe,
    current_smoker=maybe,
    glucocorticoids=maybe,
    rheumatoid_arthritis=maybe,
    alcohol_3_or_more_units_per_day=maybe,
    osteoporosis_diagnosed=maybe,
    femoral_neck_t_score=st.none() | st.floats(-5, 4),
)


def both(features: RiskFeatures) -> tuple[FractureProbability, FractureProbability]:
    (estimate,) = ENGINE.estimate_many([features])
    assert isinstance(estimate, RiskEstimate)
    return estimate.major_osteoporotic, estimate.hip


def logit(value: float) -> float:
    return math.log(value / (1 - value))


@settings(deadline=None, max_examples=60)
@given(person=people)
def test_contributions_add_up_to_the_margin(person: RiskFeatures) -> None:
    row = matrix_of([person])
    for outcome in both(person):
        total = outcome.base_log_odds + sum(item.log_odds for item in outcome.contributions)
        assert total == pytest.approx(ENGINE.estimate_margins(row, outcome.outcome)[0], abs=1e-4)
        assert total == pytest.approx(logit(outcome.model_value), abs=1e-4)
        sizes = [abs(item.log_odds) for item in outcome.contributions]
        assert sizes == sorted(sizes, reverse=True)


@settings(deadline=None, max_examples=60)
@given(person=people)
def test_an_estimate_is_a_probability_inside_its_interval(person: RiskFeatures) -> None:
    for outcome in both(person):
        assert 0 < outcome.low <= outcome.value <= outcome.high < 1
        assert outcome.horizon_years == 10
    major, hip = both(person)
    assert major.value >= hip.value


@settings(deadline=None, max_examples=80)
@given(person=people, factor=st.sampled_from([*FACTORS, "osteoporosis_diagnosed"]))
def test_a_risk_factor_never_lowers_the_risk(person: RiskFeatures, factor: str) -> None:
    without, having = (both(replace(person, **{factor: answer})) for answer in (False, True))
    for before, after in zip(without, having, strict=True):
        assert after.model_value >= before.model_value - ROUNDING


@settings(deadline=None, max_examples=80)
@given(person=people, low=st.floats(-5, 4), step=st.floats(0.01, 4), years=st.floats(0.5, 30))
def test_density_and_age_move_the_risk_one_way(person: RiskFeatures, low: float, step: float, years: float) -> None:
    thin, dense = (both(replace(person, femoral_neck_t_score=t)) for t in (low, min(low + step, 8.0)))
    older = both(replace(person, age_years=(person.age_years or 40.0) + years))
    for index, outcome in enumerate(both(person)):
        assert thin[index].model_value >= dense[index].model_value - ROUNDING
        assert older[index].model_value >= outcome.model_value - ROUNDING


@settings(deadline=None, max_examples=40)
@given(person=people, bmi=st.floats(15, 45), more=st.floats(0.5, 20))
def test_without_density_thin_people_are_at_higher_risk(person: RiskFeatures, bmi: float, more: float) -> None:
    thin, heavy = (both(replace(person, femoral_neck_t_score=None, bmi_kg_m2=b)) for b in (bmi, bmi + more))
    for index in range(2):
        assert thin[index].model_value >= heavy[index].model_value - ROUNDING


def test_age_alone_is_enough_and_says_what_was_missing() -> None:
    estimate = ENGINE.estimate(RiskFeatures(age_years=70))
    assert set(estimate.missing) == set(ALL_FEATURES) - {"age_years"}
    assert {"risk.inputs.few", "risk.sex.missing", "risk.bone_density.missing"} <= set(estimate.warnings)
    assert 0.03 < estimate.major_osteoporotic.value < 0.3


def test_a_diagnosis_is_not_missed_beside_a_measurement() -> None:
    assert "osteoporosis_diagnosed" not in ENGINE.estimate(RiskFeatures(age_years=70, femoral_neck_t_score=-1)).missing


def test_more_information_narrows_the_interval() -> None:
    little = RiskFeatures(age_years=70, female=True)
    much = replace(little, bmi_kg_m2=25.0, femoral_neck_t_score=-2.0, **dict.fromkeys(FACTORS, False))
    for wide, narrow in zip(both(little), both(much), strict=True):
        assert logit(narrow.high) - logit(narrow.low) < logit(wide.high) - logit(wide.low)


@pytest.mark.parametrize(
    ("age", "error", "code"),
    [
        (None, AgeMissingError, "risk.age.missing"),
        (float("nan"), AgeMissingError, "risk.age.missing"),
        (39.9, AgeBelowModelError, "risk.age.below_model"),
        (5, AgeBelowModelError, "risk.age.below_model"),
    ],
)
def test_ages_that_cannot_be_judged(age: float | None, error: type[TabularError], code: str) -> None:
    with pytest.raises(error) as caught:
        ENGINE.estimate(RiskFeatures(age_years=age, female=True))
    assert caught.value.code == code
    assert caught.value.remedy
    assert str(age) not in str(caught.value)


@pytest.mark.parametrize(
    ("age", "code"), [(80, "risk.age.top_coded"), (90, "risk.age.top_coded"), (95, "risk.age.above_model")]
)
def test_the_oldest_are_one_group(age: float, code: str) -> None:
    estimate = ENGINE.estimate(RiskFeatures(age_years=age, female=True))
    assert code in estimate.warnings
    assert estimate.hip.value == ENGINE.estimate(RiskFeatures(age_years=80, female=True)).hip.value
    assert next(item.value for item in estimate.hip.contributions if item.feature == "age_years") == 80


def test_implausible_values_are_set_aside() -> None:
    plain = RiskFeatures(age_years=66, female=True)
    odd = ENGINE.estimate(replace(plain, bmi_kg_m2=2500.0, femoral_neck_t_score=-25.0))
    assert "risk.value.implausible:bmi_kg_m2" in odd.warnings
    assert "risk.value.implausible:femoral_neck_t_score" in odd.warnings
    assert odd.hip.value == ENGINE.estimate(plain).hip.value


def test_body_mass_index_follows_from_weight_and_height() -> None:
    derived = ENGINE.estimate(RiskFeatures(age_years=66, female=True, weight_kg=50.0, height_cm=160.0))
    given_index = ENGINE.estimate(RiskFeatures(age_years=66, female=True, bmi_kg_m2=50 / 1.6**2))
    assert "risk.bmi.derived" in derived.warnings
    assert derived.hip.model_value == given_index.hip.model_value


def test_every_warning_has_words() -> None:
    raised = set()
    odd = RiskFeatures(
        age_years=95,
        weight_kg=60,
        height_cm=160,
        recent_fracture_2y=True,
        diabetes_type_1=True,
        diabetes_type_2=True,
        secondary_osteoporosis=True,
        dementia=True,
        parkinson=True,
        cancer=True,
    )
    for person in (
        odd,
        replace(odd, age_years=85, diabetes_type_1=None, femoral_neck_t_score=-1, bmi_kg_m2=900),
        replace(odd, age_years=80, falls_last_year=3, parental_hip_fracture=True, female=True, bmi_kg_m2=16),
    ):
        raised |= set(ENGINE.estimate(person).warnings)
    raised |= set(ENGINE.estimate(RiskFeatures(age_years=70, bmi_kg_m2=50.0)).warnings)
    anchored = {"risk.anchor.applied", "risk.anchor.not_covered"}  # raised in test_anchoring
    assert {code.partition(":")[0] for code in raised} | anchored == set(WARNINGS)
    assert all(describe(code).endswith(".") for code in raised)


def test_every_feature_has_words() -> None:
    assert set(LABELS) == set(ALL_FEATURES)


def test_cited_factors_act_on_the_hazard_and_keep_both_numbers() -> None:
    plain = RiskFeatures(age_years=70, female=True, femoral_neck_t_score=-1.5)
    before, after = ENGINE.estimate(plain).hip, ENGINE.estimate(replace(plain, diabetes_type_2=True)).hip
    assert after.model_value == before.value
    ratio = math.log1p(-after.value) / math.log1p(-after.model_value)
    assert ratio == pytest.approx(1.33)
    assert [item.evidence_id for item in after.adjustments] == ["risk.t2dm_hip.vilaca2020"]
    assert after.low > before.low
    assert after.high > before.high


def test_each_cause_counts_once() -> None:
    person = RiskFeatures(age_years=70, diabetes_type_1=True, diabetes_type_2=True, secondary_osteoporosis=True)
    assert [item.factor for item in adjustments_for(person, HEADS[0])] == ["type 1 diabetes"]
    only = replace(person, diabetes_type_1=None, diabetes_type_2=None)
    assert [item.factor for item in adjustments_for(only, HEADS[0])] == ["secondary osteoporosis"]
    assert adjustments_for(replace(only, femoral_neck_t_score=-2.0), HEADS[0]) == ()
    assert adjustments_for(replace(only, falls_last_year=0, secondary_osteoporosis=False), HEADS[0]) == ()


def test_a_recent_fracture_is_a_prior_fracture_too() -> None:
    plain = RiskFeatures(age_years=70, female=True)
    recent = ENGINE.estimate(replace(plain, recent_fracture_2y=True))
    prior = ENGINE.estimate(replace(plain, prior_fragility_fracture=True))
    assert recent.major_osteoporotic.model_value == prior.major_osteoporotic.value
    assert recent.major_osteoporotic.value > prior.major_osteoporotic.value
    assert recent.hip.adjustments == ()


def test_no_adjustment_changes_nothing() -> None:
    assert apply_to(0.123, ()) == pytest.approx(0.123)


def test_cited_evidence_exists_and_says_the_same() -> None:
    entries = {entry["id"]: entry for entry in yaml.safe_load(EVIDENCE.read_text(encoding="utf-8"))["entries"]}
    assert set(EVIDENCE_IDS) <= set(entries)
    person = RiskFeatures(age_years=70, diabetes_type_1=True)
    other = replace(person, diabetes_type_1=None, diabetes_type_2=True)
    for features in (person, other):
        for head in HEADS:
            for adjustment in adjustments_for(features, head):
                assert adjustment.ratio == entries[adjustment.evidence_id]["value"]


def published_table() -> list[tuple[bool, int, str | None, str, float, float]]:
    """Cells of the published British table: female, age, factor, outcome, probability with and without the factor."""
    names = {
        "none": None,
        "parental": "parental_hip_fracture",
        "smoking": "current_smoker",
        "alcohol": "alcohol_3_or_more_units_per_day",
        "ra": "rheumatoid_arthritis",
        "gc": "glucocorticoids",
        "prior_fx": "prior_fragility_fracture",
    }
    entries = yaml.safe_load(EVIDENCE.read_text(encoding="utf-8"))["entries"]
    table = next(entry["table"] for entry in entries if entry["id"] == "risk.reference_probability.kanis2008")
    cells = []
    for sex in ("men", "women"):
        for factor, outcomes in table[sex].items():
            for short, head in (("mof", HEADS[0]), ("hip", HEADS[1])):
                for index, age in enumerate(table["ages"]):
                    plain = table[sex]["none"][short][index] / 100
                    cells.append((sex == "women", age, names[factor], head, outcomes[short][index] / 100, plain))
    return cells


def test_directions_and_size_agree_with_the_published_table() -> None:
    cells = published_table()
    assert len(cells) == 112
    errors = []
    for female, age, factor, head, published, plain in cells:
        index = HEADS.index(head)
        base = RiskFeatures(age_years=age, female=female, bmi_kg_m2=25.0, **dict.fromkeys(FACTORS, False))
        ours = both(replace(base, **({factor: True} if factor else {})))[index].value
        errors.append(abs(ours / published - 1))
        if published > plain:
            assert ours > both(base)[index].value, (female, age, factor, head)
    assert np.median(errors) <= 0.25


def test_margins_of_many_equal_those_of_one() -> None:
    group = [
        RiskFeatures(age_years=50 + i, female=i % 2 == 0, femoral_neck_t_score=-1.0 if i % 3 else None)
        for i in range(9)
    ]
    for head in HEADS:
        together = ENGINE.estimate_margins(matrix_of(group), head)
        alone = [float(ENGINE.estimate_margins(matrix_of([person]), head)[0]) for person in group]
        np.testing.assert_allclose(together, alone, atol=1e-6)


def test_threads_agree() -> None:
    person = RiskFeatures(age_years=72, female=True, femoral_neck_t_score=-2.2)
    expected, found = ENGINE.estimate(person), []
    threads = [threading.Thread(target=lambda: found.append(ENGINE.estimate(person))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_boosters_hold_to_the_declared_directions() -> None:
    rng = np.random.default_rng(1)
    rows = np.column_stack(
        [rng.integers(40, 81, 400), *(rng.integers(0, 2, 400) for _ in range(1)), rng.uniform(16, 45, 400)]
        + [rng.integers(0, 2, 400) for _ in range(6)]
        + [rng.uniform(-4, 3, 400), rng.integers(0, 2, 400)]
    ).astype(float)
    rows[:, 1:][rng.random((400, 10)) < 0.2] = np.nan
    for (head, level), booster in ENGINE._model.boosters.items():
        for name in FEATURES[level]:
            direction = MONOTONE[level][name]
            column = ALL_FEATURES.index(name)
            low, high = rows.copy(), rows.copy()
            values = np.sort(rng.choice(rows[~np.isnan(rows[:, column]), column], size=(2, 400)), axis=0)
            low[:, column], high[:, column] = values
            above, below = (booster.predict(as_dmatrix(x, level), validate_features=False) for x in (high, low))
            assert (direction * (above - below) >= -1e-5).all(), (head, level, name)


def test_levels_read_what_they_say() -> None:
    assert "femoral_neck_t_score" not in FEATURES[Level.WITHOUT_DENSITY]
    assert "osteoporosis_diagnosed" not in FEATURES[Level.WITH_DENSITY]
