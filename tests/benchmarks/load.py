"""Load on a really running ``cds serve`` on the loopback address: mixed assessments and CDS Hooks calls.

    python -m tests.benchmarks.load [--users 20] [--seconds 120] [--kill]

Each user sends one request after another: half CDS Hooks with prefetch, a fifth records, a fifth radiographs with a
record, a tenth jobs. Prints throughput, p50 and p95 by kind, errors, and the resident memory of the service and its
workers at the beginning, over time, and when all work is done. Afterwards every case that was answered or accepted must
be in the store exactly once: one that is lost or doubled, or any error, ends the program with 1. ``--kill`` kills all
processes of the service in mid-load and starts it again first. Radiograph and people are made up.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
from rich.console import Console
from rich.table import Table

from cds.demo import demo_image
from cds.demo_patient import demo_bundle
from tests.support.hooks import CALCIUM, HIP_FRACTURE, condition, draft, drug, hook_call, prefetch, woman

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"patient-view": 0.3, "order-select": 0.2, "record": 0.2, "radiograph": 0.2, "job": 0.1}
START_S = 300.0
DRAIN_S = 900.0
TURNED_AWAY = 429


@dataclass(slots=True)
class Run:
    """What is seen from outside."""

    address: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    turned_away: int = 0
    broken_off: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start of the load, MiB; the first before it, the last when all work is done."""
    kept: dict[str, str] = field(default_factory=dict)
    """Request key to case or job."""
    began: float = 0.0
    lasted: float = 0.0
    """Seconds until the last answer."""
    is_up: bool = True


