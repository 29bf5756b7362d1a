"""Weak bone or force alone: the table, what moves it, and the lines it switches."""

from dataclasses import replace
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
)
from fusion.context import FractureType, Mechanism
from fusion.evidence_base import EvidenceBase
from fusion.facts import CaseFacts
from fusion.fragility import LEVELS, Span, bone_health_pathway, likelihood
from fusion.fragility_causes import find_causes
from fusion.fragility_sites import SiteClass, site_class, site_classes
from fusion.results import Assessment, BoneHealthPathway, FragilityAssessment, FragilityLikelihood, FragilityVerdict
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import (
    assess,
    condition,
    drug,
    facts,
    findings,
    fragility_statements,
    patient,
    prior,
    rules,
    sourced,
)

BASE = EvidenceBase.load()
LOW, HIGH = Mechanism.LOW_ENERGY, Mechanism.HIGH_ENERGY
HIP, WRIST, TIBIA, ANKLE = (
    FractureSite.FEMORAL_NECK,
    FractureSite.DISTAL_RADIUS,
    FractureSite.TIBIAL_SHAFT,
    FractureSite.ANKLE,
)
U, P, L, V = LEVELS


def judged(**case: Any) -> FragilityAssessment:
    found = assess(**case).fragility
    assert found is not None
    return found


def ends(**case: Any) -> tuple[FragilityLikelihood | None, FragilityLikelihood | None]:
    found = judged(**case)
    return found.lowest, found.highest


def t_score(value: float, **fields: Any) -> dict[str, Any]:
    return {"t_score_femoral_neck": sourced(value, "Observation/t"), **fields}


def texts(assessment: Assessment) -> str:
    return " ".join(one.text for one in fragility_statements(assessment))


# --- the table


@pytest.mark.parametrize(
    ("site", "age", "expected"),
    [
        (HIP, 39, (P, L)),
        (HIP, 49, (P, L)),
        (HIP, 50, (L, V)),
        (HIP, 64, (L, V)),
        (HIP, 65, (V, V)),
        (WRIST, 39, (U, P)),
        (WRIST, 40, (P, P)),
        (WRIST, 50, (L, L)),
        (WRIST, 65, (L, V)),
        (FractureSite.HUMERUS_PROXIMAL, 70, (L, V)),
        (FractureSite.PELVIS, 70, (L, V)),
        (TIBIA, 39, (U, U)),
        (TIBIA, 40, (U, P)),
        (TIBIA, 50, (P, L)),
        (TIBIA, 80, (P, L)),
        (ANKLE, 39, (U, U)),
        (ANKLE, 40, (U, P)),
        (ANKLE, 50, (U, L)),
        (FractureSite.METACARPAL, 70, (U, L)),
    ],
)
def test_a_womans_low_energy_fracture_by_site_and_age(
    site: FractureSite, age: int, expected: tuple[FragilityLikelihood, FragilityLikelihood]
) -> None:
    assert ends(person=patient(age), site=site, mechanism=LOW) == expected


@pytest.mark.parametrize(("age", "expected"), [(30, (U, U)), (49, (U, U)), (50, (U, P)), (80, (U, P))])
@pytest.mark.parametrize("site", [HIP, WRIST, TIBIA, ANKLE])
def test_high_energy_lowers_and_from_50_never_excludes(site: FractureSite, age: int, expected: Any) -> None:
    found = judged(person=patient(age), site=site, mechanism=HIGH)
    assert (found.lowest, found.highest) == expected
    assert found.meets_definition is False
    assert "does not exclude weak bone" in texts(assess(person=patient(age), site=site, mechanism=HIGH))


