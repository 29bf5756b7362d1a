"""High calcium, pain drugs with a disease or another drug, bone drugs with a low level or a sick oesophagus."""

from dataclasses import replace
from typing import Any

import pytest

from fhir_adapters.patient import ConditionKind, DrugClass
from fusion.context import Mechanism
from fusion.facts import highest, lowest, resources
from fusion.prognosis import _contributions
from fusion.results import AdviceAction
from fusion.sites import FractureSite
from tabular.results import Contribution
from tests.unit.fusion.cases import advice, assess, condition, drug, patient, risk, rules, sourced, text

K, D, A, S = ConditionKind, DrugClass, AdviceAction, FractureSite


def taking(*classes: DrugClass, kinds: tuple[ConditionKind, ...] = (), age: int = 60, **fields: Any) -> Any:
    """A woman on some drugs with some diseases."""
    return patient(age, medications=tuple(map(drug, classes)), conditions=tuple(map(condition, kinds)), **fields)


def calcium(value: float, **fields: Any) -> Any:
    return patient(60, calcium_mmol_l=sourced(value, "Observation/calcium"), **fields)


@pytest.mark.parametrize(
    ("rule", "action", "agent", "fires", "silent"),
    [
        (
            "nsaid.heart_failure",
            A.AVOID,
            "nsaid",
            taking(kinds=(K.HEART_FAILURE,)),
            (taking(), patient(60, conditions=(condition(K.HEART_FAILURE, active=False),))),
        ),
        ("nsaid.ulcer", A.AVOID, "nsaid", taking(kinds=(K.PEPTIC_ULCER,)), (taking(),)),
        (
            "nsaid.triple",
            A.AVOID,
            "nsaid",
            taking(D.NSAID, D.ACE_INHIBITOR_OR_ARB, D.DIURETIC),
            (
                taking(D.ACE_INHIBITOR_OR_ARB, D.DIURETIC),
                taking(D.NSAID, D.ACE_INHIBITOR_OR_ARB),
                taking(D.NSAID, D.DIURETIC),
            ),
        ),
        ("nsaid.triple", A.AVOID, "nsaid", taking(D.COX2_INHIBITOR, D.ACE_INHIBITOR_OR_ARB, D.THIAZIDE), ()),
        (
            "nsaid.kidney_drugs",
            A.CAUTION,
            "nsaid",
            taking(D.NSAID, D.ACE_INHIBITOR_OR_ARB),
            (taking(D.NSAID), taking(D.ACE_INHIBITOR_OR_ARB), taking(D.NSAID, D.ACE_INHIBITOR_OR_ARB, D.THIAZIDE)),
        ),
        ("nsaid.kidney_drugs", A.CAUTION, "nsaid", taking(D.NSAID, D.DIURETIC), ()),
        (
            "nsaid.antiplatelet",
            A.CAUTION,
            "nsaid",
            taking(D.NSAID, D.ANTIPLATELET),
            (taking(D.NSAID), taking(D.ANTIPLATELET)),
        ),
        ("denosumab.no_gap", A.CAUTION, "denosumab", taking(D.DENOSUMAB), (taking(D.ORAL_BISPHOSPHONATE),)),
        (
            "bisphosphonate.oesophagus",
            A.CAUTION,
            "bisphosphonate",
            taking(D.ORAL_BISPHOSPHONATE, kinds=(K.OESOPHAGEAL_DISEASE,)),
            (taking(D.ORAL_BISPHOSPHONATE), taking(kinds=(K.OESOPHAGEAL_DISEASE,), age=40)),
        ),
        ("bisphosphonate.oesophagus", A.CAUTION, "bisphosphonate", taking(kinds=(K.PEPTIC_ULCER,)), ()),
        ("hypercalcaemia.urgency", A.INFORM, "calcium", calcium(2.61), (calcium(2.60),)),
        (
            "hypercalcaemia.thiazide",
            A.AVOID,
            "thiazide",
            calcium(2.7, medications=(drug(D.THIAZIDE),)),
            (calcium(2.7),),
        ),
        ("hypercalcaemia.digoxin", A.CAUTION, "digoxin", calcium(2.7, medications=(drug(D.DIGOXIN),)), (calcium(2.7),)),
    ],
)
def test_each_rule_fires_names_its_trigger_and_stays_silent(
    rule: str, action: AdviceAction, agent: str, fires: Any, silent: tuple[Any, ...]
) -> None:
    line = advice(assess(person=fires, site=S.ANKLE), f"safety.{rule}")
    assert (line.action, line.agent, line.dose_low) == (action, agent, None)
    assert line.statement.record and line.statement.evidence
    for person in silent:
        assert f"safety.{rule}" not in rules(assess(person=person, site=S.ANKLE))


