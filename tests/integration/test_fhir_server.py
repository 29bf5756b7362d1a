"""The client against a real FHIR server on the loopback address, open and with SMART Backend Services."""

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from typer.testing import CliRunner, Result

from cds.entrypoints import assess as assess_module
from cds.entrypoints.cli import app
from fhir_adapters.client.auth import ASSERTION_TYPE, BackendServices
from fhir_adapters.client.fetch import FetchedRecord, fetch_record
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.media import newest_radiograph
from fhir_adapters.errors import NotOnServerError, RecordIncompleteError, TokenRefusedError, UnauthorisedError
from fhir_adapters.patient import ConditionKind, DrugClass, PatientSnapshot
from fhir_adapters.reader import read_bundle
from tests.support.fakes import FakeParts
from tests.support.fhir_server import FhirServer, keeping_ids, running_fhir_server
from tests.support.inputs import dicom_file

Json = dict[str, Any]
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
RXNORM, UCUM = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://unitsofmeasure.org"
IMAGE = dicom_file()
WEIGHTS = 25
"""More than the twenty that the server puts on a page when nobody asks for more."""


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def record_of(name: str) -> list[Json]:
    """A small record: osteoporosis, weights and a T-score, prednisone by reference, noise, a radiograph."""
    own: Json = {"subject": {"reference": f"Patient/{name}"}}

    def measured(number: int, code: str, value: float, unit: str) -> Json:
        return {
            "resourceType": "Observation",
            "id": f"{name}-o{number}",
            "status": "final",
            "code": coded(LOINC, code),
            "effectiveDateTime": f"2025-01-{number + 1:02d}T08:00:00Z",
            "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
            **own,
        }

    return [
        {"resourceType": "Patient", "id": name, "gender": "female", "birthDate": "1950-04-05"},
        {"resourceType": "Condition", "id": f"{name}-c1", "code": coded(SNOMED, "64859006"), **own},
        *(measured(number, "29463-7", 60 + number / 10, "kg") for number in range(WEIGHTS)),
        measured(WEIGHTS, "38263-0", -2.7, "{T-score}"),
        measured(WEIGHTS + 1, "8480-6", 120, "mm[Hg]"),
        {"resourceType": "Medication", "id": f"{name}-m1", "code": coded(RXNORM, "312617")},
        {
            "resourceType": "MedicationRequest",
            "id": f"{name}-r1",
            "status": "active",
            "intent": "order",
            "authoredOn": "2025-06-01",
            "medicationReference": {"reference": f"Medication/{name}-m1"},
            **own,
        },
        {"resourceType": "Encounter", "id": f"{name}-e1", "status": "finished", "class": {"code": "AMB"}, **own},
        {
            "resourceType": "Media",
            "id": f"{name}-x1",
            "status": "completed",
            "modality": coded("http://dicom.nema.org/resources/ontology/DCM", "CR"),
            "bodySite": coded(SNOMED, "8205005"),
            "createdDateTime": "2025-07-01T10:00:00Z",
            "content": {"contentType": "application/dicom", "url": f"Binary/{name}-b1"},
            **own,
        },
        {
            "resourceType": "Binary",
            "id": f"{name}-b1",
            "contentType": "application/dicom",
            "data": base64.b64encode(IMAGE).decode(),
        },
    ]


BUNDLE = keeping_ids([*record_of("ann"), *record_of("eve")])


@pytest.fixture(scope="module")
def open_server() -> Iterator[FhirServer]:
    with running_fhir_server([BUNDLE]) as server:
        yield server


@pytest.fixture(scope="module")
def smart_server() -> Iterator[FhirServer]:
    with running_fhir_server([BUNDLE], smart=True) as server:
        yield server


def fetch(server: FhirServer, patient_id: str = "ann", *, auth: Any = None, **options: Any) -> FetchedRecord:
    async def go() -> FetchedRecord:
        async with FhirClient(server.url, auth=auth) as client:
            return await fetch_record(client, patient_id, **options)

    return asyncio.run(go())


def same_as_file(record: FetchedRecord, name: str) -> PatientSnapshot:
    """The snapshot from the server, which must be that of the file in every field."""
    file = json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in record_of(name)]}
    )
    expected = read_bundle(file.encode(), as_of=AS_OF, patient_id=name)
    found = read_bundle(record.bundle, as_of=AS_OF, patient_id=record.patient_id)
    assert {f.name for f in fields(found) if getattr(found, f.name) != getattr(expected, f.name)} == set()
    return found


def test_a_record_by_id_reads_like_the_file(open_server: FhirServer) -> None:
    record = fetch(open_server)
    snapshot = same_as_file(record, "ann")
    assert snapshot.has_condition(ConditionKind.OSTEOPOROSIS)
    assert snapshot.t_score_femoral_neck is not None or snapshot.t_score_unspecified is not None or snapshot.warnings
    assert snapshot.takes(DrugClass.SYSTEMIC_GLUCOCORTICOID)
    assert record.requests == 10
    # This server knows no search of FamilyMemberHistory by patient, and says so.
    assert record.warnings == ("fhir.server.unread:FamilyMemberHistory",)
    assert dict(record.counts) == {
        "Patient": 1,
        "Condition": 1,
        "Observation": 26,
        "MedicationRequest": 1,
        "Medication": 1,
    }
    assert b"eve" not in record.bundle


def test_nobody_by_that_name(open_server: FhirServer) -> None:
    with pytest.raises(NotOnServerError):
        fetch(open_server, "nobody")