def test_the_numbers_are_the_bands_of_the_evidence() -> None:
    found = judged(person=patient(70), site=WRIST, mechanism=LOW)
    assert (found.low, found.high) == (0.6, 1.0)
    assert "60 % to 100 %" in found.statement.text
    assert "no model was trained or validated for it" in found.statement.text
    assert {"risk.fragility.rule", "risk.fragility.bands"} <= set(found.statement.evidence)
    high = judged(person=patient(30), site=TIBIA, mechanism=HIGH)
    assert (high.low, high.high) == (0.0, 0.2)
    assert "unlikely (read as up to 20 %)" in high.statement.text


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, (L, L)),
        (t_score(-0.5), (P, L)),
        (t_score(-1.0), (P, L)),
        (t_score(-1.1), (L, L)),
        (t_score(-2.4), (L, L)),
        (t_score(-2.5), (L, V)),
        ({"osteoporosis": sourced(True, "Condition/o")}, (L, V)),
        ({"medications": (drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),)}, (L, V)),
        ({"medications": (drug(DrugClass.SYSTEMIC_GLUCOCORTICOID, active=False),)}, (L, L)),
        ({"conditions": (condition(ConditionKind.OSTEOGENESIS_IMPERFECTA),)}, (L, V)),
        ({"conditions": (condition(ConditionKind.MALABSORPTION),)}, (L, V)),
        ({"medications": (drug(DrugClass.AROMATASE_INHIBITOR),)}, (L, V)),
        ({"diabetes": sourced(DiabetesType.TYPE_1, "Condition/d")}, (L, V)),
        ({"diabetes": sourced(DiabetesType.TYPE_2, "Condition/d")}, (L, L)),
        ({"prior_fractures": (prior(FractureSiteGroup.SPINE),)}, (L, V)),
        ({"prior_fractures": (prior(FractureSiteGroup.HAND),)}, (L, L)),
        ({"prior_fractures": (prior(FractureSiteGroup.WRIST, active=True),)}, (L, L)),
        ({"prior_fractures": (replace(prior(FractureSiteGroup.WRIST, active=True), pathological=True),)}, (L, V)),
        ({"sex": Sex.MALE}, (P, L)),
        ({"sex": None}, (P, L)),
        (t_score(-1.5, sex=Sex.MALE), (L, L)),
    ],
)
def test_what_the_record_says_moves_the_range_by_one_word(record: dict[str, Any], expected: Any) -> None:
    assert ends(person=patient(60, **record), site=WRIST, mechanism=LOW) == expected


def test_osteopenia_counts_at_a_typical_site_after_a_low_energy_fracture_only() -> None:
    osteopenic = t_score(-1.5, sex=Sex.MALE)
    assert ends(person=patient(60, **osteopenic), site=WRIST, mechanism=HIGH) == (U, P)
    assert ends(person=patient(60, **osteopenic), site=TIBIA, mechanism=LOW) == (U, L)
    assert "counts as osteoporosis" in texts(assess(person=patient(60, **osteopenic), site=WRIST, mechanism=LOW))
    assert "moves nothing" in texts(assess(person=patient(60, **osteopenic), site=ANKLE, mechanism=LOW))


def test_a_normal_density_does_not_lower_a_hip_fracture() -> None:
    assert ends(person=patient(70, **t_score(0.5)), site=HIP, mechanism=LOW) == (V, V)
    assert ends(person=patient(70, sex=Sex.MALE), site=HIP, mechanism=LOW) == (L, V)


def test_known_weak_bone_counts_after_high_energy_too() -> None:
    weak = patient(60, **t_score(-3.0))
    assert ends(person=weak, site=TIBIA, mechanism=HIGH) == (P, L)


# --- what is unknown widens


def test_an_unknown_mechanism_covers_both() -> None:
    assert ends(person=patient(60), site=TIBIA) == (U, L)
    assert "Mechanism not stated" in texts(assess(person=patient(60), site=TIBIA))


