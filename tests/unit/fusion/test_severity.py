"""Grade, urgency, red flags and open questions."""

from typing import Any

import pytest

from fhir_adapters.patient import ConditionKind, DrugClass, FractureSiteGroup
from fusion.context import FractureType, Gustilo, Mechanism
from fusion.results import Assessment, Severity, Urgency
from fusion.severity import BEDSIDE_CHECKS
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import HIP, assess, condition, drug, findings, patient, prior, text

ANKLE = FractureSite.ANKLE


def flags(assessment: Assessment) -> dict[str, Urgency]:
    return {one.statement.id.removeprefix("severity.red_flag."): one.urgency for one in assessment.severity.red_flags}


def checks(assessment: Assessment) -> set[str]:
    return {one.id for one in assessment.severity.clinician_must_check}


@pytest.mark.parametrize(
    ("context", "name", "urgency"),
    [
        ({"open_wound": True}, "open_fracture", Urgency.IMMEDIATE),
        ({"gustilo": Gustilo.I}, "open_fracture", Urgency.IMMEDIATE),
        ({"vascular_deficit": True}, "vascular_deficit", Urgency.IMMEDIATE),
        ({"neurological_deficit": True}, "neurological_deficit", Urgency.IMMEDIATE),
        ({"compartment_signs": True}, "compartment_syndrome", Urgency.IMMEDIATE),
        ({"skin_threatened": True}, "threatened_skin", Urgency.WITHIN_HOURS),
        ({"dislocation": True}, "dislocation", Urgency.IMMEDIATE),
        ({"fracture_type": FractureType.FRACTURE_DISLOCATION}, "dislocation", Urgency.IMMEDIATE),
        ({"mechanism": Mechanism.PATHOLOGICAL}, "pathological_fracture", Urgency.WITHIN_HOURS),
        ({"fracture_type": FractureType.PATHOLOGICAL}, "pathological_fracture", Urgency.WITHIN_HOURS),
    ],
)
def test_each_flag_fires_and_makes_the_injury_severe(context: dict[str, Any], name: str, urgency: Urgency) -> None:
    assessment = assess(person=patient(40), site=ANKLE, **context)
    assert flags(assessment) == {name: urgency}
    assert assessment.severity.grade is Severity.SEVERE
    assert assessment.severity.urgency is urgency


@pytest.mark.parametrize("field", [name for name, _ in BEDSIDE_CHECKS])
def test_a_flag_stays_silent_when_denied_and_is_asked_for_when_not_stated(field: str) -> None:
    denied = assess(person=patient(40), site=ANKLE, **{field: False})
    assert flags(denied) == {}
    assert f"severity.check.{field}" not in checks(denied)
    assert f"severity.check.{field}" in checks(assess(person=patient(40), site=ANKLE))


@pytest.mark.parametrize("call", list(FractureCall))
def test_no_score_overrides_a_flag(call: FractureCall) -> None:
    assessment = assess(image=findings(call), compartment_signs=True)
    assert flags(assessment) == {"compartment_syndrome": Urgency.IMMEDIATE}
    assert assessment.severity.urgency is Urgency.IMMEDIATE


@pytest.mark.parametrize(
    ("age", "displaced", "expected"),
    [
        (86, None, {"hip_fracture": Urgency.WITHIN_HOURS}),
        (60, True, {"hip_fracture": Urgency.WITHIN_HOURS}),
        (59, True, {"young_hip_fracture": Urgency.IMMEDIATE}),
        (59, None, {"young_hip_fracture": Urgency.WITHIN_HOURS}),
        (18, None, {"young_hip_fracture": Urgency.WITHIN_HOURS}),
        (17, True, {"child_hip_fracture": Urgency.IMMEDIATE}),
        (17, None, {"child_hip_fracture": Urgency.WITHIN_HOURS}),
        (None, None, {"hip_fracture": Urgency.WITHIN_HOURS}),
    ],
)
def test_hip_fractures_by_age(age: int | None, displaced: bool | None, expected: dict[str, Urgency]) -> None:
    image = findings(FractureCall.DEFINITE, BodyRegion.HIP)
    assert flags(assess(image=image, person=patient(age), displaced=displaced)) == expected


def test_a_suspected_hip_fracture_is_urgent_but_not_graded() -> None:
    image = findings(FractureCall.SUSPECTED, BodyRegion.HIP)
    assessment = assess(image=image, person=patient(80))
    assert assessment.severity.urgency is Urgency.WITHIN_HOURS
    assert assessment.severity.grade is Severity.UNDETERMINED
    assert assessment.severity.red_flags[0].statement.text.startswith("If confirmed")
    assert assess(image=findings(FractureCall.NOT_SEEN, BodyRegion.HIP), person=patient(80)).severity.red_flags == ()


