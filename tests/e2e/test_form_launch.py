"""From a chart in the EHR to the form in a browser: hospital login, SMART launch, the record read with its token."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cds.audit_chain import open_chain
from cds.bootstrap import build_audit_trail
from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.opening import Store, open_store
from fhir_adapters.patient import PatientSnapshot
from tests.support.browser import launched
from tests.support.fakes import FakeParts
from tests.support.fhir_server import FhirServer, keeping_ids, running_fhir_server
from tests.support.form import assess, give_image, minded_page, sign, to_tab
from tests.support.identity import CLIENT, SUBJECT, Identity, running_identity
from tests.support.server import serving

PATIENT = "example-72f"
RECORD = keeping_ids(
    [
        {
            "resourceType": "Patient",
            "id": PATIENT,
            "name": [{"family": "Plantedname", "given": ["Anna"]}],
            "gender": "female",
            "birthDate": "1953-06-01",
        }
    ]
)


@dataclass(slots=True)
class Reading(FakeParts):
    """Keeps the records that it was given."""

    records: list[bytes] = field(default_factory=list)

    def read_record(self, data: bytes, *, as_of: datetime, patient_id: str | None = None) -> PatientSnapshot:
        """The invented patient."""
        self.records.append(data)
        return FakeParts.read_record(self, data, as_of=as_of, patient_id=patient_id)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def record_server(browser: Browser) -> Iterator[FhirServer]:
    with running_fhir_server([RECORD]) as server:
        yield server


@pytest.fixture(scope="module")
def parts() -> Reading:
    return Reading()


@pytest.fixture(scope="module")
def ehr(record_server: FhirServer) -> Iterator[Identity]:
    identity = Identity(upstream=record_server.url, patient=PATIENT)
    with running_identity(identity):
        yield identity


@pytest.fixture(scope="module")
def settings(ehr: Identity, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder: Path = tmp_path_factory.mktemp("data")
    keys = folder / "jwks.json"
    keys.write_text(json.dumps(ehr.jwks()))
    return Settings(
        data_dir=folder,
        audit_log=folder / "audit.jsonl",
        smart_client_id=CLIENT,
        smart_issuers=(ehr.iss,),
        oidc_issuer=ehr.url,
        oidc_audience="fracture-cds-api",
        oidc_keys=str(keys),
        oidc_roles={"doctors": "clinician"},
        oidc_client_id=CLIENT,
    )


@pytest.fixture(scope="module")
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def address(settings: Settings, store: Store, parts: Reading) -> Iterator[str]:
    with serving(create_app(settings, parts.engines(), build_audit_trail(settings, store), store)) as running:
        yield running


def open_from_chart(page: Page, ehr: Identity, address: str) -> None:
    """What the chart's link does."""
    page.set_content(f'<a href="{address}/launch?iss={ehr.iss}&launch={ehr.launch()}">Fracture support</a>')
    page.get_by_role("link").click()


def i_am(page: Page) -> None:
    """Say yes at the hospital's login."""
    page.get_by_role("link", name=SUBJECT).click()


def hospital_login(page: Page) -> None:
    page.get_by_role("link", name="hospital account").click()
    i_am(page)


