"""The healing estimate: when there is one, what moves it, and what only stands beside it."""

from typing import Any

import pytest

from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass, SmokingStatus
from fusion.context import FractureType, Gustilo, Mechanism
from fusion.healing_factors import OTHER_SITE_WIDENING
from fusion.results import Certainty, HealingEstimate, HealingFactor
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import assess, condition, drug, findings, patient, sourced

SHAFT = FractureSite.FEMORAL_SHAFT


def estimate(
    site: FractureSite = SHAFT, age: int | None = 40, record: dict[str, Any] | None = None, **context: Any
) -> HealingEstimate:
    healing = assess(person=patient(age, **(record or {})), site=site, **context).healing
    assert healing is not None
    return healing


def factor(healing: HealingEstimate, name: str) -> HealingFactor | None:
    return next((one for one in healing.factors if one.factor == name), None)


SMOKER = {"smoking": sourced(SmokingStatus.CURRENT, "Observation/s")}
OSTEOPOROSIS = {"osteoporosis": sourced(True, "Condition/o")}


def test_no_fracture_no_estimate() -> None:
    person = patient(40)
    assert assess(person=person).healing is None
    assert assess(image=findings(FractureCall.NOT_SEEN), person=person).healing is None
    assert assess(image=findings(FractureCall.CANNOT_JUDGE), person=person).healing is None


def test_a_seen_suspected_or_stated_fracture_has_an_estimate() -> None:
    assert assess(image=findings(FractureCall.DEFINITE)).healing is not None
    assert assess(site=FractureSite.ANKLE).healing is not None
    suspected = assess(image=findings(FractureCall.SUSPECTED)).healing
    assert suspected is not None
    assert suspected.baseline.text.startswith("If confirmed")


def test_a_region_covers_all_its_sites() -> None:
    by_region = assess(image=findings(FractureCall.DEFINITE, BodyRegion.WRIST), person=patient(40)).healing
    assert by_region is not None
    for site in (FractureSite.DISTAL_RADIUS, FractureSite.SCAPHOID_WAIST, FractureSite.SCAPHOID_PROXIMAL):
        one = estimate(site)
        assert by_region.low_weeks <= one.low_weeks + 1e-9
        assert by_region.high_weeks >= one.high_weeks - 1e-9
    assert any(note.id == "healing.note.site" for note in by_region.notes)


def test_without_a_site_the_gap_is_named() -> None:
    for image in (findings(FractureCall.DEFINITE, BodyRegion.ELBOW), findings(FractureCall.DEFINITE, None)):
        assessment = assess(image=image)
        assert assessment.healing is None
        assert any(one.id == "limitation.healing.site" for one in assessment.limitations)


def test_smoking_slows_and_is_silent_otherwise() -> None:
    plain, smoker = estimate(), estimate(record=SMOKER)
    assert smoker.median_weeks == pytest.approx(1.25 * plain.median_weeks, rel=0.01)
    found = factor(smoker, "current_smoking")
    assert found is not None and found.time_ratio == pytest.approx(1.25)
    assert found.time_ratio_low is not None and found.time_ratio_high is not None
    assert found.time_ratio_low < 1.25 < found.time_ratio_high
    assert found.statement.record == ("Observation/s",)
    assert found.statement.certainty is Certainty.VERIFIED
    for status in (SmokingStatus.FORMER, SmokingStatus.NEVER, SmokingStatus.UNKNOWN):
        quiet = estimate(record={"smoking": sourced(status, "Observation/s")})
        assert factor(quiet, "current_smoking") is None
        assert quiet.median_weeks == pytest.approx(plain.median_weeks)


