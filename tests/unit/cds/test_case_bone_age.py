"""Skeletal age within a case: when it is read, what stands in its place, and where a reader finds it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from io import StringIO

import numpy as np
import pytest
from jsonschema import validate
from numpy.typing import NDArray
from rich.console import Console

from cds.bone_age import months_between
from cds.case import CaseResult
from cds.pipeline import model_versions, run_case
from cds.presenters.bone_age_view import verdict, years_and_months
from cds.presenters.fhir_bundle import build_bundle
from cds.presenters.html import render_html
from cds.presenters.json_report import render_json
from cds.presenters.report_schema import build_schema
from cds.presenters.summary import print_summary
from fhir_adapters.patient import PatientSnapshot, Sex
from imaging.bone_age.errors import BoneAgeNotInstalledError, NotReadAsHandError
from imaging.bone_age.standards import compare
from imaging.errors import ModelFilesError
from imaging.labels import BodyRegion
from imaging.radiograph import Radiograph
from imaging.results import AgeDiscrepancyVerdict, BoneAgeEstimate, ImageFindings, Measurement
from tests.support.fakes import AS_OF, FakeParts, full_input

ESTIMATE = BoneAgeEstimate(
    months=96.0,
    low=86.0,
    high=106.0,
    sex_used="female",
    standard="Greulich and Pyle, as read by radiologists",
    model_id="bone-age-rsna@0.1.0+0123abcd",
    model_validation="Mean absolute error 8.0 months on 100 hands.",
    interval_meaning="90 % interval.",
    likeness=0.4,
)


class Hands(FakeParts):
    """Every radiograph is a hand."""

    region: BodyRegion = BodyRegion.HAND

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        return replace(super().analyse(radiograph), region=self.region)


class Reader:
    """Answers `ESTIMATE`, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked: list[bool | None] = []

    def estimate(self, pixels: NDArray[np.float32], female: bool | None) -> BoneAgeEstimate:
        self.asked.append(female)
        if self.failure is not None:
            raise self.failure
        return ESTIMATE


def girl(parts: FakeParts, **changes: object) -> PatientSnapshot:
    """A girl of ten years and no months."""
    born = AS_OF.date().replace(year=AS_OF.year - 10)
    plain = replace(parts.patient, birth_date=born, age_years=10, sex=Sex.FEMALE)
    return replace(plain, **changes)  # type: ignore[arg-type]


def case_of(
    reader: Reader | None, *, asked: bool | None = None, region: BodyRegion = BodyRegion.HAND, **changes: object
) -> CaseResult:
    parts = Hands()
    parts.region = region
    parts.patient = girl(parts, **changes)
    return run_case(
        replace(full_input(), bone_age=asked),
        replace(parts.engines(), bone_age=reader),
        case_id="00000000-0000-4000-8000-000000000000",
    )


def test_childs_hand_is_read_and_compared() -> None:
    reader = Reader()
    result = case_of(reader)
    assert reader.asked == [True]
    assert result.bone_age is not None
    assert result.bone_age_unavailable is None
    compared = result.bone_age.discrepancy
    assert compared is not None
    assert compared.chronological_months == pytest.approx(120, abs=0.1)
    assert compared.difference_months == pytest.approx(-24, abs=0.1)
    assert compared.verdict is AgeDiscrepancyVerdict.MAY_BE_DELAYED
    assert ESTIMATE.model_id in model_versions(result)


@pytest.mark.parametrize(
    ("changes", "reason", "expected"),
    [
        ({"age_years": 40}, "adult", False),
        ({"age_years": 40, "asked": True}, "adult", True),
        ({"age_years": None, "birth_date": None}, "age_unknown", False),
        ({"region": BodyRegion.ANKLE}, "not_a_hand", True),
        ({"region": BodyRegion.ANKLE, "asked": True}, "not_a_hand", True),
    ],
)
def test_refusals_are_told(changes: dict[str, object], reason: str, expected: bool) -> None:
    reader = Reader()
    result = case_of(reader, **changes)  # type: ignore[arg-type]
    assert (reader.asked, result.bone_age) == ([], None)
    assert result.bone_age_unavailable == f"imaging.bone_age.{reason}"
    assert result.bone_age_expected is expected
    assert ("Skeletal age" in render_html(result)) is expected


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (NotReadAsHandError(), "unlike_hands"),
        (BoneAgeNotInstalledError(), "not_installed"),
        (ModelFilesError("x"), "model_unusable"),
    ],
)
def test_a_reader_that_fails_withholds_nothing_else(failure: Exception, reason: str) -> None:
    result = case_of(Reader(failure))
    assert result.bone_age_unavailable == f"imaging.bone_age.{reason}"
    assert result.findings is not None
    assert result.risk is not None


