"""All monitors over all cases: what is quiet, what has moved, and what cannot be told yet."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final

import numpy as np

from cds.errors import StoreError
from cds.learning.drift.alarms import RaisedAlarm, day_of
from cds.learning.drift.conformal import category_ranks, number_ranks, tie_breaker
from cds.learning.drift.evidence import days_since, gather
from cds.learning.drift.monitors import MONITORS, Group, Kind, Monitor
from cds.learning.drift.outcomes import judged, outcome_numbers
from cds.learning.drift.records import (
    REFERENCE_CASES,
    DriftRecords,
    Observed,
    OutcomeFigures,
    Reference,
    ReferenceFigures,
)
from cds.store.opening import Store

_log = logging.getLogger(__name__)

YEARLY_LEVEL: Final = 0.05
"""Chance that, within a year in which nothing changes, any monitor of the page raises an alarm."""
MONITOR_LEVEL: Final = YEARLY_LEVEL / len(MONITORS)
"""The same for one monitor (Bonferroni: the monitors may depend on each other in any way)."""
OUTCOME_REFERENCE_CASES: Final = 50
"""Judged cases that an outcome monitor begins with."""
LEAST_CASES: Final = 30
"""Cases after the reference below which nothing is said."""
RECENT: Final = timedelta(days=28)
"""What is shown beside the reference, unless another beginning is asked for."""

Value = float | str


class State(StrEnum):
    """What a monitor says."""

    QUIET = "quiet"
    ALARM = "alarm"
    TOO_FEW = "not_enough_cases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """The value of one case for one monitor."""

    case_id: str
    moment: datetime
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Values in short."""

    cases: int
    mean: float | None = None
    """Of numbers and shares; None for categories and without cases."""
    low: float | None = None
    """10th percentile of numbers."""
    high: float | None = None
    """90th percentile of numbers."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Of categories, the most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One week of a plot."""

    week: datetime
    """Its beginning."""
    summary: Summary
    evidence: float
    """Largest stake of the week, as its base-10 logarithm; the alarm is at `alarm_at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What one monitor says."""

    monitor: Monitor
    state: State
    reference: Summary
    recent: Summary
    evidence: float
    """Base-10 logarithm of the largest stake so far; 0 without cases."""
    since: datetime | None
    """Midnight, UTC, of the day on which the alarm was raised; of `judge` itself, the moment. None without an alarm,
    and where what is kept of it is damaged."""
    needed: int
    """Cases that are missing before anything can be said; 0 otherwise."""
    weeks: tuple[Point, ...] = ()
    outlived: bool = False
    """The alarm stands, but the cases that are left do not raise it: those behind it were erased or judged anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """The page."""

    made: datetime
    model: str | None
    reference: Reference | None
    """None: the detector has not answered enough cases."""
    observed: int
    """Cases of the detector in use, repeated ones left out."""
    judged: int
    """Of those, cases with a verdict of clinicians."""
    recent_since: datetime
    monitors: tuple[Watched, ...]
    yearly_level: float = YEARLY_LEVEL
    alarm_at: float = float(-np.log10(MONITOR_LEVEL))
    """Base-10 logarithm of the stake at which a monitor raises its alarm."""

    @property
    def alarms(self) -> tuple[Watched, ...]:
        """Monitors that raised an alarm."""
        return tuple(one for one in self.monitors if one.state is State.ALARM)

    @property
    def state(self) -> State:
        """Alarm where one monitor raises it; too few where none can say anything."""
        if self.alarms:
            return State.ALARM
        can_say = any(one.state is State.QUIET for one in self.monitors)
        return State.QUIET if can_say else State.TOO_FEW


def watch(store: Store, *, now: datetime | None = None, recent_since: datetime | None = None) -> DriftReport:
    """Look at everything that is kept.

    The first look that finds an alarm keeps it, so that it outlives its cases. Where that, or keeping what the outcome
    monitors begin with, fails, the look is answered all the same, and the next one tries again.

    Args:
        store: open.
        now: a time to look back to: what came in, was said or raised an alarm after it is left out, and nothing is
            kept. The reference is the one in force. None: the present, with everything that there is.
        recent_since: beginning of what is shown as recent; `RECENT` before `now` by default. It moves no alarm.

    Raises:
        StoreError: the store does not answer.
    """
    moment = now or datetime.now(UTC)
    records = DriftRecords(store.database)
    model = records.model(until=now)
    observed = () if model is None else records.all(model, until=now)
    reference = None if model is None else records.reference(model)
    figures = None if model is None else records.figures(model)
    outcomes = _outcomes(store, observed, until=now)
    if figures is not None and reference is not None:
        begun = _begun(figures, outcomes, reference)
        figures = replace(figures, outcomes={**begun, **figures.outcomes})
        if begun and now is None:
            _kept_if_possible(partial(records.keep_outcomes, reference, begun))
    since = recent_since or moment - RECENT
    monitors = tuple(_watched(one, observed, outcomes, reference, figures, since) for one in MONITORS)
    if model is not None:
        standing = _standing_alarms(records, model, until=now)
        new = _new_alarms(monitors, standing)
        if new and now is None:
            _kept_if_possible(partial(records.keep_alarms, model, reference, new))
        monitors = tuple(_as_raised(one, {**new, **standing}.get(one.monitor.name)) for one in monitors)
    return DriftReport(
        made=moment,
        model=model,
        reference=reference,
        observed=len(observed),
        judged=sum(1 for one in outcomes if "agreement" in one[2]),
        recent_since=since,
        monitors=monitors,
    )


_Outcome = tuple[str, datetime, Mapping[str, float]]


def _outcomes(store: Store, observed: Sequence[Observed], *, until: datetime | None) -> tuple[_Outcome, ...]:
    numbers = {one.case_id: one.observation.numbers for one in observed}
    positive = {case_id: found["positive"] > 0 for case_id, found in numbers.items() if "positive" in found}
    return tuple(
        (
            one.case_id,
            one.moment,
            outcome_numbers(
                called=positive[one.case_id],
                probability=numbers[one.case_id].get("probability"),
                fracture=one.fracture,
            ),
        )
        for one in judged(store, positive, until=until)
    )


def _watched(
    monitor: Monitor,
    observed: Sequence[Observed],
    outcomes: Sequence[_Outcome],
    reference: Reference | None,
    figures: ReferenceFigures | None,
    since: datetime,
) -> Watched:
    if monitor.group is Group.OUTCOME:
        values = _outcome_values(monitor, outcomes, reference)
        before, after = values[:OUTCOME_REFERENCE_CASES], values[OUTCOME_REFERENCE_CASES:]
        kept = None if figures is None else figures.outcomes.get(monitor.name)
        if kept is not None:
            before = [Timed(case_id="", moment=kept.ended, value=value) for value in kept.values]
            after = [one for one in values if one.moment > kept.ended]
        return judge(monitor, before, after, since=since, wanted=OUTCOME_REFERENCE_CASES)
    values = _values(monitor, observed)
    if reference is None:
        return judge(monitor, values, (), since=since, wanted=REFERENCE_CASES)
    before = [one for one in values if reference.began <= one.moment <= reference.ended]
    if figures is not None:  # of some of these cases nothing may be left
        before = [Timed(case_id="", moment=reference.ended, value=value) for value in _kept(monitor, figures)]
    after = [one for one in values if one.moment > reference.ended]
    # A figure that few cases have (an age without a record) must not be compared with a handful.
    return judge(monitor, before, after, since=since, wanted=LEAST_CASES, start=reference.ended)


def _outcome_values(monitor: Monitor, outcomes: Sequence[_Outcome], reference: Reference | None) -> list[Timed]:
    """The monitor's values of the cases judged since the reference began."""
    began = None if reference is None else reference.began
    return [
        Timed(case_id=case_id, moment=moment, value=found[monitor.name])
        for case_id, moment, found in outcomes
        if monitor.name in found and (began is None or moment >= began)
    ]