def test_age_and_mechanism_unknown_cannot_be_judged() -> None:
    found = judged(person=patient(None), site=TIBIA)
    assert found.verdict is FragilityVerdict.CANNOT_BE_JUDGED
    assert found.lowest is found.highest is found.low is found.high is None
    assert "the mechanism and the age" in " ".join(one.text for one in found.remarks).replace(", ", " and ")
    assert judged(site=TIBIA).verdict is FragilityVerdict.CANNOT_BE_JUDGED


def test_a_range_over_everything_is_no_judgement() -> None:
    found = judged(image=findings(FractureCall.DEFINITE, BodyRegion.WRIST), person=patient(70), mechanism=LOW)
    assert found.verdict is FragilityVerdict.CANNOT_BE_JUDGED
    assert "the site" in found.remarks[-1].text
    assert found.reasons


def test_a_suspected_fracture_is_conditional() -> None:
    found = judged(image=findings(FractureCall.SUSPECTED, BodyRegion.FEMUR), person=patient(70), mechanism=LOW)
    assert found.statement.text.startswith("If confirmed: ")


# --- other pathways


@pytest.mark.parametrize(
    "context", [{"mechanism": Mechanism.PATHOLOGICAL}, {"fracture_type": FractureType.PATHOLOGICAL}]
)
def test_a_lesion_is_another_pathway(context: dict[str, Any]) -> None:
    found = judged(person=patient(70, **t_score(-3.0)), site=HIP, **context)
    assert found.verdict is FragilityVerdict.LESION
    assert found.pathway is BoneHealthPathway.LESION
    assert found.lowest is None and found.meets_definition is False
    assert not any(".fls." in one for one in rules(assess(person=patient(70), site=HIP, **context)))


def test_a_fracture_coded_as_pathological_asks_for_a_lesion() -> None:
    coded = replace(prior(FractureSiteGroup.WRIST, active=True), pathological=True)
    found = assess(person=patient(70, prior_fractures=(coded,)), site=WRIST, mechanism=LOW)
    assert "fragility.coded_pathological" in rules(found)
    plain = assess(person=patient(70), site=WRIST, mechanism=LOW)
    assert "fragility.coded_pathological" not in rules(plain)


def test_a_finger_is_not_counted() -> None:
    found = judged(person=patient(80, **t_score(-3.0)), site=FractureSite.HAND_PHALANX, mechanism=LOW)
    assert found.verdict is FragilityVerdict.NOT_COUNTED
    case = assess(person=patient(80, **t_score(-3.0)), site=FractureSite.HAND_PHALANX, mechanism=LOW)
    assert not any(".fls." in one for one in rules(case))
    assert "follow_up.bone_health" in rules(case)


@pytest.mark.parametrize(
    ("age", "earlier", "mechanism", "fires"),
    [
        (9, 1, LOW, True),
        (9, 0, LOW, False),
        (9, 1, HIGH, False),
        (9, 2, HIGH, True),
        (10, 1, LOW, False),
        (10, 2, LOW, True),
        (17, 2, None, True),
        (18, 2, LOW, False),
    ],
)
def test_a_child_with_several_fractures_is_remarked(
    age: int, earlier: int, mechanism: Mechanism | None, fires: bool
) -> None:
    groups = (FractureSiteGroup.FOREARM, FractureSiteGroup.LOWER_LEG)[:earlier]
    person = patient(age, prior_fractures=tuple(prior(one) for one in groups))
    found = assess(person=person, site=FractureSite.FOREARM_SHAFT, mechanism=mechanism)
    assert ("follow_up.child_bone" in rules(found)) is fires
    assert found.fragility is not None
    assert (found.fragility.verdict is FragilityVerdict.CHILD) is (age < 18)
    assert found.fragility.lowest is None or age >= 18


def test_a_child_with_brittle_bones_and_small_bones() -> None:
    brittle = patient(8, conditions=(condition(ConditionKind.OSTEOGENESIS_IMPERFECTA),))
    assert "fragility.child.brittle_bone" in rules(assess(person=brittle, site=TIBIA))
    fingers = patient(8, prior_fractures=(prior(FractureSiteGroup.HAND),))
    assert "fragility.child.several" not in rules(assess(person=fingers, site=TIBIA))


