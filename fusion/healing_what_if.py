"""What people without one modifiable factor, otherwise alike, would be told: an ablation, not a promise.

Each row leaves one factor out of the same computation with the same draws. The figures come from people who had the
factor beside people who had not; they do not show what giving it up after the fracture brings, and no row says so. A
factor that no verified source counts gets its row in words, with the present figures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fusion.healing_factors import Factor
from fusion.healing_simulation import SIMULATION, weeks_apart
from fusion.results import HealingWhatIf, UnionWeeks
from fusion.statements import Writer, percent, weeks
from fusion.union_times import Group

ASSOCIATION = "healing.method.what_if"
VITAMIN_D = "vitamin_d_deficiency"
VITAMIN_D_TRIAL = "healing.time.vitamin_d.vitashock2023"
MODIFIABLE: dict[str, str] = {
    "current_smoking": "People who do not smoke, otherwise alike",
    "nsaid": "People without an NSAID, otherwise alike",
    "cox2_inhibitor": "People without a COX-2 inhibitor, otherwise alike",
}
"""Counted factors that a person or a prescriber can change, and how their row begins.

Diabetes is not among them: its sources compare people with and without it, and those on its control disagree.
"""
_NOT_SHOWN = "an association; that stopping now brings the difference has not been shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The two results that a row repeats without a factor."""

    weeks: UnionWeeks
    nonunion_low: float | None
    nonunion_high: float | None


Estimator = Callable[[Sequence[Factor]], Window]
"""The computation of the estimate for any set of factors."""


def what_if(
    groups: Sequence[Group], factors: Sequence[Factor], estimate: Estimator, writer: Writer
) -> tuple[HealingWhatIf, ...]:
    """One row per modifiable factor of the case, in the order of the factors.

    Args:
        groups: sites and age bands of the case.
        factors: those of the case.
        estimate: the computation that the case itself went through.
        writer: makes the sentences.
    """
    rows = []
    for factor in factors:
        if factor.shown.factor in MODIFIABLE and factor.odds is not None:
            rows.append(_row(factor, groups, factors, estimate, writer))
        elif factor.shown.factor == VITAMIN_D:
            rows.append(_unchanged(factor, estimate(factors), writer))
    return tuple(rows)


def _row(
    factor: Factor, groups: Sequence[Group], factors: Sequence[Factor], estimate: Estimator, writer: Writer
) -> HealingWhatIf:
    name = factor.shown.factor
    without = estimate([one for one in factors if one.shown.factor != name])
    apart = None if factor.time is None else weeks_apart(groups, factors, name)
    window = f"{weeks(without.weeks.low)} to {weeks(without.weeks.high)} weeks"
    if apart is None:
        window = f"the same {window}, since no effect on the time is known"
    rate = ""
    if without.nonunion_low is not None and without.nonunion_high is not None:
        rate = f", non-union {percent(without.nonunion_low)} to {percent(without.nonunion_high)}"
    statement = writer.say(
        f"healing.what_if.{name}",
        f"{MODIFIABLE[name]}: {window}{rate}; {_NOT_SHOWN}.",
        evidence=(*factor.shown.statement.evidence, ASSOCIATION, SIMULATION),
        record=factor.shown.statement.record,
        certainty=factor.shown.statement.certainty,
    )
    return HealingWhatIf(
        factor=name,
        median_weeks=without.weeks.median,
        low_weeks=without.weeks.low,
        high_weeks=without.weeks.high,
        weeks_earlier_low=None if apart is None else apart.low,
        weeks_earlier_high=None if apart is None else apart.high,
        nonunion_low=without.nonunion_low,
        nonunion_high=without.nonunion_high,
        statement=statement,
    )


def _unchanged(factor: Factor, present: Window, writer: Writer) -> HealingWhatIf:
    text = (
        "Vitamin D deficiency is not counted, so nothing changes here. Correcting it serves the bones at large; in a"
        " randomised trial vitamin D made no significant difference to union."
    )
    statement = writer.say(
        f"healing.what_if.{VITAMIN_D}",
        text,
        evidence=(VITAMIN_D_TRIAL, ASSOCIATION),
        record=factor.shown.statement.record,
    )
    return HealingWhatIf(
        factor=VITAMIN_D,
        median_weeks=present.weeks.median,
        low_weeks=present.weeks.low,
        high_weeks=present.weeks.high,
        nonunion_low=present.nonunion_low,
        nonunion_high=present.nonunion_high,
        statement=statement,
    )
