"""A federation of real processes on one machine: one server, several hospitals, gRPC over loopback.

Each process is the command that a hospital or the coordinating centre would start itself; they share nothing but the
channel. Used to try settings before anybody else is asked, and for the proofs.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import cds
from cds.learning.federated.errors import HospitalDataError, TooFewHospitalsError
from cds.learning.federated.settings import FederationSettings, ModelKind
from cds.learning.federated.state import STATE_NAME

_PROGRAM = "from cds.entrypoints.federation_commands import federate_app; federate_app(prog_name='cds learn federate')"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedHospital:
    """One hospital's data and options."""

    name: str
    data: Path
    options: tuple[str, ...] = ()
    """Further options of ``cds learn federate client``."""


@dataclass(slots=True, kw_only=True)
class Processes:
    """What was started; use as a context manager, so that nothing is left running."""

    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> "Processes":
        """Nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
        for process in self.started:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, arguments: Sequence[str], log: Path, *, program: str = _PROGRAM) -> subprocess.Popen[bytes]:
        """Start one process of the federation.

        Args:
            arguments: of ``cds learn federate``.
            log: file for its output.
            program: Python text that reads the arguments.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        root = str(Path(cds.__file__).resolve().parents[1])
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", "")))),
            "FLWR_TELEMETRY_ENABLED": "0",
        }
        environment.setdefault("OMP_NUM_THREADS", "1")
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self.started.append(process)
        return process

    def server(self, config: Path, out: Path, port: int) -> subprocess.Popen[bytes]:
        """Start the server on loopback."""
        arguments = ["server", "--config", str(config), "--out", str(out), "--listen", f"127.0.0.1:{port}"]
        return self.start(arguments, out / "server.log")

    def hospital(self, hospital: SimulatedHospital, out: Path, port: int, kind: ModelKind) -> subprocess.Popen[bytes]:
        """Start a hospital's client."""
        arguments = ["client", "--server", f"127.0.0.1:{port}", "--data", str(hospital.data), "--kind", kind.value]
        return self.start([*arguments, "--out", str(out), *hospital.options], out / "client.log")


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_settings(settings: FederationSettings, path: Path) -> Path:
    """Settings as the YAML file that the server reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings.to_json()), encoding="utf-8")
    return path


def simulate(
    settings: FederationSettings, hospitals: Sequence[SimulatedHospital], out: Path, *, timeout_s: float
) -> Path:
    """Run a whole federation.

    Args:
        settings: of the federation.
        hospitals: at least as many as its `min_hospitals`.
        out: folder for ``server/`` and one folder a hospital.
        timeout_s: after that everything is ended.

    Returns:
        The server's folder, with ``state.json`` and the final model.

    Raises:
        TooFewHospitalsError: the federation did not finish; the logs under `out` say why.
    """
    port = free_port()
    config = write_settings(settings, out / "federation.yaml")
    with Processes() as processes:
        server = processes.server(config, out / "server", port)
        clients = [processes.hospital(one, out / one.name, port, settings.kind) for one in hospitals]
        end = time.monotonic() + timeout_s
        while server.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        for client in clients:
            # One that is slow to end on a busy machine changes nothing: the model is there.
            with suppress(subprocess.TimeoutExpired):
                if server.poll() == 0:
                    client.wait(timeout=max(1.0, min(30.0, end - time.monotonic())))
    state = out / "server" / STATE_NAME
    # Flower ends with 0 when it is told to stop, so the state is asked.
    done = state.is_file() and json.loads(state.read_text(encoding="utf-8"))["round"] >= settings.rounds
    if server.returncode != 0 or not done:
        raise TooFewHospitalsError("the simulated federation did not finish", remedy="See server.log and client.log.")
    return out / "server"


def divide(data: Path, kind: ModelKind, hospitals: int, out: Path) -> list[SimulatedHospital]:
    """Deal one data set to hospitals that differ: a table by survey cycle, radiographs by block of neighbouring ids.

    Raises:
        HospitalDataError: there are fewer cycles or blocks than hospitals.
    """
    names = [f"hospital-{number + 1}" for number in range(hospitals)]
    if kind is ModelKind.DETECTOR:
        return _divide_radiographs(data, names, out)
    import pandas as pd

    table = pd.read_csv(data, low_memory=False)
    cycles = sorted(table["cycle"].astype(str).unique()) if "cycle" in table else []
    if len(cycles) < hospitals:
        raise HospitalDataError("the table has fewer survey cycles than hospitals", remedy="Lower --hospitals.")
    dealt = []
    for number, name in enumerate(names):
        folder = out / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        table[table["cycle"].isin(cycles[number::hospitals])].to_csv(folder / "survey.csv", index=False)
        dealt.append(SimulatedHospital(name=name, data=folder))
    return dealt


def _divide_radiographs(data: Path, names: Sequence[str], out: Path) -> list[SimulatedHospital]:
    from imaging.training.datasets import read_collection
    from imaging.training.splits import write_list

    samples: Any = read_collection(data).samples
    blocks = sorted({sample.group for sample in samples})
    if len(blocks) < len(names):
        raise HospitalDataError("there are fewer id blocks than hospitals", remedy="Lower --hospitals.")
    owner = {block: names[number * len(names) // len(blocks)] for number, block in enumerate(blocks)}
    assignment = {sample.image_id: owner[sample.group] for sample in samples}
    listed = write_list(out / "data" / "hospitals.csv", samples, assignment)
    return [
        SimulatedHospital(name=name, data=data, options=("--split-list", str(listed), "--part", name)) for name in names
    ]
