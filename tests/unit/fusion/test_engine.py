"""The engine as a whole: any part missing, every citation resolved, nothing claimed that may not be."""

import re
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_adapters.patient import (
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    PatientSnapshot,
    Sex,
    SmokingStatus,
)
from fusion.context import ClinicalContext, FractureType, Gustilo, Mechanism
from fusion.errors import InputError
from fusion.evidence_base import EvidenceBase
from fusion.results import AdviceAction, Assessment, Certainty
from fusion.sites import REGION_SITES, SITE_NAMES, FractureSite, sites_of
from fusion.warnings import WARNINGS
from imaging.labels import BodyRegion
from imaging.results import FractureCall
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
    rules,
    sourced,
    statements,
    text,
)

BASE = EvidenceBase.load()
SPEEDS = re.compile(r"\b(speed|hasten|accelerat|quicken|shorten|improv\w* (?:union|healing)|heal\w* faster)", re.I)
SUPPLEMENT = re.compile(r"vitamin d|calcium|supplement", re.I)

maybe = st.one_of(st.none(), st.booleans())


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


CONTEXTS = st.builds(
    ClinicalContext,
    site=optional(st.sampled_from(FractureSite)),
    fracture_type=optional(st.sampled_from(FractureType)),
    mechanism=optional(st.sampled_from(Mechanism)),
    displaced=maybe,
    intra_articular=maybe,
    open_wound=maybe,
    gustilo=optional(st.sampled_from(Gustilo)),
    vascular_deficit=maybe,
    neurological_deficit=maybe,
    compartment_signs=maybe,
    skin_threatened=maybe,
    dislocation=maybe,
    clinical_suspicion_high=maybe,
    non_ambulant_infant=maybe,
    operated=maybe,
    calcium_diet_mg_per_day=optional(st.floats(-10, 20_000)),
)
IMAGES = optional(
    st.builds(findings, st.sampled_from(FractureCall), optional(st.sampled_from(BodyRegion)), synthetic=st.booleans())
)
RISKS = optional(
    st.builds(
        risk,
        st.floats(0.0, 1.0),
        st.floats(0.0, 1.0),
        st.builds(
            RelativeRisk,
            factor=st.just("type_1_diabetes"),
            ratio=st.floats(0.5, 6),
            evidence_id=st.sampled_from(["risk.t1dm_hip.vilaca2020", "risk.unknown_hip.nobody"]),
        ),
        missing=st.sampled_from([(), ("femoral_neck_t_score",), ("bmi_kg_m2", "hba1c_percent")]),
    )
)


def value(strategy: st.SearchStrategy[Any], name: str) -> st.SearchStrategy[Any]:
    return optional(st.builds(sourced, strategy, st.just(f"Observation/{name}"), days=st.integers(0, 2000)))


@st.composite
def records(draw: st.DrawFn) -> PatientSnapshot | None:
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    return patient(
        draw(optional(st.integers(0, 110))),
        sex=draw(optional(st.sampled_from(Sex))),
        bmi_kg_m2=draw(value(st.floats(12, 60), "bmi")),
        smoking=draw(value(st.sampled_from(SmokingStatus), "smoking")),
        alcohol_units_per_week=draw(value(st.floats(0, 100), "alcohol")),
        osteoporosis=draw(value(st.booleans(), "osteoporosis")),
        diabetes=draw(value(st.sampled_from(DiabetesType), "diabetes")),
        prior_fractures=tuple(
            prior(one, active=draw(st.booleans()))
            for one in draw(st.lists(st.sampled_from(FractureSiteGroup), max_size=2, unique=True))
        ),
        conditions=tuple(
            condition(one, active=draw(st.booleans()))
            for one in draw(st.lists(st.sampled_from(ConditionKind), max_size=5, unique=True))
        ),
        medications=tuple(
            drug(one, active=draw(st.booleans()))
            for one in draw(st.lists(st.sampled_from(DrugClass), max_size=6, unique=True))
        ),
        t_score_femoral_neck=draw(value(st.floats(-6, 3), "t-neck")),
        t_score_spine=draw(value(st.floats(-6, 3), "t-spine")),
        vitamin_d_nmol_l=draw(value(st.floats(0, 400), "vitamin-d")),
        calcium_mmol_l=draw(value(st.floats(1.5, 4), "calcium")),
        egfr_ml_min_1_73m2=draw(value(st.floats(3, 150), "egfr")),
        falls_last_year=draw(value(st.integers(0, 20), "falls")),
    )