def test_osteoporosis_is_carried_to_other_sites_with_more_doubt() -> None:
    here = factor(estimate(record=OSTEOPOROSIS), "osteoporosis")
    there = factor(estimate(FractureSite.ANKLE, record=OSTEOPOROSIS), "osteoporosis")
    assert here is not None and there is not None
    assert here.time_ratio == there.time_ratio == pytest.approx(1.20)
    assert there.time_ratio_low is not None and there.time_ratio_low < 1 < (here.time_ratio_low or 0)
    assert OTHER_SITE_WIDENING > 1
    assert "carried over" in there.statement.text and "carried over" not in here.statement.text


@pytest.mark.parametrize(("score", "fires"), [(-2.5, True), (-2.49, False)])
def test_a_t_score_of_minus_two_and_a_half_counts_as_osteoporosis(score: float, fires: bool) -> None:
    healing = estimate(record={"t_score_total_hip": sourced(score, "Observation/t")})
    assert (factor(healing, "osteoporosis") is not None) is fires


@pytest.mark.parametrize(
    ("name", "record", "context"),
    [
        ("diabetes", {"diabetes": sourced(DiabetesType.TYPE_1, "Condition/d")}, {}),
        ("nsaid", {"medications": (drug(DrugClass.NSAID),)}, {}),
        ("cox2_inhibitor", {"medications": (drug(DrugClass.COX2_INHIBITOR),)}, {}),
        ("obesity", {"bmi_kg_m2": sourced(30.0, "Observation/b")}, {}),
        ("open_fracture", {}, {"open_wound": True}),
        ("open_fracture", {}, {"gustilo": Gustilo.I}),
        ("high_energy", {}, {"mechanism": Mechanism.HIGH_ENERGY}),
    ],
)
def test_factors_of_non_union_raise_it_and_leave_the_time(
    name: str, record: dict[str, Any], context: dict[str, Any]
) -> None:
    plain, moved = estimate(), estimate(record=record, **context)
    found = factor(moved, name)
    assert found is not None and found.time_ratio is None
    assert factor(plain, name) is None
    assert moved.median_weeks == pytest.approx(plain.median_weeks)
    assert moved.nonunion_high is not None and plain.nonunion_high is not None
    assert moved.nonunion_high > plain.nonunion_high


def test_factors_fall_silent_when_stopped_or_below_the_limit() -> None:
    stopped = estimate(record={"medications": (drug(DrugClass.NSAID, active=False),)})
    assert factor(stopped, "nsaid") is None
    assert factor(estimate(record={"bmi_kg_m2": sourced(29.9, "Observation/b")}), "obesity") is None
    assert factor(estimate(open_wound=False), "open_fracture") is None


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("anticoagulant", {"medications": (drug(DrugClass.ANTICOAGULANT),)}),
        ("vitamin_d_deficiency", {"vitamin_d_nmol_l": sourced(49.9, "Observation/v")}),
        ("vitamin_d_deficiency", {"conditions": (condition(ConditionKind.VITAMIN_D_DEFICIENCY),)}),
        ("renal_insufficiency", {"egfr_ml_min_1_73m2": sourced(59.0, "Observation/e")}),
    ],
)
def test_unverified_factors_are_shown_and_not_counted(name: str, record: dict[str, Any]) -> None:
    plain, shown = estimate(), estimate(record=record)
    found = factor(shown, name)
    assert found is not None
    assert found.statement.certainty is Certainty.UNVERIFIED
    assert "Not counted" in found.statement.text
    assert (shown.nonunion_low, shown.nonunion_high) == (plain.nonunion_low, plain.nonunion_high)
    assert shown.median_weeks == plain.median_weeks


def test_confounded_and_reassuring_factors_are_not_counted() -> None:
    plain = estimate(FractureSite.HUMERUS_SHAFT)
    record = {"medications": (drug(DrugClass.OPIOID), drug(DrugClass.ORAL_BISPHOSPHONATE))}
    shown = estimate(FractureSite.HUMERUS_SHAFT, record=record)
    assert factor(shown, "opioid") is not None and factor(shown, "bisphosphonate") is not None
    assert shown.nonunion_high == plain.nonunion_high
    assert factor(estimate(FractureSite.ANKLE, record=record), "bisphosphonate") is None


