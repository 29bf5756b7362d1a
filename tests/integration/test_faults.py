"""The faults of docs/FAULTS.md that no narrower test shows, each made for real."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from cds.audit import AuditTrail, NoAuditTrail
from cds.audit_chain import open_chain
from cds.bootstrap import build_audit_trail, build_engines
from cds.demo import demo_image
from cds.entrypoints.tls_reload import CertificateWatch
from cds.entrypoints.web import create_app
from cds.fhir_source import SourceRequest, fetch_case
from cds.metrics import Metrics
from cds.settings import Settings
from cds.store.jobs import JobState
from cds.store.opening import Store, open_store
from cds.work.supervisor import Supervisor
from cds.work.worker import EXIT_MEMORY, EXIT_TOO_LONG, OUT_OF_MEMORY, TOO_LONG, Worker
from fhir_adapters.errors import ServerTimeoutError
from imaging.manifest import SHIPPED_WEIGHTS
from imaging.reader import read_radiograph
from tests.support import engines as quick
from tests.support import hooks
from tests.support.fakes import FakeParts, RememberingAuditTrail
from tests.support.needs import missing

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0
RECORD = ("p.json", b"record")


def until(true: Callable[[], bool], words: str, *, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(words)
        time.sleep(0.1)


# --- the whole service, on a small disk of its own


@contextmanager
def service(folder: Path, *, disk_mib: int) -> Iterator[tuple[httpx.Client, "subprocess.Popen[bytes]"]]:
    """The service in a process group of its own; its data lie on a disk that can be filled."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        missing("no disk of its own can be mounted here")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "data").mkdir()
    mount = f"mount -t tmpfs -o size={disk_mib}m tmpfs '{folder}/data' || exit 77"
    command = f'{mount}; exec "$0" -m tests.support.quick_service'
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", command, sys.executable],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "errors.txt").open("ab"),
        env={
            **os.environ,
            "TMPDIR": str(folder),
            "FRACTURE_CDS_DATA_DIR": str(folder / "data"),
            "FRACTURE_CDS_AUDIT_LOG": str(folder / "audit.jsonl"),
            "FRACTURE_CDS_PORT": str(port),
            "FRACTURE_CDS_WORKER_LEASE_SECONDS": "4",
            "FRACTURE_CDS_WORKER_MAX_RSS_MIB": str(quick.EATEN_MIB // 2),
            "FRACTURE_CDS_SHUTDOWN_SECONDS": "5",
        },
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:

            def is_up() -> bool:
                if process.poll() == 77:
                    missing("no disk of its own can be mounted here")
                assert process.poll() is None, (folder / "errors.txt").read_text()[-2000:]
                try:
                    return client.get("/healthz").status_code == 200
                except httpx.TransportError:
                    return False

            until(is_up, "the service did not start")
            yield client, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_full_disk_a_job_that_eats_the_memory_and_a_stop_in_mid_job(tmp_path: Path) -> None:
    with service(tmp_path, disk_mib=128) as (client, process):
        disk = Path(f"/proc/{process.pid}/root{tmp_path}/data")

        def send(path: str, image: bytes) -> httpx.Response:
            return client.post(path, files={"image": ("x.dcm", image), "bundle": RECORD})

        before = send("/api/assess", b"image")
        assert before.status_code == 200

        # The disk is full: said in words, nothing half kept, everything else answers; and it heals by itself.
        filler = disk / "filler"
        with filler.open("wb") as stream, pytest.raises(OSError, match="No space"):
            while True:
                stream.write(b"x" * 65536)
                stream.flush()
        for path in ("/api/assess", "/api/jobs"):
            refused = send(path, os.urandom(100_000))
            assert refused.status_code == 503, refused.text
            assert refused.json()["code"] in {"cds.store.unavailable", "cds.audit.not_written"}
            assert refused.json()["remedy"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        report = f"/api/cases/{before.headers['fracture-cds-case']}/reports/html"
        assert client.get(report).json()["code"] == "cds.audit.not_written"  # nobody looks unrecorded
        filler.unlink()
        until(lambda: client.get("/readyz").status_code == 200, "it did not heal")
        assert client.get(report).status_code == 200
        assert send("/api/assess", b"other").status_code == 200
        assert len(client.get("/api/cases").json()["cases"]) == 2

        shutil.copytree(disk, tmp_path / "copy")
        settings = Settings(data_dir=tmp_path / "copy", audit_log=None)
        store = open_store(settings)
        assert open_chain(settings, store.database, store.privacy).verify()[1] == ()
        store.close()

        # A job that ends its worker, between two that are quite usual.
        sent = {
            name: send("/api/jobs", image).json()["id"]
            for name, image in (("a", b"a"), ("hungry", quick.HUNGRY), ("b", b"b"))
        }

        def job(name: str) -> Any:
            return client.get(f"/api/jobs/{sent[name]}").json()

        until(
            lambda: all(job(one)["state"] in {"done", "failed"} for one in sent),
            "a job never ended",
            seconds=2 * PATIENCE_S,
        )
        assert [job(one)["state"] for one in ("a", "b")] == ["done", "done"]
        told = job("hungry")
        assert (told["state"], told["error"]["code"]) == ("failed", OUT_OF_MEMORY), told
        assert "tried 2 times" in told["error"]["text"]
        metrics = client.get("/metrics").text
        assert "fracture_cds_workers 1.0" in metrics
        assert "fracture_cds_worker_restarts_total 2.0" in metrics

        # Stopped in order in the middle of a job.
        stuck = send("/api/jobs", quick.STUCK).json()["id"]
        until(lambda: client.get(f"/api/jobs/{stuck}").json()["state"] == "running", "it was not taken")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


# --- jobs and their workers


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(Settings(data_dir=tmp_path, audit_log=None))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("limit", "code", "status"),
    [({}, OUT_OF_MEMORY, EXIT_MEMORY), ({"worker_job_seconds": 1.0}, TOO_LONG, EXIT_TOO_LONG)],
    ids=["memory", "hang"],
)
def test_a_job_that_ends_its_worker_is_tried_once_more_and_then_given_up(
    store: Store, tmp_path: Path, limit: dict[str, float], code: str, status: int
) -> None:
    settings = Settings(data_dir=tmp_path, audit_log=None, worker_lease_seconds=2.0, **limit)  # type: ignore[arg-type]
    job = store.jobs.submit("assess", {"bedside": {}}, actor="web:a", files={"image": b"i"})
    assert job is not None
    left: list[int] = []
    for state, attempts in ((JobState.QUEUED, 1), (JobState.FAILED, 2)):
        gone = threading.Event()

        def leave(number: int, gone: threading.Event = gone) -> None:
            if not gone.is_set():
                left.append(number)
                gone.set()

        parts = FakeParts().engines()
        worker = Worker(settings=settings, store=store, engines=parts, audit=NoAuditTrail(), leave=leave)
        if code == OUT_OF_MEMORY:
            worker.memory_mib = lambda: 2.0 * settings.worker_max_rss_mib
        object.__setattr__(parts, "read_image", _waiting(gone))
        taken = store.jobs.claim(worker.name, kinds=("assess",), lease=worker.lease)
        assert taken is not None
        worker.work_on(taken)
        found = store.jobs.get(job.id)
        assert (found.state, found.attempts, found.error_code) == (state, attempts, code)
    assert left == [status, status]
    assert "tried 2 times" in (found.error_text or "")
    assert "Plantedname" not in (found.error_text or "")


def _waiting(gone: threading.Event) -> Any:
    """Reading that lasts until the process would be gone."""

    def read(*_: object, **__: object) -> Any:
        assert gone.wait(60)
        raise SystemExit("the process is gone")

    def shielded(*given: object, **more: object) -> Any:
        try:
            return read(*given, **more)
        except SystemExit as end:
            raise RuntimeError("gone") from end

    return shielded


def test_a_worker_that_is_frozen_is_killed_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.work.supervisor.SILENT_S", 8.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    settings = Settings(data_dir=tmp_path, audit_log=None, worker_lease_seconds=2.0, shutdown_seconds=5.0)
    crew = Supervisor(settings, Metrics(), count=1, build=quick.build)
    crew.start()
    try:
        (place,) = crew._places
        until(lambda: place.heard is not None, "the worker never spoke")
        assert place.process is not None
        frozen = place.process.pid
        assert frozen is not None
        os.kill(frozen, signal.SIGSTOP)
        until(lambda: place.process is not None and place.process.pid != frozen, "it was not replaced")
        with pytest.raises(ProcessLookupError):
            os.kill(frozen, 0)
    finally:
        crew.stop()


# --- what the service depends on


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes a connection and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"


def test_a_slow_fhir_server_costs_no_more_than_its_time(tmp_path: Path) -> None:
    with silent_server() as server:
        client = hooks.hooks_client(
            Settings(hooks_auth="none", hooks_fhir_servers=(server,), hooks_fhir_timeout_seconds=0.5)
        )
        began = time.monotonic()
        answer = client.post("fracture-risk", hooks.hook_call("patient-view", None, fhirServer=server))
        assert (answer.status_code, time.monotonic() - began < 5) == (412, True)
        assert "did not give them" in answer.json()["detail"]
        whole = hooks.prefetch(hooks.condition("c1", hooks.HIP_FRACTURE, days=400), patient=hooks.woman(75))
        call = hooks.hook_call("patient-view", whole, fhirServer=server)
        assert client.post("fracture-risk", call).status_code == 200  # what was sent along needs no server

        settings = Settings(fhir_server=server, fhir_timeout_seconds=0.5, fhir_deadline_seconds=1.0, audit_log=None)
        began = time.monotonic()
        with pytest.raises(ServerTimeoutError):
            fetch_case(settings, SourceRequest(patient_id="p1", as_of=datetime.now(UTC)))
        assert time.monotonic() - began < 10


def test_weights_that_are_swapped_while_it_runs_change_nothing_until_a_restart_refuses_them(tmp_path: Path) -> None:
    for file in SHIPPED_WEIGHTS.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path / file.name)
    settings = Settings(audit_log=None, data_dir=tmp_path / "data", detector_dir=tmp_path)
    radiograph = read_radiograph(demo_image())
    running = build_engines(settings).image
    before = running.analyse(radiograph)
    for file in tmp_path.glob("*.safetensors"):
        with file.open("r+b") as stream:  # in place: what is mapped into memory would change with it
            stream.write(os.urandom(1024))
            stream.truncate(4096)
    assert running.analyse(radiograph) == before

    app = create_app(settings, FakeParts().engines(), RememberingAuditTrail())
    assert app is not None
    with pytest.raises(Exception, match="sha256") as refused:
        build_engines(settings).image.analyse(radiograph)
    assert getattr(refused.value, "code", "") == "imaging.model.files"


