"""Sentences about a fracture probability: what moved it, what would change it, what its interval means."""

import math
from collections.abc import Iterable

from cds.presenters import wording
from tabular.results import (
    Contribution,
    FractureProbability,
    OsteoporosisEstimate,
    RiskEstimate,
    WhatIfCase,
    WouldChange,
)

STRONGEST = 3
"""Factors named on either side."""
WORTH_NAMING = math.log(1.02)
"""Contributions that move the odds by less than 2 % are not named one by one."""
MODIFIABLE = "modifiable"
TOP_CODED_AGE_YEARS = 80
"""The model sees every age from here on as one group."""
WORTH_SHRINKING = 0.01
"""Share of the interval from which an answer is said to shrink it."""

CAVEAT = (
    "Contributions say how the model came to its number for this person, starting from the average of the people it was"
    " taught on. They are not causes: changing one of them need not change the risk by as much. An answer that is not"
    " known contributes too, because the model then assumes the average of people alike."
)

_PHRASES: dict[str, tuple[str, str, str]] = {
    "female": ("female sex", "male sex", "sex not known"),
    "prior_fragility_fracture": (
        "earlier fragility fracture",
        "no earlier fragility fracture",
        "earlier fragility fracture not known",
    ),
    "parental_hip_fracture": (
        "hip fracture of a parent",
        "no hip fracture of a parent",
        "hip fracture of a parent not known",
    ),
    "current_smoker": ("current smoking", "no current smoking", "smoking not known"),
    "glucocorticoids": ("systemic glucocorticoids", "no systemic glucocorticoids", "glucocorticoids not known"),
    "rheumatoid_arthritis": ("rheumatoid arthritis", "no rheumatoid arthritis", "rheumatoid arthritis not known"),
    "alcohol_3_or_more_units_per_day": (
        "three or more units of alcohol a day",
        "fewer than three units of alcohol a day",
        "alcohol not known",
    ),
    "osteoporosis_diagnosed": (
        "diagnosed osteoporosis",
        "no diagnosis of osteoporosis",
        "diagnosis of osteoporosis not known",
    ),
}
"""Field of `RiskFeatures` to yes, no and not known, in words."""


_ASKED: dict[str, str] = {
    "prior_fragility_fracture": "earlier fractures",
    "parental_hip_fracture": "parents' hip fractures",
    "current_smoker": "smoking",
    "glucocorticoids": "glucocorticoid use",
    "alcohol_3_or_more_units_per_day": "alcohol intake",
    "osteoporosis_diagnosed": "any diagnosis of osteoporosis",
}
"""What one would ask about, where the field's name is its yes."""


def factor(feature: str, value: float | None) -> str:
    """A factor with its value, for instance "age 71 years" or "femoral neck T-score not measured"."""
    if feature in _PHRASES:
        yes, no, unknown = _PHRASES[feature]
        return unknown if value is None else yes if value else no
    name = wording.feature_name(feature)
    if value is None:
        return f"{name} {'not measured' if feature == 'femoral_neck_t_score' else 'not known'}"
    if feature == "age_years" and value >= TOP_CODED_AGE_YEARS:
        return f"{name} {TOP_CODED_AGE_YEARS} years or more"
    return f"{name} {wording.with_unit(feature, round(value, 1))}"


def times(log_odds: float) -> str:
    """A factor on the odds, for instance "× 1.62"."""
    return f"{wording.TIMES}\N{NO-BREAK SPACE}{wording.ratio(math.exp(log_odds))}"


def _listed(parts: Iterable[str]) -> str:
    every = list(parts)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"


def strongest(contributions: Iterable[Contribution]) -> tuple[tuple[Contribution, ...], tuple[Contribution, ...]]:
    """The `STRONGEST` raising and lowering contributions, each by falling size."""
    ranked = sorted(contributions, key=lambda one: -abs(one.log_odds))
    raising = [one for one in ranked if one.log_odds >= WORTH_NAMING][:STRONGEST]
    lowering = [one for one in ranked if one.log_odds <= -WORTH_NAMING][:STRONGEST]
    return tuple(raising), tuple(lowering)


