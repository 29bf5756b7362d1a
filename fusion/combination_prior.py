"""The patient's half: the odds, before the radiograph is read, that it shows a fracture.

Those odds start at the share of radiographs of such a region that show a fracture after an injury, and are multiplied
by the published likelihood ratio of each fact that counts. A figure measured elsewhere (in one joint, or as a risk over
years) counts with half of its logarithm. Facts that say the same thing of the bone are not multiplied: the strongest
one stands for all of them.

Nothing is read from the radiograph but the region that was examined, which whoever asked for it knows as well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fhir_adapters.patient import ConditionKind, DrugClass, Sex
from fusion.combination_odds import TRANSPORT, Effect, effect, limits, logit
from fusion.context import Mechanism
from fusion.facts import ADULT_FROM_YEARS, CaseFacts
from fusion.results import CombinedPart, LogOddsContribution, Statement
from fusion.sites import sites_of
from fusion.statements import CLINICIAN, MODEL, Writer, join, percent, plain
from imaging.labels import BodyRegion

ONE_OF_WEAK_BONE = "diagnosis.method.one_of_weak_bone"
FALLS = "diagnosis.method.falls"
LOCAL = "diagnosis.base.local"
ANY_LIMB = "diagnosis.base.any_limb"
STUDIES = "diagnosis.base.studies"
TO_40 = "diagnosis.age.to_40"
START = "start"

_ADULT_SHARES: dict[BodyRegion, tuple[str, ...]] = {
    BodyRegion.WRIST: ("diagnosis.base.wrist_imaged", "diagnosis.base.wrist_rules", "diagnosis.base.wrist_frisk"),
    BodyRegion.ELBOW: ("diagnosis.base.elbow",),
    BodyRegion.ANKLE: ("diagnosis.base.ankle",),
    BodyRegion.KNEE: ("diagnosis.base.knee",),
    BodyRegion.HIP: ("diagnosis.base.hip",),
}
_CHILD_SHARES: dict[BodyRegion, tuple[str, ...]] = {
    BodyRegion.WRIST: ("diagnosis.base.child_wrist",),
    BodyRegion.ELBOW: ("diagnosis.base.elbow",),
}
"""The first entry gives the share; where sources disagree, the others widen its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A known fact and the entries that say how far it moves the odds."""

    name: str
    label: str
    entries: tuple[str, ...]
    """The first one gives the likelihood ratio; the others widen its interval."""
    record: tuple[str, ...]
    transported: bool = True
    """The figure was measured in another population or question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientHalf:
    """The contributions of the patient's half, the start first, and the facts that were left out."""

    contributions: tuple[LogOddsContribution, ...]
    """The share to start from and every fact that counted; empty when no fact counted."""
    not_counted: tuple[Statement, ...]


def patient_half(facts: CaseFacts, writer: Writer, local_share: float | None = None) -> PatientHalf:
    """What is known of the person and the injury, as log odds of a fracture before the radiograph is read.

    Args:
        facts: the case.
        writer: makes the statements.
        local_share: the site's own share of limb radiographs with a fracture, strictly between 0 and 1; None for the
            published ones.
    """
    known = [*_bedside(facts), *(_person(facts, writer) if facts.at_least(ADULT_FROM_YEARS) else ())]
    counted = [_contribution(one, writer) for one in known if not writer.evidence.only_unverified(one.entries)]
    left_out = [_unverified(one, writer) for one in known if writer.evidence.only_unverified(one.entries)]
    bone = _weak_bone(facts) if facts.at_least(ADULT_FROM_YEARS) else []
    usable = [one for one in bone if not writer.evidence.only_unverified(one.entries)]
    left_out += [_unverified(one, writer) for one in bone if one not in usable]
    if usable:
        counted.append(_strongest(usable, writer))
    if len(usable) > 1:
        left_out.append(_others(usable, counted[-1].factor, writer))
    left_out += _without_weight(facts, writer)
    if not counted:
        return PatientHalf(contributions=(), not_counted=tuple(left_out))
    start = _start(facts, writer, local_share)
    return PatientHalf(contributions=(start, *counted), not_counted=tuple(left_out))


# --- the start


