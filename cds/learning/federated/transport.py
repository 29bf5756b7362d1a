"""Flower's channel: gRPC in both directions, opened by the hospital, so that a hospital needs no open port.

Flower also offers SuperLink and SuperNode. With those the server ships the code that each hospital runs, which no
hospital should accept from a server; here a hospital runs only the program it installed, and the server sends weights
and settings. That is Flower's `start_server` and `start_client`, kept for this use in the pinned release.

* Beyond loopback the channel is refused without TLS, and the server without an allow-list of hospitals' keys.
* Flower's telemetry is switched off before Flower is imported, and its log is held at errors.
"""

import ipaddress
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cds.learning.federated.errors import InsecureChannelError, ServerLostError, SettingsRefusedError

if TYPE_CHECKING:
    from flwr.client import Client
    from flwr.server import Server

RETRY_S = 0.5
"""Pause between two attempts to reach the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """PEM files of the server."""

    ca: Path
    certificate: Path
    key: Path


def quiet_flower() -> None:
    """No telemetry, no chatter. To be called before anything else of Flower is imported.

    Raises:
        SettingsRefusedError: Flower is not installed.
    """
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    try:
        from flwr.supercore import telemetry
    except ImportError as error:
        raise SettingsRefusedError(
            "Flower is not installed", remedy="Install the extra: pip install 'fracture-cds[federated]'."
        ) from error
    # The switch alone still writes a random identifier of the installation into the home folder.
    telemetry.create_event = _no_event
    logging.getLogger("flwr").setLevel(logging.CRITICAL)


def _no_event(event_type: object, event_details: object) -> str:
    del event_type, event_details
    return "disabled"


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT means this machine only.

    Raises:
        SettingsRefusedError: it is not HOST:PORT.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsRefusedError("the address is not HOST:PORT", remedy="Give for instance 127.0.0.1:8443.")
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_server(address: str, *, tls: ServerTls | None, has_allow_list: bool) -> None:
    """Refuse a server that others could listen to or join unknown.

    Raises:
        InsecureChannelError: not loopback, and no TLS or no allow-list.
    """
    if is_loopback(address):
        return
    if tls is None or not has_allow_list:
        raise InsecureChannelError(
            "beyond this machine a federation needs TLS and an allow-list of hospitals' keys",
            remedy="Give --tls-ca, --tls-certificate, --tls-key and --allow, or listen on 127.0.0.1.",
        )


def check_client(address: str, *, ca: Path | None) -> None:
    """Refuse to send to another machine in the clear.

    Raises:
        InsecureChannelError: not loopback and no certificate to know the server by.
    """
    if not is_loopback(address) and ca is None:
        raise InsecureChannelError(
            "a hospital does not send its updates to another machine without TLS",
            remedy="Give --tls-ca, the certificate that the server is known by.",
        )


def serve(address: str, server: "Server", *, tls: ServerTls | None) -> None:
    """Run a server until its rounds are done.

    Args:
        address: HOST:PORT, checked by `check_server`.
        server: the rounds.
        tls: None on loopback only.
    """
    from flwr.server import ServerConfig, start_server

    certificates = None
    if tls is not None:
        certificates = (tls.ca.read_bytes(), tls.certificate.read_bytes(), tls.key.read_bytes())
    start_server(server_address=address, server=server, config=ServerConfig(num_rounds=1), certificates=certificates)


def join(address: str, client: "Client", *, ca: Path | None, patience_s: float, done: Callable[[], bool]) -> None:
    """Take part until the server says goodbye, and come back when the connection breaks.

    Args:
        address: HOST:PORT, checked by `check_client`.
        client: the hospital.
        ca: certificate the server is known by; None on loopback only.
        patience_s: how long to try to reach a server that does not answer.
        done: whether the federation has ended for this hospital.

    Raises:
        ServerLostError: the server did not answer for that long.
    """
    from flwr.client import start_client
    from grpc import RpcError  # type: ignore[import-untyped]

    certificate = None if ca is None else ca.read_bytes()
    last_heard = time.monotonic()
    while True:
        begun = time.monotonic()
        try:
            start_client(
                server_address=address,
                client=client,
                insecure=certificate is None,
                root_certificates=certificate,
            )
            return
        except (RpcError, StopIteration):
            if done():
                return
            if time.monotonic() - begun > 2 * RETRY_S + 1.0:
                last_heard = time.monotonic()
            if time.monotonic() - last_heard > patience_s:
                raise ServerLostError(
                    "the federation's server does not answer",
                    remedy="Check address, port and network; then start this command again.",
                ) from None
            time.sleep(RETRY_S)
