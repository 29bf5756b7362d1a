"""Weeks to union as an interval, what moved it, and the range of the risk of non-union."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fusion.context import FractureType
from fusion.facts import ADULT_FROM_YEARS, CaseFacts
from fusion.healing_factors import Effect, Factor, healing_factors
from fusion.healing_learned import beside_of, origin_note
from fusion.healing_nonunion import adult_rates, moved_rates, nonunion
from fusion.healing_what_if import Window, what_if
from fusion.results import Certainty, HealingEstimate, Statement, UnionWeeks
from fusion.sites import HIP_SITES, SITE_NAMES, FractureSite
from fusion.statements import CLINICIAN, Writer, join, plain, weeks
from fusion.union_times import INTERVAL_PERCENTILES, RANGE_METHOD, Beside, Group, LogNormal, combine, groups_for
from tabular.results import LearnedHealing

COMMINUTED_TIBIA = "healing.nonunion.comminution_tibia.tian2020"
HBA1C = ("healing.nonunion.hba1c_per_point.jot2023", "healing.nonunion.hba1c_above_10_neck")

_PERKINS_SHAFTS = {
    FractureSite.FOREARM_SHAFT: "upper",
    FractureSite.HUMERUS_SHAFT: "upper",
    FractureSite.FEMORAL_SHAFT: "lower",
    FractureSite.TIBIAL_SHAFT: "lower",
}

_PERKINS_PATTERNS = {FractureType.SPIRAL: "spiral", FractureType.TRANSVERSE: "transverse"}


def estimate_healing(facts: CaseFacts, writer: Writer, learned: LearnedHealing | None = None) -> HealingEstimate | None:
    """Time to union and risk of non-union; None without a fracture or without a site that has figures.

    Args:
        facts: the case.
        writer: makes the sentences.
        learned: what a model of this site's own outcomes says; mixed into the window with the weight it earned.
    """
    if not facts.has_fracture or not facts.sites:
        return None
    groups = groups_for(facts, writer)
    factors = healing_factors(facts, writer)
    published = window_of(groups, factors)
    beside = beside_of(learned)
    shown = published if beside is None else window_of(groups, factors, beside)
    low, high, statement = nonunion(facts, factors, writer)
    rates = adult_rates(facts, writer)

    def estimate(some: Sequence[Factor]) -> Window:
        ends = (low, high) if rates is None else moved_rates(rates, some, writer)
        return Window(weeks=window_of(groups, some), nonunion_low=ends[0], nonunion_high=ends[1])

    return HealingEstimate(
        median_weeks=shown.median,
        low_weeks=shown.low,
        high_weeks=shown.high,
        baseline=_baseline(facts, groups, writer),
        factors=tuple(factor.shown for factor in factors),
        nonunion_low=low,
        nonunion_high=high,
        nonunion=statement,
        notes=(origin_note(learned, published, facts, writer), *_notes(facts, writer)),
        what_if=what_if(groups, factors, estimate, writer),
        published_weeks=None if beside is None else published,
        learned=learned,
    )


def window_of(groups: Sequence[Group], factors: Sequence[Factor], beside: Beside | None = None) -> UnionWeeks:
    """Percentiles of the weeks to union with some factors, exact."""
    effect = total_time(factors)
    span = combine(groups, effect.log_ratio, effect.log_error, beside)
    return UnionWeeks(median=span.median, low=span.low, high=span.high)


def total_time(factors: Sequence[Factor]) -> Effect:
    """All effects on the time together; they multiply, and their errors are independent."""
    timed = [factor.time for factor in factors if factor.time is not None]
    return Effect(
        log_ratio=sum(one.log_ratio for one in timed), log_error=math.sqrt(sum(one.log_error**2 for one in timed))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedForecast:
    """The published figures of a case as one distribution, to hold recorded outcomes against."""

    parts: tuple[LogNormal, ...]
    """Every source of every site and age band with all factors, of equal weight."""
    never: float
    """Share that does not unite: the middle of the range of non-union on the log scale; 0 where none is published."""
    base_median_weeks: float
    """Before any factor."""


def published_forecast(facts: CaseFacts, writer: Writer) -> PublishedForecast:
    """What the published figures foretell for a fracture at a stated site, without any sentence."""
    groups, factors = groups_for(facts, writer), healing_factors(facts, writer)
    effect, rates = total_time(factors), adult_rates(facts, writer)
    parts = [part.shifted(effect.log_ratio, effect.log_error) for group in groups for part in group.parts]
    ends = (0.0, 0.0) if rates is None else moved_rates(rates, factors, writer)
    return PublishedForecast(
        parts=tuple(parts), never=math.sqrt(ends[0] * ends[1]), base_median_weeks=combine(groups, 0.0, 0.0).median
    )


def _baseline(facts: CaseFacts, groups: tuple[Group, ...], writer: Writer) -> Statement:
    plain_span = combine(groups, 0.0, 0.0)
    sites = join([SITE_NAMES[site] for site in facts.sites], "or")
    adult, child = (any(group.child is flag for group in groups) for flag in (False, True))
    whose = "adults and children" if adult and child else "children" if child else "adults"
    if_confirmed = "If confirmed: " if facts.only_suspected else ""
    low, high = (round(100 * one) for one in INTERVAL_PERCENTILES)
    return writer.say(
        "healing.baseline",
        f"{if_confirmed}{sites}, figures for {whose}: {weeks(plain_span.low)} to {weeks(plain_span.high)} weeks before"
        f" any factor ({low}th to {high}th percentile; printed ranges are read as 20th to 80th).",
        evidence=(*(one for group in groups for one in group.evidence), RANGE_METHOD),
        record=facts.fracture_record,
    )


# --- notes


def _notes(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    found = [
        one
        for one in (
            _several_sites(facts, writer),
            _age_unknown(facts, writer),
            _hip(facts, writer),
            _lesion(facts, writer),
            _comminuted(facts, writer),
            _diabetes_control(facts, writer),
            _perkins(facts, writer),
            _early_weight_bearing(facts, writer),
        )
        if one is not None
    ]
    found.append(
        writer.say(
            "healing.note.treatment",
            "The figures mix operated and unoperated fractures; treatment and nutrition are not among the inputs.",
            certainty=Certainty.COMPUTED,
        )
    )
    return tuple(found)


def _several_sites(facts: CaseFacts, writer: Writer) -> Statement | None:
    if facts.context.site is not None or facts.region is None:
        return None
    sites = join([SITE_NAMES[site] for site in facts.sites], "or")
    text = f"Site not stated: the interval covers the {sites}. Enter the site to narrow it."
    return writer.say("healing.note.site", text, certainty=Certainty.COMPUTED, record=facts.fracture_record)


def _age_unknown(facts: CaseFacts, writer: Writer) -> Statement | None:
    if facts.age_years is not None or facts.context.non_ambulant_infant is True:
        return None
    text = "Age not known: the interval covers children and adults, and the factors are those of adults."
    return writer.say("healing.note.age", text, certainty=Certainty.COMPUTED)


def _hip(facts: CaseFacts, writer: Writer) -> Statement | None:
    if not HIP_SITES & set(facts.sites) or facts.younger_than(ADULT_FROM_YEARS):
        return None
    text = "Holds for fixation; after hemiarthroplasty or hip replacement there is no union to wait for."
    return writer.say("healing.note.hip", text, certainty=Certainty.COMPUTED)


def _lesion(facts: CaseFacts, writer: Writer) -> Statement | None:
    if not facts.pathological:
        return None
    text = "A lesion is suspected: the figures are those of bone without one and may not hold."
    return writer.say("healing.note.lesion", text, certainty=Certainty.COMPUTED, record=(CLINICIAN,))


def _comminuted(facts: CaseFacts, writer: Writer) -> Statement | None:
    if facts.context.fracture_type is not FractureType.COMMINUTED:
        return None
    if facts.sites == (FractureSite.TIBIAL_SHAFT,) and not facts.younger_than(ADULT_FROM_YEARS):
        text = (
            "Comminution: tibial fractures of AO type C went with non-union in a meta-analysis, of which no ratio is in"
            " the evidence base; not counted. Expect the longer part of the interval."
        )
        return writer.say("healing.note.comminution", text, evidence=(COMMINUTED_TIBIA,), record=(CLINICIAN,))
    text = "Comminution: the evidence base holds no figure for it; expect the longer part of the interval."
    return writer.say("healing.note.comminution", text, certainty=Certainty.COMPUTED, record=(CLINICIAN,))


def _diabetes_control(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Why better control is not among the what-ifs."""
    if facts.diabetes is None or facts.younger_than(ADULT_FROM_YEARS):
        return None
    text = (
        "Control of diabetes: HbA1c did not go with complications in 187 operated fractures, and went with non-union of"
        " the femoral neck above 10 %; the sources disagree, so no figure for better control is given."
    )
    return writer.say("healing.note.diabetes_control", text, evidence=HBA1C, record=(facts.diabetes.resource,))


