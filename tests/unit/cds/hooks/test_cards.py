"""Cards as an EHR gets them: what is said, when nothing is said, and what may be clicked."""

import json
from typing import Any

import pytest

from cds.settings import Settings
from tests.support import hooks
from tests.support.hooks import HooksClient, Json, condition, draft, drug, hook_call, observation, prefetch, woman


@pytest.fixture(scope="module")
def client() -> HooksClient:
    return hooks.hooks_client()


def view(client: HooksClient, *record: Json, age: int = 67, **patient: Any) -> list[Json]:
    call = hook_call("patient-view", prefetch(*record, patient=woman(age, **patient)))
    return checked(client.cards("fracture-risk", call))


def sign(client: HooksClient, *record: Json, order: Json, age: int = 67) -> list[Json]:
    call = hook_call("order-sign", prefetch(*record, patient=woman(age)), orders=[order])
    return checked(client.cards("fracture-order-sign", call))


def checked(cards: list[Json]) -> list[Json]:
    """What holds for every card: lengths, identifiers, no null, nothing empty, no name."""
    for card in cards:
        assert 0 < len(card["summary"]) < 140
        assert card["indicator"] in {"info", "warning", "critical"}
        assert card["source"]["label"] and card["uuid"] and card["detail"]
        assert ("suggestions" in card) == ("selectionBehavior" in card)
        assert all(one["display"] for one in card["overrideReasons"])
        assert all(link["type"] == "smart" and link["url"].startswith("http") for link in card["links"])
    text = json.dumps(cards)
    assert "Planted" not in text
    assert_nothing_empty(cards[0] if cards else "x")
    return cards


def assert_nothing_empty(value: object) -> None:
    assert value not in (None, "", [], {})
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        assert_nothing_empty(one)


# --- patient-view


def test_published_ratios_are_named_and_cited(client: HooksClient) -> None:
    dementia = condition("d1", "26929004", days=900)
    (card,) = view(client, condition("f1", hooks.WRIST_FRACTURE, days=200), dementia)
    (line,) = [one for one in card["detail"].splitlines() if "published ratios" in one]
    assert "dementia \u00d71.97" in line and "[" in line


def scan(*, days: int) -> Json:
    """A bone density scan that was done, without what it found."""
    return {
        "resourceType": "Procedure",
        "id": "s1",
        "status": "completed",
        "subject": hooks.subject(),
        "code": hooks.concept(hooks.SNOMED, "312681000"),
        "performedDateTime": hooks.ago(days),
    }


def report(*, days: int) -> Json:
    """The same, recorded as a report."""
    resource = {name: value for name, value in scan(days=days).items() if name != "performedDateTime"}
    return {**resource, "resourceType": "DiagnosticReport", "status": "final", "effectiveDateTime": hooks.ago(days)}


@pytest.mark.parametrize("done", [scan(days=100), report(days=100)], ids=["procedure", "report"])
def test_a_scan_without_a_result_is_not_ordered_again(client: HooksClient, done: Json) -> None:
    cards = view(client, condition("f1", hooks.WRIST_FRACTURE, days=200), done)
    assert not any("Order a bone density scan" in one["label"] for card in cards for one in card.get("suggestions", ()))


def test_a_card_asks_for_the_result_of_a_scan(client: HooksClient) -> None:
    fracture, old_score = condition("f1", hooks.WRIST_FRACTURE, days=200), observation("t1", "80948-3", -2.8, "1")
    old_score["effectiveDateTime"] = f"{hooks.ago(900)}T08:00:00Z"
    (card,) = view(client, fracture, old_score, scan(days=100))
    (line,) = [one for one in card["detail"].splitlines() if "without its result" in one]
    assert f"ask for it (scan of {hooks.ago(100)})" in line
    assert "Procedure/s1" in line
    (card,) = view(client, fracture, old_score)
    assert "without its result" not in card["detail"]


