"""The wire of CDS Hooks: what a call may look like, what a card may not, and what prefetched values are worth."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from fhir_adapters.cds_hooks.orders import as_taken, draft_orders, is_limb_radiograph, order_of
from fhir_adapters.cds_hooks.prefetch import TEMPLATES, Supply, bundle_of, judge
from fhir_adapters.cds_hooks.request import parse_feedback, parse_hook
from fhir_adapters.cds_hooks.response import Action, ActionType, Card, HookResponse, Indicator, Link, LinkType, as_json
from fhir_adapters.cds_hooks.response import Source as CardSource
from fhir_adapters.errors import HookPayloadError

Json = dict[str, Any]
CALL: Json = {
    "hook": "patient-view",
    "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    "context": {"userId": "Practitioner/1", "patientId": "1288992"},
}


def parsed(**change: Any) -> Any:
    return parse_hook(json.dumps({**CALL, **change}).encode())


def test_a_call_and_its_leniencies() -> None:
    call = parsed(prefetch=None, fhirServer=None, extension={"x": 1}, context={"patientId": "Patient/p1"})
    assert call.context.patientId == "p1" and call.prefetch is None
    assert parsed(hookInstance="D1577C69DFBE44ADBA6D3E05E953B2EA").hookInstance == CALL["hookInstance"]
    authorization = {"access_token": "planted-token", "token_type": "Bearer", "expires_in": 300}
    assert "planted-token" not in repr(parsed(fhirServer="https://x.example", fhirAuthorization=authorization))


def test_a_message_names_places_and_no_values() -> None:
    with pytest.raises(HookPayloadError) as caught:
        parsed(hook="Plantedname", context={"patientId": "Planted name", "Plantedkey!": 1})
    assert "hook" in str(caught.value) and "context.patientId" in str(caught.value)
    assert "Planted" not in str(caught.value)


def test_order_hooks_want_their_orders() -> None:
    for context in ({"patientId": "1"}, {"patientId": "1", "draftOrders": {"resourceType": "List"}}):
        with pytest.raises(HookPayloadError, match=r"draftOrders"):
            parsed(hook="order-sign", context=context)
    orders = {"resourceType": "Bundle", "entry": []}
    assert parsed(hook="order-sign", context={"patientId": "1", "draftOrders": orders})
    with pytest.raises(HookPayloadError, match=r"selections"):
        parsed(hook="order-select", context={"patientId": "1", "draftOrders": orders})


def test_feedback_is_read() -> None:
    item = {"card": "c", "outcome": "overridden", "outcomeTimestamp": "2020-12-11T00:00:00Z"}
    assert parse_feedback(json.dumps({"feedback": [item]}).encode()).feedback[0].card == "c"
    with pytest.raises(HookPayloadError):
        parse_feedback(json.dumps({"feedback": [item] * 101}).encode())


# --- cards


def card(**change: Any) -> Card:
    base: Json = {"uuid": "u", "summary": "s", "indicator": Indicator.INFO, "source": CardSource(label="l")}
    return Card(**{**base, **change})


def test_absent_members_are_absent() -> None:
    assert as_json(HookResponse(cards=(card(),))) == {
        "cards": [{"uuid": "u", "summary": "s", "indicator": "info", "source": {"label": "l"}}]
    }
    assert as_json(HookResponse(cards=())) == {"cards": []}


@pytest.mark.parametrize(
    "make",
    [
        lambda: card(summary="x" * 140),
        lambda: card(summary=""),
        lambda: card(links=()),
        lambda: card(selectionBehavior="any"),
        lambda: Action(type=ActionType.DELETE, description="d", resource={"id": "1"}),
        lambda: Action(type=ActionType.CREATE, description="d"),
        lambda: Link(label="l", url="https://x.example", type=LinkType.ABSOLUTE, appContext="c"),
    ],
)
def test_what_the_specification_forbids_cannot_be_made(make: Any) -> None:
    with pytest.raises(ValidationError):
        make()


# --- prefetch


def bundle(*resources: Json, **more: Any) -> Json:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources], **more}


BY_REFERENCE: Json = {"resourceType": "MedicationRequest", "medicationReference": {"reference": "Medication/m1"}}
MEDICATION: Json = {"resourceType": "Medication", "id": "m1"}
CONTAINED: Json = {"resourceType": "MedicationRequest", "medicationReference": {"reference": "#m1"}}
OUTCOME: Json = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}


@pytest.mark.parametrize(
    ("key", "value", "supply", "entries"),
    [
        ("patient", {"resourceType": "Patient", "id": "p"}, Supply.WHOLE, 1),
        ("patient", bundle({"resourceType": "Patient", "id": "p"}), Supply.WHOLE, 1),
        ("patient", bundle(), Supply.UNKNOWN, 0),
        ("patient", None, Supply.UNKNOWN, 0),
        ("patient", {"resourceType": "Condition"}, Supply.UNKNOWN, 0),
        ("conditions", None, Supply.NONE, 0),
        ("conditions", bundle(), Supply.WHOLE, 0),
        ("conditions", {"resourceType": "Bundle"}, Supply.WHOLE, 0),
        ("conditions", bundle({"resourceType": "Condition"}, {"resourceType": "Claim"}), Supply.WHOLE, 1),
        ("conditions", bundle(link=[{"relation": "next", "url": "x"}]), Supply.PARTIAL, 0),
        ("conditions", bundle(OUTCOME), Supply.UNKNOWN, 0),
        ("conditions", OUTCOME, Supply.UNKNOWN, 0),
        ("conditions", [], Supply.UNKNOWN, 0),
        ("medicationRequests", bundle(BY_REFERENCE), Supply.PARTIAL, 1),
        ("medicationRequests", bundle(BY_REFERENCE, MEDICATION), Supply.WHOLE, 2),
        ("medicationRequests", bundle(CONTAINED), Supply.WHOLE, 1),
        ("conditions", bundle({"resourceType": []}, {"resourceType": {}}), Supply.WHOLE, 0),
        ("conditions", bundle({"resourceType": "OperationOutcome", "issue": [{"severity": []}]}), Supply.WHOLE, 0),
        ("medicationRequests", bundle(BY_REFERENCE, {**MEDICATION, "id": [{}]}), Supply.PARTIAL, 2),
    ],
)
def test_what_a_value_is_worth(key: str, value: object, supply: Supply, entries: int) -> None:
    found = judge({key: value}, [key])[key]
    assert (found.supply, len(found.entries)) == (supply, entries)
    assert judge({}, [key])[key].supply is Supply.UNKNOWN
    assert judge(None, [key])[key].supply is Supply.UNKNOWN


def test_every_template_is_about_the_patient() -> None:
    assert all("{{context.patientId}}" in one.query for one in TEMPLATES.values())
    assert all(one.query.startswith(one.resource_type) for one in TEMPLATES.values())


def test_a_bundle_too_deep_to_write() -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"x": deep}
    with pytest.raises(HookPayloadError):
        bundle_of([{"resource": deep}])


# --- orders


def test_drafts_of_the_patient_only() -> None:
    own = {"resourceType": "MedicationRequest", "id": "1", "subject": {"reference": "https://x.example/Patient/p"}}
    drafts = bundle(
        own,
        {"resourceType": "MedicationRequest", "id": "2", "subject": {"reference": "Patient/other"}},
        {"resourceType": "NutritionOrder", "id": "3"},
        {"resourceType": "ServiceRequest", "id": "4"},
        {"resourceType": "ServiceRequest"},
    )
    found = draft_orders(drafts, patient_id="p")
    assert [one.reference for one in found] == ["MedicationRequest/1", "ServiceRequest/4", None]
    chosen = draft_orders(drafts, patient_id="p", selections=["MedicationRequest/1", "2"])
    assert [one.reference for one in chosen] == ["MedicationRequest/1"]
    assert not any(is_limb_radiograph(one) for one in found)


def test_a_draft_is_read_as_a_drug_that_is_taken() -> None:
    drafts = bundle(
        {"resourceType": "ServiceRequest", "id": "s"},
        {
            "resourceType": "MedicationRequest",
            "status": "draft",
            "authoredOn": "2999-01-01",
            "medicationCodeableConcept": {"text": "x"},
            "dosageInstruction": [{"text": "free text", "route": {"coding": []}}],
        },
    )
    orders = draft_orders(drafts, patient_id="p")
    patient, order = (entry["resource"] for entry in as_taken(orders, drafts, "p"))
    assert isinstance(patient, dict) and isinstance(order, dict)
    assert order["status"] == "active" and "authoredOn" not in order
    assert order["dosageInstruction"] == [{"route": {"coding": []}}]
    assert order_of(f"MedicationRequest/{order['id']}") == 1
    assert order_of("MedicationRequest/1") is None


@pytest.mark.parametrize("resource", [{"resourceType": ["x"]}, {"resourceType": {}}, {"resourceType": [[]]}])
def test_drafts_of_no_kind_are_left_out(resource: dict[str, object]) -> None:
    assert draft_orders({"entry": [{"resource": resource}]}, patient_id="p", selections=None) == ()


def test_a_draft_whose_status_is_no_text_is_still_an_order() -> None:
    odd = {"resourceType": "ServiceRequest", "status": [[]], "id": "a"}
    assert len(draft_orders({"entry": [{"resource": odd}]}, patient_id="p", selections=None)) == 1
