"""The evidence page: every rule, what it rests on, and what rests on nothing, as one HTML document or as JSON.

The page needs no other file and runs no script. Every rule and every entry has an anchor, ``rule-<id>`` and
``evidence-<id>``, that a report can link to.
"""

import json
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cds.presenters import wording
from cds.presenters.citations import link
from cds.presenters.evidence_view import (
    STATUS_EXPLANATIONS,
    STATUS_WORDS,
    EvidenceView,
    evidence_anchor,
    figure,
    further_numbers,
    rule_anchor,
    slug,
    topic,
)
from cds.version import engine_version
from fusion.evidence_model import EvidenceEntry, EvidenceStatus
from fusion.rulebook import Rule
from fusion.side_by_side import Comparison, ends

JSON_SCHEMA = "fracture-cds.evidence-page/1"
_TEMPLATES = Path(__file__).parent / "templates"
_WIDTH = 260.0
"""Width of a strip of figures, in units of its drawing."""
_MARGIN = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One entry's figure on the scale of its comparison, in units of the drawing."""

    low: float
    high: float
    middle: float | None
    one: float | None
    """Where a ratio of 1 lies; None off the scale and for other figures."""


def strip(entry: EvidenceEntry, comparison: Comparison) -> Strip:
    """Where an entry's figure and interval lie, ratios on a logarithmic scale."""
    bottom, top = comparison.low, comparison.high
    if comparison.ratio:
        bottom, top = min(bottom, 1.0), max(top, 1.0)

    def place(value: float) -> float:
        if top == bottom:
            return _WIDTH / 2
        share = (
            math.log(value / bottom) / math.log(top / bottom) if comparison.ratio else (value - bottom) / (top - bottom)
        )
        return round(_MARGIN + share * (_WIDTH - 2 * _MARGIN), 1)

    span = ends(entry) or (bottom, top)
    return Strip(
        low=place(span[0]),
        high=place(span[1]),
        middle=None if entry.value is None else place(entry.value),
        one=place(1.0) if comparison.ratio else None,
    )


def _breakable(name: str) -> Markup:
    """An identifier that a line may break after its dots and underscores, and nowhere else."""
    return Markup("").join(
        Markup("{}<wbr>").format(part) if part in {".", "_"} else escape(part) for part in re.split(r"([._])", name)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        breakable=_breakable,
        evidence_anchor=evidence_anchor,
        figure=figure,
        further_numbers=further_numbers,
        link=link,
        rule_anchor=rule_anchor,
        slug=slug,
        status_word=STATUS_WORDS.__getitem__,
        topic_words=lambda name: topic(f"{name}."),
        words=wording.words,
    )
    environment.globals.update(strip=strip, strip_width=_WIDTH)
    return environment


def render_evidence_html(view: EvidenceView, *, search: bool = False) -> str:
    """The evidence page.

    Args:
        view: what is shown.
        search: with a field that asks the same address for a filtered page; for a page that is served.
    """
    return (
        _environment()
        .get_template("evidence.html")
        .render(
            view=view,
            search=search,
            statuses=tuple(EvidenceStatus),
            explanations=STATUS_EXPLANATIONS,
            engine_version=engine_version(),
            notice=wording.NOTICE,
        )
    )


def render_evidence_json(view: EvidenceView) -> str:
    """The same as JSON: rules, entries with their sources and where they fire, comparisons, what drives nothing."""
    document = {
        "schema": JSON_SCHEMA,
        "engine_version": engine_version(),
        "evidence_version": view.evidence.version,
        "filter": view.words or None,
        "rules": [_rule(one) for one in view.rules],
        "entries": [_entry(one, view) for one in view.entries],
        "comparisons": [
            {
                "topic": one.topic,
                "entries": [entry.id for entry in one.entries],
                "low": one.low,
                "high": one.high,
                "contradict": one.apart,
            }
            for one in view.comparisons
        ],
        "other_uses": [{"what": one.what, "module": one.module, "evidence": one.evidence} for one in view.uses],
        "drives_nothing": [one.id for one in view.background],
        "sources": {
            one.key: {"citation": one.citation, "identifier": one.identifier, "note": one.note} for one in view.sources
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _rule(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "says": rule.says,
        "fires": rule.fires,
        "silent": rule.silent,
        "module": rule.module,
        "evidence": rule.evidence,
    }


def _entry(entry: EvidenceEntry, view: EvidenceView) -> dict[str, object]:
    return {
        "id": entry.id,
        "statement": entry.statement,
        "measure": entry.measure,
        "value": entry.value,
        "low": entry.low,
        "high": entry.high,
        "unit": entry.unit,
        "interval": entry.interval,
        "table": dict(entry.table),
        "population": entry.population,
        "grade": entry.grade,
        "status": entry.status,
        "reviewed_on": entry.reviewed_on.isoformat(),
        "sources": entry.sources,
        "note": entry.note,
        "fires_in": [rule.id for rule in view.book.citing(entry.id)],
        "used_by": [use.module for use in view.book.using(entry.id)],
    }