def test_pelvis_infant_and_hip_dislocation() -> None:
    pelvis = assess(site=FractureSite.PELVIS, mechanism=Mechanism.HIGH_ENERGY)
    assert flags(pelvis) == {"high_energy_pelvis": Urgency.IMMEDIATE}
    assert flags(assess(site=FractureSite.PELVIS, mechanism=Mechanism.LOW_ENERGY)) == {}
    infant = assess(person=patient(0), site=FractureSite.FEMORAL_SHAFT, non_ambulant_infant=True)
    assert flags(infant) == {"non_ambulant_infant": Urgency.IMMEDIATE}
    assert "safeguarding" in infant.severity.red_flags[0].statement.text
    unseen = assess(image=findings(FractureCall.NOT_SEEN), person=patient(0), non_ambulant_infant=True)
    assert flags(unseen) == {}
    hip = assess(image=findings(FractureCall.NOT_SEEN, BodyRegion.HIP), dislocation=True)
    assert "6 h" in hip.severity.red_flags[0].statement.text


def test_a_child_with_a_pulseless_elbow_is_named() -> None:
    image = findings(FractureCall.DEFINITE, BodyRegion.ELBOW)
    child = assess(image=image, person=patient(6), vascular_deficit=True)
    adult = assess(image=image, person=patient(40), vascular_deficit=True)
    assert "supracondylar" in child.severity.red_flags[0].statement.text
    assert "supracondylar" not in adult.severity.red_flags[0].statement.text


@pytest.mark.parametrize(
    ("context", "grade"),
    [
        ({}, Severity.UNDETERMINED),
        ({"displaced": True}, Severity.MODERATE),
        ({"intra_articular": True}, Severity.MODERATE),
        ({"fracture_type": FractureType.COMMINUTED}, Severity.MODERATE),
        ({"displaced": False}, Severity.UNDETERMINED),
        ({"displaced": False, "intra_articular": False}, Severity.UNDETERMINED),
        ({"displaced": False, "intra_articular": False, "open_wound": False}, Severity.MILD),
        ({"gustilo": Gustilo.II}, Severity.SEVERE),
    ],
)
def test_the_grade_needs_what_it_rests_on(context: dict[str, Any], grade: Severity) -> None:
    assert assess(person=patient(40), site=ANKLE, **context).severity.grade is grade


def test_the_image_alone_grades_nothing_and_says_why() -> None:
    assessment = assess(image=findings(FractureCall.DEFINITE, BodyRegion.ANKLE), person=patient(40))
    assert assessment.severity.grade is Severity.UNDETERMINED
    assert "cannot grade an injury as mild" in assessment.severity.reasons[0].text
    assert any("never lower it" in one.text for one in assessment.severity.not_judged)


def test_mild_keeps_its_proviso_until_the_rest_is_stated() -> None:
    base = {"displaced": False, "intra_articular": False, "open_wound": False}
    assert "provided" in assess(site=ANKLE, **base).severity.reasons[0].text
    rest = {name: False for name, _ in BEDSIDE_CHECKS}
    assert "provided" not in assess(site=ANKLE, **{**base, **rest}).severity.reasons[0].text


def test_no_fracture_is_not_applicable_and_routine() -> None:
    assessment = assess(image=findings(FractureCall.NOT_SEEN), person=patient(40))
    assert assessment.severity.grade is Severity.NOT_APPLICABLE
    assert assessment.severity.urgency is Urgency.ROUTINE
    assert "does not exclude" in assessment.severity.reasons[0].text
    assert assess(person=patient(40)).severity.urgency is Urgency.ROUTINE


def test_high_suspicion_asks_for_more_imaging() -> None:
    wrist = assess(image=findings(FractureCall.NOT_SEEN), person=patient(30), clinical_suspicion_high=True)
    assert "scaphoid" in text(wrist, "severity.further_imaging")
    assert wrist.severity.urgency is Urgency.CLINIC
    hip_image = findings(FractureCall.NOT_SEEN, BodyRegion.HIP)
    hip = assess(image=hip_image, person=patient(80), clinical_suspicion_high=True)
    assert "MRI" in text(hip, "severity.further_imaging") and "24 hours" in text(hip, "severity.further_imaging")
    assert hip.severity.urgency is Urgency.WITHIN_HOURS
    quiet = assess(image=findings(FractureCall.NOT_SEEN), person=patient(30))
    assert all(one.id != "severity.further_imaging" for one in quiet.severity.reasons)
    unseen = assess(person=patient(30), clinical_suspicion_high=True)
    assert "take one" in text(unseen, "severity.radiograph_needed")


