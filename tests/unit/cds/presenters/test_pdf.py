"""The PDF: every statement of the HTML report is in it, nothing is cut, nothing of the patient is in its metadata."""

import io
import re
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from pypdf.generic import IndirectObject

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.presenters.html import render_html
from cds.presenters.pdf.blocks import held_together, paragraph
from cds.presenters.pdf.document import render_pdf
from cds.presenters.pdf.ending import further, statements_in
from cds.presenters.pdf.styles import register_fonts
from cds.presenters.pdf.words import Words, escaped
from cds.presenters.wording import INTENDED_USE, NOTICE
from fusion.results import (
    Certainty,
    CombinedAssessment,
    CombinedEstimate,
    CombinedPart,
    CombinedProbability,
    FragilityAssessment,
    FragilityVerdict,
    HealingWhatIf,
    LogOddsContribution,
    Statement,
)
from imaging.results import BoneAgeEstimate
from tests.support.cases import all_cases, full_case

A4_POINTS = (595, 841)


@cache
def _pdf(name: str) -> bytes:
    return render_pdf(_cases()[name])


@cache
def _cases() -> dict[str, CaseResult]:
    return {**all_cases(), "rich": _rich()}


def _say(text: str) -> Statement:
    return Statement(id="example.rule", text=text, certainty=Certainty.COMPUTED, evidence=("SCOT_MTC",))


def _rich() -> CaseResult:
    """The full case with the parts that not every case has."""
    full = full_case()
    assert full.assessment.healing is not None
    what_if = HealingWhatIf(
        factor="current smoking", median_weeks=7.0, low_weeks=6.0, high_weeks=9.5, statement=_say("Without smoking.")
    )
    numbers = [
        CombinedEstimate(part=part, value=0.4, low=0.2, high=0.6, statement=_say(f"Number of {part.value}."))
        for part in CombinedPart
    ]
    question = CombinedProbability(
        question="broken_now",
        image=numbers[0],
        patient=numbers[1],
        together=numbers[2],
        contributions=(
            LogOddsContribution(
                part=CombinedPart.IMAGE,
                factor="image",
                label="Radiograph",
                log_odds=1.2,
                low=0.8,
                high=1.7,
                statement=_say("What the radiograph adds."),
            ),
        ),
        not_counted=(_say("Known and not counted."),),
        statement=_say("Three numbers in one sentence."),
        remarks=(_say("What they rest on."),),
    )
    fragility = FragilityAssessment(
        verdict=FragilityVerdict.CANNOT_BE_JUDGED,
        statement=_say("Weak bone cannot be judged."),
        reasons=(_say("A reason."),),
        remarks=(_say("A remark."),),
    )
    assessment = replace(
        full.assessment,
        healing=replace(full.assessment.healing, what_if=(what_if,)),
        growth=(_say("About two years of growth are left."),),
        combined=CombinedAssessment(broken_now=question),
        fragility=fragility,
    )
    return replace(full, assessment=assessment)


def _reader(content: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(content), strict=True)


def _squeezed(text: str) -> str:
    """Text without white space: where lines break is the layout's business."""
    return re.sub(r"\s+", "", text)


def _text(content: bytes) -> str:
    """All text but the running lines."""
    lines = [line for page in _reader(content).pages for line in page.extract_text().splitlines()]
    running = re.compile(rf"{re.escape(NOTICE)}|(page|Seite) \d+ \w+ \d+|Fracture assessment, Case .*")
    return _squeezed("".join(line for line in lines if not running.fullmatch(line.strip())))


# --- agreement with the HTML report


@pytest.mark.parametrize("name", [*all_cases(), "rich"])
def test_every_statement_is_in_it(name: str) -> None:
    text, page = _text(_pdf(name)), _squeezed(unescape(re.sub(r"<[^>]+>", "", render_html(_cases()[name]))))
    said = list(statements_in(_cases()[name].assessment))
    assert said
    for one in said:
        assert _squeezed(one.text) in text
    shown = [one for one in said if _squeezed(one.text) in page]
    assert len(shown) > len(said) / 2


def test_figures_headings_and_sources_are_those_of_the_html_report() -> None:
    page, text = render_html(full_case()), _text(_pdf("full"))
    headings = [unescape(re.sub(r"<[^>]+>", "", one)) for one in re.findall(r"<h2[^>]*>(.*?)</h2>", page, re.S)]
    for heading in headings[1:]:
        assert _squeezed(heading) in text
    for one in full_case().assessment.sources:
        assert _squeezed(one.citation) in text
        assert _squeezed(one.identifier or "") in text
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.S)
    plain = unescape(re.sub(r"<[^>]+>", " ", body))
    for figure in set(re.findall(r"\b\d+\.\d+%", plain)):
        assert figure in text