def moved(contributions: Iterable[Contribution]) -> tuple[str, ...]:
    """What raised and what lowered a model's number most; nothing when there is no explanation."""
    sentences = []
    for word, chosen in zip(("Raised", "Lowered"), strongest(contributions), strict=True):
        if chosen:
            parts = (f"{factor(one.feature, one.value)} (odds {times(one.log_odds)})" for one in chosen)
            sentences.append(f"{word} most by {_listed(parts)}.")
    return tuple(sentences)


def interval(low: float, high: float) -> str:
    """An interval in words."""
    return f"{wording.percent(low)} to {wording.percent(high)}"


def _dashed(low: float, high: float) -> str:
    """An interval in short, for instance "4.1–8.0%", which may stand between "from" and "to"."""
    return f"{wording.percent(low).removesuffix('%')}\N{EN DASH}{wording.percent(high)}"


def _answer(change: WouldChange, case: WhatIfCase) -> str:
    """A supposed answer within a bracket, for instance "T-score −3"."""
    if change.feature == "femoral_neck_t_score":
        return f"T-score {wording.number(case.value)}"
    if change.feature == "bmi_kg_m2":
        return wording.with_unit(change.feature, case.value)
    if change.feature == "female":
        return "women" if case.value else "men"
    return "yes" if case.value else "no"


def would_lie(change: WouldChange) -> str:
    """Where the number would lie under the supposed answers, for instance "4.1% (no) or 8.0% (yes)"."""
    if change.kind == MODIFIABLE:
        (case,) = change.cases
        return f"{wording.percent(case.probability)} (interval {interval(case.low, case.high)})"
    ranked = sorted(change.cases, key=lambda one: one.probability)
    joint = "or" if len(ranked) == 2 else "to"
    return f" {joint} ".join(
        f"{wording.percent(one.probability)} ({_answer(change, one)})" for one in (ranked[0], ranked[-1])
    )


def would_narrow(change: WouldChange, now: FractureProbability) -> str:
    """What the answer would do to the interval; empty for a habit."""
    if change.kind == MODIFIABLE:
        return ""
    if change.interval_removed < WORTH_SHRINKING:
        return "interval about as wide as now"
    then = _dashed(change.expected_low, change.expected_high)
    return f"interval would shrink from {_dashed(now.low, now.high)} to about {then}"


def supposition(change: WouldChange) -> str:
    """What is supposed, for instance "With femoral neck T-score measured"."""
    if change.kind == MODIFIABLE:
        return f"Without {factor(change.feature, 1.0)}"
    known = "measured" if change.feature == "femoral_neck_t_score" else "known"
    return f"With {_ASKED.get(change.feature) or wording.feature_name(change.feature)} {known}"


def changes(probability: FractureProbability, most: int) -> tuple[str, ...]:
    """The first `most` entries of `FractureProbability.would_change` as sentences."""
    return tuple(_change(one, probability) for one in probability.would_change[:most])


def _change(change: WouldChange, now: FractureProbability) -> str:
    start = f"{supposition(change)}: {would_lie(change)}"
    if change.kind == MODIFIABLE:
        return f"{start} instead of {wording.percent(now.value)}; stopping does not give that number at once."
    return f"{start}, {would_narrow(change, now)}."


def referral(estimate: OsteoporosisEstimate) -> str:
    """What a probability of undiagnosed osteoporosis says of a bone density scan, with how well the limits sort."""
    sensitive, specific = estimate.thresholds
    if estimate.value >= specific.probability:
        limit, verdict = specific, "At or above the specific limit: a bone density scan (DXA) is well worth asking for."
    elif estimate.value >= sensitive.probability:
        limit, verdict = sensitive, "At or above the sensitive limit: a bone density scan (DXA) may be asked for."
    else:
        limit, verdict = sensitive, "Below both limits: this estimate alone gives no reason for a bone density scan."
    return (
        f"{verdict} The {limit.name} limit is {wording.percent(limit.probability)}: of {limit.people:,} people"
        f" measured, it found {wording.percent(limit.sensitivity)} of those with osteoporosis and spared"
        f" {wording.percent(limit.specificity)} of those without."
    )


def origins(risk: RiskEstimate) -> tuple[str, ...]:
    """Where the supposed answers come from, each sentence once."""
    every = (*risk.major_osteoporotic.would_change, *risk.hip.would_change)
    return tuple(dict.fromkeys(one.origin for one in every))
