"""Image alone, patient alone, together: the sum, what counts, what does not, and what the numbers never overrule."""

import math
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from fhir_adapters.patient import (
    ConditionKind,
    DrugClass,
    FractureSiteGroup,
    MedicationEntry,
    PatientSnapshot,
    Sex,
)
from fusion.combination import image_step, statements_of_combined
from fusion.combination_odds import logit
from fusion.context import Mechanism
from fusion.engine import FusionEngine
from fusion.errors import InputError
from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceStatus
from fusion.results import Assessment, Certainty, CombinedPart, CombinedProbability
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall, ImageFindings, Measurement
from tests.unit.fusion.cases import (
    NOW,
    assess,
    condition,
    drug,
    engine,
    facts,
    findings,
    patient,
    prior,
    risk,
    sourced,
    writer,
)

SHARE = 0.2
WEIGHT = 0.7


def seen(
    value: float = 0.1,
    call: FractureCall = FractureCall.NOT_SEEN,
    region: BodyRegion | None = None,
    share: float | None = SHARE,
) -> ImageFindings:
    measured = Measurement(value=value, low=value / 2, high=min(0.99, 2 * value))
    return findings(call, region, fracture_probability=measured, calibration_prevalence=share)


def broken(**case: Any) -> CombinedProbability:
    combined = assess(**case).combined
    assert combined is not None
    assert combined.broken_now is not None
    return combined.broken_now


def steps(found: CombinedProbability) -> dict[str, float]:
    return {one.factor: one.log_odds for one in found.contributions}


def bare(age: int | None = 30, sex: Sex | None = None, **fields: Any) -> PatientSnapshot:
    return patient(age, sex=sex, **fields)


def remarks(found: CombinedProbability) -> set[str]:
    return {one.id.rpartition(".")[2] for one in found.remarks}


def left_out(found: CombinedProbability) -> dict[str, str]:
    return {one.id.rpartition(".")[2]: one.text for one in found.not_counted}


# --- the sum


def test_the_parts_add_up_to_the_number_together() -> None:
    found = broken(image=seen(0.1), person=bare(70, Sex.FEMALE), mechanism=Mechanism.HIGH_ENERGY)
    assert found.together.value is not None
    assert math.fsum(steps(found).values()) == pytest.approx(logit(found.together.value))
    assert set(steps(found)) == {"start", "mechanism", "age", "sex", "image"}
    assert steps(found)["image"] == pytest.approx(WEIGHT * (logit(0.1) - logit(SHARE)))
    assert steps(found)["mechanism"] == pytest.approx(0.5 * math.log(2.0))


def test_the_patient_alone_is_the_sum_without_the_image() -> None:
    found = broken(image=seen(0.1), person=bare(70, Sex.FEMALE))
    assert found.patient.value is not None
    without = math.fsum(value for name, value in steps(found).items() if name != "image")
    assert logit(found.patient.value) == pytest.approx(without)


def test_an_image_at_its_own_share_of_fractures_adds_nothing() -> None:
    measured = Measurement(value=SHARE, low=SHARE, high=SHARE)
    step = image_step(measured, SHARE, writer())
    assert (step.value, step.low, step.high) == (0, 0, 0)


def test_the_interval_of_the_image_covers_the_weights_measured() -> None:
    step = image_step(Measurement(value=0.8, low=0.7, high=0.9), SHARE, writer())
    assert step.low == pytest.approx(0.5 * (logit(0.7) - logit(SHARE)))
    assert step.high == pytest.approx(1.0 * (logit(0.9) - logit(SHARE)))
    against = image_step(Measurement(value=0.02, low=0.01, high=0.05), SHARE, writer())
    assert against.low == pytest.approx(1.0 * (logit(0.01) - logit(SHARE)))
    assert against.high == pytest.approx(0.5 * (logit(0.05) - logit(SHARE)))


def test_distances_to_the_limits_add_up_as_squares() -> None:
    found = broken(person=bare(30), clinical_suspicion_high=True)
    assert found.patient.low is not None
    down = math.sqrt(math.fsum((one.log_odds - one.low) ** 2 for one in found.contributions))
    assert logit(found.patient.low) == pytest.approx(math.fsum(steps(found).values()) - down)


# --- where the odds start


