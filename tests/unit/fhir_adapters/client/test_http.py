"""One request: retries, deadlines, limits, redirects, and nothing about patients in what is said or logged."""

import asyncio
import gzip
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from fhir_adapters.client.auth import BearerAuth
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import (
    FhirServerError,
    ForbiddenError,
    GoneFromServerError,
    NotOnServerError,
    ServerAddressError,
    ServerAnswerTooLargeError,
    ServerBusyError,
    ServerContentError,
    ServerFailureError,
    ServerOutcomeError,
    ServerRedirectError,
    ServerRefusalError,
    ServerTimeoutError,
    ServerUnreachableError,
    UnauthorisedError,
)
from tests.support.fhir_double import BASE, QUICK, Script, Sleeper, client, outcome, resource

PATIENT = {"resourceType": "Patient", "id": "planted-id-4711"}
ASKED = "https://ehr.example/fhir/Patient/planted-id-4711"


def read(handler: Callable[[httpx.Request], Any], **options: Any) -> dict[str, object]:
    async def go() -> dict[str, object]:
        async with client(handler, **options) as fhir:
            return await fhir.read("Patient", "planted-id-4711")

    return asyncio.run(go())


def fails(handler: Callable[[httpx.Request], Any], error: type[FhirServerError], **options: Any) -> FhirServerError:
    with pytest.raises(error) as caught:
        read(handler, **options)
    said = str(caught.value) + caught.value.remedy
    assert "planted" not in said.lower()
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    script, sleeper = Script(httpx.Response(status), resource(PATIENT)), Sleeper()
    assert read(script, sleep=sleeper) == PATIENT
    assert sleeper.waits == [0.5]


def test_retry_after_is_kept() -> None:
    sleeper = Sleeper()
    read(Script(httpx.Response(429, headers={"retry-after": "9"}), resource(PATIENT)), sleep=sleeper)
    assert sleeper.waits == [9]


def test_a_server_that_stays_busy_is_left_alone() -> None:
    script, sleeper = Script(httpx.Response(503)), Sleeper()
    fails(script, ServerBusyError, sleep=sleeper)
    assert (len(script.requests), sleeper.waits) == (3, [0.5, 1.0])


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    script, sleeper = Script(httpx.Response(429, headers={"retry-after": "3600"})), Sleeper()
    error = fails(script, ServerBusyError, sleep=sleeper)
    assert "3600 s" in error.remedy
    assert (len(script.requests), sleeper.waits) == (1, [])


@pytest.mark.parametrize("fault", [httpx.ConnectError("to planted"), httpx.RemoteProtocolError("planted")])
def test_a_broken_connection_is_tried_again(fault: Exception) -> None:
    assert read(Script(fault, fault, resource(PATIENT))) == PATIENT
    fails(Script(fault), ServerUnreachableError)


def test_a_failing_server_is_asked_twice() -> None:
    script = Script(resource(outcome("fatal", "exception"), 500))
    assert "exception" in str(fails(script, ServerFailureError))
    assert len(script.requests) == 2
    assert read(Script(httpx.Response(500), resource(PATIENT))) == PATIENT


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ServerRefusalError),
        (401, UnauthorisedError),
        (403, ForbiddenError),
        (404, NotOnServerError),
        (410, GoneFromServerError),
        (422, ServerRefusalError),
        (501, ServerRefusalError),
    ],
)
def test_a_refusal_is_final_and_says_its_coded_reason_only(status: int, error: type[FhirServerError]) -> None:
    script = Script(resource(outcome("error", "not-supported"), status))
    assert f"({status}, not-supported)" in str(fails(script, error))
    assert len(script.requests) == 1


