"""Weak bone or force alone: how likely a present fracture is a fragility fracture.

No data available to this project pair a fracture with its mechanism and bone density, so nothing is trained here. A
table of mechanism, age and site gives a range of likelihoods; recorded causes of weak bone raise it; what is unknown
widens it, because the range then covers every answer that the unknown fact could give.

`bone_health_pathway` is the one switch that decides which bone-health lines a report carries.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_adapters.patient import Sex
from fusion.context import Mechanism
from fusion.facts import ADULT_FROM_YEARS, FRAGILITY_FROM_YEARS, OLDER_FROM_YEARS, CaseFacts
from fusion.fragility_causes import Causes, find_causes, long_bone_fractures
from fusion.fragility_reasons import reasons_for, remarks_for
from fusion.fragility_sites import SiteClass, site_classes
from fusion.results import (
    BoneHealthPathway,
    Certainty,
    FragilityAssessment,
    FragilityLikelihood,
    FragilityVerdict,
    Statement,
)
from fusion.statements import Writer, percent, sentence

RULE = "risk.fragility.rule"
BANDS = "risk.fragility.bands"
CHILD = "risk.fragility.child"
DEFINITION = "risk.fragility.definition"
NOT_COUNTED = "risk.fragility.not_counted"
LESION = "severity.red_flag.pathological_fracture"
MIDDLE_FROM_YEARS = 40
LEVELS = tuple(FragilityLikelihood)
"""From unlikely to very likely."""

_UNLIKELY, _POSSIBLE, _LIKELY, _VERY_LIKELY = range(4)


@dataclass(frozen=True, slots=True)
class Span:
    """A range of likelihoods: indices into `LEVELS`, ``low <= high``."""

    low: int
    high: int

    def moved(self, low: int, high: int) -> "Span":
        """Both ends moved and kept on the scale, in order."""
        top = len(LEVELS) - 1
        upper = min(max(self.high + high, 0), top)
        return Span(min(min(max(self.low + low, 0), top), upper), upper)


_LOW_ENERGY: dict[SiteClass, tuple[Span, Span, Span, Span]] = {
    SiteClass.HIP: (
        Span(_POSSIBLE, _LIKELY),
        Span(_POSSIBLE, _LIKELY),
        Span(_LIKELY, _VERY_LIKELY),
        Span(_VERY_LIKELY, _VERY_LIKELY),
    ),
    SiteClass.TYPICAL: (
        Span(_UNLIKELY, _POSSIBLE),
        Span(_POSSIBLE, _POSSIBLE),
        Span(_LIKELY, _LIKELY),
        Span(_LIKELY, _VERY_LIKELY),
    ),
    SiteClass.OTHER: (
        Span(_UNLIKELY, _UNLIKELY),
        Span(_UNLIKELY, _POSSIBLE),
        Span(_POSSIBLE, _LIKELY),
        Span(_POSSIBLE, _LIKELY),
    ),
    SiteClass.DISPUTED: (
        Span(_UNLIKELY, _UNLIKELY),
        Span(_UNLIKELY, _POSSIBLE),
        Span(_UNLIKELY, _LIKELY),
        Span(_UNLIKELY, _LIKELY),
    ),
}
"""Likelihoods of a woman's low-energy fracture below 40, from 40, from 50 and from 65 years."""
_HIGH_ENERGY = (
    Span(_UNLIKELY, _UNLIKELY),
    Span(_UNLIKELY, _UNLIKELY),
    Span(_UNLIKELY, _POSSIBLE),
    Span(_UNLIKELY, _POSSIBLE),
)
"""The same after high-energy trauma, at any site that counts: lower, never excluded from 50 years."""

_FROM_50: dict[Mechanism | None, BoneHealthPathway] = {
    Mechanism.LOW_ENERGY: BoneHealthPathway.FRACTURE_LIAISON,
    Mechanism.HIGH_ENERGY: BoneHealthPathway.BONE_DENSITY,
    Mechanism.PATHOLOGICAL: BoneHealthPathway.LESION,
    None: BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY,
}