def main() -> None:
    """Start the service, load it, look at what it kept, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--kill", action="store_true", help="kill the service at half time and start it again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(address=f"http://127.0.0.1:{_free_port()}", folder=Path(folder))
        try:
            _start(run)
            asyncio.run(_load(run, arguments.users, arguments.seconds, kill=arguments.kill))
            lost, doubled, kept = _judge(run)
            _note_memory(run)
        finally:
            _end(run, signal.SIGTERM)
    _print(run, arguments, lost=lost, doubled=doubled, kept=kept)
    sys.exit(1 if lost or doubled or run.errors else 0)


def _start(run: Run) -> None:
    port = run.address.rpartition(":")[2]
    environment = {
        **os.environ,
        "TMPDIR": str(run.folder),
        "FRACTURE_CDS_DATA_DIR": str(run.folder / "data"),
        "FRACTURE_CDS_AUDIT_LOG": str(run.folder / "audit.jsonl"),
        "FRACTURE_CDS_HOOKS_AUTH": "none",
        "FRACTURE_CDS_REQUESTS_PER_MINUTE": "1000000",
        "FRACTURE_CDS_WORKER_LEASE_SECONDS": "5",
    }
    command = [sys.executable, "-m", "cds.entrypoints.cli", "serve", "--port", port]
    with (run.folder / "errors.txt").open("ab") as errors:
        run.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=errors
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and run.process.poll() is None:
        try:
            if httpx.get(f"{run.address}/readyz", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise SystemExit("The service did not start.")


def _end(run: Run, how: signal.Signals) -> None:
    if run.process is None or run.process.poll() is not None:
        return
    if how is signal.SIGKILL:
        os.killpg(run.process.pid, how)
    else:
        run.process.send_signal(how)
    run.process.wait(120)


async def _load(run: Run, users: int, seconds: float, *, kill: bool) -> None:
    run.began = time.monotonic()
    _note_memory(run)
    until = run.began + seconds
    image, bundle = demo_image(), demo_bundle(datetime.now(UTC))
    limits = httpx.Limits(max_connections=users + 2)
    async with httpx.AsyncClient(base_url=run.address, timeout=300, limits=limits) as client:
        tasks = [_user(run, client, number, until, image, bundle) for number in range(users)]
        await asyncio.gather(_watch_memory(run, until), _kill(run, seconds) if kill else asyncio.sleep(0), *tasks)
    run.lasted = time.monotonic() - run.began


async def _user(run: Run, client: httpx.AsyncClient, number: int, until: float, image: bytes, bundle: bytes) -> None:
    chance = random.Random(number)
    await asyncio.sleep(chance.random())
    while time.monotonic() < until:
        kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
        key = str(uuid4())
        while not await _ask(run, client, kind, key, image, bundle):  # with the same key until it is answered
            await asyncio.sleep(0.5)


async def _ask(run: Run, client: httpx.AsyncClient, kind: str, key: str, image: bytes, bundle: bytes) -> bool:
    """Send one request; False when it should be repeated."""
    began = time.monotonic()
    try:
        answer = await _send(client, kind, key, image, bundle)
    except httpx.TransportError:
        if run.is_up and run.process is not None and run.process.poll() is None:
            run.errors[f"{kind}: connection"] += 1
            return True
        run.broken_off += 1
        return False
    if answer.status_code == TURNED_AWAY:
        run.turned_away += 1
        await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
        return False
    run.seconds[kind].append(time.monotonic() - began)
    if answer.status_code not in {200, 202}:
        run.errors[f"{kind}: {answer.status_code} {_code(answer)}"] += 1
    elif kind == "job":
        run.kept[key] = answer.json()["id"]
    elif kind in {"record", "radiograph"}:
        run.kept[key] = answer.headers["fracture-cds-case"]
    return True


async def _send(client: httpx.AsyncClient, kind: str, key: str, image: bytes, bundle: bytes) -> httpx.Response:
    if kind == "patient-view":
        call = hook_call(kind, prefetch(condition("c1", HIP_FRACTURE, days=400), patient=woman(75)))
        return await client.post("/cds-services/fracture-risk", json=call)
    if kind == "order-select":
        known = prefetch(condition("c1", HIP_FRACTURE, days=20), drug("m1", "855332"))
        call = hook_call(kind, known, orders=[draft("d1", CALCIUM)])
        return await client.post("/cds-services/fracture-order", json=call)
    files = {"bundle": ("p.json", bundle)}
    if kind != "record":
        files["image"] = ("x.dcm", image)
    path = "/api/jobs" if kind == "job" else "/api/assess"
    return await client.post(path, files=files, headers={"Idempotency-Key": key})


def _code(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("code", ""))
    except json.JSONDecodeError:
        return ""


async def _kill(run: Run, seconds: float) -> None:
    await asyncio.sleep(seconds / 2)
    run.is_up = False
    _end(run, signal.SIGKILL)
    await asyncio.to_thread(_start, run)
    run.is_up = True


async def _watch_memory(run: Run, until: float) -> None:
    while time.monotonic() < until:
        await asyncio.sleep(2.0)
        _note_memory(run)


def _note_memory(run: Run) -> None:
    if run.process is not None and (mib := _memory_mib(run.process.pid)):
        run.memory.append((time.monotonic() - run.began, mib))


def _memory_mib(group: int) -> float:
    """Resident memory of every process of a group (Linux)."""
    pages = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                pages += int((entry / "statm").read_text().split()[1])
        except (OSError, ValueError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _judge(run: Run) -> tuple[int, int, int]:
    """Lost, doubled, kept: what was answered or accepted against what the store holds."""
    with httpx.Client(base_url=run.address, timeout=60) as client:
        cases: set[str] = set()
        lost = 0
        deadline = time.monotonic() + DRAIN_S
        for found in run.kept.values():
            job = client.get(f"/api/jobs/{found}")
            while job.status_code == 200 and job.json()["state"] in {"queued", "running"}:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.2)
                job = client.get(f"/api/jobs/{found}")
            case_id = job.json()["case_id"] if job.status_code == 200 else found
            lost += case_id is None or client.get(f"/api/cases/{case_id}").status_code != 200
            cases.add(str(case_id))
        held: set[str] = set()
        cursor: str | None = None
        while True:
            page = client.get("/api/cases", params={"limit": 200} | ({"cursor": cursor} if cursor else {})).json()
            held |= {one["id"] for one in page["cases"]}
            cursor = page["next_cursor"]
            if cursor is None:
                break
    # Cases that nobody was told of, and cases that two requests were told of.
    doubled = len(held - cases) + len(run.kept) - len(cases)
    return lost, doubled, len(held)


def _print(run: Run, arguments: argparse.Namespace, *, lost: int, doubled: int, kept: int) -> None:
    table = Table(title=f"{arguments.users} users, {arguments.seconds:.0f} s", caption=f"{os.cpu_count()} CPU threads")
    for name in ("request", "n", "per second", "p50 ms", "p95 ms", "longest ms"):
        table.add_column(name, justify="left" if name == "request" else "right")
    rows = [(kind, run.seconds[kind]) for kind in KINDS if run.seconds[kind]]
    for kind, values in [*rows, ("all", [one for _, some in rows for one in some])]:
        points = statistics.quantiles(values, n=20, method="inclusive") if len(values) > 1 else values * 19
        figures = (
            statistics.median(values) if values else 0.0,
            points[18] if points else 0.0,
            max(values, default=0.0),
        )
        rate = len(values) / run.lasted
        table.add_row(kind, str(len(values)), f"{rate:.2f}", *(f"{1000 * one:.0f}" for one in figures))
    console = Console()
    console.print(table)
    console.print(f"errors: {dict(run.errors) or 'none'}; turned away with 429: {run.turned_away}")
    if arguments.kill:
        console.print(f"killed at half time: {run.broken_off} requests broken off and repeated with their keys")
    console.print(f"cases and jobs accepted: {len(run.kept)}; in the store: {kept}; lost: {lost}; doubled: {doubled}")
    if run.memory:
        first, last = run.memory[0][1], run.memory[-1][1]
        console.print(f"resident MiB: {first:.0f} at the beginning, {last:.0f} when all work was done")
    shown = run.memory[:: max(1, len(run.memory) // 10)]
    console.print("  over time: " + ", ".join(f"{mib:.0f} at {at:.0f} s" for at, mib in shown))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
