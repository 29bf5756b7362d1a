"""The last pages: what was not judged, the data given, method and sources."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.citations import link
from cds.presenters.messages import case_warnings, explain
from cds.presenters.pdf import styles
from cds.presenters.pdf.blocks import Heading, Story, empty, items, paragraph, statements, table
from cds.presenters.pdf.words import Words, badge, bold, code, escaped, muted
from cds.presenters.record_view import RecordView, context_view, patient_view
from fusion.results import Certainty, Statement


def statements_in(part: object) -> Iterator[Statement]:
    """Every statement within a part of the assessment, in the order of its fields."""
    if isinstance(part, Statement):
        yield part
    elif isinstance(part, tuple):
        for one in part:
            yield from statements_in(one)
    elif is_dataclass(part) and not isinstance(part, type):
        for field in fields(part):
            yield from statements_in(getattr(part, field.name))


def limits(result: CaseResult, words: Words) -> Story:
    """What was not judged, and the warnings on the data."""
    story: Story = [Heading("Not judged and missing")]
    story += statements(words, result.assessment.limitations) or [paragraph(escaped("Nothing was named."))]
    story.append(Heading("Data quality", level=1))
    lines = []
    for one in explain(case_warnings(result)):
        text = f"{escaped(one.text)} " if one.text != one.code else ""
        details = f" {muted('(' + ', '.join(one.details) + ')')}" if one.details else ""
        lines.append(f"{text}{code(one.code)}{details}")
    return story + (items(lines) or [paragraph(escaped("No warning was raised."))])


def further(result: CaseResult, words: Words) -> Story:
    """Statements that no section above shows; called last of all that write statements."""
    left = [one for one in dict.fromkeys(statements_in(result.assessment)) if not words.told(one)]
    return [Heading("Further statements"), *statements(words, left)] if left else []


def record(result: CaseResult) -> Story:
    """The data given: by the record, then by the clinician."""
    story: Story = [Heading("From the record")]
    patient = result.patient
    if patient is None:
        story.append(empty("No patient record was given."))
    else:
        sex = wording.words(patient.sex) if patient.sex is not None else "sex not recorded"
        age = f"{patient.age_years} years" if patient.age_years is not None else "age not recorded"
        when = wording.moment(patient.as_of)
        story.append(paragraph(f"Patient {code(patient.patient_id)}: {escaped(f'{sex}, {age}, as of {when}')}."))
        view = patient_view(patient)
        rows = [
            [
                escaped(row.label),
                escaped(row.value),
                ", ".join(map(code, row.sources)),
                escaped(row.date or "not dated"),
            ]
            for row in view.rows
        ]
        story += table(("Item", "Value", "Resource", "Date"), rows, (3, 3.4, 4.4, 1.8))
        if view.missing:
            text = (
                f"The record does not say: {', '.join(view.missing)}. Conditions and drugs not listed are not recorded,"
                " which does not mean absent."
            )
            story.append(paragraph(escaped(text), styles.SMALL))
    return [*story, Heading("From the clinician"), *_stated(context_view(result.context))]


def _stated(view: RecordView) -> Story:
    rows = [[escaped(row.label), escaped(row.value)] for row in view.rows]
    story = table(("Item", "Value"), rows, (3, 5)) or [empty("Nothing was stated.")]
    if view.missing:
        story.append(paragraph(escaped(f"Not stated: {', '.join(view.missing)}."), styles.SMALL))
    return story


def method(result: CaseResult) -> Story:
    """Models, evidence, engine, and what the marks mean."""
    rows: list[list[str]] = []
    if result.findings is not None:
        found = result.findings
        pixels = f"{found.width_px} {wording.TIMES} {found.height_px} pixels, SHA-256"
        rows.append([muted("Radiograph model"), f"{code(found.model_id)}<br/>{escaped(found.model_validation)}"])
        rows.append([muted("Radiograph"), f"{escaped(pixels)} {code(found.image_sha256)}"])
    if result.bone_age is not None:
        age = result.bone_age
        rows.append([muted("Skeletal-age model"), f"{code(age.model_id)}<br/>{escaped(age.model_validation)}"])
    if result.risk is not None:
        rows.append([muted("Risk model"), f"{code(result.risk.model_id)}<br/>{escaped(result.risk.model_validation)}"])
    evidence = ": severity, time to union, supplements and follow-up follow its cited rules."
    marks = "; ".join(f"{badge(one)} {escaped(wording.CERTAINTY_EXPLANATIONS[one])}" for one in Certainty)
    rows += [
        [muted("Evidence base"), f"{code(result.assessment.evidence_version)}{escaped(evidence)}"],
        [muted("Engine"), code(result.engine_version)],
        [muted("Certainty"), f"{marks}."],
    ]
    return [
        Heading("Models, method and validation"),
        paragraph(escaped(wording.INTENDED_USE)),
        *table((), rows, (2, 7)),
    ]


def sources(result: CaseResult) -> Story:
    """Every source in the order of its number, with its identifier."""
    story: Story = [Heading("Sources")]
    if not result.assessment.sources:
        return [*story, empty("No source was cited.")]
    for number, one in enumerate(result.assessment.sources, start=1):
        identifier = ""
        if one.identifier:
            address = link(one.identifier)
            shown = escaped(one.identifier)
            identifier = f' <a href="{escaped(address)}" color="#0b4f7d">{shown}</a>' if address else f" {shown}"
        text = (
            f'<a name="source-{number}"/>{bold(f"[{number}]")} {badge(one.certainty)} {escaped(one.citation)}'
            f"{identifier}<br/>{muted(one.statement)}"
        )
        story.append(paragraph(text, styles.SOURCE))
    return story
