import ast
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.riskassessment import RiskAssessment
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapters import builders, r4_types
from fhir_adapters.r4_types import (
    Code,
    Component,
    Concept,
    Measured,
    MeasuredRange,
    ObservationCategory,
    ObservationStatus,
    Prediction,
    ReportStatus,
    Value,
    data_absent_unknown,
    decimal,
    identifier,
    instant,
    logical_reference,
    narrative,
    reference,
    without_empty,
)

NOW = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
ID = identifier("urn:example", "1")
_TEXTS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).filter(str.strip)


def _observation(value: Value | None, **more: Any) -> dict[str, Any]:
    return builders.observation(
        business_id=ID,
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.IMAGING,
        code=Concept(text="Fracture", codes=(Code(system="urn:example", code="f", display="Fracture"),)),
        subject=reference("Patient/1"),
        issued=NOW,
        value=value,
        device_reference=reference("Device/1"),
        **more,
    )


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (Concept(text="yes"), "valueCodeableConcept"),
        (Measured(value=1.5, unit="mm", ucum="mm"), "valueQuantity"),
        (MeasuredRange(low=1, high=2, unit="weeks", ucum="wk"), "valueRange"),
        ("words", "valueString"),
    ],
)
def test_each_kind_of_value(value: Value, key: str) -> None:
    built = _observation(value)
    Observation.model_validate(built)
    assert [name for name in built if name.startswith("value")] == [key]


def test_absent_value_has_its_reason() -> None:
    built = _observation(None, absent_reason=data_absent_unknown("Not fit to be judged"))
    Observation.model_validate(built)
    assert built["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert "Not fit to be judged" in built["text"]["div"]
    with pytest.raises(ValueError, match="no reason"):
        _observation("value", absent_reason=data_absent_unknown("none"))


def test_quantity_without_ucum_has_no_system() -> None:
    built = _observation("x", components=(Component(code=Concept(text="a"), value=Measured(value=3, unit="px")),))
    assert built["component"][0]["valueQuantity"] == {"value": 3.0, "unit": "px"}


def test_report_and_device_are_valid() -> None:
    report = builders.diagnostic_report(
        business_id=ID,
        status=ReportStatus.PARTIAL,
        code=Concept(text="X-ray"),
        subject=logical_reference("Patient", display="Unidentified"),
        issued=NOW,
        results=(reference("urn:uuid:1", "Observation"),),
        imaging_studies=(r4_types.imaging_study_reference("1.2.3"),),
        conclusion="Nothing seen.",
    )
    DiagnosticReport.model_validate(report)
    assert "conclusionCode" not in report
    device = builders.device(business_id=ID, name="engine", kind="software", versions={"engine": "1"}, note="note")
    Device.model_validate(device)


def _risk(percent: float) -> dict[str, Any]:
    return builders.risk_assessment(
        business_id=ID,
        status=ObservationStatus.PRELIMINARY,
        code=Concept(text="risk"),
        method="model@1",
        subject=reference("Patient/1"),
        occurrence=NOW,
        performer=reference("Device/1"),
        predictions=(Prediction(outcome=Concept(text="hip"), percent=percent, within_years=10, rationale="per cent"),),
    )


@given(st.floats(0, 100))
def test_risk_is_a_percentage(percent: float) -> None:
    built = _risk(percent)
    RiskAssessment.model_validate(built)
    assert 0 <= built["prediction"][0]["probabilityDecimal"] <= 100


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_risk_outside_percent_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="per cent"):
        _risk(percent)


@given(_TEXTS)
def test_narrative_is_escaped(text: str) -> None:
    div = str(narrative([text])["div"])
    inside = div.removeprefix('<div xmlns="http://www.w3.org/1999/xhtml"><p>').removesuffix("</p></div>")
    assert "<" not in inside
    assert ">" not in inside


@given(st.recursive(st.none() | st.just("") | st.integers(), lambda one: st.lists(one) | st.dictionaries(_TEXTS, one)))
def test_nothing_empty_is_left(value: Any) -> None:
    def check(node: Any) -> None:
        assert node not in ("", [], {})
        assert node is not None
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            check(child)

    kept = without_empty(value)
    if kept is not None:
        check(kept)


def test_falsehood_and_zero_are_not_empty() -> None:
    assert without_empty({"a": 0, "b": False, "c": [None, ""], "d": {"e": None}}) == {"a": 0, "b": False}


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9))
def test_decimals_keep_four_digits(value: float) -> None:
    assert decimal(value) == pytest.approx(value, rel=5e-4)


def test_what_fhir_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        decimal(math.inf)
    with pytest.raises(ValueError, match="time zone"):
        instant(datetime(2026, 1, 1))
    assert instant(NOW) == "2026-03-04T09:30:00.000+00:00"


def test_transaction_is_conditional_on_the_business_identifier() -> None:
    odd = identifier("urn:example", "a+b c&d|1")
    device = builders.device(business_id=odd, name="engine", kind="software", versions={"engine": "1"}, note="n")
    provenance = builders.provenance(
        targets=(reference("urn:uuid:1", "Device"),),
        recorded=NOW,
        agent=reference("urn:uuid:1", "Device"),
        sources=(),
        activity="Made.",
    )
    bundle = builders.transaction({"urn:uuid:1": device, "urn:uuid:2": provenance}, ID, NOW)
    Bundle.model_validate(json.loads(json.dumps(bundle)))
    entries: Any = bundle["entry"]
    assert entries[0]["request"]["ifNoneExist"] == "identifier=urn:example|a%2Bb%20c%26d|1"
    assert "ifNoneExist" not in entries[1]["request"]


def test_builders_stay_a_leaf() -> None:
    for module in (builders, r4_types):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.partition(".")[0] not in ("imaging", "tabular", "fusion", "cds", "fhir")
