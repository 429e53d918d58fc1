"""Home, the sidebar and the address in a browser: the next step leads on, and a place can be gone back to and sent."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.bench.bench_page import SHIFT_LIMIT, shift
from tests.e2e.conftest import Served, freeze, open_tab

LONG = 30_000
"""Milliseconds that a step may take where pages load, on two busy cores."""
SHOWN_AT_ONCE = ("home", "label", "datasets", "train", "monitor")


def place(page: Page) -> dict[str, str]:
    """What the address says of where one is."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def open_now(page: Page, name: str) -> None:
    """Wait until a tab is the open one."""
    expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true", timeout=LONG)


def test_home_leads_on_and_the_address_leads_back(page: Page, browser: Browser) -> None:
    open_tab(page, "Projects")
    page.get_by_role("button", name="Create sample project").click()
    page.locator(".item.current").wait_for()
    open_tab(page, "Home")
    expect(page.locator(".home .next")).to_contain_text("205 accepted pairs", timeout=LONG)
    expect(page.locator(".beside-tabs .badge")).to_have_text("15", timeout=LONG)
    expect(page.get_by_role("tab", name="Label", exact=True)).to_have_attribute("aria-description", "15 to label")
    page.locator(".home .next").get_by_role("button", name="Freeze a snapshot").click()
    open_now(page, "Datasets")
    expect(page).to_have_url(re.compile("tab=datasets"), timeout=LONG)
    freeze(page)
    expect(page).to_have_url(re.compile("snapshot=[0-9a-f]{16}"), timeout=LONG)
    project = place(page)["project"]

    page.go_back()
    open_now(page, "Home")
    expect(page.locator(".home .next")).to_contain_text("Snapshot v1 has 165 rows to train on", timeout=LONG)
    page.go_forward()
    open_now(page, "Datasets")
    page.reload()
    open_now(page, "Datasets")
    expect(page.locator("#datasets-columns .item.current")).to_contain_text("165 train", timeout=LONG)

    open_tab(page, "Label")
    expect(page).to_have_url(re.compile("example="), timeout=LONG)
    example = place(page)["example"]
    other = browser.new_page()
    other.goto(page.url)
    open_now(other, "Label")
    expect(other.locator(f".desk[data-project='{project}'][data-example='{example}']")).to_be_visible(timeout=LONG)
    other.close()


def test_nothing_jumps_on_a_page_that_opens_on_a_tab(page: Page, browser: Browser) -> None:
    open_tab(page, "Projects")
    page.get_by_role("button", name="Create sample project").click()
    page.locator(".item.current").wait_for()
    open_tab(page, "Datasets")
    freeze(page)
    seen = {name: shift(browser, page.url.replace("tab=datasets", f"tab={name}"), name) for name in SHOWN_AT_ONCE}
    assert {name: worst for name, worst in seen.items() if worst > SHIFT_LIMIT} == {}


def test_a_narrow_page_has_a_drawer_and_axe_finds_nothing_serious(browser: Browser, served: Served) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(served.url)
    expect(page.locator(".home.welcome")).to_be_visible(timeout=LONG)
    menu = page.get_by_role("button", name="Menu")
    expect(page.get_by_role("tab", name="Train")).to_have_count(0)
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("tab", name="Home")).to_be_focused(timeout=LONG)
    page.evaluate("document.querySelector('.look').click()")  # as the page itself does when a project arrives
    expect(menu).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("tab", name="Projects")).to_be_focused(timeout=LONG)
    page.keyboard.press("Enter")
    expect(page.locator("#menu .here")).to_have_text("Projects", timeout=LONG)
    expect(menu).to_have_attribute("aria-expanded", "false")
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    menu.click()
    page.wait_for_timeout(400)
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
    page.close()
