"""Reports on a real FHIR server: stored whole, found again by patient, never twice, never in part."""

import asyncio
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from cds.entrypoints import assess as assess_module
from cds.entrypoints.cli import app
from cds.presenters.fhir_bundle import render_bundle
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.client.send import Sent, outgoing, send
from fhir_adapters.errors import ForbiddenError, NotOnServerError, ServerRefusalError
from fhir_adapters.reader import read_bundle
from tests.support.fakes import FakeParts
from tests.support.fhir_cases import complete_case, nodes_of
from tests.support.fhir_server import LOADER, FhirServer, keeping_ids, running_fhir_server

Json = dict[str, Any]
PATIENT = "example-72f"
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = keeping_ids([{"resourceType": "Patient", "id": PATIENT, "gender": "female", "birthDate": "1953-06-01"}])
BY_PATIENT = {
    "CarePlan": "subject",
    "ServiceRequest": "subject",
    "CommunicationRequest": "subject",
    "Observation": "patient",
    "DiagnosticReport": "patient",
}
"""Types that this server can search by patient; it says that it cannot search the rarer ones but by tag."""
READ_ONLY = "system/*.rs"
WRITE = "system/*.cruds"


@pytest.fixture(scope="module")
def open_server() -> Iterator[FhirServer]:
    with running_fhir_server([RECORD]) as server:
        yield server


@pytest.fixture(scope="module")
def smart_server() -> Iterator[FhirServer]:
    with running_fhir_server([RECORD], smart=True, scopes=f"{WRITE} {READ_ONLY}") as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    return tmp_path


def report(case_id: str) -> bytes:
    return render_bundle(replace(complete_case(), case_id=case_id))


def post(server: FhirServer, bundle: bytes, auth: Any = None) -> Sent:
    async def go() -> Sent:
        async with FhirClient(server.url, auth=auth) as client:
            return await send(client, outgoing(bundle))

    return asyncio.run(go())


def get(server: FhirServer, path: str, **params: str) -> Json:
    headers = {**LOADER, "Prefer": "handling=strict"}
    reply = httpx.get(f"{server.url}/{path}", params=params, headers=headers, timeout=30, trust_env=False)
    assert reply.status_code == 200, reply.text[:500]
    answer: Json = reply.json()
    return answer


def count(server: FhirServer, case_id: str) -> int:
    """Resources of a case on the server, over every type that a bundle holds."""
    kinds = {one["resource"]["resourceType"] for one in json.loads(report(case_id))["entry"]} - {"Device"}
    return sum(get(server, kind, _tag=f"urn:fracture-cds:case|{case_id}", _summary="count")["total"] for kind in kinds)


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def as_stored(bundle: Json, locations: tuple[str, ...]) -> list[Json]:
    """What the server must give back: the resources with its own addresses in their references."""
    placed = {one["fullUrl"]: place for one, place in zip(bundle["entry"], locations, strict=True)}
    resources = deepcopy([one["resource"] for one in bundle["entry"]])
    for node in nodes_of(resources):
        if isinstance(node, dict) and str(node.get("reference")) in placed:
            node["reference"] = placed[node["reference"]]
    return resources


def test_all_is_stored_found_by_patient_and_as_it_was(open_server: FhirServer) -> None:
    raw = report("10000000-0000-4000-8000-000000000001")
    bundle = json.loads(raw)
    sent = post(open_server, raw)
    assert (sent.created, sent.found) == (len(bundle["entry"]), 0)
    for expected, location in zip(as_stored(bundle, sent.locations), sent.locations, strict=True):
        found = get(open_server, location)
        found.pop("id")
        for added in ("versionId", "lastUpdated", "source"):
            found["meta"].pop(added, None)
        assert {name: value for name, value in found.items() if value} == expected
    for kind, parameter in BY_PATIENT.items():
        listed = {name for name in sent.locations if name.startswith(f"{kind}/")}
        hits = get(open_server, kind, **{parameter: f"Patient/{PATIENT}", "_count": "100"})["entry"]
        assert listed and listed <= {f"{kind}/{one['resource']['id']}" for one in hits}
    for kind in ("NutritionOrder", "DetectedIssue", "RiskAssessment", "Goal"):
        tag = "urn:fracture-cds:case|10000000-0000-4000-8000-000000000001"
        hits = get(open_server, kind, _tag=tag)["entry"]
        assert {f"{kind}/{one['resource']['id']}" for one in hits} == {
            name for name in sent.locations if name.startswith(f"{kind}/")
        }


def test_twice_stores_once_and_another_case_shares_the_devices(open_server: FhirServer) -> None:
    case_id = "20000000-0000-4000-8000-000000000002"
    first = post(open_server, report(case_id))
    before = count(open_server, case_id)
    again = post(open_server, report(case_id))
    assert (again.created, again.found) == (0, first.created + first.found)
    assert again.locations == first.locations
    assert count(open_server, case_id) == before
    other = post(open_server, report("20000000-0000-4000-8000-000000000003"))
    devices = {name for name in first.locations if name.startswith("Device/")}
    assert devices == {name for name in other.locations if name.startswith("Device/")}


