"""Weeks to union as an interval, what moved it, and the range of the risk of non-union."""

import math

from fusion.context import FractureType
from fusion.facts import ADULT_FROM_YEARS, CaseFacts
from fusion.healing_factors import OVERLAP, Factor, combined_odds, healing_factors, names
from fusion.results import Certainty, HealingEstimate, Statement
from fusion.sites import HIP_SITES, SITE_NAMES, FractureSite
from fusion.statements import CLINICIAN, Writer, join, percent, plain, weeks
from fusion.union_times import INTERVAL_PERCENTILES, RANGE_METHOD, Group, combine, groups_for

_Z80 = 1.281552
"""Half width of an 80 % interval in standard deviations."""
_RATE = "healing.nonunion_rate."
GENERAL_RATES = ("all_adult", "all_long_bones", "all_18_bones")
CLAIMS_RATES = frozenset({"metacarpal", "radius", "scaphoid", "tibia_fibula", "femur"})
"""Rates from insurance claims, which run higher than a national register."""
SITE_RATES: dict[FractureSite, tuple[str, ...]] = {
    FractureSite.METACARPAL: ("metacarpal",),
    FractureSite.DISTAL_RADIUS: ("radius",),
    FractureSite.FOREARM_SHAFT: ("radius",),
    FractureSite.SCAPHOID_DISTAL: ("scaphoid",),
    FractureSite.SCAPHOID_WAIST: ("scaphoid", "scaphoid_waist"),
    FractureSite.SCAPHOID_PROXIMAL: ("scaphoid",),
    FractureSite.HUMERUS_SHAFT: (
        "humerus_shaft_closed",
        "humerus_shaft_middle_third",
        "humerus_shaft_proximal_third",
    ),
    FractureSite.FEMORAL_SHAFT: ("femur",),
    FractureSite.TIBIAL_SHAFT: (
        "tibia_closed_brace",
        "tibia_nail",
        "tibia_or_clavicle_young_peak",
        "tibia_fibula",
    ),
    FractureSite.CLAVICLE: ("all_adult", "tibia_or_clavicle_young_peak"),
}
"""Sources of the adult rate of non-union, by site; every other site uses the general rates."""

_PERKINS_SHAFTS = {
    FractureSite.FOREARM_SHAFT: "upper",
    FractureSite.HUMERUS_SHAFT: "upper",
    FractureSite.FEMORAL_SHAFT: "lower",
    FractureSite.TIBIAL_SHAFT: "lower",
}

_PERKINS_PATTERNS = {FractureType.SPIRAL: "spiral", FractureType.TRANSVERSE: "transverse"}


def estimate_healing(facts: CaseFacts, writer: Writer) -> HealingEstimate | None:
    """Time to union and risk of non-union; None without a fracture or without a site that has figures."""
    if not facts.has_fracture or not facts.sites:
        return None
    groups = groups_for(facts, writer)
    factors = healing_factors(facts, writer)
    timed = [factor.time for factor in factors if factor.time is not None]
    span = combine(
        groups,
        sum(one.log_ratio for one in timed),
        math.sqrt(sum(one.log_error**2 for one in timed)),
    )
    low, high, nonunion = _nonunion(facts, factors, writer)
    return HealingEstimate(
        median_weeks=span.median,
        low_weeks=span.low,
        high_weeks=span.high,
        baseline=_baseline(facts, groups, writer),
        factors=tuple(factor.shown for factor in factors),
        nonunion_low=low,
        nonunion_high=high,
        nonunion=nonunion,
        notes=_notes(facts, writer),
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


# --- non-union


def _nonunion(
    facts: CaseFacts, factors: tuple[Factor, ...], writer: Writer
) -> tuple[float | None, float | None, Statement | None]:
    if facts.younger_than(ADULT_FROM_YEARS):
        return _child_nonunion(facts, writer)
    if all(site in HIP_SITES for site in facts.sites):
        return None, None, _hip_nonunion(facts, writer)
    rates = {site: _site_rates(site, facts, writer) for site in facts.sites if site not in HIP_SITES}
    base_low = min(low for low, _, _ in rates.values())
    base_high = max(high for _, high, _ in rates.values())
    effect = combined_odds(factors, writer)
    low = _moved(base_low, effect.log_ratio - _Z80 * effect.log_error)
    high = _moved(base_high, effect.log_ratio + _Z80 * effect.log_error)
    where = "at this site" if all(site in SITE_RATES for site in rates) else "over all bones"
    text = f"Published rates for adults {where}: {percent(base_low)} to {percent(base_high)}."
    evidence = tuple(_RATE + one for _, _, ids in rates.values() for one in ids)
    if counted := names(factors):
        text = (
            f"{text} With {counted}: {percent(low)} to {percent(high)}; the published rates already hold people with"
            " such factors, so the upper end is likely too high."
        )
        evidence = (*evidence, OVERLAP)
    statement = writer.say(
        "healing.nonunion", text, evidence=evidence, certainty=Certainty.COMPUTED, record=facts.fracture_record
    )
    return low, high, statement


def _hip_nonunion(facts: CaseFacts, writer: Writer) -> Statement:
    """No number: rates over all bones do not carry over to the hip."""
    text = "No rate of non-union for the hip is in the evidence base, and rates over all bones do not carry over."
    return writer.say("healing.nonunion", text, certainty=Certainty.COMPUTED, record=facts.fracture_record)


def _child_nonunion(facts: CaseFacts, writer: Writer) -> tuple[float | None, float | None, Statement | None]:
    if facts.sites != (FractureSite.TIBIAL_SHAFT,):
        return None, None, None
    name = f"{_RATE}child_tibia"
    high = writer.value(name)
    text = f"Fewer than {percent(high)} of children's tibial shaft fractures fail to unite."
    return 0.0, high, writer.say("healing.nonunion", text, evidence=(name,), record=facts.fracture_record)


def _site_rates(site: FractureSite, facts: CaseFacts, writer: Writer) -> tuple[float, float, tuple[str, ...]]:
    """Lowest and highest published rate of a site, and the entries behind them."""
    ids = SITE_RATES.get(site, GENERAL_RATES)
    if site is FractureSite.CLAVICLE and facts.context.displaced is True:
        ids = (*ids, "clavicle_displaced_midshaft")
    values = [writer.value(_RATE + one) for one in ids]
    claims = [writer.value(_RATE + one) for one in ids if one in CLAIMS_RATES]
    # A claims rate for a site is scaled down by the ratio of register to claims over all bones, to give its low end.
    scale = writer.value(f"{_RATE}all_adult") / writer.value(f"{_RATE}all_18_bones")
    if claims:
        values += [scale * one for one in claims]
        ids = (*ids, "all_adult", "all_18_bones")
    return min(values), max(values), tuple(dict.fromkeys(ids))


def _moved(rate: float, log_odds: float) -> float:
    """A rate, 0..1 exclusive, moved on the log-odds scale."""
    return 1 / (1 + math.exp(-(math.log(rate / (1 - rate)) + log_odds)))


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
            _perkins(facts, writer),
            _early_weight_bearing(facts, writer),
        )
        if one is not None
    ]
    found.append(
        writer.say(
            "healing.note.treatment",
            "The figures mix operated and unoperated fractures; treatment is not among the inputs.",
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
    text = "Comminution: the evidence base holds no figure for it; expect the longer part of the interval."
    return writer.say("healing.note.comminution", text, certainty=Certainty.COMPUTED, record=(CLINICIAN,))


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
