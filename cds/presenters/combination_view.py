"""Image alone, patient alone, together: what the report draws of `Assessment.combined`."""

import math
from dataclasses import dataclass

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.figures import IntervalBar, Tick
from cds.presenters.waterfall import from_log_odds
from fusion.results import CombinedEstimate, CombinedPart, CombinedProbability, LogOddsContribution, Statement

PARTS: dict[CombinedPart, str] = {
    CombinedPart.IMAGE: "Radiograph alone",
    CombinedPart.PATIENT: "Patient alone",
    CombinedPart.TOGETHER: "Together",
}
SIDES: dict[CombinedPart, str] = {CombinedPart.IMAGE: "radiograph", CombinedPart.PATIENT: "patient"}
_AXIS_START, _AXIS_LENGTH = 18.0, 520.0
_TICKS = (0, 25, 50, 75, 100)
"""Percent."""
_STEP_HALF = 100.0
"""Half of the width of a contribution's drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """One of the three numbers."""

    label: str
    number: str
    """The probability, the band, or ``none``."""
    interval: str
    """The interval in words; empty for a band and for an absent part."""
    bar: IntervalBar | None
    """Percent from 0 to 100; None for an absent part."""
    middle: bool
    """Whether the bar has a value, and not only ends."""
    told: bool
    """Whether the statement says more than the number: why there is none, or what it holds for."""
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """What one fact contributed."""

    label: str
    side: str
    start: bool
    """The share to start from: a probability, and no step."""
    effect: str
    """``odds ×1.5 (1.1 to 1.9)``, or the share."""
    log_odds: float
    after: float
    """The probability once this and all facts above it are counted, 0..1."""
    points: str
    """Arrow from the middle line towards its effect, in units of the drawing; empty for the start."""
    raises: bool
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionView:
    """One question with its three lines."""

    name: str
    title: str
    found: CombinedProbability
    lines: tuple[LineView, ...]
    steps: tuple[StepView, ...]


def questions(result: CaseResult) -> tuple[QuestionView, ...]:
    """Every question that the case asks; empty when it asks none."""
    combined = result.assessment.combined
    if combined is None:
        return ()
    titled = (("Is it broken now?", combined.broken_now), ("Is it weak bone?", combined.weak_bone))
    return tuple(_question(title, found) for title, found in titled if found is not None)


def summary_line(result: CaseResult) -> str | None:
    """The three numbers in one line for the terminal; None when there is nothing to combine."""
    combined = result.assessment.combined
    found = None if combined is None else combined.broken_now
    if found is None:
        return None
    parts = [f"{PARTS[one.part].lower()} {_number(one)}" for one in (found.image, found.patient)]
    interval = _interval(found.together)
    together = f"{_number(found.together)}{f' ({interval})' if interval else ''}"
    return wording.capitalised(f"{'; '.join(parts)}; together {together}")


def _question(title: str, found: CombinedProbability) -> QuestionView:
    return QuestionView(
        name=found.question,
        title=title,
        found=found,
        lines=tuple(_line(one, found) for one in (found.image, found.patient, found.together)),
        steps=_steps(found.contributions),
    )


def _line(one: CombinedEstimate, found: CombinedProbability) -> LineView:
    bar = None
    half_missing = found.image.absent or found.patient.absent
    alone = one.part is CombinedPart.TOGETHER and half_missing
    if one.low is not None and one.high is not None:
        middle = one.value if one.value is not None else one.low
        bar = IntervalBar(
            low_x=_x(one.low),
            middle_x=_x(middle),
            high_x=_x(one.high),
            ticks=tuple(Tick(x=_x(tick / 100), label=f"{tick}%") for tick in _TICKS),
        )
    return LineView(
        label=PARTS[one.part],
        number=_number(one),
        interval=_interval(one) if one.value is not None else "",
        bar=bar,
        middle=one.value is not None,
        told=one.value is None or one.part is CombinedPart.IMAGE or alone,
        statement=one.statement,
    )


def _x(probability: float) -> float:
    """Where a probability lies on the axis, in units of the drawing."""
    return round(_AXIS_START + _AXIS_LENGTH * probability, 1)


def _number(one: CombinedEstimate) -> str:
    if one.value is not None:
        return wording.percent(one.value)
    if one.low is None or one.high is None:
        return "none"
    if one.low == 0.0:
        return "undecided" if one.high == 1.0 else f"up to {wording.percent(one.high)}"
    return f"{wording.percent(one.low)} to {wording.percent(one.high)}"


def _interval(one: CombinedEstimate) -> str:
    if one.value is None or one.low is None or one.high is None:
        return ""
    return f"{wording.percent(one.low)} to {wording.percent(one.high)}"


def _steps(contributions: tuple[LogOddsContribution, ...]) -> tuple[StepView, ...]:
    """The start and every step below it, on one scale; equal lengths are equal factors on the odds."""
    moves = [one for one in contributions if one.factor != "start"]
    largest = max((abs(one.log_odds) for one in moves), default=0.0) or 1.0
    found: list[StepView] = []
    total = 0.0
    for one in contributions:
        total += one.log_odds
        start = one.factor == "start" or len(contributions) == 1
        found.append(
            StepView(
                label=one.label,
                side=SIDES[one.part],
                start=start,
                effect=_share(one) if start else _odds(one),
                log_odds=one.log_odds,
                after=from_log_odds(total),
                points="" if start else _arrow(_STEP_HALF * one.log_odds / largest),
                raises=one.log_odds >= 0,
                statement=one.statement,
            )
        )
    return tuple(found)


def _share(one: LogOddsContribution) -> str:
    value, low, high = (wording.percent(from_log_odds(end)) for end in (one.log_odds, one.low, one.high))
    return f"{value} ({low} to {high})"


def _odds(one: LogOddsContribution) -> str:
    value, low, high = (wording.ratio(math.exp(end)) for end in (one.log_odds, one.low, one.high))
    return f"odds {wording.TIMES} {value} ({low} to {high})"


def _arrow(length: float) -> str:
    """A bar from the middle of a drawing 200 wide and 12 high, with a point at its far end."""
    middle, end = _STEP_HALF, _STEP_HALF + length
    neck = end - max(-4.0, min(4.0, length))
    corners = ((middle, 2), (neck, 2), (end, 6), (neck, 10), (middle, 10))
    return " ".join(f"{x:.1f},{y}" for x, y in corners)
