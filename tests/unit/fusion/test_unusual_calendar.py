"""A later statement never contradicts an earlier one: the calendar follows the checks, advice follows the blocks."""

import random
from typing import Any

import pytest

from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass
from fusion.context import Gustilo, Mechanism
from fusion.evidence_base import EvidenceBase
from fusion.results import AdviceAction, Assessment, FollowUp, Urgency
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import assess, condition, drug, engine, findings, patient, rules, sourced
from tests.unit.fusion.observed import run
from tests.unit.fusion.random_cases import random_case

BASE = EvidenceBase.load()
USUAL = ("follow_up.rehab.", "follow_up.check.", "follow_up.rushu", "follow_up.rust", "follow_up.union")
DIABETES = sourced(DiabetesType.TYPE_2, "Condition/diabetes")
NERVE, ARTERY = (
    condition(kind) for kind in (ConditionKind.DIABETIC_NEUROPATHY, ConditionKind.PERIPHERAL_ARTERY_DISEASE)
)
CAVEAT = "Only with protective sensation and pulses."


def calendar(**case: Any) -> dict[str, FollowUp]:
    return {one.statement.id: one for one in assess(**case).follow_up}


@pytest.mark.parametrize("entry", [NERVE, ARTERY])
@pytest.mark.parametrize("site", [FractureSite.ANKLE, FractureSite.METATARSAL, FractureSite.TOE])
def test_a_complicated_diabetic_foot_has_no_usual_weeks(site: FractureSite, entry: Any) -> None:
    found = calendar(person=patient(61, diabetes=DIABETES, conditions=(entry,)), site=site)
    line = found["follow_up.calendar.diabetic_foot"]
    assert line.earliest_week is line.latest_week is None and line.urgency is Urgency.CLINIC
    assert entry.resource in line.statement.record
    assert ("of the ankle" in line.statement.text) is (site is not FractureSite.ANKLE)
    assert not [name for name in found if name.startswith(("follow_up.rehab.", "follow_up.check."))]
    assert "often delayed" in found["follow_up.union"].statement.text


def test_after_fixation_the_weeks_move_to_those_of_the_source() -> None:
    person = patient(61, diabetes=DIABETES, conditions=(NERVE,))
    moved = calendar(person=person, site=FractureSite.ANKLE, operated=True)["follow_up.calendar.diabetic_ankle_fixed"]
    entry = BASE["care.rehab.diabetic_ankle_fixed"]
    assert (moved.earliest_week, moved.latest_week) == (entry.low, entry.high) == (12, 24)
    usual = calendar(person=patient(61), site=FractureSite.ANKLE, operated=True)["follow_up.rehab.ankle_fixed_weight"]
    assert usual.latest_week is not None and usual.latest_week < 12


def test_diabetes_alone_keeps_the_weeks_with_their_condition() -> None:
    found = calendar(person=patient(61, diabetes=DIABETES), site=FractureSite.ANKLE)
    steps = [one for name, one in found.items() if name.startswith("follow_up.rehab.")]
    assert steps and all(one.statement.text.endswith(CAVEAT) for one in steps)
    assert all("care.rehab.diabetic_ankle" in one.statement.evidence for one in steps)
    plain = calendar(person=patient(61), site=FractureSite.ANKLE)
    assert not any(CAVEAT in one.statement.text for one in plain.values())


@pytest.mark.parametrize("site", [FractureSite.HUMERUS_SHAFT, FractureSite.FEMORAL_NECK, FractureSite.ANKLE])
def test_a_lesion_withholds_every_usual_week(site: FractureSite) -> None:
    found = calendar(person=patient(70), site=site, mechanism=Mechanism.PATHOLOGICAL)
    assert "follow_up.calendar.lesion" in found
    assert not [name for name in found if name.startswith((*USUAL, "follow_up.hip", "follow_up.nonunion"))]


def test_a_lesion_at_the_hip_has_no_deadline_for_theatre() -> None:
    answer = assess(person=patient(70), site=FractureSite.FEMORAL_NECK, mechanism=Mechanism.PATHOLOGICAL)
    words = " ".join(flag.statement.text for flag in answer.severity.red_flags)
    assert "come before fixation" in words and "day of admission" not in words


