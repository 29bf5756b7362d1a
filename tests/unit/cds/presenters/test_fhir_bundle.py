import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom.sr._concepts_dict import concepts

from cds.case import CaseResult
from cds.presenters.fhir_bundle import build_bundle, render_bundle
from cds.presenters.fhir_transaction import BODY_SITES
from cds.presenters.wording import NOTICE
from fusion.results import AdviceAction, Severity
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.support.cases import (
    CASE_ID,
    all_cases,
    full_case,
    image_only_case,
    negative_case,
    patient_only_case,
    unreadable_case,
)

# Required value sets of R4 4.0.1 for the elements that the bundle fills.
_REQUIRED: dict[tuple[str, str], set[str]] = {
    ("Observation", "status"): {
        "registered",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "cancelled",
        "entered-in-error",
        "unknown",
    },
    ("DiagnosticReport", "status"): {
        "registered",
        "partial",
        "preliminary",
        "final",
        "amended",
        "corrected",
        "appended",
        "cancelled",
        "entered-in-error",
        "unknown",
    },
    ("Device", "status"): {"active", "inactive", "entered-in-error", "unknown"},
    ("Bundle", "type"): {
        "document",
        "message",
        "transaction",
        "transaction-response",
        "batch",
        "batch-response",
        "history",
        "searchset",
        "collection",
    },
}
_REQUIRED[("RiskAssessment", "status")] = _REQUIRED[("Observation", "status")]
for _kind in ("CarePlan", "ServiceRequest", "NutritionOrder", "CommunicationRequest"):
    _REQUIRED[(_kind, "status")] = {"draft"}
_REQUIRED[("DetectedIssue", "status")] = _REQUIRED[("Observation", "status")]
_MANDATORY: dict[str, set[str]] = {
    "Device": set(),
    "Observation": {"status", "code"},
    "DiagnosticReport": {"status", "code"},
    "RiskAssessment": {"status", "subject"},
    "DetectedIssue": {"status"},
    "CarePlan": {"status", "intent", "subject"},
    "Goal": {"lifecycleStatus", "description", "subject"},
    "ServiceRequest": {"status", "intent", "subject"},
    "NutritionOrder": {"status", "intent", "patient", "dateTime"},
    "CommunicationRequest": {"status"},
    "Provenance": {"target", "recorded", "agent"},
}


def _bundle(result: CaseResult) -> dict[str, Any]:
    bundle: dict[str, Any] = json.loads(render_bundle(result))
    return bundle


def _resources(result: CaseResult, kind: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in _bundle(result)["entry"] if one["resource"]["resourceType"] == kind]


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _walk(child)


@pytest.fixture(params=list(all_cases()))
def bundle(request: pytest.FixtureRequest) -> dict[str, Any]:
    return _bundle(all_cases()[request.param])


def test_structure_is_valid(bundle: dict[str, Any]) -> None:
    Bundle.model_validate(bundle)


def test_required_elements_and_codes_of_r4(bundle: dict[str, Any]) -> None:
    assert bundle["type"] in _REQUIRED[("Bundle", "type")]
    for entry in bundle["entry"]:
        resource = entry["resource"]
        kind = resource["resourceType"]
        assert _MANDATORY[kind] <= set(resource)
        if (kind, "status") in _REQUIRED:
            assert resource["status"] in _REQUIRED[(kind, "status")]


def test_nothing_is_null_or_empty(bundle: dict[str, Any]) -> None:
    for node in _walk(bundle):
        assert node is not None
        assert node not in ("", [], {})
        assert not (isinstance(node, str) and node != node.strip())


def test_nothing_claims_to_be_verified(bundle: dict[str, Any]) -> None:
    for entry in bundle["entry"]:
        assert entry["resource"].get("status") not in ("final", "amended", "corrected")
        kind = entry["resource"]["resourceType"]
        if kind not in ("Device", "Provenance"):
            assert entry["resource"]["meta"]["security"][0]["code"] == "AIAST"