def _begun(figures: ReferenceFigures, outcomes: Sequence[_Outcome], reference: Reference) -> dict[str, OutcomeFigures]:
    """What outcome monitors begin with: the first judged cases of each, where this look is the first to find enough."""
    new = {}
    for monitor in MONITORS:
        if monitor.group is not Group.OUTCOME or monitor.name in figures.outcomes:
            continue
        first = _outcome_values(monitor, outcomes, reference)[:OUTCOME_REFERENCE_CASES]
        if len(first) == OUTCOME_REFERENCE_CASES:
            values = tuple(float(one.value) for one in first)
            new[monitor.name] = OutcomeFigures(values=values, ended=first[-1].moment)
    return new


def _standing_alarms(records: DriftRecords, model: str, *, until: datetime | None) -> dict[str, RaisedAlarm]:
    """Alarms that are kept; of a look back, those that had been raised by then."""
    return {
        name: one
        for name, one in records.alarms(model).items()
        if until is None or one.since is None or one.since <= until
    }


def _new_alarms(monitors: Sequence[Watched], standing: Mapping[str, RaisedAlarm]) -> dict[str, RaisedAlarm]:
    """Alarms that nobody has kept yet."""
    return {
        one.monitor.name: RaisedAlarm(since=day_of(one.since), evidence=one.evidence)
        for one in monitors
        if one.since is not None and one.monitor.name not in standing
    }


