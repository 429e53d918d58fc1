"""Every screen at two widths in light and dark: no script error, nothing wider than the page.

`--screens` (make screenshots) keeps the pictures in tests/e2e/out; those of the README come from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Served, open_tab

TABS = (
    "Projects",
    "Data",
    "Label",
    "Review",
    "Suggestions",
    "Team",
    "Datasets",
    "Preflight",
    "Train",
    "Evaluate",
    "Compare",
    "Deploy",
    "Monitor",
    "People",
)
OUT = Path(__file__).parent / "out"


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def sized(request: pytest.FixtureRequest, browser: Browser, served: Served) -> Iterator[tuple[Page, str]]:
    """The studio's page at a width and in a theme, and a name for it."""
    width, theme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{served.url}/?__theme={theme}")
    page.get_by_role("tab", name="Projects").wait_for()
    yield page, f"{width}-{theme}"
    page.close()
    assert errors == []


def show(page: Page, name: str) -> None:
    """Open a tab, through the overflow menu where the page is narrow."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown button", has_text=name).first.click()
    else:
        tab.click()
    page.wait_for_timeout(500)


def test_every_screen_fits(sized: tuple[Page, str], request: pytest.FixtureRequest) -> None:
    page, name = sized
    keep = request.config.getoption("--screens")
    for filled in (False, True):
        if filled:
            show(page, "Projects")
            page.get_by_role("button", name="Create sample project").click()
            expect(page.locator(".item.current")).to_be_visible()
            show(page, "Datasets")
            page.get_by_role("button", name="Freeze snapshot").click()
            expect(page.locator("#datasets-columns .item.current")).to_be_visible()
        for tab in TABS:
            show(page, tab)
            too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert too_wide <= 0, f"{tab} is {too_wide} px wider than the page"
            if keep:
                OUT.mkdir(exist_ok=True)
                page.screenshot(
                    path=OUT / f"{tab.lower()}-{name}-{'filled' if filled else 'empty'}.png", full_page=True
                )


def test_tabs_stand_in_the_order_of_the_loop(page: Page) -> None:
    names = [tab.inner_text() for tab in page.get_by_role("tab").all() if tab.is_visible()]
    assert names == list(TABS)
    open_tab(page, "Compare")
    expect(page.get_by_text("Nothing to compare yet")).to_be_visible()
