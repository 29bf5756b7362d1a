"""``cds serve`` as a process: it starts, answers, takes an upload, and leaves nothing behind when told to stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_live(address: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail("the service did not start")


def test_serve(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "cds.entrypoints.cli", "serve", "--port", str(port)],
        cwd=ROOT,
        env={
            **os.environ,
            "TMPDIR": str(tmp_path),
            "FRACTURE_CDS_AUDIT_LOG": str(tmp_path / "audit.jsonl"),
            "FRACTURE_CDS_STORE": "off",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_live(address, process)
        refused = httpx.post(f"{address}/api/assess", files={"image": ("x.dcm", b"Plantedname", "application/dicom")})
        assert refused.status_code == 422
        assert refused.json()["code"].startswith("imaging.")
        uploaded = httpx.post(f"{address}/gradio_api/upload", files={"files": ("x.dcm", b"Plantedname")})
        assert Path(uploaded.json()[0]).is_relative_to(tmp_path)
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert address in output
    assert "Plantedname" not in output + errors
    left = [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith("audit.jsonl")]
    assert left == []
