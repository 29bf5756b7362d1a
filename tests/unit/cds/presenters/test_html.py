import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cds.case import CaseResult
from cds.presenters import html as html_module
from cds.presenters.evidence_page import render_evidence_html
from cds.presenters.evidence_view import EvidenceView
from cds.presenters.html import render_html
from cds.presenters.wording import INTENDED_USE, NOTICE
from fusion.context import ClinicalContext
from fusion.engine import FusionEngine
from fusion.results import Assessment, Urgency
from fusion.sites import FractureSite
from imaging.results import PixelSpacing, SpacingOrigin
from tests.support.cases import all_cases, findings, full_case, image_only_case, negative_case, patient_only_case
from tests.unit.fusion.cases import patient
from tests.unit.fusion.observed import run

_VOID = {"meta", "img", "input", "br", "wbr", "path", "rect", "line", "circle"}
_PAYLOAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


class _Page(HTMLParser):
    """Elements with their attributes, visible text, and whether the tags nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def _poisoned(value: Any) -> Any:
    """The same border type with a hostile text in every free text field."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value + _PAYLOAD
    if isinstance(value, tuple):
        return tuple(map(_poisoned, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _poisoned(getattr(value, field.name)) for field in fields(value)})
    return value


@pytest.fixture(scope="module")
def full_page() -> _Page:
    return _Page(render_html(full_case()))


@pytest.mark.parametrize("name", all_cases())
def test_every_case_gives_a_well_formed_page(name: str) -> None:
    page = _Page(render_html(all_cases()[name]))
    assert NOTICE in page.text
    assert INTENDED_USE in page.text
    assert "None" not in page.text
    assert all_cases()[name].assessment.summary.text in page.text


def test_page_loads_nothing_and_runs_nothing(full_page: _Page) -> None:
    assert not {"script", "link", "iframe", "object", "embed", "form"} & {tag for tag, _ in full_page.elements}
    for tag, attributes in full_page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:image/png").startswith("data:image/png")
        assert tag == "a" or "href" not in attributes
    styles = (html_module._TEMPLATES / "report.css").read_text()
    assert "url(" not in styles
    assert "@import" not in styles