def test_what_the_server_refuses_is_not_stored_in_part(open_server: FhirServer) -> None:
    case_id = "30000000-0000-4000-8000-000000000004"
    bundle = json.loads(report(case_id))
    bundle["entry"][-1]["request"]["ifNoneExist"] = "no-such-parameter=1"
    with pytest.raises(ServerRefusalError, match="400") as refused:
        post(open_server, json.dumps(bundle).encode())
    assert "Nothing was stored" in refused.value.remedy
    assert count(open_server, case_id) == 0


def test_a_server_without_the_patient_stores_nothing(open_server: FhirServer) -> None:
    case_id = "40000000-0000-4000-8000-000000000005"
    complete = complete_case()
    assert complete.patient is not None
    raw = render_bundle(replace(complete, case_id=case_id, patient=replace(complete.patient, patient_id="nobody")))
    with pytest.raises(NotOnServerError) as missing:
        post(open_server, raw)
    assert "record came from" in missing.value.remedy
    assert count(open_server, case_id) == 0


def test_smart_scopes_decide(smart_server: FhirServer) -> None:
    case_id = "50000000-0000-4000-8000-000000000006"
    with pytest.raises(ForbiddenError) as refused:
        post(smart_server, report(case_id), smart_server.authenticator(scope=READ_ONLY))
    assert "FRACTURE_CDS_FHIR_SCOPE" in refused.value.remedy
    assert count(smart_server, case_id) == 0
    assert post(smart_server, report(case_id), smart_server.authenticator(scope=WRITE)).created


def test_send_command(smart_server: FhirServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bundle.json").write_bytes(report("60000000-0000-4000-8000-000000000007"))
    address = ("--fhir-server", smart_server.url)
    credentials = ("--fhir-client-id", smart_server.client_id, "--fhir-key", smart_server.key_file)
    anonymous = cds("fhir", "send", "bundle.json", *address)
    assert anonymous.exit_code == 8
    assert "--fhir-client-id" in anonymous.stderr
    monkeypatch.setenv("FRACTURE_CDS_FHIR_SCOPE", WRITE)
    wrong = cds("fhir", "send", "bundle.json", *address, *credentials, "--patient-id", "somebody-else")
    assert wrong.exit_code == 2
    done = cds("fhir", "send", "bundle.json", *address, *credentials, "--patient-id", PATIENT)
    assert done.exit_code == 0, done.output
    assert "resources created" in done.stdout
    assert PATIENT not in done.stdout + done.stderr
    again = cds("fhir", "send", "bundle.json", *address, *credentials)
    assert "0 resources created" in again.stdout
    assert "already there" in again.stdout


def test_send_without_a_server_and_what_may_not_be_sent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_FHIR_DEADLINE_SECONDS", "1")
    Path("bundle.json").write_bytes(report("60000000-0000-4000-8000-000000000008"))
    down = cds("fhir", "send", "bundle.json", "--fhir-server", "http://127.0.0.1:9/fhir")
    assert down.exit_code == 8, down.output
    Path("other.json").write_text('{"resourceType": "Bundle", "type": "collection"}')
    other = cds("fhir", "send", "other.json", "--fhir-server", "http://127.0.0.1:9/fhir")
    assert other.exit_code == 2
    assert "cannot be sent" in other.stderr


def test_assess_and_send(smart_server: FhirServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = replace(FakeParts().engines(), read_record=read_bundle)
    monkeypatch.setattr(assess_module, "build_engines", lambda settings: engines)
    common = ("assess", "--fhir-server", smart_server.url, "--patient-id", PATIENT, "--as-of", AS_OF.isoformat())
    credentials = ("--fhir-client-id", smart_server.client_id, "--fhir-key", smart_server.key_file)
    monkeypatch.setenv("FRACTURE_CDS_FHIR_SCOPE", READ_ONLY)
    refused = cds(*common, *credentials, "--format", "json", "--quiet", "--send", "--out", "kept")
    assert refused.exit_code == 8
    kept = folder / "kept" / "bundle.json"
    assert "cds fhir send kept/bundle.json" in refused.stderr
    assert count(smart_server, json.loads(kept.read_bytes())["identifier"]["value"]) == 0
    monkeypatch.setenv("FRACTURE_CDS_FHIR_SCOPE", WRITE)
    assert cds("fhir", "send", kept, "--fhir-server", smart_server.url, *credentials).exit_code == 0
    assert count(smart_server, json.loads(kept.read_bytes())["identifier"]["value"]) > 0
    done = cds(*common, *credentials, "--format", "fhir", "--send", "--out", "sent")
    assert done.exit_code == 0, done.output
    assert "stored on the FHIR server" in done.stdout
    from_file = cds("assess", "--patient", kept, "--send")
    assert from_file.exit_code == 2
    assert "cds fhir send" in from_file.stderr