def bone_health_pathway(facts: CaseFacts) -> BoneHealthPathway:
    """Which bone-health lines follow; the single source of truth for all of them."""
    if not facts.has_fracture:
        return BoneHealthPathway.NONE
    if facts.pathological:
        return BoneHealthPathway.LESION
    if facts.younger_than(ADULT_FROM_YEARS):
        return BoneHealthPathway.PAEDIATRIC if _many_fractures(facts) else BoneHealthPathway.NONE
    classes = site_classes(facts)
    if facts.age_years is None or classes == {SiteClass.NOT_COUNTED}:
        return BoneHealthPathway.NONE
    if facts.at_least(FRAGILITY_FROM_YEARS):
        return _FROM_50[facts.context.mechanism]
    typical = bool(classes) and classes <= {SiteClass.HIP, SiteClass.TYPICAL}
    if facts.context.mechanism is Mechanism.LOW_ENERGY and (typical or find_causes(facts).strong):
        return BoneHealthPathway.YOUNG_ADULT
    return BoneHealthPathway.NONE


def _many_fractures(facts: CaseFacts) -> bool:
    """As many long-bone fractures as the definition of osteoporosis in children asks for."""
    if facts.age_years is None:
        return False
    return len(long_bone_fractures(facts)) >= (2 if facts.age_years < 10 else 3)


def assess_fragility(facts: CaseFacts, writer: Writer) -> FragilityAssessment | None:
    """The likelihood that weak bone rather than force alone broke the bone; None without a fracture."""
    if not facts.has_fracture:
        return None
    pathway = bone_health_pathway(facts)
    classes = site_classes(facts)
    if pathway is BoneHealthPathway.LESION:
        return _unjudged(facts, writer, FragilityVerdict.LESION, pathway)
    if facts.younger_than(ADULT_FROM_YEARS):
        return _unjudged(facts, writer, FragilityVerdict.CHILD, pathway)
    if classes == {SiteClass.NOT_COUNTED}:
        return _unjudged(facts, writer, FragilityVerdict.NOT_COUNTED, pathway)
    causes = find_causes(facts)
    span = likelihood(facts, classes, causes)
    unknown = facts.age_years is None and facts.context.mechanism is None
    if unknown or span == Span(_UNLIKELY, _VERY_LIKELY):
        return _unjudged(facts, writer, FragilityVerdict.CANNOT_BE_JUDGED, pathway)
    edges = (0.0, *(writer.value(BANDS, f"{level.value}_from") for level in LEVELS[1:]), 1.0)
    lowest, highest = LEVELS[span.low], LEVELS[span.high]
    low, high = edges[span.low], edges[span.high + 1]
    return FragilityAssessment(
        verdict=FragilityVerdict.JUDGED,
        lowest=lowest,
        highest=highest,
        low=low,
        high=high,
        meets_definition=_meets_definition(facts, classes),
        pathway=pathway,
        statement=_judged(facts, writer, lowest, highest, low, high),
        reasons=reasons_for(facts, writer, classes, causes),
        remarks=remarks_for(facts, writer, classes),
    )


def likelihood(facts: CaseFacts, classes: Iterable[SiteClass], causes: Causes) -> Span:
    """The range that covers every answer the unknown facts could give.

    Args:
        facts: an adult's fracture, not through a lesion.
        classes: the classes of every site the fracture may have.
        causes: recorded causes of weak bone.
    """
    spans = [
        _adjusted(_base(site, mechanism, age), site, mechanism, facts, causes)
        for site in classes
        if site is not SiteClass.NOT_COUNTED
        for mechanism in _mechanisms(facts)
        for age in _ages(facts)
    ]
    if SiteClass.NOT_COUNTED in classes:
        spans.append(Span(_UNLIKELY, _UNLIKELY))
    return Span(min(span.low for span in spans), max(span.high for span in spans))


def _mechanisms(facts: CaseFacts) -> tuple[Mechanism, ...]:
    stated = facts.context.mechanism
    return (Mechanism.LOW_ENERGY, Mechanism.HIGH_ENERGY) if stated is None else (stated,)


def _ages(facts: CaseFacts) -> tuple[int, ...]:
    """Index of the age band; all of them when the age is not known."""
    if facts.age_years is None:
        return (0, 1, 2, 3)
    bounds = (MIDDLE_FROM_YEARS, FRAGILITY_FROM_YEARS, OLDER_FROM_YEARS)
    return (sum(facts.age_years >= bound for bound in bounds),)


def _base(site: SiteClass, mechanism: Mechanism, age: int) -> Span:
    return _HIGH_ENERGY[age] if mechanism is Mechanism.HIGH_ENERGY else _LOW_ENERGY[site][age]


