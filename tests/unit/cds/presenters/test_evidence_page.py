"""The evidence page and its JSON: complete, filtered, free of dead links and of anything that loads."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cds.entrypoints.cli import app
from cds.presenters.evidence_page import render_evidence_html, render_evidence_json, strip
from cds.presenters.evidence_view import EvidenceView, figure, further_numbers
from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceStatus
from fusion.rulebook import Rulebook
from fusion.side_by_side import comparisons

BASE = EvidenceBase.load()
BOOK = Rulebook.load()


class _Page(HTMLParser):
    """Anchors, links and what the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tables_without_caption = 0
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.anchors.append(str(given["id"]))
        if tag == "a":
            self.links.append(str(given.get("href")))
        if tag in {"script", "img", "link", "iframe"} or "src" in given:
            self.loads.append(tag)
        if tag == "table":
            self._open = True
        elif tag == "caption":
            self._open = False
        elif tag == "tbody" and self._open:
            self.tables_without_caption += 1


@pytest.fixture(scope="module")
def page() -> str:
    return render_evidence_html(EvidenceView.load())


def test_every_rule_entry_and_source_has_its_anchor_and_no_link_leads_nowhere(page: str) -> None:
    found = _Page(page)
    anchors = set(found.anchors)
    assert len(anchors) == len(found.anchors)
    assert {f"rule-{one}" for one in BOOK.rules} <= anchors
    assert {f"evidence-{one}" for one in BASE.entries} <= anchors
    inner = {one.removeprefix("#") for one in found.links if one.startswith("#")}
    assert inner <= anchors
    outer = {one for one in found.links if not one.startswith("#")}
    assert outer and all(one.startswith(("https://doi.org/", "https://pubmed.ncbi.nlm.nih.gov/")) for one in outer)


def test_the_page_loads_nothing_and_names_its_language_and_tables(page: str) -> None:
    found = _Page(page)
    assert not found.loads and not found.tables_without_caption
    assert '<html lang="en-GB">' in page and "default-src 'none'" in page
    assert "<form" not in page


def test_what_was_not_verified_is_marked_and_what_drives_nothing_is_listed(page: str) -> None:
    unverified = [one for one in BASE.entries.values() if one.status is EvidenceStatus.UNVERIFIED]
    assert unverified
    for one in unverified:
        assert f'<tr id="evidence-{one.id}" class="unverified">' in page
    listed = page[page.index('id="background"') :]
    for name in BOOK.background(BASE):
        assert f'href="#evidence-{name}"' in listed


def test_a_filter_leaves_what_holds_every_word_and_what_belongs_to_it() -> None:
    view = EvidenceView.load("  Calcium   supplement ")
    assert 0 < len(view.rules) < len(BOOK.rules) and 0 < len(view.entries) < len(BASE.entries)
    assert {"supplementation.calcium.gap", "supplementation.calcium.already_taken"} <= {one.id for one in view.rules}
    found = _Page(render_evidence_html(view))
    assert {one.removeprefix("#") for one in found.links if one.startswith("#")} <= set(found.anchors)
    nothing = EvidenceView.load("zebra")
    assert not nothing.rules and "holds every one of these words" in render_evidence_html(nothing)


def test_the_filter_reads_sources_and_identifiers() -> None:
    source = next(one for one in BASE.sources.values() if one.identifier)
    assert EvidenceView.load(str(source.identifier)).entries


def test_what_is_searched_for_is_escaped() -> None:
    page = render_evidence_html(EvidenceView.load("<b>x"), search=True)
    assert "<b>x" not in page and "&lt;b&gt;x" in page


def test_the_json_says_the_same() -> None:
    view = EvidenceView.load()
    document = json.loads(render_evidence_json(view))
    assert {one["id"] for one in document["rules"]} == set(BOOK.rules)
    assert {one["id"] for one in document["entries"]} == set(BASE.entries)
    assert set(document["drives_nothing"]) == set(BOOK.background(BASE))
    entry = next(one for one in document["entries"] if one["id"] == "care.vitamin_d.deficient_nmol_l")
    assert "supplementation.vitamin_d.deficient" in entry["fires_in"]
    keys = {key for one in document["entries"] for key in one["sources"]}
    assert keys == set(document["sources"])


def test_contradictions_stand_side_by_side() -> None:
    found = {one.topic: one for one in comparisons(BASE)}
    smoking = found["healing.nonunion.smoking_current"]
    assert len(smoking.entries) == 3 and smoking.ratio
    assert found["healing.union.forearm_shaft"].low < found["healing.union.forearm_shaft"].high
    for one in found.values():
        assert len(one.entries) > 1
        for entry in one.entries:
            drawn = strip(entry, one)
            assert 0 <= drawn.low <= drawn.high <= 260
    apart = next(one for one in EvidenceView.load().comparisons)
    assert apart.apart


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("care.vitamin_d.deficient_nmol_l", "50 nmol/L"),
        ("care.separate.oral_bisphosphonate_calcium", "from 1 hour"),
        ("healing.nonunion.smoking_current.pearson2016", "\N{MULTIPLICATION SIGN} "),
        ("growth.plate.arrest_rate", "5.5 %"),
        ("severity.tibia_shaft_adult.coronal_deg", "5°"),
    ],
)
def test_figures_read_as_words(name: str, words: str) -> None:
    assert figure(BASE[name]).startswith(words)


def test_further_numbers_are_named_with_their_path() -> None:
    found = dict(further_numbers(BASE["severity.metacarpal_neck.angulation_deg"]))
    assert found["ring"] == "30"
    nested = dict(further_numbers(BASE["risk.reference_probability.kanis2008"]))
    assert nested["women, none, hip"].startswith("0.2, 0.7")


def test_the_command_lists_filters_and_writes(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["evidence", "sarcoidosis"])
    assert run.exit_code == 0 and "fires in: safety.sarcoidosis" in run.output
    assert len(re.findall(r"fires in", run.output)) < 20
    page, data = tmp_path / "evidence.html", tmp_path / "evidence.json"
    run = CliRunner().invoke(app, ["evidence", "vitamin", "D", "--html", str(page), "--json", str(data)])
    assert run.exit_code == 0, run.output
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert json.loads(data.read_text(encoding="utf-8"))["filter"] == "vitamin D"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["evidence.html", "evidence.json"]


def test_the_command_says_when_a_file_cannot_be_written(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["evidence", "--html", str(tmp_path / "none" / "page.html")])
    assert run.exit_code == 7
