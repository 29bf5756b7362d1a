"""Same-day review, weight-bearing bones, and the checks that the record or the mechanism gives away."""

from dataclasses import replace
from typing import Any

import pytest

from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass, Sex
from fusion.context import FractureType, Gustilo, Mechanism
from fusion.evidence_base import EvidenceBase
from fusion.results import Severity, Urgency
from fusion.sites import FractureSite
from fusion.thresholds import FOREARM_CHILD, FOREARM_YOUNG_BELOW_YEARS
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import assess, condition, drug, findings, patient, rules, sourced, text
from tests.unit.fusion.test_measured import FRONTAL, around, image

S, D, K, M = FractureSite, DrugClass, ConditionKind, Mechanism
CLOSED: dict[str, Any] = {"displaced": False, "intra_articular": False, "open_wound": False}
BLOOD: dict[str, Any] = {"medications": (drug(D.ANTICOAGULANT),)}


@pytest.mark.parametrize(
    ("site", "age", "displaced", "fires"),
    [
        (S.FEMORAL_SHAFT, 30, None, True),
        (S.FEMORAL_SHAFT, 5, None, True),
        (S.TIBIAL_PLATEAU, 30, False, True),
        (S.TIBIAL_SHAFT, 18, False, True),
        (S.TIBIAL_SHAFT, 17, False, False),
        (S.TIBIAL_SHAFT, 17, True, True),
        (S.FOREARM_SHAFT, 8, True, True),
        (S.FOREARM_SHAFT, 8, None, False),
        (S.DISTAL_RADIUS, 60, True, True),
        (S.DISTAL_RADIUS, 60, False, False),
        (S.CLAVICLE, 30, True, False),
        (S.METACARPAL, 30, True, False),
        (None, 30, True, False),
    ],
)
def test_who_is_seen_the_same_day(site: FractureSite | None, age: int, displaced: bool | None, fires: bool) -> None:
    assessment = assess(person=patient(age), site=site, displaced=displaced, mechanism=M.HIGH_ENERGY)
    assert ("severity.same_day" in rules(assessment)) is fires
    assert (assessment.severity.urgency is Urgency.WITHIN_HOURS) is fires


def test_a_red_flag_makes_the_same_day_needless() -> None:
    assessment = assess(person=patient(30), site=S.TIBIAL_SHAFT, open_wound=True)
    assert "severity.same_day" not in rules(assessment)
    assert assessment.severity.urgency is Urgency.IMMEDIATE


@pytest.mark.parametrize(
    ("site", "context", "grade"),
    [
        (S.ANKLE, {"displaced": True, "intra_articular": True}, Severity.SEVERE),
        (S.TIBIAL_PLATEAU, {"displaced": True, "intra_articular": True}, Severity.SEVERE),
        (S.ANKLE, {"displaced": True, "intra_articular": False}, Severity.MODERATE),
        (S.ANKLE, {"displaced": False, "intra_articular": True}, Severity.MODERATE),
        (S.DISTAL_RADIUS, {"displaced": True, "intra_articular": True}, Severity.MODERATE),
        (S.FEMORAL_SHAFT, CLOSED, Severity.MODERATE),
        (S.TIBIAL_SHAFT, CLOSED, Severity.MODERATE),
        (S.HUMERUS_SHAFT, CLOSED, Severity.MILD),
        (S.METATARSAL, CLOSED, Severity.MILD),
    ],
)
def test_weight_bearing_bones_and_joints(site: FractureSite, context: dict[str, Any], grade: Severity) -> None:
    assert assess(person=patient(30), site=site, **context).severity.grade is grade


def test_a_childs_undisplaced_tibia_may_be_mild() -> None:
    assert assess(person=patient(3), site=S.TIBIAL_SHAFT, **CLOSED).severity.grade is Severity.MILD
    assert "at least moderate" in text(assess(person=patient(18), site=S.TIBIAL_SHAFT), "severity.grade").lower()


def test_a_severe_grade_names_what_else_was_stated() -> None:
    stated: dict[str, Any] = {"displaced": True, "fracture_type": FractureType.COMMINUTED}
    said = text(assess(person=patient(30), site=S.CLAVICLE, open_wound=True, **stated), "severity.grade")
    assert said == "Severe: open fracture; also displaced and several parts, as stated."
    assert "also" not in text(assess(person=patient(30), site=S.CLAVICLE, open_wound=True), "severity.grade")


def test_an_open_fracture_asks_for_tetanus_and_cover() -> None:
    said = text(assess(person=patient(30), site=S.TIBIAL_SHAFT, open_wound=True), "severity.red_flag.open_fracture")
    assert "within 60 minutes" in said and "tetanus" in said and "covered within 72 h" in said


