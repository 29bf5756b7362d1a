"""The service is killed in the middle of its work, all its processes at once: nothing accepted is lost or doubled."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.engines import SLOW_S

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 240
JOBS, DIRECT = 14, 6
FILES = {"image": ("x.dcm", b"image"), "bundle": ("p.json", b"record")}


@contextmanager
def service(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service and its worker in a process group of their own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.quick_service"],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "errors.txt").open("ab"),
        env={
            **os.environ,
            SLOW_S: "0.2",
            "TMPDIR": str(folder),
            "FRACTURE_CDS_DATA_DIR": str(folder / "data"),
            "FRACTURE_CDS_AUDIT_LOG": "off",
            "FRACTURE_CDS_PORT": str(port),
            "FRACTURE_CDS_WORKER_LEASE_SECONDS": "2",
            "FRACTURE_CDS_SHUTDOWN_SECONDS": "5",
        },
    )
    try:
        wait_for(lambda: process.poll() is None and answers(port), "the service did not start")
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(true: Callable[[], bool], words: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(words)
        time.sleep(0.1)


def send(port: int, name: str) -> str | None:
    """Send one case; the id of what was accepted, None when the service was gone."""
    address = f"http://127.0.0.1:{port}/api/{name.partition('-')[0]}"
    try:
        answer = httpx.post(address, files=FILES, headers={"Idempotency-Key": name}, timeout=60)
    except httpx.TransportError:
        return None
    assert answer.status_code in {200, 202}, answer.text
    return str(answer.json()["id"] if answer.status_code == 202 else answer.headers["fracture-cds-case"])


def test_killed_in_mid_load_nothing_accepted_is_lost_or_doubled(tmp_path: Path, free_port: int) -> None:
    names = [f"jobs-{n}" for n in range(JOBS)] + [f"assess-{n}" for n in range(DIRECT)]
    names.sort(key=lambda name: name[::-1])  # jobs and direct cases mixed
    with service(tmp_path, free_port) as process, ThreadPoolExecutor(4) as pool:
        sending = [(name, pool.submit(send, free_port, name)) for name in names]
        wait_for(lambda: sum(one.done() for _, one in sending) >= len(names) // 2, "nothing was accepted")
        os.killpg(process.pid, signal.SIGKILL)
        accepted = {name: one.result() for name, one in sending if one.result() is not None}
    assert accepted

    with service(tmp_path, free_port) as process:
        after = {name: send(free_port, name) for name in names}  # as a client does that got no answer
        for name, found in accepted.items():
            assert after[name] == found, "an accepted request is another one now"
        with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=60) as client:
            jobs = [found for name, found in after.items() if name.startswith("jobs")]
            wait_for(
                lambda: all(client.get(f"/api/jobs/{one}").json()["state"] == "done" for one in jobs), "jobs were lost"
            )
            became = [client.get(f"/api/jobs/{one}").json()["case_id"] for one in jobs]
            became += [found for name, found in after.items() if name.startswith("assess")]
            kept = [one["id"] for one in client.get("/api/cases", params={"limit": 200}).json()["cases"]]
            assert Counter(kept) == Counter(became), "a case is lost or doubled"
            assert len(kept) == JOBS + DIRECT
            assert "fracture_cds_workers 1.0" in client.get("/metrics").text
            for one in kept:
                assert client.get(f"/api/cases/{one}/reports/html").status_code == 200

        # Stopped in order in the middle of a job: the job is done, or back in the queue, and nobody is left behind.
        assert send(free_port, "jobs-last") is not None
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        wait_for(lambda: not group_lives(process.pid), "a process is left behind")


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