@pytest.mark.parametrize("open_by", [{"open_wound": True}, {"gustilo": Gustilo.I}])
def test_an_open_fracture_has_no_weeks_without_operation(open_by: dict[str, Any]) -> None:
    found = calendar(person=patient(40), site=FractureSite.ANKLE, **open_by)
    assert "follow_up.calendar.open" in found and "follow_up.rehab.ankle_nwb" not in found
    operated = calendar(person=patient(40), site=FractureSite.ANKLE, operated=True, **open_by)
    assert "follow_up.calendar.open" not in operated and "follow_up.rehab.ankle_fixed_weight" in operated


def test_the_summary_does_not_see_the_stated_fracture_on_another_region() -> None:
    image = findings(FractureCall.DEFINITE, BodyRegion.WRIST)
    text = assess(image=image, person=patient(60), site=FractureSite.ANKLE).summary.text
    assert "the radiograph is of another region (wrist), where a fracture is seen" in text
    assert "seen on the radiograph" not in text


def test_a_forbidden_bisphosphonate_is_not_a_matter_of_adherence() -> None:
    drugs = (drug(DrugClass.ORAL_BISPHOSPHONATE),)
    low = patient(70, egfr_ml_min_1_73m2=sourced(34.9, "Observation/egfr"), medications=drugs)
    fine = patient(70, egfr_ml_min_1_73m2=sourced(35.0, "Observation/egfr"), medications=drugs)
    case = {"site": FractureSite.HUMERUS_PROXIMAL, "mechanism": Mechanism.LOW_ENERGY}
    treated = {name: assess(person=one, **case) for name, one in (("low", low), ("fine", fine))}
    said = {name: {one.id: one.text for one in answer.risk_statements} for name, answer in treated.items()}
    assert "adherence" in said["fine"]["risk.treatment.given"]
    assert "adherence" not in said["low"]["risk.treatment.given"]
    assert "now, for the kidney" in calendar(person=low, **case)["follow_up.fls.drug_started"].statement.text
    assert "safety.bisphosphonate.humerus" in rules(treated["fine"])
    assert "safety.bisphosphonate.humerus" not in rules(treated["low"])


def test_the_limit_of_denosumab_is_its_own() -> None:
    entry = BASE["care.caution.egfr30_denosumab"]
    for value, there in ((entry.number() - 0.1, True), (entry.number(), False)):
        person = patient(70, egfr_ml_min_1_73m2=sourced(value, "Observation/egfr"))
        assert ("safety.denosumab.egfr30" in rules(assess(person=person))) is there


@pytest.mark.parametrize(("age", "calcium", "vitamin_d"), [(1, 2500, 2500), (8, 2500, 3000), (9, 3000, 4000)])
def test_the_upper_limits_of_a_child_are_shown(age: int, calcium: int, vitamin_d: int) -> None:
    advice = assess(person=patient(age), site=FractureSite.FOREARM_SHAFT).supplementation
    said = {one.statement.id: one.statement.text for one in advice}
    ending = "Upper limit from food and tablets together:"
    assert f"{ending} {calcium} mg a day." in said["supplementation.calcium.target"]
    assert f"{ending} {vitamin_d} IU a day." in said["supplementation.vitamin_d.target"]


def test_nothing_is_weighed_up_or_aimed_at_that_another_line_forbids() -> None:
    """Over random cases: no caution about a drug that is to be avoided anyway, no aim that is blocked."""
    chance, seen = random.Random(20_261_122), 0
    for _ in range(400):
        answer = run(engine(), random_case(chance))
        if not isinstance(answer, Assessment):
            continue
        avoided = {one.agent for one in answer.supplementation if one.action is AdviceAction.AVOID}
        for one in answer.supplementation:
            if one.agent == "nsaid" and "nsaid" in avoided:
                seen += one.action is AdviceAction.CAUTION
                assert "review the need" not in one.statement.text
            if one.statement.id == "supplementation.policy" and {"calcium", "vitamin_d"} <= avoided:
                assert "meet the intake" not in one.statement.text
    assert seen