def test_a_fracture_that_nobody_followed_up(client: HooksClient) -> None:
    (card,) = view(client, condition("f1", hooks.WRIST_FRACTURE, days=200))
    assert card["indicator"] == "warning"
    assert card["summary"].startswith("Wrist fracture ") and "no bone density scan" in card["summary"]
    assert "`Condition/f1`" in card["detail"]
    assert "Ten-year probability" in card["detail"]
    assert "[1]" in card["detail"] and "doi.org" in card["detail"]
    scan, liaison = card["suggestions"]
    assert scan["isRecommended"] is True and liaison["isRecommended"] is False
    request = scan["actions"][0]["resource"]
    assert request["resourceType"] == "ServiceRequest" and request["status"] == "draft"
    assert request["subject"] == {"reference": "Patient/p1"}
    assert request["reasonReference"] == [{"reference": "Condition/f1"}]
    assert card["selectionBehavior"] == "any"


def test_a_fresh_fracture_is_a_task_and_no_alarm(client: HooksClient) -> None:
    (card,) = view(client, condition("f1", hooks.WRIST_FRACTURE, days=20))
    assert card["indicator"] == "info"
    assert "due within 12 weeks" in card["summary"]


def test_an_old_fracture_is_a_line_and_no_alarm(client: HooksClient) -> None:
    (card,) = view(client, condition("f1", hooks.WRIST_FRACTURE, days=2000, active=False))
    assert card["indicator"] == "info"


@pytest.mark.parametrize(
    "record",
    [
        [],
        [condition("f1", hooks.WRIST_FRACTURE, days=200), drug("a", hooks.ALENDRONATE, days=150)],
        [condition("f1", hooks.WRIST_FRACTURE, days=200), observation("t", "38265-5", -1.2, "{T-score}", days=100)],
    ],
    ids=["healthy", "treated", "scanned"],
)
def test_nothing_to_say(client: HooksClient, record: list[Json]) -> None:
    assert view(client, *record, age=60) == []


def test_a_fracture_before_fifty_raises_no_gap(client: HooksClient) -> None:
    assert view(client, condition("f1", hooks.WRIST_FRACTURE, days=200), age=45) == []


def test_the_dead_are_left_in_peace(client: HooksClient) -> None:
    assert view(client, condition("f1", hooks.WRIST_FRACTURE, days=200), deceasedBoolean=True) == []


def test_a_low_t_score_without_treatment(client: HooksClient) -> None:
    (card,) = view(client, observation("t", "38265-5", -2.9, "{T-score}", days=90))
    assert card["indicator"] == "warning"
    assert "T-score \N{MINUS SIGN}2.9" in card["summary"]
    assert "suggestions" not in card


def test_no_probability_where_none_can_be_estimated(client: HooksClient) -> None:
    fracture = condition("f1", hooks.HIP_FRACTURE, days=200)
    born = woman(67)
    del born["birthDate"]
    assert client.cards("fracture-risk", hook_call("patient-view", prefetch(fracture, patient=born))) == []


def test_what_was_not_supplied_is_named(client: HooksClient) -> None:
    values = prefetch(condition("f1", hooks.WRIST_FRACTURE, days=200))
    del values["familyHistory"]
    (card,) = client.cards("fracture-risk", hook_call("patient-view", values))
    assert "Not read: family history (not supplied)." in card["detail"]


def test_the_same_call_gives_the_same_cards(client: HooksClient) -> None:
    call = hook_call("patient-view", prefetch(condition("f1", hooks.WRIST_FRACTURE, days=200)))
    first, second = client.cards("fracture-risk", call), client.cards("fracture-risk", call)
    assert first[0]["uuid"] == second[0]["uuid"]
    other = {**call, "hookInstance": "00000000-0000-4000-8000-000000000000"}
    assert client.cards("fracture-risk", other)[0]["uuid"] != first[0]["uuid"]


# --- a radiograph is ordered

HISTORY = [
    condition("f1", hooks.HIP_FRACTURE, days=900, active=False),
    condition("o1", hooks.OSTEOPOROSIS, days=900),
    drug("w1", hooks.WARFARIN),
]


def test_history_for_a_radiograph(client: HooksClient) -> None:
    (card,) = sign(client, *HISTORY, order=hooks.radiograph_order(), age=81)
    assert card["indicator"] == "info"
    for words in ("hip fracture", "osteoporosis", "anticoagulant"):
        assert words in card["summary"]
    (suggestion,) = card["suggestions"]
    (action,) = suggestion["actions"]
    assert action["type"] == "update" and action["resource"]["id"] == "x1"
    assert {"reference": "Condition/f1"} in action["resource"]["supportingInfo"]


