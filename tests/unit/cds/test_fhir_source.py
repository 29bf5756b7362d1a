"""From settings and options to clients, records and radiographs; and the errors a person meets."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner, Result

from cds import fhir_source
from cds.bootstrap import load_settings
from cds.case import CaseInput
from cds.entrypoints import assess as assess_module
from cds.entrypoints.cli import app
from cds.errors import ExitCode, InputError, SettingsError, explain
from cds.fhir_source import DicomWebChoice, Fetched, SourceRequest, authenticator, build_fhir_client
from cds.pipeline import run_case
from cds.settings import Settings
from fhir_adapters import errors as fhir_errors
from fhir_adapters.client.auth import BackendServices, BearerAuth
from fhir_adapters.client.fhir import FhirClient
from tests.support.fakes import FakeParts
from tests.support.fhir_double import BASE, Routes, searchset

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FRACTURE_CDS_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", "off")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP384R1())
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_credentials_by_the_settings(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert authenticator(load_settings(fhir_server=BASE)) is None
    monkeypatch.setenv("FRACTURE_CDS_FHIR_TOKEN", "open-sesame")
    settings = load_settings(fhir_server=BASE)
    fixed = authenticator(settings)
    assert isinstance(fixed, BearerAuth)
    assert not fixed.renewable
    assert "open-sesame" not in repr(settings) + repr(fixed) + settings.model_dump_json()
    from_file = authenticator(load_settings(fhir_server=BASE, fhir_token_file=key_file))
    assert isinstance(from_file, BearerAuth)
    assert from_file.renewable
    assert isinstance(
        authenticator(load_settings(fhir_server=BASE, fhir_client_id="me", fhir_key_file=key_file)), BackendServices
    )


@pytest.mark.parametrize("given", [{"fhir_client_id": "me"}, {"fhir_key_file": Path("key.pem")}])
def test_half_of_the_credentials(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        authenticator(load_settings(fhir_server=BASE, **given))


def test_no_server_and_no_certificate_authority() -> None:
    with pytest.raises(InputError):
        build_fhir_client(load_settings())
    with pytest.raises(SettingsError):
        build_fhir_client(load_settings(fhir_server=BASE, fhir_ca_file=Path("missing.pem")))
    Path("broken.pem").write_text("nonsense")
    with pytest.raises(SettingsError):
        build_fhir_client(load_settings(fhir_server=BASE, fhir_ca_file=Path("broken.pem")))


def test_record_and_instance_together(monkeypatch: pytest.MonkeyPatch) -> None:
    dicom = b"\0" * 128 + b"DICM"
    routes = Routes({"Patient": searchset([{"resourceType": "Patient", "id": "p1"}])})

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.host == "pacs.example":
            return httpx.Response(200, content=dicom, headers={"content-type": "application/dicom"})
        return routes(request)

    monkeypatch.setattr(
        fhir_source, "build_fhir_client", lambda *_, **__: FhirClient(BASE, transport=httpx.MockTransport(serve))
    )
    settings = load_settings(fhir_server=BASE, dicomweb_url="https://pacs.example/dicomweb")
    request = SourceRequest(
        patient_id="Patient/p1", dicomweb=DicomWebChoice(study="1.2", series="1.3", instance="1.4"), as_of=AS_OF
    )
    fetched = asyncio.run(fhir_source.fetch_case_async(settings, request))
    assert fetched.image == dicom
    assert fetched.patient_id == "p1"
    assert json.loads(fetched.bundle or b"")["entry"][0]["resource"]["id"] == "p1"
    assert [note.split(":")[0] for note in fetched.notes] == ["record", "radiograph", "in all"]
    assert "11 requests" in fetched.notes[-1]
    assert all("p1" not in note for note in fetched.notes)
    with pytest.raises(InputError, match="DICOMweb"):
        asyncio.run(fhir_source.fetch_case_async(load_settings(), replace(request, patient_id=None)))


def test_what_the_source_warns_of_reaches_the_report() -> None:
    case = CaseInput(bundle=b"{}", as_of=AS_OF, source_warnings=("fhir.server.unread_essential:Condition",))
    result = run_case(case, FakeParts().engines())
    assert result.assessment.warnings[0] == "fhir.server.unread_essential:Condition"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fhir-server", BASE), "no patient"),
        (("--fhir-server", BASE, "--patient-id", "p1", "--patient", "p.json"), "both given"),
        (("--patient-id", "p1"), "no server is named"),
        (("--image-from-server",), "needs a patient"),
        (("--patient", "p.json", "--image-from-server", "--patient-id", "p1"), "needs a patient"),
        (("--study", "1.2"), "no DICOMweb server"),
        (("--study", "1.2", "--image", "p.json"), "Several sources"),
        (("--series", "1.2"), "without its study"),
        (("--study", "1", "--instance", "1.2"), "without its series"),
        (("--fhir-server", "nowhere", "--patient-id", "p1"), "absolute"),
        (("--fhir-server", BASE, "--patient-id", "p1", "--fhir-client-id", "me"), "private key"),
        (("--fhir-server", BASE, "--patient-id", "p1", "--fhir-token-file", "missing"), "token file"),
    ],
)
def test_options_that_do_not_fit(options: tuple[str, ...], message: str) -> None:
    Path("p.json").write_text("{}")
    done = cds("assess", *options)
    assert done.exit_code in {ExitCode.USAGE, ExitCode.SERVER}
    assert message in done.stderr
    assert "mend:" in done.stderr
    assert "p1" not in done.stderr


def test_the_command_asks_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Settings, SourceRequest]] = []

    def fetch(settings: Settings, request: SourceRequest) -> Fetched:
        asked.append((settings, request))
        return Fetched(
            bundle=b"{}", patient_id="p1", image=None, warnings=("fhir.server.unread:X",), notes=("record: 8 requests",)
        )

    fakes = FakeParts()
    monkeypatch.setattr(fhir_source, "fetch_case", fetch)
    monkeypatch.setattr(assess_module, "build_engines", lambda settings: fakes.engines())
    given = ("assess", "--fhir-server", BASE, "--patient-id", "p1", "--allow-incomplete", "--format", "json", "--quiet")
    done = cds(*given)
    assert (done.exit_code, done.stderr) == (0, "")
    ((settings, request),) = asked
    assert settings.fhir_server == BASE
    assert request.allow_incomplete
    assert "fhir.server.unread" in Path("out/report.json").read_text()
    assert cds(*given, "--verbose").stderr == "record: 8 requests\n"


def test_a_record_file_wins_over_a_server_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = FakeParts()
    monkeypatch.setenv("FRACTURE_CDS_FHIR_SERVER", BASE)
    monkeypatch.setattr(assess_module, "build_engines", lambda settings: fakes.engines())
    Path("p.json").write_text("{}")
    assert cds("assess", "--patient", "p.json", "--patient-id", "p1", "--quiet").exit_code == 0


def test_every_server_error_ends_the_command_in_its_own_way() -> None:
    def code(error: fhir_errors.FhirError) -> ExitCode:
        return explain(error).exit_code

    assert code(fhir_errors.ServerBusyError("x")) is ExitCode.SERVER
    assert code(fhir_errors.RecordIncompleteError(("Condition",), "x")) is ExitCode.SERVER
    assert code(fhir_errors.TokenRefusedError("x")) is ExitCode.SERVER
    assert code(fhir_errors.ClientKeyError("x")) is ExitCode.USAGE
    assert code(fhir_errors.NoServerImageError("x")) is ExitCode.IMAGE
    assert code(fhir_errors.NoPatientError("x")) is ExitCode.RECORD


def test_the_public_key_set(key_file: Path) -> None:
    done = cds("fhir", "jwks", "--key", key_file, "--key-id", "2026-a")
    assert done.exit_code == 0, done.output
    (key,) = json.loads(done.stdout)["keys"]
    assert (key["kid"], key["alg"], key["kty"]) == ("2026-a", "ES384", "EC")
    assert "d" not in key
    assert cds("fhir", "jwks", "--key", key_file, "--key", key_file, "--out", "keys/jwks.json").exit_code == 0
    assert len(json.loads(Path("keys/jwks.json").read_text())["keys"]) == 2
    assert cds("fhir", "jwks", "--key", key_file, "--out", key_file).exit_code == 7
    missing = cds("fhir", "jwks", "--key", "missing.pem")
    assert missing.exit_code == 2
    assert "fhir.auth.key" in missing.stderr
