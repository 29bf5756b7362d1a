"""What if: one modifiable factor left out, with the same draws, in words that promise nothing."""

import re
from typing import Any

import pytest

from fhir_adapters.patient import DiabetesType, DrugClass, SmokingStatus
from fusion.context import FractureType
from fusion.results import Certainty, HealingEstimate, HealingWhatIf
from fusion.sites import FractureSite
from fusion.statements import UNVERIFIED
from tests.unit.fusion.cases import assess, drug, patient, sourced

TIBIA = FractureSite.TIBIAL_SHAFT
SMOKER = {"smoking": sourced(SmokingStatus.CURRENT, "Observation/s")}


def estimate(
    site: FractureSite = TIBIA, age: int | None = 40, record: dict[str, Any] | None = None, **context: Any
) -> HealingEstimate:
    healing = assess(person=patient(age, **(record or {})), site=site, **context).healing
    assert healing is not None
    return healing


def row(healing: HealingEstimate, name: str) -> HealingWhatIf | None:
    return next((one for one in healing.what_if if one.factor == name), None)


def test_without_smoking_the_window_is_that_of_a_non_smoker() -> None:
    smoker, other = estimate(record=SMOKER), estimate()
    found = row(smoker, "current_smoking")
    assert found is not None
    assert (found.low_weeks, found.median_weeks, found.high_weeks) == (
        other.low_weeks,
        other.median_weeks,
        other.high_weeks,
    )
    assert (found.nonunion_low, found.nonunion_high) == (other.nonunion_low, other.nonunion_high)
    assert found.weeks_earlier_low is not None and found.weeks_earlier_high is not None
    assert 0 < found.weeks_earlier_low < found.weeks_earlier_high
    assert found.statement.record == ("Observation/s",)


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("nsaid", {"medications": (drug(DrugClass.NSAID),)}),
        ("cox2_inhibitor", {"medications": (drug(DrugClass.COX2_INHIBITOR),)}),
    ],
)
def test_a_drug_changes_non_union_and_no_time(name: str, record: dict[str, Any]) -> None:
    healing = estimate(record=record)
    found = row(healing, name)
    assert found is not None and found.weeks_earlier_low is None
    assert (found.low_weeks, found.high_weeks) == (healing.low_weeks, healing.high_weeks)
    assert found.nonunion_high is not None and healing.nonunion_high is not None
    assert found.nonunion_high < healing.nonunion_high
    assert "no effect on the time is known" in found.statement.text
    assert row(estimate(), name) is None


def test_vitamin_d_changes_nothing_and_promises_nothing() -> None:
    healing = estimate(record={"vitamin_d_nmol_l": sourced(49.9, "Observation/v")})
    found = row(healing, "vitamin_d_deficiency")
    assert found is not None
    assert (found.low_weeks, found.high_weeks) == (healing.low_weeks, healing.high_weeks)
    assert (found.nonunion_low, found.nonunion_high) == (healing.nonunion_low, healing.nonunion_high)
    assert "nothing changes here" in found.statement.text and "no significant difference" in found.statement.text
    assert row(estimate(record={"vitamin_d_nmol_l": sourced(50.0, "Observation/v")}), "vitamin_d_deficiency") is None


@pytest.mark.parametrize("status", [SmokingStatus.FORMER, SmokingStatus.NEVER, SmokingStatus.UNKNOWN])
def test_other_smokers_have_no_row(status: SmokingStatus) -> None:
    assert estimate(record={"smoking": sourced(status, "Observation/s")}).what_if == ()


def test_children_and_the_unchangeable_have_no_row() -> None:
    drugs = {**SMOKER, "medications": (drug(DrugClass.NSAID),)}
    assert estimate(age=17, record=drugs).what_if == ()
    fixed = {"osteoporosis": sourced(True, "Condition/o"), "diabetes": sourced(DiabetesType.TYPE_1, "Condition/d")}
    assert estimate(record=fixed, open_wound=True).what_if == ()


def test_the_hip_has_weeks_and_no_rate() -> None:
    found = row(estimate(FractureSite.FEMORAL_NECK, 80, SMOKER), "current_smoking")
    assert found is not None and found.nonunion_low is found.nonunion_high is None
    assert "non-union" not in found.statement.text


def test_every_row_calls_itself_an_association_and_is_cited() -> None:
    record = {
        **SMOKER,
        "medications": (drug(DrugClass.NSAID), drug(DrugClass.COX2_INHIBITOR)),
        "vitamin_d_nmol_l": sourced(20.0, "Observation/v"),
    }
    assessment = assess(person=patient(40, **record), site=TIBIA)
    assert assessment.healing is not None and len(assessment.healing.what_if) == 4
    cited = {one.id for one in assessment.sources}
    for one in assessment.healing.what_if:
        assert set(one.statement.evidence) <= cited and one.statement.evidence
        assert "has not been shown" in one.statement.text or "nothing changes" in one.statement.text
        assert not re.search(r"will |shortens|speeds|improve|gain", one.statement.text)
        assert one.statement.certainty is not Certainty.UNVERIFIED and UNVERIFIED not in one.statement.text


def test_diabetes_says_why_control_has_no_figure() -> None:
    diabetic = estimate(record={"diabetes": sourced(DiabetesType.TYPE_2, "Condition/d")})
    (note,) = (one for one in diabetic.notes if one.id == "healing.note.diabetes_control")
    assert "disagree" in note.text and note.record == ("Condition/d",)
    assert all(one.id != "healing.note.diabetes_control" for one in estimate().notes)
    child = estimate(age=10, record={"diabetes": sourced(DiabetesType.TYPE_1, "Condition/d")})
    assert all(one.id != "healing.note.diabetes_control" for one in child.notes)


def test_comminution_of_the_tibia_is_cited_and_not_counted() -> None:
    broken, plain = estimate(fracture_type=FractureType.COMMINUTED), estimate()
    (note,) = (one for one in broken.notes if one.id == "healing.note.comminution")
    assert note.evidence and "not counted" in note.text
    assert (broken.low_weeks, broken.nonunion_high) == (plain.low_weeks, plain.nonunion_high)
    (elsewhere,) = (
        one
        for one in estimate(FractureSite.ANKLE, fracture_type=FractureType.COMMINUTED).notes
        if one.id == "healing.note.comminution"
    )
    assert not elsewhere.evidence
