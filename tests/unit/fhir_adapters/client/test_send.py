import asyncio
import json
from typing import Any

import httpx
import pytest

from fhir_adapters.client.auth import scopes
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.client.send import Sent, outgoing, send
from fhir_adapters.errors import (
    ForbiddenError,
    NotConfirmedError,
    NotOnServerError,
    NotSendableError,
    ServerBusyError,
    ServerRefusalError,
)

Json = dict[str, Any]
FHIR = {"content-type": "application/fhir+json"}


def entry(kind: str = "Observation", **resource: Any) -> Json:
    return {
        "fullUrl": "urn:uuid:1",
        "resource": {"resourceType": kind, **resource},
        "request": {"method": "POST", "url": kind, "ifNoneExist": "_tag=a|b"},
    }


def bundle(*entries: Json, **changes: Any) -> bytes:
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}
    return json.dumps(whole | changes).encode()


GOOD = bundle(
    entry("Device"),
    entry(subject={"reference": "Patient/p1"}),
    entry("DetectedIssue", patient={"reference": "Patient/p1"}),
)


def test_what_is_about_to_leave() -> None:
    found = outgoing(GOOD)
    assert (found.patient_id, found.types, found.entries) == ("p1", ("DetectedIssue", "Device", "Observation"), 3)


def _method(one: Json) -> Json:
    return one | {"request": one["request"] | {"method": "PUT"}}


def _unconditional(one: Json) -> Json:
    return one | {"request": {"method": "POST", "url": "Observation"}}


FOR_P1 = entry(subject={"reference": "Patient/p1"})


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not a FHIR transaction"),
        (bundle(), "not a FHIR transaction"),
        (bundle(FOR_P1, type="batch"), "not a FHIR transaction"),
        (bundle(FOR_P1, resourceType="Parameters"), "not a FHIR transaction"),
        (bundle(_method(FOR_P1)), "stored twice"),
        (bundle(_unconditional(FOR_P1)), "stored twice"),
        (bundle(entry()), "no patient"),
        (bundle(entry(subject={"type": "Patient", "display": "Unidentified"})), "no patient"),
        (bundle(FOR_P1, entry(patient={"reference": "Patient/p2"})), "several patients"),
    ],
)
def test_what_may_not_leave(raw: bytes, words: str) -> None:
    with pytest.raises(NotSendableError, match=words) as refused:
        outgoing(raw)
    assert "p1" not in str(refused.value)


def answer(*statuses: str, kind: str = "transaction-response") -> httpx.Response:
    entries = [
        {"response": {"status": one, "location": f"http://ehr.example/fhir/Observation/{place}/_history/1"}}
        for place, one in enumerate(statuses)
    ]
    return httpx.Response(200, json={"resourceType": "Bundle", "type": kind, "entry": entries}, headers=FHIR)


def sent(*posts: httpx.Response | Exception, patient: int = 200) -> tuple[Sent, int]:
    """What `send` makes of these answers to its POSTs, and how many it took."""
    waiting = list(posts)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(patient, json={"resourceType": "Patient", "id": "p1"}, headers=FHIR)
        assert request.url.path.rstrip("/") == "/fhir"
        assert request.headers["content-type"] == "application/fhir+json"
        assert request.content == GOOD
        one = waiting.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async def sleep(seconds: float) -> None: ...

    async def go() -> Sent:
        client = FhirClient(
            "http://127.0.0.1/fhir", transport=httpx.MockTransport(handle), retries=RetryPolicy(attempts=2), sleep=sleep
        )
        async with client:
            return await send(client, outgoing(GOOD))

    return asyncio.run(go()), len(posts) - len(waiting)


def test_every_entry_is_confirmed_and_placed() -> None:
    found, _ = sent(answer("201 Created", "200 OK", "201"))
    assert (found.created, found.found) == (2, 1)
    assert found.locations == ("Observation/0", "Observation/1", "Observation/2")


def test_a_lost_answer_is_asked_for_again() -> None:
    found, posts = sent(httpx.ReadTimeout("lost"), answer("200", "200", "200"))
    assert (found.created, found.found, posts) == (0, 3, 2)


@pytest.mark.parametrize(
    "reply", [answer("201", "201"), answer("201", "201", "412"), answer("201", "201", "201", kind="batch-response")]
)
def test_an_answer_that_confirms_less_is_no_success(reply: httpx.Response) -> None:
    with pytest.raises(NotConfirmedError):
        sent(reply)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (403, ForbiddenError, "system/<type>.crs"),
        (400, ServerRefusalError, "Nothing was stored"),
        (412, ServerRefusalError, "Nothing was stored"),
        (422, ServerRefusalError, "Nothing was stored"),
    ],
)
def test_a_refusal_says_that_nothing_was_stored(status: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as refused:
        sent(httpx.Response(status, headers=FHIR, json={"resourceType": "OperationOutcome", "issue": []}))
    assert words in getattr(refused.value, "remedy")  # noqa: B009 - of every error of the package


def test_a_busy_server_is_left_alone_in_the_end() -> None:
    with pytest.raises(ServerBusyError):
        sent(httpx.Response(503), httpx.Response(503))


def test_nobody_there_stores_nothing() -> None:
    with pytest.raises(NotOnServerError) as missing:
        sent(patient=404)
    assert "Nothing was stored" in missing.value.remedy


def test_scopes_of_a_client_that_creates() -> None:
    assert scopes(("Patient",), {}, created=("Goal",)) == "system/Patient.rs system/Goal.crs"
    old: Json = {"capabilities": ["permission-v1"]}
    assert scopes(("Patient",), old, created=("Goal",)) == "system/Patient.read system/Goal.read system/Goal.write"