def _adjusted(span: Span, site: SiteClass, mechanism: Mechanism, facts: CaseFacts, causes: Causes) -> Span:
    """The base range moved by sex, bone density and recorded causes, each by one word at most."""
    if facts.sex is not Sex.FEMALE:
        # The panels put smaller shares down to osteoporosis in men; an unknown sex covers both.
        span = span.moved(-1, 0)
    if causes.strong:
        raised = span.moved(1, 1)
        # Only the hip has a published share of 90 %: elsewhere the lower end stops at likely.
        return raised if site is SiteClass.HIP else Span(min(raised.low, _LIKELY), raised.high)
    if causes.possible:
        span = span.moved(0, 1)
    if causes.normal_density and site is not SiteClass.HIP:
        # A hip fracture counts whatever the density; elsewhere a normal one lowers the lower end only.
        span = span.moved(-1, 0)
    if causes.osteopenia and site is SiteClass.TYPICAL and mechanism is Mechanism.LOW_ENERGY:
        span = Span(max(span.low, min(span.low + 1, _LIKELY, span.high)), span.high)
    return span


def _meets_definition(facts: CaseFacts, classes: frozenset[SiteClass]) -> bool | None:
    """Low energy, from 50 years, at a site that counts; None when one of them is open."""
    mechanism, age = facts.context.mechanism, facts.age_years
    if mechanism is Mechanism.HIGH_ENERGY or (age is not None and age < FRAGILITY_FROM_YEARS):
        return False
    open_site = bool(classes & {SiteClass.DISPUTED, SiteClass.NOT_COUNTED})
    return None if mechanism is None or age is None or open_site else True


# --- words


def _words(lowest: FragilityLikelihood, highest: FragilityLikelihood) -> str:
    low, high = (one.value.replace("_", " ") for one in (lowest, highest))
    return low if lowest is highest else f"{low} to {high}"


def _band(low: float, high: float) -> str:
    return f"up to {percent(high)}" if low == 0.0 else f"{percent(low)} to {percent(high)}"


def _judged(
    facts: CaseFacts,
    writer: Writer,
    lowest: FragilityLikelihood,
    highest: FragilityLikelihood,
    low: float,
    high: float,
) -> Statement:
    prefix = "if confirmed: " if facts.only_suspected else ""
    text = (
        f"{prefix}weak bone rather than force alone: {_words(lowest, highest)} (read as {_band(low, high)}),"
        f" by a cited rule; no model was trained or validated for it."
    )
    return writer.say("fragility.likelihood", sentence(text), evidence=(RULE, BANDS), record=facts.fracture_record)


def _unjudged(
    facts: CaseFacts, writer: Writer, verdict: FragilityVerdict, pathway: BoneHealthPathway
) -> FragilityAssessment:
    """An assessment without a likelihood, and why."""
    text, evidence = {
        FragilityVerdict.LESION: (
            "A lesion is suspected: whether this is a fragility fracture is not judged. Find the lesion first; a"
            " normal or"
            " low bone density settles nothing.",
            (LESION,),
        ),
        FragilityVerdict.CHILD: (
            "Child: adults' rules for fragility fractures do not apply; nearly all fractures in childhood come from"
            " force.",
            (CHILD,),
        ),
        FragilityVerdict.NOT_COUNTED: (
            "A finger fracture is not counted as a sign of weak bone.",
            (NOT_COUNTED,),
        ),
        FragilityVerdict.CANNOT_BE_JUDGED: (
            "Whether weak bone or force alone broke this bone cannot be judged from what is known.",
            (RULE,),
        ),
    }[verdict]
    classes = site_classes(facts)
    judged_later = verdict is FragilityVerdict.CANNOT_BE_JUDGED
    certainty = Certainty.COMPUTED if judged_later else None
    return FragilityAssessment(
        verdict=verdict,
        meets_definition=_meets_definition(facts, classes) if judged_later else False,
        pathway=pathway,
        statement=writer.say(
            "fragility.likelihood", text, evidence=evidence, record=facts.fracture_record, certainty=certainty
        ),
        reasons=reasons_for(facts, writer, classes, find_causes(facts)) if judged_later else (),
        remarks=remarks_for(facts, writer, classes),
    )
