"""The report in German: its words, its numbers, its identifiers, and what it says of itself."""

import io
import re
from dataclasses import replace
from functools import cache

from pypdf import PdfReader

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.localisation.statements import translator
from cds.presenters.html import render_html
from cds.presenters.pdf.document import render_pdf
from cds.presenters.translated import TranslatedReport
from fusion.engine import FusionEngine
from fusion.results import Assessment
from fusion.sites import FractureSite
from tests.support.cases import full_case
from tests.unit.fusion.cases import patient, risk
from tests.unit.fusion.observed import run


@cache
def real_case() -> CaseResult:
    """A drawn case with what the rules really say."""
    case = {"person": patient(70), "site": FractureSite.DISTAL_RADIUS, "displaced": True, "estimate": risk(0.2, 0.05)}
    assessment = run(FusionEngine.load(), case)
    assert isinstance(assessment, Assessment)
    return replace(full_case(), assessment=assessment)


@cache
def german_page() -> str:
    """That case in German."""
    return render_html(real_case(), Language.DE)


def without_tags(page: str) -> str:
    """The words of a page."""
    return re.sub(r"<style.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)


def test_english_is_what_it_was() -> None:
    assert render_html(full_case()) == render_html(full_case(), Language.EN)
    assert "nicht ärztlich geprüft" not in render_html(full_case())


def test_the_page_names_its_language_and_that_nobody_reviewed_it() -> None:
    assert '<html lang="de-DE">' in german_page()
    assert "nicht ärztlich geprüft" in german_page()
    assert "<title>Frakturbeurteilung, Fall " in german_page()


def test_words_and_numbers_are_german() -> None:
    words = without_tags(german_page().partition('id="sources-title"')[0])
    for expected in ("Verlaufskontrollen", "Nicht beurteilt und fehlend", "Fraktur des distalen Radius", "nmol/l"):
        assert expected in words
    for english in ("Follow-up", "Red flags", "Time to union", " weeks", "per day"):
        assert english not in words
    assert re.search(r"\d,\d\N{NO-BREAK SPACE}%", words)


def test_only_free_texts_of_models_and_the_literature_stay_english() -> None:
    translation = translator(Language.DE)
    assert translation is not None
    report = TranslatedReport(translation, real_case())
    report.page(render_html(real_case()))
    result = real_case()
    drawn = {result.findings and result.findings.model_validation, result.risk and result.risk.model_validation}
    # The drawn case holds a few texts of its own that no model of this project writes.
    left = [one for one in report.left if one not in drawn]
    assert len(left) <= 12, left


def test_what_stays_english_is_marked_and_counted() -> None:
    assert re.search(r'<span lang="en">[^<]{20,}</span>', german_page())
    assert "auf Englisch belassene Texte: " in german_page()


def test_identifiers_are_no_numbers() -> None:
    result = real_case()
    assert result.patient is not None
    changed = replace(result, case_id="1200.5", patient=replace(result.patient, patient_id="12345678"))
    page = render_html(changed, Language.DE)
    assert "12345678" in page
    assert ">1200.5<" in page
    assert "12.345.678" not in page


def test_texts_of_a_record_stay_escaped() -> None:
    result = real_case()
    assert result.patient is not None
    changed = replace(result, patient=replace(result.patient, patient_id="<script>alert(1)</script>"))
    page = render_html(changed, Language.DE)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_tags_are_those_of_the_english_page() -> None:
    tags = re.compile(r"<[^>\s]+")
    english = [one for one in tags.findall(render_html(real_case())) if one not in {"<span", "</span"}]
    german = [one for one in tags.findall(german_page()) if one not in {"<span", "</span"}]
    notes = german_page().count('<p class="notice" role="note">') - 1
    assert len(german) == len(english) + 2 * notes


def test_the_pdf_is_german_too() -> None:
    reader = PdfReader(io.BytesIO(render_pdf(real_case(), Language.DE)))
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    assert "Frakturbeurteilung" in text
    assert "nicht ärztlich geprüft" in text
    assert "Verlaufskontrollen" in text
    assert "Follow-up" not in text
    assert reader.trailer["/Root"]["/Lang"] == "de-DE"
