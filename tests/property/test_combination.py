"""What must hold of every combination: monotone in each risk, order-free, no effect of an absent half."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_adapters.patient import (
    ConditionKind,
    DrugClass,
    FractureSiteGroup,
    PatientSnapshot,
    Sex,
)
from fusion.combination import broken_now
from fusion.combination_odds import logit
from fusion.context import ClinicalContext, Mechanism
from fusion.facts import CaseFacts
from fusion.results import CombinedEstimate, CombinedProbability
from imaging.labels import BodyRegion
from imaging.results import BoxPx, FractureCall, FractureDetection, ImageFindings, Measurement
from tests.unit.fusion.cases import condition, drug, facts, findings, patient, prior, risk, sourced, writer

EXAMPLES = settings(max_examples=60, deadline=None)
WRITER = writer()
SLACK = 1e-12


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    low, value, high = sorted(draw(st.floats(0.0005, 0.9995)) for _ in range(3))
    return Measurement(value=value, low=low, high=high)


def images() -> st.SearchStrategy[ImageFindings]:
    calls = st.sampled_from([FractureCall.DEFINITE, FractureCall.SUSPECTED, FractureCall.NOT_SEEN])
    return st.builds(
        lambda call, region, seen, share: findings(
            call, region, fracture_probability=seen, calibration_prevalence=share
        ),
        calls,
        st.none() | st.sampled_from(BodyRegion),
        measurements(),
        st.floats(0.02, 0.9),
    )


_CONDITIONS = (ConditionKind.OSTEOPOROSIS, ConditionKind.REPEATED_FALLS, ConditionKind.DEMENTIA, ConditionKind.CANCER)
_DRUGS = (DrugClass.SYSTEMIC_GLUCOCORTICOID, DrugClass.NSAID, DrugClass.ORAL_BISPHOSPHONATE)
_FRACTURES = (FractureSiteGroup.WRIST, FractureSiteGroup.HIP, FractureSiteGroup.HAND)


@st.composite
def adults(draw: st.DrawFn) -> PatientSnapshot:
    """An adult with known age, so that the patient's half is there."""
    score = draw(st.none() | st.floats(-5, 2))
    return patient(
        draw(st.integers(18, 105)),
        sex=draw(st.sampled_from([Sex.FEMALE, Sex.MALE, Sex.OTHER, None])),
        conditions=tuple(condition(one) for one in draw(st.lists(st.sampled_from(_CONDITIONS), unique=True))),
        medications=tuple(drug(one) for one in draw(st.lists(st.sampled_from(_DRUGS), unique=True))),
        prior_fractures=tuple(prior(one) for one in draw(st.lists(st.sampled_from(_FRACTURES), unique=True))),
        t_score_spine=None if score is None else sourced(score, "Observation/t"),
    )


def contexts() -> st.SearchStrategy[ClinicalContext]:
    return st.builds(
        ClinicalContext,
        mechanism=st.sampled_from([None, Mechanism.LOW_ENERGY, Mechanism.HIGH_ENERGY]),
        clinical_suspicion_high=st.sampled_from([None, True, False]),
    )


def cases() -> st.SearchStrategy[CaseFacts]:
    return st.builds(
        lambda image, person, context: replace(facts(image=image, person=person), context=context),
        images(),
        adults(),
        contexts(),
    )


def answer(case: CaseFacts, local_share: float | None = None) -> CombinedProbability:
    found = broken_now(case, WRITER, local_share)
    assert found is not None
    return found


def number(case: CaseFacts) -> float:
    found = answer(case).together.value
    assert found is not None
    return found


def numbers(one: CombinedEstimate) -> tuple[float | None, float | None, float | None]:
    return one.value, one.low, one.high


def person_of(case: CaseFacts) -> PatientSnapshot:
    assert case.patient is not None
    return case.patient


def with_person(case: CaseFacts, **changes: Any) -> CaseFacts:
    return replace(case, patient=replace(person_of(case), **changes))


def with_context(case: CaseFacts, **changes: Any) -> CaseFacts:
    return replace(case, context=replace(case.context, **changes))


# --- monotone


def _ladder(case: CaseFacts, change: Callable[[CaseFacts, Any], CaseFacts], values: tuple[Any, ...]) -> None:
    found = [number(change(case, value)) for value in values]
    assert all(below <= above + SLACK for below, above in itertools.pairwise(found)), found


@EXAMPLES
@given(cases())
def test_never_falls_with_a_risk(case: CaseFacts) -> None:
    _ladder(case, lambda one, value: with_context(one, clinical_suspicion_high=value), (False, None, True))
    mechanisms = (Mechanism.LOW_ENERGY, None, Mechanism.HIGH_ENERGY)
    _ladder(case, lambda one, value: with_context(one, mechanism=value), mechanisms)
    _ladder(case, lambda one, value: with_person(one, age_years=value), (18, 39, 40, 41, 60, 90, 110))
    _ladder(case, lambda one, value: with_person(one, sex=value), (Sex.MALE, None, Sex.FEMALE))
    scores = tuple(sourced(score, "Observation/t") for score in (1.0, -1.5, -2.4, -2.5, -4.0))
    _ladder(case, lambda one, value: with_person(one, t_score_spine=value), (None, *scores))
    steroid = drug(DrugClass.SYSTEMIC_GLUCOCORTICOID)
    _ladder(case, lambda one, value: with_person(one, medications=value), ((), (steroid,)))
    fractures = (prior(FractureSiteGroup.WRIST), prior(FractureSiteGroup.HIP))
    _ladder(case, lambda one, value: with_person(one, prior_fractures=value), ((), fractures[:1], fractures))
    weak = (condition(ConditionKind.OSTEOPOROSIS),)
    _ladder(case, lambda one, value: with_person(one, conditions=value), ((), weak))


