"""A real Chromium for end-to-end tests; missing, it skips on a desk and fails in CI."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str:
    """Path of the installed browser; skips the test without one, or fails it under ``CI=true``."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("the end-to-end tests need Chromium (apt-get install chromium)")
    pytest.skip("no Chromium on this machine")


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless browser."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
