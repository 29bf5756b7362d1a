"""One fracture probability as the report explains it: its interval and what moved the model."""

import math
from dataclasses import dataclass

from cds.presenters.figures import IntervalBar, interval_bar
from cds.presenters.wording import feature_name, feature_value, odds
from tabular.results import Contribution, FractureProbability, RiskEstimate

SHOWN_CONTRIBUTIONS = 8
"""Contributions drawn one by one; the rest are added up in one line."""
_HALF_WIDTH = 96.0
"""Longest contribution bar, in units of a drawing 200 wide whose zero stands at 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionRow:
    """One line of the explanation."""

    label: str
    value: str
    effect: str
    x: float
    """Left end of the bar, 0..200, zero effect at 100."""
    width: float
    raises: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbabilityView:
    """What the report shows of one `FractureProbability`."""

    probability: FractureProbability
    bar: IntervalBar
    start: float
    """The model's probability before any feature is known, 0..1."""
    rows: tuple[ContributionRow, ...]


def _row(label: str, value: str, log_odds: float, largest: float) -> ContributionRow:
    length = round(_HALF_WIDTH * abs(log_odds) / largest, 1)
    raises = log_odds > 0
    return ContributionRow(
        label=label,
        value=value,
        effect=odds(log_odds),
        x=100.0 if raises else round(100.0 - length, 1),
        width=length,
        raises=raises,
    )


def _rows(contributions: tuple[Contribution, ...]) -> tuple[ContributionRow, ...]:
    ranked = sorted(contributions, key=lambda one: -abs(one.log_odds))
    shown, rest = ranked[:SHOWN_CONTRIBUTIONS], ranked[SHOWN_CONTRIBUTIONS:]
    others = math.fsum(one.log_odds for one in rest)
    largest = max([abs(one.log_odds) for one in shown] + [abs(others), 1e-9])
    rows = [
        _row(one.label or feature_name(one.feature), feature_value(one.feature, one.value), one.log_odds, largest)
        for one in shown
    ]
    if rest:
        rows.append(_row(f"{len(rest)} other features together", "", others, largest))
    return tuple(rows)


def probability_views(risk: RiskEstimate) -> tuple[ProbabilityView, ...]:
    """Both outcomes, their intervals drawn on the same axis of percent."""
    outcomes = (risk.major_osteoporotic, risk.hip)
    largest = 100 * max(max(one.high, one.model_value, one.value) for one in outcomes)
    return tuple(
        ProbabilityView(
            probability=one,
            bar=interval_bar(
                100 * one.low,
                100 * one.value,
                100 * one.high,
                largest=min(100.0, 1.05 * largest),
                start_x=14,
                end_x=386,
                suffix="%",
            ),
            start=1 / (1 + math.exp(-one.base_log_odds)),
            rows=_rows(one.contributions),
        )
        for one in outcomes
    )