@pytest.mark.parametrize(
    ("region", "age", "share"),
    [
        (BodyRegion.WRIST, 40, 0.54),
        (BodyRegion.WRIST, 12, 0.51),
        (BodyRegion.ELBOW, 40, 0.309),
        (BodyRegion.ELBOW, 12, 0.309),
        (BodyRegion.ANKLE, 40, 0.15),
        (BodyRegion.ANKLE, 12, 0.335),
        (BodyRegion.KNEE, 40, 0.084),
        (BodyRegion.HIP, 40, 0.732),
        (BodyRegion.FOOT, 40, 0.335),
        (None, 40, 0.335),
    ],
)
def test_the_start_is_the_share_of_the_region(region: BodyRegion | None, age: int, share: float) -> None:
    found = broken(image=seen(region=region), person=bare(age), clinical_suspicion_high=True)
    assert steps(found)["start"] == pytest.approx(logit(share))


def test_disagreeing_sources_widen_the_start() -> None:
    found = broken(image=seen(region=BodyRegion.WRIST), person=bare(40))
    start = found.contributions[0]
    assert start.low == pytest.approx(logit(0.39))
    assert start.high == pytest.approx(logit(0.6))
    assert len(start.statement.evidence) == 3


def test_a_stated_site_gives_the_region_and_a_contradiction_gives_none() -> None:
    stated = broken(image=seen(region=None), person=bare(40), site=FractureSite.DISTAL_RADIUS)
    assert steps(stated)["start"] == pytest.approx(logit(0.54))
    against = broken(image=seen(region=BodyRegion.ANKLE), person=bare(40), site=FractureSite.DISTAL_RADIUS)
    assert steps(against)["start"] == pytest.approx(logit(0.335))


def test_the_site_may_set_its_own_share() -> None:
    own = FusionEngine(EvidenceBase.load(), local_share=0.25)
    case = facts(image=seen(region=BodyRegion.WRIST), person=bare(40))
    combined = own.assess(
        findings=case.findings, patient=case.patient, risk=None, context=case.context, as_of=NOW
    ).combined
    assert combined is not None
    assert combined.broken_now is not None
    start = combined.broken_now.contributions[0]
    assert start.log_odds == start.low == start.high == pytest.approx(logit(0.25))
    assert start.statement.evidence == ("diagnosis.base.local",)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="outside of 0 to 1"):
        FusionEngine(EvidenceBase.load(), local_share=share)


# --- the facts


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"clinical_suspicion_high": True}, math.log(1.47)),
        ({"clinical_suspicion_high": False}, 0.5 * math.log(0.15)),
        ({}, None),
    ],
)
def test_suspicion_counts_when_it_is_stated(context: dict[str, Any], expected: float | None) -> None:
    found = steps(broken(image=seen(), person=bare(30), **context)).get("suspicion")
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("mechanism", "ratio"), [(Mechanism.HIGH_ENERGY, 2.0), (Mechanism.LOW_ENERGY, 0.8), (None, None)]
)
def test_mechanism_counts_at_half_weight(mechanism: Mechanism | None, ratio: float | None) -> None:
    found = steps(broken(image=seen(), person=bare(30), mechanism=mechanism)).get("mechanism")
    assert found == (None if ratio is None else pytest.approx(0.5 * math.log(ratio)))


@pytest.mark.parametrize(("age", "ratio"), [(18, 0.4), (40, 0.4), (41, 1.8), (95, 1.8)])
def test_age_has_two_bands(age: int, ratio: float) -> None:
    assert steps(broken(image=seen(), person=bare(age)))["age"] == pytest.approx(0.5 * math.log(ratio))


@pytest.mark.parametrize(("sex", "ratio"), [(Sex.FEMALE, 2.0), (Sex.MALE, 0.7), (Sex.OTHER, None), (None, None)])
def test_sex_counts_where_it_is_female_or_male(sex: Sex | None, ratio: float | None) -> None:
    found = steps(broken(image=seen(), person=bare(30, sex))).get("sex")
    assert found == (None if ratio is None else pytest.approx(0.5 * math.log(ratio)))


