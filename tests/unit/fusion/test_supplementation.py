"""Calcium, vitamin D and lifestyle: targets by age, gaps, bands, and blocks that win."""

from typing import Any

import pytest

from fhir_adapters.patient import ConditionKind, DrugClass, Sex, SmokingStatus
from fusion.intakes import calcium_limit, calcium_target, vitamin_d_limit, vitamin_d_target
from fusion.results import AdviceAction
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import (
    advice,
    assess,
    condition,
    drug,
    facts,
    findings,
    patient,
    rules,
    sourced,
    text,
    writer,
)

A = AdviceAction
ANKLE = FractureSite.ANKLE


def vitamin_d(level: float, *, days: int = 10) -> dict[str, Any]:
    return {"vitamin_d_nmol_l": sourced(level, "Observation/vitamin-d", days=days)}


@pytest.mark.parametrize(
    ("age", "sex", "calcium", "upper", "vitamin", "vitamin_upper"),
    [
        (1, Sex.MALE, 700, 2500, 600, 2500),
        (3, Sex.MALE, 700, 2500, 600, 2500),
        (4, Sex.MALE, 1000, 2500, 600, 3000),
        (8, Sex.MALE, 1000, 2500, 600, 3000),
        (9, Sex.MALE, 1300, 3000, 600, 4000),
        (18, Sex.FEMALE, 1300, 3000, 600, 4000),
        (19, Sex.FEMALE, 1000, 2500, 600, 4000),
        (50, Sex.FEMALE, 1000, 2500, 600, 4000),
        (51, Sex.FEMALE, 1200, 2000, 600, 4000),
        (51, Sex.MALE, 1000, 2000, 600, 4000),
        (70, Sex.MALE, 1000, 2000, 600, 4000),
        (71, Sex.MALE, 1200, 2000, 800, 4000),
        (71, Sex.FEMALE, 1200, 2000, 800, 4000),
    ],
)
def test_intakes_by_age_and_sex(age: int, sex: Sex, calcium: int, upper: int, vitamin: int, vitamin_upper: int) -> None:
    case = facts(person=patient(age, sex=sex))
    for intake, expected in (
        (calcium_target(case, writer()), calcium),
        (calcium_limit(case, writer()), upper),
        (vitamin_d_target(case, writer()), vitamin),
        (vitamin_d_limit(case, writer()), vitamin_upper),
    ):
        assert intake is not None
        assert (intake.low, intake.high) == (expected, expected)


def test_infants_by_month_and_unknown_sex_as_a_range() -> None:
    from dataclasses import replace
    from datetime import date

    young = facts(person=replace(patient(0), birth_date=date(2026, 6, 1)))
    older = facts(person=replace(patient(0), birth_date=date(2026, 3, 1)))
    unknown = facts(person=replace(patient(0), birth_date=None))
    amounts = [calcium_target(one, writer()) for one in (young, older, unknown)]
    assert [(one.low, one.high) for one in amounts if one] == [(200, 200), (260, 260), (200, 260)]
    nobody = calcium_target(facts(person=patient(60, sex=None)), writer())
    assert nobody is not None and (nobody.low, nobody.high) == (1000, 1200)
    assert calcium_target(facts(person=patient(None)), writer()) is None


@pytest.mark.parametrize(
    ("age", "sex", "expected"), [(50, Sex.MALE, 1000), (71, Sex.MALE, 1200), (51, Sex.FEMALE, 1200)]
)
def test_a_fracture_from_fifty_takes_the_guideline(age: int, sex: Sex, expected: int) -> None:
    intake = calcium_target(facts(person=patient(age, sex=sex), site=ANKLE), writer())
    assert intake is not None and intake.high == expected
    assert all(one.startswith("care.calcium.bhof") for one in intake.evidence)


def test_without_a_diet_it_asks_and_gives_no_dose() -> None:
    line = advice(assess(person=patient(70), site=ANKLE), "supplementation.calcium.ask_diet")
    assert line.action is A.INFORM and line.dose_high is None
    assert "Ask for dietary calcium" in line.statement.text


@pytest.mark.parametrize(
    ("diet", "rule", "dose"),
    [
        (0.0, "calcium.gap", 1200.0),
        (600.0, "calcium.gap", 600.0),
        (1199.0, "calcium.gap", 1.0),
        (1200.0, "calcium.met", None),
        (2000.0, "calcium.met", None),
    ],
)
def test_the_gap_is_supplemented_and_no_more(diet: float, rule: str, dose: float | None) -> None:
    line = advice(assess(person=patient(70), site=ANKLE, calcium_diet_mg_per_day=diet), f"supplementation.{rule}")
    assert line.dose_high == dose
    assert line.dose_unit == (None if dose is None else "mg/d")