def test_without_a_reader_and_unwanted() -> None:
    assert case_of(None).bone_age_unavailable == "imaging.bone_age.not_installed"
    reader = Reader()
    result = case_of(reader, asked=False)
    assert (reader.asked, result.bone_age, result.bone_age_unavailable) == ([], None, None)


def test_without_age_on_request_only_and_without_sex() -> None:
    reader = Reader()
    result = case_of(reader, asked=True, age_years=None, birth_date=None, sex=Sex.UNKNOWN)
    assert reader.asked == [None]
    assert result.bone_age is not None
    assert result.bone_age.discrepancy is None
    assert "not known to the day" in render_html(result)


def shown_in_html(result: CaseResult) -> str:
    return render_html(result)


def shown_in_json(result: CaseResult) -> str:
    return render_json(result).decode()


def shown_in_terminal(result: CaseResult) -> str:
    text = StringIO()
    print_summary(result, Console(file=text, width=200), [])
    return text.getvalue()


@pytest.mark.parametrize(
    ("show", "words"),
    [
        (shown_in_html, ("8 y 0 mo (90% interval 7 y 2 mo to 8 y 10 mo)", "may be delayed", ESTIMATE.model_id)),
        (shown_in_json, ('"bone_age":', '"may_be_delayed"', "Brush Foundation")),
        (shown_in_terminal, ("8 y 0 mo", "24 mo behind", "may be delayed")),
    ],
)
def test_outputs(show: Callable[[CaseResult], str], words: tuple[str, ...]) -> None:
    text = show(case_of(Reader()))
    assert all(word in text for word in words)


def test_reason_is_explained_in_json() -> None:
    report = json.loads(shown_in_json(case_of(None)))
    assert report["bone_age"] is None
    assert report["warning_texts"]["imaging.bone_age.not_installed"].endswith(".")


def test_fhir_observation() -> None:
    bundle = json.loads(json.dumps(build_bundle(case_of(Reader()))))
    resources = [entry["resource"] for entry in bundle["entry"]]
    (found,) = [
        one
        for one in resources
        if one["resourceType"] == "Observation" and one["code"].get("coding", [{}])[0].get("code") == "85151-9"
    ]
    assert found["valueQuantity"]["value"] == 96
    assert found["valueQuantity"]["code"] == "mo"
    spans = [part["valueRange"] for part in found["component"] if "valueRange" in part]
    assert (spans[0]["low"]["value"], spans[0]["high"]["value"]) == (86, 106)
    (report,) = [one for one in resources if one["resourceType"] == "DiagnosticReport"]
    addresses = {entry["fullUrl"] for entry in bundle["entry"] if entry["resource"] == found}
    assert addresses <= {one["reference"] for one in report["result"]}


def test_within_says_what_is_not_excluded() -> None:
    for half, unsure in ((40.0, True), (5.0, False)):
        months = Measurement(value=121.0, low=121.0 - half, high=121.0 + half)
        assert ("not excluded" in verdict(compare(months, chronological_months=120, female=True))) is unsure


def test_months_and_words() -> None:
    assert months_between(date(2016, 3, 4), date(2026, 3, 4)) == pytest.approx(120, abs=0.1)
    assert [years_and_months(one) for one in (7.4, 23.6, 147.0)] == ["7 mo", "2 y 0 mo", "12 y 3 mo"]


def test_report_fits_the_schema_of_the_border_types() -> None:
    for result in (case_of(Reader()), case_of(None)):
        validate(json.loads(shown_in_json(result)), build_schema())
