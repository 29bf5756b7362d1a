"""The web form in a browser, for tests: a page that minds what leaves the machine, and what a person does on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

PATIENCE_MS = 120_000
"""A quiet machine needs a second; a busy one must not fail."""
REPORT = "#outcome iframe"
IMAGE = FilePayload(name="x.dcm", mimeType="application/dicom", buffer=b"image")

expect.set_options(timeout=PATIENCE_MS)


def screen(browser: Browser, kind: str = "desk") -> BrowserContext:
    """A browser's window: ``desk``, ``zoomed`` (1440 by 1000 at 200 %) or ``tablet``."""
    match kind:
        case "zoomed":
            return browser.new_context(viewport={"width": 720, "height": 500}, device_scale_factor=2)
        case "tablet":
            return browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, is_mobile=True)
        case _:
            return browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)


@contextmanager
def minded_page(browser: Browser, kind: str = "desk", *, hosts: frozenset[str] = frozenset()) -> Iterator[Page]:
    """A page; at the end nothing may have gone wrong in the browser or left this machine.

    Args:
        browser: running.
        kind: as in `screen`.
        hosts: ``host:port`` that may be asked; none means any port of this machine.
    """
    asked: list[str] = []
    complaints: list[str] = []
    with screen(browser, kind) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("request", lambda one: asked.append(one.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        yield page
    parts = [urlsplit(url) for url in asked]
    places = [one for one in parts if one.scheme not in {"data", "blob", "about"}]
    assert {one.hostname for one in places} <= {"127.0.0.1"}
    assert not hosts or {one.netloc for one in places} <= hosts
    assert complaints == [], complaints


def give_image(page: Page, image: FilePayload = IMAGE) -> None:
    """Choose the X-ray."""
    page.locator("#image input[type=file]").set_input_files(files=[image])
    expect(page.locator("#image")).to_contain_text(".dcm")


def assess(page: Page) -> None:
    """Press the button and wait until report and viewer are there."""
    page.locator("#assess").click()
    expect(page.frame_locator(REPORT).locator("h1")).to_be_visible()


def to_tab(page: Page, name: str) -> None:
    """Go to a tab of the form."""
    page.get_by_role("tab", name=name, exact=True).first.click()


def fill(page: Page, element: str, text: str) -> None:
    """Write into one field of the form."""
    page.locator(f"#{element}").locator("input, textarea").fill(text)


def sign(page: Page) -> None:
    """Sign the report on the screen."""
    page.get_by_role("button", name="Sign the report").press("Enter")
    expect(page.locator(".cds-status")).to_contain_text("Signed by")
