"""The web form in a real browser: fill it in, read the report, download it, and talk to no other host."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from cds.entrypoints.web import create_app
from cds.settings import Settings
from fusion.context import ClinicalContext, Mechanism
from fusion.sites import FractureSite
from imaging.errors import UnsupportedModalityError
from tests.support.browser import launched
from tests.support.fakes import FakeParts, RememberingAuditTrail
from tests.support.server import serving

IMAGE = FilePayload(name="x.dcm", mimeType="application/dicom", buffer=b"image")
REPORT = "#outcome iframe"
PATIENCE_MS = 120_000
"""A quiet machine needs a second; a busy one must not fail."""

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def parts() -> FakeParts:
    return FakeParts()


@pytest.fixture(scope="module")
def address(browser: Browser, parts: FakeParts) -> Iterator[str]:
    # After the browser: without one, the service need not start.
    with serving(create_app(Settings(), parts.engines(), RememberingAuditTrail())) as running:
        yield running


@pytest.fixture
def page(browser: Browser, address: str, parts: FakeParts) -> Iterator[Page]:
    """The form, opened; at the end nothing may have gone wrong in the browser or left the machine."""
    parts.contexts.clear()
    parts.fail_image = None
    requests: list[str] = []
    complaints: list[str] = []
    with browser.new_context(viewport={"width": 1400, "height": 1300}) as context:
        context.set_default_timeout(PATIENCE_MS)
        opened = context.new_page()
        opened.on("request", lambda request: requests.append(request.url))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        opened.goto(address)
        expect(opened.locator("#assess")).to_be_visible()
        yield opened
    hosts = {urlsplit(url).hostname for url in requests if urlsplit(url).scheme not in {"data", "blob", "about"}}
    assert hosts == {"127.0.0.1"}
    assert complaints == []


def give_image(page: Page) -> None:
    page.locator("#image input[type=file]").set_input_files(files=[IMAGE])
    expect(page.locator("#image")).to_contain_text("x.dcm")


def answer(page: Page, name: str, word: str) -> None:
    """Choose yes or no for one bedside finding."""
    page.locator(f"#bedside-{name}").get_by_text(word, exact=True).click()


def choose(page: Page, name: str, option: str) -> None:
    """Choose from one list."""
    page.locator(f"#bedside-{name} input").click()
    page.get_by_role("option", name=option).click()


def assess(page: Page, parts: FakeParts) -> ClinicalContext:
    """Press the button and wait for the report; gives the bedside findings that the engine got."""
    before = len(parts.contexts)
    page.locator("#assess").click()
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while len(parts.contexts) == before and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    expect(page.frame_locator(REPORT).locator("h1")).to_be_visible()
    expect(page.locator("#outcome")).not_to_contain_text("processing")
    return parts.contexts[-1]


def test_whole_case(page: Page, parts: FakeParts) -> None:
    give_image(page)
    page.get_by_text("Paste the record").click()
    page.locator("#pasted textarea").fill('{"resourceType": "Bundle"}')
    choose(page, "site", "distal radius")
    choose(page, "mechanism", "low energy")
    answer(page, "open_wound", "No")
    answer(page, "skin_threatened", "Yes")
    page.locator("#bedside-calcium_diet_mg_per_day").locator("input, textarea").fill("650")
    stated = assess(page, parts)
    assert stated == ClinicalContext(
        site=FractureSite.DISTAL_RADIUS,
        mechanism=Mechanism.LOW_ENERGY,
        open_wound=False,
        skin_threatened=True,
        calcium_diet_mg_per_day=650.0,
    )

    allowed = (page.locator(REPORT).get_attribute("sandbox") or "").split()
    assert not {"allow-scripts", "allow-same-origin", "allow-top-navigation"} & set(allowed)

    for name in ("report.html", "report.json", "bundle.json"):
        with page.expect_download() as waiting:
            page.locator("#outcome .downloads a", has_text=name).press("Enter")  # the keyboard reaches them too
        assert waiting.value.suggested_filename == name
        content = waiting.value.path().read_bytes()
        if name.endswith(".json"):
            assert json.loads(content)
        else:
            assert content.lstrip().lower().startswith(b"<!doctype html>")

    # A changed answer takes the old report away; the upload is still there when the clinician asks again.
    answer(page, "displaced", "Yes")
    expect(page.locator(REPORT)).to_have_count(0)
    assert assess(page, parts) == replace(stated, displaced=True)


def test_problems_are_explained(page: Page, parts: FakeParts) -> None:
    panel = page.locator("#outcome .problem")
    page.locator("#assess").click()
    expect(panel).to_contain_text("nothing to assess")

    parts.fail_image = UnsupportedModalityError("The file is a CT image.")
    give_image(page)
    page.locator("#assess").click()
    expect(panel).to_contain_text("The file is a CT image.")
    expect(panel).to_contain_text("projection radiograph")

    # What nobody answered is "not stated", never "no".
    parts.fail_image = None
    assert assess(page, parts) == ClinicalContext()
