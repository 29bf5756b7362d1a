"""The three numbers as the report, the terminal and the JSON show them."""

import re
from dataclasses import replace
from typing import Any

import pytest

from cds.case import CaseResult
from cds.presenters import combination_view
from cds.presenters.html import render_html
from cds.presenters.json_report import report_object
from fhir_adapters.patient import Sex
from fusion.context import Mechanism
from fusion.results import Assessment
from imaging.labels import BodyRegion
from imaging.results import FractureCall, Measurement
from tests.support.cases import image_only_case
from tests.unit.fusion.cases import WRIST, assess, findings, patient

IMAGE = findings(
    FractureCall.NOT_SEEN,
    BodyRegion.WRIST,
    fracture_probability=Measurement(value=0.1, low=0.05, high=0.2),
    calibration_prevalence=0.2,
)


def result(assessment: Assessment) -> CaseResult:
    return replace(image_only_case(), assessment=assessment)


@pytest.fixture(scope="module")
def both() -> CaseResult:
    person = patient(72, sex=Sex.FEMALE)
    return result(assess(image=IMAGE, person=person, mechanism=Mechanism.LOW_ENERGY, clinical_suspicion_high=True))


def test_three_lines_and_every_step(both: CaseResult) -> None:
    (view,) = combination_view.questions(both)
    assert [line.label for line in view.lines] == ["Radiograph alone", "Patient alone", "Together"]
    assert view.lines[0].number == "10.0%"
    assert view.lines[0].interval == "5.0% to 20.0%"
    assert [step.start for step in view.steps] == [True, False, False, False, False, False]
    assert view.steps[-1].after == pytest.approx(view.found.together.value)
    assert view.steps[-1].side == "radiograph"
    for step in view.steps[1:]:
        end = float(step.points.split()[2].split(",")[0])
        assert (end > 100) is step.raises
        assert 0 <= end <= 200


def test_the_axis_is_that_of_all_three_lines(both: CaseResult) -> None:
    (view,) = combination_view.questions(both)
    bars = [line.bar for line in view.lines]
    assert all(bar is not None and [tick.label for tick in bar.ticks][::4] == ["0%", "100%"] for bar in bars)
    for bar in bars:
        assert bar is not None
        assert bar.low_x <= bar.middle_x <= bar.high_x


def test_the_page_shows_the_numbers_and_reads_without_colour(both: CaseResult) -> None:
    page = render_html(both)
    section = page[page.index('id="broken_now-title"') : page.index("</section>", page.index('id="broken_now-title"'))]
    assert 'aria-label="Radiograph alone: 10.0%, 5.0% to 20.0%"' in section
    assert "What each contributed" in section
    assert len(re.findall("<polygon", section)) == 5
    assert re.findall(r"[+−]\d\.\d", section), "signs tell raising from lowering"
    assert "does not exclude one" in section
    assert "was not validated" in section


def test_a_missing_half_is_said_and_not_drawn() -> None:
    case = result(assess(image=IMAGE))
    (view,) = combination_view.questions(case)
    assert view.lines[1].number == "none"
    assert view.lines[1].bar is None
    assert view.lines[2].told
    assert len(view.steps) == 1
    page = render_html(case)
    assert "Patient alone: none, no record was given" in page
    assert "What each contributed" not in page


def test_bands_are_drawn_without_a_middle() -> None:
    case: dict[str, Any] = WRIST
    views = combination_view.questions(result(assess(**case)))
    weak = next(view for view in views if view.name == "weak_bone")
    assert [line.number for line in weak.lines] == ["undecided", "60.0% to 100.0%", "60.0% to 100.0%"]
    assert not any(line.middle for line in weak.lines)
    assert weak.steps == ()


def test_nothing_to_combine_leaves_no_section_and_no_line() -> None:
    case = result(assess(person=patient(70)))
    assert combination_view.questions(case) == ()
    assert combination_view.summary_line(case) is None
    assert "broken_now-title" not in render_html(case)


def test_the_terminal_shows_one_line(both: CaseResult) -> None:
    line = combination_view.summary_line(both)
    assert line is not None
    assert re.fullmatch(
        r"Radiograph alone 10\.0%; patient alone \d+\.\d%; together \d+\.\d% \(\d+\.\d% to \d+\.\d%\)", line
    )
    alone = combination_view.summary_line(result(assess(image=IMAGE)))
    assert alone == "Radiograph alone 10.0%; patient alone none; together 10.0% (5.0% to 20.0%)"


def test_the_json_report_holds_every_part(both: CaseResult) -> None:
    report = report_object(both)["assessment"]
    assert isinstance(report, dict)
    combined = report["combined"]
    assert isinstance(combined, dict)
    assert combined["weak_bone"] is None
    broken = combined["broken_now"]
    assert isinstance(broken, dict)
    assert set(broken) >= {"image", "patient", "together", "contributions", "not_counted", "remarks"}
