"""Cases on either side of a threshold, with what is expected written out, beside those of the table of rules.

The numbers stand here as literals and are never read from the evidence: a changed threshold must contradict them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any

from fhir_adapters.patient import FractureSiteGroup, Sex
from fusion.context import Mechanism
from fusion.results import Assessment, FragilityLikelihood
from fusion.sites import FractureSite
from imaging.labels import BodyRegion, FracturePattern, View
from imaging.results import FractureCall, PatternEstimate
from tests.unit.fusion.cases import findings, patient, prior, risk, sourced
from tests.unit.fusion.observed import Case, Outcome, every_statement
from tests.unit.fusion.rule_cases import RULE_CASES
from tests.unit.fusion.test_measured import around, image

S = FractureSite


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """One case and what must hold in it."""

    name: str
    case: Case
    holds: Callable[[Outcome], bool]
    rule: str
    """The rule that it is about."""


def speaks(rule: str, *words: str) -> Callable[[Outcome], bool]:
    """The rule speaks, and in these words."""

    def check(answer: Outcome) -> bool:
        said = [one.text for one in every_statement(answer) if one.id == rule]
        return bool(said) and all(any(word in text for text in said) for word in words)

    return check


def without(rule: str, word: str) -> Callable[[Outcome], bool]:
    """The rule speaks, and not of this."""

    def check(answer: Outcome) -> bool:
        said = [one.text for one in every_statement(answer) if one.id == rule]
        return bool(said) and all(word not in text for text in said)

    return check


def silent(rule: str) -> Callable[[Outcome], bool]:
    """The rule does not speak."""
    return lambda answer: all(one.id != rule for one in every_statement(answer))


@cache
def boundaries() -> tuple[Boundary, ...]:
    """Every case that a threshold is held against."""
    table = [
        Boundary(name=f"{rule} {side}", case=case, holds=speaks(rule) if side == "speaks" else silent(rule), rule=rule)
        for rule, pair in RULE_CASES.items()
        for side, case in (("speaks", pair.fires), ("silent", pair.silent))
        if case is not None
    ]
    return (*table, *_further())


def _either(name: str, rule: str, speaking: Case, not_speaking: Case) -> Iterator[Boundary]:
    yield Boundary(name=f"{name}, reached", case=speaking, holds=speaks(rule), rule=rule)
    yield Boundary(name=f"{name}, not reached", case=not_speaking, holds=silent(rule), rule=rule)


def _worded(name: str, rule: str, *pairs: tuple[Case, str]) -> Iterator[Boundary]:
    for case, words in pairs:
        yield Boundary(name=f"{name}: {words}", case=case, holds=speaks(rule, words), rule=rule)


def _person(age: int | None, site: FractureSite | None = S.CLAVICLE, **fields: Any) -> Case:
    return {"person": patient(age, **fields), "site": site}


def _value(amount: float) -> Any:
    return sourced(amount, "Observation/n")


def _further() -> Iterator[Boundary]:
    yield from _prognosis()
    yield from _supplements()
    yield from _images()
    yield from _children()
    yield from _calcium()
    yield from _forearm()
    yield from _combined()
    yield from _fragility()


def _prognosis() -> Iterator[Boundary]:
    needs, reached = "risk.threshold.needs_t_score", "risk.threshold.reached"
    person = {"person": patient(70)}
    for name, at, below in (("hip", risk(0.1, 0.03), risk(0.1, 0.0299)), ("major", risk(0.2, 0.01), risk(0.199, 0.01))):
        yield from _either(f"{name} threshold", needs, {**person, "estimate": at}, {**person, "estimate": below})
    high = risk(0.3, 0.1)
    for score, speaking in ((-2.4, True), (-1.0, True), (-0.9, False)):
        case = {"person": patient(70, t_score_femoral_neck=_value(score)), "estimate": high}
        check = speaks(reached, "osteopenia") if speaking else silent(reached)
        yield Boundary(name=f"osteopenia at {score}", case=case, holds=check, rule=reached)
    case = {"person": patient(70, t_score_femoral_neck=_value(-2.5)), "estimate": high}
    yield Boundary(name="osteoporosis at -2.5", case=case, holds=without(reached, "osteopenia"), rule=reached)
    yield from _either(
        "T-score threshold",
        reached,
        _person(50, None, t_score_femoral_neck=_value(-2.5)),
        _person(50, None, t_score_femoral_neck=_value(-2.49)),
    )


def _supplements() -> Iterator[Boundary]:
    rule = "supplementation.vitamin_d."
    yield from _worded(
        "severe deficiency",
        f"{rule}deficient",
        (_person(40, vitamin_d_nmol_l=_value(29.9)), "severe deficiency"),
        (_person(40, vitamin_d_nmol_l=_value(30.0)), "30 nmol/L: deficiency"),
    )
    man = {"sex": Sex.MALE}
    yield from _either(
        "men's alcohol",
        "lifestyle.alcohol",
        _person(40, None, alcohol_units_per_week=_value(21.1), **man),
        _person(40, None, alcohol_units_per_week=_value(21.0), **man),
    )


def _images() -> Iterator[Boundary]:
    yield from _network()
    yield from _measures()
    hip = findings(FractureCall.NOT_SEEN, BodyRegion.HIP)
    case = {"image": hip, "person": patient(70), "clinical_suspicion_high": True}
    yield from _worded("occult hip, hours", "follow_up.occult_hip", (case, "24 hours"))


def _network() -> Iterator[Boundary]:
    def read(probability: float) -> Case:
        pattern = PatternEstimate(pattern=FracturePattern.SPIRAL, probabilities=(), displaced_probability=probability)
        return {"image": image(pattern=pattern), "person": patient(40), "site": S.TIBIAL_SHAFT}

    yield from _either("displaced by the network", "severity.check.network", read(0.5), read(0.49))


def _measures() -> Iterator[Boundary]:
    beyond, open_, within = "lies beyond the limit", "neither surely", "lies within the limit"
    limits = (
        ("adult tibia", S.TIBIAL_SHAFT, 40, View.FRONTAL, "angulation_deg", 5.0),
        ("adult tibia", S.TIBIAL_SHAFT, 40, View.LATERAL, "angulation_deg", 10.0),
        ("adult tibia", S.TIBIAL_SHAFT, 40, View.FRONTAL, "shortening_mm", 10.0),
        ("adult tibia", S.TIBIAL_SHAFT, 40, View.FRONTAL, "displacement_percent", 50.0),
        ("child's tibia", S.TIBIAL_SHAFT, 8, View.FRONTAL, "angulation_deg", 5.0),
        ("child's tibia", S.TIBIAL_SHAFT, 8, View.LATERAL, "angulation_deg", 5.0),
        ("child's tibia", S.TIBIAL_SHAFT, 8, View.FRONTAL, "shortening_mm", 10.0),
        ("humerus", S.HUMERUS_SHAFT, 40, View.FRONTAL, "angulation_deg", 30.0),
        ("humerus", S.HUMERUS_SHAFT, 40, View.LATERAL, "angulation_deg", 20.0),
        ("humerus", S.HUMERUS_SHAFT, 40, View.FRONTAL, "shortening_mm", 30.0),
        ("clavicle", S.CLAVICLE, 40, View.FRONTAL, "displacement_percent", 100.0),
        ("clavicle", S.CLAVICLE, 40, View.FRONTAL, "shortening_mm", 20.0),
        ("metacarpal", S.METACARPAL, 40, View.FRONTAL, "shortening_mm", 5.0),
    )
    for name, site, age, view, field, limit in limits:
        rule = f"severity.measured.{field.rpartition('_')[0]}"
        for value, words in ((limit + 1.1, beyond), (limit + 0.9, open_), (limit - 1.0, within)):
            measure: dict[str, Any] = {field: around(value, 1.0)}
            case = {"image": image(views=((view, 0.5),), **measure), "person": patient(age)}
            yield from _worded(f"{name} {view.value} {field} {value:g}", rule, ({**case, "site": site}, words))


def _forearm() -> Iterator[Boundary]:
    rule, beyond, within = "severity.measured.angulation", "lies beyond the limit", "lies within the limit"
    for age, value, words in ((7, 14.0, within), (7, 16.1, beyond), (8, 9.0, within), (8, 11.1, beyond)):
        picture = image(views=((View.FRONTAL, 0.9),), region=BodyRegion.FOREARM, angulation_deg=around(value, 1.0))
        case = {"image": picture, "person": patient(age), "site": S.FOREARM_SHAFT}
        yield from _worded(f"forearm at {age}, {value:g}°", rule, (case, words))


def _calcium() -> Iterator[Boundary]:
    rule = "safety.hypercalcaemia.urgency"
    for amount, words in ((2.99, "find or confirm"), (3.0, "treat it promptly"), (3.5, "promptly"), (3.51, "urgently")):
        case = {"person": patient(40, calcium_mmol_l=_value(amount))}
        yield from _worded(f"calcium {amount}", rule, (case, words))


def _combined() -> Iterator[Boundary]:
    told = {"clinical_suspicion_high": True}
    for age, words in ((40, "40 years or younger"), (41, "Older than 40 years")):
        case = {"person": patient(age), **told}
        yield from _worded(f"age {age} before the radiograph", "combination.broken.age", (case, words))


def _children() -> Iterator[Boundary]:
    ends = ((Sex.FEMALE, 14, "about 14 years"), (Sex.MALE, 16, "about 16 years"))
    for sex, age, words in ends:
        yield from _worded(f"growth of {sex.value}", "growth.ended", (_person(age, sex=sex), words))
        before = _person(age - 1, sex=sex)
        name = f"growth of {sex.value} at {age - 1}"
        yield Boundary(name=name, case=before, holds=silent("growth.ended"), rule="growth.ended")
    infant = replace(patient(0), birth_date=date(2025, 12, 1))
    yield from _worded(
        "fracture at 11 months",
        "severity.red_flag.abuse_pattern",
        ({"person": infant, "site": S.CLAVICLE}, "A fracture below one year"),
    )
    three = tuple(prior(one) for one in (FractureSiteGroup.FOREARM, FractureSiteGroup.LOWER_LEG))
    for age, known, speaking in ((9, 1, True), (10, 1, False), (10, 2, True), (17, 2, True)):
        rule = "follow_up.child_bone"
        case = _person(age, prior_fractures=three[:known])
        name = f"{known + 1} fractures at {age}"
        yield Boundary(name=name, case=case, holds=speaks(rule) if speaking else silent(rule), rule=rule)


def _fragility() -> Iterator[Boundary]:
    low = {"mechanism": Mechanism.LOW_ENERGY}
    unlikely, possible, likely, very = FragilityLikelihood
    for age, lowest, highest in (
        (39, unlikely, possible),
        (40, possible, possible),
        (49, possible, possible),
        (50, likely, likely),
        (64, likely, likely),
        (65, likely, very),
    ):
        yield Boundary(
            name=f"weak bone at {age}",
            case={**_person(age, S.DISTAL_RADIUS), **low},
            holds=_likelihood(lowest, highest),
            rule="fragility.likelihood",
        )
    for score, lowest in ((-1.0, possible), (-1.1, likely)):
        case = {**_person(55, S.DISTAL_RADIUS, t_score_femoral_neck=_value(score)), **low}
        yield Boundary(
            name=f"weak bone with a T-score of {score}",
            case=case,
            holds=_likelihood(lowest, likely),
            rule="fragility.likelihood",
        )


def _likelihood(lowest: FragilityLikelihood, highest: FragilityLikelihood) -> Callable[[Outcome], bool]:
    def check(answer: Outcome) -> bool:
        found = answer.fragility if isinstance(answer, Assessment) else None
        return found is not None and (found.lowest, found.highest) == (lowest, highest)

    return check