def _perkins(facts: CaseFacts, writer: Writer) -> Statement | None:
    """A cross-check with the textbook rule, for a shaft of which the pattern is stated."""
    limb = None if facts.context.site is None else _PERKINS_SHAFTS.get(facts.context.site)
    pattern = None if facts.context.fracture_type is None else _PERKINS_PATTERNS.get(facts.context.fracture_type)
    if limb is None or pattern is None or facts.younger_than(ADULT_FROM_YEARS):
        return None
    name = f"healing.perkins.{limb}_{pattern}"
    united, consolidated = plain(writer.value(name, "low")), plain(writer.value(name, "high"))
    text = (
        f"Cross-check, Perkins' rule for a {pattern} fracture of the {limb} limb: union at about {united} weeks,"
        f" consolidation at about {consolidated}."
    )
    return writer.say("healing.note.perkins", text, evidence=(name,), record=(CLINICIAN,))


def _early_weight_bearing(facts: CaseFacts, writer: Writer) -> Statement | None:
    if facts.sites != (FractureSite.TIBIAL_SHAFT,) or facts.younger_than(ADULT_FROM_YEARS):
        return None
    name = "healing.time.early_weight_bearing.pmc9532312"
    gain = plain(-writer.value(name))
    low, high = plain(-writer.value(name, "high")), plain(-writer.value(name, "low"))
    text = (
        f"After nailing, weight bearing before six weeks went with union {gain} weeks earlier ({low} to {high}) without"
        " a difference in non-union."
    )
    return writer.say("healing.note.weight_bearing", text, evidence=(name,))


def healing_gap(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Why there is no estimate, when a fracture is there and its site has no figures."""
    if not facts.has_fracture or facts.sites:
        return None
    if facts.region is not None:
        text = f"Time to union not estimated: no figures for the {facts.region.value.replace('_', ' ')} without a site."
    else:
        text = "Time to union not estimated: the site is not known."
    return writer.say(
        "limitation.healing.site", f"{text} Enter the site.", certainty=Certainty.COMPUTED, record=facts.fracture_record
    )