def _start(facts: CaseFacts, writer: Writer, local_share: float | None) -> LogOddsContribution:
    entries: tuple[str, ...]
    if local_share is not None:
        share, low, high, entries, words = local_share, local_share, local_share, (LOCAL,), "the site's own figure"
    else:
        region = _region(facts)
        child = facts.younger_than(ADULT_FROM_YEARS)
        shares = _CHILD_SHARES if child else _ADULT_SHARES
        entries = (shares.get(region) if region is not None else None) or (ANY_LIMB, STUDIES)
        share = writer.value(entries[0])
        ends = [end for one in entries for end in limits(one, writer)]
        low, high = min(ends), max(ends)
        place = "any limb" if entries[0] == ANY_LIMB or region is None else f"the {region.value}"
        words = f"{place}, {percent(low)} to {percent(high)}"
    statement = writer.say(
        "combination.broken.start",
        f"Share of radiographs after an injury that show a fracture: {percent(share)} ({words}).",
        evidence=entries,
    )
    return LogOddsContribution(
        part=CombinedPart.PATIENT,
        factor=START,
        label="Share of such radiographs with a fracture",
        log_odds=logit(share),
        low=logit(low),
        high=logit(high),
        statement=statement,
    )


def _region(facts: CaseFacts) -> BodyRegion | None:
    """The region examined: the radiograph's, else that of the stated site; none where the two contradict."""
    if facts.site_contradicts_region:
        return None
    if facts.region is not None or facts.context.site is None:
        return facts.region
    return next((region for region in _ADULT_SHARES if facts.context.site in sites_of(region)), None)


# --- the facts


def _bedside(facts: CaseFacts) -> list[Factor]:
    """What examination and history give, at any age."""
    if facts.context.clinical_suspicion_high is None:
        return []
    if facts.context.clinical_suspicion_high:
        return [
            Factor(
                name="suspicion",
                label="Examination suggests a fracture",
                entries=(
                    "diagnosis.suspicion.ankle_positive",
                    "diagnosis.suspicion.elbow_positive",
                    "diagnosis.suspicion.physicians",
                ),
                record=(CLINICIAN,),
                transported=False,
            )
        ]
    # "Not high" is less than a rule for a joint gone through point by point: half of its weight.
    return [
        Factor(
            name="suspicion",
            label="Examination does not suggest a fracture",
            entries=("diagnosis.suspicion.ankle_negative", "diagnosis.suspicion.ankle_negative_2003"),
            record=(CLINICIAN,),
        )
    ]


def _person(facts: CaseFacts, writer: Writer) -> list[Factor]:
    """Mechanism, age and sex of an adult."""
    found: list[Factor] = []
    if facts.context.mechanism is Mechanism.HIGH_ENERGY:
        entries: tuple[str, ...] = ("diagnosis.mechanism.high_energy",)
        found.append(Factor(name="mechanism", label="High-energy injury", entries=entries, record=(CLINICIAN,)))
    elif facts.context.mechanism is Mechanism.LOW_ENERGY:
        entries = ("diagnosis.mechanism.not_high_energy",)
        found.append(Factor(name="mechanism", label="Low-energy injury", entries=entries, record=(CLINICIAN,)))
    if facts.age_years is not None:
        limit = writer.value(TO_40, "up_to_years")
        older = facts.age_years > limit
        label = f"Older than {plain(limit)} years" if older else f"{plain(limit)} years or younger"
        entries = ("diagnosis.age.over_40", "diagnosis.age.all_limbs") if older else (TO_40,)
        found.append(Factor(name="age", label=label, entries=entries, record=()))
    if facts.sex is not None:
        female = facts.sex is Sex.FEMALE
        entries = ("diagnosis.sex.female" if female else "diagnosis.sex.male",)
        found.append(Factor(name="sex", label="Female" if female else "Male", entries=entries, record=()))
    return found