def test_a_statement_that_no_section_shows_is_listed() -> None:
    full = full_case()
    register_fonts()
    words = Words(full.assessment.sources, {})
    said = list(statements_in(full.assessment))
    assert len(further(full, words)) == 1 + len(set(said))
    for one in said:
        words.say(one)
    assert further(full, words) == []
    assert "Furtherstatements" not in _text(_pdf("rich"))


# --- the document


def test_it_is_deterministic_and_dated_with_the_assessment() -> None:
    assert render_pdf(full_case()) == _pdf("full")
    stamp = _reader(_pdf("full")).metadata
    assert stamp is not None
    assert stamp.creation_date == datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
    later = replace(full_case(), assessment=replace(full_case().assessment, created=datetime(2027, 1, 1, tzinfo=UTC)))
    assert render_pdf(later) != _pdf("full")


def test_metadata_name_the_case_and_no_patient() -> None:
    reader = _reader(_pdf("full"))
    written = " ".join(str(value) for value in (reader.metadata or {}).values())
    assert full_case().case_id in written
    assert "example-72f" not in written
    assert "1953" not in written
    assert reader.trailer["/Root"]["/Lang"] == "en-GB"


@pytest.mark.parametrize("name", all_cases())
def test_every_page_is_a4_with_case_time_and_number(name: str) -> None:
    reader = _reader(_pdf(name))
    for number, page in enumerate(reader.pages, start=1):
        text = page.extract_text()
        assert (int(page.mediabox.width), int(page.mediabox.height)) == A4_POINTS
        assert f"page {number} of {len(reader.pages)}" in text
        assert full_case().case_id in text
        assert "4 March 2026, 09:30 UTC" in text
        assert NOTICE in text
    assert "None" not in "".join(page.extract_text() for page in reader.pages)
    assert _squeezed(INTENDED_USE) in _text(_pdf(name))


def test_urgent_flags_stand_on_the_first_page_before_all_else() -> None:
    first = _reader(_pdf("full")).pages[0].extract_text()
    assert first.index("Urgency: Immediate") < first.index("Red flags") < first.index("Radiograph")


def test_headings_are_an_outline_that_reaches_its_pages() -> None:
    reader = _reader(_pdf("full"))
    top = [one for one in reader.outline if not isinstance(one, list)]
    titles = [str(one.title) for one in top]
    for expected in ("Radiograph", "Findings", "Time to union", "Follow-up", "Risk of a next fracture", "Sources"):
        assert expected in titles
    pages = [reader.get_destination_page_number(one) for one in top]
    assert pages == sorted(pages)
    for one, page in zip(top, pages, strict=True):
        assert page is not None
        assert str(one.title) in reader.pages[page].extract_text()


def test_every_font_is_embedded() -> None:
    for page in _reader(_pdf("full")).pages:
        for font in page["/Resources"]["/Font"].values():
            found = font.get_object()
            descriptor = found.get("/FontDescriptor")
            # The layout engine names Helvetica on every page without using it.
            assert descriptor is not None or found["/BaseFont"] == "/Helvetica"
            if descriptor is not None:
                assert isinstance(descriptor.get_object().raw_get("/FontFile2"), IndirectObject)


def test_drawings_have_a_text_alternative() -> None:
    content = b"".join(page.get_contents().get_data() for page in _reader(_pdf("full")).pages)
    found = [bytes.fromhex(one.decode()).decode("utf-16") for one in re.findall(rb"/Alt <([0-9a-f]+)>", content)]
    assert any(one.startswith("Radiograph: left wrist") for one in found)
    assert any(one.startswith("Time to union: 7 to 12 weeks") for one in found)
    assert any("Starts at" in one for one in found)
    assert content.count(b" BDC") == content.count(b"EMC")


def test_boxes_are_solid_or_dotted_by_the_call() -> None:
    content = _reader(_pdf("full")).pages[0].get_contents().get_data()
    assert content.count(b"[.8 2.6] 0 d") == 1
    assert b"[.8 2.6] 0 d" not in _reader(_pdf("patient_only")).pages[0].get_contents().get_data()


def test_links_reach_sources_inside_and_registries_outside() -> None:
    reader = _reader(_pdf("full"))
    notes = [one.get_object() for page in reader.pages for one in page.get("/Annots", [])]
    outer = {str(one["/A"]["/URI"]) for one in notes if "/A" in one}
    assert outer == {"https://doi.org/10.1000/example.1", "https://pubmed.ncbi.nlm.nih.gov/12345678/"}
    assert any("/Dest" in one for one in notes)


