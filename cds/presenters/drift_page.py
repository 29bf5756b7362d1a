"""The drift page: what is quiet, what moved and what to do about it, as one HTML document or as JSON.

The page needs no other file and runs no script. It holds no patient data: figures of at least a week of cases.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cds.learning.drift.comparison import training_reference
from cds.learning.drift.monitors import Group, Kind, Monitor
from cds.learning.drift.records import REFERENCE_CASES
from cds.learning.drift.watching import DriftReport, Point, State, Summary, Watched
from cds.presenters import wording
from cds.version import engine_version

JSON_SCHEMA: Final = "fracture-cds.drift/1"
STATE_WORDS: Final = {State.QUIET: "quiet", State.ALARM: "alarm", State.TOO_FEW: "not enough cases"}
GROUP_WORDS: Final = {
    Group.INPUT: "What comes in",
    Group.OUTPUT: "What the detector answers",
    Group.OUTCOME: "What clinicians say of it",
}
HEADLINES: Final = {
    State.QUIET: "Nothing has moved that noise would not explain.",
    State.ALARM: "Something has moved: see what to do below.",
    State.TOO_FEW: "There are not enough cases to say anything.",
}
OUTLIVED: Final = (
    "The cases behind it have since been erased or judged anew, and those that are left do not show it; the alarm"
    " stands until a new reference is set."
)
_TEMPLATES = Path(__file__).parent / "templates"
_SHOWN_SHARES: Final = 4
WIDTH, HEIGHT, MARGIN = 230.0, 62.0, 5.0
"""Of a plot, in units of its drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A line of weekly figures, in units of its drawing."""

    points: tuple[tuple[float, float], ...]
    band: tuple[float, float] | None
    """Top and bottom of the reference's range, or its mean twice."""
    limit: float | None
    """Height of the alarm's line."""
    low: str
    high: str
    """Words for the lower and the upper edge."""
    words: str
    """What a person who cannot see it needs to know."""

    @property
    def line(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{x},{y}" for x, y in self.points)


def render_drift_html(report: DriftReport) -> str:
    """The page.

    Args:
        report: what is shown.
    """
    return (
        _environment()
        .get_template("drift.html")
        .render(
            report=report,
            outlived=OUTLIVED,
            groups=[(GROUP_WORDS[group], _of(report, group)) for group in Group],
            headline=HEADLINES[report.state],
            training=training_reference(),
            reference_cases=REFERENCE_CASES,
            states=State,
            engine_version=engine_version(),
            notice=wording.NOTICE,
        )
    )


def render_drift_json(report: DriftReport) -> str:
    """The same as JSON; stakes are base-10 logarithms."""
    document: dict[str, Any] = {
        "schema": JSON_SCHEMA,
        "engine_version": engine_version(),
        "state": report.state.value,
        "alarms": [one.monitor.name for one in report.alarms],
    }
    return json.dumps(document | asdict(report), indent=2, ensure_ascii=False, default=datetime.isoformat) + "\n"


def summary_words(monitor: Monitor, found: Summary) -> str:
    """A summary in a cell of the table."""
    if not found.cases:
        return "none"
    if monitor.kind is Kind.CATEGORY:
        shown = list(found.shares.items())[:_SHOWN_SHARES]
        rest = 1 - sum(share for _, share in shown)
        parts = [f"{name.replace('_', ' ')} {_percent(share)}" for name, share in shown]
        return ", ".join([*parts, f"others {_percent(rest)}"] if rest > 0.0005 else parts)
    if found.mean is None:
        return "none"
    if monitor.kind is Kind.SHARE:
        return _percent(found.mean)
    if found.low is None or found.high is None:
        return _figure(found.mean)
    return f"{_figure(found.mean)} ({_figure(found.low)} to {_figure(found.high)})"


def said(one: Watched) -> str:
    """What a monitor says, in one sentence."""
    if one.state is State.TOO_FEW:
        return f"{one.needed} more cases are needed." if one.needed else "No case has this figure yet."
    if one.state is State.ALARM:
        since = "of an unknown day" if one.since is None else f"since {_day(one.since)}"
        outlived = f" {OUTLIVED}" if one.outlived else ""
        return f"Moved; alarm {since}.{outlived} {one.monitor.action}"
    return "No more than noise explains."


def value_plot(one: Watched) -> Plot:
    """Weekly means or shares beside the range of the reference; of categories the one most frequent then."""
    named = next(iter(one.reference.shares), None)
    values = [_shown(point, named) for point in one.weeks]
    before = _of_summary(one.reference, named)
    band = (one.reference.low, one.reference.high) if one.reference.low is not None else (before, before)
    edges = [value for value in (*values, *band) if value is not None]
    low, high = (min(edges), max(edges)) if edges else (0.0, 1.0)
    if one.monitor.kind is not Kind.NUMBER:
        low, high = 0.0, max(high, 0.05)
    what = f"share of {named.replace('_', ' ')}" if named else one.monitor.title.lower()
    write = _percent if one.monitor.kind is not Kind.NUMBER else _figure
    return Plot(
        points=_line(values, low, high),
        band=None if band[0] is None or band[1] is None else (_height(band[1], low, high), _height(band[0], low, high)),
        limit=None,
        low=write(low),
        high=write(high),
        words=f"Weekly {what}, {len(values)} weeks; the band is the reference.",
    )


def evidence_plot(one: Watched, alarm_at: float) -> Plot:
    """Weekly evidence beside the height at which the alarm is raised."""
    values = [min(point.evidence, 2 * alarm_at) for point in one.weeks]
    top = max([*values, 1.15 * alarm_at])
    return Plot(
        points=_line(values, 0.0, top),
        band=None,
        limit=_height(alarm_at, 0.0, top),
        low="0",
        high=f"{top:.1f}",
        words=f"Weekly evidence of change; the alarm is raised at {alarm_at:.1f}.",
    )


def _of(report: DriftReport, group: Group) -> tuple[Watched, ...]:
    return tuple(one for one in report.monitors if one.monitor.group is group)


def _shown(point: Point, named: str | None) -> float | None:
    return _of_summary(point.summary, named)


def _of_summary(found: Summary, named: str | None) -> float | None:
    return found.mean if named is None else found.shares.get(named, 0.0)


def _line(values: Sequence[float | None], low: float, high: float) -> tuple[tuple[float, float], ...]:
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    return tuple(
        (round(MARGIN + place * step, 1), _height(value, low, high))
        for place, value in enumerate(values)
        if value is not None
    )


def _height(value: float, low: float, high: float) -> float:
    """From a value to the drawing's y, which grows downwards."""
    share = 0.5 if high == low else (value - low) / (high - low)
    return round(HEIGHT - MARGIN - share * (HEIGHT - 2 * MARGIN), 1)


def _percent(share: float) -> str:
    figure = f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}".removesuffix(".0")
    return f"{figure} %"


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(day=_day, percent=_percent, said=said, state_word=STATE_WORDS.__getitem__)
    environment.globals.update(
        summary_words=summary_words,
        value_plot=value_plot,
        evidence_plot=evidence_plot,
        width=WIDTH,
        height=HEIGHT,
        margin=MARGIN,
    )
    return environment
