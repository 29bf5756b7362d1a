"""Without a network: a case from upload to report, and no attempt to reach anything but this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cds.demo import demo_image
from cds.demo_patient import demo_bundle
from tests.support.cases import CREATED
from tests.support.netspace import Netspace, own_network

ROOT = Path(__file__).resolve().parents[2]
PORT = 8000
PATIENCE_S = 400.0
RECORDER = """
import ipaddress, json, os, sys

def _record(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        place = args[1] if event in ("socket.connect", "socket.sendto") else args[0]
        host = place[0] if isinstance(place, tuple) else place
        if isinstance(host, bytes):
            host = host.decode("latin-1")
        if not isinstance(host, str) or host.startswith(("/", chr(0))) or host in ("", "localhost"):
            return
        try:
            if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                return
        except ValueError:
            pass
        descriptor = os.open(os.environ["RECORDED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, (json.dumps([event, host, sys.argv[:3]]) + chr(10)).encode())
        os.close(descriptor)

sys.addaudithook(_record)
"""
"""Put in front of every Python process: each connection and each name that is looked up, save this machine's own."""


@pytest.fixture(scope="module")
def space() -> Iterator[Netspace]:
    with own_network() as made:
        yield made


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(RECORDER)
    # Without what marks a build server: some libraries report home everywhere else.
    build_server = {"CI", "TF_BUILD", "JENKINS_URL"}
    inherited = {
        name: value for name, value in os.environ.items() if "proxy" not in name.lower() and name not in build_server
    }
    return {
        **inherited,
        "PYTHONPATH": f"{tmp_path / 'first'}{os.pathsep}{ROOT}",
        "RECORDED": str(tmp_path / "recorded.jsonl"),
        "TMPDIR": str(tmp_path),
        "HOME": str(tmp_path),
        "FRACTURE_CDS_DATA_DIR": str(tmp_path / "data"),
        "FRACTURE_CDS_AUDIT_LOG": str(tmp_path / "audit.jsonl"),
    }


def recorded(environment: dict[str, str]) -> list[Any]:
    path = Path(environment["RECORDED"])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_recorder_is_awake(space: Netspace, environment: dict[str, str]) -> None:
    ask = "import socket\ntry: socket.create_connection(('198.51.100.1', 9), 1)\nexcept OSError: print('no way out')"
    done = subprocess.run(
        space.command([sys.executable, "-c", ask]), env=environment, capture_output=True, text=True, check=True
    )
    assert "no way out" in done.stdout
    assert [one[:2] for one in recorded(environment)] == [
        ["socket.getaddrinfo", "198.51.100.1"],
        ["socket.connect", "198.51.100.1"],
    ]


def test_assess_from_the_command_line(space: Netspace, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(demo_image())
    (tmp_path / "p.json").write_bytes(demo_bundle(CREATED))
    command = [sys.executable, "-m", "cds.entrypoints.cli", "assess", "--image", str(tmp_path / "x.dcm")]
    more = ["--patient", str(tmp_path / "p.json"), "--site", "distal_radius", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        space.command([*command, *more]), env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"report.html", "report.json", "report.pdf", "bundle.json"} <= {
        one.name for one in (tmp_path / "out").iterdir()
    }
    assert recorded(environment) == []


def test_the_service_from_upload_to_report(space: Netspace, environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cds.entrypoints.cli", "serve", "--port", str(PORT)]
    with (tmp_path / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            space.command(command), env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=errors
        )

    def ask(method: str, path: str, **more: Any) -> httpx.Response:
        address = f"http://127.0.0.1:{PORT}{path}"
        return space.call(httpx.request, method, address, timeout=PATIENCE_S, trust_env=False, **more)

    def ready() -> bool:
        try:
            return ask("GET", "/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        deadline = time.monotonic() + PATIENCE_S
        while not ready():
            assert process.poll() is None, (tmp_path / "errors.txt").read_text()[-2000:]
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.5)
        page = ask("GET", "/")
        assert page.status_code == 200
        files = {"image": ("x.dcm", demo_image()), "bundle": ("p.json", demo_bundle(CREATED))}
        direct = ask("POST", "/api/assess", files=files)
        assert direct.status_code == 200, direct.text
        job = ask("POST", "/api/jobs", files=files).json()["id"]
        while (state := ask("GET", f"/api/jobs/{job}").json())["state"] in {"queued", "running"}:
            assert time.monotonic() < deadline, state
            time.sleep(0.5)
        assert state["state"] == "done", state
        for shape in ("html", "pdf", "fhir"):
            assert ask("GET", f"/api/cases/{state['case_id']}/reports/{shape}").status_code == 200
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # it finishes the case in hand first
            process.kill()
            process.wait()
    assert recorded(environment) == []
