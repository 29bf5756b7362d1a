"""Weak bone or force, image and patient together, and the risk of a next fracture with its steps."""

from dataclasses import fields

from reportlab.platypus import Table

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.pdf import styles
from cds.presenters.pdf.blocks import Heading, Story, empty, items, paragraph, statements, table
from cds.presenters.pdf.drawings import Interval, Steps
from cds.presenters.pdf.words import Words, bold, escaped
from cds.presenters.risk_view import (
    ChangeRow,
    ChangeView,
    ProbabilityView,
    change_view,
    osteoporosis_view,
    probability_views,
)
from cds.presenters.risk_words import CAVEAT
from cds.presenters.waterfall import Waterfall, from_log_odds
from fusion.results import CombinedEstimate, CombinedProbability
from tabular.results import RiskEstimate

_RISK_UNITS = 400.0
"""Width of the drawings of `cds.presenters.risk_view`, in their units."""
_HALF = styles.FRAME_WIDTH / 2
_QUESTIONS: dict[str, str] = {"broken_now": "Is it broken now?", "weak_bone": "Is the bone weak?"}


def fragility(result: CaseResult, words: Words) -> Story:
    """Weak bone or force alone; nothing without a fracture."""
    found = result.assessment.fragility
    if found is None:
        return []
    story: Story = [Heading("Weak bone or force alone"), paragraph(words.say(found.statement))]
    if found.reasons:
        story += [Heading("Reasons", level=1), *statements(words, found.reasons)]
    if found.remarks:
        story += [Heading("Keep in mind", level=1), *statements(words, found.remarks)]
    return story


def combined(result: CaseResult, words: Words) -> Story:
    """The numbers of image alone, patient alone and both together; nothing where no question is asked."""
    assessed = result.assessment.combined
    asked: list[CombinedProbability] = []
    if assessed is not None:
        asked = [one for field in fields(assessed) if (one := getattr(assessed, field.name)) is not None]
    if not asked:
        return []
    story: Story = [Heading("Image and patient together")]
    for one in asked:
        story += _question(one, words)
    return story


def _question(one: CombinedProbability, words: Words) -> Story:
    story: Story = [
        Heading(_QUESTIONS.get(one.question, wording.capitalised(wording.words(one.question))), level=1),
        paragraph(words.say(one.statement)),
    ]
    parts = (("Image alone", one.image), ("Patient alone", one.patient), ("Together", one.together))
    rows = [[bold(label), escaped(_estimate(part)), words.say(part.statement)] for label, part in parts]
    story += table(("From", "Number", "In words"), rows, (2, 3, 7))
    steps = [
        [
            escaped(part.label),
            escaped(f"{wording.signed(part.log_odds)} ({wording.signed(part.low)} to {wording.signed(part.high)})"),
            words.say(part.statement),
        ]
        for part in one.contributions
    ]
    if steps:
        story.append(
            paragraph(escaped("What each contributed, in log-odds; they add up to the last number"), styles.CAPTION)
        )
        story += table(("Fact", "Log-odds", "Details"), steps, (3, 3.4, 6))
    if one.not_counted:
        story += [paragraph(bold("Known, but not counted")), *statements(words, one.not_counted)]
    return story + statements(words, one.remarks)


def _estimate(one: CombinedEstimate) -> str:
    if one.low is None or one.high is None:
        return "not known"
    span = f"{wording.percent(one.low)} to {wording.percent(one.high)}"
    return span if one.value is None else f"{wording.percent(one.value)} ({span})"


def risk(result: CaseResult, words: Words) -> Story:
    """Both probabilities with their steps, what would change them, undiagnosed osteoporosis."""
    story: Story = [Heading("Risk of a next fracture")]
    estimate = result.risk
    if estimate is None:
        story.append(empty(f"Not estimated: {result.risk_unavailable or 'no reason was given.'}"))
    else:
        views = probability_views(estimate)
        for view in views:
            story += _probability(view, words)
        story += _drawings(views) + _meaning(estimate)
        changes = change_view(estimate)
        if changes is not None:
            story += _changes(changes, views)
        story += _osteoporosis(estimate)
    return story + statements(words, result.assessment.risk_statements)


def _probability(view: ProbabilityView, words: Words) -> Story:
    one = view.probability
    value, low, high = map(wording.percent, (one.value, one.low, one.high))
    years = wording.number(one.horizon_years)
    story: Story = [
        Heading(wording.OUTCOMES.get(one.outcome, wording.words(one.outcome)), level=1),
        paragraph(f"{bold(value)} within {years} years (interval {low} to {high})", styles.FIGURE),
        Interval(view.bar, f"{value}, interval {low} to {high}", units=_RISK_UNITS, width=0.75 * styles.FRAME_WIDTH),
    ]
    model = f"Model alone {bold(wording.percent(one.model_value))}"
    if one.adjustments:
        added = ", ".join(
            f"{escaped(wording.words(part.factor))} (hazard {wording.TIMES} {wording.ratio(part.ratio)})"
            f"{words.cites([part.evidence_id])}"
            for part in one.adjustments
        )
        story.append(paragraph(f"{model}; adjusted {bold(value)} for {added}."))
    else:
        story.append(paragraph(f"{model}; no published factor was added."))
    if view.moved:
        story.append(paragraph(escaped(" ".join(view.moved))))
    return story