def test_running_lines_follow_the_language_and_say_that_nobody_reviewed_it() -> None:
    text = _reader(render_pdf(all_cases()["negative"], Language.DE)).pages[0].extract_text()
    assert "Seite 1 von" in text
    assert "4. März 2026" in text
    assert "nicht ärztlich geprüft" in " ".join(text.split())


# --- what may come in


_PAYLOAD = "<b>x</b></para><img src='http://x/y.png'/>&amp;<a href=\"http://evil\">z</a>\x00\x07{{7*7}}"


def _poisoned(value: Any, payload: str) -> Any:
    """The same border type with a hostile text in every free text field."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value + payload
    if isinstance(value, tuple):
        return tuple(_poisoned(one, payload) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        told = {field.name: _poisoned(getattr(value, field.name), payload) for field in fields(value) if field.init}
        return replace(value, **told)
    return value


def test_hostile_text_is_printed_as_it_is() -> None:
    full = full_case()
    case = replace(
        full,
        assessment=_poisoned(full.assessment, _PAYLOAD),
        patient=_poisoned(full.patient, _PAYLOAD),
        case_id=full.case_id + _PAYLOAD,
    )
    content = render_pdf(case)
    text = _text(content)
    assert _squeezed(re.sub("[\x00-\x1f]", " ", full.assessment.summary.text + _PAYLOAD)) in text
    assert "http://evil" not in " ".join(
        str(one.get_object().get("/A", {}).get("/URI", ""))
        for page in _reader(content).pages
        for one in page.get("/Annots", [])
    )


def test_a_very_long_case_breaks_across_pages_and_loses_nothing() -> None:
    full = full_case()
    long = " ".join(f"word{number}" for number in range(600))
    unbroken = "x" * 900
    summary = replace(full.assessment.summary, text=long)
    flags = tuple(
        replace(one, statement=replace(one.statement, text=f"{long} {number}"))
        for number, one in enumerate(full.assessment.severity.red_flags * 2)
    )
    advice = tuple(
        replace(one, statement=replace(one.statement, text=f"{long} {unbroken}"), agent=unbroken)
        for one in full.assessment.supplementation
    )
    limits = tuple(replace(full.assessment.summary, text=f"Limit {number}: {long}") for number in range(5))
    assert full.findings is not None
    place = replace(full.findings.detections[0], label=long)
    case = replace(
        full,
        findings=replace(full.findings, detections=(place, *full.findings.detections[1:] * 30)),
        assessment=replace(
            full.assessment,
            summary=summary,
            severity=replace(full.assessment.severity, red_flags=flags),
            supplementation=advice,
            limitations=limits,
        ),
    )
    content = render_pdf(case)
    assert len(_reader(content).pages) > 9
    text = _text(content)
    assert text.count(_squeezed(long)) >= 1 + len(flags) + len(limits)
    # A row that breaks across pages is read cell by cell, so its words are counted one by one.
    for word in ("word0word1word2", "word300word301", "word598word599"):
        assert text.count(word) >= 1 + len(flags) + len(limits) + len(advice)
    assert text.count("x") >= 2 * len(unbroken) * len(advice)


def test_wide_and_tall_radiographs_fit() -> None:
    full = full_case()
    assert full.radiograph is not None
    for shape in ((40, 900), (900, 40)):
        pixels = full.radiograph.pixels[:1, :1].repeat(shape[0], axis=0).repeat(shape[1], axis=1)
        assert render_pdf(replace(full, radiograph=replace(full.radiograph, pixels=pixels)))


def test_a_result_without_its_pixels_keeps_its_findings() -> None:
    text = _text(render_pdf(replace(full_case(), radiograph=None)))
    assert "Theradiographisnotkeptwiththisresult." in text
    assert "Probabilityofafracture" in text


def test_skeletal_age_is_shown_where_there_is_one() -> None:
    age = BoneAgeEstimate(
        model_id="bone-age@1",
        model_validation="MAE 8.1 months.",
        months=120.0,
        low=105.0,
        high=135.0,
        interval_meaning="Nine of ten.",
        standard="Greulich and Pyle",
        sex_used="female",
        discrepancy=None,
    )
    text = _text(render_pdf(replace(full_case(), bone_age=age)))
    assert "Skeletalage" in text
    assert "10y0mo(90%interval8y9moto11y3mo)" in text


@settings(max_examples=60, deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_any_text_becomes_a_paragraph(text: str) -> None:
    register_fonts()
    made = paragraph(escaped(text))
    assert held_together([made]) == [made]
