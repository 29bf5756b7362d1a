"""The first pages: what is urgent, the radiograph, findings, severity, the marked places."""

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Spacer, Table

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.figures import overlay
from cds.presenters.html import image_alt
from cds.presenters.image_view import image_facts, rate, reasons_not_judged
from cds.presenters.pdf import styles
from cds.presenters.pdf.blocks import Heading, Story, beside, empty, facts, framed, items, paragraph, statements, table
from cds.presenters.pdf.drawings import Picture, Radiograph
from cds.presenters.pdf.words import Words, bold, code, escaped, muted
from cds.presenters.places import HEAT_WARNING, Place
from fusion.results import Urgency
from imaging.results import FractureCall, FractureDetection, ImageFindings

_FRAMES: dict[Urgency, tuple[str, str]] = {
    Urgency.IMMEDIATE: ("#8c1d18", "#fdf0ef"),
    Urgency.WITHIN_HOURS: ("#b45309", "#fff6ea"),
    Urgency.CLINIC: ("#0b4f7d", "#eef5fa"),
    Urgency.ROUTINE: ("#5b6b7a", "#f3f6f9"),
}
_IMAGE_HEIGHT = 92 * mm
_PICTURE_COLUMNS = 4
_PICTURE_HEIGHT = 62 * mm
_PICTURES_HEIGHT = _PICTURE_HEIGHT + 70
"""A row of pictures with captions and what stands above it."""
_GAP = 12.0
_FACTS_WIDTH = 78 * mm
"""The least that the facts beside the radiograph need."""


def overview(result: CaseResult, words: Words) -> Story:
    """Title, who and when, urgency with summary and red flags, the key numbers."""
    assessment, severity = result.assessment, result.assessment.severity
    line, ground = _FRAMES[severity.urgency]
    banner: Story = [
        paragraph(f'<font color="{line}">Urgency: {escaped(wording.URGENCIES[severity.urgency])}</font>', styles.LEAD),
        paragraph(words.say(assessment.summary)),
    ]
    if severity.red_flags:
        banner.append(paragraph(bold("Red flags")))
        banner += items(
            f"{bold(wording.URGENCIES[flag.urgency] + ':')} {words.say(flag.statement)}" for flag in severity.red_flags
        )
    return [
        paragraph(escaped("Fracture assessment"), styles.TITLE),
        paragraph(_meta(result), styles.SMALL),
        *framed(banner, line=line, ground=ground),
        _tiles(result),
        Spacer(1, 3),
    ]


def _meta(result: CaseResult) -> str:
    patient, findings = result.patient, result.findings
    parts = [muted("No patient record")]
    if patient is not None:
        sex = f", {escaped(wording.words(patient.sex))}" if patient.sex is not None else ""
        age = f", {patient.age_years} years" if patient.age_years is not None else ""
        parts = [f"Patient {bold(patient.patient_id)}{sex}{age}"]
    if findings is not None and findings.region is not None:
        side = wording.LATERALITIES.get(findings.laterality or "", findings.laterality or "")
        place = wording.capitalised(" ".join(one for one in (side, wording.words(findings.region)) if one))
        source = findings.region_source
        from_where = f" (region {wording.REGION_SOURCES.get(source, wording.words(source))})" if source else ""
        parts.append(escaped(f"{place}{from_where}"))
    parts += [escaped(wording.moment(result.assessment.created)), f"Case {code(result.case_id)}"]
    return " &#183; ".join(parts)


