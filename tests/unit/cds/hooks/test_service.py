"""The service over HTTP: discovery, statuses, CORS, feedback, audit; no answer repeats what was sent."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds.entrypoints.problems import PROBLEM_MEDIA_TYPE
from cds.errors import SettingsError
from cds.hooks.errors import FeedbackStoreError
from cds.hooks.feedback import JsonLinesFeedbackStore
from cds.settings import Settings
from tests.support import hooks
from tests.support.fakes import FakeParts
from tests.support.hooks import HooksClient, Json, condition, hook_call, prefetch

FRACTURE = condition("f1", hooks.WRIST_FRACTURE, days=200)
ALLOWED = {200, 400, 401, 404, 405, 412, 413, 415, 422}
SANDBOX = "https://sandbox.cds-hooks.org"


@pytest.fixture(scope="module")
def client() -> HooksClient:
    return hooks.hooks_client(Settings(hooks_auth="none", hooks_max_request_mib=1))


def problem(response: Any, status: int, code: str | None = None) -> Json:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    body: Json = response.json()
    assert body["status"] == status and body["detail"] and body["remedy"]
    assert code is None or body["code"] == code
    assert "Planted" not in response.text
    return body


def test_discovery(client: HooksClient) -> None:
    response = client.http.get("/cds-services")
    assert response.status_code == 200
    services = response.json()["services"]
    assert [(one["id"], one["hook"]) for one in services] == [
        ("fracture-risk", "patient-view"),
        ("fracture-order", "order-select"),
        ("fracture-order-sign", "order-sign"),
    ]
    # A client that keeps services by their address must not lose one.
    assert len({one["id"] for one in services}) == len(services)
    for one in services:
        assert one["title"] and one["description"]
        assert one["prefetch"]["patient"] == "Patient/{{context.patientId}}"
        for query in one["prefetch"].values():
            assert "{{context.patientId}}" in query and len(query) < 2000
            names = [pair.partition("=")[0] for pair in query.partition("?")[2].split("&") if pair]
            assert set(names) <= {"patient", "code", "_count"} and len(names) == len(set(names))


def test_codes_of_the_observations_are_asked_for(client: HooksClient) -> None:
    query = client.http.get("/cds-services").json()["services"][0]["prefetch"]["observations"]
    assert "38265-5" in query and "33914-3" in query


def test_example_of_the_specification(client: HooksClient) -> None:
    """The members that the published examples have, all at once."""
    call = {
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "fhirServer": "http://hooks.example.org:9080",
        "hook": "patient-view",
        "fhirAuthorization": {
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "user/Patient.read user/Observation.read",
            "subject": "cds-service4",
        },
        "context": {"userId": "Practitioner/example", "patientId": "p1", "encounterId": "89284"},
        "prefetch": prefetch(FRACTURE),
        "extension": {"com.example.timestamp": "2017-11-27T22:13:25Z"},
    }
    assert len(client.cards("fracture-risk", call)) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hook": "encounter-start"}, "hook"),
        ({"hook": "order-sign"}, "context.draftOrders"),
        ({"hookInstance": "no-uuid"}, "hookInstance"),
        ({"hookInstance": None}, "hookInstance"),
        ({"context": {"userId": "Practitioner/1"}}, "context.patientId"),
        ({"context": {"patientId": "Plantedname Plantedgiven"}}, "context.patientId"),
        ({"context": None}, "context"),
        ({"prefetch": ["Plantedname"]}, "prefetch"),
        ({"fhirAuthorization": {"token_type": "Bearer"}}, "access_token"),
    ],
)
def test_a_malformed_call(client: HooksClient, change: Json, why: str) -> None:
    call = {**hook_call("patient-view", prefetch(FRACTURE)), **change}
    assert why in problem(client.post("fracture-risk", call), 400)["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"Plantedname"', b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_no_json(client: HooksClient, body: bytes) -> None:
    response = client.http.post("/cds-services/fracture-risk", content=body, headers=hooks.JSON_HEADERS)
    problem(response, 400, "fhir.hooks.payload")


def test_nested_too_deeply_to_be_read(client: HooksClient) -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = {"extension": [deep]}
    call = hook_call("patient-view", prefetch({**FRACTURE, **deep}))
    problem(client.post("fracture-risk", call), 400)


def test_wrong_places(client: HooksClient) -> None:
    call = hook_call("patient-view", prefetch())
    problem(client.post("unknown", call), 404, "cds.hooks.service")
    problem(client.post("fracture-order", call), 400, "cds.hooks.hook")
    problem(client.http.get("/cds-services/fracture-risk"), 405)
    problem(client.http.post("/cds-services"), 405)
    problem(client.http.post("/cds-services/fracture-risk/analytics/1", json={}), 404)
    text = json.dumps(call)
    problem(client.http.post("/cds-services/fracture-risk", content=text, headers={"content-type": "text/plain"}), 415)
    problem(client.http.post("/cds-services/fracture-risk", content=b"x" * 1_100_000, headers=hooks.JSON_HEADERS), 413)


# --- what the service must know


@pytest.mark.parametrize("key", ["patient", "conditions", "observations", "medicationRequests"])
@pytest.mark.parametrize("value", ["absent", {"resourceType": "OperationOutcome", "issue": []}, "nonsense", 7])
def test_missing_data(client: HooksClient, key: str, value: object) -> None:
    values = prefetch(FRACTURE)
    if value == "absent":
        del values[key]
    else:
        values[key] = value
    body = problem(client.post("fracture-risk", hook_call("patient-view", values)), 412, "cds.hooks.data")
    assert key in body["detail"] and "no FHIR server" in body["detail"]


def test_null_means_none_unless_the_operator_says_otherwise(client: HooksClient) -> None:
    values = prefetch(FRACTURE)
    values["observations"] = values["medicationRequests"] = None
    call = hook_call("patient-view", values)
    assert len(client.cards("fracture-risk", call)) == 1
    strict = hooks.hooks_client(Settings(hooks_auth="none", hooks_null_prefetch="missing"))
    body = problem(strict.post("fracture-risk", call), 412)
    assert "observations" in body["detail"]
    problem(client.post("fracture-risk", hook_call("patient-view", {**values, "patient": None})), 412)


def test_missing_optional_data_is_no_reason_to_refuse(client: HooksClient) -> None:
    values = prefetch(FRACTURE)
    del values["medicationStatements"], values["familyHistory"], values["procedures"]
    assert len(client.cards("fracture-risk", hook_call("patient-view", values))) == 1


def test_no_prefetch_at_all(client: HooksClient) -> None:
    problem(client.post("fracture-risk", hook_call("patient-view", None)), 412)


@pytest.mark.parametrize(
    "server",
    ["http://169.254.169.254/latest", "http://127.0.0.1:1/fhir", "file:///etc/passwd", "https://allowed.example/fhir2"],
)
def test_a_server_that_is_not_listed_is_never_asked(server: str) -> None:
    client = hooks.hooks_client(Settings(hooks_auth="none", hooks_fhir_servers=("https://allowed.example/fhir",)))
    call = hook_call("patient-view", None, fhirServer=server)
    body = problem(client.post("fracture-risk", call), 412)
    assert "not on the list" in body["detail"] or "cannot be used" in body["detail"]
    assert server not in body["detail"]


def test_a_token_does_not_travel_unencrypted() -> None:
    client = hooks.hooks_client(Settings(hooks_auth="none", hooks_fhir_servers=("http://ehr.example/fhir",)))
    authorization = {"access_token": "Planted-token", "token_type": "Bearer"}
    call = hook_call("patient-view", None, fhirServer="http://ehr.example/fhir", fhirAuthorization=authorization)
    problem(client.post("fracture-risk", call), 412)


def test_another_patient_in_the_prefetch(client: HooksClient) -> None:
    values = prefetch(FRACTURE, patient=hooks.woman(70, id="other"))
    problem(client.post("fracture-risk", hook_call("patient-view", values)), 400)


def test_entries_of_another_patient_are_not_read(client: HooksClient) -> None:
    values = prefetch({**FRACTURE, "subject": {"reference": "Patient/other"}}, patient=hooks.woman(60))
    assert client.cards("fracture-risk", hook_call("patient-view", values)) == []


def test_part_of_a_search_is_said_to_be_a_part(client: HooksClient) -> None:
    values = prefetch(FRACTURE)
    values["conditions"]["link"] = [{"relation": "next", "url": "http://ehr.example/fhir?page=2"}]
    (card,) = client.cards("fracture-risk", hook_call("patient-view", values))
    assert "diagnoses (supplied in part only)" in card["detail"]


# --- CORS


@pytest.mark.parametrize("path", ["", "/fracture-risk", "/fracture-risk/feedback", "/unknown"])
def test_preflight(client: HooksClient, path: str) -> None:
    response = client.http.options(
        f"/cds-services{path}",
        headers={
            "Origin": SANDBOX,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
            "Access-Control-Request-Private-Network": "true",
        },
    )
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == SANDBOX
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed and "content-type" in allowed
    assert response.headers["access-control-allow-private-network"] == "true"


def test_every_answer_may_be_read_by_the_listed_origin(client: HooksClient) -> None:
    call = hook_call("patient-view", None)
    for response in (
        client.http.get("/cds-services", headers={"Origin": SANDBOX}),
        client.post("fracture-risk", call, Origin=SANDBOX),
        client.post("unknown", call, Origin=SANDBOX),
        client.http.get("/cds-services/a/b/c", headers={"Origin": SANDBOX}),
    ):
        assert response.headers["access-control-allow-origin"] == SANDBOX
    other = client.http.get("/cds-services", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


# --- feedback and audit


def item(**change: Any) -> Json:
    return {
        "card": "4e0a3a1e-3283-4575-ab82-028d55fe2719",
        "outcome": "overridden",
        "overrideReason": {
            "reason": {"code": "declined", "system": "urn:fracture-cds:card-override"},
            "userComment": "Plantedname does not want it",
        },
        "outcomeTimestamp": "2026-12-11T00:00:00Z",
        **change,
    }


def feedback(client: HooksClient, *items: Json) -> Any:
    return client.http.post("/cds-services/fracture-risk/feedback", json={"feedback": list(items)})


def test_feedback_is_kept() -> None:
    client = hooks.hooks_client()
    accepted = item(outcome="accepted", acceptedSuggestions=[{"id": "e56e1945-20b3-4393-8503-a1a20fd73152"}])
    del accepted["overrideReason"]
    assert feedback(client, item(), accepted, item(overrideReason=None)).status_code == 200
    first, second, third = client.feedback.items
    assert (first.outcome, first.reason_code) == ("overridden", "declined")
    assert first.comment == "Plantedname does not want it" and "Planted" not in repr(first)
    assert second.accepted == ("e56e1945-20b3-4393-8503-a1a20fd73152",)
    assert third.reason_code is None
    (entry,) = client.audit.entries
    assert entry.outcome == "ok" and "Planted" not in repr(entry)


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "ignored"},
        {"outcome": "accepted", "acceptedSuggestions": []},
        {"outcomeTimestamp": "yesterday"},
        {"outcomeTimestamp": "2026-12-11T00:00:00"},
        {"card": ""},
        {"overrideReason": {"userComment": "x" * 5000}},
    ],
)
def test_malformed_feedback(client: HooksClient, change: Json) -> None:
    problem(feedback(client, item(**change)), 400)
    problem(feedback(client), 400)


def test_feedback_of_an_unknown_service(client: HooksClient) -> None:
    response = client.http.post("/cds-services/unknown/feedback", json={"feedback": [item()]})
    problem(response, 404, "cds.hooks.service")


def test_issued_cards_are_noted_without_the_patient() -> None:
    client = hooks.hooks_client()
    call = hook_call("patient-view", prefetch(FRACTURE))
    (card,) = client.cards("fracture-risk", call)
    (noted,) = client.feedback.cards
    assert noted.card == card["uuid"] and noted.hook_instance == call["hookInstance"]
    assert "fragility_fracture_without_dxa_or_treatment" in noted.rules
    assert dict(noted.suggestions) == {one["uuid"]: one["label"] for one in card["suggestions"]}
    assert "p1" not in repr(noted).replace(noted.card, "").replace(noted.hook_instance, "").split()


def test_lines_are_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "feedback.jsonl"
    client = hooks.hooks_client()
    client.cards("fracture-risk", hook_call("patient-view", prefetch(FRACTURE)))
    feedback(client, item())
    store = JsonLinesFeedbackStore(path)
    store.issued(client.feedback.cards)
    store.keep(client.feedback.items)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["line"] for line in lines] == ["issued", "feedback"]
    assert lines[0]["kind"] == "fracture-risk"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = hooks.hooks_client()
    feedback(client, item())
    store = JsonLinesFeedbackStore(tmp_path / "feedback.jsonl")
    store.keep(client.feedback.items)
    before = (tmp_path / "feedback.jsonl").read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    with pytest.raises(FeedbackStoreError):
        store.keep(client.feedback.items)
    assert (tmp_path / "feedback.jsonl").read_bytes() == before


def test_every_call_leaves_one_audit_record() -> None:
    client = hooks.hooks_client()
    client.post("fracture-risk", hook_call("patient-view", prefetch(FRACTURE)))
    client.post("fracture-risk", hook_call("patient-view", None))
    client.post("unknown", hook_call("patient-view", None))
    client.http.post("/cds-services/fracture-risk", content=b"{", headers=hooks.JSON_HEADERS)
    client.http.post("/cds-services/fracture-risk", content=b"{", headers={"content-type": "text/plain"})
    outcomes = [entry.outcome for entry in client.audit.entries]
    assert outcomes == ["ok", "cds.hooks.data", "cds.hooks.service", "fhir.hooks.payload", "cds.hooks.media_type"]
    first = client.audit.entries[0]
    assert first.record_sha256 and first.actor == "hooks:testclient"
    assert any(one.startswith("evidence@") for one in first.model_versions)


def test_no_card_without_an_audit_record() -> None:
    from cds.errors import AuditError

    class Full:
        def record(self, entry: object) -> None:
            raise AuditError("The audit log cannot be written.", remedy="Free disk space.")

    client = hooks.hooks_client(audit=Full())
    problem(client.post("fracture-risk", hook_call("patient-view", prefetch(FRACTURE))), 503)


def test_an_error_of_an_engine_says_nothing_about_the_patient() -> None:
    parts = FakeParts(fail_record=RuntimeError("Plantedname"))
    client = hooks.hooks_client(engines=replace(parts.engines()))
    problem(client.post("fracture-risk", hook_call("patient-view", prefetch(FRACTURE))), 500, "cds.internal")


def test_an_open_service_stays_on_the_loopback_address() -> None:
    with pytest.raises(SettingsError):
        hooks.hooks_client(Settings(hooks_auth="none", host="0.0.0.0"))
    hooks.hooks_client(Settings(hooks_auth="jwt", host="0.0.0.0"))


# --- fuzz

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8), st.just("Plantedname")
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["resourceType", "id", "code", "coding", "entry", "resource", "x"]), inner),
    ),
    max_leaves=8,
)
SERVICES = st.sampled_from(["fracture-risk", "fracture-order", "fracture-order-sign", "nobody"])
TARGETS = st.sampled_from(
    [
        ("hook",),
        ("hookInstance",),
        ("context",),
        ("prefetch",),
        ("fhirServer",),
        ("fhirAuthorization",),
        ("context", "patientId"),
        ("context", "selections"),
        ("context", "draftOrders"),
        ("context", "draftOrders", "entry"),
        ("context", "draftOrders", "entry", 0),
        ("context", "draftOrders", "entry", 0, "resource"),
        ("context", "draftOrders", "entry", 0, "resource", "medicationCodeableConcept"),
        ("context", "draftOrders", "entry", 0, "resource", "dosageInstruction"),
        ("context", "draftOrders", "entry", 0, "resource", "subject"),
        ("context", "draftOrders", "entry", 0, "resource", "id"),
        ("context", "draftOrders", "entry", 1, "resource", "supportingInfo"),
        ("context", "draftOrders", "entry", 1, "resource", "code"),
        ("prefetch", "patient"),
        ("prefetch", "patient", "birthDate"),
        ("prefetch", "conditions"),
        ("prefetch", "conditions", "entry"),
        ("prefetch", "conditions", "entry", 0, "resource"),
        ("prefetch", "conditions", "entry", 0, "resource", "onsetDateTime"),
        ("prefetch", "conditions", "entry", 0, "resource", "code"),
        ("prefetch", "conditions", "link"),
        ("prefetch", "observations", "entry"),
        ("prefetch", "medicationRequests", "entry"),
    ]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    service=SERVICES,
    hook=st.sampled_from(["patient-view", "order-select", "order-sign"]),
    changes=st.lists(st.tuples(TARGETS, ANYTHING), max_size=2),
)
def test_whatever_comes_is_answered_in_order(
    client: HooksClient, service: str, hook: str, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    orders = [hooks.draft("d1", hooks.IBUPROFEN, "x", dosageInstruction=[{}]), hooks.radiograph_order()]
    call: Any = hook_call(hook, prefetch(FRACTURE), orders=orders)
    for path, value in changes:
        put(call, path, value)
    assert_orderly(client.post(service, call))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.binary(max_size=60), ANYTHING.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_answered_in_order(client: HooksClient, body: bytes) -> None:
    for path in ("fracture-risk", "fracture-order", "fracture-risk/feedback"):
        assert_orderly(client.http.post(f"/cds-services/{path}", content=body, headers=hooks.JSON_HEADERS))


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    """Replace one place, if it is still there."""
    for step in path[:-1]:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(value, dict) or (isinstance(value, list) and isinstance(path[-1], int) and path[-1] < len(value)):
        value[path[-1]] = new


def assert_orderly(response: Any) -> None:
    assert response.status_code in ALLOWED, response.text
    if response.status_code != 200:
        problem(response, response.status_code)
    elif response.content:
        assert set(response.json()) == {"cards"}
