"""What the report shows of the risk: intervals, waterfalls, what would change the numbers, undiagnosed osteoporosis."""

from dataclasses import dataclass

from cds.presenters import risk_words
from cds.presenters.figures import IntervalBar, interval_bar
from cds.presenters.messages import WARNING_TEXTS
from cds.presenters.waterfall import Waterfall, waterfall
from tabular.results import FractureProbability, OsteoporosisEstimate, RiskEstimate, WouldChange
from tabular.warnings import REASONS


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbabilityView:
    """What the report shows of one `FractureProbability`."""

    probability: FractureProbability
    bar: IntervalBar
    drawing: Waterfall | None
    """None when nothing was explained."""
    moved: tuple[str, ...]
    """The strongest raising and lowering factors, a sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One answer that would change the numbers; texts by outcome, in the order of the probabilities."""

    what: str
    values: tuple[str, ...]
    intervals: tuple[str, ...]
    """Empty texts for a habit, whose interval stands beside its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """What would change the numbers."""

    missing: tuple[ChangeRow, ...]
    habits: tuple[ChangeRow, ...]
    origins: tuple[str, ...]
    """Where the supposed answers come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsteoporosisView:
    """Osteoporosis likely though undiagnosed, or why it was not judged."""

    estimate: OsteoporosisEstimate | None
    absent: str
    """One sentence; empty beside an estimate."""
    bar: IntervalBar | None
    moved: tuple[str, ...]
    meaning: str
    """What the probability says of a bone density scan."""


def probability_views(risk: RiskEstimate) -> tuple[ProbabilityView, ...]:
    """Both outcomes, their intervals drawn on the same axis of percent."""
    outcomes = (risk.major_osteoporotic, risk.hip)
    largest = 100 * max(max(one.high, one.model_value, one.value) for one in outcomes)
    return tuple(
        ProbabilityView(
            probability=one,
            bar=_bar(one.low, one.value, one.high, min(100.0, 1.05 * largest)),
            drawing=waterfall(one, warnings=risk.warnings),
            moved=risk_words.moved(one.contributions),
        )
        for one in outcomes
    )


def change_view(risk: RiskEstimate) -> ChangeView | None:
    """What would change the numbers; None when nothing was supposed."""
    outcomes = (risk.major_osteoporotic, risk.hip)
    if not any(one.would_change for one in outcomes):
        return None
    named = [{change.feature: change for change in one.would_change} for one in outcomes]
    # The answer that would remove most of either interval comes first; the order of the outcomes breaks ties.
    features = list(dict.fromkeys(change.feature for one in outcomes for change in one.would_change))
    features.sort(key=lambda name: -max(0, *(round(100 * one[name].interval_removed) for one in named if name in one)))
    rows: dict[bool, list[ChangeRow]] = {True: [], False: []}
    for name in features:
        told = [one.get(name) for one in named]
        first = next(one for one in told if one is not None)
        rows[first.kind == risk_words.MODIFIABLE].append(
            ChangeRow(
                what=risk_words.supposition(first),
                values=tuple(_value(change) for change in told),
                intervals=tuple(_interval(change, now) for change, now in zip(told, outcomes, strict=True)),
            )
        )
    return ChangeView(missing=tuple(rows[False]), habits=tuple(rows[True]), origins=risk_words.origins(risk))


def osteoporosis_view(risk: RiskEstimate) -> OsteoporosisView | None:
    """Osteoporosis likely though undiagnosed; None when the estimate neither stands nor says why."""
    estimate, absent = risk.undiagnosed_osteoporosis, risk.undiagnosed_osteoporosis_absent
    if estimate is None:
        if absent is None:
            return None
        code = absent.partition(":")[0]
        return OsteoporosisView(
            estimate=None,
            absent=REASONS.get(code) or WARNING_TEXTS.get(code, code),
            bar=None,
            moved=(),
            meaning="",
        )
    return OsteoporosisView(
        estimate=estimate,
        absent="",
        bar=_bar(estimate.low, estimate.value, estimate.high, min(100.0, 105 * estimate.high)),
        moved=risk_words.moved(estimate.contributions),
        meaning=risk_words.referral(estimate),
    )


def _value(change: WouldChange | None) -> str:
    return "" if change is None else risk_words.would_lie(change)


def _interval(change: WouldChange | None, now: FractureProbability) -> str:
    return "" if change is None else risk_words.would_narrow(change, now)


def _bar(low: float, value: float, high: float, largest: float) -> IntervalBar:
    """An interval of a probability on an axis of percent."""
    return interval_bar(100 * low, 100 * value, 100 * high, largest=largest, start_x=14, end_x=386, suffix="%")