def test_above_the_upper_intake_calcium_is_avoided() -> None:
    assessment = assess(person=patient(70), site=ANKLE, calcium_diet_mg_per_day=2000.1)
    assert advice(assessment, "safety.above_limit").action is A.AVOID
    assert not any("supplementation.calcium" in one for one in rules(assessment))


@pytest.mark.parametrize("diet", [-1.0, float("nan"), float("inf"), 10_000.1])
def test_an_implausible_diet_is_left_out_and_named(diet: float) -> None:
    assessment = assess(person=patient(70), site=ANKLE, calcium_diet_mg_per_day=diet)
    assert "fusion.calcium_diet.implausible" in assessment.warnings
    assert "supplementation.calcium.ask_diet" in rules(assessment)


@pytest.mark.parametrize(
    ("level", "rule", "dose"),
    [
        (29.9, "deficient", (1500, 2000)),
        (30.0, "deficient", (1500, 2000)),
        (49.9, "deficient", (1500, 2000)),
        (50.0, "bone_health", (800, 1000)),
        (74.9, "bone_health", (800, 1000)),
        (75.0, "sufficient", None),
        (125.0, "sufficient", None),
        (125.1, "high", None),
    ],
)
def test_vitamin_d_by_level_with_a_fracture_from_fifty(
    level: float, rule: str, dose: tuple[float, float] | None
) -> None:
    line = advice(assess(person=patient(70, **vitamin_d(level)), site=ANKLE), f"supplementation.vitamin_d.{rule}")
    assert (line.dose_low, line.dose_high) == (dose or (None, None))
    assert ("severe" in line.statement.text) is (level < 30)
    assert line.statement.record[0] == "Observation/vitamin-d"


def test_a_younger_adult_is_not_given_the_bone_target() -> None:
    line = advice(assess(person=patient(30, **vitamin_d(60.0)), site=ANKLE), "supplementation.vitamin_d.sufficient")
    assert line.action is A.INFORM


@pytest.mark.parametrize(
    "record",
    [
        {"bmi_kg_m2": sourced(30.0, "Observation/bmi")},
        {"medications": (drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),)},
        {"medications": (drug(DrugClass.ANTICONVULSANT),)},
    ],
)
def test_a_raised_need_is_met_up_to_the_upper_intake(record: dict[str, Any]) -> None:
    line = advice(
        assess(person=patient(70, **vitamin_d(40.0), **record), site=ANKLE), "supplementation.vitamin_d.deficient"
    )
    assert (line.dose_low, line.dose_high) == (3000, 4000)
    assert "supervision" in line.statement.text


def test_a_supplement_that_is_taken_is_not_advised_again() -> None:
    taken = {"medications": (drug(DrugClass.VITAMIN_D_SUPPLEMENT), drug(DrugClass.CALCIUM_SUPPLEMENT))}
    for record in ({}, vitamin_d(40.0), vitamin_d(60.0)):
        person = patient(70, **taken, **record)
        assessment = assess(person=person, site=ANKLE, calcium_diet_mg_per_day=500.0)
        agents = {one.agent for one in assessment.supplementation if one.action is A.CONSIDER}
        assert not agents & {"calcium", "vitamin_d"}
        assert "supplementation.calcium.already_taken" in rules(assessment)


def test_blocks_win_over_advice() -> None:
    hypercalcaemia = {"conditions": (condition(ConditionKind.HYPERCALCAEMIA),)}
    for record in (hypercalcaemia, {"egfr_ml_min_1_73m2": sourced(20.0, "Observation/egfr")}):
        person = patient(70, **record, **vitamin_d(20.0))
        assessment = assess(person=person, site=ANKLE, calcium_diet_mg_per_day=300.0)
        advised = {one.agent for one in assessment.supplementation if one.action is A.CONSIDER}
        assert not advised & {"calcium", "vitamin_d"}
        assert all(one.dose_low is None for one in assessment.supplementation if one.agent in {"calcium", "vitamin_d"})


@pytest.mark.parametrize("person", [patient(8), patient(30, conditions=(condition(ConditionKind.PREGNANCY),))])
def test_children_and_pregnancy_get_the_reference_intake_and_a_specialist(person: Any) -> None:
    from dataclasses import replace

    low = replace(person, **vitamin_d(20.0))
    assessment = assess(person=low, site=ANKLE, calcium_diet_mg_per_day=300.0)
    assert "safety.age_or_pregnancy" in rules(assessment)
    assert all(one.action is not A.CONSIDER for one in assessment.supplementation)
    assert "tell the team" in text(assessment, "supplementation.vitamin_d.target")


