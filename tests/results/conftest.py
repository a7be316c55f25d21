"""A real browser for the tests of pages."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync", "extensions", "default-apps")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that fetches nothing of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install keraskit[dev]")
    if not CHROMIUM:
        pytest.skip("no Chromium here: apt install chromium")
    with playwright.sync_playwright() as running:
        words = ["--no-sandbox", "--no-first-run", *(f"--disable-{word}" for word in QUIET)]
        opened = running.chromium.launch(executable_path=CHROMIUM, args=words)
        yield opened
        opened.close()