def test_inner_links_reach_their_source(full_page: _Page) -> None:
    ids = [str(attributes["id"]) for _, attributes in full_page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inner = [str(one["href"])[1:] for one in full_page.all("a") if str(one["href"]).startswith("#")]
    assert inner
    assert set(inner) <= set(ids)
    outer = [str(one["href"]) for one in full_page.all("a") if not str(one["href"]).startswith("#")]
    assert outer == ["https://doi.org/10.1000/example.1", "https://pubmed.ncbi.nlm.nih.gov/12345678/"]


def test_every_source_has_its_place_in_the_report_or_on_the_evidence_page() -> None:
    case = full_case()
    entries = {f"evidence-{one.id}" for one in case.assessment.sources}
    alone = _Page(render_html(case))
    assert entries <= {str(attributes["id"]) for _, attributes in alone.elements if "id" in attributes}
    served = _Page(render_html(case, evidence_page="/evidence"))
    links = {str(one["href"]) for one in served.all("a")}
    assert {f"/evidence#{one}" for one in entries} <= links
    assert not [one for one in links if one.startswith("#source-")]


def test_a_real_report_links_to_places_that_the_evidence_page_has() -> None:
    answer = run(FusionEngine.load(), {"person": patient(70), "site": FractureSite.DISTAL_RADIUS})
    assert isinstance(answer, Assessment)
    report = _Page(render_html(replace(full_case(), assessment=answer), evidence_page="/evidence"))
    page = _Page(render_evidence_html(EvidenceView.load("")))
    places = {str(attributes["id"]) for _, attributes in page.elements if "id" in attributes}
    links = [str(one["href"]) for one in report.all("a") if str(one["href"]).startswith("/evidence#")]
    assert {one.partition("#")[2] for one in links} <= places
    assert any("#rule-" in one for one in links) and any("#evidence-" in one for one in links)


def test_page_is_accessible(full_page: _Page) -> None:
    assert full_page.all("html") == [{"lang": "en-GB"}]
    assert [len(full_page.all(tag)) for tag in ("h1", "main", "header", "footer")] == [1, 1, 1, 1]
    levels = [int(tag[1]) for tag, _ in full_page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(one.get("alt") for one in full_page.all("img"))
    named = ("aria-label", "aria-labelledby")
    assert all(one.get("aria-hidden") == "true" or any(map(one.get, named)) for one in full_page.all("svg"))
    assert all(one.get("scope") in ("col", "row") for one in full_page.all("th"))
    assert len(full_page.all("caption")) == len(full_page.all("table"))
    labelled = {one.get("for") for one in full_page.all("label")}
    assert all(one["id"] in labelled for one in full_page.all("input"))
    ids = {attributes.get("id") for _, attributes in full_page.elements}
    assert all(one["aria-labelledby"] in ids for one in full_page.all("section") if "aria-labelledby" in one)


def test_urgency_and_red_flags_come_before_everything(full_page: _Page) -> None:
    text = full_page.text
    order = ["Immediate", "senior surgical review now", "Findings", "Follow-up", "Starting point", "Sources"]
    places = [text.index(one) for one in order]
    assert places == sorted(places)


@pytest.mark.parametrize("urgency", Urgency)
def test_each_urgency_has_word_and_shape(urgency: Urgency) -> None:
    full = full_case()
    severity = replace(full.assessment.severity, urgency=urgency)
    page = render_html(replace(full, assessment=replace(full.assessment, severity=severity)))
    assert f"urgency-{urgency.value}" in page
    assert f".urgency-{urgency.value} " in page


def test_boxes_are_told_apart_by_line_and_number() -> None:
    page = render_html(full_case())
    drawn = [one.get("class") for one in _Page(page).all("rect")]
    assert (drawn.count("line-definite"), drawn.count("line-suspected")) == (1, 1)
    assert "solid: definite" in page
    assert "dotted: suspected" in page
    assert re.search(r"\.line-suspected \{[^}]*stroke-dasharray", page)
    assert not re.search(r"\.line-definite \{[^}]*stroke-dasharray", page)


def test_millimetres_only_with_a_known_spacing() -> None:
    assert "19 × 15 mm at the detector" in render_html(full_case())
    assert not re.search(r"\d mm", _Page(render_html(image_only_case())).text)
    full = full_case()
    unknown = replace(findings(), spacing=PixelSpacing(row_mm=1.0, column_mm=1.0, origin=SpacingOrigin.UNKNOWN))
    assert not re.search(r"\d mm\b", _Page(render_html(replace(full, findings=unknown))).text)
    calibrated = replace(findings(), spacing=PixelSpacing(row_mm=1.0, column_mm=1.0, origin=SpacingOrigin.CALIBRATED))
    assert "at the detector" not in render_html(replace(full, findings=calibrated)).partition("Severity: ")[0]


def test_not_seen_does_not_exclude() -> None:
    text = _Page(render_html(negative_case())).text
    assert "Fracture: not seen (does not exclude one)" in text
    assert "This does not exclude a fracture." in text
    assert "Show the boxes" not in text


def test_model_and_adjusted_number_stand_side_by_side(full_page: _Page) -> None:
    text = full_page.text
    assert "Model alone 19.5% ; adjusted 22.7% for type 2 diabetes" in text
    assert "Model alone 6.1% ; no published factor was added" in text
    assert "interval 17.1% to 29.4%" in text
    assert "The model did without: hip fracture of a parent" in text


def test_unverified_evidence_is_marked_where_it_is_used_and_listed() -> None:
    page = render_html(full_case())
    assert page.count("badge-unverified") >= 4
    assert 'class="unverified"' in page


def test_evidence_outside_the_list_is_named() -> None:
    full = full_case()
    summary = replace(full.assessment.summary, evidence=("NOT_IN_LIST",))
    text = _Page(render_html(replace(full, assessment=replace(full.assessment, summary=summary)))).text
    assert "[NOT_IN_LIST: not listed]" in text


def test_harm_comes_first_in_advice(full_page: _Page) -> None:
    text = full_page.text.partition("Supplements and drug safety")[2]
    places = [text.index(one) for one in ("Avoid", "Separate in time", "Consider", "800 to 1000 IU per day")]
    assert places == sorted(places)


def test_patient_section_has_no_birth_date(full_page: _Page) -> None:
    assert "1953" not in full_page.text
    assert "example-72f" in full_page.text
    assert "Observation/ vitd-1" in full_page.text


def test_missing_parts_are_named() -> None:
    text = _Page(render_html(patient_only_case())).text
    assert "No radiograph was given." in text
    assert "No radiograph was assessed." in text
    without = _Page(render_html(image_only_case())).text
    assert "No patient record was given." in without
    assert "Not estimated: No patient record was given." in without
    assert "Nothing was stated." in without


def test_findings_without_pixels_are_still_reported() -> None:
    text = _Page(render_html(replace(full_case(), radiograph=None))).text
    assert "The radiograph is not kept with this result." in text
    assert "Fracture: definite" in text


def test_radiograph_without_findings_is_shown() -> None:
    page = _Page(render_html(replace(full_case(), findings=None)))
    assert page.all("img")[0]["alt"] == "Radiograph, not assessed."


def test_phantom_is_named_as_such() -> None:
    full = full_case()
    assert full.radiograph is not None
    phantom = replace(full, radiograph=replace(full.radiograph, synthetic=True))
    assert "Synthetic phantom" in render_html(phantom)


def test_hostile_text_stays_text() -> None:
    hostile: CaseResult = _poisoned(full_case())
    page = render_html(hostile)
    assert "<script" not in page
    assert "<img src=x" not in page
    parsed = _Page(page)
    assert len(parsed.all("img")) == 3  # the radiograph and its heat maps
    assert all(not name.startswith("on") for _, attributes in parsed.elements for name in attributes)
    assert "{{ 7*7 }}" in parsed.text
    assert all(str(one["href"]).startswith(("#", "https://doi.org/")) for one in parsed.all("a"))


def test_empty_assessment_still_renders() -> None:
    full = full_case()
    bare = replace(
        full.assessment,
        risk_statements=(),
        supplementation=(),
        follow_up=(),
        limitations=(),
        sources=(),
        healing=None,
    )
    result = replace(full, assessment=bare, context=ClinicalContext(), risk=None, risk_unavailable=None)
    text = _Page(render_html(result)).text
    for expected in ("No follow-up was proposed.", "No advice was given.", "No source was cited."):
        assert expected in text


def test_templates_are_part_of_the_package() -> None:
    assert html_module._TEMPLATES.is_relative_to(Path(html_module.__file__).parent)
