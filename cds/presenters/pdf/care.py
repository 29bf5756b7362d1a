"""What to do: time to union, follow-up, skeletal age and growth, supplements and drug safety."""

from cds.case import CaseResult
from cds.presenters import bone_age_view, wording
from cds.presenters.figures import healing_bar, timeline
from cds.presenters.html import time_effect
from cds.presenters.ordering import advice_by_harm, follow_up_by_due_week
from cds.presenters.pdf import styles
from cds.presenters.pdf.blocks import Heading, Story, empty, facts, paragraph, statements, table
from cds.presenters.pdf.drawings import Interval, TimeBar
from cds.presenters.pdf.words import Words, bold, escaped, muted
from fusion.results import HealingEstimate, HealingWhatIf

_HEALING_UNITS = 640.0
"""Width of the drawing of `healing_bar`, in its units."""
_TIMELINE_SHARE = 2.6


def healing(result: CaseResult, words: Words) -> Story:
    """Weeks to union, what moved them, non-union."""
    story: Story = [Heading("Time to union")]
    estimate = result.assessment.healing
    if estimate is None:
        return [*story, empty("Not estimated; see “Not judged and missing”.")]
    low, median, high = map(wording.weeks, (estimate.low_weeks, estimate.median_weeks, estimate.high_weeks))
    alt = f"Time to union: {low} to {high} weeks, median {median} weeks"
    story += [
        paragraph(
            f"{bold(f'{low} to {high} weeks')} (10th to 90th percentile), median {median} weeks after the injury.",
            styles.FIGURE,
        ),
        Interval(healing_bar(estimate), alt, units=_HEALING_UNITS, width=styles.FRAME_WIDTH),
        paragraph(f"Starting point: {words.say(estimate.baseline)}"),
    ]
    rows = [
        [bold(wording.capitalised(wording.words(one.factor))), escaped(time_effect(one)), words.say(one.statement)]
        for one in estimate.factors
    ]
    if rows:
        caption = paragraph(escaped("What moved the time or the risk of non-union"), styles.CAPTION)
        story += [caption, *table(("Factor", "Effect on time", "Details"), rows, (2.6, 2.6, 7))]
    return story + _nonunion(estimate, words) + _what_if(estimate.what_if, words)


def _nonunion(estimate: HealingEstimate, words: Words) -> Story:
    story: Story = []
    if estimate.nonunion is not None:
        span = ""
        if estimate.nonunion_low is not None and estimate.nonunion_high is not None:
            ends = f"{wording.percent(estimate.nonunion_low)} to {wording.percent(estimate.nonunion_high)}"
            span = f", {bold(ends)}"
        story.append(paragraph(f"Non-union{span}: {words.say(estimate.nonunion)}"))
    return story + statements(words, estimate.notes)


def _what_if(cases: tuple[HealingWhatIf, ...], words: Words) -> Story:
    rows = [
        [
            bold("Without " + wording.words(one.factor)),
            escaped(f"{wording.weeks(one.low_weeks)} to {wording.weeks(one.high_weeks)} weeks"),
            words.say(one.statement),
        ]
        for one in cases
    ]
    if not rows:
        return []
    caption = "People otherwise alike, without one factor that can change: an association, not a promise"
    return [paragraph(escaped(caption), styles.CAPTION), *table(("Supposed", "Weeks", "Details"), rows, (2.6, 2.6, 7))]


def follow_up(result: CaseResult, words: Words) -> Story:
    """Appointments with their bars on one axis of weeks."""
    story: Story = [Heading("Follow-up")]
    ordered = follow_up_by_due_week(result.assessment.follow_up)
    if not ordered:
        return [*story, empty("No follow-up was proposed.")]
    last, bars = timeline(ordered)
    shares = (2.3, _TIMELINE_SHARE, 2.7, 6)
    width = styles.FRAME_WIDTH * _TIMELINE_SHARE / sum(shares) - 6
    rows = []
    for one, bar in zip(ordered, bars, strict=True):
        when = wording.capitalised(wording.when_weeks(one.earliest_week, one.latest_week))
        urgency = f'<br/><font size="7.2">{muted(wording.URGENCIES[one.urgency])}</font>'
        drawn = None if bar is None else TimeBar(bar, when, width=width)
        rows.append([escaped(when) + urgency, drawn, bold(one.what), words.say(one.statement)])
    head = ("When", f"Weeks 0 to {wording.weeks(last)} after injury", "What", "Details")
    return story + table(head, rows, shares)


def skeletal_age(result: CaseResult, words: Words) -> Story:
    """Skeletal age and growth; nothing where neither is a subject."""
    shown, growth = bone_age_view.facts(result), result.assessment.growth
    if not shown and not growth:
        return []
    story: Story = [Heading("Skeletal age and growth" if growth else "Skeletal age"), *facts(shown)]
    story += statements(words, growth)
    notes = bone_age_view.notes(result.bone_age) if result.bone_age is not None else ()
    return story + [paragraph(escaped(one), styles.SMALL) for one in notes]


def safety(result: CaseResult, words: Words) -> Story:
    """Supplements and drug safety, what may harm first."""
    story: Story = [Heading("Supplements and drug safety")]
    advice = advice_by_harm(result.assessment.supplementation)
    if not advice:
        return [*story, empty("No advice was given.")]
    rows = []
    for one in advice:
        amount = wording.dose(one.dose_low, one.dose_high, one.dose_unit)
        dose = f" {bold(amount)}" if amount else ""
        rows.append(
            [
                bold(wording.ACTIONS[one.action]),
                escaped(wording.capitalised(wording.words(one.agent))),
                f"{words.sentence(one.statement)}{dose} {words.marks(one.statement)}",
                words.origins(one.statement.record, full=True),
            ]
        )
    head = ("Action", "Agent", "Advice, for the clinician to confirm", "Because of")
    return story + table(head, rows, (1.9, 2.3, 6, 3.9))
