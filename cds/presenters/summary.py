"""`CaseResult` to a few lines for the terminal: the call, what to do first, and where the files are."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.localisation.statements import translator
from cds.presenters import bone_age_view, combination_view, image_view, risk_words, wording
from cds.presenters.messages import case_warnings, explain
from cds.presenters.ordering import advice_by_harm, follow_up_by_due_week
from cds.presenters.translated import TranslatedReport
from fusion.results import Certainty, Statement, Urgency

_UNVERIFIED = " (unverified)"
SHOWN_LINES = 3
"""Lines of each list; the report holds the rest."""

_STYLES: dict[Urgency, str] = {
    Urgency.IMMEDIATE: "bold white on red",
    Urgency.WITHIN_HOURS: "bold black on yellow",
    Urgency.CLINIC: "bold white on blue",
    Urgency.ROUTINE: "bold",
}


def printable(text: str) -> str:
    """The text without control characters, so that no text of a record or a path can steer the terminal."""
    return "".join(" " if unicodedata.category(one).startswith("C") else one for one in text)


def _sentence(statement: Statement) -> str:
    """A statement in words; one that rests on nothing verified says so."""
    mark = _UNVERIFIED if statement.certainty is Certainty.UNVERIFIED else ""
    return printable(statement.text) + mark


def _shortened(lines: Iterable[str]) -> list[str]:
    every = list(lines)
    if len(every) <= SHOWN_LINES:
        return every
    return [*every[:SHOWN_LINES], f"and {len(every) - SHOWN_LINES} more in the report"]


def _radiograph(result: CaseResult) -> str:
    findings = result.findings
    if findings is None:
        return "not given"
    if findings.fracture_probability is not None:
        number = f", probability {image_view.probability(findings.fracture_probability)}"
    else:
        number = f", highest score {wording.score(findings.max_score)}" if findings.max_score is not None else ""
    reasons = "".join(f"; {reason}" for reason in image_view.reasons_not_judged(findings))
    return f"{wording.CALLS[findings.call]}{number}{reasons}"


def _together(result: CaseResult) -> list[str]:
    """Radiograph alone, patient alone, both together, in one line."""
    line = combination_view.summary_line(result)
    return [] if line is None else [printable(line)]


def _image_estimates(result: CaseResult) -> list[str]:
    """Pattern and measures of the first place; what was not measured is left to the report."""
    if result.findings is None or not result.findings.detections:
        return []
    first = result.findings.detections[0]
    measures = [f"{row.label}: {row.values[0]}" for row in image_view.geometry_rows(first.geometry) if row.values]
    return [*image_view.pattern_lines(first.pattern), *measures]


def _union(result: CaseResult) -> str:
    healing = result.assessment.healing
    if healing is None:
        return "not estimated"
    return (
        f"{wording.weeks(healing.low_weeks)} to {wording.weeks(healing.high_weeks)} weeks"
        f" (10th to 90th percentile), median {wording.weeks(healing.median_weeks)}"
    )


def _risk(result: CaseResult) -> list[str]:
    """Both probabilities, what their intervals mean, and the missing answer that would change the first one most."""
    risk = result.risk
    if risk is None:
        return [f"not estimated: {printable(result.risk_unavailable or 'no reason was given')}"]
    named = (("major", risk.major_osteoporotic), ("hip", risk.hip))
    numbers = "; ".join(
        f"{name} {wording.percent(one.value)} ({wording.percent(one.low)} to {wording.percent(one.high)})"
        for name, one in named
    )
    lines = [
        f"within {wording.number(risk.major_osteoporotic.horizon_years)} years: {numbers}",
        f"In brackets: {risk.interval_meaning}",
        *(f"Major, {change[:1].lower()}{change[1:]}" for change in risk_words.changes(risk.major_osteoporotic, 1)),
    ]
    found = risk.undiagnosed_osteoporosis
    if found is not None:
        chance = f"{wording.percent(found.value)} ({risk_words.interval(found.low, found.high)})"
        lines.append(f"Undiagnosed osteoporosis {chance}. {risk_words.referral(found)}")
    return [printable(line) for line in lines]


def _weak_bone(result: CaseResult) -> list[str]:
    fragility = result.assessment.fragility
    return [] if fragility is None else [_sentence(fragility.statement)]


def _actions(result: CaseResult) -> list[str]:
    """Advice, what may harm first."""
    return [
        f"{wording.capitalised(wording.words(one.agent))}, {wording.ACTIONS[one.action].lower()}:"
        f" {_sentence(one.statement)}"
        for one in advice_by_harm(result.assessment.supplementation)
    ]


def _follow_up(result: CaseResult) -> list[str]:
    return [
        f"{wording.capitalised(wording.when_weeks(one.earliest_week, one.latest_week))}: {printable(one.what)}"
        for one in follow_up_by_due_week(result.assessment.follow_up)
    ]


class _Reader:
    """Puts lines of the summary into the reader's language, part by part; what is not known stays English."""

    def __init__(self, result: CaseResult, language: Language) -> None:
        phrases = translator(language)
        self._report = None if phrases is None else TranslatedReport(phrases, result)

    def line(self, english: str) -> str:
        """One line: as a whole, else its label and what follows, else its parts, else its sentences."""
        if self._report is None:
            return english
        known = self._known(english)
        return english if known is None else known

    def _known(self, english: str) -> str | None:
        report = self._report
        if report is None or (whole := report.text(english)) is not None:
            return english if report is None else whole
        for gap in (_UNVERIFIED, "; ", ": ", ". ", ", "):
            first, found, rest = english.partition(gap)
            if not found:
                continue
            before = self._known(first)
            after = self._known(rest) if rest else ""
            if before is not None and after is not None:
                return f"{before}{f' {self.line(gap.strip())}' if gap == _UNVERIFIED else gap}{after}"
        return None