def test_a_disease_without_pain_or_drug_says_nothing_of_nsaids() -> None:
    assert "safety.nsaid.heart_failure" not in rules(assess(person=taking(kinds=(K.HEART_FAILURE,))))
    assert "safety.nsaid.heart_failure" in rules(assess(person=taking(D.NSAID, kinds=(K.HEART_FAILURE,))))


@pytest.mark.parametrize(
    ("value", "action", "words"),
    [
        (2.99, A.INFORM, "find or confirm the cause"),
        (3.0, A.CORRECT_FIRST, "treat it promptly"),
        (3.5, A.CORRECT_FIRST, "treat it promptly"),
        (3.51, A.CORRECT_FIRST, "urgently, before any operation"),
    ],
)
def test_how_urgent_a_high_calcium_is(value: float, action: AdviceAction, words: str) -> None:
    line = advice(assess(person=calcium(value), site=S.ANKLE), "safety.hypercalcaemia.urgency")
    assert line.action is action and words in line.statement.text


def test_high_calcium_replaces_the_advice_to_take_calcium_hours_apart() -> None:
    drugs = (drug(D.LEVOTHYROXINE), drug(D.THIAZIDE), drug(D.DIGOXIN))
    high = rules(assess(person=calcium(2.7, medications=drugs), site=S.ANKLE))
    normal = rules(assess(person=calcium(2.4, medications=drugs), site=S.ANKLE))
    moot = {f"safety.interaction.{name}" for name in ("levothyroxine", "thiazide", "digoxin")}
    assert not moot & high
    assert moot <= normal


@pytest.mark.parametrize(("egfr", "apart"), [(34.9, False), (35.0, True)])
def test_a_drug_to_be_avoided_is_not_spaced(egfr: float, apart: bool) -> None:
    person = taking(D.ORAL_BISPHOSPHONATE, egfr_ml_min_1_73m2=sourced(egfr, "Observation/e"))
    assert ("safety.interaction.oral_bisphosphonate" in rules(assess(person=person, site=S.ANKLE))) is apart


@pytest.mark.parametrize(("egfr", "shown"), [(29.9, False), (30.0, True)])
def test_failing_kidneys_get_no_calcium_target(egfr: float, shown: bool) -> None:
    person = patient(60, egfr_ml_min_1_73m2=sourced(egfr, "Observation/e"))
    found = rules(assess(person=person, site=S.ANKLE))
    assert bool(found & {"supplementation.calcium.target", "supplementation.calcium.ask_diet"}) is shown


def test_a_low_level_beside_high_calcium_is_told_and_not_dosed() -> None:
    low = calcium(2.8, vitamin_d_nmol_l=sourced(49.9, "Observation/d"))
    line = advice(assess(person=low, site=S.ANKLE), "supplementation.vitamin_d.low_told")
    assert line.dose_low is None and "specialist" in line.statement.text
    enough = calcium(2.8, vitamin_d_nmol_l=sourced(50.0, "Observation/d"))
    assert "supplementation.vitamin_d.low_told" not in rules(assess(person=enough, site=S.ANKLE))


@pytest.mark.parametrize(
    ("level", "age", "fields", "fires"),
    [
        (49.9, 60, {}, True),
        (50.0, 60, {}, False),
        (20.0, 49, {}, False),
        (20.0, 60, {"egfr_ml_min_1_73m2": sourced(30.0, "Observation/e")}, True),
        (20.0, 60, {"egfr_ml_min_1_73m2": sourced(29.9, "Observation/e")}, False),
        (20.0, 60, {"calcium_mmol_l": sourced(2.60, "Observation/c")}, True),
        (20.0, 60, {"calcium_mmol_l": sourced(2.61, "Observation/c")}, False),
        (20.0, 60, {"conditions": (condition(K.SARCOIDOSIS),)}, False),
        (20.0, 60, {"conditions": (condition(K.PRIMARY_HYPERPARATHYROIDISM),)}, False),
    ],
)
def test_vitamin_d_before_a_strong_bone_drug(level: float, age: int, fields: dict[str, Any], fires: bool) -> None:
    person = patient(age, vitamin_d_nmol_l=sourced(level, "Observation/d"), **fields)
    said = assess(person=person, site=S.ANKLE)
    assert ("safety.vitamin_d_first" in rules(said)) is fires
    if fires:
        assert "300000 IU in divided doses over 6 to 10 weeks" in text(said, "safety.vitamin_d_first")


