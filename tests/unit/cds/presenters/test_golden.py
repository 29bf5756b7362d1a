"""The full example case in all three files, as a person reviewed them."""

import re
from dataclasses import replace

import pytest

from cds.case import CaseResult
from cds.presenters.fhir_bundle import render_bundle
from cds.presenters.html import render_html
from cds.presenters.json_report import render_json
from tests.support.cases import full_case
from tests.support.golden import assert_golden


@pytest.fixture
def case() -> CaseResult:
    """The full case with one warning that no package explains: the packages' own sentences may change freely."""
    full = full_case()
    assert full.radiograph is not None
    assert full.findings is not None
    assert full.patient is not None
    return replace(
        full,
        radiograph=replace(full.radiograph, warnings=()),
        findings=replace(full.findings, warnings=()),
        patient=replace(full.patient, warnings=("example.warning:Observation/calcium-1",)),
    )


def test_html(case: CaseResult) -> None:
    page = re.sub(r"<style>.*?</style>", "<style>(report.css)</style>", render_html(case), flags=re.DOTALL)
    page = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "data:image/png;base64,(radiograph)", page)
    assert_golden("presenters/full_case.report.html", page)


def test_json(case: CaseResult) -> None:
    assert_golden("presenters/full_case.report.json", render_json(case).decode())


def test_bundle(case: CaseResult) -> None:
    assert_golden("presenters/full_case.bundle.json", render_bundle(case).decode())
