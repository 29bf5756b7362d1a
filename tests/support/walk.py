"""A person's walk through the form with the real models, as pictures: ``python -m tests.support.walk FOLDER``.

Upload, finding, plan, sources, signature, history, of the drawn X-ray and the fictional patient of ``cds demo``; the
case on a tablet, and at 200 %. Small pictures: 64 colours, fit for a README.
"""

import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from cds.audit import NoAuditTrail
from cds.bootstrap import build_engines
from cds.demo import demo_image
from cds.demo_patient import demo_bundle
from cds.entrypoints.web import create_app
from cds.settings import Settings
from cds.store.opening import open_store
from tests.support.browser import launched
from tests.support.form import give_image, screen, sign, to_tab
from tests.support.server import serving

PATIENCE_MS = 900_000
COLOURS = 64
CHOICES = {"site": "distal radius", "mechanism": "low energy"}
ANSWERS = {
    "displaced": "Yes",
    "open_wound": "No",
    "skin_threatened": "No",
    "neurological_deficit": "No",
    "vascular_deficit": "No",
}
Shot = Callable[[str], None]


def main(folder: Path) -> None:
    """Walk, and leave the pictures in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as data:
        settings = Settings(data_dir=Path(data), audit_log=None)
        store = open_store(settings)
        try:
            app = create_app(settings, build_engines(settings), NoAuditTrail(), store)
            with serving(app) as address, launched() as browser:
                for kind, walk in (("desk", _desk), ("tablet", _small), ("zoomed", _small)):
                    with screen(browser, kind) as context:
                        context.set_default_timeout(PATIENCE_MS)
                        page = context.new_page()
                        page.goto(address)
                        expect(page.locator("#assess")).to_be_visible()
                        prefix = "" if kind == "desk" else f"{kind}-"
                        walk(page, partial(_shot, page, folder, prefix))
        finally:
            store.close()


def _desk(page: Page, shot: Shot) -> None:
    give_image(page, FilePayload(name="left-forearm.dcm", mimeType="application/dicom", buffer=demo_image()))
    record = demo_bundle(datetime.now().astimezone())
    page.locator("#record input[type=file]").set_input_files(
        files=[FilePayload(name="fictional-patient.json", mimeType="application/json", buffer=record)]
    )
    expect(page.locator("#record")).to_contain_text(".json")
    for name, option in CHOICES.items():
        page.locator(f"#bedside-{name} input").click()
        page.get_by_role("option", name=option).click()
    for name, word in ANSWERS.items():
        page.locator(f"#bedside-{name}").get_by_text(word, exact=True).click()
    page.locator("#heat-maps input").check()
    shot("upload")
    page.locator("#assess").click()
    expect(page.locator("#outcome [data-ready]")).to_be_visible()
    if page.locator(".cds-judge .cds-agree").count():
        page.locator(".cds-judge .cds-agree").first.press("Enter")
        expect(page.locator(".cds-stored").first).to_be_visible()
    page.mouse.move(5, 5)
    shot("finding")
    heat = page.get_by_label("Heat map (H)")
    if heat.is_enabled():
        heat.select_option(index=1)
        shot("heat")
        heat.select_option(index=0)
    for part in ("risk", "plan", "sources"):
        page.locator(f"#cds-tab-{part}").press("Enter")
        shot(part)
    sign(page)
    shot("signed")
    to_tab(page, "History")
    expect(page.locator(".cds-open").first).to_be_visible()
    shot("history")


def _small(page: Page, shot: Shot) -> None:
    shot("case")
    to_tab(page, "History")
    page.locator(".cds-open").first.click()
    expect(page.locator("#outcome [data-ready]")).to_be_visible()
    shot("finding")


def _shot(page: Page, folder: Path, prefix: str, name: str) -> None:
    """One picture, of few colours."""
    path = folder / f"{prefix}{name}.png"
    page.wait_for_timeout(1500)
    page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(path, path.stat().st_size, "bytes", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
