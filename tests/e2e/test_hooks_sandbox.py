"""CDS Hooks from a page of another origin in a browser, as the public sandbox does it: preflights, tokens, launch."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from playwright.sync_api import Browser, Page, expect

from cds.audit import NoAuditTrail
from cds.entrypoints.web import create_app
from cds.settings import Settings
from tests.support import hooks
from tests.support.browser import launched
from tests.support.fakes import FakeParts
from tests.support.fhir_server import FhirServer, keeping_ids, running_fhir_server
from tests.support.form import PATIENCE_MS
from tests.support.hooks import condition, draft, drug, observation, radiograph_order, woman
from tests.support.identity import CLIENT, SUBJECT, Identity, running_identity
from tests.support.server import serving

PAGE = Path(__file__).with_name("sandbox.html").read_text(encoding="utf-8")
ISSUER = "https://sandbox.example"
JKU = f"{ISSUER}/.well-known/jwks.json"
RECORD = keeping_ids(
    [
        woman(81),
        condition("f1", hooks.WRIST_FRACTURE, days=40),
        drug("w1", hooks.WARFARIN),
        observation("e1", "33914-3", 27, "mL/min/{1.73_m2}"),
    ]
)
KEYS = {"ES384": ec.generate_private_key(ec.SECP384R1()), "ES256": ec.generate_private_key(ec.SECP256R1())}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def record_server(browser: Browser) -> Iterator[FhirServer]:
    with running_fhir_server([RECORD]) as server:
        yield server


@pytest.fixture(scope="module")
def ehr(record_server: FhirServer) -> Iterator[Identity]:
    identity = Identity(upstream=record_server.url, patient=hooks.PATIENT_ID)
    with running_identity(identity, {"/sandbox": PAGE}):
        identity.tokens["the-ehr-s-token"] = hooks.PATIENT_ID
        yield identity


@pytest.fixture(scope="module")
def settings(ehr: Identity, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    keys = [json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": name} for name, key in KEYS.items()]
    (folder / "jwks.json").write_text(json.dumps({"keys": keys}))
    return Settings(
        data_dir=folder,
        audit_log=None,
        store="off",
        hooks_origins=(ehr.url,),
        hooks_clients={ISSUER: str(folder / "jwks.json")},
        hooks_fhir_servers=(ehr.iss,),
        smart_client_id=CLIENT,
        smart_issuers=(ehr.iss,),
        hooks_fhir_timeout_seconds=60.0,  # a busy machine
    )


def service(settings: Settings) -> Any:
    real = hooks.ENGINES
    engines = replace(FakeParts().engines(), read_record=real.read_record, risk=real.risk, fusion=real.fusion)
    return create_app(settings, engines, NoAuditTrail())


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[str]:
    with serving(service(settings)) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1100, "height": 1300}) as context:
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()


def prepare(page: Page, ehr: Identity, address: str, algorithm: str = "ES384") -> None:
    """Open the client page, and hand it its settings."""
    page.goto(f"{ehr.url}/sandbox")
    secret = json.loads(ECAlgorithm.to_jwk(KEYS[algorithm]))
    page.evaluate(
        "prepare",
        {
            "alg": algorithm,
            "kid": algorithm,
            "jwk": secret,
            "iss": ISSUER,
            "discovery": f"{address}/cds-services",
            "fhir": ehr.iss,
            "access": "the-ehr-s-token",
            "patient": hooks.PATIENT_ID,
            "user": "Practitioner/g1",
            "launch": ehr.launch(),
        },
    )


def call(page: Page, hook: str, context: dict[str, Any] | None = None, **options: bool) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = page.evaluate(
        "([hook, context, options]) => call(hook, context, options)", [hook, context or {}, options]
    )
    return answers


def orders(*drafts: dict[str, Any]) -> dict[str, Any]:
    """The context of an order as the sandbox sends it: a Bundle without a type."""
    entries = [{"resource": one} for one in drafts]
    return {
        "selections": [f"{one['resourceType']}/{one['id']}" for one in drafts],
        "draftOrders": {"resourceType": "Bundle", "entry": entries},
    }


def test_discovery_calls_cards_and_feedback(page: Page, ehr: Identity, address: str) -> None:
    prepare(page, ehr, address)
    found = page.evaluate("discover()")
    assert found["status"] == 200
    assert {one["hook"] for one in found["body"]["services"]} >= {"patient-view", "order-select", "order-sign"}

    ehr.asked.clear()
    (view,) = call(page, "patient-view")
    assert view["status"] == 200 and "Wrist fracture" in view["body"]["cards"][0]["summary"]
    assert any(one.startswith("GET /fhir/Condition?") for one in ehr.asked)  # templates filled in the browser
    (select,) = call(page, "order-select", orders(draft("d1", hooks.IBUPROFEN)))
    assert select["status"] == 200
    assert any("Condition/f1" in card["detail"] for card in select["body"]["cards"])
    assert call(page, "order-select", orders(radiograph_order()))[0]["status"] == 200

    cards = page.locator(".card")
    assert cards.count() >= 2
    expect(cards.first.locator("h2")).to_contain_text("Wrist fracture")
    link = cards.first.locator("a.smart").get_attribute("href") or ""
    assert link == f"{address}/launch?iss={quote(ehr.iss, safe='')}&launch={list(ehr.launches)[-1]}"
    cards.first.locator(".dismiss").click()
    expect(page.locator("#said")).to_have_text("feedback: 200")


def test_without_prefetch_the_record_is_read_with_the_token_of_the_call(
    page: Page, ehr: Identity, address: str
) -> None:
    prepare(page, ehr, address)
    page.evaluate("discover()")
    ehr.asked.clear()
    (view,) = call(page, "patient-view", prefetch=False)
    assert view["status"] == 200 and "Wrist fracture" in view["body"]["cards"][0]["summary"]
    assert any("/fhir/Condition" in one for one in ehr.asked)


def test_the_link_of_a_card_opens_the_form_with_the_patient(page: Page, ehr: Identity, address: str) -> None:
    prepare(page, ehr, address)
    page.evaluate("discover()")
    call(page, "patient-view")
    page.locator("a.smart").first.click()
    page.get_by_role("link", name=SUBJECT).click()
    expect(page.locator("#launched")).to_contain_text("Opened from the EHR for Plantedname, Plantedgiven")
    assert page.url.startswith(f"{address}/?launch=")


def test_es256_is_taken_where_the_settings_list_it_only(
    page: Page, ehr: Identity, address: str, settings: Settings
) -> None:
    prepare(page, ehr, address, "ES256")
    refused = page.evaluate("discover()")
    # Refused, and the page can read why: the answer carries the CORS headers, too.
    assert refused["status"] == 401 and "algorithm" in refused["body"]["detail"] and refused["why"].startswith("Bearer")
    listed = settings.model_copy(update={"hooks_algorithms": ("ES384", "RS384", "ES256")})
    with serving(service(listed)) as other:
        prepare(page, ehr, other, "ES256")
        assert page.evaluate("discover()")["status"] == 200
        assert call(page, "patient-view")[0]["status"] == 200


def test_without_tokens_on_this_machine(page: Page, ehr: Identity, settings: Settings) -> None:
    with serving(service(settings.model_copy(update={"hooks_auth": "none"}))) as other:
        prepare(page, ehr, other, "ES256")
        assert page.evaluate("discover()")["status"] == 200  # the sandbox's token is not looked at
        assert call(page, "patient-view")[0]["status"] == 200


def test_a_page_that_is_not_listed_is_kept_out_by_the_browser(page: Page, ehr: Identity, settings: Settings) -> None:
    other = settings.model_copy(update={"hooks_auth": "none", "hooks_origins": ("https://sandbox.cds-hooks.org",)})
    with serving(service(other)) as running:
        prepare(page, ehr, running)
        assert page.evaluate("discover().then(() => 'read', () => 'kept out')") == "kept out"
