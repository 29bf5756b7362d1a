"""A real FHIR R4 server on a free port of the loopback address, open or with SMART Backend Services.

Use: ``with running_fhir_server([bundle], smart=True) as server: FhirClient(server.url, auth=server.authenticator())``.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fhir_adapters.client.auth import BackendServices
from fhir_adapters.client.keys import jwks, load_key

CLIENT_ID = "fracture-cds-test"
RSA_CLIENT_ID = "fracture-cds-test-rsa"
LOADER_TOKEN = "loads-the-bundles"
LOADER = {"Authorization": f"Bearer {LOADER_TOKEN}", "Content-Type": "application/fhir+json"}
START_SECONDS = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirServer:
    """A running server."""

    url: str
    """``[base]``: http://127.0.0.1:PORT/fhir."""
    folder: Path
    """Its data and keys; removed with it."""
    client_id: str | None = None
    """Registered SMART client; None for an open server."""
    key_file: Path | None = None
    """The client's P-384 private key (ES384), PEM."""
    rsa_key_file: Path | None = None
    """The RSA private key (RS384) of its twin, PEM."""

    def authenticator(self, *, use_rsa: bool = False, **options: Any) -> BackendServices:
        """Credentials of the registered client, or of its twin with the RSA key."""
        path = self.rsa_key_file if use_rsa else self.key_file
        assert path is not None
        return BackendServices(RSA_CLIENT_ID if use_rsa else CLIENT_ID, load_key(path), **options)

    def load(self, bundle: Mapping[str, Any]) -> None:
        """Post a transaction or batch Bundle."""
        posted = httpx.post(self.url, content=json.dumps(bundle), headers=LOADER, timeout=120, trust_env=False)
        assert posted.status_code == 200, posted.text[:2000]

    def put(self, resource: Mapping[str, Any]) -> None:
        """Create or replace one resource under its own id."""
        address = f"{self.url}/{resource['resourceType']}/{resource['id']}"
        done = httpx.put(address, content=json.dumps(resource), headers=LOADER, timeout=30, trust_env=False)
        assert done.status_code in {200, 201}, done.text[:2000]


def keeping_ids(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A transaction that stores resources under the ids they have (PUT)."""
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{resource['id']}",
                "resource": resource,
                "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
            }
            for resource in resources
        ],
    }


@contextmanager
def running_fhir_server(
    bundles: Iterable[Mapping[str, Any]] = (),
    *,
    smart: bool = False,
    scopes: str = "system/*.rs",
    token_lifetime_s: int = 3600,
    behaviour: Mapping[str, Any] | None = None,
) -> Iterator[FhirServer]:
    """Start a server, load Bundles, stop it.

    Args:
        bundles: transaction or batch Bundles.
        smart: whether it wants tokens of SMART Backend Services.
        scopes: what the registered client may ask for.
        token_lifetime_s: life of an access token in seconds.
        behaviour: the server's own ``server_behaviour`` settings.
    """
    with tempfile.TemporaryDirectory(prefix="fhir-server-") as name:
        folder = Path(name)
        keys = _new_keys(folder) if smart else ()
        port = _free_port()
        root = f"http://127.0.0.1:{port}"
        auth: dict[str, Any] = {"types": ["none"]}
        if keys:
            clients = [
                {"client_id": name, "jwks": jwks([load_key(path)]), "scopes": scopes}
                for name, path in zip((CLIENT_ID, RSA_CLIENT_ID), keys, strict=True)
            ]
            auth = {
                "types": ["smart", "bearer"],
                "tokens": [LOADER_TOKEN],
                "smart_clients": clients,
                "token_lifetime": token_lifetime_s,
            }
        settings = {
            "host": "127.0.0.1",
            "port": port,
            "base_url": f"{root}/fhir",
            "data_dir": str(folder / "data"),
            "own_private_key_path": str(folder / "server.pem"),
            "server_auth": auth,
            "server_behaviour": dict(behaviour or {}),
            "validation": {"inbound": "off"},
            "simulator": {"enabled": False},
            "log_inbound": False,
        }
        (folder / "data").mkdir()
        (folder / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        with _process(folder, root):
            server = FhirServer(
                url=f"{root}/fhir",
                folder=folder,
                client_id=CLIENT_ID if smart else None,
                key_file=keys[0] if keys else None,
                rsa_key_file=keys[1] if keys else None,
            )
            for bundle in bundles:
                server.load(bundle)
            yield server


@contextmanager
def _process(folder: Path, root: str) -> Iterator[None]:
    log = folder / "server.log"
    program = "from sekmet.cli import app; app()"
    command = [sys.executable, "-c", program, "serve", "-c", str(folder / "settings.yaml")]
    environment = {**os.environ, "SEKMET_CONFIG": str(folder / "settings.yaml"), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream, env=environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(root):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the FHIR server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _answers(root: str) -> bool:
    try:
        return httpx.get(f"{root}/fhir/metadata", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _new_keys(folder: Path) -> tuple[Path, Path]:
    """An elliptic and an RSA key."""
    paths = folder / "client-ec.pem", folder / "client-rsa.pem"
    made = ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)
    for path, key in zip(paths, made, strict=True):
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)
    return paths