def _tiles(result: CaseResult) -> Flowable:
    healing, risk = result.assessment.healing, result.risk
    severity = wording.SEVERITIES[result.assessment.severity.grade]
    horizon = f", {wording.number(risk.major_osteoporotic.horizon_years)} years" if risk is not None else ""
    union, median = "Not estimated", ""
    if healing is not None:
        union = f"{wording.weeks(healing.low_weeks)} to {wording.weeks(healing.high_weeks)} weeks"
        median = f"median {wording.weeks(healing.median_weeks)}"
    major = "Not estimated" if risk is None else f"major {wording.percent(risk.major_osteoporotic.value)}"
    hip = "" if risk is None else f"hip {wording.percent(risk.hip.value)}"
    tiles = (
        ("Radiograph", *_call(result.findings)),
        ("Severity", severity, ""),
        ("Time to union", union, median),
        (f"Next fracture{horizon}", major, hip),
    )
    cells = [
        [paragraph(muted(label), styles.CELL_SMALL), paragraph(bold(value), styles.CELL)]
        + ([paragraph(escaped(more), styles.CELL_SMALL)] if more else [])
        for label, value, more in tiles
    ]
    made = Table([cells], colWidths=[styles.FRAME_WIDTH / len(cells)] * len(cells), hAlign="LEFT")
    made.setStyle(
        [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("BACKGROUND", (0, 0), (-1, -1), styles.SOFT),
            ("LINEAFTER", (0, 0), (-2, -1), 4, "white"),
            ("LEFTPADDING", (0, 0), (-1, -1), 7),
            ("TOPPADDING", (0, 0), (-1, -1), 4),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
        ]
    )
    return made


def _call(findings: ImageFindings | None) -> tuple[str, str]:
    if findings is None:
        return "Not given", ""
    number = findings.fracture_probability
    if number is not None:
        value, low, high = map(wording.percent, (number.value, number.low, number.high))
        return wording.CALLS[findings.call], f"probability {value} ({low} to {high})"
    score = "" if findings.max_score is None else f"highest score {wording.score(findings.max_score)}"
    return wording.CALLS[findings.call], score


def radiograph(result: CaseResult) -> Story:
    """The radiograph with its boxes, what the network says of it as a whole, its legend."""
    story: Story = [Heading("Radiograph")]
    if result.radiograph is None:
        text = "No radiograph was given." if result.findings is None else "The radiograph is not kept with this result."
        return [*story, empty(text), *_facts(result, width=styles.FRAME_WIDTH)]
    drawn = overlay(result.findings) if result.findings is not None else None
    alt = image_alt(result.findings)
    pixels = result.radiograph.pixels
    picture = Radiograph(pixels, drawn, alt, width=styles.FRAME_WIDTH, height=_IMAGE_HEIGHT)
    legend = [muted(alt)]
    if drawn is not None and drawn.marks:
        legend.append(
            muted("Solid box: definite (high-specificity point); dotted box: suspected (high-sensitivity point).")
        )
    if result.radiograph.synthetic:
        legend.append(bold("Synthetic phantom: carries no patient."))
    room = styles.FRAME_WIDTH - picture.width - _GAP
    note = paragraph(" ".join(legend), styles.SMALL)
    if room >= _FACTS_WIDTH:
        return [*story, *beside(picture, _facts(result, width=room), gap=_GAP), note]
    return [*story, picture, note, *_facts(result, width=styles.FRAME_WIDTH)]


def _facts(result: CaseResult, *, width: float) -> Story:
    """The call, why it was not judged, and what is known of the radiograph as a whole."""
    found = result.findings
    if found is None:
        return []
    call = f"{bold(wording.CALLS[found.call] + '.')} {escaped(wording.CALL_EXPLANATIONS[found.call])}"
    reasons = items(map(escaped, reasons_not_judged(found)))
    return [paragraph(call), *reasons, *facts(image_facts(found, result.context), width=width)]


def findings(result: CaseResult, words: Words) -> Story:
    """What the network says of the radiograph, what the clinician must check, how severe it is."""
    severity = result.assessment.severity
    story: Story = [Heading("Findings"), *_findings(result)]
    if severity.clinician_must_check:
        story += [Heading("The clinician must check"), *statements(words, severity.clinician_must_check, boxes=True)]
    if severity.reasons:
        grade = wording.SEVERITIES[severity.grade].lower()
        story += [Heading(f"Severity: {grade}"), *statements(words, severity.reasons)]
    if severity.not_judged:
        story += [Heading("Not judged"), *statements(words, severity.not_judged)]
    return story