def test_an_outcome_with_status_200_is_an_error() -> None:
    assert "(error, processing)" in str(fails(Script(resource(outcome("error"))), ServerOutcomeError))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"<html>Plantedname</html>", headers={"content-type": "text/html"}),
        httpx.Response(200, content=json.dumps(PATIENT)),
        httpx.Response(200, content=json.dumps(PATIENT)[:-9], headers={"content-type": "application/fhir+json"}),
        httpx.Response(200, content=b"", headers={"content-type": "application/fhir+json"}),
        httpx.Response(200, content=b"[]", headers={"content-type": "application/fhir+json"}),
        httpx.Response(200, content=b"{}", headers={"content-type": "application/fhir+json"}),
        httpx.Response(200, content=b"\xff\xfe", headers={"content-type": "application/json"}),
        resource({"resourceType": "Observation", "id": "planted-id-4711"}),
    ],
)
def test_damaged_or_foreign_content_is_asked_for_once_more(answer: httpx.Response) -> None:
    script = Script(answer)
    fails(script, ServerContentError)
    assert len(script.requests) == 2
    assert read(Script(answer, resource(PATIENT))) == PATIENT


def test_a_small_answer_that_inflates_is_refused() -> None:
    bomb = gzip.compress(b'{"a":"' + b" " * 4_000_000)
    answer = httpx.Response(
        200, content=bomb, headers={"content-type": "application/fhir+json", "content-encoding": "gzip"}
    )
    script = Script(answer)
    fails(script, ServerAnswerTooLargeError, max_body_bytes=2**20)
    assert len(script.requests) == 1


def test_a_slow_server_ends_at_the_deadline() -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return resource(PATIENT)

    fails(slow, ServerTimeoutError, retries=RetryPolicy(deadline_s=0.05))


def test_a_silent_server_is_tried_again() -> None:
    assert read(Script(httpx.ReadTimeout("planted"), resource(PATIENT))) == PATIENT
    fails(Script(httpx.ReadTimeout("planted")), ServerTimeoutError)


def test_redirects_stay_on_the_server() -> None:
    moved = httpx.Response(302, headers={"location": "/fhir/r4/Patient/planted-id-4711"})
    script = Script(moved, resource(PATIENT))
    assert read(script, auth=BearerAuth.fixed("t0ken")) == PATIENT
    assert script.requests[1].headers["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize("target", ["https://other.example/Patient/planted", "http://ehr.example/fhir/Patient/planted"])
def test_redirects_to_another_host_are_not_followed(target: str) -> None:
    script = Script(httpx.Response(307, headers={"location": target}), resource(PATIENT))
    assert ".example" in str(fails(script, ServerRedirectError, auth=BearerAuth.fixed("t0ken")))
    assert len(script.requests) == 1


def test_redirects_end() -> None:
    script = Script(httpx.Response(302, headers={"location": ASKED}))
    fails(script, ServerRedirectError)
    assert len(script.requests) == 4


def test_another_host_is_asked_only_when_expected_and_without_the_token() -> None:
    script = Script(httpx.Response(200, content=b"x"))

    async def go(*, foreign: bool) -> None:
        async with client(script, auth=BearerAuth.fixed("t0ken")) as fhir:
            await fhir.get("https://files.example/planted", foreign=foreign)

    asyncio.run(go(foreign=True))
    assert "authorization" not in script.requests[0].headers
    with pytest.raises(ServerRedirectError):
        asyncio.run(go(foreign=False))
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "ehr.example/fhir",
        "ftp://ehr.example/",
        "https://",
        "https://u:p@ehr.example/fhir",
        "https://e.example/?a=1",
        "",
    ],
)
def test_addresses_that_cannot_be_used(address: str) -> None:
    with pytest.raises(ServerAddressError):
        FhirClient(address)


def test_a_token_travels_encrypted_or_not_at_all() -> None:
    with pytest.raises(ServerAddressError):
        FhirClient("http://ehr.example/fhir", auth=BearerAuth.fixed("t0ken"))
    FhirClient("http://127.0.0.1:9/fhir", auth=BearerAuth.fixed("t0ken"))
    FhirClient("http://[::1]:9/fhir", auth=BearerAuth.fixed("t0ken"))