def test_gustilo_iiic_is_a_vascular_deficit() -> None:
    worst = assess(person=patient(30), site=S.TIBIAL_SHAFT, gustilo=Gustilo.IIIC, vascular_deficit=False)
    assert "severity.red_flag.vascular_deficit" in rules(worst)
    assert "fusion.context.contradiction:gustilo_and_vascular_deficit" in worst.warnings
    assert "severity.check.vascular_deficit" not in rules(
        assess(person=patient(30), site=S.TIBIAL_SHAFT, gustilo=Gustilo.IIIC)
    )
    less = assess(person=patient(30), site=S.TIBIAL_SHAFT, gustilo=Gustilo.IIIB, vascular_deficit=False)
    assert "severity.red_flag.vascular_deficit" not in rules(less)


@pytest.mark.parametrize(
    ("rule", "fires", "silent"),
    [
        (
            "severity.check.compartment_risk",
            {"site": S.TIBIAL_SHAFT, "mechanism": M.HIGH_ENERGY},
            [
                {"site": S.TIBIAL_SHAFT, "mechanism": M.LOW_ENERGY},
                {"site": S.CLAVICLE, "mechanism": M.HIGH_ENERGY},
                {"site": S.TIBIAL_SHAFT, "mechanism": M.HIGH_ENERGY, "compartment_signs": True},
            ],
        ),
        (
            "severity.check.lesion_work_up",
            {"site": S.HUMERUS_SHAFT, "mechanism": M.PATHOLOGICAL},
            [{"site": S.HUMERUS_SHAFT, "mechanism": M.LOW_ENERGY}],
        ),
        (
            "severity.check.before_theatre",
            {"site": S.FEMORAL_NECK},
            [{"site": S.FEMORAL_SHAFT}, {"site": S.FEMORAL_NECK, "person": patient(17)}],
        ),
        (
            "severity.check.anticoagulant",
            {"site": S.CLAVICLE, "person": patient(60, **BLOOD)},
            [{"site": S.CLAVICLE, "person": patient(60)}, {"person": patient(60, **BLOOD)}],
        ),
        (
            "severity.check.head_injury",
            {"clinical_suspicion_high": True, "person": patient(60, **BLOOD)},
            [
                {"clinical_suspicion_high": True, "person": patient(60)},
                {"person": patient(60, **BLOOD)},
                {"site": S.CLAVICLE, "mechanism": M.PATHOLOGICAL, "person": patient(60, **BLOOD)},
            ],
        ),
        (
            "severity.check.thrombosis_hip",
            {"site": S.INTERTROCHANTERIC},
            [{"site": S.INTERTROCHANTERIC, "person": patient(80, **BLOOD)}, {"site": S.ANKLE}],
        ),
        (
            "severity.check.thrombosis_leg",
            {"site": S.ANKLE},
            [{"site": S.DISTAL_RADIUS}, {"site": S.ANKLE, "person": patient(17)}],
        ),
        (
            "severity.check.diabetic_foot",
            {"site": S.ANKLE, "person": patient(60, diabetes=sourced(DiabetesType.TYPE_2, "Condition/d"))},
            [
                {"site": S.ANKLE, "person": patient(60)},
                {"site": S.CLAVICLE, "person": patient(60, diabetes=sourced(DiabetesType.TYPE_2, "Condition/d"))},
            ],
        ),
        (
            "severity.timing.distal_radius",
            {"site": S.DISTAL_RADIUS},
            [{"site": S.DISTAL_RADIUS, "person": patient(17)}, {"site": S.ANKLE}],
        ),
    ],
)
def test_each_check_fires_and_stays_silent(rule: str, fires: dict[str, Any], silent: list[dict[str, Any]]) -> None:
    assert rule in rules(assess(**{"person": patient(60), **fires}))
    for case in silent:
        assert rule not in rules(assess(**{"person": patient(60), **case})), case


def test_the_work_up_asks_men_for_psa_and_names_a_known_cancer() -> None:
    case: dict[str, Any] = {"site": S.HUMERUS_SHAFT, "mechanism": M.PATHOLOGICAL}
    rule = "severity.check.lesion_work_up"
    assert "PSA" in text(assess(person=patient(60, sex=Sex.MALE), **case), rule)
    assert "PSA" not in text(assess(person=patient(60), **case), rule)
    known = assess(person=patient(60, conditions=(condition(K.CANCER),)), **case)
    flag = known.severity.red_flags[0].statement
    assert flag.record == ("clinician", "Condition/cancer")


def test_what_the_record_adds_to_a_check() -> None:
    diabetic = patient(
        60,
        diabetes=sourced(DiabetesType.TYPE_2, "Condition/d"),
        hba1c_percent=sourced(9.14, "Observation/h"),
        conditions=(condition(K.PERIPHERAL_ARTERY_DISEASE),),
    )
    said = text(assess(person=diabetic, site=S.ANKLE), "severity.check.diabetic_foot")
    assert "arterial disease is in the record, HbA1c 9.1 %" in said
    failing = patient(80, conditions=(condition(K.HEART_FAILURE),))
    said = text(assess(person=failing, site=S.FEMORAL_NECK), "severity.check.before_theatre")
    assert said.endswith("Heart failure is in the record.")
    kidney = patient(80, egfr_ml_min_1_73m2=sourced(41.0, "Observation/e"), **BLOOD)
    assert "(eGFR 41)" in text(assess(person=kidney, site=S.FEMORAL_NECK), "severity.check.anticoagulant")


