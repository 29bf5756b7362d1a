"""A hook call without prefetch: the record comes from a real FHIR server, open or with the token of the call."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cds.settings import Settings
from fhir_adapters.client.fhir import FhirClient
from tests.support import hooks
from tests.support.fhir_server import FhirServer, keeping_ids, running_fhir_server
from tests.support.hooks import Json, condition, draft, drug, hook_call, observation, prefetch, woman
from tests.support.server import serving

RECORD = [
    woman(81),
    condition("f1", hooks.WRIST_FRACTURE, days=40),
    drug("w1", hooks.WARFARIN),
    observation("e1", "33914-3", 27, "mL/min/{1.73_m2}"),
]
BUNDLE = keeping_ids([*RECORD, woman(60, id="p2")])


@pytest.fixture(scope="module")
def open_server() -> Iterator[FhirServer]:
    with running_fhir_server([BUNDLE]) as server:
        yield server


@pytest.fixture(scope="module")
def smart_server() -> Iterator[FhirServer]:
    with running_fhir_server([BUNDLE], smart=True) as server:
        yield server


def client_for(server: FhirServer) -> hooks.HooksClient:
    return hooks.hooks_client(
        Settings(hooks_auth="none", hooks_fhir_servers=(f"{server.url}/",), hooks_fhir_timeout_seconds=30)
    )


def order_call(server: FhirServer, values: Json | None = None, **more: Any) -> Json:
    return hook_call("order-sign", values, orders=[draft("d1", hooks.IBUPROFEN)], fhirServer=server.url, **more)


def access_token(server: FhirServer) -> str:
    """A token as the EHR would pass it on."""

    async def go() -> str:
        auth = server.authenticator()
        async with FhirClient(server.url, auth=auth) as http:
            return await auth.token(http)

    return asyncio.run(go())


def test_an_open_server(open_server: FhirServer) -> None:
    client = client_for(open_server)
    (card,) = client.cards("fracture-order-sign", order_call(open_server))
    assert card["indicator"] == "warning"
    for entry in ("Condition/f1", "MedicationRequest/w1", "Observation/e1"):
        assert entry in card["detail"]
    view = hook_call("patient-view", None, fhirServer=open_server.url)
    assert "Wrist fracture" in client.cards("fracture-risk", view)[0]["summary"]


@pytest.mark.parametrize("value", ["absent", None, {"resourceType": "OperationOutcome", "issue": []}])
def test_only_what_is_not_known_is_read(open_server: FhirServer, value: object) -> None:
    values = prefetch(*RECORD[1:], patient=RECORD[0])
    values["conditions"] = value
    if value == "absent":
        del values["conditions"]
    (card,) = client_for(open_server).cards("fracture-order-sign", order_call(open_server, values))
    assert "Condition/f1" in card["detail"]


def test_medications_by_reference_are_read(open_server: FhirServer) -> None:
    values = prefetch(RECORD[1], patient=RECORD[0])
    request = drug("w1", hooks.WARFARIN, medicationReference={"reference": "Medication/nowhere"})
    del request["medicationCodeableConcept"]
    values["medicationRequests"] = hooks.bundle([request])
    (card,) = client_for(open_server).cards("fracture-order-sign", order_call(open_server, values))
    assert "MedicationRequest/w1" in card["detail"]


def test_a_server_that_is_not_listed_hears_nothing(open_server: FhirServer) -> None:
    client = hooks.hooks_client(Settings(hooks_auth="none"))
    response = client.post("fracture-order-sign", order_call(open_server))
    assert response.status_code == 412 and "not on the list" in response.json()["detail"]


def test_a_patient_that_the_server_does_not_have(open_server: FhirServer) -> None:
    call = order_call(open_server)
    call["context"]["patientId"] = "nobody"
    response = client_for(open_server).post("fracture-order-sign", call)
    assert response.status_code == 412
    assert "nobody" not in response.text


def test_the_token_of_the_call_opens_a_closed_server(smart_server: FhirServer) -> None:
    client = client_for(smart_server)
    authorization = {
        "access_token": access_token(smart_server),
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "system/*.rs",
        "subject": "fracture-cds",
    }
    (card,) = client.cards("fracture-order-sign", order_call(smart_server, fhirAuthorization=authorization))
    assert "Condition/f1" in card["detail"]
    for wrong in (None, {**authorization, "access_token": "wrong"}):
        more = {} if wrong is None else {"fhirAuthorization": wrong}
        response = client.post("fracture-order-sign", order_call(smart_server, **more))
        assert response.status_code == 412, response.text
        assert authorization["access_token"] not in response.text


def test_over_a_socket_as_a_client_calls_it(open_server: FhirServer) -> None:
    """The whole service with its middleware: preflight, discovery, call, feedback."""
    from cds.audit import NoAuditTrail
    from cds.entrypoints.web import create_app

    settings = Settings(hooks_auth="none", store="off", audit_log=None, hooks_fhir_servers=(open_server.url,))
    origin = {"Origin": "https://sandbox.cds-hooks.org"}
    with (
        serving(create_app(settings, hooks.ENGINES, NoAuditTrail())) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=60, headers=origin) as http,
    ):
        wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
        preflight = http.options("/cds-services/fracture-risk", headers=wish)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == origin["Origin"]
        (first, *_) = http.get("/cds-services").json()["services"]
        call = hook_call(first["hook"], prefetch(*RECORD[1:], patient=RECORD[0]))
        answer = http.post(f"/cds-services/{first['id']}", json=call)
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == origin["Origin"]
        (card,) = answer.json()["cards"]
        accepted = {
            "card": card["uuid"],
            "outcome": "accepted",
            "acceptedSuggestions": [{"id": card["suggestions"][0]["uuid"]}],
            "outcomeTimestamp": "2026-12-11T00:00:00Z",
        }
        told = http.post(
            f"/cds-services/{first['id']}/feedback",
            content=json.dumps({"feedback": [accepted]}),
            headers={"content-type": "application/json"},
        )
        assert told.status_code == 200
        assert http.get("/cds-services/nothing/here").headers["access-control-allow-origin"] == origin["Origin"]