def test_an_unchanged_resource_is_not_transferred_again() -> None:
    script = Script(resource(PATIENT, etag='W/"3"'), httpx.Response(304), resource({**PATIENT, "active": True}))

    async def go() -> list[dict[str, object]]:
        async with client(script) as fhir:
            return [await fhir.read("Patient", "planted-id-4711") for _ in range(3)]

    first, second, third = asyncio.run(go())
    assert first == second == PATIENT
    assert third["active"] is True
    assert "if-none-match" not in script.requests[0].headers
    assert [request.headers["if-none-match"] for request in script.requests[1:]] == ['W/"3"'] * 2


def test_an_id_that_is_none_is_not_sent() -> None:
    script = Script(resource(PATIENT))

    async def go() -> None:
        async with client(script) as fhir:
            await fhir.read("Patient", "../Practitioner/1")

    with pytest.raises(NotOnServerError):
        asyncio.run(go())
    assert script.requests == []


def test_logs_hold_no_address_no_token_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        read(Script(httpx.Response(503), resource(PATIENT)), auth=BearerAuth.fixed("t0ken"))
    assert "Patient 200" in caplog.text
    assert "planted" not in caplog.text
    assert "t0ken" not in caplog.text
    assert "t0ken" not in repr(client(Script(), auth=BearerAuth.fixed("t0ken"))) + repr(BearerAuth.fixed("t0ken"))


def test_traffic_is_counted() -> None:
    async def go() -> HttpClient:
        async with client(Script(httpx.Response(503), resource(PATIENT))) as fhir:
            await fhir.read("Patient", "planted-id-4711")
        return fhir

    traffic = asyncio.run(go()).traffic
    assert (traffic.requests, traffic.retries, traffic.received_bytes) == (2, 1, len(json.dumps(PATIENT)))


def test_a_stream_gives_its_pieces_and_no_other_host_the_token() -> None:
    script = Script(httpx.Response(200, content=b"line\nline\n"), httpx.Response(404))

    async def go(address: str, *, foreign: bool = False) -> bytes:
        async with (
            client(script, auth=BearerAuth.fixed("t0ken")) as fhir,
            fhir.stream(address, accept="application/fhir+ndjson", foreign=foreign) as pieces,
        ):
            return b"".join([piece async for piece in pieces])

    assert asyncio.run(go(f"{BASE}/files/1")) == b"line\nline\n"
    assert script.requests[0].headers["authorization"] == "Bearer t0ken"
    with pytest.raises(NotOnServerError):
        asyncio.run(go("https://files.example/planted", foreign=True))
    assert "authorization" not in script.requests[1].headers


def over_a_socket(answer: bytes, *, pause_s: float = 0.0) -> dict[str, object]:
    """Read from a server that sends these bytes, in pieces if there is a pause, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = 1 if pause_s else len(answer)
        for start in range(0, len(answer), size):
            writer.write(answer[start : start + size])
            await writer.drain()
            await asyncio.sleep(pause_s)
        writer.close()

    async def go() -> dict[str, object]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        policy = RetryPolicy(attempts=2, deadline_s=0.6, first_wait_s=0.01)
        async with server, FhirClient(f"http://127.0.0.1:{port}/fhir", retries=policy) as fhir:
            return await fhir.read("Patient", "planted-id-4711")

    task: Callable[[], Awaitable[dict[str, object]]] = go
    return asyncio.run(task())  # type: ignore[arg-type]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n"


def test_a_connection_cut_in_the_body() -> None:
    body = json.dumps(PATIENT).encode()
    assert over_a_socket(HEAD % len(body) + body) == PATIENT
    with pytest.raises(ServerUnreachableError, match="broke off"):
        over_a_socket(HEAD % len(body) + body[:20])


def test_a_trickle_that_never_pauses_long_ends_at_the_deadline() -> None:
    with pytest.raises(ServerTimeoutError):
        over_a_socket(HEAD % 2000 + b" " * 2000, pause_s=0.02)


def test_nobody_there() -> None:
    async def go() -> None:
        async with FhirClient("http://127.0.0.1:1/fhir", retries=QUICK, sleep=Sleeper()) as fhir:
            await fhir.capabilities()

    with pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:1"):
        asyncio.run(go())