def test_two_values_of_one_moment_the_dangerous_one_counts() -> None:
    both = replace(sourced(2.31, "Observation/a"), conflicting=((2.78, "Observation/b"),))
    assert (lowest(both), highest(both), resources(both)) == (2.31, 2.78, ("Observation/a", "Observation/b"))
    said = assess(person=patient(60, calcium_mmol_l=both), site=S.ANKLE)
    line = advice(said, "safety.hypercalcaemia.calcium")
    assert "2.78" in line.statement.text and "another value" in line.statement.text
    assert set(line.statement.record) >= {"Observation/a", "Observation/b"}
    kidney = replace(sourced(71.0, "Observation/a"), conflicting=((24.0, "Observation/b"),))
    found = rules(assess(person=patient(60, egfr_ml_min_1_73m2=kidney), site=S.ANKLE))
    assert {"safety.egfr.calcium", "safety.bisphosphonate.egfr30", "safety.nsaid.egfr30"} <= found


@pytest.mark.parametrize(
    ("site", "score", "mechanism", "expected"),
    [
        (S.DISTAL_RADIUS, -1.0, Mechanism.LOW_ENERGY, "reached"),
        (S.DISTAL_RADIUS, -0.9, Mechanism.LOW_ENERGY, "not_reached"),
        (S.HUMERUS_PROXIMAL, -2.3, Mechanism.LOW_ENERGY, "reached"),
        (S.DISTAL_RADIUS, -2.3, Mechanism.HIGH_ENERGY, "not_reached"),
        (S.ANKLE, -2.3, Mechanism.LOW_ENERGY, "not_reached"),
        (S.DISTAL_RADIUS, None, Mechanism.LOW_ENERGY, "needs_t_score"),
        (S.ANKLE, None, Mechanism.LOW_ENERGY, "not_reached"),
    ],
)
def test_a_typical_fracture_with_osteopenia(
    site: FractureSite, score: float | None, mechanism: Mechanism, expected: str
) -> None:
    measured = None if score is None else sourced(score, "Observation/t")
    person = patient(63, t_score_femoral_neck=measured)
    found = rules(assess(person=person, estimate=risk(0.1, 0.01), site=site, mechanism=mechanism))
    assert {one for one in found if one.startswith("risk.threshold.")} == {f"risk.threshold.{expected}"}


def test_no_threshold_is_spoken_of_while_a_lesion_is_looked_for() -> None:
    said = assess(person=patient(67), estimate=risk(0.3, 0.1), site=S.HUMERUS_SHAFT, mechanism=Mechanism.PATHOLOGICAL)
    assert not any(one.startswith("risk.threshold.") for one in rules(said))
    assert "a T-score" not in " ".join(one.text for one in said.limitations)


@pytest.mark.parametrize(("age", "told"), [(49, False), (50, True)])
def test_a_missing_vitamin_d_is_missed_only_where_testing_is_advised(age: int, told: bool) -> None:
    limits = " ".join(one.text for one in assess(person=patient(age), site=S.ANKLE).limitations)
    assert ("25-hydroxyvitamin D" in limits) is told


def test_fragile_bone_in_hyperparathyroidism_is_a_question_for_surgery() -> None:
    glands = patient(63, conditions=(condition(K.PRIMARY_HYPERPARATHYROIDISM),))
    fall: dict[str, Any] = {"site": S.DISTAL_RADIUS, "mechanism": Mechanism.LOW_ENERGY}
    step = next(one for one in assess(person=glands, **fall).follow_up if one.statement.id == "follow_up.parathyroid")
    assert step.earliest_week is None, "unverified evidence gives no date"
    crash: dict[str, Any] = {**fall, "mechanism": Mechanism.HIGH_ENERGY}
    assert "follow_up.parathyroid" not in rules(assess(person=glands, **crash))
    assert "follow_up.parathyroid" not in rules(assess(person=patient(63), **fall))


def test_a_no_that_lowers_the_risk_is_called_a_no() -> None:
    def one(feature: str, label: str, value: float, log_odds: float) -> Contribution:
        return Contribution(feature=feature, label=label, value=value, log_odds=log_odds)

    said = _contributions((one("current_smoker", "Current smoking", 0.0, -0.4), one("age_years", "Age", 70.0, 0.9)))
    assert said == "raised most by Age and lowered most by no current smoking"
    said = _contributions((one("current_smoker", "Current smoking", 1.0, 0.4), one("female", "Sex", 0.0, -0.2)))
    assert said == "raised most by Current smoking and lowered most by Sex"
    assert "no " not in _contributions((one("femoral_neck_t_score", "T-score", 0.0, -0.2),))
