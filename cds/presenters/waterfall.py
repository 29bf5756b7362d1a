"""One probability as a waterfall: from the starting point, step by step in log-odds, to the number reported.

Geometry and words only; ``templates/waterfall.html`` draws. Every step starts where the one before ended, and the steps
add up exactly: small contributions are summed in one step, and what rounding of the figures leaves gets a step of its
own. Direction is told by arrow, by colour and in words; what was added to the model is hatched.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from cds.presenters import wording
from cds.presenters.figures import Tick
from cds.presenters.risk_words import WORTH_NAMING, factor, times
from tabular.results import FractureProbability

SHOWN = 8
"""Contributions drawn one by one at most."""
RAISED_TO_HIP = "risk.major.raised_to_hip"
ROUNDING = "Rounding of these figures"
WIDTH = 440
ROW = 36
_LEFT, _RIGHT, _TOP, _BOTTOM = 12.0, 428.0, 26.0, 22.0
_BAR_TOP, _BAR_HEIGHT, _HEAD = 17.0, 13.0, 6.0
_MARGIN = 0.12
"""Empty log-odds on either side of the drawing."""
_PERCENTS = (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)
_TICK_GAP = 34.0
_EXACT = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One arrow of the drawing."""

    label: str
    effect: str
    """What it does to the odds, or to the hazard, in words."""
    kind: str
    """``model`` (a contribution), ``published`` (a cited factor on top) or ``rule`` (anything else on top)."""
    start: float
    """Log-odds before the step."""
    end: float
    """Log-odds after the step."""
    y: float
    """Top of the row."""
    points: str
    """Corners of the arrow."""
    end_x: float

    @property
    def raises(self) -> bool:
        """Whether the step moves the number up."""
        return self.end >= self.start

    @property
    def after(self) -> float:
        """Probability after the step, 0..1."""
        return from_log_odds(self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A probability that the drawing passes: the start, the model's number, the number reported."""

    label: str
    y: float
    x: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """All that the template draws; x and y in units of a drawing `WIDTH` wide and `height` high."""

    name: str
    """Tells drawings of one page apart; part of identifiers."""
    title: str
    description: str
    """The drawing in words, for a reader who cannot see it."""
    start: float
    """Log-odds of the starting point."""
    steps: tuple[Step, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    height: float
    width: int = WIDTH

    @property
    def end(self) -> float:
        """Log-odds of the number reported."""
        return self.steps[-1].end

    @property
    def has_added(self) -> bool:
        """Whether anything was added to the model's number."""
        return any(one.kind != "model" for one in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A step before it has a place."""

    label: str
    effect: str
    kind: str
    end: float


def waterfall(probability: FractureProbability, *, warnings: tuple[str, ...] = ()) -> Waterfall | None:
    """Lay one probability out.

    Args:
        probability: With its contributions.
        warnings: Codes of the estimate; tell whether the number was raised to that of the hip.

    Returns:
        None when there is no explanation to draw.
    """
    if not probability.contributions:
        return None
    model, added = _model_moves(probability), _added_moves(probability, warnings)
    ends = [probability.base_log_odds, *(one.end for one in (*model, *added))]
    low, high = min(ends) - _MARGIN, max(ends) + _MARGIN
    scale = (_RIGHT - _LEFT) / (high - low)

    def x(log_odds: float) -> float:
        return round(_LEFT + (log_odds - low) * scale, 2)

    marks = [Mark(label=f"Starting point {wording.percent(from_log_odds(ends[0]))}", y=_TOP, x=x(ends[0]))]
    steps: list[Step] = []
    y, before = _TOP + ROW, ends[0]
    for place, move in enumerate((*model, *added)):
        if place == len(model):
            marks.append(Mark(label=f"Model alone {wording.percent(probability.model_value)}", y=y, x=x(before)))
            y += ROW
        steps.append(_placed(move, before, y, x(before), x(move.end)))
        y, before = y + ROW, move.end
    last = "With what was added" if added else "Model's number"
    marks.append(Mark(label=f"{last} {wording.percent(probability.value)}", y=y, x=x(before)))
    outcome = wording.OUTCOMES.get(probability.outcome, wording.words(probability.outcome))
    return Waterfall(
        name=probability.outcome.replace("_", "-"),
        title=f"{outcome}: from {wording.percent(from_log_odds(ends[0]))} to {wording.percent(probability.value)}",
        description=_described(steps, probability),
        start=ends[0],
        steps=tuple(steps),
        marks=tuple(marks),
        ticks=_ticks(low, high, x),
        height=y + ROW + _BOTTOM,
    )


def _model_moves(probability: FractureProbability) -> list[_Move]:
    """Contributions by falling size, the small ones together, up to the model's number."""
    ranked = sorted(probability.contributions, key=lambda one: -abs(one.log_odds))
    large = [one for one in ranked if abs(one.log_odds) >= WORTH_NAMING]
    shown = large[:SHOWN] if len(ranked) - len(large[:SHOWN]) != 1 else ranked
    rest = ranked[len(shown) :]
    at, moves = probability.base_log_odds, []
    for one in shown:
        at += one.log_odds
        label = wording.capitalised(factor(one.feature, one.value))
        moves.append(_Move(label=label, effect=f"odds {times(one.log_odds)}", kind="model", end=at))
    if rest:
        others = math.fsum(one.log_odds for one in rest)
        at += others
        moves.append(_Move(label=f"{len(rest)} other factors", effect=f"odds {times(others)}", kind="model", end=at))
    left = _log_odds(probability.model_value)
    if abs(left - at) > _EXACT:
        moves.append(_Move(label=ROUNDING, effect=f"odds {times(left - at)}", kind="rule", end=left))
    return moves


def _added_moves(probability: FractureProbability, warnings: tuple[str, ...]) -> list[_Move]:
    """Cited factors one after the other, and what else lies between the model's number and the one reported."""
    free, at, moves = 1.0 - probability.model_value, _log_odds(probability.model_value), []
    for one in probability.adjustments:
        free **= one.ratio
        at = _log_odds(1.0 - free)
        label = f"Published: {wording.words(one.factor)}"
        moves.append(
            _Move(label=label, effect=f"hazard {wording.TIMES} {wording.ratio(one.ratio)}", kind="published", end=at)
        )
    left = _log_odds(probability.value)
    if abs(left - at) > _EXACT:
        raised = probability.outcome == "major_osteoporotic" and RAISED_TO_HIP in warnings
        label = "Raised to the probability of a hip fracture" if raised else ROUNDING
        moves.append(_Move(label=label, effect=f"odds {times(left - at)}", kind="rule", end=left))
    return moves


def _placed(move: _Move, before: float, y: float, start_x: float, end_x: float) -> Step:
    return Step(
        label=move.label,
        effect=move.effect,
        kind=move.kind,
        start=before,
        end=move.end,
        y=y,
        points=_arrow(start_x, end_x, y + _BAR_TOP),
        end_x=end_x,
    )


def _arrow(start: float, end: float, top: float) -> str:
    """Corners of a bar that points where it goes; at least 1.5 wide, so that the smallest step is seen."""
    direction = 1.0 if end >= start else -1.0
    tip = start + direction * max(abs(end - start), 1.5)
    neck = tip - direction * min(_HEAD, abs(tip - start))
    bottom, middle = top + _BAR_HEIGHT, top + _BAR_HEIGHT / 2
    corners = ((start, top), (neck, top), (tip, middle), (neck, bottom), (start, bottom))
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in corners)


def _ticks(low: float, high: float, x: Callable[[float], float]) -> tuple[Tick, ...]:
    """Round probabilities within the drawing, far enough apart to be read."""
    ticks: list[Tick] = []
    for percent in _PERCENTS:
        place = _log_odds(percent / 100)
        if low <= place <= high and (not ticks or x(place) - ticks[-1].x >= _TICK_GAP):
            ticks.append(Tick(x=x(place), label=f"{percent:g}%"))
    return tuple(ticks)


def _described(steps: list[Step], probability: FractureProbability) -> str:
    """The drawing as one paragraph."""
    told = []
    for one in steps:
        way = "up" if one.raises else "down"
        told.append(f"{one.label}, {one.effect}, {way} to {wording.percent(one.after)}")
    start = wording.percent(from_log_odds(probability.base_log_odds))
    return f"Starts at {start}. {'; '.join(told)}. Ends at {wording.percent(probability.value)}."


def from_log_odds(log_odds: float) -> float:
    """The probability, 0..1."""
    return 1.0 / (1.0 + math.exp(-log_odds))


def _log_odds(probability: float) -> float:
    held = min(max(probability, 1e-15), 1 - 1e-15)
    return math.log(held) - math.log1p(-held)