def _as_raised(found: Watched, raised: RaisedAlarm | None) -> Watched:
    """A monitor with its alarm as it was raised; as it is where it has none."""
    if raised is None:
        return found
    seen = None if found.since is None else day_of(found.since)
    return replace(
        found,
        state=State.ALARM,
        since=raised.since or seen,
        evidence=max(found.evidence, raised.evidence),
        needed=0,
        outlived=found.state is not State.ALARM,
    )


def _kept_if_possible(keep: Callable[[], None]) -> None:
    """Keep what a look found; a store that takes nothing now (it is full, or locked) withholds no answer."""
    try:
        keep()
    except StoreError as error:
        _log.warning("what a look at drift found is not kept [%s]", error.code)


def _kept(monitor: Monitor, figures: ReferenceFigures) -> Sequence[Value]:
    """The monitor's values of a reference."""
    if monitor.kind is not Kind.CATEGORY:
        return figures.numbers.get(monitor.name, ())
    return [name for name, count in figures.categories.get(monitor.name, {}).items() for _ in range(count)]


def _values(monitor: Monitor, observed: Sequence[Observed]) -> list[Timed]:
    """The monitor's values of the cases that have one."""
    found: list[Timed] = []
    for one in observed:
        seen: Mapping[str, Value] = (
            one.observation.categories if monitor.kind is Kind.CATEGORY else one.observation.numbers
        )
        if monitor.name in seen:
            found.append(Timed(case_id=one.case_id, moment=one.created, value=seen[monitor.name]))
    return found


def judge(
    monitor: Monitor,
    reference: Sequence[Timed],
    after: Sequence[Timed],
    *,
    since: datetime,
    wanted: int,
    start: datetime | None = None,
    level: float = MONITOR_LEVEL,
) -> Watched:
    """What one monitor says.

    Args:
        monitor: which.
        reference: what it begins with.
        after: what it watches, in order of time.
        since: beginning of what is shown as recent.
        wanted: values that a reference needs.
        start: when watching began; the last value of the reference by default.
        level: chance of a false alarm in a year.
    """
    recent = [one.value for one in after if one.moment >= since]
    summaries = summary(monitor, [one.value for one in reference]), summary(monitor, recent)
    if len(reference) < wanted or not after:
        return Watched(
            monitor=monitor,
            state=State.TOO_FEW,
            reference=summaries[0],
            recent=summaries[1],
            evidence=0.0,
            since=None,
            needed=max(0, wanted - len(reference)) + (0 if after else LEAST_CASES),
        )
    ties = [tie_breaker(one.case_id, monitor.name) for one in after]
    ranks = _ranks(monitor)([one.value for one in reference], [one.value for one in after], ties)
    days = days_since(start or reference[-1].moment, [one.moment for one in after])
    found = gather(ranks, days, level=level)
    stakes = found.log_gain / np.log(10)
    missing = max(0, LEAST_CASES - len(after))
    state = State.ALARM if found.crossed is not None else State.TOO_FEW if missing else State.QUIET
    return Watched(
        monitor=monitor,
        state=state,
        reference=summaries[0],
        recent=summaries[1],
        evidence=max(0.0, float(stakes.max())),
        since=None if found.crossed is None else after[found.crossed].moment,
        needed=missing,
        weeks=_weeks(monitor, after, stakes.tolist()),
    )


def _ranks(monitor: Monitor) -> Callable[..., np.ndarray[tuple[int], np.dtype[np.float64]]]:
    return category_ranks if monitor.kind is Kind.CATEGORY else number_ranks


def summary(monitor: Monitor, values: Sequence[Value]) -> Summary:
    """Values in short."""
    if not values:
        return Summary(cases=0)
    if monitor.kind is Kind.CATEGORY:
        names, counts = np.unique(np.array(values, dtype=str), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        shares = {str(names[place]): float(counts[place] / len(values)) for place in order}
        return Summary(cases=len(values), shares=shares)
    numbers = np.array(values, dtype=np.float64)
    if monitor.kind is Kind.SHARE:
        return Summary(cases=len(values), mean=float(numbers.mean()))
    low, high = np.percentile(numbers, [10, 90])
    return Summary(cases=len(values), mean=float(numbers.mean()), low=float(low), high=float(high))


def _weeks(monitor: Monitor, after: Sequence[Timed], stakes: Sequence[float]) -> tuple[Point, ...]:
    """Weeks, Monday to Sunday in UTC, that have cases."""
    by_week: dict[datetime, list[int]] = {}
    for place, one in enumerate(after):
        day = day_of(one.moment)
        by_week.setdefault(day - timedelta(days=day.weekday()), []).append(place)
    return tuple(
        Point(
            week=week,
            summary=summary(monitor, [after[place].value for place in places]),
            evidence=max(0.0, *(stakes[place] for place in places)),
        )
        for week, places in sorted(by_week.items())
    )
