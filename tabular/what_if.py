"""What would change an estimate: a missing answer if it were known, a habit if it were given up.

Every supposed answer is put into the person's row and estimated anew, with the answers' weights from people alike
(`tabular.plausible_answers`). Two things follow for a missing answer:

* **where the number would lie**: the estimate under each supposed answer;
* **how the interval would shrink**: each new estimate has an interval of its own. Its distances to the value, in
  log-odds, are averaged over the answers and laid around the present value, because nobody knows yet where the number
  will be. An answer that only moves the number removes nothing from the interval's width, which depends on bone density
  and on how many answers are known.

A habit's number without it says what the model makes of a person who never had it now; it promises no effect of
stopping.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tabular.checks import Row
from tabular.explain import LABELS
from tabular.features import RiskFeatures
from tabular.plausible_answers import Answers, answers_for
from tabular.results import FractureProbability, RiskEstimate, WhatIfCase, WouldChange

MISSING, MODIFIABLE = "missing", "modifiable"
_HABITS: tuple[str, ...] = ("current_smoker", "alcohol_3_or_more_units_per_day")
_SURVEY = (
    "Values and weights: the distribution among US survey participants of 40 and more (2005-2010 and 2013-2014)"
    " {alike}, taken as if this person were one of them."
)
_ALIKE = {
    "femoral_neck_t_score": "of the same age, sex and body mass",
    "bmi_kg_m2": "of the same sex and age group",
    "female": "of the same age group",
}
_STOPPED = (
    "The person's own row with the answer no. People who stop do not reach this number at once: former smoking, for"
    " one, still goes with more fractures."
)
_STOPPED_DRINKING = (
    "The person's own row with the answer no. It describes people who drink less, not what drinking less would do, and"
    " not how soon."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing to suppose of one person."""

    feature: str
    kind: str
    answers: Answers


def questions_for(row: Row) -> tuple[Question, ...]:
    """What is worth supposing: every input that is not known, and every habit the person has."""
    missing = (
        Question(feature=name, kind=MISSING, answers=answers_for(name, row.features))
        for name in row.missing
        if name != "age_years"
    )
    habits = (
        Question(feature=name, kind=MODIFIABLE, answers=((0.0, 1.0),))
        for name in _HABITS
        if getattr(row.features, name)
    )
    return (*missing, *habits)


def supposed(row: Row, questions: Sequence[Question]) -> list[RiskFeatures]:
    """The person's row under every answer of every question, in order."""
    return [
        replace(row.features, **{question.feature: _typed(question.feature, value)})
        for question in questions
        for value, _ in question.answers
    ]


def with_changes(now: RiskEstimate, questions: Sequence[Question], estimates: Sequence[RiskEstimate]) -> RiskEstimate:
    """The estimate with `FractureProbability.would_change` filled in.

    Args:
        now: The present estimate.
        questions: What was supposed.
        estimates: What the model said under each answer, in the order of `supposed`.
    """
    major, hip = [], []
    rest = iter(estimates)
    for question in questions:
        told = [next(rest) for _ in question.answers]
        major.append(_change(now.major_osteoporotic, question, [one.major_osteoporotic for one in told]))
        hip.append(_change(now.hip, question, [one.hip for one in told]))
    return replace(
        now,
        major_osteoporotic=replace(now.major_osteoporotic, would_change=_ranked(major)),
        hip=replace(now.hip, would_change=_ranked(hip)),
    )


def _change(now: FractureProbability, question: Question, told: list[FractureProbability]) -> WouldChange:
    cases = tuple(
        WhatIfCase(value=value, weight=weight, probability=one.value, low=one.low, high=one.high)
        for (value, weight), one in zip(question.answers, told, strict=True)
    )
    if question.kind == MODIFIABLE:
        low, high, removed = cases[0].low, cases[0].high, 0.0
        origin = _STOPPED if question.feature == "current_smoker" else _STOPPED_DRINKING
    else:
        below = math.fsum(one.weight * (_logit(one.probability) - _logit(one.low)) for one in cases)
        above = math.fsum(one.weight * (_logit(one.high) - _logit(one.probability)) for one in cases)
        middle = _logit(now.value)
        low, high = _inverse(middle - below), _inverse(middle + above)
        removed = 1.0 - (below + above) / (_logit(now.high) - _logit(now.low))
        origin = _SURVEY.format(alike=_ALIKE.get(question.feature, "of the same sex and age group"))
    return WouldChange(
        feature=question.feature,
        label=LABELS[question.feature],
        kind=question.kind,
        cases=cases,
        expected_low=low,
        expected_high=high,
        interval_removed=removed,
        origin=origin,
    )


def _ranked(changes: list[WouldChange]) -> tuple[WouldChange, ...]:
    """Missing answers by what they would remove of the interval (in whole per cent), then by how far they could move
    the number; habits after them.
    """
    return tuple(
        sorted(
            changes, key=lambda one: (one.kind == MODIFIABLE, -max(0, round(100 * one.interval_removed)), -_spread(one))
        )
    )


def _spread(change: WouldChange) -> float:
    """Weighted standard deviation of the supposed numbers, in log-odds."""
    mean = math.fsum(one.weight * _logit(one.probability) for one in change.cases)
    return math.sqrt(math.fsum(one.weight * (_logit(one.probability) - mean) ** 2 for one in change.cases))


def _typed(feature: str, value: float) -> Any:
    """The value as its field holds it: a number, or yes and no."""
    return value if feature in ("femoral_neck_t_score", "bmi_kg_m2") else bool(value)


def _logit(probability: float) -> float:
    held = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(held / (1 - held))


def _inverse(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