def test_no_age_no_dose() -> None:
    person = patient(None, **vitamin_d(20.0))
    assessment = assess(person=person, site=ANKLE, calcium_diet_mg_per_day=300.0)
    assert all(one.dose_low is None for one in assessment.supplementation)
    assert "limitation.record.age" in rules(assessment)
    assert assess(site=ANKLE, calcium_diet_mg_per_day=300.0).supplementation == ()


def test_from_seventy_five_vitamin_d_needs_no_test_or_fracture() -> None:
    assert advice(assess(person=patient(75)), "supplementation.vitamin_d.empiric").dose_high == 800
    assert "supplementation.vitamin_d.empiric" not in rules(assess(person=patient(74)))


def test_a_recorded_deficiency_without_a_level_is_corrected() -> None:
    person = patient(70, conditions=(condition(ConditionKind.VITAMIN_D_DEFICIENCY),))
    line = advice(assess(person=person, site=ANKLE), "supplementation.vitamin_d.deficient")
    assert line.statement.record == ("Condition/vitamin_d_deficiency",)


def test_old_results_are_used_and_named() -> None:
    old = assess(person=patient(70, **vitamin_d(40.0, days=366)), site=ANKLE)
    assert "repeat" in text(old, "supplementation.vitamin_d.deficient")
    assert "fusion.lab.old:Observation/vitamin-d" in old.warnings
    assert "limitation.record.old_results" in rules(old)
    fresh = assess(person=patient(70, **vitamin_d(40.0, days=365)), site=ANKLE)
    assert not any(one.startswith("fusion.lab.old") for one in fresh.warnings)


def test_the_policy_goes_with_every_advice_on_supplements() -> None:
    words = text(assess(person=patient(70), site=ANKLE), "supplementation.policy")
    assert "bone health" in words and "clinician confirmation" in words
    assert "supplementation.policy" not in rules(assess(person=patient(30)))


# --- lifestyle


def test_protein_by_age_site_and_kidney() -> None:
    hip = {"image": findings(FractureCall.DEFINITE, BodyRegion.HIP)}
    line = advice(assess(person=patient(65), **hip), "lifestyle.protein")
    assert (line.dose_low, line.dose_high, line.dose_unit) == (1.0, 1.2, "g/kg/d")
    assert "30 g" in line.statement.text
    assert "30 g" not in text(assess(person=patient(65), site=ANKLE), "lifestyle.protein")
    assert "lifestyle.protein" not in rules(assess(person=patient(64), site=ANKLE))
    kidney = patient(80, egfr_ml_min_1_73m2=sourced(29.0, "Observation/egfr"))
    assert advice(assess(person=kidney, **hip), "lifestyle.protein.kidney").action is A.SPECIALIST_ONLY


def test_vitamin_c_is_told_not_advised() -> None:
    wrist = {"site": FractureSite.DISTAL_RADIUS}
    line = advice(assess(person=patient(40), **wrist), "lifestyle.vitamin_c")
    assert line.action is A.INFORM and "disagree" in line.statement.text
    assert "lifestyle.vitamin_c.caution" in rules(assess(person=patient(40), **wrist))
    for silent in (assess(person=patient(40), site=ANKLE), assess(person=patient(10), **wrist)):
        assert "lifestyle.vitamin_c" not in rules(silent)
    stones = patient(40, conditions=(condition(ConditionKind.KIDNEY_STONES, active=False),))
    assert advice(assess(person=stones, **wrist), "lifestyle.vitamin_c.stones").action is A.AVOID


def test_smoking_and_alcohol() -> None:
    smoker = {"smoking": sourced(SmokingStatus.CURRENT, "Observation/s")}
    with_fracture = assess(person=patient(40, **smoker), site=ANKLE)
    without = assess(person=patient(40, **smoker))
    assert "union" in text(with_fracture, "lifestyle.smoking")
    assert "union" not in text(without, "lifestyle.smoking")
    former = {"smoking": sourced(SmokingStatus.FORMER, "Observation/s")}
    assert "lifestyle.smoking" not in rules(assess(person=patient(40, **former)))


@pytest.mark.parametrize(
    ("sex", "units", "fires"),
    [
        (Sex.FEMALE, 14.0, False),
        (Sex.FEMALE, 14.1, True),
        (Sex.MALE, 21.0, False),
        (Sex.MALE, 21.1, True),
        (None, 14.1, True),
    ],
)
def test_alcohol_limits(sex: Sex | None, units: float, fires: bool) -> None:
    person = patient(40, sex=sex, alcohol_units_per_week=sourced(units, "Observation/a"))
    assert ("lifestyle.alcohol" in rules(assess(person=person))) is fires