def test_an_unfit_radiograph_is_undetermined() -> None:
    assessment = assess(image=findings(FractureCall.CANNOT_JUDGE, None))
    assert assessment.severity.grade is Severity.UNDETERMINED
    assert assessment.severity.urgency is Urgency.CLINIC
    assert any(one.id == "severity.not_judged.image" for one in assessment.severity.not_judged)


def test_record_checks_fire_and_stay_silent() -> None:
    femur = {"site": FractureSite.FEMORAL_SHAFT}
    treated = patient(75, medications=(drug(DrugClass.ORAL_BISPHOSPHONATE),))
    assert "severity.check.atypical_femur" in checks(assess(person=treated, **femur))
    assert "severity.check.atypical_femur" not in checks(assess(person=treated, site=ANKLE))
    assert "severity.check.atypical_femur" not in checks(assess(person=patient(75), **femur))
    cancer = patient(75, conditions=(condition(ConditionKind.CANCER),))
    assert "severity.check.cancer" in checks(assess(person=cancer, site=ANKLE))
    assert "severity.check.cancer" not in checks(assess(person=patient(75), site=ANKLE))
    assert "severity.check.infant" in checks(assess(person=patient(1), site=ANKLE))
    assert "severity.check.infant" not in checks(assess(person=patient(2), site=ANKLE))
    assert "severity.check.infant" not in checks(assess(person=patient(1), site=ANKLE, non_ambulant_infant=False))


@pytest.mark.parametrize(
    ("age", "site", "expected"),
    [
        (64, FractureSite.DISTAL_RADIUS, {"distal_radius", "distal_radius_instability"}),
        (65, FractureSite.DISTAL_RADIUS, {"distal_radius_instability", "distal_radius_older"}),
        (10, FractureSite.DISTAL_RADIUS, set()),
        (40, FractureSite.TIBIAL_SHAFT, {"tibial_shaft"}),
        (17, FractureSite.TIBIAL_SHAFT, {"tibial_shaft_child"}),
        (40, FractureSite.HUMERUS_SHAFT, {"humerus_shaft"}),
        (40, FractureSite.HUMERUS_PROXIMAL, {"humerus_proximal"}),
        (40, FractureSite.CLAVICLE, {"clavicle"}),
        (40, FractureSite.METACARPAL, {"metacarpal"}),
        (40, FractureSite.ANKLE, {"ankle"}),
        (40, FractureSite.SCAPHOID_WAIST, {"scaphoid"}),
        (40, FractureSite.CALCANEUS, set()),
    ],
)
def test_limits_to_measure_by_site_and_age(age: int, site: FractureSite, expected: set[str]) -> None:
    shown = {
        one.removeprefix("severity.threshold.")
        for one in checks(assess(person=patient(age), site=site))
        if one.startswith("severity.threshold.")
    }
    assert shown == expected


def test_limits_print_the_numbers_of_the_evidence() -> None:
    words = text(assess(person=patient(40), site=FractureSite.DISTAL_RADIUS), "severity.threshold.distal_radius")
    assert "consider operative referral if" in words
    assert "10°" in words and "3 mm" in words and "2 mm" in words
    assert words.startswith("Measure: consider")


def test_an_image_without_a_site_shows_the_limits_of_each_candidate() -> None:
    assessment = assess(image=findings(FractureCall.DEFINITE, BodyRegion.WRIST), person=patient(40))
    shown = checks(assessment)
    assert {"severity.threshold.distal_radius", "severity.threshold.scaphoid"} <= shown
    assert text(assessment, "severity.threshold.distal_radius").startswith("If distal radius: ")


def test_a_graded_flag_is_named_in_the_reason() -> None:
    assert text(assess(**HIP), "severity.grade") == "Severe: hip fracture."


def test_a_hidden_gustilo_grade_is_not_inferred() -> None:
    judged = assess(site=ANKLE, open_wound=True).severity.not_judged
    assert any(one.id == "severity.not_judged.gustilo" for one in judged)
    graded = assess(site=ANKLE, gustilo=Gustilo.II).severity.not_judged
    assert all(one.id != "severity.not_judged.gustilo" for one in graded)


# --- children, and injuries that radiographs miss