@pytest.mark.parametrize("taken", [D.ORAL_BISPHOSPHONATE, D.DENOSUMAB])
def test_hip_pain_without_a_fracture_on_a_bone_drug(taken: DrugClass) -> None:
    case: dict[str, Any] = {"image": findings(FractureCall.NOT_SEEN, BodyRegion.HIP), "clinical_suspicion_high": True}
    treated = patient(79, medications=(drug(taken),))
    rule = "severity.check.atypical_femur_pain"
    assert rule in rules(assess(person=treated, **case))
    assert rule not in rules(assess(person=patient(79), **case))
    wrist: dict[str, Any] = {
        "image": findings(FractureCall.NOT_SEEN, BodyRegion.WRIST),
        "clinical_suspicion_high": True,
    }
    assert rule not in rules(assess(person=treated, **wrist))
    assert "severity.check.atypical_femur" in rules(assess(person=treated, site=S.FEMORAL_SHAFT))


@pytest.mark.parametrize(("into", "words"), [(True, "within 72 hours"), (False, "within 7 days"), (None, "otherwise")])
def test_when_a_wrist_is_operated(into: bool | None, words: str) -> None:
    said = text(assess(person=patient(60), site=S.DISTAL_RADIUS, intra_articular=into), "severity.timing.distal_radius")
    assert words in said


@pytest.mark.parametrize(("age", "limit"), [(7, 15.0), (8, 10.0), (17, 10.0)])
def test_a_childs_forearm_has_limits_by_age(age: int, limit: float) -> None:
    rule = "severity.threshold.forearm_shaft_child"
    assert f"exceeds {limit:g}°" in text(assess(person=patient(age), site=S.FOREARM_SHAFT), rule)

    def graded(value: float) -> bool:
        seen = image(region=BodyRegion.FOREARM, views=FRONTAL, angulation_deg=around(value, 0.5))
        said = assess(image=seen, person=patient(age), site=S.FOREARM_SHAFT)
        return any(one.id == "severity.measured.angulation" for one in said.severity.reasons)

    assert graded(limit + 0.6)
    assert not graded(limit + 0.5)


def test_the_forearm_of_an_adult_has_no_such_limit() -> None:
    assert "severity.threshold.forearm_shaft_child" not in rules(assess(person=patient(18), site=S.FOREARM_SHAFT))


def test_the_age_in_the_code_is_that_of_the_evidence() -> None:
    assert EvidenceBase.load()[FOREARM_CHILD].number("young_below_years") == FOREARM_YOUNG_BELOW_YEARS


def test_joint_involvement_is_not_asked_for_at_the_hip() -> None:
    assert "severity.check.intra_articular" not in rules(assess(person=patient(80), site=S.FEMORAL_NECK))
    assert "severity.check.intra_articular" in rules(assess(person=patient(80), site=S.ANKLE))


def test_the_summary_promises_no_weeks_where_none_hold() -> None:
    lesion = assess(person=patient(67), site=S.HUMERUS_SHAFT, mechanism=M.PATHOLOGICAL).summary.text
    assert "union" not in lesion
    assert "union if fixed expected" in assess(person=patient(84), site=S.FEMORAL_NECK).summary.text
    suspected: dict[str, Any] = {"image": findings(FractureCall.NOT_SEEN), "clinical_suspicion_high": True}
    assert "further imaging asked for" in assess(person=patient(24), **suspected).summary.text
    unsuspected: dict[str, Any] = {"image": findings(FractureCall.NOT_SEEN)}
    assert "further imaging" not in assess(person=patient(24), **unsuspected).summary.text
    assert "act within hours" in assess(person=patient(30), site=S.FEMORAL_SHAFT).summary.text


def test_two_results_of_one_moment_are_both_shown() -> None:
    level = replace(sourced(25.0, "Observation/low"), conflicting=((95.0, "Observation/high"),))
    said = assess(person=patient(70, vitamin_d_nmol_l=level), site=S.DISTAL_RADIUS, mechanism=M.LOW_ENERGY)
    statement = next(one for one in said.limitations if one.id == "limitation.record.conflict")
    assert "25.0 and 95.0 nmol/L" in statement.text
    assert statement.record == ("Observation/low", "Observation/high")
    line = next(one for one in said.supplementation if one.statement.id == "supplementation.vitamin_d.contradicted")
    assert line.dose_low is None and "no dose rests on either" in line.statement.text
    assert "safety.vitamin_d_first" not in rules(said)
    plain_level = patient(70, vitamin_d_nmol_l=sourced(25.0, "Observation/low"))
    assert "limitation.record.conflict" not in rules(assess(person=plain_level, site=S.DISTAL_RADIUS))
