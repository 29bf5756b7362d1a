"""The change report: complete, honest about what it cannot say, and safe to open."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cds.errors import OutputError
from cds.learning.change_report import ChangeReport, figure, forest, page, write_report
from cds.learning.gate import METRIC_WORDS, compare, read_margins
from cds.learning.provenance import Provenance
from cds.learning.verdict import verdict_of
from tests.support.gate_sets import drawn_pair

MARGINS = read_margins("detector")
ORIGIN = Provenance(
    kind="detector",
    parent="current@1+00000000",
    why="Feedback since August.",
    method="Fine-tuned.",
    data=({"name": "feedback", "role": "new", "n": 312, "n_positive": 101},),
    digests=frozenset({"0" * 63 + "f"}),
)


def report(*, worse_by: float = 0.0, **changes: object) -> ChangeReport:
    """A report on two drawn models."""
    current, candidate = drawn_pair(1, n=300, worse_by=worse_by, boxes=True)
    made = ChangeReport(
        verdict=compare(current, candidate, MARGINS, provenance=ORIGIN, rounds=100, looks=2),
        margins=MARGINS,
        provenance=ORIGIN,
        created="2026-11-22T10:00:00+00:00",
        by="Dr Example",
        why="Feedback since August.",
        dry_run=False,
        current_facts={"version": "1", "validation": "Measured on 3."},
        candidate_facts={"version": "2", "validation": "Measured on 4."},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of the report


def test_a_refusal_names_every_reason_metric_margin_and_the_way_back() -> None:
    refused = report(worse_by=0.5)
    text = page(refused)
    assert refused.outcome == "refused"
    assert "The candidate is refused." in text
    for reason in refused.verdict.reasons:
        assert reason.split(" (")[0] in text.replace("&#39;", "'")
    for one in refused.verdict.differences:
        assert METRIC_WORDS[one.metric] in text
    assert "cds learn rollback --kind detector" in text
    assert "Dr Example" in text
    assert all(MARGINS.reasons[name].split(",")[0] in text for name in ("auc", "ap50"))


def test_a_dry_run_does_not_say_that_anything_happened() -> None:
    assert report(dry_run=True, worse_by=0.5).outcome == "would be refused (dry run)"


def test_what_others_wrote_is_escaped() -> None:
    text = page(report(why="<script>alert(1)</script>", by='"><img src=x>'))
    assert "<script>" not in text
    assert "<img" not in text


def test_the_page_loads_nothing_and_holds_no_digest_of_training_data() -> None:
    made = report()
    for text in (page(made), json.dumps(made.as_document(), default=str)):
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
        assert next(iter(ORIGIN.digests)) not in text


def test_a_candidate_without_provenance_is_shown_as_such() -> None:
    assert "carries no provenance" in page(report(provenance=None))


def test_both_files_are_written_and_the_json_holds_the_verdict(tmp_path: Path) -> None:
    made = report()
    written = write_report(made, tmp_path / "new")
    document = json.loads(written.with_suffix(".json").read_text(encoding="utf-8"))
    assert verdict_of(document["verdict"]) == made.verdict
    assert document["provenance"]["items"] == 1
    assert document["decided_by"] == "Dr Example"


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(report(), tmp_path / "file")


def test_every_metric_has_a_row_in_the_plot() -> None:
    made = report()
    drawing = str(forest(made.verdict.differences, confidence=0.95))
    assert drawing.count("<circle") == len(made.verdict.differences)


def test_figures_are_printed_with_a_true_minus_and_a_dash_for_nothing() -> None:
    assert figure(-0.5, signed=True) == "\N{MINUS SIGN}0.500"
    assert figure(0.5, signed=True) == "+0.500"
    assert figure(None) == figure(float("nan")) == "\N{EN DASH}"
