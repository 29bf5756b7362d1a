"""What was judged is what is connected to: names that change their mind, hostile redirects, addresses in disguise."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from cds.errors import SettingsError
from cds.fhir_source import build_fhir_client
from cds.hooks.trust import key_reader
from cds.security.addresses import Reach, reach_of
from cds.security.pinning import PinnedTransport, named_by_requests, named_by_servers
from cds.settings import Settings
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import FhirError, ServerAddressError, ServerCertificateError, ServerRedirectError
from tests.support import hooks
from tests.support.needs import missing

PUBLIC, METADATA = "93.184.216.34", "169.254.169.254"
NAME = "ehr.example"
BASE = f"https://{NAME}/fhir"
ONCE = RetryPolicy(attempts=1, failure_attempts=1)


class Rebinding:
    """A resolver that a stranger runs: it answers with the next address each time it is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str) -> tuple[str, ...]:
        assert host == NAME
        self.asked += 1
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0],)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Where the network would have been entered: address, ``Host``, name for TLS; the answer is always a 404."""
    seen: list[tuple[str, str, str]] = []

    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, request.headers["host"], str(request.extensions.get("sni_hostname"))))
        return httpx.Response(404, request=request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    monkeypatch.setattr("cds.security.pinning.getproxies", dict)
    return seen


def get(client: HttpClient, path: str, times: int = 1) -> None:
    async def go() -> None:
        async with client:
            for _ in range(times):
                await client.get(path, accept="*/*", ok=(404,), foreign=True)

    asyncio.run(go())


def test_a_name_is_looked_up_once_and_that_address_is_connected_to(connections: list[Any]) -> None:
    resolver = Rebinding(PUBLIC, "127.0.0.1")
    transport = named_by_requests([BASE], Settings(), resolver=resolver)
    get(HttpClient(BASE, transport=transport), "Patient")
    assert resolver.asked == 1
    assert connections == [(PUBLIC, NAME, NAME)]


@pytest.mark.parametrize("second", ["127.0.0.1", METADATA, "10.0.0.1", "::1", f"::ffff:{METADATA}", "2852039166"])
def test_a_name_that_rebinds_is_refused_at_its_next_request(connections: list[Any], second: str) -> None:
    transport = named_by_requests([BASE], Settings(), resolver=Rebinding(PUBLIC, second))
    with pytest.raises(ServerAddressError):
        get(HttpClient(BASE, transport=transport), "Patient", times=2)
    assert [one[0] for one in connections] == [PUBLIC]


def test_private_hosts_are_named_by_the_operator(connections: list[Any]) -> None:
    with pytest.raises(ServerAddressError) as refused:
        get(HttpClient(BASE, transport=named_by_requests([BASE], Settings(), resolver=Rebinding("10.1.2.3"))), "x")
    assert "FRACTURE_CDS_PRIVATE_HOSTS" in refused.value.remedy
    own = Settings(private_hosts=(NAME,))
    get(HttpClient(BASE, transport=named_by_requests([BASE], own, resolver=Rebinding("10.1.2.3"))), "x")
    assert connections == [("10.1.2.3", NAME, NAME)]
    for inside in ("127.0.0.1", METADATA, "0.0.0.0", "fe80::1%eth0"):
        with pytest.raises(ServerAddressError):
            get(HttpClient(BASE, transport=named_by_requests([BASE], own, resolver=Rebinding(inside))), "x")
    assert len(connections) == 1


def test_every_address_of_a_name_is_judged_and_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        tried.append(request.url.host)
        if len(tried) == 1:
            raise httpx.ConnectError("no route")
        return httpx.Response(404, request=request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    settings = Settings()
    both = named_by_requests([BASE], settings, resolver=lambda _: (PUBLIC, "2606:2800:220:1::1"))
    get(HttpClient(BASE, transport=both), "Patient")
    assert tried == [PUBLIC, "2606:2800:220:1::1"]
    mixed = named_by_requests([BASE], settings, resolver=lambda _: (PUBLIC, "10.0.0.1"))
    with pytest.raises(ServerAddressError):
        get(HttpClient(BASE, transport=mixed), "Patient")
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("2130706433", Reach.INSIDE), ("0x7f.1", Reach.INSIDE), ("0177.0.0.1", Reach.INSIDE), ("127.1", Reach.INSIDE),
        ("2852039166", Reach.INSIDE), ("[::ffff:a9fe:a9fe]", Reach.INSIDE), ("localhost.", Reach.INSIDE),
        ("x.LOCALHOST", Reach.INSIDE), ("167772165", Reach.PRIVATE), ("[64:ff9b::a00:1]", Reach.PRIVATE),
        ("[fd00::1]", Reach.PRIVATE), ("100.64.0.1", Reach.PRIVATE), (PUBLIC, Reach.PUBLIC),
        ("[2606:2800:220:1::1]", Reach.PUBLIC), (NAME, None), ("localhost.example", None),
    ],
)  # fmt: skip
def test_every_writing_of_an_address_is_understood(address: str, reach: Reach | None) -> None:
    assert reach_of(address) is reach


@pytest.mark.parametrize(
    "server",
    [
        f"https://{NAME}@{METADATA}/fhir", f"https://{METADATA}#@{NAME}/fhir", f"https://{NAME}.evil.example/fhir",
        f"https://{NAME}:443@evil.example/fhir", f"https://{NAME}\\@evil.example/fhir", f"https://{NAME}/fhir/../admin",
        f"https://{NAME}/fhir?x=https://evil.example", f"https://user:word@{NAME}/fhir", "https://2852039166/fhir",
        f"https://[::ffff:{METADATA}]/fhir", f"https://{NAME}%00.evil.example/fhir", f"http://{NAME}/fhir",
    ],
)  # fmt: skip
def test_no_trick_of_writing_makes_a_hook_ask_another_server(connections: list[Any], server: str) -> None:
    client = hooks.hooks_client(Settings(hooks_auth="none", hooks_fhir_servers=(BASE,)))
    answer = client.post("fracture-risk", hooks.hook_call("patient-view", None, fhirServer=server))
    assert answer.status_code == 412
    assert connections == []


@pytest.mark.parametrize(("address", "asked"), [(METADATA, 0), ("10.0.0.1", 0), ("127.0.0.1", 0), (PUBLIC, 1)])
def test_a_hook_asks_a_listed_server_only_where_it_should_be(
    connections: list[Any], monkeypatch: pytest.MonkeyPatch, address: str, asked: int
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(None, None, None, None, (address, 0))])
    client = hooks.hooks_client(Settings(hooks_auth="none", hooks_fhir_servers=(BASE,)))
    answer = client.post("fracture-risk", hooks.hook_call("patient-view", None, fhirServer=BASE))
    assert answer.status_code == 412
    assert min(len(connections), 1) == asked
    assert {one[0] for one in connections} <= {PUBLIC}


def test_a_key_set_is_asked_for_only_where_it_should_be(
    connections: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = iter([METADATA, PUBLIC])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(None, None, None, None, (next(places), 0))])
    read = key_reader(Settings())
    for expected in (0, 1):
        with pytest.raises(FhirError):
            asyncio.run(read(f"https://{NAME}/jwks.json"))
        assert len(connections) == expected


def test_what_a_server_points_to_is_not_this_machine_nor_its_link(
    connections: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"files.example": "10.0.0.9", "evil.example": METADATA, NAME: "10.0.0.1"}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *_, **__: [(None, None, None, None, (known.get(host, host), 0))]
    )
    settings = Settings(fhir_server=BASE)
    for place in ("https://evil.example/x", f"http://{METADATA}/latest", "http://localhost:9/x", "http://2130706433/x"):
        with pytest.raises(ServerAddressError):
            get(build_fhir_client(settings), place)
        with pytest.raises(ServerAddressError):
            get(build_fhir_client(settings).beside(place), "studies")
    assert connections == []
    get(build_fhir_client(settings), "https://files.example/picture")
    assert connections == [("10.0.0.9", "files.example", "files.example")]


def test_proxies_and_local_servers_keep_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds.security.pinning.getproxies", dict)
    assert named_by_servers("127.0.0.1") is None
    assert named_by_servers(NAME) is not None
    monkeypatch.setattr("cds.security.pinning.getproxies", lambda: {"https": "http://proxy.example:3128"})
    assert named_by_servers(NAME) is None
    with pytest.raises(SettingsError):
        named_by_requests(["ftp://x"], Settings())


# --- with TLS and sockets


class _Answers(BaseHTTPRequestHandler):
    seen: list[tuple[str, str]]
    location: str | None = None

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Host"]))
        self.send_response(200 if self.location is None else 302)
        if self.location is not None:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


Server = Callable[[str | None], tuple[int, list[tuple[str, str]]]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the name, which is its own authority, with its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return folder / "both.pem"


@pytest.fixture
def server(authority: Path) -> Iterator[Server]:
    running: list[HTTPServer] = []

    def start(location: str | None) -> tuple[int, list[tuple[str, str]]]:
        handler = type("Handler", (_Answers,), {"seen": [], "location": location})
        made = HTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority)
        made.socket = context.wrap_socket(made.socket, server_side=True)
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        running.append(made)
        return made.server_port, handler.seen  # type: ignore[attr-defined]

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def trust(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


def test_tls_verifies_the_name_and_not_the_address(server: Server, authority: Path) -> None:
    port, seen = server(None)

    def ask(name: str) -> None:
        transport = PinnedTransport(lambda _: ("127.0.0.1",), verify=trust(authority))
        get_ok(HttpClient(f"https://{name}:{port}/fhir", transport=transport, retries=ONCE))

    ask(NAME)
    assert seen == [("/fhir/Patient", f"{NAME}:{port}")]
    with pytest.raises(ServerCertificateError):  # the certificate is another name's
        ask("other.example")
    assert len(seen) == 1


def test_a_redirect_to_another_host_is_not_followed(server: Server, authority: Path) -> None:
    port, seen = server(f"https://{METADATA}/latest")
    transport = PinnedTransport(lambda _: ("127.0.0.1",), verify=trust(authority))
    with pytest.raises(ServerRedirectError):
        get_ok(HttpClient(f"https://{NAME}:{port}/fhir", transport=transport, retries=ONCE))
    assert len(seen) == 1


def test_a_redirect_out_of_the_base_is_not_followed(connections: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        connections.append(request.url.path)
        return httpx.Response(302, headers={"Location": "/admin"}, request=request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    transport = named_by_requests([BASE], Settings(), resolver=Rebinding(PUBLIC))
    with pytest.raises(ServerAddressError):
        get_ok(HttpClient(BASE, transport=transport))
    assert connections == ["/fhir/Patient"]


def get_ok(client: HttpClient) -> None:
    async def go() -> None:
        async with client:
            await client.get("Patient", accept="*/*", ok=(200,))

    asyncio.run(go())
