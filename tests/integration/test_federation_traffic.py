"""What really leaves a hospital: Flower's own channel over TCP on loopback, with an eavesdropper in between."""

import datetime
import hashlib
import ipaddress
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cds.learning.federated.transport import ServerTls, join, quiet_flower

quiet_flower()

from flwr.proto.transport_pb2 import ClientMessage  # noqa: E402
from flwr.server.superlink.fleet.grpc_bidi.grpc_server import start_grpc_server  # noqa: E402

from cds.learning.federated.client import HospitalClient  # noqa: E402
from cds.learning.federated.identity import load_identity  # noqa: E402
from cds.learning.federated.learners.choose import HospitalData, make_learner, make_rules  # noqa: E402
from cds.learning.federated.server import RoundServer  # noqa: E402
from cds.learning.federated.settings import FederationSettings, ModelKind  # noqa: E402
from cds.learning.federated.simulation import Processes, SimulatedHospital, free_port, write_settings  # noqa: E402
from cds.learning.federated.wire import SentMessage, read_sent  # noqa: E402
from tests.support.federation import (  # noqa: E402
    HTTP2_PREFACE,
    Eavesdropper,
    grpc_messages,
    http2_frames,
    protocol_bytes,
    survey_table,
)

PATIENCE_S = 300.0
"""Long enough for a machine that does much else; nothing waits for it to pass."""
IDENTIFIERS = (b"PAT-00012345", b"Zebedee", b"Quill", b"1931-07-04")
HTTP2_TYPES = {0: "data", 1: "headers", 3: "reset", 4: "settings", 6: "ping", 7: "goaway", 8: "window"}


def write_table(folder: Path, seed: int) -> pd.DataFrame:
    """A hospital's table with identifiers of patients in its columns and in its name."""
    folder.mkdir(parents=True)
    table = survey_table(200, seed)
    table["SEQN"], table["name"], table["born"] = "PAT-00012345", "Zebedee Quill", "1931-07-04"
    table.to_csv(folder / "Zebedee_Quill.csv", index=False)
    return table


def write_radiographs(folder: Path, seed: int) -> list[bytes]:
    """A hospital's radiographs (noise, so that any part of one is unlike anything else); the files' bytes."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows, boxes, files = ["image,has_fracture"], ["image,x1,y1,x2,y2"], []
    for index in range(6):
        name = f"PAT-00012345_{index}.png"
        pixels = rng.integers(0, 256, (80, 70), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / name), pixels)
        files += [(folder / "images" / name).read_bytes(), pixels.tobytes()]
        rows.append(f"{name},{index % 2}")
        if index % 2:
            boxes.append(f"{name},20,20,50,50")
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    (folder / "boxes.csv").write_text("\n".join(boxes) + "\n")
    return files


@contextmanager
def federation(
    settings: FederationSettings, folders: list[Path], out: Path, *, tls: ServerTls | None = None
) -> Iterator[list[Eavesdropper]]:
    """Server and hospitals in threads of this process, each hospital's connection through its own eavesdropper."""
    port = free_port()
    server = RoundServer(settings=settings, rules=make_rules(settings), out=out / "server")
    pem = None if tls is None else (tls.ca.read_bytes(), tls.certificate.read_bytes(), tls.key.read_bytes())
    channel = start_grpc_server(server.client_manager(), f"127.0.0.1:{port}", certificates=pem)
    ears = [Eavesdropper(("127.0.0.1", port)).__enter__() for _ in folders]
    threads = []
    for index, (folder, ear) in enumerate(zip(folders, ears, strict=True)):
        where = HospitalData(data=folder, keep=out / str(index))
        client = HospitalClient(
            identity=load_identity(out / str(index) / "key"),
            make_learner=partial(make_learner, where=where),
            out=out / str(index),
        )
        threads.append(threading.Thread(target=_take_part, args=(client, ear.port, tls), daemon=True))
        threads[-1].start()
    try:
        server.fit(1, None)
        assert server.failure is None
        server.disconnect_all_clients(timeout=10)
        for thread in threads:
            thread.join(timeout=10)
        yield ears
    finally:
        channel.stop(grace=0)
        for ear in ears:
            ear.__exit__()


def _take_part(client: HospitalClient, port: int, tls: ServerTls | None) -> None:
    join(f"127.0.0.1:{port}", client, ca=tls and tls.ca, patience_s=PATIENCE_S, done=lambda: client.finished)


def check_explained(stream: bytes, listed: list[SentMessage]) -> None:
    """Every byte that left is a listed message or the protocol's own."""
    messages = grpc_messages(stream)
    assert len(listed) - 1 <= len(messages) <= len(listed)  # the goodbye may be cut off
    for message, entry in zip(messages, listed, strict=False):
        assert len(message) == entry.message_bytes
        tensors = ClientMessage.FromString(message).fit_res.parameters.tensors
        hashes = [item.sha256 for item in entry.items if item.sha256]
        assert [hashlib.sha256(one).hexdigest() for one in tensors] == hashes
        assert 0 <= entry.envelope_bytes <= 260 + 8 * len(entry.items)
    overhead = protocol_bytes(stream)
    assert sum(map(len, messages)) + sum(overhead.values()) == len(stream)
    kinds = {HTTP2_TYPES[kind] for kind, _ in http2_frames(stream)}
    assert kinds <= {"data", "headers", "settings", "ping", "window", "reset", "goaway"}
    assert overhead.get("frames_of_type_1", 0) < 400  # the call's headers: path, host, library and its version
    assert sum(overhead.values()) < 1500 + len(stream) // 50