def test_from_the_chart_to_the_report(
    browser: Browser, address: str, ehr: Identity, parts: Reading, settings: Settings, store: Store
) -> None:
    visited: list[str] = []
    with minded_page(browser) as page:
        page.on("framenavigated", lambda frame: visited.append(frame.url))
        open_from_chart(page, ehr, address)
        hospital_login(page)  # not known here yet: first the login, then on with the launch
        i_am(page)  # the EHR lets the form in
        welcome = page.locator("#launched")
        expect(welcome).to_contain_text("Opened from the EHR for Plantedname, Anna")
        expect(page.locator("#patients input:checked")).to_have_count(1)
        expect(page.locator("#patients")).to_contain_text(f"born 1953-06-01 \u00b7 id {PATIENT}")
        assert page.url.startswith(f"{address}/?launch=")
        give_image(page)
        assess(page)
        sign(page)
        # It came from an EHR that is not the one of this service: there it goes, with that launch's permission.
        page.get_by_role("button", name="Send to EHR").press("Enter")
        expect(page.locator(".cds-answer")).to_contain_text("Stored on the FHIR server")
        to_tab(page, "History")
        page.locator(".cds-open").first.click()
        expect(page.locator(".cds-greyed")).to_contain_text("by a launch that has ended")

    (record,) = parts.records
    (patient,) = [one["resource"] for one in json.loads(record)["entry"]]
    assert patient["id"] == PATIENT
    (token,) = [token for token, of in ehr.tokens.items() if of == PATIENT]
    addresses = "\n".join(visited + ehr.asked)
    assert token not in addresses
    assert not any("code=" in one for one in visited if one.startswith(f"{address}/?"))
    events = [json.loads(raw) for raw in open_chain(settings, store.database, store.privacy).events()]
    done = [(one["subtype"][0]["code"], one["action"], one["agent"][2]["name"]) for one in events]
    assert done[:3] == [
        ("110122", "E", f"oidc:{SUBJECT}"),
        ("read", "R", f"oidc:{SUBJECT}"),  # launched
        ("read", "R", f"oidc:{SUBJECT}"),  # whose chart it is was shown
    ]
    kept = json.dumps(events) + (settings.data_dir / "audit.jsonl").read_text()
    assert token not in kept and "Plantedname" not in kept and f'"{PATIENT}"' not in kept


def test_another_patient_in_another_tab_changes_nothing_in_the_first(
    browser: Browser, address: str, ehr: Identity, record_server: FhirServer, parts: Reading
) -> None:
    record_server.put({"resourceType": "Patient", "id": "another-50m", "name": [{"family": "Other"}], "gender": "male"})
    with browser.new_context() as context:
        first = context.new_page()
        open_from_chart(first, ehr, address)
        hospital_login(first)
        i_am(first)
        expect(first.locator("#launched")).to_contain_text("Plantedname")
        ehr.patient = "another-50m"
        second = context.new_page()
        open_from_chart(second, ehr, address)
        i_am(second)  # still logged in here
        expect(second.locator("#launched")).to_contain_text("Other")
        ehr.patient = PATIENT
        parts.records.clear()
        first.locator("#assess").click()
        expect(first.locator("#outcome .cds-status")).to_be_visible()
        assert PATIENT in parts.records[0].decode() and "another-50m" not in parts.records[0].decode()
        # The address alone opens nothing in another browser.
        with browser.new_context() as stranger:
            page = stranger.new_page()
            page.goto(first.url)
            hospital_login(page)
            expect(page.locator("#launched")).to_contain_text("no such launch")


def test_a_launch_from_elsewhere_is_explained(browser: Browser, address: str, ehr: Identity) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address}/launch?iss=https%3A%2F%2Fevil.example%2Ffhir&launch=x")
        hospital_login(page)
        expect(page.get_by_role("alert")).to_contain_text("not listed here")
        page.get_by_role("link", name="To the form").click()
        expect(page.locator("#assess")).to_be_visible()
        expect(page.locator("#launched")).to_be_hidden()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nonce": "replayed"}, "for another login"),
        ({"roles": ["porters"]}, "opens nothing here"),
        ({"refuse": True}, "access_denied"),
    ],
)
def test_a_login_that_fails_is_explained_and_recorded(
    browser: Browser,
    address: str,
    ehr: Identity,
    settings: Settings,
    store: Store,
    change: dict[str, object],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in change.items():
        monkeypatch.setattr(ehr, name, value)
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        hospital_login(page)
        expect(page.get_by_role("alert")).to_contain_text(words)
        page.goto(address)
        expect(page.get_by_role("link", name="hospital account")).to_be_visible()  # still outside
    last = json.loads(list(open_chain(settings, store.database, store.privacy).events())[-1])
    assert last["subtype"][0]["code"] == "110122" and last["outcome"] == "4"
