"""Every screen at two widths and at a zoom of 200 %: no script error, nothing wider than the page, cut or overlapping.

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


SIZES = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (640, "light"))
"""Widths in CSS pixels and themes. 640 is what 1280 pixels have at a zoom of 200 %."""
ZOOMED = 640
ONLY_PICTURES = ((1280, "dark"), (390, "light"))
"""A theme changes no width: in each of both by `make screenshots` alone."""

OUT_OF_PLACE = """() => {
  const panel = [...document.querySelectorAll('[role=tabpanel]')].find((one) => one.checkVisibility());
  const shown = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const name = (node) => `${node.tagName} ${node.className} ${(node.innerText || node.ariaLabel || '').slice(0, 40)}`;
  const nodes = [...panel.querySelectorAll('*')].filter((node) => shown(node) && !node.closest('svg'));
  const says = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  const clips = (node) => /auto|scroll|hidden|clip/.test(getComputedStyle(node).overflow);
  const around = (node) => {
    const all = [];
    for (let one = node.parentElement; one && one !== document.body; one = one.parentElement) all.push(one);
    return all.filter(clips);
  };
  const cut = nodes.filter((node) => {
    const style = getComputedStyle(node);
    return says(node) && /hidden|clip/.test(style.overflowX) && style.textOverflow !== 'ellipsis'
      && style.clipPath === 'none' && node.clientWidth > 1 && node.scrollWidth - node.clientWidth > 1;
  });
  const scrolls = (node) => /auto|scroll/.test(getComputedStyle(node).overflowX) && node.scrollWidth > node.clientWidth;
  const beyond = nodes.filter((node) =>
    says(node) && node.getBoundingClientRect().right > innerWidth + 1 && !around(node).some(scrolls));
  // What is seen of a control: without what its scrolling surroundings hide.
  const seen = (node) => around(node).map((one) => one.getBoundingClientRect()).reduce((box, frame) => ({
    left: Math.max(box.left, frame.left), right: Math.min(box.right, frame.right),
    top: Math.max(box.top, frame.top), bottom: Math.min(box.bottom, frame.bottom),
  }), node.getBoundingClientRect());
  const controls = nodes
    .filter((node) => node.matches('button, input:not([type=file]), select, textarea, a[href], summary'))
    .map((node) => [node, seen(node)]).filter(([, box]) => box.right - box.left > 2 && box.bottom - box.top > 2);
  // What is held at an edge of the window lies over what is scrolled beneath it, as it is meant to.
  const held = (node) => {
    for (let one = node; one; one = one.parentElement) if (getComputedStyle(one).position === 'sticky') return one;
    return null;
  };
  const over = [];
  controls.forEach(([one, a], index) => controls.slice(index + 1).forEach(([other, b]) => {
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const tall = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    const apart = wide <= 3 || tall <= 3 || one.contains(other) || other.contains(one) || held(one) !== held(other);
    if (!apart) over.push(`${name(one)} | ${name(other)}`);
  }));
  return { cut: cut.map(name), beyond: beyond.map(name), over };
}"""
"""Texts that are cut off, texts that stand beyond the page, and controls that lie over one another."""


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}-{size[1]}")
def sized(request: pytest.FixtureRequest, browser: Browser, served: Served) -> Iterator[tuple[Page, str]]:
    """The studio's page at a width and in a theme, and a name for it."""
    width, theme = request.param
    if request.param in ONLY_PICTURES and not request.config.getoption("--screens"):
        pytest.skip("a theme changes no width: each in both by `make screenshots`")
    zoom = 2 if width == ZOOMED else 1
    page = browser.new_page(viewport={"width": width, "height": 900 // zoom}, device_scale_factor=zoom)
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
    keep = request.config.getoption("--screens") and not name.startswith(str(ZOOMED))
    for state in STATES if keep else STATES[:2]:
        if state == "filled":
            fill(page)
        for tab in ERRORS if state == "error" else TABS:
            show(page, tab)
            if state == "error":
                ERRORS[tab](page)
            too_wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert too_wide <= 0, f"{tab} ({state}) is {too_wide} px wider than the page"
            misplaced = {what: found for what, found in page.evaluate(OUT_OF_PLACE).items() if found}
            assert misplaced == {}, f"{tab} ({state}, {name})"
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
