"""Aftercare, the fracture liaison timeline, and the risk of the next fracture in words."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_adapters.patient import BoneDensityScan, ConditionKind, DrugClass, FractureSiteGroup, Sourced
from fusion.context import Mechanism
from fusion.results import Assessment, FollowUp, Urgency
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tabular.results import RelativeRisk
from tests.unit.fusion.cases import (
    assess,
    condition,
    drug,
    findings,
    patient,
    prior,
    risk,
    rules,
    sourced,
    text,
)
from tests.unit.fusion.observed import every_statement

ANKLE = FractureSite.ANKLE
LOW = Mechanism.LOW_ENERGY


def step(assessment: Assessment, rule: str) -> FollowUp:
    return next(one for one in assessment.follow_up if one.statement.id == f"follow_up.{rule}")


def t_score(value: float) -> dict[str, Any]:
    return {"t_score_femoral_neck": sourced(value, "Observation/t")}


# --- fracture liaison


def test_the_timeline_of_a_fragility_fracture() -> None:
    assessment = assess(person=patient(50), site=ANKLE, mechanism=LOW)
    weeks = {
        "risk_assessed": 12,
        "dxa": 12,
        "falls_assessment": 12,
        "strength_balance": 16,
        "drug_started": 16,
        "monitoring": 16,
        "on_drug_check": 52,
    }
    for name, week in weeks.items():
        one = step(assessment, f"fls.{name}")
        assert one.latest_week == week
        assert "If a fragility" not in one.statement.text


@pytest.mark.parametrize(
    ("age", "mechanism", "there"),
    [
        (49, LOW, False),
        (50, None, True),
        (80, Mechanism.HIGH_ENERGY, False),
        (80, Mechanism.PATHOLOGICAL, False),
        (None, LOW, False),
    ],
)
def test_the_timeline_needs_age_and_mechanism(age: int | None, mechanism: Mechanism | None, there: bool) -> None:
    found = {one for one in rules(assess(person=patient(age), site=ANKLE, mechanism=mechanism)) if ".fls." in one}
    assert bool(found) is there


def test_an_unknown_mechanism_makes_the_timeline_conditional() -> None:
    assessment = assess(person=patient(70), site=ANKLE)
    assert "fall from standing height" in step(assessment, "fls.risk_assessed").statement.text
    assert step(assessment, "fls.dxa").statement.text.startswith("If a fragility fracture: ")


def test_what_the_record_knows_changes_the_step() -> None:
    person = patient(
        70,
        **t_score(-1.8),
        falls_last_year=sourced(2, "Observation/falls"),
        medications=(drug(DrugClass.DENOSUMAB),),
    )
    assessment = assess(person=person, site=ANKLE, mechanism=LOW)
    assert "T-score -1.8" in step(assessment, "fls.dxa").statement.text
    assert "fell 2 times" in step(assessment, "fls.falls_assessment").statement.text
    assert "already prescribed" in step(assessment, "fls.drug_started").statement.text
    faller = patient(70, conditions=(condition(ConditionKind.REPEATED_FALLS),))
    falls = step(assess(person=faller, site=ANKLE, mechanism=LOW), "fls.falls_assessment")
    assert "Condition/repeated_falls" in falls.statement.record


def test_a_scan_without_a_result_is_asked_for_instead_of_repeated() -> None:
    scans = (BoneDensityScan(code="x", resource="Procedure/d", performed=datetime(2023, 3, 12, tzinfo=UTC)),)
    assessment = assess(person=patient(70, bone_density_scans=scans), site=FractureSite.DISTAL_RADIUS, mechanism=LOW)
    asked = step(assessment, "fls.dxa").statement
    assert "Ask for the result of the bone density scan of 2023-03-12" in asked.text
    assert "Procedure/d" in asked.record
    threshold = next(one for one in every_statement(assessment) if one.id == "risk.threshold.needs_t_score")
    assert "ask for the result of the bone density scan of 2023-03-12" in threshold.text
    assert "measure bone density" not in threshold.text
    known = patient(70, bone_density_scans=scans, **t_score(-1.8))
    dated = replace(known, t_score_spine=Sourced(value=-1.0, resource="Observation/t", effective=scans[0].performed))
    for person in (known, dated):
        assert "repeat it if old" in step(assess(person=person, site=ANKLE, mechanism=LOW), "fls.dxa").statement.text


def test_osteoporosis_without_a_fracture_is_reviewed() -> None:
    person = patient(70, osteoporosis=sourced(True, "Condition/o"))
    review = step(assess(person=person), "bone_health")
    assert review.earliest_week is review.latest_week is None
    assert review.urgency is Urgency.ROUTINE
    assert "follow_up.bone_health" not in rules(assess(person=person, site=ANKLE))


# --- by site


def test_steps_of_wrist_ankle_hip_and_child() -> None:
    wrist = assess(person=patient(40), site=FractureSite.DISTAL_RADIUS)
    cast = step(wrist, "rehab.distal_radius_cast")
    assert (cast.earliest_week, cast.latest_week) == (3, 6)
    assert step(assess(person=patient(40), site=ANKLE), "rehab.ankle_full_weight").latest_week == 9
    hip = assess(image=findings(FractureCall.SUSPECTED, BodyRegion.HIP), person=patient(80))
    assert step(hip, "hip.surgery").statement.text.startswith("If confirmed: surgery")
    child = step(assess(person=patient(8), site=FractureSite.DISTAL_RADIUS), "rehab.child_forearm_cast")
    assert child.latest_week == pytest.approx(33 / 7)
    assert "follow_up.rehab.distal_radius_cast" not in rules(assess(person=patient(8), site=FractureSite.DISTAL_RADIUS))


@pytest.mark.parametrize(
    ("site", "rule", "operated", "there"),
    [
        (FractureSite.DISTAL_RADIUS, "rehab.distal_radius_plate_motion", True, True),
        (FractureSite.DISTAL_RADIUS, "rehab.distal_radius_plate_motion", None, False),
        (FractureSite.DISTAL_RADIUS, "rehab.distal_radius_plate_load", False, False),
        (FractureSite.DISTAL_RADIUS, "rehab.distal_radius_cast", True, False),
        (FractureSite.DISTAL_RADIUS, "rehab.distal_radius_cast", None, True),
        (FractureSite.DISTAL_RADIUS, "rehab.distal_radius_cast", False, True),
        (ANKLE, "rehab.ankle_nwb", True, False),
        (ANKLE, "rehab.ankle_nwb", None, True),
        (FractureSite.TIBIAL_SHAFT, "rust", True, True),
        (FractureSite.TIBIAL_SHAFT, "rust", None, False),
        (FractureSite.HUMERUS_SHAFT, "rushu_6", True, False),
        (FractureSite.HUMERUS_SHAFT, "rushu_6", None, True),
    ],
)
def test_steps_after_an_operation_need_a_stated_one(
    site: FractureSite, rule: str, operated: bool | None, there: bool
) -> None:
    assert (f"follow_up.{rule}" in rules(assess(person=patient(40), site=site, operated=operated))) is there


def test_union_is_looked_for_within_the_interval() -> None:
    assessment = assess(person=patient(40), site=FractureSite.TIBIAL_SHAFT, operated=True)
    assert assessment.healing is not None
    union = step(assessment, "union")
    assert union.earliest_week == assessment.healing.low_weeks
    assert union.latest_week == assessment.healing.high_weeks
    assert step(assessment, "rust").earliest_week == 6
    assert step(assessment, "nonunion").earliest_week == pytest.approx(39.1, abs=0.1)
    humerus = assess(person=patient(40), site=FractureSite.HUMERUS_SHAFT)
    assert step(humerus, "rushu_12").latest_week == 12
    assert "follow_up.nonunion" not in rules(assess(person=patient(8), site=FractureSite.TIBIAL_SHAFT))


def test_a_missed_fracture_is_looked_for_again() -> None:
    seen = {"image": findings(FractureCall.NOT_SEEN), "person": patient(30)}
    again = step(assess(**seen, clinical_suspicion_high=True), "repeat_imaging")
    assert again.latest_week == 2.0
    assert "follow_up.repeat_imaging" not in rules(assess(**seen))
    hip = assess(
        image=findings(FractureCall.NOT_SEEN, BodyRegion.HIP), person=patient(80), clinical_suspicion_high=True
    )
    assert step(hip, "occult_hip").urgency is Urgency.WITHIN_HOURS


def test_follow_up_is_in_order_of_time() -> None:
    steps = assess(person=patient(70), site=FractureSite.DISTAL_RADIUS, mechanism=LOW).follow_up
    dated = [one.earliest_week is not None or one.latest_week is not None for one in steps]
    assert dated == sorted(dated, reverse=True), "what has no date comes last"
    weeks = [one.earliest_week or one.latest_week or 0.0 for one, has in zip(steps, dated, strict=True) if has]
    assert weeks == sorted(weeks)


# --- risk


def test_probabilities_adjustments_and_contributions_in_words() -> None:
    factor = RelativeRisk(factor="type_1_diabetes", ratio=4.93, evidence_id="risk.t1dm_hip.vilaca2020")
    assessment = assess(person=patient(60), estimate=risk(0.18, 0.04, factor))
    assert text(assessment, "risk.major_osteoporotic.probability").startswith(
        "Risk of a major osteoporotic fracture within 10 years: 18 % (interval 13 % to 25 %)"
    )
    words = text(assessment, "risk.hip.adjustments")
    assert "2.0 %" in words and "type 1 diabetes (× 4.93)" in words
    assert "risk.t1dm_hip.vilaca2020" in {one.id for one in assessment.sources}
    contributions = text(assessment, "risk.major_osteoporotic.contributions")
    assert "raised most by age" in contributions and "lowered most by body mass index" in contributions
    assert "T-score" not in contributions


def test_unknown_evidence_of_the_risk_model_is_named_not_raised() -> None:
    factor = RelativeRisk(factor="moonlight", ratio=2.0, evidence_id="risk.moonlight_hip.nobody")
    assessment = assess(person=patient(60), estimate=risk(0.18, 0.04, factor))
    assert "fusion.evidence.unknown_id:risk.moonlight_hip.nobody" in assessment.warnings


@pytest.mark.parametrize(
    ("person", "estimate", "rule"),
    [
        (patient(60, **t_score(-2.5)), None, "reached"),
        (patient(60, **t_score(-2.49)), None, None),
        (patient(60, **t_score(-2.49)), risk(0.19, 0.029), "not_reached"),
        (patient(60, **t_score(-2.49)), risk(0.20, 0.0), "reached"),
        (patient(60, **t_score(-1.0)), risk(0.0, 0.03), "reached"),
        (patient(60, **t_score(-0.9)), risk(0.5, 0.5), "not_reached"),
        (patient(60), risk(0.2, 0.01), "needs_t_score"),
        (patient(60), risk(0.199, 0.0299), "not_reached"),
        (patient(60, prior_fractures=(prior(FractureSiteGroup.SPINE),)), None, "reached"),
        (patient(60, prior_fractures=(prior(FractureSiteGroup.ANKLE),)), None, None),
        (patient(60, osteoporosis=sourced(True, "Condition/o")), None, "reached"),
        (patient(49, **t_score(-3.0)), risk(0.3, 0.1), None),
    ],
)
def test_treatment_thresholds(person: Any, estimate: Any, rule: str | None) -> None:
    found = {one for one in rules(assess(person=person, estimate=estimate)) if one.startswith("risk.threshold.")}
    assert found == (set() if rule is None else {f"risk.threshold.{rule}"})


def test_a_hip_fracture_reaches_the_threshold_unless_suspected_or_high_energy() -> None:
    seen = {"image": findings(FractureCall.DEFINITE, BodyRegion.HIP), "person": patient(80)}
    assert "consider bone-protecting treatment" in text(assess(**seen), "risk.threshold.reached")
    assert "risk.threshold.reached" not in rules(assess(**seen, mechanism=Mechanism.HIGH_ENERGY))
    suspected = {**seen, "image": findings(FractureCall.SUSPECTED, BodyRegion.HIP)}
    assert "risk.threshold.reached" not in rules(assess(**suspected))


def test_thresholds_call_the_model_a_surrogate() -> None:
    assert "surrogate" in text(assess(person=patient(60), estimate=risk(0.25, 0.05)), "risk.threshold.needs_t_score")


def test_treatment_that_is_given_is_said() -> None:
    person = patient(70, medications=(drug(DrugClass.ORAL_BISPHOSPHONATE),), **t_score(-3.0))
    assessment = assess(person=person, site=ANKLE)
    assert "fracture on treatment" in text(assessment, "risk.treatment.given")
    assert "review the present treatment" in text(assessment, "risk.threshold.reached")
    assert "risk.treatment.given" not in rules(assess(person=patient(70)))


def test_imminent_risk_and_hip_mortality() -> None:
    assert "2.7 times" in text(assess(person=patient(50), site=FractureSite.DISTAL_RADIUS), "risk.imminent")
    ankle = text(assess(person=patient(50), site=ANKLE), "risk.imminent")
    assert "times" not in ankle and "Any new fracture from 50 years" in ankle
    assert "risk.imminent" not in rules(assess(person=patient(49), site=ANKLE))
    assert "risk.imminent" not in rules(assess(person=patient(50)))
    hip = findings(FractureCall.DEFINITE, BodyRegion.HIP)
    assert "33 %" in text(assess(image=hip, person=patient(80)), "risk.hip.mortality")
    assert "risk.hip.mortality" not in rules(assess(image=hip, person=patient(59)))