def test_paging_reverse_chains_etags_and_the_capability_statement(open_server: FhirServer) -> None:
    async def go() -> None:
        async with FhirClient(open_server.url) as client:
            assert (await client.capabilities())["fhirVersion"] == "4.0.1"
            pages = [page async for page in client.search("Observation", [("patient", "ann")], page_size=10)]
            assert [len(page.hits) for page in pages] == [10, 10, 7]
            assert pages[0].total == 27
            has = [("Observation:patient:code", "38263-0"), ("Condition:patient:code", "64859006")]
            found = [hit.resource["id"] async for page in client.search("Patient", has=has) for hit in page.hits]
            assert sorted(map(str, found)) == ["ann", "eve"]
            first, before = await client.read("Patient", "ann"), client.traffic.received_bytes
            assert await client.read("Patient", "ann") == first
            assert client.traffic.received_bytes == before  # 304 has no body

    asyncio.run(go())


def test_the_radiograph_from_the_server(open_server: FhirServer) -> None:
    async def go() -> bytes:
        async with FhirClient(open_server.url) as client:
            image = await newest_radiograph(client, "ann", as_of=AS_OF)
        assert image.reference == "Media/ann-x1"
        return image.data

    assert asyncio.run(go()) == IMAGE


@pytest.mark.parametrize("use_rsa", [False, True])
def test_smart_with_both_algorithms(use_rsa: bool, smart_server: FhirServer) -> None:
    auth = smart_server.authenticator(use_rsa=use_rsa)
    record = fetch(smart_server, auth=auth)
    assert record.requests == 12  # the configuration and one token more
    same_as_file(record, "ann")
    assert fetch(smart_server, "eve", auth=auth).requests == 10  # the token is still good


class FirstStale:
    """Credentials whose first token is one that the server does not accept."""

    renewable = True

    def __init__(self, real: BackendServices) -> None:
        self.real, self.forgotten = real, 0

    async def token(self, http: HttpClient) -> str:
        return await self.real.token(http) if self.forgotten else "stale"

    def forget(self, token: str) -> None:
        self.forgotten += 1


def test_a_token_that_the_server_no_longer_accepts_is_renewed(smart_server: FhirServer) -> None:
    auth = FirstStale(smart_server.authenticator())
    same_as_file(fetch(smart_server, auth=auth), "ann")
    assert auth.forgotten


def test_without_a_token_nobody_is_let_in(smart_server: FhirServer) -> None:
    with pytest.raises(UnauthorisedError):
        fetch(smart_server)


def test_beyond_the_scope_is_refused_and_said(smart_server: FhirServer) -> None:
    narrow = {"scope": "system/Patient.rs system/Condition.rs system/MedicationRequest.rs system/Medication.rs"}
    with pytest.raises(RecordIncompleteError, match="Observation"):
        fetch(smart_server, auth=smart_server.authenticator(**narrow))
    record = fetch(smart_server, auth=smart_server.authenticator(**narrow), allow_incomplete=True)
    assert record.warnings[0] == "fhir.server.unread_essential:Observation"
    with pytest.raises(TokenRefusedError, match="invalid_scope"):
        fetch(smart_server, auth=smart_server.authenticator(scope="user/Secret.rs"))


def test_an_assertion_is_good_for_one_use(smart_server: FhirServer) -> None:
    address = smart_server.url.removesuffix("/fhir") + "/auth/token"
    assertion = smart_server.authenticator().assertion(address)
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    first, second = (httpx.post(address, data=form, trust_env=False) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 401)
    assert "jti" in second.text
    assert jwt.get_unverified_header(assertion)["alg"] == "ES384"


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    return tmp_path


def test_assess_by_id_gives_the_report_of_the_file(
    smart_server: FhirServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = replace(FakeParts().engines(), read_record=read_bundle)  # all that depends on the record is real
    monkeypatch.setattr(assess_module, "build_engines", lambda settings: engines)
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in record_of("ann")]}
    Path("ann.json").write_text(json.dumps(bundle))
    common = ("--as-of", "2026-01-01T00:00:00Z", "--format", "json", "--quiet")
    assert cds("assess", "--patient", "ann.json", *common, "--out", "by-file").exit_code == 0
    credentials = ("--fhir-client-id", smart_server.client_id, "--fhir-key", smart_server.key_file)
    by_id = cds(
        "assess",
        "--fhir-server",
        smart_server.url,
        *credentials,
        "--patient-id",
        "ann",
        *common,
        "--out",
        "by-id",
        "-v",
    )
    assert by_id.exit_code == 0, by_id.output
    assert "record: 12 requests" in by_id.stderr
    file, server = (json.loads((folder / name / "report.json").read_text()) for name in ("by-file", "by-id"))
    assert server["patient"] == file["patient"]
    assert "fhir.server.unread" in json.dumps(server)


def test_assess_with_the_radiograph_of_the_server(
    open_server: FhirServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = FakeParts()
    monkeypatch.setattr(assess_module, "build_engines", lambda settings: fakes.engines())
    done = cds(
        "assess",
        "--fhir-server",
        open_server.url,
        "--patient-id",
        "ann",
        "--image-from-server",
        "--format",
        "json",
        "-v",
    )
    assert done.exit_code == 0, done.output
    assert "radiograph: Media/ann-x1" in done.stderr
    assert "read_image" in fakes.calls
    assert "fhir.image.chosen" in (folder / "out" / "report.json").read_text()


def test_assess_without_credentials_says_what_to_do(smart_server: FhirServer, folder: Path) -> None:
    done = cds("assess", "--fhir-server", smart_server.url, "--patient-id", "ann")
    assert done.exit_code == 8
    assert "--fhir-client-id" in done.stderr
    assert "ann" not in done.stderr.replace("cannot", "")
    assert not (folder / "out").exists()
