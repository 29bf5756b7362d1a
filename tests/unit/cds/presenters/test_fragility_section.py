"""Weak bone or force alone, where a reader sees it."""

import io
from dataclasses import replace

from rich.console import Console

from cds.case import CaseResult
from cds.presenters.html import render_html
from cds.presenters.summary import print_summary
from fusion.results import (
    BoneHealthPathway,
    Certainty,
    FragilityAssessment,
    FragilityLikelihood,
    FragilityVerdict,
    Statement,
)
from tests.support.cases import full_case


def _said(name: str, text: str) -> Statement:
    return Statement(id=f"fragility.{name}", text=text, certainty=Certainty.COMPUTED)


def _case() -> CaseResult:
    case = full_case()
    found = FragilityAssessment(
        verdict=FragilityVerdict.JUDGED,
        lowest=FragilityLikelihood.LIKELY,
        highest=FragilityLikelihood.VERY_LIKELY,
        low=0.6,
        high=1.0,
        pathway=BoneHealthPathway.FRACTURE_LIAISON,
        statement=_said("likelihood", "Weak bone: likely <b>."),
        reasons=(_said("age", "A reason."),),
        remarks=(_said("to_narrow", "A remark."),),
    )
    return replace(case, assessment=replace(case.assessment, fragility=found))


def test_the_page_shows_verdict_reasons_and_remarks_escaped() -> None:
    page = render_html(_case())
    assert "Weak bone or force alone" in page
    for words in ("Weak bone: likely &lt;b&gt;.", "A reason.", "A remark."):
        assert words in page
    assert page.index("A reason.") < page.index("A remark.") < page.index('id="risk-title"')


def test_without_a_fracture_there_is_no_section() -> None:
    assert "Weak bone or force alone" not in render_html(full_case())


def test_the_terminal_shows_the_verdict() -> None:
    buffer = io.StringIO()
    print_summary(_case(), Console(file=buffer, width=120, color_system=None), ())
    assert "Weak bone: likely" in buffer.getvalue()