def test_a_normal_vitamin_d_overrules_an_old_diagnosis() -> None:
    record = {
        "vitamin_d_nmol_l": sourced(80.0, "Observation/v"),
        "conditions": (condition(ConditionKind.VITAMIN_D_DEFICIENCY),),
    }
    assert factor(estimate(record=record), "vitamin_d_deficiency") is None


def test_adult_factors_are_not_applied_to_children() -> None:
    record = {**SMOKER, **OSTEOPOROSIS, "diabetes": sourced(DiabetesType.TYPE_1, "Condition/d")}
    child = estimate(FractureSite.FEMORAL_SHAFT, 10, record)
    assert child.factors == ()
    with_nsaid = estimate(FractureSite.TIBIAL_SHAFT, 10, {"medications": (drug(DrugClass.NSAID),)})
    found = factor(with_nsaid, "nsaid")
    assert found is not None and "Not significant" in found.statement.text
    assert with_nsaid.nonunion_high == pytest.approx(0.02)


def test_many_factors_never_reach_certainty_and_keep_order() -> None:
    record = {
        **SMOKER,
        **OSTEOPOROSIS,
        "diabetes": sourced(DiabetesType.TYPE_2, "Condition/d"),
        "bmi_kg_m2": sourced(45.0, "Observation/b"),
        "medications": (drug(DrugClass.NSAID), drug(DrugClass.COX2_INHIBITOR)),
    }
    healing = estimate(FractureSite.TIBIAL_SHAFT, 60, record, open_wound=True, mechanism=Mechanism.HIGH_ENERGY)
    assert healing.nonunion_low is not None and healing.nonunion_high is not None
    assert 0 < healing.nonunion_low < healing.nonunion_high < 0.95
    assert healing.nonunion is not None and "likely too high" in healing.nonunion.text


def test_the_hip_gets_no_borrowed_rate_but_a_word_on_arthroplasty() -> None:
    healing = estimate(FractureSite.FEMORAL_NECK, 80)
    assert healing.nonunion_low is None and healing.nonunion_high is None
    assert healing.nonunion is not None
    assert any("hemiarthroplasty" in note.text for note in healing.notes)


def test_notes_speak_of_pattern_comminution_and_age() -> None:
    spiral = estimate(SHAFT, fracture_type=FractureType.SPIRAL)
    assert any("6 weeks" in note.text and "12" in note.text for note in spiral.notes if "Perkins" in note.text)
    comminuted = estimate(SHAFT, fracture_type=FractureType.COMMINUTED)
    assert any(note.id == "healing.note.comminution" for note in comminuted.notes)
    assert any(note.id == "healing.note.age" for note in estimate(SHAFT, None).notes)
    assert not any(note.id == "healing.note.age" for note in estimate(SHAFT, 40).notes)


def test_displacement_raises_the_rate_of_the_clavicle() -> None:
    plain, displaced = (estimate(FractureSite.CLAVICLE, displaced=one) for one in (None, True))
    assert (plain.nonunion_high, displaced.nonunion_high) == (pytest.approx(0.09), pytest.approx(0.15))


def test_a_lesion_takes_the_figures_their_ground() -> None:
    notes = {one.id for one in estimate(mechanism=Mechanism.PATHOLOGICAL).notes}
    assert "healing.note.lesion" in notes
    assert "healing.note.lesion" not in {one.id for one in estimate().notes}


def test_the_summary_doubts_what_rests_on_unverified_figures() -> None:
    hip = assess(person=patient(80), site=FractureSite.INTERTROCHANTERIC)
    assert "weeks (figures not verified)" in hip.summary.text
    tibia = assess(person=patient(40), site=FractureSite.TIBIAL_SHAFT)
    assert tibia.healing is not None and "not verified" not in tibia.summary.text
