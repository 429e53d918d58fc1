"""The verdict's page: saved from Evaluate, opened in a browser of its own that nothing is served to, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Served
from tests.e2e.test_evaluate import judged_page

QUESTION = "Question 2?"


def saved(page: Page, folder: Path) -> Path:
    """The file that "Save as page" brings."""
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="Save as page").click()
    assert waiting.value.suggested_filename == "Mail-run-1-verdict.html"
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@pytest.mark.timeout(900)
def test_the_verdict_is_saved_sent_and_read(page: Page, served: Served, browser: Browser, tmp_path: Path) -> None:
    judged_page(page, served)
    file = saved(page, tmp_path)
    page.get_by_label("With texts of the rows").uncheck()
    assert QUESTION in file.read_text() and QUESTION not in saved(page, tmp_path / "bare").read_text()
    served.stop()  # whoever gets the file has no studio
    for width, colours in ((1280, "light"), (390, "dark")):
        read(browser, file, width, colours)


def read(browser: Browser, file: Path, width: int, colours: str) -> None:
    """Open it as its reader would: every request is recorded, script is off as the page has none."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=colours,  # type: ignore[arg-type]
    )
    other, asked, said = context.new_page(), [], []
    other.on("request", lambda request: asked.append(request.url))
    other.on("console", lambda message: said.append(message.text))
    other.goto(file.as_uri())
    expect(other.locator("h1")).to_have_text("Better.")
    expect(other.locator("article").first).to_contain_text("Question")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == [] and said == []
    assert other.evaluate("document.scripts.length") == 0
    assert other.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(other).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    other.emulate_media(media="print", color_scheme="dark")
    assert other.evaluate("getComputedStyle(document.body).color") == "rgb(27, 39, 51)"  # light on paper
    context.close()
