"""Unverified evidence never drives a recommendation alone: every rule is walked, and every entry is unverified once."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import fusion
from fhir_adapters.patient import (
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    Sex,
    SmokingStatus,
)
from fusion.context import ClinicalContext, FractureType, Gustilo, Mechanism
from fusion.engine import FusionEngine
from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceStatus
from fusion.results import AdviceAction, Assessment, Certainty, Urgency
from fusion.sites import FractureSite
from fusion.statements import UNVERIFIED, UNVERIFIED_SAFETY
from imaging.labels import BodyRegion, FracturePattern, View
from imaging.results import FractureCall, PatternEstimate
from tabular.results import RelativeRisk
from tests.unit.fusion.cases import (
    CHILD,
    HIP,
    NEGATIVE,
    NOW,
    WRIST,
    assess,
    condition,
    drug,
    engine,
    findings,
    patient,
    prior,
    risk,
    sourced,
    statements,
)
from tests.unit.fusion.observed import every_statement, run
from tests.unit.fusion.rule_cases import RULE_CASES
from tests.unit.fusion.test_measured import around, image

BASE = EvidenceBase.load()
EVERY_DRUG = tuple(drug(one) for one in DrugClass)
EVERY_DISEASE = tuple(condition(one) for one in ConditionKind)


def _people() -> Iterator[Any]:
    for age in (0, 1, 2, 8, 12, 17, 30, 45, 55, 70, 86, None):
        yield patient(age)
    yield None
    for sex, age in product((Sex.MALE, None), (8, 30, 70)):
        yield patient(age, sex=sex)
    for vitamin_d, egfr, calcium in ((10.0, 20.0, 2.0), (40.0, 33.0, 2.8), (60.0, 90.0, 2.4), (400.0, 50.0, 2.4)):
        labs = {
            "vitamin_d_nmol_l": sourced(vitamin_d, "Observation/d", days=800),
            "egfr_ml_min_1_73m2": sourced(egfr, "Observation/e"),
            "calcium_mmol_l": sourced(calcium, "Observation/c"),
        }
        for drugs, diseases in product(((), EVERY_DRUG), ((), EVERY_DISEASE)):
            yield patient(70, medications=drugs, conditions=diseases, **labs)
            yield patient(8, medications=drugs, conditions=diseases, **labs)
    for one in DrugClass:
        yield patient(70, medications=(drug(one),), falls_last_year=sourced(2, "Observation/f"))
    for one in ConditionKind:
        yield patient(70, conditions=(condition(one),))
    for score in (-3.0, -1.5, 0.0):
        yield patient(70, t_score_femoral_neck=sourced(score, "Observation/t"))
        yield patient(45, t_score_femoral_neck=sourced(score, "Observation/t"))
    for age, kind in product((30, 70), DiabetesType):
        yield patient(
            age,
            diabetes=sourced(kind, "Condition/d"),
            smoking=sourced(SmokingStatus.CURRENT, "Observation/s"),
            bmi_kg_m2=sourced(34.0, "Observation/b"),
            alcohol_units_per_week=sourced(40.0, "Observation/a"),
            hba1c_percent=sourced(9.5, "Observation/h"),
            osteoporosis=sourced(True, "Condition/o"),
        )
    yield patient(70, smoking=sourced(SmokingStatus.FORMER, "Observation/s"))
    fractures = (prior(FractureSiteGroup.HIP), replace(prior(FractureSiteGroup.FOREARM), pathological=True))
    yield from (patient(age, prior_fractures=fractures) for age in (1, 8, 70))
    yield patient(70, prior_fractures=(prior(FractureSiteGroup.WRIST, active=True),))


def _contexts() -> Iterator[dict[str, Any]]:
    yield {}
    for site in FractureSite:
        yield {"site": site}
    bad = {
        "open_wound": True,
        "vascular_deficit": True,
        "neurological_deficit": True,
        "compartment_signs": True,
        "skin_threatened": True,
        "dislocation": True,
        "non_ambulant_infant": True,
        "displaced": True,
        "intra_articular": True,
    }
    for site, mechanism in product(
        (FractureSite.PELVIS, FractureSite.TIBIAL_SHAFT, FractureSite.HUMERUS_SHAFT), Mechanism
    ):
        yield {"site": site, "mechanism": mechanism, **bad}
        yield {"site": site, "mechanism": mechanism, "operated": True, "fracture_type": FractureType.SPIRAL}
    yield {"site": FractureSite.TIBIAL_SHAFT, "gustilo": Gustilo.IIIB, "open_wound": False}
    yield {"site": FractureSite.DISTAL_RADIUS, "mechanism": Mechanism.LOW_ENERGY, "operated": True}
    yield {"site": FractureSite.DISTAL_RADIUS, "mechanism": Mechanism.LOW_ENERGY, "calcium_diet_mg_per_day": 500.0}
    yield {"site": FractureSite.CLAVICLE, "displaced": True, "fracture_type": FractureType.COMMINUTED}
    yield {"site": FractureSite.ANKLE, "displaced": False, "intra_articular": False, "open_wound": False}
    yield {"site": FractureSite.FEMORAL_NECK, "displaced": True, "fracture_type": FractureType.HAIRLINE}
    yield {"clinical_suspicion_high": True}
    yield {"calcium_diet_mg_per_day": 50_000.0, "non_ambulant_infant": False}


def _images() -> Iterator[Any]:
    yield None
    for call, region in product(FractureCall, (BodyRegion.WRIST, BodyRegion.HIP, BodyRegion.ELBOW, None)):
        yield findings(call, region, synthetic=region is None)


@cache
def walked() -> tuple[dict[str, Any], ...]:
    """Cases that together make every rule speak."""
    people, contexts, images = tuple(_people()), tuple(_contexts()), tuple(_images())
    cases: list[dict[str, Any]] = [dict(one) for one in (WRIST, HIP, CHILD, NEGATIVE)]
    cases += [{"person": one, **context} for one in people for context in contexts[:2]]
    cases += [{"person": people[n], **one} for n in (3, 7, 8, 10) for one in contexts]
    cases += [
        {"image": one, "person": people[n], **context}
        for n in (3, 9, 11)
        for one in images
        for context in ({}, {"clinical_suspicion_high": True})
    ]
    factor = RelativeRisk(factor="f", ratio=2.0, evidence_id="risk.t1dm_hip.vilaca2020")
    cases += [
        {"person": patient(70), "estimate": risk(*one, factor, missing=("hba1c_percent",))}
        for one in ((0.1, 0.01), (0.3, 0.1))
    ]
    stones = patient(70, sex=Sex.MALE, conditions=(condition(ConditionKind.KIDNEY_STONES),))
    cases += [{"person": stones, "site": FractureSite.DISTAL_RADIUS, "mechanism": Mechanism.LOW_ENERGY}]
    treated = patient(75, medications=(drug(DrugClass.ORAL_BISPHOSPHONATE),))
    cases += [{"person": treated, "site": FractureSite.FEMORAL_SHAFT}]
    pain = {"image": findings(FractureCall.NOT_SEEN, BodyRegion.HIP), "clinical_suspicion_high": True}
    cases += [{"person": treated, **pain}]
    sugar = sourced(9.5, "Observation/h")
    diabetic = patient(60, diabetes=sourced(DiabetesType.TYPE_2, "Condition/d"), hba1c_percent=sugar)
    cases += [{"person": diabetic, "site": FractureSite.ANKLE}]
    osteopenic = patient(70, t_score_femoral_neck=sourced(-1.5, "Observation/t"))
    cases += [{"person": osteopenic, "estimate": risk(0.3, 0.1)}]
    read = PatternEstimate(pattern=FracturePattern.COMMINUTED, probabilities=(), displaced_probability=0.9)
    measures = {"angulation_deg": around(20, 1), "shortening_mm": around(20, 1), "displacement_percent": around(80, 1)}
    cases += [
        {"image": image(views=((View.FRONTAL, 0.9),), pattern=read, **measures), "person": patient(40), "site": site}
        for site in (FractureSite.TIBIAL_SHAFT, FractureSite.DISTAL_RADIUS)
    ]
    return tuple(cases)


@cache
def answers() -> tuple[Assessment, ...]:
    catalogued = (run(engine(), one.fires) for one in RULE_CASES.values())
    return (*(assess(**one) for one in walked()), *(one for one in catalogued if isinstance(one, Assessment)))


def rule_ids() -> set[str]:
    """Every rule name written in the source: first arguments of `say` and `warn`."""
    found: set[str] = set()
    for path in Path(fusion.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"say", "warn"}
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.add(first.value)
    return found


def test_the_walk_makes_every_rule_speak() -> None:
    spoken = {one.id for answer in answers() for one in every_statement(answer)}
    assert len(rule_ids()) > 60
    assert rule_ids() <= spoken


def test_no_recommendation_rests_on_unverified_evidence_alone() -> None:
    for answer in answers():
        check(answer, BASE)


def check(answer: Assessment, evidence: EvidenceBase) -> None:
    for one in statements(answer):
        if evidence.only_unverified(one.evidence):
            assert one.text.endswith((UNVERIFIED, UNVERIFIED_SAFETY)), one
            assert one.certainty in {Certainty.UNVERIFIED, Certainty.COMPUTED}, one
    for step in answer.follow_up:
        if evidence.only_unverified(step.statement.evidence):
            assert step.earliest_week is step.latest_week is None and step.urgency is Urgency.ROUTINE, step
    for line in answer.supplementation:
        if evidence.only_unverified(line.statement.evidence):
            assert line.action is not AdviceAction.CONSIDER and line.dose_low is line.dose_high is None, line
    for reason in answer.severity.reasons:
        if reason.id.startswith("severity.measured."):
            assert not evidence.only_unverified(reason.evidence), reason


@pytest.mark.parametrize("family", ["healing", "severity", "care", "risk"])
def test_marking_entries_as_unverified_is_enough(family: str) -> None:
    """With a whole family unverified nothing of it recommends: the files decide, not the rules."""
    entries = {
        name: replace(entry, status=EvidenceStatus.UNVERIFIED)
        if name.startswith(f"{family}.") and entry.status is not EvidenceStatus.COMPUTED
        else entry
        for name, entry in BASE.entries.items()
    }
    evidence = replace(BASE, entries=MappingProxyType(entries))
    engine = FusionEngine(evidence)
    changed = 0
    for case in walked()[::4]:
        context = {k: v for k, v in case.items() if k not in {"image", "person", "estimate"}}
        answer = engine.assess(
            findings=case.get("image"),
            patient=case.get("person"),
            risk=case.get("estimate"),
            context=ClinicalContext(**context),
            as_of=NOW,
        )
        check(answer, evidence)
        changed += sum(one.certainty is Certainty.UNVERIFIED for one in statements(answer))
    assert changed


def test_an_interval_is_no_surer_than_its_figures() -> None:
    """The union check of a site with unverified figures has no date; one with read figures has."""
    hip = next(
        one
        for one in assess(person=patient(80), site=FractureSite.INTERTROCHANTERIC).follow_up
        if one.statement.id == "follow_up.union"
    )
    assert hip.earliest_week is hip.latest_week is None
    assert hip.statement.certainty is Certainty.UNVERIFIED and hip.statement.text.endswith(UNVERIFIED)
    tibia = next(
        one
        for one in assess(person=patient(40), site=FractureSite.TIBIAL_SHAFT).follow_up
        if one.statement.id == "follow_up.union"
    )
    assert tibia.earliest_week is not None and tibia.statement.certainty is not Certainty.UNVERIFIED


def test_nothing_says_twice_that_its_source_is_not_verified() -> None:
    for answer in answers():
        for one in statements(answer):
            assert len(re.findall(r"not verified|nverified source", one.text)) <= 1, one.text
