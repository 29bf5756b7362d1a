"""Moving the probabilities to another population's mean risk."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.anchoring import SCHEMA, make_anchor, mean_risk, read_anchor
from tabular.engine import RiskEngine
from tabular.errors import AnchorError
from tabular.features import RiskFeatures
from tabular.model import DEFAULT_DIRECTORY, load_model
from tabular.warnings import WARNINGS, describe

MODEL = load_model(DEFAULT_DIRECTORY)
assert MODEL.reference is not None
REFERENCE = MODEL.reference


def content(**outcomes: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "name": "a county", "source": "its register", "outcomes": outcomes}


def logit(value: float) -> float:
    return math.log(value / (1 - value))


@settings(deadline=None, max_examples=30)
@given(mean=st.floats(0.005, 0.3))
def test_the_stated_mean_is_met(mean: float) -> None:
    anchor = make_anchor(content(major_osteoporotic=mean), REFERENCE)
    assert mean_risk(REFERENCE, "major_osteoporotic", anchor) == pytest.approx(mean, rel=1e-6)
    assert mean_risk(REFERENCE, "hip", anchor) == mean_risk(REFERENCE, "hip")


def test_each_group_meets_its_own_mean() -> None:
    entries = [
        {"sex": "female", "age_from": 50, "age_to": 59, "mean_probability": 0.09},
        {"sex": "female", "age_from": 60, "age_to": None, "mean_probability": 0.2},
        {"sex": "male", "age_from": 50, "mean_probability": 0.05},
    ]
    anchor = make_anchor(content(major_osteoporotic=entries), REFERENCE)
    assert anchor.shift("major_osteoporotic", age_years=45, female=True) is None
    young, old = (anchor.shift("major_osteoporotic", age_years=age, female=True) for age in (55, 85))
    assert young is not None
    assert old is not None
    assert young != old
    assert anchor.shift("major_osteoporotic", age_years=59.9, female=True) == young
    unknown = anchor.shift("major_osteoporotic", age_years=55, female=None)
    men = anchor.shift("major_osteoporotic", age_years=55, female=False)
    assert unknown is not None
    assert men is not None
    assert min(men, young) < unknown < max(men, young)


def test_an_anchored_engine_moves_the_base_and_keeps_the_reasons(tmp_path: Path) -> None:
    path = tmp_path / "anchor.json"
    half = mean_risk(REFERENCE, "major_osteoporotic") / 2
    path.write_text(json.dumps(content(major_osteoporotic=half)), encoding="utf-8")
    person = RiskFeatures(age_years=70, female=True, diabetes_type_2=True)
    plain, moved = RiskEngine.load().estimate(person), RiskEngine.load(anchor=path).estimate(person)
    before, after = plain.major_osteoporotic, moved.major_osteoporotic
    assert after.contributions == before.contributions
    assert after.value < before.value
    assert after.low <= after.value <= after.high
    total = after.base_log_odds + math.fsum(item.log_odds for item in after.contributions)
    assert logit(after.model_value) == pytest.approx(total, abs=1e-6)
    shift = after.base_log_odds - before.base_log_odds
    assert logit(after.model_value) - logit(before.model_value) == pytest.approx(shift)
    assert moved.hip.value == plain.hip.value
    assert moved.anchor == "a county (its register)"
    assert plain.anchor is None
    assert "risk.anchor.applied:major_osteoporotic" in moved.warnings
    assert not any(code.startswith("risk.anchor") for code in plain.warnings)


def test_a_person_outside_the_table_is_told_so() -> None:
    anchor = make_anchor(content(hip=[{"sex": "female", "age_from": 65, "mean_probability": 0.05}]), REFERENCE)
    engine = RiskEngine(MODEL, anchor=anchor)
    man = engine.estimate(RiskFeatures(age_years=70, female=False))
    assert "risk.anchor.not_covered:hip" in man.warnings
    assert man.hip.value == RiskEngine(MODEL).estimate(RiskFeatures(age_years=70, female=False)).hip.value
    assert all(describe(code) for code in man.warnings)
    assert {"risk.anchor.applied", "risk.anchor.not_covered"} <= set(WARNINGS)


@pytest.mark.parametrize(
    "outcomes",
    [
        {},
        {"wrist": 0.1},
        {"hip": "much"},
        {"hip": True},
        {"hip": float("nan")},
        {"hip": 0.0},
        {"hip": 5.2},
        {"hip": []},
        {"hip": [{"mean": 0.1}]},
        {"hip": [{"sex": "both", "mean_probability": 0.1}]},
        {"hip": [{"age_from": 52, "mean_probability": 0.1}]},
        {"hip": [{"age_from": 50, "age_to": 60, "mean_probability": 0.1}]},
        {"hip": [{"age_from": 60, "age_to": 54, "mean_probability": 0.1}]},
        {"hip": [{"age_from": 60, "mean_probability": 0.1}, {"age_from": 70, "mean_probability": 0.1}]},
    ],
)
def test_a_table_that_cannot_be_used_is_refused(outcomes: dict[str, Any]) -> None:
    with pytest.raises(AnchorError) as caught:
        make_anchor(content(**outcomes), REFERENCE)
    assert caught.value.code == "risk.anchor.invalid"
    assert caught.value.remedy


def test_a_percentage_given_as_probability_is_noticed() -> None:
    with pytest.raises(AnchorError) as caught:
        make_anchor(content(hip=[{"sex": "male", "age_from": 40, "age_to": 44, "mean_probability": 0.8}]), REFERENCE)
    assert caught.value.code == "risk.anchor.out_of_reach"


@pytest.mark.parametrize(
    "change", [{"schema": "other"}, {"name": " "}, {"source": None}, {"outcomes": None}, {"outcomes": []}]
)
def test_a_file_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AnchorError):
        make_anchor(content(hip=0.02) | change, REFERENCE)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "anchor.json"
    broken.write_text("{", encoding="utf-8")
    for path in (broken, tmp_path / "nothing.json"):
        with pytest.raises(AnchorError) as caught:
            read_anchor(path, REFERENCE)
        assert caught.value.code == "risk.anchor.unreadable"
    with pytest.raises(AnchorError) as caught:
        read_anchor(broken, None)
    assert caught.value.code == "risk.anchor.no_reference"
    with pytest.raises(AnchorError):
        make_anchor([], REFERENCE)
