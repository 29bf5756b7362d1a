"""The X-ray viewer in a real browser: every switch changes the picture, and back again; by mouse, key and finger."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from cds.audit import NoAuditTrail
from cds.entrypoints.web import create_app
from cds.settings import Settings
from tests.support.browser import launched
from tests.support.fakes import FakeParts
from tests.support.form import assess, give_image, minded_page
from tests.support.server import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), audit_log=None, store="off")
    with serving(create_app(settings, FakeParts().engines(), NoAuditTrail())) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A result with its viewer."""
    with minded_page(browser) as opened:
        opened.goto(address)
        give_image(opened)
        opened.locator("#heat-maps input").check()
        assess(opened)
        expect(opened.locator("#outcome [data-ready]")).to_be_visible()
        yield opened


def shown(page: Page) -> str:
    """The pixels of the canvas once it is painted."""
    painted = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(painted)
    return str(page.locator(".cds-canvas").evaluate("(canvas) => canvas.toDataURL()"))


@pytest.mark.parametrize(("name", "key", "begins"), [("Boxes", "b", "true"), ("Measures", "g", "false")])
def test_switches_by_mouse_and_by_key(page: Page, name: str, key: str, begins: str) -> None:
    button, other = page.get_by_role("button", name=name, exact=True), "false" if begins == "true" else "true"
    before = shown(page)
    expect(button).to_have_attribute("aria-pressed", begins)
    button.click()
    expect(button).to_have_attribute("aria-pressed", other)
    changed = shown(page)
    assert changed != before
    page.locator(".cds-canvas").press(key)
    expect(button).to_have_attribute("aria-pressed", begins)
    assert shown(page) == before


def test_the_heat_map_comes_and_goes(page: Page) -> None:
    heat, canvas = page.get_by_label("Heat map (H)"), page.locator(".cds-canvas")
    before = shown(page)
    expect(heat.locator("option").first).to_have_text("Heat map off")
    heat.select_option(index=1)
    expect(page.locator(".cds-said")).to_contain_text("Heat map: place 1")
    with_heat = shown(page)
    assert with_heat != before
    canvas.press("h")
    while heat.input_value() != "-1":
        canvas.press("h")
    expect(page.locator(".cds-said")).to_have_text("Heat map off.")
    assert shown(page) == before


def test_window_and_level_by_slider_key_and_drag(page: Page) -> None:
    canvas, before = page.locator(".cds-canvas"), shown(page)
    window, level = (page.locator(f".cds-slider input[aria-label={name}]") for name in ("Window", "Level"))
    window.fill("30")
    narrow = shown(page)
    level.fill("70")
    assert len({before, narrow, shown(page)}) == 3
    expect(window).to_have_attribute("aria-valuetext", "30%")
    canvas.press("Shift+ArrowRight")
    expect(window).to_have_value("34")
    page.get_by_role("button", name="Window", exact=True).click()
    area = canvas.bounding_box()
    assert area is not None
    middle = (area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 45, steps=4)
    page.mouse.up()
    expect(window).to_have_value("54")
    expect(level).to_have_value("55")
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Move").click()
    assert shown(page) == before


def test_zoom_and_pan(page: Page) -> None:
    canvas, before = page.locator(".cds-canvas"), shown(page)
    canvas.focus()
    for _ in range(4):
        canvas.press("+")
    zoomed = shown(page)
    canvas.press("ArrowLeft")
    assert len({before, zoomed, shown(page)}) == 3
    canvas.press("0")
    assert shown(page) == before


def test_measurements_are_drawn_and_stand_in_words(page: Page) -> None:
    measures = page.locator(".cds-finding details").first
    measures.locator("summary").click()
    expect(measures).to_contain_text("20% of the shaft's width")
    page.get_by_label("Heat map (H)").select_option(index=0)


def test_pictures_for_a_person(page: Page, tmp_path: Path) -> None:
    """Everything on at once draws without a complaint of the browser."""
    page.get_by_role("button", name="Measures", exact=True).click()
    page.get_by_label("Heat map (H)").select_option(index=1)
    page.screenshot(path=tmp_path / "all.png")
    assert (tmp_path / "all.png").stat().st_size > 20_000