def test_history_already_attached_is_not_offered_again(client: HooksClient) -> None:
    held = [{"reference": one} for one in ("Condition/f1", "Condition/o1", "MedicationRequest/w1")]
    (card,) = sign(client, *HISTORY, order=hooks.radiograph_order(supportingInfo=held))
    assert "suggestions" not in card


def test_no_history_no_card(client: HooksClient) -> None:
    assert sign(client, order=hooks.radiograph_order()) == []


@pytest.mark.parametrize(
    ("changes", "limb"),
    [
        ({"code": hooks.concept("http://www.ama-assn.org/go/cpt", "73110")}, True),
        ({"code": hooks.concept("http://www.ama-assn.org/go/cpt", "73700")}, False),
        ({"code": hooks.concept("http://www.ama-assn.org/go/cpt", "71046")}, False),
        ({"code": hooks.concept(hooks.SNOMED, "399208008")}, False),
        (
            {
                "code": hooks.concept(hooks.SNOMED, "168537006"),
                "bodySite": [hooks.concept(hooks.SNOMED, "8205005")],
            },
            True,
        ),
        ({"code": hooks.concept(hooks.SNOMED, "168537006")}, False),
        ({"code": {"text": "X-ray of the wrist"}}, False),
        ({"status": "revoked"}, False),
        ({"doNotPerform": True}, False),
        ({"subject": {"reference": "Patient/other"}}, False),
    ],
)
def test_which_orders_are_radiographs_of_a_limb(client: HooksClient, changes: Json, limb: bool) -> None:
    cards = sign(client, *HISTORY, order=hooks.radiograph_order(**changes))
    assert bool(cards) is limb


# --- a drug is ordered

FRACTURE = condition("f1", hooks.WRIST_FRACTURE, days=40)


def test_nsaid_for_an_older_patient_with_a_fracture(client: HooksClient) -> None:
    order = draft("d1", hooks.IBUPROFEN, "Ibuprofen 400 mg")
    (card,) = sign(client, FRACTURE, drug("w1", hooks.WARFARIN), order=order, age=81)
    assert card["indicator"] == "warning"
    assert card["summary"].startswith("NSAID ordered, wrist fracture")
    assert "Ordered: Ibuprofen 400 mg" in card["detail"]
    assert "`Condition/f1`" in card["detail"] and "`MedicationRequest/w1`" in card["detail"]
    assert "already" not in card["detail"].lower() and "One is prescribed" not in card["detail"]
    (suggestion,) = card["suggestions"]
    assert suggestion["isRecommended"] is True
    assert suggestion["actions"] == [
        {
            "type": "delete",
            "description": "Remove the order from the session",
            "resourceId": "MedicationRequest/d1",
        }
    ]
    assert card["selectionBehavior"] == "at-most-one"


def test_nsaid_for_a_younger_adult_is_information(client: HooksClient) -> None:
    (card,) = sign(client, FRACTURE, order=draft("d1", hooks.IBUPROFEN), age=35)
    assert card["indicator"] == "info"
    assert "suggestions" not in card


@pytest.mark.parametrize(
    ("code", "record", "age"),
    [
        (hooks.IBUPROFEN, [], 81),
        (hooks.IBUPROFEN, [condition("f1", hooks.WRIST_FRACTURE, days=400, active=False)], 81),
        (hooks.IBUPROFEN, [FRACTURE], 9),
        (hooks.PARACETAMOL, [FRACTURE], 81),
        (hooks.CALCIUM, [FRACTURE], 35),
        (hooks.PREDNISONE, [FRACTURE, drug("a", hooks.ALENDRONATE)], 81),
        (hooks.CALCIUM, [drug("l", hooks.LEVOTHYROXINE)], 60),
    ],
    ids=["no fracture", "old fracture", "child", "paracetamol", "nothing against", "treated", "no fracture, timing"],
)
def test_orders_without_a_card(client: HooksClient, code: str, record: list[Json], age: int) -> None:
    assert sign(client, *record, order=draft("d1", code), age=age) == []


def test_glucocorticoid_after_a_fracture(client: HooksClient) -> None:
    (card,) = sign(client, FRACTURE, order=draft("d1", hooks.PREDNISONE))
    assert card["indicator"] == "info"
    assert "If it lasts three months" in card["summary"]