def _findings(result: CaseResult) -> Story:
    found = result.findings
    if found is None:
        return [empty("No radiograph was assessed.")]
    story: Story = []
    if found.detections:
        head = ("No.", "Call", "Class", "Score", "Box size")
        rows = [_detection_row(place, one, found) for place, one in enumerate(found.detections, start=1)]
        story += table(head, rows, (1, 3, 3, 2, 5))
        story.append(
            paragraph(
                escaped("A score is not a probability. A box is not a measurement of the fracture."), styles.SMALL
            )
        )
    return story + _operating_points(found)


def _detection_row(place: int, one: FractureDetection, found: ImageFindings) -> list[str]:
    line = "solid" if one.call is FractureCall.DEFINITE else "dotted"
    size = wording.box_size(one.box_width_mm, one.box_height_mm, found.spacing)
    cells = (str(place), f"{wording.words(one.call)} ({line})", one.label, wording.score(one.score), size)
    return [escaped(cell) for cell in cells]


def _operating_points(found: ImageFindings) -> Story:
    points = found.operating_points
    if not points:
        return []
    bound = '; "at least" is the lower 95% bound' if any(one.sensitivity_low is not None for one in points) else ""
    rows = [
        [
            escaped(wording.OPERATING_POINTS.get(one.name, wording.words(one.name))),
            wording.score(one.threshold),
            escaped(rate(one.sensitivity, one.sensitivity_low)),
            escaped(rate(one.specificity, one.specificity_low)),
        ]
        for one in points
    ]
    caption = f"Operating points as measured for this model, per image{bound}"
    head = ("Point", "Score from", "Sensitivity", "Specificity")
    return [paragraph(escaped(caption), styles.CAPTION), *table(head, rows, (4, 1.6, 3.4, 3.4))]


def marked_places(shown: tuple[Place, ...]) -> Story:
    """Pattern, measures and pictures of each place."""
    if not shown:
        return []
    note = (
        "Pattern and measures below are the image's estimates. The pattern enters no rule of this report; a measured"
        " displacement, angulation or shortening raises the severity only when its whole interval lies beyond a limit."
        " State what you read yourself."
    )
    story: Story = [Heading("The marked places"), paragraph(escaped(note), styles.SMALL)]
    for place in shown:
        story += _place(place)
    return story


def _place(place: Place) -> Story:
    call, score = wording.words(place.detection.call), place.detection.score
    story: Story = [Heading(f"Place {place.number}: {call}, score {wording.score(score)}", level=1)]
    story += items(map(escaped, place.pattern)) or [empty("The pattern was not estimated.")]
    if place.unmeasured:
        story.append(paragraph(muted(f"Geometry not measured: {place.unmeasured}"), styles.SMALL))
    elif place.geometry:
        caption = "Measured from the bone's edges on the image, with the 90% interval"
        rows = []
        for row in place.geometry:
            cells = [escaped(value) for value in row.values]
            if row.reason:
                cells.append(muted(("" if row.values else "Not measured: ") + row.reason))
            rows.append([escaped(row.label), "<br/>".join(cells)])
        story += [paragraph(escaped(caption), styles.CAPTION), *table(("Measure", "Value"), rows, (2, 4))]
    else:
        story.append(empty("Its geometry was not measured."))
    return story + _pictures(place)


def _pictures(place: Place) -> Story:
    """Traced geometry and heat maps, in rows."""
    pictures = [*((place.drawing,) if place.drawing is not None else ()), *place.heat]
    story: Story = [CondPageBreak(_PICTURES_HEIGHT)] if pictures else []
    if place.heat:
        story.append(paragraph(bold(HEAT_WARNING), styles.SMALL))
    width = styles.FRAME_WIDTH / _PICTURE_COLUMNS
    for start in range(0, len(pictures), _PICTURE_COLUMNS):
        chosen = pictures[start : start + _PICTURE_COLUMNS]
        cells = [
            [
                Picture(one.address, one.alt, width=width - 8, height=_PICTURE_HEIGHT),
                paragraph(f"{bold(one.title)} {muted(one.caption)}", styles.CELL_SMALL),
            ]
            for one in chosen
        ]
        made = Table([cells], colWidths=[width] * len(chosen), hAlign="LEFT")
        made.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])
        story += [made, Spacer(1, 4)]
    return story
