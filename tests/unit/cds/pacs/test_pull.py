"""Fetching from a PACS that answers as told, storing by STOW-RS, and TLS on both sides."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, StoragePresentationContexts, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from typer.testing import CliRunner

from cds.entrypoints.cli import app
from cds.errors import InputError, PacsQueryError, SettingsError
from cds.pacs.destinations import StowDestination, dicomweb_client, parse_peer
from cds.pacs.folder import file_taker
from cds.pacs.intake import Intake, Taken, Verdict
from cds.pacs.listener import Listener, ListenerOptions
from cds.pacs.pull import Pulled, PullRequest, SeriesPlace, echo, find_series, get, move
from cds.pacs.send import PacsPeer, push
from cds.pacs.tls import TlsFiles, client_context, server_context
from cds.settings import Settings
from fhir_adapters.client.dicomweb import store_instances
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import ServerBusyError, ServerRefusalError
from tests.support import dicom as files

STUDIES = {"1.2.1": {"2.1": "CR", "2.2": "SR"}, "1.2.2": {"2.3": "CT"}, "1.2.3": {"2.4": "DX"}}


class _Archive:
    """A PACS with a few studies."""

    def __init__(self, *, move_status: int = 0x0000, find_status: int = 0x0000) -> None:
        self.asked: list[Dataset] = []
        self.moved: list[tuple[str, str, int]] = []
        self.move_status = move_status
        self.find_status = find_status
        self.image = dcmread(BytesIO(files.file()))

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        wanted = event.identifier
        self.asked.append(wanted)
        if self.find_status:
            yield self.find_status, None
            return
        for study, series in STUDIES.items():
            if wanted.StudyInstanceUID not in ("", study):
                continue
            found = Dataset()
            found.StudyInstanceUID = study
            if wanted.QueryRetrieveLevel == "STUDY":
                found.ModalitiesInStudy = list(series.values())
                yield 0xFF00, found
                continue
            for uid, modality in series.items():
                found.SeriesInstanceUID, found.Modality = uid, modality
                yield 0xFF00, found

    def move(self, event: evt.Event) -> Iterator[Any]:
        self.moved.append((event.identifier.SeriesInstanceUID, str(event.move_destination), event.request.Priority))
        if self.move_status == 0xA801:
            yield None, None
            return
        yield "127.0.0.1", 1
        yield 0
        yield 0x0000, None

    def get(self, event: evt.Event) -> Iterator[Any]:
        yield 1
        yield 0xFF00, self.image


@contextmanager
def _archive(archive: _Archive, *, offers_get: bool = True) -> Iterator[PacsPeer]:
    entity = AE(ae_title="ARCHIVE")
    entity.supported_contexts = list(StoragePresentationContexts)
    for context in entity.supported_contexts:
        context.scu_role, context.scp_role = True, True
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
    if offers_get:
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    handlers = [(evt.EVT_C_FIND, archive.find), (evt.EVT_C_MOVE, archive.move), (evt.EVT_C_GET, archive.get)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
    assert server is not None
    try:
        port = int(server.socket.getsockname()[1])
        yield PacsPeer(host="127.0.0.1", port=port, called_aet="ARCHIVE", timeout_s=5.0)
    finally:
        server.shutdown()


def test_only_series_of_radiographs_are_found() -> None:
    archive = _Archive()
    with _archive(archive) as peer:
        found = find_series(peer, PullRequest(patient_id="P1", since=date(2026, 3, 1)))

    assert found == (SeriesPlace(study="1.2.1", series="2.1"), SeriesPlace(study="1.2.3", series="2.4"))
    assert (archive.asked[0].PatientID, archive.asked[0].StudyDate) == ("P1", "20260301-")
    assert [str(one.StudyInstanceUID) for one in archive.asked[1:]] == ["1.2.1", "1.2.3"]


def test_what_is_got_over_the_same_association_is_kept(tmp_path: Path) -> None:
    archive = _Archive()
    with _archive(archive) as peer:
        pulled = get(peer, (SeriesPlace(study="1.2.1", series="2.1"),), file_taker(tmp_path, max_bytes=1 << 24))

    assert pulled == Pulled(series=1, completed=1, failed=0)
    assert dcmread(tmp_path / f"{archive.image.SOPInstanceUID}.dcm").PixelData == archive.image.PixelData


def test_what_cannot_be_kept_is_counted() -> None:
    with _archive(_Archive()) as peer:
        pulled = get(peer, (SeriesPlace(study="1.2.1", series="2.1"),), lambda _: False)

    assert (pulled.completed, pulled.failed) == (0, 1)


def test_an_unknown_destination_is_explained() -> None:
    archive = _Archive(move_status=0xA801)
    with _archive(archive) as peer, pytest.raises(PacsQueryError, match="does not know the title"):
        move(peer, (SeriesPlace(study="1.2.1", series="2.1"),), destination_aet="NOBODY", first=True)
    assert archive.moved == [("2.1", "NOBODY", 1)]


def test_a_pacs_that_cannot_answer_is_explained() -> None:
    with _archive(_Archive(find_status=0xA700)) as peer, pytest.raises(PacsQueryError, match="A700"):
        find_series(peer, PullRequest(study="1.2.1"))
    with _archive(_Archive(), offers_get=False) as peer, pytest.raises(PacsQueryError, match="offers no"):
        get(peer, (), lambda _: True)
    with pytest.raises(PacsQueryError, match="does not answer"):
        echo(PacsPeer(host="127.0.0.1", port=1, called_aet="X", timeout_s=1.0))


@pytest.mark.parametrize(
    "fields", [{}, {"patient_id": "*"}, {"patient_id": "A?"}, {"study": "1.2\\1.3"}, {"study": "x"}]
)
def test_a_whole_archive_is_never_asked_for(fields: dict[str, str]) -> None:
    with pytest.raises(InputError):
        PullRequest(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["host", "host:104", ":104:A", "host:0:A", "host:x:A", "host:104:", "h:1:" + "A" * 17])
def test_peers_are_written_one_way(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_peer(text, Settings())


def test_an_address_of_version_6_stands_in_brackets() -> None:
    peer = parse_peer("[::1]:104:PACS", Settings(pacs_aet="US"))

    assert (peer.host, peer.port, peer.called_aet, peer.calling_aet) == ("::1", 104, "PACS", "US")


def _answering(status: int, reasons: list[int], seen: list[httpx.Request]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        failed = [{"00081197": {"vr": "US", "Value": [reason]}} for reason in reasons]
        body = json.dumps({"00081198": {"vr": "SQ", "Value": failed}} if failed else {})
        return httpx.Response(status, text=body, headers={"content-type": "application/dicom+json"})

    return httpx.MockTransport(answer)


def _stored(status: int, reasons: list[int]) -> httpx.Request:
    seen: list[httpx.Request] = []

    async def go() -> None:
        transport = _answering(status, reasons, seen)
        async with HttpClient(
            "http://127.0.0.1:1/dicom-web", transport=transport, retries=RetryPolicy(attempts=1)
        ) as http:
            await store_instances(http, [b"one", b"two"])

    asyncio.run(go())
    return seen[0]


def test_files_go_out_as_parts_of_one_request() -> None:
    request = _stored(200, [])

    assert request.url.path == "/dicom-web/studies"
    kind = request.headers["content-type"]
    boundary = kind.partition("boundary=")[2]
    assert kind.startswith('multipart/related; type="application/dicom"')
    part = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
    assert request.content.decode() == f"{part}one\r\n{part}two\r\n--{boundary}--\r\n"


@pytest.mark.parametrize(
    ("status", "reasons", "error"),
    [
        (202, [0xA700], ServerBusyError),
        (202, [0xA700, 0xC122], ServerRefusalError),
        (409, [0x0110], ServerRefusalError),
        (409, [], ServerRefusalError),
        (503, [], ServerBusyError),
    ],
)
def test_failures_say_whether_waiting_helps(status: int, reasons: list[int], error: type[Exception]) -> None:
    with pytest.raises(error):
        _stored(status, reasons)


def test_a_token_goes_to_its_own_server_only() -> None:
    settings = Settings(dicomweb_url="https://pacs.example/dicom-web", dicomweb_token="secret")

    assert dicomweb_client(settings, "https://pacs.example/dicom-web")._auth is not None
    assert dicomweb_client(settings, "https://other.example/dicom-web")._auth is None
    assert StowDestination(url="https://pacs.example/x", settings=settings).label == "STOW-RS at pacs.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    openssl = shutil.which("openssl")
    if openssl is None:
        assert os.environ.get("CI") != "true", "openssl is not installed: .ci/run should have done so"
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return TlsFiles(certificate=cert, key=key, authority=cert)


class _Taking(Intake):
    """Takes everything."""

    def __init__(self) -> None:
        self._max_bytes = 1 << 24
        self.taken: list[bytes] = []

    def take(self, data: bytes, *, announced: str | None = None, first: bool = False) -> Taken:
        self.taken.append(data)
        return Taken(verdict=Verdict.QUEUED)


def test_both_sides_show_and_check_certificates(certificate: TlsFiles) -> None:
    intake = _Taking()
    listener = Listener(intake, ListenerOptions(port=0, timeout_s=5.0, tls=certificate))
    port = listener.start()
    address: dict[str, Any] = {"host": "127.0.0.1", "port": port, "called_aet": "FRACTURE-CDS", "timeout_s": 3.0}
    try:
        with socket.create_connection(("127.0.0.1", port)):  # which never begins to speak
            push([files.file()], PacsPeer(**address, tls=certificate), attempts=1)
        assert len(intake.taken) == 1
        for tls in (None, TlsFiles(), TlsFiles(authority=certificate.authority)):
            with pytest.raises(Exception, match="did not answer"):
                push([files.file()], PacsPeer(**address, tls=tls), attempts=1)
    finally:
        listener.stop(grace_s=0.5)
    assert len(intake.taken) == 1


def test_tls_files_that_do_not_fit_are_refused(certificate: TlsFiles, tmp_path: Path) -> None:
    wrong = (
        TlsFiles(certificate=certificate.certificate),
        TlsFiles(authority=tmp_path / "missing.pem"),
        TlsFiles(certificate=certificate.key, key=certificate.key),
    )
    for one in wrong:
        with pytest.raises(SettingsError):
            client_context(one)
    with pytest.raises(SettingsError, match="needs a certificate"):
        server_context(TlsFiles())


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull", "--patient-id", "P"],
        ["pull", "--host", "h", "--dicomweb", "http://h", "--patient-id", "P"],
        ["pull", "--host", "h"],
        ["pull", "--dicomweb", "http://127.0.0.1", "--study", "1.2", "--move-to", "US"],
        ["listen", "--host", "0.0.0.0", "--send-to", "a:1:B", "--stow", "http://h"],
        ["listen", "--send-to", "nonsense"],
    ],
)
def test_commands_that_cannot_be_meant_are_refused(arguments: list[str], tmp_path: Path) -> None:
    environment = {"FRACTURE_CDS_DATA_DIR": str(tmp_path), "FRACTURE_CDS_AUDIT_LOG": "off"}

    assert CliRunner().invoke(app, ["pacs", *arguments], env=environment).exit_code == 2


def test_pulled_images_go_into_the_queue(tmp_path: Path) -> None:
    environment = {"FRACTURE_CDS_DATA_DIR": str(tmp_path), "FRACTURE_CDS_AUDIT_LOG": "off",
                   "FRACTURE_CDS_PACS_MIN_FREE_MIB": "0"}  # fmt: skip
    with _archive(_Archive()) as peer:
        asked = ["pacs", "pull", "--host", peer.host, "--port", str(peer.port), "--called-aet", "ARCHIVE"]
        done = CliRunner().invoke(app, [*asked, "--study", "1.2.1"], env=environment)
    assert done.output == "1 series, 1 images fetched, 0 not\n"
    told = CliRunner().invoke(app, ["pacs", "status", "--format", "json"], env=environment)
    assert json.loads(told.output)["counts"]["assess"] == {"queued": 1}