def test_no_fracture_is_not_assessed() -> None:
    assert assess(person=patient(70)).fragility is None
    assert assess(image=findings(FractureCall.NOT_SEEN), person=patient(70)).fragility is None


# --- the lines it switches


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"person": patient(50), "site": ANKLE, "mechanism": LOW}, BoneHealthPathway.FRACTURE_LIAISON),
        ({"person": patient(50), "site": ANKLE}, BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY),
        ({"person": patient(50), "site": ANKLE, "mechanism": HIGH}, BoneHealthPathway.BONE_DENSITY),
        ({"person": patient(49), "site": ANKLE, "mechanism": LOW}, BoneHealthPathway.NONE),
        ({"person": patient(49), "site": WRIST, "mechanism": LOW}, BoneHealthPathway.YOUNG_ADULT),
        ({"person": patient(49, **t_score(-2.6)), "site": ANKLE, "mechanism": LOW}, BoneHealthPathway.YOUNG_ADULT),
        ({"person": patient(49), "site": WRIST, "mechanism": HIGH}, BoneHealthPathway.NONE),
        ({"person": patient(49), "site": WRIST}, BoneHealthPathway.NONE),
        ({"person": patient(17), "site": WRIST, "mechanism": LOW}, BoneHealthPathway.NONE),
        ({"person": patient(None), "site": WRIST, "mechanism": LOW}, BoneHealthPathway.NONE),
        ({"person": patient(70), "site": FractureSite.HAND_PHALANX, "mechanism": LOW}, BoneHealthPathway.NONE),
        ({"person": patient(70)}, BoneHealthPathway.NONE),
    ],
)
def test_the_pathway(case: dict[str, Any], expected: BoneHealthPathway) -> None:
    assert bone_health_pathway(facts(**case)) is expected


LINES = {
    BoneHealthPathway.FRACTURE_LIAISON: {"follow_up.fls.dxa", "follow_up.weak_bone_tests"},
    BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY: {"follow_up.fls.dxa", "follow_up.weak_bone_tests"},
    BoneHealthPathway.BONE_DENSITY: {"follow_up.bone_density"},
    BoneHealthPathway.YOUNG_ADULT: {"follow_up.weak_bone_young", "follow_up.weak_bone_tests"},
    BoneHealthPathway.PAEDIATRIC: {"follow_up.child_bone"},
    BoneHealthPathway.LESION: set(),
    BoneHealthPathway.NONE: set(),
}
ALL_LINES = frozenset().union(*LINES.values())

people = st.builds(
    lambda age, sex, score, glucocorticoid, earlier: patient(
        age,
        sex=sex,
        t_score_femoral_neck=None if score is None else sourced(score, "Observation/t"),
        medications=(drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),) if glucocorticoid else (),
        prior_fractures=(prior(FractureSiteGroup.FOREARM), prior(FractureSiteGroup.LOWER_LEG))[:earlier],
    ),
    st.one_of(st.none(), st.integers(0, 100)),
    st.sampled_from([Sex.FEMALE, Sex.MALE, None]),
    st.one_of(st.none(), st.floats(-5, 3)),
    st.booleans(),
    st.integers(0, 2),
)
contexts = st.fixed_dictionaries(
    {"site": st.one_of(st.none(), st.sampled_from(FractureSite)), "mechanism": st.sampled_from([None, LOW, HIGH])}
)
images = st.one_of(
    st.none(), st.builds(findings, st.just(FractureCall.DEFINITE), st.one_of(st.none(), st.sampled_from(BodyRegion)))
)


