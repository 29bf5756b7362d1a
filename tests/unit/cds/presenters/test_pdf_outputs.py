"""The PDF and the patient's page as formats: file names, media types, the language on the command line and the wire."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cds.entrypoints import assess as assess_module
from cds.entrypoints.cli import app
from cds.entrypoints.web import create_app
from cds.localisation.language import Language
from cds.options import OutputChoice, ReportFormat
from cds.outputs import FILE_KINDS, render, render_files
from cds.settings import Settings
from tests.support.cases import negative_case
from tests.support.fakes import FakeParts, RememberingAuditTrail


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(
        create_app(Settings(), FakeParts().engines(), RememberingAuditTrail()), base_url="http://127.0.0.1"
    ) as made:
        yield made


def test_both_are_formats_of_their_own_and_part_of_all() -> None:
    assert OutputChoice.PDF.formats == (ReportFormat.PDF,)
    assert OutputChoice.PATIENT.formats == (ReportFormat.PATIENT,)
    assert {ReportFormat.PDF, ReportFormat.PATIENT} < set(OutputChoice.ALL.formats)
    assert FILE_KINDS[ReportFormat.PDF].file_name == "report.pdf"
    assert FILE_KINDS[ReportFormat.PATIENT].file_name == "patient.html"


def test_the_language_is_that_of_what_people_read() -> None:
    formats = (ReportFormat.HTML, ReportFormat.PDF, ReportFormat.PATIENT, ReportFormat.JSON, ReportFormat.FHIR)
    english, german = (render_files(negative_case(), formats, language) for language in Language)
    assert set(english) == {"report.html", "report.pdf", "patient.html", "report.json", "bundle.json"}
    assert {name for name in english if english[name] != german[name]} == {"report.html", "report.pdf", "patient.html"}
    assert render(negative_case(), ReportFormat.PDF).startswith(b"%PDF-")
    assert b'lang="de-DE"' in german["patient.html"]


def test_the_command_line_takes_format_and_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    monkeypatch.setattr(assess_module, "build_engines", lambda settings: FakeParts().engines())
    (tmp_path / "x.dcm").write_bytes(b"image")
    command = ["assess", "--image", "x.dcm", "--format", "patient", "--language", "de", "--out", "out", "--quiet"]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.output) == (0, "")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["patient.html"]
    assert 'lang="de-DE"' in (tmp_path / "out" / "patient.html").read_text(encoding="utf-8")
    assert CliRunner().invoke(app, [*command[:6], "xx"]).exit_code == 2


@pytest.mark.parametrize(
    ("query", "accept", "media_type", "start"),
    [
        ("?format=pdf", "*/*", "application/pdf", b"%PDF-"),
        ("", "application/pdf", "application/pdf", b"%PDF-"),
        ("?format=patient", "*/*", "text/html; charset=utf-8", b'<!DOCTYPE html>\n<html lang="en-GB">'),
        ("?format=patient&language=de", "*/*", "text/html; charset=utf-8", b'<!DOCTYPE html>\n<html lang="de-DE">'),
    ],
)
def test_the_service_gives_both(client: TestClient, query: str, accept: str, media_type: str, start: bytes) -> None:
    files = {"image": ("x.dcm", b"image", "application/dicom")}
    response = client.post(f"/api/assess{query}", files=files, headers={"Accept": accept})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == media_type
    assert response.content.startswith(start)
    if "html" in media_type:
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_an_unknown_language_is_refused(client: TestClient) -> None:
    files = {"image": ("x.dcm", b"image", "application/dicom")}
    assert client.post("/api/assess?format=patient&language=xx", files=files).status_code == 422