@pytest.mark.parametrize(
    ("fields", "name", "log_odds"),
    [
        ({"osteoporosis": sourced(True, "Condition/o")}, "osteoporosis", math.log(1.5)),
        ({"t_score_spine": sourced(-2.5, "Observation/t")}, "osteoporosis", math.log(1.5)),
        ({"t_score_spine": sourced(-2.4, "Observation/t")}, None, 0),
        ({"prior_fractures": (prior(FractureSiteGroup.WRIST),)}, "previous_fracture", 0.5 * math.log(1.86)),
        ({"prior_fractures": (prior(FractureSiteGroup.WRIST, active=True),)}, None, 0),
        ({"prior_fractures": (replace(prior(FractureSiteGroup.HIP), neoplastic=True),)}, None, 0),
        ({"medications": (drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),)}, "glucocorticoids", 0.5 * math.log(1.66)),
        ({"medications": (drug(DrugClass.SYSTEMIC_GLUCOCORTICOID, active=False),)}, None, 0),
        ({"medications": (replace(drug(DrugClass.SYSTEMIC_GLUCOCORTICOID), single_dose=True),)}, None, 0),
    ],
)
def test_what_the_record_holds_of_weak_bone(fields: dict[str, Any], name: str | None, log_odds: float) -> None:
    bone = {"osteoporosis", "previous_fracture", "glucocorticoids"}
    found = {key: value for key, value in steps(broken(image=seen(), person=bare(60, **fields))).items() if key in bone}
    assert found == ({} if name is None else {name: pytest.approx(log_odds)})


def test_facts_about_weak_bone_are_not_multiplied() -> None:
    every = bare(
        70,
        osteoporosis=sourced(True, "Condition/o"),
        prior_fractures=(prior(FractureSiteGroup.WRIST),),
        medications=(drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),),
    )
    found = broken(image=seen(), person=every)
    assert {"previous_fracture", "glucocorticoids"}.isdisjoint(steps(found))
    assert "Not multiplied: previous fracture and glucocorticoids." in left_out(found)["weak_bone_once"]
    one = broken(image=seen(), person=bare(70, osteoporosis=sourced(True, "Condition/o")))
    assert found.together.value == one.together.value
    counted = next(step for step in found.contributions if step.factor == "osteoporosis")
    alone = next(step for step in one.contributions if step.factor == "osteoporosis")
    assert counted.low < alone.low


def test_the_ten_year_probability_and_falls_get_no_weight() -> None:
    person = bare(70, falls_last_year=sourced(3, "Observation/falls"), conditions=())
    found = broken(image=seen(), person=person, estimate=risk(0.6, 0.4))
    plain = broken(image=seen(), person=bare(70))
    assert found.together.value == plain.together.value
    assert {"falls", "ten_year"} <= set(left_out(found))
    assert left_out(plain) == {}
    repeated = bare(70, conditions=(condition(ConditionKind.REPEATED_FALLS),))
    assert "falls" in left_out(broken(image=seen(), person=repeated))
    assert "falls" not in left_out(
        broken(image=seen(), person=bare(70, falls_last_year=sourced(0, "Observation/falls")))
    )


def test_adults_figures_are_not_applied_to_children() -> None:
    child = bare(10, Sex.FEMALE, osteoporosis=sourced(True, "Condition/o"))
    found = broken(image=seen(0.4), person=child, mechanism=Mechanism.HIGH_ENERGY)
    assert found.patient.absent
    assert found.together.value == found.image.value
    assert set(steps(broken(image=seen(), person=child, clinical_suspicion_high=True))) == {
        "start",
        "suspicion",
        "image",
    }


def test_unverified_evidence_gets_no_weight() -> None:
    base = EvidenceBase.load()
    names = ("diagnosis.age.over_40", "diagnosis.age.all_limbs", "diagnosis.bone.glucocorticoids")
    entries = {
        key: replace(entry, status=EvidenceStatus.UNVERIFIED) if key in names else entry
        for key, entry in base.entries.items()
    }
    doubted = FusionEngine(replace(base, entries=MappingProxyType(entries)))
    person = bare(70, Sex.FEMALE, medications=(drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),))
    case = facts(image=seen(), person=person)
    combined = doubted.assess(
        findings=case.findings, patient=case.patient, risk=None, context=case.context, as_of=NOW
    ).combined
    assert combined is not None
    assert combined.broken_now is not None
    assert set(steps(combined.broken_now)) == {"start", "sex", "image"}
    told = left_out(combined.broken_now)
    assert "no weight" in told["age"]
    assert "not verified" in told["age"]
    assert "glucocorticoids" in told