def check(assessment: Assessment) -> None:
    """What must hold of every assessment."""
    cited = {one for statement in statements(assessment) for one in statement.evidence}
    assert cited == {one.id for one in assessment.sources}
    assert len(assessment.sources) == len(cited)
    for statement in statements(assessment):
        assert statement.text.strip() == statement.text and statement.text.endswith((".", ")", "?")), statement
        assert "  " not in statement.text and "None" not in statement.text, statement
        assert len(statement.text) < 330, statement
        if SUPPLEMENT.search(statement.text):
            assert not SPEEDS.search(statement.text), statement
        if statement.certainty is not Certainty.UNVERIFIED and statement.evidence:
            assert not BASE.only_unverified(statement.evidence) or statement.certainty is Certainty.COMPUTED, statement
    for one in assessment.supplementation:
        if one.action is AdviceAction.CONSIDER:
            assert one.statement.evidence and not BASE.only_unverified(one.statement.evidence), one
            assert one.statement.certainty is not Certainty.UNVERIFIED, one
        if one.dose_low is not None:
            assert one.dose_high is not None and one.dose_unit and 0 <= one.dose_low <= one.dose_high
            assert one.action is AdviceAction.CONSIDER
    stopped = {
        one.agent
        for one in assessment.supplementation
        if one.action in {AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY}
    }
    advised = {one.agent for one in assessment.supplementation if one.action is AdviceAction.CONSIDER}
    assert not stopped & advised & {"calcium", "vitamin_d"}
    healing = assessment.healing
    if healing is not None:
        assert 0 < healing.low_weeks <= healing.median_weeks <= healing.high_weeks
        if healing.nonunion_low is not None and healing.nonunion_high is not None:
            assert 0 <= healing.nonunion_low <= healing.nonunion_high < 1
    for step in assessment.follow_up:
        if step.earliest_week is not None and step.latest_week is not None:
            assert 0 <= step.earliest_week <= step.latest_week
    assert all(one.partition(":")[0] in WARNINGS for one in assessment.warnings)
    assert assessment.evidence_version == BASE.version


@settings(max_examples=150, deadline=None)
@given(image=IMAGES, person=records(), estimate=RISKS, context=CONTEXTS)
def test_any_part_may_be_missing(image: Any, person: Any, estimate: Any, context: ClinicalContext) -> None:
    assessment = engine().assess(findings=image, patient=person, risk=estimate, context=context, as_of=NOW)
    check(assessment)


