"""Bone density scans recorded as done: which entries count, on which day, and whether their result is there."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from fhir_adapters.codes.scans import SCANS, is_scan
from fhir_adapters.codes.systems import CodeSystem
from fhir_adapters.patient import PatientSnapshot
from fhir_adapters.reader import is_relevant_line, read_resources, scan_codes
from fhir_adapters.warnings import FhirWarning

Json = dict[str, Any]
AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
SNOMED, CPT, PCS = (
    "http://snomed.info/sct",
    "http://www.ama-assn.org/go/cpt",
    "http://www.cms.gov/Medicare/Coding/ICD10",
)
SUBJECT = {"reference": "Patient/p"}
PATIENT: Json = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1950-01-01"}


def scan(name: str = "s", system: str = SNOMED, code: str = "312681000", **more: Any) -> Json:
    return {
        "resourceType": "Procedure",
        "id": name,
        "status": "completed",
        "subject": SUBJECT,
        "code": {"coding": [{"system": system, "code": code}]},
        "performedDateTime": "2024-03-12",
        **more,
    }


def report(name: str = "r", **more: Any) -> Json:
    resource = scan(name, **{"effectiveDateTime": "2024-03-12", "status": "final", **more})
    del resource["performedDateTime"]
    return {**resource, "resourceType": "DiagnosticReport"}


def t_score(day: str | None) -> Json:
    dated = {} if day is None else {"effectiveDateTime": day}
    return {
        "resourceType": "Observation",
        "id": "t",
        "status": "final",
        "subject": SUBJECT,
        "code": {"coding": [{"system": "http://loinc.org", "code": "38267-1"}]},
        "valueQuantity": {"value": -1.5, "unit": "{T-score}"},
        **dated,
    }


def read(*resources: Json) -> PatientSnapshot:
    return read_resources([PATIENT, *resources], as_of=AS_OF)


@pytest.mark.parametrize(
    ("system", "code"),
    [
        (SNOMED, "312681000"),
        (SNOMED, "241686001"),
        (CPT, "77080"),
        ("urn:oid:2.16.840.1.113883.6.12", "77085"),
        (PCS, "BQ00ZZ1"),
        ("urn:oid:2.16.840.1.113883.6.4", "BR09ZZ1"),
    ],
)
def test_a_completed_procedure_counts(system: str, code: str) -> None:
    (found,) = read(scan(system=system, code=code)).bone_density_scans
    assert (found.code, found.resource) == (f"{system}|{code}", "Procedure/s")
    assert found.performed == datetime(2024, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "other",
    [
        scan(status="in-progress"),
        scan(status="not-done"),
        scan(status="entered-in-error"),
        scan(system=CPT, code="77081"),
        scan(system=CPT, code="77086"),
        scan(system="urn:else", code="77080"),
        scan(subject={"reference": "Patient/other"}),
        scan(performedDateTime="2025-06-03"),
        scan(modifierExtension=[{"url": "urn:not"}]),
        report(status="registered"),
        report(status="cancelled"),
        scan() | {"resourceType": "ServiceRequest"},
    ],
)
def test_what_was_not_done_or_is_no_dxa_does_not_count(other: Json) -> None:
    assert read(other).bone_density_scans == ()


def test_a_scan_without_a_date_is_left_out_and_said() -> None:
    undated = scan()
    del undated["performedDateTime"]
    found = read(undated)
    assert found.bone_density_scans == ()
    assert found.warnings == (f"{FhirWarning.SCAN_UNDATED}:Procedure/s",)


def test_the_end_of_a_period_and_a_report_count_and_one_day_is_one_scan() -> None:
    period = scan(performedPeriod={"start": "2023-01-01", "end": "2023-01-02"})
    del period["performedDateTime"]
    found = read(period, scan("s2"), report(), report("r2", effectiveDateTime="2020"))
    assert [one.resource for one in found.bone_density_scans] == [
        "Procedure/s2",
        "Procedure/s",
        "DiagnosticReport/r2",
    ]
    assert found.bone_density_scans[1].performed.day == 2


@pytest.mark.parametrize(
    ("day", "missing"), [("2024-03-12", False), ("2024-02-20", False), ("2024-09-01", False), ("2019-05-01", True)]
)
def test_a_t_score_of_the_time_is_the_result(day: str, missing: bool) -> None:
    found = read(scan(), t_score(day))
    assert (found.scan_without_result is not None) is missing


def test_an_undated_t_score_may_be_the_result_and_without_a_scan_nothing_is_missing() -> None:
    assert read(scan(), t_score(None)).scan_without_result is None
    assert read(t_score("2024-01-01")).scan_without_result is None
    assert read(scan()).scan_without_result is not None


@pytest.mark.parametrize("code", sorted(scan_codes()))
def test_lines_of_scans_are_kept(code: str) -> None:
    assert is_scan(SCANS[code].value, code)
    for resource in (scan(system=SCANS[code].value, code=code), report(system=SCANS[code].value, code=code)):
        assert is_relevant_line(orjson.dumps(resource))
    assert not is_relevant_line(orjson.dumps(scan(code="80146002")))
    assert not is_scan(CodeSystem.ATC.value, code)