@pytest.mark.parametrize("kind", [ModelKind.RISK, ModelKind.RISK_LINEAR])
def test_no_row_and_no_identifier_leaves_a_hospital(tmp_path: Path, kind: ModelKind) -> None:
    learning = {"trees": 2} if kind is ModelKind.RISK else {"steps": 2}
    settings = FederationSettings(kind=kind, rounds=2, min_hospitals=2, wait_s=PATIENCE_S, learning=learning)
    folders = [tmp_path / "data" / str(index) for index in range(2)]
    tables = [write_table(folder, seed) for seed, folder in enumerate(folders)]
    with federation(settings, folders, tmp_path) as ears:
        for index, (ear, table) in enumerate(zip(ears, tables, strict=True)):
            stream = bytes(ear.upstream[0])
            assert len(ear.upstream) == 1
            check_explained(stream, read_sent(tmp_path / str(index) / "sent.jsonl"))
            assert not any(word in stream for word in IDENTIFIERS)
            for column in ("BMXBMI", "neck_t_nhanes3f", "BMXHT"):
                for value in table[column]:
                    assert np.float64(value).tobytes() not in stream
                    assert f"{value:.5f}".encode() not in stream


def test_no_image_leaves_a_hospital(tmp_path: Path) -> None:
    learning = {
        "graph": "yolov7-tiny",
        "width": 0.05,
        "base": "random",
        "parts": "all",
        "steps": 1,
        "batch_size": 2,
        "image_size": 64,
        "crop_size": 64,
    }
    settings = FederationSettings(
        kind=ModelKind.DETECTOR, rounds=1, min_hospitals=2, wait_s=PATIENCE_S, learning=learning
    )
    folders = [tmp_path / "data" / str(index) for index in range(2)]
    files = [write_radiographs(folder, seed) for seed, folder in enumerate(folders)]
    with federation(settings, folders, tmp_path) as ears:
        for index, (ear, contents) in enumerate(zip(ears, files, strict=True)):
            stream = bytes(ear.upstream[0])
            check_explained(stream, read_sent(tmp_path / str(index) / "sent.jsonl"))
            assert not any(word in stream for word in IDENTIFIERS)
            for content in contents:
                middle = content[64:-64]
                for start in range(0, len(middle) - 12, 97):
                    assert middle[start : start + 12] not in stream


def certificate(folder: Path) -> ServerTls:
    """A certificate of 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federation")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "server.pem", folder / "server.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ServerTls(ca=pem, certificate=pem, key=private)


def test_under_tls_an_eavesdropper_learns_nothing(tmp_path: Path) -> None:
    settings = FederationSettings(
        kind=ModelKind.RISK_LINEAR, rounds=1, min_hospitals=2, wait_s=PATIENCE_S, learning={"steps": 1}
    )
    folders = [tmp_path / "data" / str(index) for index in range(2)]
    for seed, folder in enumerate(folders):
        write_table(folder, seed)
    with federation(settings, folders, tmp_path, tls=certificate(tmp_path)) as ears:
        for ear in ears:
            stream = bytes(ear.upstream[0])
            assert len(stream) > 1000
            assert not stream.startswith(HTTP2_PREFACE)
            assert b"intercept" not in stream and b"signature" not in stream


def test_real_processes_survive_a_killed_server(tmp_path: Path) -> None:
    """The commands themselves: three hospitals, a server that dies after a round and is started again."""
    settings = FederationSettings(
        kind=ModelKind.RISK_LINEAR, rounds=200, min_hospitals=3, wait_s=PATIENCE_S, learning={"steps": 3}
    )
    port = free_port()
    config = write_settings(settings, tmp_path / "federation.yaml")
    out = tmp_path / "server"
    with Processes() as processes, Eavesdropper(("127.0.0.1", port)) as ear:
        server = processes.server(config, out, port)
        clients = []
        for index in range(3):
            write_table(tmp_path / "data" / str(index), index)
            hospital = SimulatedHospital(name=str(index), data=tmp_path / "data" / str(index))
            through = ear.port if index == 0 else port
            clients.append(processes.hospital(hospital, tmp_path / str(index), through, settings.kind))
        while not any(int(one.stem[-4:]) >= 1 for one in out.glob("round-*.npz")):
            assert server.poll() is None, (out / "server.log").read_text()
            time.sleep(0.01)
        assert server.poll() is None, "all rounds were over before the server could be killed"
        server.kill()
        server.wait()
        again = processes.server(config, out, port)
        assert again.wait(timeout=PATIENCE_S) == 0, (out / "server.log").read_text()
        for index, client in enumerate(clients):
            assert client.wait(timeout=PATIENCE_S) == 0, (tmp_path / str(index) / "client.log").read_text()
            assert (tmp_path / str(index) / "risk-linear.npz").is_file()
        streams = [bytes(one) for one in ear.upstream if one]
    assert len(streams) >= 2
    assert not any(word in stream for stream in streams for word in IDENTIFIERS)
    listed = read_sent(tmp_path / "0" / "sent.jsonl")
    sent = [len(message) for stream in streams for message in grpc_messages(stream)]
    assert sum(sent) <= sum(one.message_bytes for one in listed)
    assert set(sent) <= {one.message_bytes for one in listed}
