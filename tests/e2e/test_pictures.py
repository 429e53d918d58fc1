"""The README's pictures: the sample project labeled, trained for real and compared (`make screenshots`, minutes)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Served, freeze, open_tab, start_training

PICTURES = Path(__file__).parent / "pictures"


@pytest.fixture
def page(browser: Browser, served: Served, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The sample project, frozen."""
    if not request.config.getoption("--screens"):
        pytest.skip("the pictures of the README are made by `make screenshots`")
    PICTURES.mkdir(exist_ok=True)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(served.url)
    page.get_by_role("button", name="Create sample project").click()
    page.locator(".item.current").wait_for()
    freeze(page)
    yield page
    page.close()


@pytest.mark.timeout(3600)
def test_pictures_of_train_and_compare(page: Page) -> None:
    start_training(page)
    expect(page.locator("#train-columns h2 .chip")).to_have_text("done", timeout=3_000_000)
    page.screenshot(path=PICTURES / "train.png")
    open_tab(page, "Compare")
    page.get_by_label("Prompt", exact=True).fill("My kettle shows E3. What now?")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".pane .weights")).to_have_count(2, timeout=300_000)
    page.screenshot(path=PICTURES / "compare.png")


def test_picture_of_label(page: Page) -> None:
    open_tab(page, "Label")
    field = page.get_by_label("Response")
    for answer in ("Ahoy! Five flashes mean E5: the wifi is lost. Fair winds, the Tideline crew.", "Ahoy! Gladly."):
        field.fill(answer)
        page.wait_for_timeout(2000)
        field.press("Control+Enter")
        expect(page.locator(".desk-say")).to_have_text("Saved.")
    field.fill("Ahoy! Yes, it is covered: the warranty runs for 3 years from the day of delivery.")
    page.wait_for_timeout(4000)
    page.screenshot(path=PICTURES / "label.png")