def test_transaction_posts_every_resource_once(bundle: dict[str, Any]) -> None:
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(addresses) == len(set(addresses))
    for entry in bundle["entry"]:
        assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", entry["fullUrl"])
        assert entry["request"]["method"] == "POST"
        assert entry["request"]["url"] == entry["resource"]["resourceType"]
        assert "id" not in entry["resource"]


def test_nothing_is_created_twice(bundle: dict[str, Any]) -> None:
    """Each entry is created only if the server finds none: a Device by identifier, the rest by the last tag."""
    conditions = [entry["request"]["ifNoneExist"] for entry in bundle["entry"]]
    assert len(set(conditions)) == len(conditions)
    for entry, condition in zip(bundle["entry"], conditions, strict=True):
        resource = entry["resource"]
        if resource["resourceType"] == "Device":
            (named,) = resource["identifier"]
            assert unquote(condition) == f"identifier={named['system']}|{named['value']}"
            continue
        case, own = resource["meta"]["tag"]
        assert case == {"system": "urn:fracture-cds:case", "code": CASE_ID}
        assert unquote(condition) == f"_tag={own['system']}|{own['code']}"
        assert own["code"].startswith(f"{CASE_ID}/")


def test_business_identifiers_are_unique(bundle: dict[str, Any]) -> None:
    named = [entry["resource"]["identifier"][0]["value"] for entry in bundle["entry"][:-1]]
    assert len(named) == len(set(named))


def test_references_reach_an_entry_of_the_right_type(bundle: dict[str, Any]) -> None:
    kinds = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    for node in _walk(bundle):
        if isinstance(node, dict) and str(node.get("reference", "")).startswith("urn:uuid:"):
            assert node["type"] == kinds[node["reference"]]


def test_provenance_covers_all_but_the_device(bundle: dict[str, Any]) -> None:
    (provenance,) = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Provenance"]
    made = {e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] not in ("Device", "Provenance")}
    assert {target["reference"] for target in provenance["target"]} == made
    assert any(one["what"].get("display") == "Evidence base" for one in provenance["entity"])