def test_a_childs_hip_fracture_is_urgent() -> None:
    displaced = assess(person=patient(10), site=FractureSite.FEMORAL_NECK, displaced=True)
    assert flags(displaced) == {"child_hip_fracture": Urgency.IMMEDIATE}
    assert "22 %" in displaced.severity.red_flags[0].statement.text
    still = assess(person=patient(10), site=FractureSite.INTERTROCHANTERIC)
    assert flags(still) == {"child_hip_fracture": Urgency.WITHIN_HOURS}
    assert flags(assess(person=patient(10), site=ANKLE)) == {}


EARLIER = {"prior_fractures": (prior(FractureSiteGroup.FOREARM),)}


@pytest.mark.parametrize(
    ("person", "context", "fires"),
    [
        (patient(0), {"site": ANKLE}, True),
        (patient(0), {"site": ANKLE, "non_ambulant_infant": False}, False),
        (patient(0), {"site": ANKLE, "mechanism": Mechanism.HIGH_ENERGY}, False),
        (patient(1), {"site": ANKLE}, False),
        (patient(2), {"site": FractureSite.FEMORAL_SHAFT}, True),
        (patient(2), {"site": FractureSite.HUMERUS_SHAFT, "mechanism": Mechanism.LOW_ENERGY}, True),
        (patient(2), {"site": FractureSite.HUMERUS_SHAFT, "mechanism": Mechanism.HIGH_ENERGY}, False),
        (patient(3), {"site": FractureSite.FEMORAL_SHAFT}, False),
        (patient(2, **EARLIER), {"site": ANKLE, "mechanism": Mechanism.HIGH_ENERGY}, True),
        (patient(3, **EARLIER), {"site": ANKLE}, False),
        (patient(2, prior_fractures=(prior(FractureSiteGroup.FOREARM, active=True),)), {"site": ANKLE}, False),
        (patient(0), {}, False),
        (patient(40), {"site": FractureSite.FEMORAL_SHAFT}, False),
    ],
)
def test_a_pattern_of_abuse_is_a_reason_to_ask(person: Any, context: dict[str, Any], fires: bool) -> None:
    found = flags(assess(person=person, **context))
    assert ("abuse_pattern" in found) is fires
    assert not fires or found["abuse_pattern"] is Urgency.IMMEDIATE


def test_the_pattern_names_the_earlier_fracture_and_accuses_nobody() -> None:
    assessment = assess(person=patient(2, **EARLIER), site=ANKLE)
    statement = assessment.severity.red_flags[0].statement
    assert "Condition/forearm" in statement.record
    assert "a reason to ask, not a finding" in statement.text
    assert text(assessment, "severity.grade") == "Severe: safeguarding review needed."


@pytest.mark.parametrize(
    ("region", "age", "suspicion", "rule"),
    [
        (BodyRegion.HIP, 65, None, "occult_hip"),
        (BodyRegion.PELVIS, 80, None, "occult_hip"),
        (BodyRegion.HIP, None, None, "occult_hip"),
        (BodyRegion.HIP, 64, None, None),
        (BodyRegion.HIP, 80, False, None),
        (BodyRegion.WRIST, 30, None, "occult_scaphoid"),
        (BodyRegion.WRIST, 30, False, None),
        (BodyRegion.ANKLE, 80, None, None),
    ],
)
def test_a_negative_radiograph_asks_for_the_examination(
    region: BodyRegion, age: int | None, suspicion: bool | None, rule: str | None
) -> None:
    image = findings(FractureCall.NOT_SEEN, region)
    found = checks(assess(image=image, person=patient(age), clinical_suspicion_high=suspicion))
    assert found == (set() if rule is None else {f"severity.check.{rule}"})


def test_high_suspicion_on_a_pelvic_radiograph_asks_for_mri_of_the_hip() -> None:
    image = findings(FractureCall.NOT_SEEN, BodyRegion.PELVIS)
    assessment = assess(image=image, person=patient(80), clinical_suspicion_high=True)
    assert "MRI" in text(assessment, "severity.further_imaging")
    assert assessment.severity.urgency is Urgency.WITHIN_HOURS


def test_limits_of_the_wrist_hold_after_reduction_and_age_is_demand() -> None:
    young = text(assess(person=patient(40), site=FractureSite.DISTAL_RADIUS), "severity.threshold.distal_radius")
    assert "after reduction" in young
    old = assess(person=patient(65), site=FractureSite.DISTAL_RADIUS)
    assert "functional demand" in text(old, "severity.threshold.distal_radius_older")
    ankle = text(assess(person=patient(40), site=ANKLE), "severity.threshold.ankle")
    assert "4 mm" in ankle and "5 mm on a stress view" in ankle
