"""The range of the risk of non-union: published rates of the site, moved by the counted factors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fusion.facts import ADULT_FROM_YEARS, CaseFacts
from fusion.healing_factors import OVERLAP, Factor, names
from fusion.healing_simulation import SIMULATION, log_odds
from fusion.results import Certainty, Statement
from fusion.sites import HIP_SITES, FractureSite
from fusion.statements import Writer, percent

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Lowest and highest published rate of a case before any factor, 0..1 exclusive."""

    low: float
    high: float
    evidence: tuple[str, ...]
    at_site: bool
    """False where rates over all bones stand in."""


def adult_rates(facts: CaseFacts, writer: Writer) -> Rates | None:
    """The published rates of an adult's sites; None for a child and for the hip alone."""
    if facts.younger_than(ADULT_FROM_YEARS) or all(site in HIP_SITES for site in facts.sites):
        return None
    found = {site: _site_rates(site, facts, writer) for site in facts.sites if site not in HIP_SITES}
    return Rates(
        low=min(low for low, _, _ in found.values()),
        high=max(high for _, high, _ in found.values()),
        evidence=tuple(dict.fromkeys(_RATE + one for _, _, ids in found.values() for one in ids)),
        at_site=all(site in SITE_RATES for site in found),
    )


def moved_rates(rates: Rates, factors: Sequence[Factor], writer: Writer) -> tuple[float, float]:
    """The range with the counted factors: low end by the 10th percentile of their effect, high end by the 90th."""
    span = log_odds(factors, writer.value(OVERLAP))
    return _moved(rates.low, span.low), _moved(rates.high, span.high)


def nonunion(
    facts: CaseFacts, factors: tuple[Factor, ...], writer: Writer
) -> tuple[float | None, float | None, Statement | None]:
    """Low end, high end and the sentence; all None where nothing is published."""
    if facts.younger_than(ADULT_FROM_YEARS):
        return _child_nonunion(facts, writer)
    rates = adult_rates(facts, writer)
    if rates is None:
        return None, None, _hip_nonunion(facts, writer)
    low, high = moved_rates(rates, factors, writer)
    where = "at this site" if rates.at_site else "over all bones"
    text = f"Published rates for adults {where}: {percent(rates.low)} to {percent(rates.high)}."
    evidence = rates.evidence
    if counted := names(factors):
        text = (
            f"{text} With {counted}: {percent(low)} to {percent(high)}; the published rates already hold people with"
            " such factors, so the upper end is likely too high."
        )
        evidence = (*evidence, OVERLAP, SIMULATION)
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