def test_calcium_beside_levothyroxine_writes_the_label(client: HooksClient) -> None:
    order = draft("d1", hooks.CALCIUM, dosageInstruction=[{"text": "1 daily", "patientInstruction": "With food."}])
    (card,) = sign(client, FRACTURE, drug("l", hooks.LEVOTHYROXINE), order=order, age=35)
    assert card["indicator"] == "info"
    (action,) = card["suggestions"][0]["actions"]
    assert action["type"] == "update"
    (dosage,) = action["resource"]["dosageInstruction"]
    assert dosage["text"] == "1 daily"
    assert dosage["patientInstruction"].startswith("With food. Levothyroxine: keep calcium at least 4 hours apart.")


def test_hypercalcaemia_forbids_calcium_to_anybody(client: HooksClient) -> None:
    (card,) = sign(client, condition("h", hooks.HYPERCALCAEMIA, days=10), order=draft("d1", hooks.CALCIUM), age=35)
    assert card["indicator"] == "critical"
    assert card["suggestions"][0]["actions"][0]["type"] == "delete"


def test_a_saved_draft_does_not_speak_against_itself(client: HooksClient) -> None:
    order = draft("d1", hooks.IBUPROFEN)
    (card,) = sign(client, FRACTURE, {**order, "status": "active"}, order=order, age=35)
    assert "One is prescribed" not in card["detail"]


def test_order_select_looks_at_the_selection_only(client: HooksClient) -> None:
    orders = [draft("d1", hooks.IBUPROFEN), draft("d2", hooks.PARACETAMOL)]
    call = hook_call("order-select", prefetch(FRACTURE, patient=woman(81)), orders=orders)
    call["context"]["selections"] = ["MedicationRequest/d2"]
    assert client.cards("fracture-order", call) == []
    call["context"]["selections"] = ["MedicationRequest/d1"]
    assert len(client.cards("fracture-order", call)) == 1


def test_order_sign_looks_at_every_draft(client: HooksClient) -> None:
    orders = [draft("d1", hooks.IBUPROFEN), hooks.radiograph_order(), draft("d2", hooks.PREDNISONE)]
    cards = client.cards(
        "fracture-order-sign", hook_call("order-sign", prefetch(FRACTURE, patient=woman(81)), orders=orders)
    )
    assert len(cards) == 3 and len({card["uuid"] for card in cards}) == 3


def test_a_medication_by_reference_among_the_drafts(client: HooksClient) -> None:
    order = draft("d1", hooks.IBUPROFEN)
    del order["medicationCodeableConcept"]
    order["medicationReference"] = {"reference": "Medication/m1"}
    medication = {"resourceType": "Medication", "id": "m1", "code": hooks.concept(hooks.RXNORM, hooks.IBUPROFEN)}
    call = hook_call("order-sign", prefetch(FRACTURE, patient=woman(81)), orders=[order, medication])
    assert len(client.cards("fracture-order-sign", call)) == 1


def test_an_order_without_an_id_offers_nothing_to_click(client: HooksClient) -> None:
    order = draft("d1", hooks.IBUPROFEN)
    del order["id"]
    (card,) = sign(client, FRACTURE, order=order, age=81)
    assert "suggestions" not in card


INJECTED = (
    "<img src=x onerror=alert(1)> [click](http://evil.example) ![x](http://evil.example/x) `a` **b**"
    "\n\n# H www.evil.example me@evil.example"
)


def test_record_text_cannot_become_markup(client: HooksClient) -> None:
    (card,) = sign(client, FRACTURE, order=draft("d1", hooks.IBUPROFEN, INJECTED), age=81)
    line = card["detail"].splitlines()[0]
    assert line.startswith("Ordered: &lt;img")
    assert "<" not in line and "](" not in line and "\\[click\\]" in line
    assert "http://" not in line and "www.evil" not in line and "me@evil" not in line
    assert "evil" not in card["summary"]


def test_the_link_and_its_context_come_from_the_settings() -> None:
    settings = Settings(hooks_auth="none", hooks_launch_url="https://cds.example/launch", hooks_app_context="fracture")
    client = hooks.hooks_client(settings)
    call = hook_call("patient-view", prefetch(condition("f1", hooks.WRIST_FRACTURE, days=200)))
    (card,) = client.cards("fracture-risk", call)
    assert card["links"] == [
        {
            "label": "Open the fracture form",
            "url": "https://cds.example/launch",
            "type": "smart",
            "appContext": "fracture",
        }
    ]