def _rows(result: CaseResult, reader: _Reader) -> Table:
    """The labelled lines; a label without a line is left out."""
    severity = result.assessment.severity
    warnings = explain(case_warnings(result))
    listed: list[tuple[str, list[str]]] = [
        ("Red flags", [f"! {_sentence(flag.statement)}" for flag in severity.red_flags]),
        ("Radiograph", [_radiograph(result)]),
        ("Together", _together(result)),
        ("Place 1", _shortened(_image_estimates(result))),
        ("Skeletal age", _shortened(map(printable, bone_age_view.summary_lines(result)))),
        ("Severity", [wording.SEVERITIES[severity.grade]]),
        ("Time to union", [_union(result)]),
        ("Weak bone", _weak_bone(result)),
        ("Next fracture", _risk(result)),
        ("Check", _shortened(map(_sentence, severity.clinician_must_check))),
        ("Safety", _shortened(_actions(result))),
        ("Follow-up", _shortened(_follow_up(result))),
        ("Data quality", _shortened(printable(one.text) for one in warnings)),
    ]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(ratio=1)
    for label, lines in listed:
        if lines:
            words = "\n".join(map(reader.line, lines))
            table.add_row(reader.line(label), Text(words, style="bold red" if label == "Red flags" else ""))
    return table


def print_summary(
    result: CaseResult, console: Console, files: Sequence[Path], language: Language = Language.EN
) -> None:
    """Prints one case in a panel, and the files that were written.

    Args:
        result: The case; any part of it may be missing.
        console: Where to print.
        files: Written files, in the order to list them.
        language: Of the reader; what no phrase knows stays English.
    """
    reader = _Reader(result, language)
    assessment = result.assessment
    urgency = assessment.severity.urgency
    head = Text(f" {reader.line(wording.URGENCIES[urgency])} ", style=_STYLES[urgency])
    head = Text.assemble(head, " ", (reader.line(_sentence(assessment.summary)), "bold"))
    panel = Panel(
        # The notice is a line of its own: as the panel's subtitle a narrow terminal would cut it off.
        Group(head, Text(), _rows(result, reader), Text(), Text(reader.line(wording.NOTICE), style="dim")),
        title=Text("fracture-cds"),
        title_align="left",
        padding=(1, 2),
    )
    console.print(panel)
    for file in files:
        wrote = f"{reader.line('wrote')} "
        console.print(Text.assemble((wrote, "dim"), printable(str(file))), soft_wrap=True)
