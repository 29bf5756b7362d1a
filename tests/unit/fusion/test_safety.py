"""What forbids, spaces or cautions: each rule fires, names its trigger, and stays silent otherwise."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from fhir_adapters.patient import ConditionKind, DrugClass
from fusion.context import ClinicalContext
from fusion.engine import FusionEngine
from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceStatus
from fusion.results import AdviceAction, Certainty
from fusion.sites import FractureSite
from fusion.statements import UNVERIFIED_SAFETY
from tests.unit.fusion.cases import NOW, advice, assess, condition, drug, patient, rules, sourced

K, D, A = ConditionKind, DrugClass, AdviceAction
ANKLE = FractureSite.ANKLE
EGFR = "egfr_ml_min_1_73m2"


def lab(field: str, value: float) -> dict[str, Any]:
    return {field: sourced(value, f"Observation/{field}")}


FIRES: list[tuple[str, AdviceAction, str, dict[str, Any]]] = [
    ("hypercalcaemia.calcium", A.AVOID, "calcium", {"conditions": (condition(K.HYPERCALCAEMIA),)}),
    ("hypercalcaemia.vitamin_d", A.AVOID, "vitamin_d", {"conditions": (condition(K.HYPERCALCAEMIA),)}),
    ("hypercalcaemia.calcium", A.AVOID, "calcium", lab("calcium_mmol_l", 2.61)),
    ("stones", A.SPECIALIST_ONLY, "calcium", {"conditions": (condition(K.KIDNEY_STONES, active=False),)}),
    ("stones", A.SPECIALIST_ONLY, "calcium", {"conditions": (condition(K.HYPERCALCIURIA),)}),
    ("sarcoidosis", A.SPECIALIST_ONLY, "vitamin_d", {"conditions": (condition(K.SARCOIDOSIS),)}),
    (
        "hyperparathyroidism",
        A.SPECIALIST_ONLY,
        "calcium",
        {"conditions": (condition(K.PRIMARY_HYPERPARATHYROIDISM),)},
    ),
    ("egfr.calcium", A.SPECIALIST_ONLY, "calcium", lab(EGFR, 29.9)),
    ("egfr.vitamin_d", A.SPECIALIST_ONLY, "vitamin_d", lab(EGFR, 29.9)),
    ("kidney_unknown", A.CAUTION, "calcium", {"conditions": (condition(K.CHRONIC_KIDNEY_DISEASE),)}),
    ("age_or_pregnancy", A.SPECIALIST_ONLY, "calcium_and_vitamin_d", {"conditions": (condition(K.PREGNANCY),)}),
    ("interaction.levothyroxine", A.SEPARATE, "calcium", {"medications": (drug(D.LEVOTHYROXINE),)}),
    ("interaction.oral_bisphosphonate", A.SEPARATE, "calcium", {"medications": (drug(D.ORAL_BISPHOSPHONATE),)}),
    ("interaction.iron_zinc_strontium", A.SEPARATE, "calcium", {"medications": (drug(D.IRON),)}),
    ("interaction.iron_zinc_strontium", A.SEPARATE, "calcium", {"medications": (drug(D.ZINC),)}),
    ("interaction.iron_zinc_strontium", A.SEPARATE, "calcium", {"medications": (drug(D.STRONTIUM),)}),
    ("interaction.tetracycline", A.SEPARATE, "calcium", {"medications": (drug(D.TETRACYCLINE),)}),
    ("interaction.quinolone", A.SEPARATE, "calcium", {"medications": (drug(D.QUINOLONE),)}),
    ("interaction.thiazide", A.CAUTION, "calcium", {"medications": (drug(D.THIAZIDE),)}),
    ("interaction.digoxin", A.CAUTION, "calcium", {"medications": (drug(D.DIGOXIN),)}),
    ("interaction.glucocorticoid", A.CAUTION, "calcium", {"medications": (drug(D.SYSTEMIC_GLUCOCORTICOID),)}),
    ("interaction.orlistat_cholestyramine", A.CAUTION, "vitamin_d", {"medications": (drug(D.ORLISTAT),)}),
    ("interaction.orlistat_cholestyramine", A.CAUTION, "vitamin_d", {"medications": (drug(D.CHOLESTYRAMINE),)}),
    ("interaction.anticonvulsant", A.CAUTION, "vitamin_d", {"medications": (drug(D.ANTICONVULSANT),)}),
    ("bisphosphonate.egfr35", A.AVOID, "bisphosphonate", lab(EGFR, 34.9)),
    ("bisphosphonate.egfr30", A.AVOID, "bisphosphonate", lab(EGFR, 29.9)),
    ("denosumab.egfr30", A.CAUTION, "denosumab", lab(EGFR, 29.9)),
    ("hypocalcaemia", A.CORRECT_FIRST, "bisphosphonate", {"conditions": (condition(K.HYPOCALCAEMIA),)}),
    ("hypocalcaemia", A.CORRECT_FIRST, "bisphosphonate", lab("calcium_mmol_l", 2.19)),
    ("nsaid.egfr30", A.AVOID, "nsaid", lab(EGFR, 29.9)),
    ("nsaid.older", A.AVOID, "nsaid", {"conditions": (condition(K.DEMENTIA),)}),
    (
        "nsaid.anticoagulant",
        A.CAUTION,
        "nsaid",
        {"medications": (drug(D.NSAID), drug(D.ANTICOAGULANT))},
    ),
    ("cox2.healing", A.CAUTION, "cox2_inhibitor", {"medications": (drug(D.COX2_INHIBITOR),)}),
]


@pytest.mark.parametrize(("rule", "action", "agent", "record"), FIRES)
def test_each_rule_fires_and_names_its_trigger(
    rule: str, action: AdviceAction, agent: str, record: dict[str, Any]
) -> None:
    assessment = assess(person=patient(60, **record), site=ANKLE)
    line = advice(assessment, f"safety.{rule}")
    assert (line.action, line.agent) == (action, agent)
    assert line.dose_low is line.dose_high is None
    assert line.statement.record and line.statement.evidence
    triggers = [one for field in record.values() for one in (field if isinstance(field, tuple) else (field,))]
    assert {one.resource for one in triggers} <= set(line.statement.record)


def test_no_rule_fires_without_its_trigger() -> None:
    assessment = assess(person=patient(60), site=ANKLE)
    assert not any(one.startswith("safety.") for one in rules(assessment))


@pytest.mark.parametrize(("rule", "action", "agent", "record"), [one for one in FIRES if "medications" in one[3]])
def test_a_stopped_drug_is_silent(rule: str, action: AdviceAction, agent: str, record: dict[str, Any]) -> None:
    stopped = tuple(drug(one.drug_class, active=False) for one in record["medications"])
    assert f"safety.{rule}" not in rules(assess(person=patient(60, medications=stopped), site=ANKLE))


@pytest.mark.parametrize(
    ("record", "silent"),
    [
        (lab("calcium_mmol_l", 2.60), "hypercalcaemia.calcium"),
        (lab("calcium_mmol_l", 2.20), "hypocalcaemia"),
        (lab(EGFR, 30.0), "egfr.calcium"),
        (lab(EGFR, 30.0), "bisphosphonate.egfr30"),
        (lab(EGFR, 30.0), "nsaid.egfr30"),
        (lab(EGFR, 35.0), "bisphosphonate.egfr35"),
        ({"conditions": (condition(K.HYPERCALCAEMIA, active=False),)}, "hypercalcaemia.calcium"),
        (
            {"conditions": (condition(K.CHRONIC_KIDNEY_DISEASE),), **lab(EGFR, 80.0)},
            "kidney_unknown",
        ),
    ],
)
def test_boundaries(record: dict[str, Any], silent: str) -> None:
    assert f"safety.{silent}" not in rules(assess(person=patient(60, **record), site=ANKLE))


def test_egfr_bands() -> None:
    def shown(value: float) -> set[str]:
        return {one for one in rules(assess(person=patient(60, **lab(EGFR, value)), site=ANKLE)) if "egfr" in one}

    assert shown(35.0) == set()
    assert shown(30.0) == {"safety.bisphosphonate.egfr35"}
    assert {"safety.bisphosphonate.egfr30", "safety.egfr.calcium", "safety.egfr.vitamin_d"} <= shown(29.0)
    assert "safety.bisphosphonate.egfr35" not in shown(29.0)


def test_what_is_already_taken_is_named() -> None:
    taken = (drug(D.CALCIUM_SUPPLEMENT), drug(D.VITAMIN_D_SUPPLEMENT), drug(D.ORAL_BISPHOSPHONATE))
    assessment = assess(person=patient(80, medications=taken, **lab(EGFR, 25.0)))
    for rule in ("safety.egfr.calcium", "safety.egfr.vitamin_d", "safety.bisphosphonate.egfr30"):
        assert "review it now" in advice(assessment, rule).statement.text
    assert "MedicationRequest/calcium_supplement" in advice(assessment, "safety.egfr.calcium").statement.record


def test_unverified_safety_rules_are_shown_and_marked() -> None:
    base = EvidenceBase.load()
    name = "care.caution.nsaid_anticoagulant"
    entry = replace(base[name], status=EvidenceStatus.UNVERIFIED)
    engine = FusionEngine(replace(base, entries=MappingProxyType({**base.entries, name: entry})))
    person = patient(60, medications=(drug(D.ANTICOAGULANT), drug(D.NSAID)))
    context = ClinicalContext(site=ANKLE)
    assessment = engine.assess(findings=None, patient=person, risk=None, context=context, as_of=NOW)
    line = advice(assessment, "safety.nsaid.anticoagulant")
    assert line.statement.certainty is Certainty.UNVERIFIED
    assert line.statement.text.endswith(UNVERIFIED_SAFETY)
    verified = advice(assess(person=patient(60, medications=(drug(D.THIAZIDE),))), "safety.interaction.thiazide")
    assert UNVERIFIED_SAFETY not in verified.statement.text


@pytest.mark.parametrize(("age", "fires"), [(65, True), (64, False)])
def test_nsaids_are_not_offered_to_older_people(age: int, fires: bool) -> None:
    assert ("safety.nsaid.older" in rules(assess(person=patient(age), site=ANKLE))) is fires
    assert "safety.nsaid.older" not in rules(assess(person=patient(age)))


def test_spacing_hours_come_from_the_evidence() -> None:
    person = patient(60, medications=(drug(D.LEVOTHYROXINE), drug(D.TETRACYCLINE), drug(D.ORAL_BISPHOSPHONATE)))
    assessment = assess(person=person, site=ANKLE)
    assert "4 hours" in advice(assessment, "safety.interaction.levothyroxine").statement.text
    assert "2 hours before or 4 to 6 hours" in advice(assessment, "safety.interaction.tetracycline").statement.text
    assert "1 hour later" in advice(assessment, "safety.interaction.oral_bisphosphonate").statement.text


def test_early_bisphosphonate_is_put_in_proportion() -> None:
    assessment = assess(person=patient(70), site=FractureSite.HUMERUS_PROXIMAL)
    line = advice(assessment, "safety.bisphosphonate.humerus")
    assert line.action is A.INFORM and "0.4 %" in line.statement.text
    assert "safety.bisphosphonate.humerus" not in rules(assess(person=patient(70), site=ANKLE))
    assert "safety.bisphosphonate.humerus" not in rules(assess(person=patient(49), site=FractureSite.HUMERUS_PROXIMAL))


def test_the_dangerous_comes_first() -> None:
    person = patient(80, medications=(drug(D.LEVOTHYROXINE),), **lab(EGFR, 25.0))
    actions = [one.action for one in assess(person=person, site=ANKLE).supplementation]
    order = [A.AVOID, A.CORRECT_FIRST, A.SPECIALIST_ONLY, A.CAUTION, A.SEPARATE, A.CONSIDER, A.INFORM]
    assert actions == sorted(actions, key=order.index)
