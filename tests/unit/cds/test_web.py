"""The HTTP service: formats, one error shape, limits, headers, access token."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from cds.entrypoints.api.intake import FILE_FIELDS, TEXT_FIELDS
from cds.entrypoints.problems import PROBLEM_MEDIA_TYPE
from cds.entrypoints.web import create_app
from cds.settings import MEBIBYTE, Settings
from fusion.context import ClinicalContext
from fusion.sites import FractureSite
from imaging.errors import ModelFilesError, TruncatedFileError
from tests.support.fakes import FakeParts, RememberingAuditTrail

IMAGE = ("x.dcm", b"image", "application/dicom")
BUNDLE = ("p.json", b"record", "application/fhir+json")
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "remedy"}


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[TestClient, FakeParts, RememberingAuditTrail]]:
    parts, trail = FakeParts(), RememberingAuditTrail()
    settings = Settings(max_image_mib=1, max_record_mib=1)
    with TestClient(create_app(settings, parts.engines(), trail), base_url="http://127.0.0.1") as client:
        yield client, parts, trail


@pytest.fixture
def parts(service: tuple[TestClient, FakeParts, RememberingAuditTrail]) -> Iterator[FakeParts]:
    """The fakes, as new."""
    fakes = service[1]
    fresh = FakeParts()
    for name in FakeParts.__slots__:
        setattr(fakes, name, getattr(fresh, name))
    yield fakes
    service[2].entries.clear()


@pytest.fixture
def client(service: tuple[TestClient, FakeParts, RememberingAuditTrail], parts: FakeParts) -> TestClient:
    return service[0]


def assert_problem(response: Any, status: int, code: str) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    body: dict[str, object] = response.json()
    assert set(body) - {"instance"} == PROBLEM_MEMBERS
    assert body["status"] == status
    assert body["code"] == code
    assert all(body[name] for name in PROBLEM_MEMBERS)
    return body


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "live"
    assert client.get("/readyz").json()["status"] == "ready"


def test_json_by_default(client: TestClient, service: tuple[TestClient, FakeParts, RememberingAuditTrail]) -> None:
    response = client.post("/api/assess", files={"image": IMAGE, "bundle": BUNDLE})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert json.loads(response.content)
    (entry,) = service[2].entries
    assert entry.actor == "web:testclient"


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "text/html", "text/html; charset=utf-8"),
        ("", "application/fhir+json", "application/fhir+json"),
        ("", "image/webp, text/html;q=0.9", "text/html; charset=utf-8"),
        ("", "*/*", "application/json"),
        ("?format=html", "application/json", "text/html; charset=utf-8"),
        ("?format=fhir", "text/html", "application/fhir+json"),
    ],
)
def test_format(client: TestClient, query: str, accept: str, media_type: str) -> None:
    response = client.post(f"/api/assess{query}", files={"image": IMAGE}, headers={"Accept": accept})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media_type
    if "html" in media_type:
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_fields_arrive(client: TestClient, parts: FakeParts) -> None:
    fields = {"site": "ankle", "open_wound": "no", "displaced": "", "frame": "2", "as_of": "2024-05-01T08:00:00+02:00"}
    response = client.post("/api/assess", files={"image": IMAGE}, data=fields)
    assert response.status_code == 200, response.text
    assert parts.contexts == [ClinicalContext(site=FractureSite.ANKLE, open_wound=False)]
    assert parts.frames == [2]


@pytest.mark.parametrize(("query", "asked"), [("", 0), ("?explain=true", 1), ("?explain=false", 0)])
def test_heat_maps_on_request(client: TestClient, parts: FakeParts, query: str, asked: int) -> None:
    assert client.post(f"/api/assess{query}", files={"image": IMAGE}).status_code == 200
    assert parts.calls.count("explain") == asked


def test_field_left_blank_by_a_browser_is_not_given(client: TestClient, parts: FakeParts) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="bundle"; filename="p.json"\r\n\r\nrecord\r\n--b--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/api/assess", content=body, headers=headers).status_code == 200
    assert parts.calls == ["read_record", "estimate", "assess"]


def test_description_names_every_field(client: TestClient) -> None:
    paths = client.get("/api/openapi.json").json()["paths"]
    schema = paths["/api/assess"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(schema["properties"]) == FILE_FIELDS | TEXT_FIELDS


@pytest.mark.parametrize(
    "fields",
    [{"open_wounds": "yes"}, {"site": "left leg"}, {"frame": "0"}, {"frame": "x"}, {"as_of": "2024-05-01"}],
)
def test_unreadable_fields(client: TestClient, fields: dict[str, str]) -> None:
    body = assert_problem(client.post("/api/assess", files={"image": IMAGE}, data=fields), 422, "cds.input.invalid")
    assert "left leg" not in str(body)


def test_text_where_a_file_belongs(client: TestClient) -> None:
    assert_problem(client.post("/api/assess", data={"bundle": "{}"}), 422, "cds.input.invalid")


def test_nothing_to_assess(client: TestClient) -> None:
    assert_problem(client.post("/api/assess", data={"site": "ankle"}), 422, "cds.case.empty")


def test_unknown_format(client: TestClient) -> None:
    assert_problem(client.post("/api/assess?format=docx", files={"image": IMAGE}), 422, "http.422")


def test_other_addresses(client: TestClient) -> None:
    assert_problem(client.get("/api/nothing"), 404, "http.404")
    response = client.get("/api/assess")
    assert_problem(response, 405, "http.405")
    assert response.headers["allow"] == "POST"


def test_broken_multipart(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(client.post("/api/assess", content=b"nonsense", headers=headers), 400, "http.400")


def test_refused_image(client: TestClient, parts: FakeParts) -> None:
    parts.fail_image = TruncatedFileError("The file ends early.")
    assert_problem(client.post("/api/assess", files={"image": IMAGE}), 422, "imaging.file.truncated")


def test_broken_model(client: TestClient, parts: FakeParts) -> None:
    parts.fail_analysis = ModelFilesError("No weights.")
    assert_problem(client.post("/api/assess", files={"image": IMAGE}), 503, "imaging.model.files")


def test_internal_error_names_a_reference_only(client: TestClient, parts: FakeParts) -> None:
    parts.fail_assessment = KeyError("Plantedname")
    body = assert_problem(client.post("/api/assess", files={"image": IMAGE}), 500, "cds.internal")
    assert re.fullmatch(r"urn:fracture-cds:error:[0-9a-f]{8}", str(body["instance"]))
    assert "Plantedname" not in str(body)


def test_image_beyond_its_limit(client: TestClient) -> None:
    large = ("x.dcm", b"x" * (MEBIBYTE + 1), "application/dicom")
    assert_problem(client.post("/api/assess", files={"image": large}), 413, "cds.input.too_large.radiograph")
    assert_problem(client.post("/api/assess", files={"bundle": large}), 413, "cds.input.too_large.record")


def test_request_beyond_every_limit(client: TestClient) -> None:
    declared = client.post("/api/assess", content=b"x" * (4 * MEBIBYTE))
    assert_problem(declared, 413, "cds.input.too_large.request")
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    streamed = client.post("/api/assess", content=(b"x" * MEBIBYTE for _ in range(5)), headers=headers)
    assert streamed.status_code in {400, 413}


def test_headers_keep_the_page_inside(client: TestClient) -> None:
    headers = client.get("/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_unknown_host_name_is_refused(client: TestClient) -> None:
    assert client.get("/healthz", headers={"Host": "attacker.example"}).status_code == 400


def test_the_form_is_not_an_api_and_keeps_no_history(client: TestClient) -> None:
    config = client.get("/config").json()
    assert config["run_history"] is False
    assert config["analytics_enabled"] is False
    assert client.get("/gradio_api/info").json()["named_endpoints"] == {}


def test_documentation_pages_that_load_from_elsewhere_are_off(client: TestClient) -> None:
    for path in ("/docs", "/redoc"):
        assert "jsdelivr" not in client.get(path).text


def test_uploads_of_the_form_are_private_and_end_with_the_service() -> None:
    app = create_app(Settings(), FakeParts().engines(), RememberingAuditTrail())
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    with TestClient(app, base_url="http://127.0.0.1") as client:
        uploaded = client.post("/gradio_api/upload", files={"files": ("x.dcm", b"planted", "application/dicom")})
        (path,) = (Path(name) for name in uploaded.json())
        assert path.is_relative_to(folder)
        assert path.read_bytes() == b"planted"
        assert folder.stat().st_mode & 0o077 == 0
    assert not path.exists()


def test_access_token() -> None:
    settings = Settings(access_token=SecretStr("open-sesame"))
    app = create_app(settings, FakeParts().engines(), RememberingAuditTrail())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        refused = client.post("/api/assess", files={"image": IMAGE})
        assert_problem(refused, 401, "cds.access.denied")
        assert refused.headers["www-authenticate"] == "Bearer"
        for header, status in (("Bearer open-sesame", 200), ("Bearer wrong", 401), ("Basic open-sesame", 401)):
            response = client.post("/api/assess", files={"image": IMAGE}, headers={"Authorization": header})
            assert response.status_code == status
        assert client.get("/config").status_code == 401
        assert client.post("/login", data={"username": "a", "password": "wrong"}).status_code == 400
        assert client.post("/login", data={"username": "a", "password": "open-sesame"}).status_code == 200
        assert client.get("/healthz").status_code == 200
