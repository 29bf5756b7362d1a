"""The change report: what changes, from which data, by which method, with which evidence, and the way back.

The sections follow a predetermined change control plan (FDA guidance of December 2024: description of modifications,
modification protocol, impact assessment), so that a reader who knows that form finds each part in its place.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from cds.errors import OutputError
from cds.learning.gate import METRIC_WORDS
from cds.learning.margins import Margins
from cds.learning.provenance import Provenance
from cds.learning.verdict import Difference, Standing, SubgroupResult, Verdict

SCHEMA: Final = "fracture-cds.change-report/1"
STANDING_WORDS: Final = {
    Standing.HELD: "holds",
    Standing.NOT_SHOWN: "not shown to hold",
    Standing.FELL: "falls",
    Standing.MISSING: "missing",
    Standing.SHOWN_ONLY: "shown only",
}
LEAST_SPAN: Final = 0.02
"""Half the width of an axis is at least this much, in the metric's unit."""
ROW_PX, LEFT_PX, WIDE_PX, RIGHT_PX, TOP_PX = 34, 300, 380, 210, 26
ROOM_PX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeReport:
    """Everything that the report says."""

    verdict: Verdict
    margins: Margins
    provenance: Provenance | None
    created: str
    """ISO 8601."""
    by: str
    why: str
    dry_run: bool
    current_facts: dict[str, Any]
    candidate_facts: dict[str, Any]

    @property
    def rollback(self) -> str:
        """The command that takes the change back."""
        return f'cds learn rollback --kind {self.verdict.kind.replace("_", "-")} --by NAME --reason "TEXT"'

    @property
    def outcome(self) -> str:
        """The decision in one word or two."""
        if self.dry_run:
            return "would pass (dry run)" if self.verdict.promoted else "would be refused (dry run)"
        return "promoted" if self.verdict.promoted else "refused"

    def as_document(self) -> dict[str, Any]:
        """Plain content for JSON; of the training data only their number, not their digests."""
        origin = self.provenance
        return {
            "schema": SCHEMA,
            "created": self.created,
            "decided_by": self.by,
            "why": self.why,
            "dry_run": self.dry_run,
            "outcome": self.outcome,
            "current": self.current_facts,
            "candidate": self.candidate_facts,
            "provenance": None
            if origin is None
            else {
                "parent": origin.parent,
                "why": origin.why,
                "method": origin.method,
                "created": origin.created,
                "data": [dict(one) for one in origin.data],
                "items": len(origin.digests),
            },
            "margins": asdict(self.margins),
            "verdict": self.verdict.as_document(),
            "rollback": self.rollback,
        }


def write_report(report: ChangeReport, folder: Path, *, name: str | None = None) -> Path:
    """Write the report as HTML and as JSON.

    Args:
        report: what to write.
        folder: where to; made when it does not exist.
        name: of the two files, without ending; a new one from time and model where None.

    Returns:
        The HTML page.

    Raises:
        OutputError: it cannot be written.
    """
    stem = name or f"{report.created[:19].replace(':', '')}-{report.verdict.candidate_id}-{uuid4().hex[:6]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        document = json.dumps(_finite(report.as_document()), indent=1, default=str)
        (folder / f"{stem}.json").write_text(document + "\n", encoding="utf-8")
        (folder / f"{stem}.html").write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The change report cannot be written: {error.strerror or type(error).__name__}.",
            remedy="Give a folder that can be written. The model in use was not changed.",
        ) from None
    return folder / f"{stem}.html"


def page(report: ChangeReport) -> str:
    """The report as one HTML page that loads nothing."""
    environment = Environment(
        loader=PackageLoader("cds.learning", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    verdict = report.verdict
    return environment.get_template("change_report.html").render(
        report=report,
        verdict=verdict,
        words=METRIC_WORDS,
        standings=STANDING_WORDS,
        plot=forest(verdict.differences, confidence=verdict.confidence),
        tables=_tables(verdict.subgroups),
    )


def figure(value: float | None, *, signed: bool = False) -> str:
    """Three decimals; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    return (f"{value:+.3f}" if signed else f"{value:.3f}").replace("-", "\N{MINUS SIGN}")


def forest(differences: Sequence[Difference], *, confidence: float) -> Markup:
    """SVG: the gain of each metric with its interval, and its margin, each row on an axis of its own scale.

    An axis spans twice the largest of margin and interval, so that the margin is seen in every row.
    """
    rows = [one for one in differences if math.isfinite(one.gain)]
    height = TOP_PX + ROW_PX * len(rows) + 30
    width = LEFT_PX + WIDE_PX + RIGHT_PX
    middle = LEFT_PX + WIDE_PX / 2
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Gains of the candidate with intervals">',
        f'<text class="axis" x="{LEFT_PX}" y="14">worse</text>',
        f'<text class="axis" x="{LEFT_PX + WIDE_PX}" y="14" text-anchor="end">better</text>',
        f'<line class="zero" x1="{middle}" x2="{middle}" y1="{TOP_PX}" y2="{height - 28}"/>',
    ]
    for number, one in enumerate(rows):
        y = TOP_PX + ROW_PX * number + ROW_PX / 2
        low, high = (value if math.isfinite(value) else one.gain for value in (one.low, one.high))
        span = 1.15 * max(abs(low), abs(high), one.margin or 0.0, LEAST_SPAN)

        def at(value: float, span: float = span) -> float:
            return round(middle + value / span * WIDE_PX / 2, 1)

        parts.append(f'<text x="{LEFT_PX - 12}" y="{y + 4}" text-anchor="end">{METRIC_WORDS.get(one.metric)}</text>')
        if one.margin is not None:
            edge = at(-one.margin)
            inside = edge - LEFT_PX >= ROOM_PX
            place = f'x="{edge - 3}" text-anchor="end"' if inside else f'x="{edge + 3}"'
            parts.append(
                f'<rect class="beyond" x="{LEFT_PX}" y="{y - 12}" width="{edge - LEFT_PX}" height="24"/>'
                f'<text class="margin" {place} y="{y - 4}">&#8722;{one.margin:g}</text>'
            )
        shape = f"{one.standing.value}"
        parts.append(
            f'<line class="{shape}" x1="{at(low)}" x2="{at(high)}" y1="{y}" y2="{y}"/>'
            f'<circle class="{shape}" cx="{at(one.gain)}" cy="{y}" r="5"/>'
            f'<text class="{shape}" x="{LEFT_PX + WIDE_PX + 12}" y="{y + 4}">{figure(one.gain, signed=True)}'
            f" · {STANDING_WORDS[one.standing]}</text>"
        )
    parts.append(
        f'<text class="axis" x="12" y="{height - 8}">Dot: gain. Line: from the lower to the upper'
        f" {100 * confidence:g} % bound. Shaded: beyond the margin. Each row has its own scale.</text></svg>"
    )
    return Markup("".join(parts))  # numbers and words of this program alone


def _tables(subgroups: Sequence[SubgroupResult]) -> dict[str, list[SubgroupResult]]:
    """Column to its rows, the largest first."""
    tables: dict[str, list[SubgroupResult]] = {}
    for one in subgroups:
        tables.setdefault(one.column, []).append(one)
    return {column: sorted(rows, key=lambda row: -row.n) for column, rows in sorted(tables.items())}


def _finite(value: Any) -> Any:
    """The same with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