@pytest.mark.parametrize("nowhere", ["file/audit.jsonl", "folder"])
def test_a_trail_that_cannot_be_written_withholds_every_result(tmp_path: Path, nowhere: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    settings = Settings(data_dir=tmp_path / "data", audit_log=tmp_path / nowhere)
    opened = open_store(settings)
    trail: AuditTrail = build_audit_trail(settings, opened)
    app = create_app(settings, FakeParts().engines(), trail, opened)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        refused = client.post("/api/assess", files={"image": ("x.dcm", b"image"), "bundle": RECORD})
        assert (refused.status_code, refused.json()["code"]) == (503, "cds.audit.not_written")
        assert refused.json()["remedy"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/api/cases").status_code == 503  # nor does anybody look
    opened.close()


# --- clocks and certificates


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (59, True), (-59, True), (61, False), (-61, False)])
def test_a_clock_may_be_off_by_the_stated_seconds_and_no_more(tmp_path: Path, seconds: int, good: bool) -> None:
    from tests.support.tokens import hooks_call_is_trusted, oidc_token_is_trusted

    assert Settings().hooks_clock_skew_seconds == Settings().oidc_clock_skew_seconds == 60
    assert hooks_call_is_trusted(tmp_path, client_clock_off_s=seconds) is good
    assert oidc_token_is_trusted(tmp_path, issuer_clock_off_s=seconds) is good


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def _certificate(folder: Path, name: str, *, days: int) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("openssl is not installed")
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*command, "-days", str(days), "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_an_expired_certificate_is_told_about_and_its_successor_is_taken_up_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = _certificate(tmp_path / "used", "old", days=3)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ahead = [timedelta()]
    watch = CertificateWatch(context, certificate, key, clock=lambda: datetime.now(UTC) + ahead[0])
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def shown() -> bytes:
        return ssl.get_server_certificate(("127.0.0.1", server.server_port), timeout=10).encode()

    try:
        first = shown()
        assert not watch.look()
        assert "expires in" in caplog.text
        ahead[0] = timedelta(days=4)
        assert not watch.look()
        assert "has expired" in caplog.text

        renewed, its_key = _certificate(tmp_path / "new", "new", days=300)
        shutil.copy(renewed, certificate)  # the key comes a moment later
        assert not watch.look()
        assert shown() == first
        shutil.copy(its_key, key)
        caplog.clear()
        assert watch.look()
        assert shown() != first
        assert not watch.look()
        assert "expire" not in caplog.text
    finally:
        server.shutdown()
        server.server_close()