def _weak_bone(facts: CaseFacts) -> list[Factor]:
    """Everything recorded that says the bone is weak; one of them will count."""
    found: list[Factor] = []
    entries: tuple[str, ...]
    if (osteoporosis := facts.osteoporosis) is not None:
        entries = ("diagnosis.bone.density", "diagnosis.bone.density_in_a_fall")
        # Measured among people who fell, so it is no risk over years carried over.
        found.append(
            Factor(
                name="osteoporosis", label="Osteoporosis", entries=entries, record=(osteoporosis,), transported=False
            )
        )
    earlier = () if facts.patient is None else facts.patient.prior_fractures
    # An active entry may be the present fracture: it would count as its own cause.
    before = sorted(one.resource for one in earlier if not one.active and not one.neoplastic)
    if before:
        entries = ("risk.prior_fracture_any.kanis2004",)
        found.append(Factor(name="previous_fracture", label="Previous fracture", entries=entries, record=tuple(before)))
    steroids = sorted(one.resource for one in facts.drugs(DrugClass.SYSTEMIC_GLUCOCORTICOID) if not one.single_dose)
    if steroids:
        entries = ("diagnosis.bone.glucocorticoids",)
        found.append(Factor(name="glucocorticoids", label="Glucocorticoids", entries=entries, record=tuple(steroids)))
    return found


def _without_weight(facts: CaseFacts, writer: Writer) -> list[Statement]:
    """Facts that are known and not counted by rule."""
    found: list[Statement] = []
    patient = facts.patient
    fell = None if patient is None else patient.falls_last_year
    repeated = facts.condition(ConditionKind.REPEATED_FALLS)
    record = (
        *((fell.resource,) if fell is not None and fell.value > 0 else ()),
        *((repeated.resource,) if repeated is not None else ()),
    )
    if record:
        text = "Falls: no weight; they bring people to a radiograph whether a bone breaks or not."
        found.append(writer.say("combination.broken.falls", text, evidence=(FALLS,), record=record))
    if facts.risk is not None:
        text = "Ten-year probability: no weight; it is made of the same facts and tells of other fractures to come."
        found.append(writer.say("combination.broken.ten_year", text, evidence=(ONE_OF_WEAK_BONE,), record=(MODEL,)))
    return found


# --- from entries to log odds


def _contribution(factor: Factor, writer: Writer, moved: Effect | None = None) -> LogOddsContribution:
    """One fact as a step, in words and numbers."""
    found = effect(factor.entries, writer, transported=factor.transported) if moved is None else moved
    odds = f"odds ×{plain(_rounded(found.value))} ({plain(_rounded(found.low))} to {plain(_rounded(found.high))})"
    half = ", at half weight" if factor.transported else ""
    evidence = (*factor.entries, TRANSPORT) if factor.transported else factor.entries
    return LogOddsContribution(
        part=CombinedPart.PATIENT,
        factor=factor.name,
        label=factor.label,
        log_odds=found.value,
        low=found.low,
        high=found.high,
        statement=writer.say(
            f"combination.broken.{factor.name}",
            f"{factor.label}: {odds}{half}.",
            evidence=evidence,
            record=factor.record,
        ),
    )


def _rounded(log_odds: float) -> float:
    return float(f"{math.exp(log_odds):.2g}")


def _strongest(factors: Sequence[Factor], writer: Writer) -> LogOddsContribution:
    """The fact about weak bone that moves the odds most, with the widest interval of all of them on either side."""
    effects = [effect(one.entries, writer, transported=one.transported) for one in factors]
    place = max(range(len(factors)), key=lambda one: effects[one].value)
    best = effects[place]
    moved = Effect(
        value=best.value,
        low=best.value - max(one.value - one.low for one in effects),
        high=best.value + max(one.high - one.value for one in effects),
    )
    return _contribution(factors[place], writer, moved)


def _others(factors: Sequence[Factor], counted: str, writer: Writer) -> Statement:
    others = [one for one in factors if one.name != counted]
    best = next(one for one in factors if one.name == counted)
    text = (
        f"Not multiplied: {join([one.label.lower() for one in others])}. Facts about weak bone say much the same;"
        f" {best.label.lower()}, the strongest, stands for all."
    )
    record = tuple(origin for one in others for origin in one.record)
    return writer.say("combination.broken.weak_bone_once", text, evidence=(ONE_OF_WEAK_BONE,), record=record)


def _unverified(factor: Factor, writer: Writer) -> Statement:
    """A fact whose figures nobody could check: shown, without weight."""
    text = f"{factor.label}: no weight."
    return writer.say(f"combination.broken.{factor.name}", text, evidence=factor.entries, record=factor.record)
