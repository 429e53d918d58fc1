"""Every screen at two widths: no script error, nothing wider than the page.

`--screens` (make screenshots) takes each width in light and in dark, tries what goes wrong too, and keeps the pictures
in tests/e2e/out, and a contact sheet of each screen in tests/e2e/out/sheets; those of the README come from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Served, open_tab
from tests.e2e.contact_sheets import STATES, sheets

TABS = (
    "Home",
    "Projects",
    "Label",
    "Review",
    "Suggestions",
    "Team",
    "Data",
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
LONG = 30_000


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def sized(request: pytest.FixtureRequest, browser: Browser, served: Served) -> Iterator[tuple[Page, str]]:
    """The studio's page at a width and in a theme, and a name for it."""
    width, theme = request.param
    if (width, theme) in ((1280, "dark"), (390, "light")) and not request.config.getoption("--screens"):
        pytest.skip("a theme changes no width: each in both by `make screenshots`")
    page = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{served.url}/?__theme={theme}")
    page.locator("#tabs [role=tab]").first.wait_for(state="attached")
    yield page, f"{width}-{theme}"
    page.close()
    assert errors == []


def show(page: Page, name: str) -> None:
    """Open a tab and let it settle."""
    open_tab(page, name)
    page.wait_for_timeout(500)


def fill(page: Page) -> None:
    """The sample project with a snapshot."""
    show(page, "Projects")
    page.get_by_role("button", name="Create sample project").click()
    expect(page.locator(".item.current")).to_be_visible()
    show(page, "Datasets")
    page.get_by_role("button", name="Freeze snapshot").click()
    expect(page.locator("#datasets-columns .item.current")).to_be_visible()


def broken_file(page: Page) -> None:
    """A file that is no file."""
    broken = {"name": "broken.parquet", "mimeType": "application/octet-stream", "buffer": b"no rows here"}
    page.locator("#data-file input[type=file]").set_input_files([broken])  # type: ignore[list-item]
    expect(page.locator(".notice.bad:visible")).to_be_visible(timeout=LONG)


def no_such_model(page: Page) -> None:
    """A base model that is not there."""
    field = page.locator("#train-panel").get_by_label("Base model")
    field.fill("/nowhere/model")
    field.press("Enter")
    expect(page.locator("#train-plan .notice.bad")).to_be_visible(timeout=LONG)


def nothing_to_ask(page: Page) -> None:
    """Answers without a run to give them."""
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".notice.bad:visible")).to_be_visible(timeout=LONG)


def no_connection(page: Page) -> None:
    """An answer that cannot be sent; the connection is back afterwards."""
    page.context.set_offline(True)
    page.get_by_label("Response").fill("Ahoy!")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".desk")).to_contain_text("Not saved yet: no connection", timeout=LONG)


def no_name(page: Page) -> None:
    """A project without a name."""
    page.get_by_role("button", name="New project").click()
    page.get_by_role("button", name="Create project").click()
    expect(page.locator("[data-testid=toast-body]")).to_be_visible(timeout=LONG)


ERRORS: dict[str, Callable[[Page], None]] = {
    "Data": broken_file,
    "Train": no_such_model,
    "Compare": nothing_to_ask,
    "Label": no_connection,
    "Projects": no_name,
}
"""Screens on which something can go wrong here, and how; the one whose toast stays for a while comes last."""


def test_every_screen_fits(sized: tuple[Page, str], request: pytest.FixtureRequest) -> None:
    page, name = sized
    keep = request.config.getoption("--screens")
    for state in STATES if keep else STATES[:2]:
        if state == "filled":
            fill(page)
        for tab in ERRORS if state == "error" else TABS:
            show(page, tab)
            if state == "error":
                ERRORS[tab](page)
            too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert too_wide <= 0, f"{tab} ({state}) is {too_wide} px wider than the page"
            if keep:
                OUT.mkdir(exist_ok=True)
                page.screenshot(path=OUT / f"{tab.lower()}-{name}-{state}.png", full_page=True)
            page.context.set_offline(False)


def test_contact_sheets(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--screens"):
        pytest.skip("contact sheets are made by `make screenshots`")
    made = sheets(OUT, [tab.lower() for tab in TABS])
    for tab in TABS:
        assert len(made[tab.lower()]) == 4 * (3 if tab in ERRORS else 2), f"{tab} lacks pictures"
    print(f"\none sheet a screen: {OUT / 'sheets'}")


def test_tabs_stand_in_the_order_of_the_loop(page: Page) -> None:
    names = [tab.inner_text() for tab in page.get_by_role("tab").all() if tab.is_visible()]
    assert names == list(TABS)
    open_tab(page, "Compare")
    expect(page.get_by_text("Nothing to compare yet")).to_be_visible()