@EXAMPLES
@given(cases(), st.lists(st.floats(0.0005, 0.9995), min_size=2, max_size=5))
def test_never_falls_with_the_probability_of_the_image(case: CaseFacts, values: list[float]) -> None:
    def seen(one: CaseFacts, value: float) -> CaseFacts:
        assert one.findings is not None
        measured = Measurement(value=value, low=value, high=value)
        return replace(one, findings=replace(one.findings, fracture_probability=measured))

    _ladder(case, seen, tuple(sorted(values)))
    _ladder(replace(case, patient=None, context=ClinicalContext()), seen, tuple(sorted(values)))


@EXAMPLES
@given(cases(), st.lists(st.floats(0.01, 0.99), min_size=2, max_size=4))
def test_never_falls_with_the_sites_own_share(case: CaseFacts, shares: list[float]) -> None:
    found = [answer(case, share).together.value or 0.0 for share in sorted(shares)]
    assert all(below <= above + SLACK for below, above in itertools.pairwise(found))


# --- order-free


@EXAMPLES
@given(cases(), st.randoms(use_true_random=False))
def test_no_order_of_the_record_or_of_the_detections_matters(case: CaseFacts, random: Any) -> None:
    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(items, len(items)))

    boxes = tuple(
        FractureDetection(
            box=BoxPx(x1=place, y1=0, x2=place + 5, y2=5), score=0.5, call=FractureCall.SUSPECTED, label="fracture"
        )
        for place in range(3)
    )
    assert case.findings is not None
    person = person_of(case)
    first = replace(case, findings=replace(case.findings, detections=boxes))
    other = replace(
        first,
        findings=replace(case.findings, detections=shuffled(boxes)),
        patient=replace(
            person,
            conditions=shuffled(person.conditions),
            medications=shuffled(person.medications),
            prior_fractures=shuffled(person.prior_fractures),
        ),
    )
    assert answer(first) == answer(other)


# --- an absent half has no effect


@EXAMPLES
@given(cases())
def test_an_absent_patient_leaves_the_image_as_it_is(case: CaseFacts) -> None:
    alone = answer(replace(case, patient=None, context=ClinicalContext()))
    assert alone.patient.absent
    assert numbers(alone.together) == numbers(alone.image) == numbers(answer(case).image)


@EXAMPLES
@given(cases())
def test_an_absent_image_leaves_the_patient_as_it_is(case: CaseFacts) -> None:
    assert case.findings is not None
    blind = replace(case, findings=findings(FractureCall.CANNOT_JUDGE, case.findings.region))
    alone = answer(blind)
    assert alone.image.absent
    assert numbers(alone.together) == numbers(alone.patient) == numbers(answer(case).patient)
    asked = with_context(
        replace(case, findings=findings(FractureCall.CANNOT_JUDGE, None)), mechanism=Mechanism.LOW_ENERGY
    )
    assert numbers(answer(asked).together) == numbers(answer(replace(asked, findings=None)).together)


@EXAMPLES
@given(cases())
def test_the_ten_year_probability_moves_no_number(case: CaseFacts) -> None:
    with_risk = answer(replace(case, risk=risk(0.7, 0.5)))
    assert numbers(with_risk.together) == numbers(answer(case).together)
    assert with_risk.contributions == answer(case).contributions


# --- bounded, and never certain


@EXAMPLES
@given(cases())
def test_every_number_lies_between_0_and_1_inside_its_interval(case: CaseFacts) -> None:
    found = answer(case)
    for one in (found.image, found.patient, found.together):
        assert one.low is not None
        assert one.value is not None
        assert one.high is not None
        assert 0 < one.low <= one.value + SLACK
        assert one.value <= one.high + SLACK
        assert one.high < 1
    for step in found.contributions:
        assert step.low <= step.log_odds + SLACK
        assert step.log_odds <= step.high + SLACK
    assert found.together.value is not None
    total = math.fsum(step.log_odds for step in found.contributions)
    assert math.isclose(total, logit(found.together.value), abs_tol=1e-9)


def width(case: CaseFacts) -> float:
    found = answer(case).together
    assert found.low is not None
    assert found.high is not None
    return logit(found.high) - logit(found.low)


@EXAMPLES
@given(cases())
def test_no_added_fact_narrows_what_is_left_open(case: CaseFacts) -> None:
    empty = with_context(with_person(case, sex=None), clinical_suspicion_high=None, mechanism=None)
    plain = with_person(empty, conditions=(), medications=(), prior_fractures=(), t_score_spine=None)
    for added in (
        with_context(plain, clinical_suspicion_high=True),
        with_context(plain, clinical_suspicion_high=False),
        with_context(plain, mechanism=Mechanism.HIGH_ENERGY),
        with_context(plain, mechanism=Mechanism.LOW_ENERGY),
        with_person(plain, sex=Sex.FEMALE),
        with_person(plain, sex=Sex.MALE),
        with_person(plain, conditions=(condition(ConditionKind.OSTEOPOROSIS),)),
        with_person(plain, medications=(drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),)),
        with_person(plain, prior_fractures=(prior(FractureSiteGroup.HIP),)),
    ):
        assert width(added) >= width(plain) - 1e-6
    several = with_person(
        case,
        conditions=(condition(ConditionKind.OSTEOPOROSIS),),
        medications=(drug(DrugClass.SYSTEMIC_GLUCOCORTICOID),),
        prior_fractures=(prior(FractureSiteGroup.HIP),),
    )
    one = with_person(case, conditions=(condition(ConditionKind.OSTEOPOROSIS),), medications=(), prior_fractures=())
    assert width(several) >= width(one) - 1e-6
