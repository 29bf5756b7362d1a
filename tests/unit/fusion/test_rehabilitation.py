"""The calendar by site: every step fires where it belongs and is silent elsewhere."""

import pytest

from fusion.context import FractureType
from fusion.evidence_base import EvidenceBase
from fusion.facts import CHILD_BELOW_YEARS
from fusion.rehabilitation import ADULT_STEPS, CHILD_STEPS, Step
from fusion.results import FollowUp, Urgency
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import assess, findings, patient, rules

BASE = EvidenceBase.load()
ADULT = [(site, step) for site, steps in ADULT_STEPS.items() for step in steps]
CHILD = [(site, step) for site, steps in CHILD_STEPS.items() for step in steps]


def found(site: FractureSite | None, age: int, rule: str, **context: object) -> FollowUp | None:
    steps = assess(person=patient(age), site=site, **context).follow_up
    return next((one for one in steps if one.statement.id == rule), None)


@pytest.mark.parametrize(
    ("age", "site", "step"),
    [*((40, *one) for one in ADULT), *((2, *one) for one in CHILD)],
    ids=lambda one: one.evidence if isinstance(one, Step) else str(one),
)
def test_every_step_fires_for_its_site_and_nowhere_else(age: int, site: FractureSite, step: Step) -> None:
    rule, entry = f"follow_up.{step.evidence}", BASE[f"care.{step.evidence}"]
    stated = {"operated": step.operated, **({"displaced": True} if step.only_displaced else {})}
    child = age == 2
    if step.ages is not None:
        age = step.ages[0]
    one = found(site, age, rule, **stated)
    assert one is not None and one.statement.evidence == (entry.id,)
    assert "{" not in one.statement.text
    per_week = 7.0 if step.days else 1.0
    for printed, week in ((entry.low, one.earliest_week), (entry.high, one.latest_week)):
        assert (printed is None and week is None) or week == pytest.approx((printed or 0.0) / per_week)
    elsewhere = FractureSite.CALCANEUS
    assert found(elsewhere, age, rule, **stated) is None
    assert found(site, 40 if child else 8, rule, **stated) is None
    if step.operated is not None:
        assert found(site, age, rule, **{**stated, "operated": not step.operated}) is None


@pytest.mark.parametrize(("age", "there"), [(0, False), (1, True), (3, True), (4, False)])
def test_the_spica_keeps_to_the_ages_studied(age: int, there: bool) -> None:
    one = found(FractureSite.FEMORAL_SHAFT, age, "follow_up.rehab.child_femur_spica")
    assert (one is not None) is there


@pytest.mark.parametrize(
    ("site", "rule"),
    [
        (FractureSite.HAND_PHALANX, "follow_up.rehab.phalanx_strapping"),
        (FractureSite.HAND_PHALANX, "follow_up.check.phalanx"),
        (FractureSite.PATELLA, "follow_up.rehab.patella_brace"),
    ],
)
def test_displacement_silences_what_holds_for_undisplaced_fractures(site: FractureSite, rule: str) -> None:
    assert found(site, 40, rule, displaced=True) is None
    assert found(site, 40, rule, displaced=False) is not None


def test_a_comminuted_tibia_is_not_told_of_simple_ones() -> None:
    rule = "follow_up.rehab.tibia_nail_weight"
    assert found(FractureSite.TIBIAL_SHAFT, 40, rule, operated=True, fracture_type=FractureType.COMMINUTED) is None
    assert found(FractureSite.TIBIAL_SHAFT, 40, rule, operated=True, fracture_type=FractureType.SPIRAL) is not None


@pytest.mark.parametrize(
    ("age", "rule"),
    [(CHILD_BELOW_YEARS - 1, "follow_up.school_sport"), (CHILD_BELOW_YEARS, "follow_up.driving_work")],
)
def test_driving_and_work_are_left_to_the_clinician(age: int, rule: str) -> None:
    one = found(FractureSite.CALCANEUS, age, rule)
    assert one is not None and "left to the clinician" in one.statement.text
    assert one.earliest_week is one.latest_week is None and one.urgency is Urgency.ROUTINE
    other = {"follow_up.school_sport", "follow_up.driving_work"} - {rule}
    assert not other & rules(assess(person=patient(age), site=FractureSite.CALCANEUS))


def test_without_a_fracture_there_is_no_calendar() -> None:
    assert not {one for one in rules(assess(person=patient(40))) if one.startswith("follow_up.driving")}


def test_a_region_alone_has_no_steps_but_the_line() -> None:
    said = rules(assess(image=findings(FractureCall.DEFINITE, BodyRegion.CLAVICLE), person=patient(40)))
    assert "follow_up.driving_work" in said
    assert not {one for one in said if one.startswith(("follow_up.rehab.", "follow_up.check."))}


def test_no_step_rests_on_an_unverified_source() -> None:
    for _, step in (*ADULT, *CHILD):
        assert not BASE[f"care.{step.evidence}"].is_unverified