def test_every_resource_tells_its_story_in_words(bundle: dict[str, Any]) -> None:
    for entry in bundle["entry"]:
        text = entry["resource"]["text"]
        assert text["status"] == "generated"
        assert text["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml"><p>')


def test_same_case_gives_the_same_bytes_and_another_case_other_addresses() -> None:
    assert render_bundle(full_case()) == render_bundle(full_case())
    first = {entry["fullUrl"] for entry in _bundle(full_case())["entry"]}
    for case_id in ("5e1b3f36-9f52-4f4d-a0d2-3f6a2f9a1c11", "not a uuid"):
        other = {entry["fullUrl"] for entry in _bundle(replace(full_case(), case_id=case_id))["entry"]}
        assert not first & other


def test_same_software_is_the_same_device() -> None:
    other = replace(full_case(), case_id="5e1b3f36-9f52-4f4d-a0d2-3f6a2f9a1c11")
    newer = replace(full_case(), engine_version="0.2.0")
    first, second, third = (_resources(one, "Device")[0]["identifier"] for one in (full_case(), other, newer))
    assert first == second != third


def test_device_names_engine_models_and_evidence() -> None:
    device, *_ = _resources(full_case(), "Device")
    versions = {one["type"]["text"]: one["value"] for one in device["version"]}
    assert versions == {
        "engine": "0.1.0",
        "evidence base": "1.0.0+9c1f",
        "radiograph model": "yolov7-tiny-fracatlas@1.0.0+ab12cd34",
        "attribute model": "attributes@1.0.0+01234567",
        "risk model": "fracture-risk-nhanes@1.0.0+ef56ab78",
    }
    assert device["note"] == [{"text": NOTICE}]


def test_report_sums_up_the_call_and_its_places() -> None:
    (report,) = _resources(full_case(), "DiagnosticReport")
    assert report["status"] == "partial"
    assert report["code"]["coding"][0] == {
        "system": "http://loinc.org",
        "code": "18748-4",
        "display": "Diagnostic imaging study",
    }
    assert len(report["result"]) == 3
    assert report["imagingStudy"] == [
        {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": "urn:oid:2.25.3"}}
    ]
    assert report["conclusion"].startswith("Fracture: definite.")
    assert report["conclusion"].endswith(NOTICE)
    assert report["subject"] == {"reference": "Patient/example-72f"}


@pytest.mark.parametrize("call", FractureCall)
def test_only_a_definite_call_concludes_a_fracture_in_codes(call: FractureCall) -> None:
    full = full_case()
    assert full.findings is not None
    text = json.dumps(build_bundle(replace(full, findings=replace(full.findings, call=call, detections=()))))
    assert ("125605004" in text) is (call is FractureCall.DEFINITE)


def _own_code(resource: dict[str, Any]) -> str:
    return str(resource["code"]["coding"][0]["code"])


def test_calls_are_interpreted_without_overstatement() -> None:
    expected = {"image_only": "IND", "negative": "ND"}
    for name, code in expected.items():
        (call,) = [one for one in _resources(all_cases()[name], "Observation") if _own_code(one) == "fracture-call"]
        assert call["interpretation"][0]["coding"][0]["code"] == code
    (unreadable,) = [one for one in _resources(unreadable_case(), "Observation") if _own_code(one) == "fracture-call"]
    assert "valueCodeableConcept" not in unreadable
    assert unreadable["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert "interpretation" not in unreadable


def test_boxes_are_in_pixels_and_in_millimetres_only_with_spacing() -> None:
    places = [one for one in _resources(full_case(), "Observation") if _own_code(one) == "fracture-detection"]
    components = {_own_code(one): one for one in places[0]["component"]}
    assert components["box-columns"]["valueRange"]["low"] == {"value": 72.0, "unit": "px"}
    assert components["box-width-detector"]["valueQuantity"]["code"] == "mm"
    assert components["dicom-instance"]["valueString"] == "urn:oid:2.25.311, frame 1"
    (bare,) = [one for one in _resources(image_only_case(), "Observation") if _own_code(one) == "fracture-detection"]
    assert {_own_code(one) for one in bare["component"]} == {"detector-score", "box-columns", "box-rows"}


def test_union_is_a_range_in_weeks() -> None:
    (union,) = [one for one in _resources(full_case(), "Observation") if _own_code(one) == "time-to-union"]
    assert union["valueRange"]["low"] == {
        "value": 6.8,
        "unit": "weeks",
        "system": "http://unitsofmeasure.org",
        "code": "wk",
    }
    components = {_own_code(one): one for one in union["component"]}
    assert components["union-median"]["valueQuantity"]["value"] == 8.9
    assert components["nonunion"]["valueRange"]["high"]["value"] == 6.0


def test_risk_is_in_percent_and_says_so() -> None:
    (risk,) = _resources(full_case(), "RiskAssessment")
    major, hip = risk["prediction"]
    assert major["probabilityDecimal"] == 22.7
    assert hip["probabilityDecimal"] == 7.1
    for one in (major, hip):
        assert one["probabilityDecimal"] <= 100
        assert one["rationale"].startswith("Probability in per cent. Interval ")
        assert one["whenRange"]["high"]["code"] == "a"
        assert "qualitativeRisk" not in one
    assert "type 2 diabetes" in major["rationale"]


def test_safety_advice_becomes_issues_and_the_rest_does_not() -> None:
    issues = _resources(full_case(), "DetectedIssue")
    texts = {one["code"]["text"] for one in issues}
    assert texts == {"Separate in time: calcium", "Avoid: NSAID"}
    assert all(one["code"]["coding"][0]["code"] == "DRG" for one in issues)
    assert {one["implicated"][0]["reference"] for one in issues} == {
        "MedicationRequest/levothyroxine-1",
        "MedicationRequest/ibuprofen-1",
    }


def test_issue_without_a_drug_has_words_only() -> None:
    full = full_case()
    by_age = replace(
        full.assessment.supplementation[2],
        action=AdviceAction.CAUTION,
        statement=replace(full.assessment.supplementation[2].statement, record=("clinician",)),
    )
    (issue,) = _resources(
        replace(full, assessment=replace(full.assessment, supplementation=(by_age,))), "DetectedIssue"
    )
    assert issue["code"] == {"text": "Caution: NSAID"}
    assert "implicated" not in issue


def test_without_a_record_nobody_is_made_up() -> None:
    for result in (image_only_case(), negative_case()):
        kinds = {entry["resource"]["resourceType"] for entry in _bundle(result)["entry"]}
        assert not kinds & {"Patient", "RiskAssessment", "DetectedIssue", "CarePlan", "ServiceRequest", "Goal"}
        for one in _resources(result, "Observation") + _resources(result, "DiagnosticReport"):
            assert set(one["subject"]) == {"type", "display"}
            assert "Unidentified" in one["subject"]["display"]


def test_without_a_radiograph_there_is_no_imaging() -> None:
    kinds = {entry["resource"]["resourceType"] for entry in _bundle(patient_only_case())["entry"]}
    assert kinds == {
        "Device",
        "RiskAssessment",
        "DetectedIssue",
        "NutritionOrder",
        "CarePlan",
        "Provenance",
    }


def test_undetermined_severity_is_said_and_no_injury_is_not() -> None:
    (said,) = [one for one in _resources(image_only_case(), "Observation") if _own_code(one) == "injury-severity"]
    assert said["valueCodeableConcept"]["coding"][0]["code"] == f"severity-{Severity.UNDETERMINED}"
    assert not [one for one in _resources(negative_case(), "Observation") if _own_code(one) == "injury-severity"]


def test_record_resources_are_named_as_sources() -> None:
    (provenance,) = _resources(full_case(), "Provenance")
    named = [one["what"].get("reference") for one in provenance["entity"]]
    assert "Patient/example-72f" in named
    assert "Observation/vitd-1" in named
    assert "Observation/height-1" in named
    assert len(named) == len({json.dumps(one["what"]) for one in provenance["entity"]})


def test_no_name_or_birth_date_leaves() -> None:
    assert b"1953" not in render_bundle(full_case())


def test_body_sites_are_snomed_terms_of_dicom() -> None:
    assert set(BODY_SITES) == set(BodyRegion)
    meanings: dict[str, list[str]] = {}
    snomed: Any = concepts["SCT"]
    for named in snomed.values():
        for code, (text, _) in named.items():
            meanings.setdefault(code, []).append(text.removesuffix(" (body structure)"))
    for code, term in BODY_SITES.values():
        assert term in meanings[code]


def test_hostile_text_is_escaped_in_narratives() -> None:
    full = full_case()
    summary = replace(full.assessment.summary, text="<script>alert(1)</script>")
    (report,) = _resources(replace(full, assessment=replace(full.assessment, summary=summary)), "DiagnosticReport")
    assert "<script>" not in report["text"]["div"]
    assert "<script>" in report["conclusion"]


def test_numbers_that_are_none_are_refused() -> None:
    full = full_case()
    assert full.assessment.healing is not None
    healing = replace(full.assessment.healing, median_weeks=math.nan)
    with pytest.raises(ValueError, match="finite"):
        render_bundle(replace(full, assessment=replace(full.assessment, healing=healing)))


def test_case_id_is_the_business_identifier() -> None:
    assert _bundle(full_case())["identifier"] == {"system": "urn:fracture-cds:case", "value": CASE_ID}