@settings(max_examples=120, deadline=None)
@given(person=people, context=contexts, image=images)
def test_one_source_of_truth(person: PatientSnapshot, context: dict[str, Any], image: Any) -> None:
    """The lines of a report are those of its pathway, and no other."""
    found = assess(image=image, person=person, **context)
    if found.fragility is None:
        assert not rules(found) & ALL_LINES
        return
    assert rules(found) & ALL_LINES == LINES[found.fragility.pathway]
    certain = found.fragility.meets_definition is True
    assert not certain or found.fragility.pathway is BoneHealthPathway.FRACTURE_LIAISON
    if found.fragility.verdict is FragilityVerdict.JUDGED:
        assert found.fragility.low is not None and found.fragility.high is not None
        assert 0 <= found.fragility.low < found.fragility.high <= 1
        assert not (found.fragility.low == 0 and found.fragility.high == 1)
    else:
        assert found.fragility.low is found.fragility.high is None


def span(case: CaseFacts) -> Span:
    return likelihood(case, site_classes(case), find_causes(case))


def no_lower(first: Span, second: Span) -> bool:
    return first.low >= second.low and first.high >= second.high


adults = st.integers(18, 100)
site = st.sampled_from([one for one in FractureSite if site_class(one) is not SiteClass.NOT_COUNTED])
mechanisms = st.sampled_from([None, LOW, HIGH])
sexes = st.sampled_from([Sex.FEMALE, Sex.MALE, None])


@given(adults, site, mechanisms, sexes, st.floats(-5, 3), st.floats(0, 4), st.booleans())
def test_a_lower_t_score_never_lowers_the_likelihood(
    age: int, where: FractureSite, how: Mechanism | None, sex: Any, score: float, drop: float, earlier: bool
) -> None:
    others = {"sex": sex, "prior_fractures": (prior(FractureSiteGroup.SPINE),) if earlier else ()}
    better = facts(person=patient(age, **t_score(score, **others)), site=where, mechanism=how)
    worse = facts(person=patient(age, **t_score(score - drop, **others)), site=where, mechanism=how)
    assert no_lower(span(worse), span(better))


@given(adults, adults, site, mechanisms, sexes)
def test_age_never_lowers_the_likelihood(
    first: int, second: int, where: FractureSite, how: Mechanism | None, sex: Any
) -> None:
    young, old = sorted((first, second))
    cases = [facts(person=patient(age, sex=sex), site=where, mechanism=how) for age in (old, young)]
    assert no_lower(span(cases[0]), span(cases[1]))


@given(people, site)
def test_force_never_raises_the_likelihood(person: PatientSnapshot, where: FractureSite) -> None:
    low, high, unknown = (span(facts(person=person, site=where, mechanism=one)) for one in (LOW, HIGH, None))
    assert no_lower(low, high)
    assert unknown == Span(min(low.low, high.low), max(low.high, high.high))


@given(adults, site, mechanisms)
def test_a_recorded_cause_never_lowers_and_a_man_is_never_above_a_woman(
    age: int, where: FractureSite, how: Mechanism | None
) -> None:
    plain = span(facts(person=patient(age), site=where, mechanism=how))
    for record in (
        {"medications": (drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),)},
        {"osteoporosis": sourced(True, "Condition/o")},
        {"conditions": (condition(ConditionKind.MALABSORPTION),)},
        {"prior_fractures": (prior(FractureSiteGroup.HIP),)},
    ):
        assert no_lower(span(facts(person=patient(age, **record), site=where, mechanism=how)), plain)
    assert no_lower(plain, span(facts(person=patient(age, sex=Sex.MALE), site=where, mechanism=how)))


def test_every_entry_of_the_rule_is_verified_or_names_its_weakness() -> None:
    entries = [entry for name, entry in BASE.entries.items() if name.startswith("risk.fragility.")]
    assert len(entries) > 15
    assert not any(entry.is_unverified for entry in entries)


def test_every_site_has_a_class() -> None:
    assert {site_class(one) for one in FractureSite} == set(SiteClass)
