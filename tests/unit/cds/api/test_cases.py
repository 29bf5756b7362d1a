"""The REST API over a store: a case is kept once, found again, given out in every format, signed, spoken about."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.opening import Store, open_store
from fusion.context import ClinicalContext
from fusion.sites import FractureSite
from tests.support.fakes import FakeParts, RememberingAuditTrail

IMAGE = ("x.dcm", b"image", "application/dicom")
BUNDLE = ("p.json", b"record", "application/fhir+json")
FILES = {"image": IMAGE, "bundle": BUNDLE}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, FakeParts, Store]]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), audit_log=None, max_image_mib=1, max_record_mib=1, queue_limit=4
    )
    store, parts = open_store(settings, job_capacity=settings.queue_limit), FakeParts()
    app = create_app(settings, parts.engines(), RememberingAuditTrail(), store)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client, parts, store
    store.close()


@pytest.fixture
def client(running: tuple[TestClient, FakeParts, Store]) -> TestClient:
    running[1].calls.clear()
    running[1].contexts.clear()
    return running[0]


@pytest.fixture
def parts(running: tuple[TestClient, FakeParts, Store]) -> FakeParts:
    return running[1]


@pytest.fixture
def case_id(client: TestClient) -> str:
    response = client.post("/api/assess", files=FILES)
    assert response.status_code == 200, response.text
    return str(response.headers["fracture-cds-case"])


def code(response: Any) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return f"{response.status_code} {response.json()['code']}"


def test_a_finished_case_is_kept_with_what_was_given_and_shown(client: TestClient, case_id: str) -> None:
    case = client.get(f"/api/cases/{case_id}").json()
    assert case["patient_key"] == "example-72f"
    assert case["call"] == "definite"
    names = {one["name"]: one for one in case["files"]}
    assert set(names) == {"image", "record", "report.html", "report.json", "bundle.json", "request.json"}
    got = client.get(f"/api/cases/{case_id}/files/image")
    assert (got.content, got.headers["content-type"]) == (b"image", "application/dicom")
    assert got.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in got.headers["content-security-policy"]


def test_json_is_read_like_a_form(client: TestClient, parts: FakeParts) -> None:
    body = {
        "image": base64.b64encode(b"image").decode(),
        "bundle": {"resourceType": "Bundle"},
        "site": "ankle",
        "open_wound": False,
        "calcium_diet_mg_per_day": 700,
        "frame": 2,
        "displaced": None,
    }
    response = client.post("/api/assess", json=body)
    assert response.status_code == 200, response.text
    expected = ClinicalContext(site=FractureSite.ANKLE, open_wound=False, calcium_diet_mg_per_day=700.0)
    assert parts.contexts[-1:] == [expected]
    assert parts.frames[-1] == 2
    kept = client.get(f"/api/cases/{response.headers['fracture-cds-case']}/files/record")
    assert kept.json() == {"resourceType": "Bundle"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"image": "!"}',
        b'{"images": "aaaa"}',
        b'{"image": "aaaa", "open_wound": "yes"}',
        b'{"image": "aaaa", "frame": 0}',
        b'{"bundle": {"a": NaN}}',
        b'{"image": "aaaa", "as_of": "9999-12-31T23:59:59-14:00"}',
        b'{"image": "aaaa", "patient_id": "a\\u0000b"}',
        b'{"bundle": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    ],
)
def test_json_that_cannot_be_used(client: TestClient, body: bytes) -> None:
    response = client.post("/api/assess", content=body, headers={"Content-Type": "application/json"})
    assert code(response) == "422 cds.input.invalid"


def test_another_media_type(client: TestClient) -> None:
    assert code(client.post("/api/assess", content=b"x", headers={"Content-Type": "text/plain"})) == "415 http.415"


def test_a_repeated_request_is_the_same_case(client: TestClient, parts: FakeParts) -> None:
    headers = {"Idempotency-Key": "one-and-the-same"}
    first = client.post("/api/assess", files=FILES, headers=headers)
    parts.calls.clear()
    again = client.post("/api/assess?format=html", files=FILES, headers=headers)
    assert again.headers["fracture-cds-case"] == first.headers["fracture-cds-case"]
    assert again.headers["content-type"].startswith("text/html")
    assert parts.calls == []
    other = client.post("/api/assess", files=FILES, data={"site": "ankle"}, headers=headers)
    assert code(other) == "409 cds.store.conflict"


def test_other_formats_are_made_when_asked_for_and_kept(client: TestClient, parts: FakeParts, case_id: str) -> None:
    parts.calls.clear()
    address = f"/api/cases/{case_id}/reports"
    assert client.get(f"{address}/html").headers["fracture-cds-case"] == case_id
    assert parts.calls == []
    page = client.get(f"{address}/patient?language=de")
    assert page.status_code == 200, page.text
    assert "assess" in parts.calls
    parts.calls.clear()
    assert client.get(f"{address}/patient?language=de").content == page.content
    assert parts.calls == []
    assert client.get(f"/api/cases/{case_id}/files/patient.de.html").content == page.content


def test_models_that_changed_since_make_no_new_format(
    client: TestClient, case_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds.entrypoints.service.engine_version", lambda: "another")
    assert code(client.get(f"/api/cases/{case_id}/reports/patient")) == "409 cds.store.conflict"
    assert client.get(f"/api/cases/{case_id}/reports/json").status_code == 200


def test_search_and_pages(client: TestClient, case_id: str) -> None:
    for _ in range(2):
        client.post("/api/assess", files={"bundle": BUNDLE})
    first = client.get("/api/cases", params={"limit": 2, "patient_key": "example-72f"}).json()
    assert len(first["cases"]) == 2
    second = client.get("/api/cases", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert not {one["id"] for one in first["cases"]} & {one["id"] for one in second["cases"]}
    assert [one["id"] for one in client.get("/api/cases", params={"q": case_id}).json()["cases"]] == [case_id]
    assert client.get("/api/cases", params={"call": "not_seen"}).json()["cases"] == []
    assert code(client.get("/api/cases", params={"cursor": "x"})) == "422 cds.input.invalid"
    assert code(client.get("/api/cases", params={"since": "0001-01-01T00:00:00Z"})) == "422 cds.input.invalid"


def test_a_report_is_signed_once(client: TestClient, case_id: str) -> None:
    signed = client.post(f"/api/cases/{case_id}/sign")
    assert signed.json()["signed_by"] == "testclient"
    assert code(client.post(f"/api/cases/{case_id}/sign")) == "409 cds.store.conflict"
    found = client.get("/api/cases", params={"signed": True}).json()["cases"]
    assert case_id in {one["id"] for one in found}


def test_feedback(client: TestClient, case_id: str) -> None:
    address = f"/api/cases/{case_id}/feedback"
    said = client.post(address, json={"kind": "correct", "finding": 0, "boxes": [[1, 2, 30, 40]]})
    assert said.status_code == 201, said.text
    assert said.json()["content"]["boxes"] == [[1.0, 2.0, 30.0, 40.0]]
    assert said.json()["role"] == "clinician"
    better = client.post(address, json={"kind": "reject", "finding": 0, "supersedes": said.json()["id"]})
    assert [one["id"] for one in client.get(address).json()] == [better.json()["id"]]
    assert len(client.get(address, params={"superseded": True}).json()) == 2
    assert code(client.post(address, json={"kind": "missed"})) == "422 cds.input.invalid"
    assert code(client.post(address, json={"kind": "agree", "fraction": True})) == "422 http.422"


def test_what_is_not_there(client: TestClient) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    for path in ("", "/files/image", "/reports/html", "/feedback"):
        assert code(client.get(f"/api/cases/{nobody}{path}")) == "404 cds.store.not_found"
    assert code(client.get(f"/api/jobs/{nobody}")) == "404 cds.store.not_found"
    assert code(client.get("/api/cases/not-a-case")) == "422 http.422"
    response = client.put(f"/api/cases/{nobody}")
    assert code(response) == "405 http.405"
    assert "GET" in response.headers["allow"]
    assert code(client.post("/healthz")) == "405 http.405"


def test_jobs_are_accepted_asked_for_and_cancelled(client: TestClient, running: tuple[Any, Any, Store]) -> None:
    accepted = client.post("/api/jobs?explain=true", files=FILES, headers={"Idempotency-Key": "j1"})
    assert accepted.status_code == 202, accepted.text
    job = accepted.json()
    assert job["state"] == "queued"
    assert client.get(accepted.headers["location"]).json() == job
    again = client.post("/api/jobs?explain=true", files=FILES, headers={"Idempotency-Key": "j1"})
    assert again.json()["id"] == job["id"]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "p9"}}]}
    second = client.post("/api/jobs", json={"bundle": bundle}).json()
    assert running[2].jobs.get(second["id"]).patient_key == "p9"
    for one in (job, second):
        assert client.delete(f"/api/jobs/{one['id']}").json()["state"] == "cancelled"
    assert code(client.delete(f"/api/jobs/{job['id']}")) == "409 cds.store.conflict"
    assert code(client.post("/api/jobs", files=FILES, data={"site": "left leg"})) == "422 cds.input.invalid"
    assert code(client.post("/api/jobs", json={"bundle": None})) == "422 cds.case.empty"


def test_too_many_jobs(client: TestClient) -> None:
    ids = [client.post("/api/jobs", files={"image": IMAGE}).json()["id"] for _ in range(4)]
    refused = client.post("/api/jobs", files={"image": IMAGE})
    assert code(refused) == "429 cds.access.too_many"
    assert int(refused.headers["retry-after"]) >= 1
    for one in ids:
        client.delete(f"/api/jobs/{one}")


def test_models_name_themselves(client: TestClient) -> None:
    listed = {one["role"]: one for one in client.get("/api/models").json()["models"]}
    assert set(listed) == {"detector", "risk", "bone_age", "evidence"}
    for role in ("detector", "risk", "evidence"):
        assert listed[role]["available"] is True
        assert len(listed[role]["digest"]) == 64
        assert listed[role]["id"].startswith(f"{listed[role]['name']}@{listed[role]['version']}+")
        assert listed[role]["intended_use"]


def test_metrics_count_without_naming_anybody(client: TestClient, case_id: str, parts: FakeParts) -> None:
    client.get(f"/api/cases/{case_id}")
    client.post("/api/assess", files={"image": ("x", b"x" * (2 * 1024 * 1024))})
    text = client.get("/metrics").text
    assert 'fracture_cds_assessments_total{call="definite",where="web"}' in text
    assert 'route="/api/cases/{case_id}"' in text
    assert 'fracture_cds_failures_total{code="cds.input.too_large.radiograph",where="web"} 1.0' in text
    assert "fracture_cds_job_queue 0.0" in text
    assert case_id not in text
    assert "example-72f" not in text


def test_without_a_store_nothing_is_kept() -> None:
    app = create_app(Settings(audit_log=None), FakeParts().engines(), RememberingAuditTrail())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        response = client.post("/api/assess", files=FILES, headers={"Idempotency-Key": "k"})
        assert response.status_code == 200
        assert "fracture-cds-case" not in response.headers
        assert code(client.get("/api/cases")) == "404 cds.store.off"
        assert code(client.post("/api/jobs", files=FILES)) == "404 cds.store.off"


def test_a_full_disk_withholds_the_case_in_words(
    client: TestClient, running: tuple[Any, Any, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = len(client.get("/api/cases", params={"limit": 200}).json()["cases"])
    monkeypatch.setattr("cds.store.blobs.tempfile.mkstemp", full)
    response = client.post("/api/assess", files={"image": ("x", b"another image")})
    assert code(response) == "503 cds.store.unavailable"
    assert "No space left" in response.json()["detail"]
    assert code(client.post("/api/jobs", files={"image": ("x", b"one more")})) == "503 cds.store.unavailable"
    monkeypatch.undo()
    assert len(client.get("/api/cases", params={"limit": 200}).json()["cases"]) == before


def test_a_disk_that_is_almost_full_is_not_ready(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/readyz").json()["status"] == "ready"
    monkeypatch.setattr("cds.entrypoints.api.health.LEAST_FREE_BYTES", 1 << 60)
    assert code(client.get("/readyz")) == "503 cds.store.unavailable"