@settings(max_examples=30, deadline=None)
@given(image=IMAGES, person=records(), estimate=RISKS, context=CONTEXTS)
def test_the_same_case_gives_the_same_assessment(
    image: Any, person: Any, estimate: Any, context: ClinicalContext
) -> None:
    first, second = (
        engine().assess(findings=image, patient=person, risk=estimate, context=context, as_of=NOW) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("case", [WRIST, HIP, CHILD, NEGATIVE])
def test_the_sample_cases_hold(case: dict[str, Any]) -> None:
    check(assess(**case))


def test_nothing_at_all_is_still_an_assessment() -> None:
    assessment = assess()
    check(assessment)
    assert {"limitation.image.none", "limitation.record.none"} <= rules(assessment)
    assert assessment.healing is None and assessment.supplementation == ()


def test_statements_carry_no_identifier() -> None:
    person = patient(64, patient_id="SECRET-4711")
    assert "SECRET-4711" not in repr(assess(**{**WRIST, "person": person}))


def test_the_summary_says_finding_urgency_healing_and_risk() -> None:
    words = assess(**HIP).summary.text
    for part in ("hip", "act within hours", "severe", "weeks", "35 %"):
        assert part in words
    assert "to be confirmed" in assess(**CHILD).summary.text
    assert "does not exclude" in assess(**NEGATIVE).summary.text
    assert "could not be judged" in assess(image=findings(FractureCall.CANNOT_JUDGE, None)).summary.text


def test_a_negative_image_keeps_risk_and_prevention() -> None:
    assessment = assess(**NEGATIVE)
    assert assessment.healing is None
    assert "risk.major_osteoporotic.probability" in rules(assessment)
    assert "supplementation.vitamin_d.bone_health" in rules(assessment)
    assert "follow_up.bone_health" in rules(assessment)


def test_a_stated_fracture_stands_against_a_negative_image() -> None:
    assessment = assess(image=findings(FractureCall.NOT_SEEN), person=patient(40), site=FractureSite.DISTAL_RADIUS)
    assert assessment.healing is not None
    assert "not seen on this radiograph" in assessment.summary.text
    assert "clinician's word" in text(assessment, "limitation.image.not_seen")


def test_missing_inputs_are_limitations() -> None:
    assessment = assess(person=patient(None, sex=None), site=FractureSite.ANKLE)
    assert {"limitation.record.age", "limitation.record.sex", "limitation.image.none"} <= rules(assessment)
    older = assess(person=patient(70), site=FractureSite.ANKLE)
    missing = text(older, "limitation.record.missing")
    for one in ("25-hydroxyvitamin D", "serum calcium", "eGFR", "T-score"):
        assert one in missing
    assert "limitation.risk.none" in rules(older)
    with_risk = assess(person=patient(70), estimate=risk(missing=("femoral_neck_t_score",)))
    assert "femoral neck T-score" in text(with_risk, "limitation.risk.missing")
    active = assess(person=patient(70, prior_fractures=(prior(FractureSiteGroup.WRIST, active=True),)))
    assert "limitation.record.active_fracture" in rules(active)
    phantom = assess(image=findings(FractureCall.NOT_SEEN, synthetic=True))
    assert "limitation.image.synthetic" in rules(phantom)


@pytest.mark.parametrize(
    ("context", "detail"),
    [
        ({"gustilo": Gustilo.I, "open_wound": False}, "gustilo_and_open_wound"),
        (
            {"fracture_type": FractureType.FRACTURE_DISLOCATION, "dislocation": False},
            "fracture_type_and_dislocation",
        ),
        ({"fracture_type": FractureType.HAIRLINE, "displaced": True}, "fracture_type_and_displaced"),
        (
            {"fracture_type": FractureType.PATHOLOGICAL, "mechanism": Mechanism.LOW_ENERGY},
            "fracture_type_and_mechanism",
        ),
        ({"non_ambulant_infant": True}, "non_ambulant_infant_and_age"),
    ],
)
def test_contradictions_are_named(context: dict[str, Any], detail: str) -> None:
    assessment = assess(person=patient(40), **context)
    assert f"fusion.context.contradiction:{detail}" in assessment.warnings
    assert f"limitation.input.{detail}" in rules(assessment)


def test_a_site_outside_the_region_is_named() -> None:
    image = findings(FractureCall.DEFINITE, BodyRegion.HAND)
    wrong = assess(image=image, person=patient(40), site=FractureSite.ANKLE)
    assert "fusion.context.site_region_mismatch" in wrong.warnings
    near = assess(image=image, person=patient(40), site=FractureSite.DISTAL_RADIUS)
    assert "fusion.context.site_region_mismatch" not in near.warnings


def test_every_region_and_site_is_mapped() -> None:
    assert set(REGION_SITES) == set(BodyRegion)
    assert {site for region in BodyRegion for site in sites_of(region)} == set(FractureSite)
    assert set(SITE_NAMES) == set(FractureSite)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        engine().assess(findings=None, patient=None, risk=None, context=ClinicalContext(), as_of=datetime(2026, 11, 21))
    assert caught.value.code == "fusion.input.invalid" and caught.value.remedy


def test_importing_the_engine_loads_no_framework() -> None:
    script = (
        "import sys, fusion.engine\n"
        "heavy = ('torch', 'xgboost', 'pydicom', 'fhir', 'gradio', 'pandas', 'numpy', 'cv2', 'sklearn', 'fastapi')\n"
        "print([one for one in heavy if one in sys.modules])\n"
        "own = ('imaging', 'tabular', 'fhir_adapters', 'cds')\n"
        "print(sorted(one for one in sys.modules if one.split('.')[0] in own))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy, own = done.stdout.splitlines()
    assert heavy == "[]"
    assert own == str(
        [
            "fhir_adapters",
            "fhir_adapters.patient",
            "imaging",
            "imaging.labels",
            "imaging.results",
            "tabular",
            "tabular.results",
        ]
    )


def test_an_assessment_takes_under_twenty_milliseconds() -> None:
    assess(**WRIST)
    started = time.process_time()
    for _ in range(20):
        assess(**WRIST)
    assert (time.process_time() - started) / 20 < 0.02