# --- a missing half


def test_without_a_patient_the_image_stands_alone() -> None:
    found = broken(image=seen(0.3))
    assert found.patient.absent
    assert (found.together.value, found.together.low, found.together.high) == (0.3, 0.15, 0.6)
    assert steps(found) == {"image": pytest.approx(logit(0.3))}
    assert "nothing is known of the patient" in found.together.statement.text


def test_a_record_without_a_fact_that_counts_is_no_patient_half() -> None:
    assert broken(image=seen(0.3), person=bare(None)).patient.absent


def test_without_an_image_the_patient_stands_alone() -> None:
    found = broken(person=bare(70), clinical_suspicion_high=True)
    assert found.image.absent
    assert "no radiograph was given" in found.image.statement.text
    assert (found.together.value, found.together.low) == (found.patient.value, found.patient.low)


def test_a_record_alone_asks_nothing_about_today() -> None:
    assert assess(person=bare(70, osteoporosis=sourced(True, "Condition/o"))).combined is None
    assert assess().combined is None


def test_a_fracture_stated_without_a_radiograph_leaves_nothing_to_combine() -> None:
    combined = assess(person=bare(70), site=FractureSite.DISTAL_RADIUS, mechanism=Mechanism.LOW_ENERGY).combined
    assert combined is not None
    assert combined.broken_now is None
    assert combined.weak_bone is not None


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (findings(FractureCall.CANNOT_JUDGE), "could not be judged"),
        (findings(FractureCall.NOT_SEEN), "gives no calibrated probability"),
    ],
)
def test_an_image_without_a_probability_says_why(image: ImageFindings, why: str) -> None:
    found = broken(image=image, person=bare(70))
    assert found.image.absent
    assert why in found.image.statement.text
    assert found.together.value == found.patient.value


def test_without_the_share_of_the_calibration_nothing_is_summed() -> None:
    found = broken(image=seen(0.3, share=None), person=bare(70))
    assert found.together.absent
    assert found.contributions == ()
    assert (found.image.value, found.patient.absent) == (0.3, False)
    assert "not formed" in found.together.statement.text
    assert broken(image=seen(0.3, share=None)).together.value == 0.3


@pytest.mark.parametrize("context", [{"mechanism": Mechanism.PATHOLOGICAL}, {"non_ambulant_infant": True}])
def test_a_lesion_and_an_infant_who_does_not_walk_are_no_ordinary_injuries(context: dict[str, Any]) -> None:
    found = broken(image=seen(0.3), person=bare(50), clinical_suspicion_high=True, **context)
    assert found.patient.absent
    assert "ordinary injuries" in found.patient.statement.text
    assert found.together.value == 0.3


# --- what the numbers never overrule


def without_combination(assessment: Assessment) -> Assessment:
    return replace(assessment, combined=None, sources=())


@pytest.mark.parametrize("value", [0.001, 0.5, 0.999])
def test_no_other_part_of_the_assessment_depends_on_the_probability(value: float) -> None:
    for call in (FractureCall.DEFINITE, FractureCall.SUSPECTED, FractureCall.NOT_SEEN):
        case: dict[str, Any] = {"person": bare(80, Sex.FEMALE), "clinical_suspicion_high": True}
        with_number = assess(image=seen(value, call, BodyRegion.HIP), **case)
        without = assess(image=findings(call, BodyRegion.HIP), **case)
        assert without_combination(with_number) == without_combination(without)


def test_a_definite_finding_stands() -> None:
    found = broken(image=seen(0.3, FractureCall.DEFINITE), person=bare(20, Sex.MALE), clinical_suspicion_high=False)
    assert "definite" in remarks(found)
    assert "definite" not in remarks(broken(image=seen(0.3, FractureCall.SUSPECTED), person=bare(20)))


def test_a_low_number_of_the_image_is_set_beside_what_such_radiographs_were() -> None:
    alone = broken(image=seen(0.01))
    text = next(one.text for one in alone.remarks if one.id.endswith("overstated"))
    assert "3.4 % of limbs and 11 % of hips were broken" in text
    assert "overstated" not in remarks(broken(image=seen(0.01, FractureCall.SUSPECTED)))
    assert "overstated" not in remarks(broken(image=findings(FractureCall.NOT_SEEN), person=bare(70)))


