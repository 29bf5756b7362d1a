"""Weeks to union before any factor: one log-normal distribution per source, sources and sites side by side.

No public data on healing times of single patients exist, so nothing here is fitted to patients. Each source becomes
a distribution, disagreeing sources are mixed with equal weight, and several possible sites widen the interval to
cover all of them. A log-normal time multiplied by factors with log-normal error stays log-normal, so every percentile
of the window is exact here; what has no closed form is drawn in `fusion.healing_simulation`, whose percentiles of the
window agree with these within sampling error (tested).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, geometric_mean, linear_regression

from fusion.evidence_model import EvidenceEntry, Measure
from fusion.facts import ADULT_FROM_YEARS, CHILD_BELOW_YEARS, CaseFacts
from fusion.growth_plate import growth_ended
from fusion.sites import FractureSite
from fusion.statements import Writer

_NORMAL = NormalDist()
RANGE_PERCENTILES = (0.2, 0.8)
"""A printed range is taken as these percentiles; see ``healing.method.range_as_percentiles``."""
INTERVAL_PERCENTILES = (0.1, 0.9)
"""The printed interval: 80 % of fractures that unite do so within it."""

RANGE_METHOD = "healing.method.range_as_percentiles"
LEAST_SPREAD_METHOD = "healing.method.least_spread"
SPREAD_METHOD = "healing.method.point_spread"
OPEN_TIBIA = "healing.union.tibial_shaft_open_iiib"

ADULT_SOURCES: dict[FractureSite, tuple[str, ...]] = (
    {site: (f"healing.union.{site.value}",) for site in FractureSite}
    | {
        site: (f"healing.union.{site.value}", f"healing.union.{site.value}_alt")
        for site in (
            FractureSite.HAND_PHALANX,
            FractureSite.CLAVICLE,
            FractureSite.FEMORAL_NECK,
            FractureSite.FEMORAL_SHAFT,
            FractureSite.TIBIAL_PLATEAU,
            FractureSite.CALCANEUS,
        )
    }
    | {
        FractureSite.FOREARM_SHAFT: (
            "healing.union.forearm_shaft",
            "healing.union.forearm_shaft_alt",
            "healing.union.forearm_shaft_ulna",
        ),
        FractureSite.TIBIAL_SHAFT: (
            "healing.union.tibial_shaft",
            "healing.union.tibial_shaft_alt",
            "healing.union.tibial_shaft_curve",
            "healing.union.tibial_shaft_trial",
        ),
        FractureSite.HUMERUS_SHAFT: (
            "healing.union.humerus_shaft",
            "healing.union.humerus_shaft_alt",
            "healing.union.humerus_shaft_series",
        ),
        FractureSite.SCAPHOID_WAIST: ("healing.union.scaphoid_waist", "healing.union.scaphoid_waist_ct"),
    }
)
"""Sources of the adult time to union, by site."""

CHILD_SOURCES: dict[FractureSite, tuple[str, ...]] = {
    FractureSite.TIBIAL_SHAFT: ("healing.union_child.tibial_shaft",),
    FractureSite.HUMERUS_SHAFT: ("healing.union_child.humerus_or_femur",),
    FractureSite.HUMERUS_PROXIMAL: ("healing.union_child.humerus_or_femur",),
    FractureSite.FEMORAL_SHAFT: ("healing.union_child.humerus_or_femur", "healing.perkins.child_femur"),
    FractureSite.FEMORAL_NECK: ("healing.union_child.humerus_or_femur",),
    FractureSite.INTERTROCHANTERIC: ("healing.union_child.humerus_or_femur",),
    FractureSite.CLAVICLE: ("healing.union_child.clavicle",),
    FractureSite.METATARSAL: ("healing.union_child.metatarsal",),
}
"""Sources of the child's time to union, by site; every other site uses the general figures for the age."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal time to union in weeks."""

    mu: float
    """Mean of the natural logarithm of the weeks."""
    sigma: float
    """Standard deviation of the logarithm, above 0."""

    def cdf(self, weeks: float) -> float:
        """Probability of union by a week, above 0."""
        return _NORMAL.cdf((math.log(weeks) - self.mu) / self.sigma)

    def shifted(self, log_ratio: float, log_error: float) -> "LogNormal":
        """The time multiplied by a ratio whose logarithm has a standard error of its own."""
        return LogNormal(self.mu + log_ratio, math.hypot(self.sigma, log_error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One site at one age band: its sources as distributions of equal weight."""

    site: FractureSite
    child: bool
    evidence: tuple[str, ...]
    parts: tuple[LogNormal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weeks:
    """Percentiles of the time to union, in weeks, ``low <= median <= high``."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A distribution of another origin that is mixed into every group."""

    part: LogNormal
    weight: float
    """Its share of the mixture, 0..1; the sources share the rest."""


def quantile(parts: Sequence[LogNormal], probability: float, beside: Beside | None = None) -> float:
    """The quantile of a mixture of log-normal distributions, in weeks.

    Args:
        parts: at least one distribution, of equal weight.
        probability: 0..1, exclusive.
        beside: one more distribution with a weight of its own.
    """
    shares = [1.0 / len(parts)] * len(parts)
    if beside is not None:
        parts = [*parts, beside.part]
        shares = [*((1.0 - beside.weight) * one for one in shares), beside.weight]
    if len(parts) == 1:
        return math.exp(parts[0].mu + parts[0].sigma * _NORMAL.inv_cdf(probability))
    ends = [math.exp(part.mu + part.sigma * _NORMAL.inv_cdf(probability)) for part in parts]
    low, high = min(ends), max(ends)
    # Bisection on the log scale; 50 halvings are far below any printed digit.
    for _ in range(50):
        middle = math.sqrt(low * high)
        if sum(share * part.cdf(middle) for share, part in zip(shares, parts, strict=True)) < probability:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def combine(groups: Sequence[Group], log_ratio: float, log_error: float, beside: Beside | None = None) -> Weeks:
    """Percentiles over all groups after the factors: the interval covers every group.

    The median is the geometric mean of the groups' medians, so that every site weighs alike.

    Args:
        groups: at least one group.
        log_ratio: sum of the logarithms of the time ratios.
        log_error: standard error of that sum.
        beside: a distribution that holds the factors already and is mixed into every group.
    """
    shifted = [[part.shifted(log_ratio, log_error) for part in group.parts] for group in groups]
    lows = [quantile(parts, INTERVAL_PERCENTILES[0], beside) for parts in shifted]
    highs = [quantile(parts, INTERVAL_PERCENTILES[1], beside) for parts in shifted]
    medians = [quantile(parts, 0.5, beside) for parts in shifted]
    return Weeks(low=min(lows), median=geometric_mean(medians), high=max(highs))


def groups_for(facts: CaseFacts, writer: Writer) -> tuple[Group, ...]:
    """Every site and age band that the case may be, from the stated site or the sites of the region.

    Below 16 years the children's figures hold, from 18 the adults'; in between, and when the age is not known, both,
    unless skeletal age says on which side of the end of growth the person is.
    """
    adult = not facts.younger_than(CHILD_BELOW_YEARS)
    child = facts.younger_than(ADULT_FROM_YEARS) or facts.age_years is None
    if facts.between_child_and_adult and (ended := growth_ended(facts, writer)) is not None:
        adult, child = ended, not ended
    found: list[Group] = []
    for site in facts.sites:
        if adult:
            found.append(_adult(site, facts, writer))
        if child:
            found.append(_child(site, facts, writer))
    return tuple(found)


def _adult(site: FractureSite, facts: CaseFacts, writer: Writer) -> Group:
    gustilo = facts.context.gustilo
    severe_open = gustilo is not None and gustilo.value in {"IIIB", "IIIC"}
    evidence = ADULT_SOURCES[site]
    if site is FractureSite.TIBIAL_SHAFT and severe_open:
        # Nothing is published for IIIC here; it heals no faster than IIIB.
        evidence = (OPEN_TIBIA,)
    parts = tuple(_distribution(writer.evidence[one], writer) for one in evidence)
    return Group(site=site, child=False, evidence=evidence, parts=parts)


def _child(site: FractureSite, facts: CaseFacts, writer: Writer) -> Group:
    # The site figures are of walking children; an infant heals by the general ones.
    infant = facts.age_years == 0 or (facts.age_years is None and facts.context.non_ambulant_infant is True)
    evidence = _general_child_sources(facts) if infant else CHILD_SOURCES.get(site) or _general_child_sources(facts)
    parts = []
    for one in evidence:
        if one == "healing.perkins.child_femur":
            if facts.age_years is not None:
                parts.append(_around(facts.age_years + 1.0, writer))
            continue
        parts.append(_distribution(writer.evidence[one], writer))
    return Group(site=site, child=True, evidence=evidence, parts=tuple(parts))


def _general_child_sources(facts: CaseFacts) -> tuple[str, ...]:
    newborn, child = "healing.union_child.newborn", "healing.union_child.child"
    adolescent = ("healing.union_child.adolescent", "healing.union_child.adolescent_alt")
    months = facts.age_months
    if facts.age_years is None:
        return (child, *adolescent) if facts.context.non_ambulant_infant is not True else (newborn, child)
    if months is not None and months < 1:
        return (newborn,)
    if facts.age_years < 1:
        return (newborn, child)
    return (child,) if facts.age_years < 12 else adolescent


def _distribution(entry: EvidenceEntry, writer: Writer) -> LogNormal:
    """One source as a distribution, from whatever figures it gives: a range, a mean, or a union curve."""
    if "fraction_united" in entry.table:
        weeks: Sequence[float] = entry.table["weeks"]
        united: Sequence[float] = entry.table["fraction_united"]
        line = linear_regression([_NORMAL.inv_cdf(one) for one in united], [math.log(one) for one in weeks])
        return LogNormal(line.intercept, line.slope)
    if entry.measure is Measure.RANGE:
        low, high = math.log(entry.number("low")), math.log(entry.number("high"))
        width = _NORMAL.inv_cdf(RANGE_PERCENTILES[1]) - _NORMAL.inv_cdf(RANGE_PERCENTILES[0])
        return LogNormal((low + high) / 2, max((high - low) / width, writer.value(LEAST_SPREAD_METHOD)))
    mean = entry.number("value")
    if "sd_weeks" in entry.table:
        spread = math.sqrt(math.log1p((entry.number("sd_weeks") / mean) ** 2))
        # Small series of one hospital print spreads that no larger one repeats.
        sigma = max(spread, writer.value(LEAST_SPREAD_METHOD))
        return LogNormal(math.log(mean) - sigma**2 / 2, sigma)
    return _around(mean, writer)


def _around(mean: float, writer: Writer) -> LogNormal:
    sigma = writer.value(SPREAD_METHOD)
    return LogNormal(math.log(mean) - sigma**2 / 2, sigma)
