import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.presenters.summary import SHOWN_LINES, print_summary, printable
from cds.presenters.wording import NOTICE
from fusion.engine import FusionEngine
from fusion.results import Assessment
from fusion.sites import FractureSite
from tests.support.cases import all_cases, full_case, negative_case
from tests.unit.fusion.cases import patient, risk
from tests.unit.fusion.observed import run


def _printed(result: CaseResult, files: tuple[Path, ...] = (), language: Language = Language.EN) -> str:
    buffer = io.StringIO()
    print_summary(result, Console(file=buffer, width=120, color_system=None), files, language)
    return buffer.getvalue()


def test_the_summary_is_german_where_german_is_asked_for() -> None:
    case = {"person": patient(70), "site": FractureSite.DISTAL_RADIUS, "displaced": True, "estimate": risk(0.2, 0.05)}
    answer = run(FusionEngine.load(), case)
    assert isinstance(answer, Assessment)
    text = _printed(replace(full_case(), assessment=answer), (Path("out/report.html"),), Language.DE)
    for expected in (
        "Fraktur des distalen Radius",
        "Zeit bis zur knöchernen Heilung",
        "10. bis 90. Perzentile",
        "Sicherheit",
        "weitere im Bericht",
        "geschrieben: out/report.html",
    ):
        assert expected in text
    for english in ("Follow-up", "Time to union", "more in the report", " weeks", "wrote"):
        assert english not in text


def test_full_case_tells_what_matters() -> None:
    text = _printed(full_case(), (Path("out/report.html"), Path("out/report.json")))
    for expected in (
        "Immediate",
        "Neurological deficit",
        "Fracture: definite",
        "7 to 12 weeks",
        "major 22.7%",
        "(unverified)",
        "NSAID, avoid",
        "wrote out/report.html",
        NOTICE,
    ):
        assert expected in text


@pytest.mark.parametrize("name", all_cases())
def test_any_part_may_be_missing(name: str) -> None:
    assert "fracture-cds" in _printed(all_cases()[name])


def test_not_seen_does_not_exclude() -> None:
    assert "does not exclude" in _printed(negative_case())


def test_long_lists_are_cut_and_say_so() -> None:
    full = full_case()
    advice = full.assessment.supplementation * 3
    text = _printed(replace(full, assessment=replace(full.assessment, supplementation=advice)))
    assert f"and {len(advice) - SHOWN_LINES} more in the report" in text


def test_markup_and_control_characters_do_nothing() -> None:
    full = full_case()
    summary = replace(full.assessment.summary, text="[bold]x[/bold] \x1b[31mred\x07 \u202eright to left")
    text = _printed(replace(full, assessment=replace(full.assessment, summary=summary)))
    assert "[bold]x[/bold]" in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text


def test_printable_keeps_letters() -> None:
    assert printable("Müller, 5 µg") == "Müller, 5 µg"