def test_cannot_judge_stands() -> None:
    found = broken(image=findings(FractureCall.CANNOT_JUDGE), person=bare(80), clinical_suspicion_high=True)
    assert "unfit" in remarks(found)


def test_the_clinicians_word_stands() -> None:
    found = broken(image=seen(0.05), person=bare(30), site=FractureSite.DISTAL_RADIUS)
    assert "stated" in remarks(found)
    assert "not_excluded" not in remarks(found)


def test_a_negative_radiograph_with_suspicion_keeps_its_follow_up_and_shows_the_number() -> None:
    assessment = assess(
        image=seen(0.05, region=BodyRegion.HIP), person=bare(82, Sex.FEMALE), clinical_suspicion_high=True
    )
    assert "follow_up.occult_hip" in {one.statement.id for one in assessment.follow_up}
    combined = assessment.combined
    assert combined is not None
    assert combined.broken_now is not None
    text = next(one.text for one in combined.broken_now.remarks if one.id.endswith("not_excluded"))
    assert "does not exclude one" in text
    assert "further imaging under follow-up applies" in text
    quiet = broken(image=seen(0.05), person=bare(82))
    told = next(one.text for one in quiet.remarks if one.id.endswith("not_excluded"))
    assert "follow-up" not in told


def test_the_assumption_is_stated_only_where_it_is_made() -> None:
    assert "assumption" in remarks(broken(image=seen(), person=bare(50)))
    assert "assumption" not in remarks(broken(image=seen()))
    assert "injury" in remarks(broken(image=seen(), person=bare(50)))
    assert "injury" not in remarks(broken(image=seen()))


# --- provenance


def test_every_statement_is_cited_and_listed() -> None:
    person = bare(
        70,
        Sex.FEMALE,
        osteoporosis=sourced(True, "Condition/o"),
        prior_fractures=(prior(FractureSiteGroup.WRIST),),
        falls_last_year=sourced(2, "Observation/f"),
    )
    assessment = assess(
        image=seen(0.3, FractureCall.SUSPECTED, BodyRegion.WRIST),
        person=person,
        estimate=risk(),
        mechanism=Mechanism.LOW_ENERGY,
        clinical_suspicion_high=True,
    )
    listed = {one.id for one in assessment.sources}
    said = list(statements_of_combined(assessment.combined))
    assert len(said) > 15
    for one in said:
        assert set(one.evidence) <= listed
        assert one.id.startswith("combination.")
    assert list(statements_of_combined(None)) == []


def test_a_number_is_no_surer_than_its_weakest_figure() -> None:
    found = broken(image=seen(), person=bare(70), clinical_suspicion_high=True)
    assert found.patient.statement.certainty is Certainty.WEAK
    assert found.together.statement.certainty is Certainty.WEAK
    assert {one.part for one in found.contributions} == {CombinedPart.PATIENT, CombinedPart.IMAGE}


def test_every_likelihood_entry_is_asked_for_by_a_rule() -> None:
    """No entry of the family is dead: each stands behind a statement of some case."""
    base = engine().evidence
    wanted = {one for one in base.entries if one.startswith("diagnosis.")} - {"diagnosis.base.local"}
    cited: set[str] = set()
    bone = {"osteoporosis": sourced(True, "Condition/o"), "falls_last_year": sourced(1, "Observation/f")}
    steroid: tuple[MedicationEntry, ...] = (drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),)
    for age, sex, mechanism, fields in (
        (70, Sex.FEMALE, Mechanism.HIGH_ENERGY, bone),
        (30, Sex.MALE, Mechanism.LOW_ENERGY, {"medications": steroid}),
        (9, Sex.MALE, None, {}),
    ):
        for region in (*BodyRegion, None):
            for suspicion in (True, False):
                case: dict[str, Any] = {
                    "image": seen(region=region),
                    "person": bare(age, sex, **fields),
                    "estimate": risk(),
                }
                found = assess(**case, mechanism=mechanism, clinical_suspicion_high=suspicion)
                cited |= {one for said in statements_of_combined(found.combined) for one in said.evidence}
    assert wanted <= cited