def _drawings(views: tuple[ProbabilityView, ...]) -> Story:
    """The waterfalls side by side, and the same in numbers."""
    drawn = [view.drawing for view in views if view.drawing is not None]
    if not drawn:
        return []
    cells = [[paragraph(bold(one.title), styles.CELL_SMALL), Steps(one, width=_HALF - 8)] for one in drawn]
    made = Table([cells], colWidths=[_HALF] * len(cells), hAlign="LEFT")
    made.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
    legend = "Arrow to the right: raises; to the left: lowers."
    if any(one.has_added for one in drawn):
        legend += " Hollow arrow: added to the model."
    story: Story = [made, paragraph(escaped(f"{legend} Equal lengths are equal factors on the odds."), styles.SMALL)]
    for one in drawn:
        story += _numbers(one)
    return story


def _numbers(one: Waterfall) -> Story:
    rows = [["Starting point", "", wording.signed(one.start), escaped(wording.percent(from_log_odds(one.start)))]]
    rows += [
        [
            escaped(step.label),
            escaped(step.effect),
            wording.signed(step.end - step.start),
            escaped(wording.percent(step.after)),
        ]
        for step in one.steps
    ]
    rows.append(["Sum", "", wording.signed(one.end), escaped(wording.percent(from_log_odds(one.end)))])
    caption = f"{one.title}; log-odds add up to the last line"
    head = ("Step", "Effect", "Log-odds", "Then")
    return [
        paragraph(escaped(caption), styles.CAPTION),
        *table(head, rows, (5, 2.6, 1.6, 1.4), style=styles.CELL_SMALL, width=0.8 * styles.FRAME_WIDTH),
    ]


def _meaning(estimate: RiskEstimate) -> Story:
    missing = ""
    if estimate.missing:
        missing = f" The model did without: {', '.join(map(wording.feature_name, estimate.missing))}."
    story: Story = []
    if estimate.anchor is not None:
        moved = f"Starting points were moved to the mean risk of: {estimate.anchor}"
        text = f"{moved}, where its table covers this age and sex."
        story.append(paragraph(f"{bold('Population.')} {escaped(text)}", styles.SMALL))
    interval = f"{bold('What the interval means.')} {escaped(estimate.interval_meaning + missing)}"
    steps = f"{bold('What the steps mean.')} {escaped(CAVEAT)}"
    return [*story, paragraph(interval, styles.SMALL), paragraph(steps, styles.SMALL)]


def _changes(changes: ChangeView, views: tuple[ProbabilityView, ...]) -> Story:
    story: Story = [Heading("What would change these numbers", level=1)]
    names = [view.probability.outcome for view in views]
    outcomes = [wording.capitalised(wording.SHORT_OUTCOMES.get(name, wording.words(name))) for name in names]
    if changes.missing:
        caption = (
            "Answers that are missing: where the number would lie if they were known, and what would become of the"
            " interval"
        )
        rows = [_change_row(row) for row in changes.missing]
        story.append(paragraph(escaped(caption), styles.CAPTION))
        story += table(("If it were known", *outcomes), rows, (3, 4.5, 4.5))
    if changes.habits:
        caption = (
            "Habits that can be given up: the number of a person alike without them. Stopping does not give that number"
            " at once."
        )
        now = [wording.percent(view.probability.value) for view in views]
        rows = [
            [
                bold(row.what),
                *(escaped(f"{value} instead of {was}") for value, was in zip(row.values, now, strict=True)),
            ]
            for row in changes.habits
        ]
        story.append(paragraph(escaped(caption), styles.CAPTION))
        story += table(("Without it", *outcomes), rows, (3, 4.5, 4.5))
    story.append(paragraph(escaped("Where the supposed answers come from"), styles.CAPTION))
    return story + items(map(escaped, changes.origins), style=styles.SMALL)


def _change_row(row: ChangeRow) -> list[str]:
    told = zip(row.values, row.intervals, strict=True)
    cells = [escaped(value) + (f'<br/><font size="7.2">{escaped(span)}</font>' if span else "") for value, span in told]
    return [bold(row.what), *cells]


def _osteoporosis(estimate: RiskEstimate) -> Story:
    view = osteoporosis_view(estimate)
    if view is None:
        return []
    story: Story = [Heading("Osteoporosis likely though undiagnosed", level=1)]
    found = view.estimate
    if found is None or view.bar is None:
        return [*story, empty(f"Not estimated: {view.absent}")]
    value, low, high = map(wording.percent, (found.value, found.low, found.high))
    what = f"probability of a femoral neck T-score of −2.5 or lower (interval {low} to {high})"
    return [
        *story,
        paragraph(f"{bold(value)} {escaped(what)}", styles.FIGURE),
        Interval(view.bar, f"{value}, interval {low} to {high}", units=_RISK_UNITS, width=0.75 * styles.FRAME_WIDTH),
        paragraph(escaped(" ".join((view.meaning, *view.moved)))),
        paragraph(escaped(f"{found.interval_meaning} {found.validation}"), styles.SMALL),
    ]
