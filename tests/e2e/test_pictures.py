"""The README's pictures: the sample project labeled, trained for real and compared (`make screenshots`, minutes)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Served, freeze, open_tab, start_training
from tests.e2e.film import Film

PICTURES = Path(__file__).parent / "pictures"


@pytest.fixture
def page(browser: Browser, served: Served, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The sample project, frozen."""
    if not request.config.getoption("--screens"):
        pytest.skip("the pictures of the README are made by `make screenshots`")
    PICTURES.mkdir(exist_ok=True)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(served.url)
    open_tab(page, "Projects")
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


@pytest.mark.timeout(1800)
def test_the_moving_picture(page: Page) -> None:
    film = Film()
    label_one(page, film)
    start_training(page, **{"Max steps": 24, "Batch size": 4, "Learning rate": 0.001})
    chip = page.locator("#train-columns h2 .chip")
    chip.wait_for()
    page.evaluate("scrollTo(0, 0)")
    for _ in range(400):
        film.shoot(page, 350)
        if chip.inner_text() == "done":
            break
        page.wait_for_timeout(4000)
    expect(chip).to_have_text("done")
    film.shoot(page, 2000)
    compare_both(page, film)
    film.save(PICTURES / "loop.gif")


def label_one(page: Page, film: Film) -> None:
    """An answer is written and sent by key."""
    open_tab(page, "Label")
    field = page.get_by_label("Response")
    expect(field).to_be_focused()
    film.shoot(page, 900)
    for words in ("Ahoy! Five flashes", " mean E5: the wifi is lost.", " Fair winds, the Tideline crew."):
        field.press_sequentially(words)
        film.shoot(page, 500)
    field.press("Control+Enter")
    expect(page.locator(".desk-say")).to_have_text("Saved.")
    film.shoot(page, 1200)


def compare_both(page: Page, film: Film) -> None:
    """Base and run answer while one looks."""
    open_tab(page, "Compare")
    expect(page.locator("#compare-runs")).to_contain_text("Run 1 ")
    page.get_by_label("Prompt", exact=True).fill("My kettle shows E3. What now?")
    page.get_by_label("Max tokens").fill("48")
    film.shoot(page, 900)
    page.get_by_role("button", name="Generate", exact=True).click()
    whole = page.locator(".pane .weights")
    for _ in range(600):
        if whole.count() == 2:
            break
        film.shoot(page, 250)
        page.wait_for_timeout(250)
    expect(whole).to_have_count(2)
    film.shoot(page, 4000)
