"""The web form in a real browser: a case in, own read, result, judgement, signature, history; no other host asked."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.cases import CaseQuery
from cds.store.feedback import Feedback, FeedbackKind
from cds.store.opening import Store, open_store
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
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), audit_log=None)


@pytest.fixture(scope="module")
def store(settings: Settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def address(browser: Browser, parts: FakeParts, settings: Settings, store: Store) -> Iterator[str]:
    # After the browser: without one, the service need not start.
    with serving(create_app(settings, parts.engines(), RememberingAuditTrail(), store)) as running:
        yield running


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, address: str, parts: FakeParts) -> Iterator[Page]:
    """The form, opened; at the end nothing may have gone wrong in the browser or left the machine."""
    parts.contexts.clear()
    parts.fail_image = None
    requests: list[str] = []
    complaints: list[str] = []
    with _screen(browser, getattr(request, "param", "desk")) as context:
        context.set_default_timeout(PATIENCE_MS)
        opened = context.new_page()
        opened.on("request", lambda one: requests.append(one.url))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        opened.goto(address)
        expect(opened.locator("#assess")).to_be_visible()
        yield opened
    hosts = {urlsplit(url).hostname for url in requests if urlsplit(url).scheme not in {"data", "blob", "about"}}
    assert hosts == {"127.0.0.1"}
    assert complaints == []


def _screen(browser: Browser, kind: str) -> BrowserContext:
    match kind:
        case "zoomed":  # 1440 by 1000 at 200 %
            return browser.new_context(viewport={"width": 720, "height": 500}, device_scale_factor=2)
        case "tablet":
            return browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, is_mobile=True)
        case _:
            return browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)


def give_image(page: Page) -> None:
    page.locator("#image input[type=file]").set_input_files(files=[IMAGE])
    expect(page.locator("#image")).to_contain_text(".dcm")


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
    return parts.contexts[-1]


def to_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).first.click()


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag on the X-ray, in shares of its size."""
    area = page.locator(".cds-canvas").bounding_box()
    assert area is not None
    places = [(area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=3)
    page.mouse.up()


def said(store: Store, kind: FeedbackKind) -> list[Feedback]:
    return [one for one in store.feedback.all() if one.kind is kind]


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

    for label, name in (
        ("HTML", "report.html"),
        ("JSON", "report.json"),
        ("FHIR", "bundle.json"),
        ("PDF", "report.pdf"),
    ):
        with page.expect_download() as waiting:
            page.locator("#outcome .cds-actions").get_by_role("button", name=label, exact=True).press("Enter")
        assert waiting.value.suggested_filename == name
        content = waiting.value.path().read_bytes()
        if name.endswith(".json"):
            assert json.loads(content)
        else:
            assert content.lstrip().lower().startswith((b"<!doctype html>", b"%pdf-"))

    # What is not configured says so, also without a mouse.
    for label in ("Patient page", "Send to EHR", "Send to PACS"):
        button = page.locator("#outcome .cds-actions").get_by_role("button", name=label)
        expect(button).to_be_disabled()
        assert (button.get_attribute("aria-description") or "") in page.locator(".cds-greyed").inner_text()

    # A changed answer takes the old report away; the upload is still there when the clinician asks again.
    to_tab(page, "Case")
    answer(page, "displaced", "Yes")
    expect(page.locator(REPORT)).to_have_count(0)
    assert assess(page, parts) == replace(stated, displaced=True)


def test_problems_are_explained(page: Page, parts: FakeParts) -> None:
    panel = page.locator("#status .problem")
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


def test_own_read_to_signed_history(page: Page, store: Store) -> None:
    give_image(page)
    page.locator("#heat-maps input").check()
    page.locator("#read-first input").check()
    page.locator("#assess").click()

    # Until the own read is recorded, the browser holds pixels and nothing of the machine's.
    expect(page.locator("#outcome .cds-own")).to_be_visible()
    expect(page.locator("#outcome [data-ready]")).to_be_visible()
    expect(page.locator(REPORT)).to_have_count(0)
    held = page.locator("#outcome").inner_html().lower()
    assert "definite" not in held and "senior review" not in held
    to_tab(page, "History")  # nor is that the way round
    page.locator(".cds-open").first.click()
    expect(page.locator("#history")).to_contain_text("own read of this case comes first")
    to_tab(page, "Result")
    page.locator(".cds-own-keep").click()
    expect(page.locator(".cds-answer")).to_contain_text("Choose")
    page.get_by_label("Fracture", exact=True).check()
    page.locator(".cds-own-draw").click()
    drag(page, (0.42, 0.58), (0.48, 0.74))
    page.locator(".cds-keep").click()
    page.locator(".cds-own-keep").click()
    expect(page.locator(".cds-agreement")).to_contain_text("agree")
    expect(page.locator(".cds-agreement")).to_contain_text("place 1")
    (read,) = said(store, FeedbackKind.OWN_READ)
    assert read.content.fracture is True and len(read.content.boxes) == 1 and (read.content.seconds or 0) > 0

    # One click each; what was said can be corrected, and the store shows what stands.
    expect(page.locator("#outcome [data-ready]")).to_be_visible()
    page.get_by_role("button", name="Agree, place 1").click()
    expect(page.locator(".cds-finding").first).to_contain_text("Stored: agreed")
    page.get_by_role("button", name="Correct, place 1").click()
    drag(page, (0.3, 0.5), (0.6, 0.8))
    page.locator(".cds-type").select_option("oblique")
    page.locator(".cds-keep").click()
    expect(page.locator(".cds-finding").first).to_contain_text("Stored: corrected, oblique")
    page.get_by_role("button", name="Reject, place 2").click()
    expect(page.locator(".cds-finding").nth(1)).to_contain_text("Stored: rejected")
    page.locator(".cds-missed").click()
    drag(page, (0.6, 0.1), (0.7, 0.2))
    page.locator(".cds-keep").click()
    expect(page.locator(".cds-panels")).to_contain_text("missed fracture M1")
    page.locator(".cds-outcome summary").click()
    page.locator("#cds-weeks").fill("7")
    page.get_by_role("radio", name="United", exact=True).check()
    page.locator(".cds-keep-outcome").click()
    expect(page.locator(".cds-outcome")).to_contain_text("united at 7 weeks")
    assert said(store, FeedbackKind.AGREE) == []
    (corrected,) = said(store, FeedbackKind.CORRECT)
    x0, y0, x1, y1 = corrected.content.boxes[0]
    assert 0 <= x0 < x1 <= 240 and 0 <= y0 < y1 <= 320 and corrected.supersedes is not None
    assert [len(said(store, kind)) for kind in (FeedbackKind.REJECT, FeedbackKind.MISSED, FeedbackKind.OUTCOME)] == [
        1
    ] * 3

    # By key: right after a scroll, headless Chromium may hand a mouse click to the sandboxed frame instead.
    page.locator("#cds-tab-risk").press("Enter")
    expect(page.frame_locator(REPORT).locator("#risk-title")).to_be_visible()
    expect(page.frame_locator(REPORT).locator("#follow-up-title")).to_be_hidden()

    page.get_by_role("button", name="Sign the report").press("Enter")
    expect(page.locator(".cds-status")).to_contain_text("Signed by")
    with page.expect_download() as waiting:
        page.locator(".cds-language").select_option("de")
        page.get_by_role("button", name="Patient page").press("Enter")
    assert b'lang="de-DE"' in waiting.value.path().read_bytes()

    # The history finds it; opened again it is signed, and the judgements are there.
    to_tab(page, "History")
    page.locator("#history-text").locator("input, textarea").fill(store.cases.find(CaseQuery(limit=1)).cases[0].id[:8])
    expect(page.locator(".cds-open")).to_have_count(1)
    page.locator(".cds-open").click()
    expect(page.locator(".cds-status")).to_contain_text("Signed by")
    expect(page.locator(".cds-finding").first).to_contain_text("Stored: corrected, oblique")
    page.locator("#history-text").locator("input, textarea").evaluate("(node) => node.blur()")


def test_keyboard_alone(page: Page, store: Store) -> None:
    before = len(said(store, FeedbackKind.MISSED))
    give_image(page)
    page.locator("#assess").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#outcome [data-ready]")).to_be_visible()
    canvas = page.locator(".cds-canvas")

    def until(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    until(".cds-canvas")  # the heading has the focus when a result appears
    picture = canvas.screenshot()
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Boxes")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    assert canvas.screenshot() != picture
    zoom = page.get_by_label("Zoom")
    assert zoom.input_value() == "125" and page.get_by_label("Window", exact=True).first.input_value() != "100"
    page.keyboard.press("0")
    expect(zoom).to_have_value("100")
    page.keyboard.press("b")
    page.keyboard.press("n")
    expect(page.locator(".cds-said")).to_contain_text("Place 2")
    until(".cds-reject")
    page.keyboard.press("Space")
    expect(page.locator(".cds-finding").first).to_contain_text("Stored: rejected")
    expect(page.locator(".cds-reject").first).to_be_focused()
    until(".cds-missed")
    page.keyboard.press("Enter")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".cds-panels")).to_contain_text("missed fracture M1")
    assert len(said(store, FeedbackKind.MISSED)) == before + 1
    until("[role=tab][aria-selected=true]")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cds-tab-image")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("page", ["zoomed", "tablet"], indirect=True)
def test_small_screens_need_no_sideways_scrolling(page: Page, request: pytest.FixtureRequest) -> None:
    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"))

    assert fits()
    give_image(page)
    page.locator("#assess").click()
    expect(page.locator("#outcome [data-ready]")).to_be_visible()
    assert fits()
    if "tablet" in request.node.name:
        page.get_by_role("button", name="Agree, place 1").tap()
        heights = page.locator("#outcome button:visible").evaluate_all(
            "(all) => all.filter((one) => !one.matches('.cds-place')).map((one) => one.getBoundingClientRect().height)"
        )
        assert min(height for height in heights if height) >= 44  # those in closed parts have none
    else:
        page.get_by_role("button", name="Agree, place 1").click()
    expect(page.locator(".cds-finding").first).to_contain_text("Stored: agreed")
