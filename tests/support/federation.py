"""Federations for tests: tables in the survey's layout, hospitals without a network, bad hospitals, an eavesdropper."""

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flwr.server.client_proxy import ClientProxy

from cds.learning.federated.client import HospitalClient
from cds.learning.federated.learners.base import Learner
from cds.learning.federated.orders import Order
from cds.learning.federated.privacy import Steps
from cds.learning.federated.wire import Kind, Tensors

SURVEY_COLUMNS = (
    "cycle",
    "RIDAGEYR",
    "RIAGENDR",
    "RIDRETH1",
    "WTMEC2YR",
    "SDMVPSU",
    "SDMVSTRA",
    "BMXBMI",
    "BMXWT",
    "BMXHT",
    "OSQ060",
    "OSQ080",
    "OSQ130",
    "OSQ170",
    "OSQ200",
    "SMQ020",
    "SMQ040",
    "ALQ130",
    "ra",
    "age_fx_hip",
    "age_fx_wrist",
    "age_fx_spine",
    "fx_hip",
    "fx_wrist",
    "fx_spine",
    "fx_hws",
    "neck_t_nhanes3f",
)


def survey_table(people: int, seed: int, *, bmi_offset: float = 0.0) -> pd.DataFrame:
    """Made-up people in the survey's layout whose fractures follow age and bone density.

    Args:
        people: rows.
        seed: of everything.
        bmi_offset: makes hospitals differ, kg/m2.
    """
    rng = np.random.default_rng(seed)
    age = rng.integers(40, 81, people).astype(float)
    score = rng.normal(-1.0, 1.1, people)
    risk = 1 / (1 + np.exp(-((age - 65) / 8 - 1.2 * (score + 1))))
    table = pd.DataFrame({name: np.full(people, 2.0) for name in SURVEY_COLUMNS})
    table["cycle"] = "2005-2006"
    table["RIDAGEYR"], table["neck_t_nhanes3f"] = age, score
    table["RIAGENDR"] = rng.integers(1, 3, people)
    table["BMXBMI"], table["BMXHT"] = rng.normal(27 + bmi_offset, 4, people), rng.normal(168, 9, people)
    for name in ("age_fx_hip", "age_fx_wrist", "age_fx_spine"):
        table[name] = np.nan
    for name in ("fx_hip", "fx_wrist", "fx_spine", "ra"):
        table[name] = 0.0
    table["fx_hws"] = (rng.random(people) < risk).astype(float)
    return table


class DirectProxy(ClientProxy):
    """Hands the server's requests to a client in the same process, through what would travel."""

    def __init__(
        self, cid: str, client: HospitalClient, *, change: Callable[[Any], Any] = lambda answer: answer
    ) -> None:
        super().__init__(cid)
        self.client = client
        self.change = change or (lambda answer: answer)

    def get_properties(self, ins: Any, timeout: float | None, group_id: int | None) -> Any:
        return self.client.get_properties(ins)

    def get_parameters(self, ins: Any, timeout: float | None, group_id: int | None) -> Any:
        raise NotImplementedError

    def fit(self, ins: Any, timeout: float | None, group_id: int | None) -> Any:
        return self.change(self.client.fit(ins))

    def evaluate(self, ins: Any, timeout: float | None, group_id: int | None) -> Any:
        return self.client.evaluate(ins)

    def reconnect(self, ins: Any, timeout: float | None, group_id: int | None) -> Any:
        return None


class BadLearner:
    """A learner whose update is changed before it is protected and sent: what a malicious hospital would run."""

    def __init__(self, honest: Learner, change: Callable[[Tensors], Tensors]) -> None:
        self.honest, self.change = honest, change
        self.kind: Kind = honest.kind
        self.noise_unit = honest.noise_unit

    @property
    def examples(self) -> int:
        return self.honest.examples

    def check(self, weights: Tensors) -> None:
        self.honest.check(weights)

    def learn(self, weights: Tensors, order: Order) -> Tensors:
        return self.change(self.honest.learn(weights, order))

    def noise_steps(self, order: Order) -> Steps:
        return self.honest.noise_steps(order)

    def loss(self, weights: Tensors) -> float:
        return self.honest.loss(weights)

    def keep(self, weights: Tensors, folder: Path) -> None:
        self.honest.keep(weights, folder)


def scaled_update(factor: float) -> Callable[[Tensors], Tensors]:
    """A change that multiplies every value."""
    return lambda update: {name: (array * np.float32(factor)).astype(array.dtype) for name, array in update.items()}


@dataclass(slots=True)
class Eavesdropper:
    """A TCP proxy that keeps what passes, one connection after another."""

    target: tuple[str, int]
    port: int = 0
    upstream: list[bytearray] = field(default_factory=list)
    """Client to server, one entry a connection."""
    downstream: list[bytearray] = field(default_factory=list)
    _listener: socket.socket | None = None

    def __enter__(self) -> "Eavesdropper":
        listener = socket.create_server(("127.0.0.1", 0))
        self.port, self._listener = listener.getsockname()[1], listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            up, down = bytearray(), bytearray()
            self.upstream.append(up)
            self.downstream.append(down)
            for source, sink, kept in ((client, server, up), (server, client, down)):
                threading.Thread(target=_pump, args=(source, sink, kept), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    while True:
        try:
            block = source.recv(65536)
        except OSError:
            block = b""
        kept += block
        try:
            if block:
                sink.sendall(block)
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:
            return


HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA_FRAME = 0


def http2_frames(stream: bytes) -> list[tuple[int, bytes]]:
    """(type, payload) of each frame that a client sent (RFC 9113, section 4.1); an unfinished last one is left out."""
    assert stream.startswith(HTTP2_PREFACE)
    frames, position = [], len(HTTP2_PREFACE)
    while position + 9 <= len(stream):
        length = int.from_bytes(stream[position : position + 3], "big")
        if position + 9 + length > len(stream):
            break
        frames.append((stream[position + 3], stream[position + 9 : position + 9 + length]))
        position += 9 + length
    return frames


def grpc_messages(stream: bytes) -> list[bytes]:
    """The messages in a client's only call: 1 byte of flags (0: not compressed), 4 of length, the message."""
    data = b"".join(payload for kind, payload in http2_frames(stream) if kind == DATA_FRAME)
    messages, position = [], 0
    while position + 5 <= len(data):
        assert data[position] == 0
        length = int.from_bytes(data[position + 1 : position + 5], "big")
        messages.append(data[position + 5 : position + 5 + length])
        position += 5 + length
    return messages


def protocol_bytes(stream: bytes) -> Mapping[str, int]:
    """What is not a message: preface, frame headers, gRPC prefixes, and frames by number of type."""
    frames = http2_frames(stream)
    sums = {
        "preface": len(HTTP2_PREFACE),
        "frame_headers": 9 * len(frames),
        "grpc_prefixes": 5 * len(grpc_messages(stream)),
    }
    for kind, payload in frames:
        if kind != DATA_FRAME:
            sums[f"frames_of_type_{kind}"] = sums.get(f"frames_of_type_{kind}", 0) + len(payload)
    return sums
