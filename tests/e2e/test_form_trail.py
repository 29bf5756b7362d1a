"""Who looked: the form in a browser and the API leave audit records, in a chain that verifies, without a patient."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from cds.audit import verify_log
from cds.audit_chain import AuditChain, open_chain
from cds.bootstrap import build_audit_trail
from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.cases import CaseQuery
from cds.store.opening import Store, open_store
from tests.support.browser import launched
from tests.support.fakes import FakeParts
from tests.support.form import PATIENCE_MS, assess, fill, give_image, minded_page, sign, to_tab
from tests.support.server import serving

TOKEN = "q7J-Zx2_mN8vB4cD1eF6"
WRONG = "not-the-token-of-this-service"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    return Settings(data_dir=folder, audit_log=folder / "audit.jsonl", access_token=SecretStr(TOKEN))


@pytest.fixture(scope="module")
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def chain(settings: Settings, store: Store) -> AuditChain:
    return open_chain(settings, store.database, store.privacy)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def parts() -> FakeParts:
    return FakeParts()


@pytest.fixture(scope="module")
def address(browser: Browser, settings: Settings, store: Store, parts: FakeParts) -> Iterator[str]:
    app = create_app(settings, parts.engines(), build_audit_trail(settings, store), store)
    with serving(app) as running:
        yield running


def told(chain: AuditChain) -> list[tuple[str, str, str, str]]:
    """Code of what was done, outcome, target or search, and who, of every event."""
    found = []
    for raw in chain.events():
        event: dict[str, Any] = json.loads(raw)
        names = [one["what"]["identifier"]["value"] for one in event.get("entity", []) if "what" in one]
        asked = [base64.b64decode(one["query"]).decode() for one in event.get("entity", []) if "query" in one]
        actor = next(one["name"] for one in event["agent"] if "name" in one)
        what = (asked or [name for name in names if "case/" in name] or [""])[0]
        found.append((event["subtype"][0]["code"], event.get("outcomeDesc", "ok"), what, actor))
    return found


def log_in(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_label("Access token or key").fill(WRONG)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Access token or key").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#assess")).to_be_visible()


def test_what_a_person_does_is_in_the_chain(
    browser: Browser, address: str, store: Store, chain: AuditChain, settings: Settings, parts: FakeParts
) -> None:
    with browser.new_context(accept_downloads=True) as context:
        page = context.new_page()
        log_in(page, address)
        give_image(page)
        page.get_by_text("Paste the record").click()
        page.locator("#pasted textarea").fill('{"resourceType": "Bundle"}')
        assess(page)
        case_id = store.cases.find(CaseQuery(limit=1)).cases[0].id
        patient_id = parts.patient.patient_id
        assert store.cases.get(case_id).patient_key == patient_id
        sign(page)
        with page.expect_download():
            page.locator("#outcome .cds-actions").get_by_role("button", name="PDF", exact=True).press("Enter")
        to_tab(page, "History")
        fill(page, "history-text", patient_id)
        expect(page.locator(".cds-open")).to_have_count(1)
        page.locator(".cds-open").click()
        expect(page.locator(".cds-status")).to_contain_text("Signed by")
        # The status also stood there before the case was opened again, so it says nothing of the opening.
        place = f"case/{case_id}"
        for _ in range(PATIENCE_MS // 100):
            if ("read", "ok", place) in [one[:3] for one in told(chain)]:
                break
            page.wait_for_timeout(100)

    events = told(chain)
    for wanted in (
        ("110122", "cds.access.denied", ""),
        ("110122", "ok", ""),
        ("create", "ok", place),
        ("update", "ok", f"{place}/sign"),
        ("operation", "ok", f"{place}/reports/pdf"),
        ("read", "ok", place),
    ):
        assert [one[:3] for one in events].count(wanted) == 1, (wanted, events)
    assert {one[3] for one in events if one[0] != "110122" and one[0] != "create"} == {"token"}
    searches = [one[2] for one in events if one[0] == "search"]
    assert searches[-1] == f"FORM /history?text=({len(patient_id)}-characters)&urgency=any&signed=any"

    kept = b"\n".join(chain.events()) + (settings.data_dir / "audit.jsonl").read_bytes()
    decoded = kept.decode() + "".join(one[2] for one in events)
    for secret in (TOKEN, WRONG, f'"{patient_id}"', f"={patient_id}", f"/{patient_id}"):
        assert secret not in decoded
    read = next(json.loads(raw) for raw in chain.events() if json.loads(raw)["subtype"][0]["code"] == "read")
    assert any(one.get("what", {}).get("type") == "Patient" for one in read["entity"])


def test_what_a_program_reads_is_in_the_chain(address: str, store: Store, chain: AuditChain) -> None:
    case_id = store.cases.find(CaseQuery(limit=1)).cases[0].id
    before = len(told(chain))
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as client:
        for path in (f"{case_id}", f"{case_id}/files/image", f"{case_id}/reports/html", "?q=Plantedname"):
            assert client.get(f"/api/cases{'' if path[0] == '?' else '/'}{path}").status_code == 200, path
        assert client.get("/api/cases", headers={"Authorization": f"Bearer {WRONG}"}).status_code == 401
    assert httpx.get(f"{address}/api/cases", trust_env=False).status_code == 401  # nobody tried to be anybody
    place = f"case/{case_id}"
    assert [one[:3] for one in told(chain)[before:]] == [
        ("read", "ok", place),
        ("read", "ok", f"{place}/files/image"),
        ("read", "ok", f"{place}/reports/html"),
        ("search", "ok", "GET /api/cases?q=(11-characters)"),
        ("110122", "cds.access.denied", ""),
    ]


def test_the_chain_verifies(chain: AuditChain, settings: Settings) -> None:
    count, faults = chain.verify()
    assert count > 10 and faults == ()
    assert isinstance(settings.audit_log, Path) and verify_log(settings.audit_log)[1] == ()


def test_what_cannot_be_recorded_is_not_shown(
    browser: Browser, tmp_path: Path, parts: FakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, audit_log=None)
    store = open_store(settings)
    trail = build_audit_trail(settings, store)
    try:
        with (
            serving(create_app(settings, parts.engines(), trail, store)) as running,
            minded_page(browser) as page,
        ):
            page.goto(running)
            give_image(page)
            assess(page)
            monkeypatch.setattr(trail, "record_access", _full)
            to_tab(page, "History")
            expect(page.locator("#history")).to_contain_text("audit record cannot be kept")
            expect(page.locator(".cds-open")).to_have_count(0)
            to_tab(page, "Result")
            page.locator("#outcome .cds-actions").get_by_role("button", name="PDF", exact=True).press("Enter")
            expect(page.locator(".cds-answer")).to_contain_text("audit record cannot be kept")
    finally:
        store.close()


def _full(*_: object) -> None:
    from cds.errors import AuditError

    raise AuditError("The audit record cannot be kept in the store.", remedy="Make room.")
