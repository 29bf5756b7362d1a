"""One patient's record: what is asked for, what a refusal becomes, and that nobody else's data come along."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapters.bundle import READ_TYPES
from fhir_adapters.client.fetch import RECORD_TYPES, FetchedRecord, code_groups, fetch_record
from fhir_adapters.client.warnings import WARNINGS, ClientWarning
from fhir_adapters.errors import (
    FhirServerError,
    ForbiddenError,
    NotOnServerError,
    RecordIncompleteError,
    ServerBusyError,
    UnauthorisedError,
)
from fhir_adapters.patient import ConditionKind, DrugClass
from fhir_adapters.reader import read_bundle
from fhir_adapters.relevance import relevant_codes, scan_codes
from tests.support.fhir_double import BASE, Json, Routes, client, outcome, resource, searchset

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
OF_P1: Json = {"subject": {"reference": "Patient/p1"}}
PATIENT: Json = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1950-01-01"}
OSTEOPOROSIS: Json = {
    "resourceType": "Condition",
    "id": "c1",
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "64859006"}]},
    **OF_P1,
}
WEIGHT: Json = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    "valueQuantity": {"value": 60, "system": "http://unitsofmeasure.org", "code": "kg"},
    "effectiveDateTime": "2025-12-01T08:00:00Z",
    **OF_P1,
}
REQUEST: Json = {
    "resourceType": "MedicationRequest",
    "id": "r1",
    "status": "active",
    "intent": "order",
    "medicationReference": {"reference": "Medication/m1"},
    **OF_P1,
}
PREDNISONE: Json = {
    "resourceType": "Medication",
    "id": "m1",
    "code": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "312617"}]},
}
MOTHER: Json = {
    "resourceType": "FamilyMemberHistory",
    "id": "f1",
    "status": "completed",
    "patient": {"reference": "Patient/p1"},
    "relationship": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "MTH"}]},
    "condition": [{"code": {"coding": [{"system": "http://snomed.info/sct", "code": "359817006"}]}}],
}

DXA: Json = {
    "resourceType": "Procedure",
    "id": "d1",
    "status": "completed",
    "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "312681000"}]},
    "performedDateTime": "2020-05-04",
}
REPORT: Json = {
    "resourceType": "DiagnosticReport",
    "id": "e1",
    "status": "final",
    "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "24701-5"}]},
    "effectiveDateTime": "2022-05-04",
}


def whole(**changes: Any) -> Routes:
    return Routes(
        {
            "Patient": searchset([PATIENT]),
            "Condition": searchset([OSTEOPOROSIS]),
            "Observation": searchset([WEIGHT]),
            "MedicationRequest": searchset([REQUEST, PREDNISONE]),
            "FamilyMemberHistory": searchset([MOTHER]),
            "Procedure": searchset([DXA]),
            "DiagnosticReport": searchset([REPORT]),
        }
        | changes
    )


def fetch(routes: Routes, **options: Any) -> FetchedRecord:
    async def go() -> FetchedRecord:
        async with client(routes) as fhir:
            return await fetch_record(fhir, "Patient/p1", **options)

    return asyncio.run(go())


def refuses_param(name: str, answer: httpx.Response) -> Any:
    """A handler that answers 400 as long as a parameter is there."""

    def handler(request: httpx.Request) -> httpx.Response:
        return resource(outcome("error"), 400) if name in request.content.decode() else answer

    return handler


def test_the_plan_asks_for_what_the_reader_reads() -> None:
    # Medication comes with its requests.
    assert {*RECORD_TYPES, "Medication"} == READ_TYPES


def test_a_whole_record_in_ten_requests() -> None:
    routes = whole()
    record = fetch(routes)
    assert record.warnings == ()
    assert record.requests == len(routes.requests) == 10
    assert record.received_bytes > 500
    assert record.counts == tuple(
        (name, 1)
        for name in (
            "Patient",
            "Condition",
            "Observation",
            "MedicationRequest",
            "FamilyMemberHistory",
            "Procedure",
            "DiagnosticReport",
            "Medication",
        )
    )
    snapshot = read_bundle(record.bundle, as_of=AS_OF, patient_id=record.patient_id)
    assert snapshot.warnings == ()
    assert snapshot.has_condition(ConditionKind.OSTEOPOROSIS)
    assert snapshot.weight_kg is not None
    assert snapshot.takes(DrugClass.SYSTEMIC_GLUCOCORTICOID)
    assert snapshot.parental_hip_fracture is not None
    assert [one.resource for one in snapshot.bone_density_scans] == ["DiagnosticReport/e1", "Procedure/d1"]
    assert "p1" not in repr(record)


def test_only_the_codes_that_are_read_are_asked_for() -> None:
    routes = whole()
    fetch(routes)
    (asked,) = routes.asked("Observation")
    assert set(asked["code"].split(",")) == relevant_codes()
    assert asked["patient"] == "p1"
    for name in ("Procedure", "DiagnosticReport"):
        (scans,) = routes.asked(name)
        assert set(scans["code"].split(",")) == scan_codes()
    assert routes.asked("MedicationRequest")[0]["_include"] == "MedicationRequest:medication"
    assert routes.asked("Patient") == [{"_id": "p1", "_count": "500"}]
    assert all("p1" not in str(request.url) for request in routes.requests)


def test_the_bytes_do_not_depend_on_the_order_of_the_server() -> None:
    second = {**OSTEOPOROSIS, "id": "c0"}
    forward = fetch(whole(Condition=searchset([OSTEOPOROSIS, second])))
    backward = fetch(whole(Condition=searchset([second, OSTEOPOROSIS])))
    assert forward.bundle == backward.bundle


@pytest.mark.parametrize(
    "name", ["FamilyMemberHistory", "MedicationStatement", "MedicationDispense", "Procedure", "DiagnosticReport"]
)
@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_lesser_type_that_is_refused_becomes_a_warning(name: str, status: int) -> None:
    record = fetch(whole(**{name: httpx.Response(status)}))
    assert record.warnings == (f"fhir.server.unread:{name}",)


@pytest.mark.parametrize("name", ["Condition", "Observation"])
@pytest.mark.parametrize("answer", [httpx.Response(403), httpx.Response(400), searchset([], outcome=outcome("error"))])
def test_without_an_essential_type_there_is_no_record_unless_that_is_allowed(name: str, answer: httpx.Response) -> None:
    with pytest.raises(RecordIncompleteError, match=name) as caught:
        fetch(whole(**{name: answer}))
    assert caught.value.types == (name,)
    assert "--allow-incomplete" in caught.value.remedy
    record = fetch(whole(**{name: answer}), allow_incomplete=True)
    assert record.warnings[0] == f"fhir.server.unread_essential:{name}"


def test_drugs_may_be_kept_as_the_one_or_the_other() -> None:
    refused = {"MedicationRequest": httpx.Response(403)}
    record = fetch(whole(**refused))
    assert record.warnings == ("fhir.server.unread_essential:MedicationRequest",)
    with pytest.raises(RecordIncompleteError, match="MedicationRequest"):
        fetch(whole(**refused, MedicationStatement=httpx.Response(403)))


@pytest.mark.parametrize(
    ("answer", "error"), [(httpx.Response(503), ServerBusyError), (httpx.Response(401), UnauthorisedError)]
)
@pytest.mark.parametrize("name", ["Condition", "FamilyMemberHistory", "Patient"])
def test_a_server_that_does_not_answer_is_never_taken_for_an_empty_record(
    name: str, answer: httpx.Response, error: type[FhirServerError]
) -> None:
    for allowed in (False, True):
        with pytest.raises(error):
            fetch(whole(**{name: answer}), allow_incomplete=allowed)


def test_nobody_by_that_name() -> None:
    with pytest.raises(NotOnServerError):
        fetch(whole(Patient=searchset()))
    with pytest.raises(NotOnServerError):
        fetch(whole(Patient=searchset([{**PATIENT, "id": "p2"}])))


def test_a_patient_that_may_be_read_but_not_searched() -> None:
    def reads_only(request: httpx.Request) -> httpx.Response:
        return (
            resource(PATIENT) if request.method == "GET" and request.url.path.endswith("/p1") else httpx.Response(403)
        )

    record = fetch(whole(Patient=reads_only))
    assert read_bundle(record.bundle, as_of=AS_OF).sex is not None
    with pytest.raises(ForbiddenError):
        fetch(whole(Patient=httpx.Response(403)))


def test_a_refused_filter_is_left_out() -> None:
    routes = whole(
        Observation=refuses_param("code=", searchset([WEIGHT])),
        MedicationRequest=refuses_param("_include=", searchset([REQUEST])),
        Medication=searchset([PREDNISONE]),
    )
    record = fetch(routes)
    assert record.warnings == ()
    assert routes.asked("Medication/") == [{"_id": "m1", "_count": "500"}]
    assert read_bundle(record.bundle, as_of=AS_OF).takes(DrugClass.SYSTEMIC_GLUCOCORTICOID)


@pytest.mark.parametrize("answer", [httpx.Response(403), searchset()])
def test_a_drug_that_cannot_be_had_is_said(answer: httpx.Response) -> None:
    record = fetch(whole(MedicationRequest=searchset([REQUEST]), Medication=answer))
    assert record.warnings == ("fhir.server.medication_missing:1",)


def test_entries_of_others_are_dropped() -> None:
    other = {**MOTHER, "id": "planted", "patient": {"reference": f"{BASE}/Patient/p2/_history/3"}}
    record = fetch(whole(FamilyMemberHistory=searchset([MOTHER, other])))
    assert record.warnings == ("fhir.server.filter_ignored:1 entries",)
    assert b"planted" not in record.bundle
    assert b'"f1"' in record.bundle


def test_a_warning_of_the_server_is_passed_on_without_its_text() -> None:
    record = fetch(whole(Condition=searchset([OSTEOPOROSIS], outcome=outcome("warning", "incomplete"))))
    assert record.warnings == ("fhir.server.outcome_warning:Condition incomplete",)


def test_pages_of_one_type_are_joined() -> None:
    def pages(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return searchset([OSTEOPOROSIS], following=f"{BASE}/Condition?page=2")
        return searchset([{**OSTEOPOROSIS, "id": "c2"}])

    record = fetch(whole(Condition=pages))
    assert dict(record.counts)["Condition"] == 2
    assert record.requests == 11


def test_entries_without_address_get_one() -> None:
    bundle = json.loads(searchset([PATIENT]).content)
    del bundle["entry"][0]["fullUrl"]
    record = fetch(whole(Patient=resource(bundle)))
    assert json.loads(record.bundle)["entry"][0]["fullUrl"] == f"{BASE}/Patient/p1"


@given(st.sets(st.text("0123456789-", min_size=1, max_size=12), max_size=40), st.integers(12, 60))
def test_codes_are_split_and_none_is_lost(codes: set[str], limit: int) -> None:
    groups = list(code_groups(codes, limit=limit))
    assert sorted(code for group in groups for code in group.split(",")) == sorted(codes)
    assert all(len(group) <= limit for group in groups)


def test_every_warning_has_a_sentence() -> None:
    assert set(WARNINGS) == {warning.value for warning in ClientWarning}
    assert all(text.endswith(".") for text in WARNINGS.values())
