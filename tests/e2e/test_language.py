"""The page in other languages: as the browser asks, or as one chooses; nothing is cut where words are longer."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from studio.language import texts_of
from tests.e2e.conftest import Served
from tests.e2e.test_screens import LONG, OUT_OF_PLACE, TABS

UNTOLD = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = new Set();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const on = node.parentElement;
    if (on.matches('script, style, noscript') || !on.checkVisibility()) continue;
    found.add(node.textContent.trim());
  }
  return [...found];
}"""
"""Every text that is seen."""


def tab(page: Page, name: str) -> None:
    """Open a tab by its id, which is the same in every language."""
    page.locator(f'[role=tab][data-tab-id="{name.lower()}"]').first.evaluate("tab => tab.click()")
    page.wait_for_timeout(1500)


def test_labeling_in_the_browsers_language_and_in_the_one_that_is_chosen(browser: Browser, served: Served) -> None:
    page = browser.new_page(locale="de-DE")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.url)
    expect(page.locator("html")).to_have_attribute("lang", "de", timeout=LONG)
    expect(page.get_by_role("tab", name="Labeln", exact=True)).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Mit einem Muster ausprobieren").click()
    tab(page, "Label")
    expect(page.locator(".desk[data-example]")).to_be_visible(timeout=LONG)
    first = page.locator(".desk").get_attribute("data-example")
    page.get_by_role("textbox", name="Antwort", exact=True).fill("Submit")
    page.get_by_role("button", name=re.compile("^Absenden")).click()
    expect(page.locator(f".desk:not([data-example='{first}'])")).to_be_visible(timeout=LONG)

    # What somebody wrote stays as it is, whatever it is a word for.
    page.get_by_label("Sprache").select_option("zh")
    expect(page.locator("html")).to_have_attribute("lang", "zh", timeout=LONG)
    expect(page.get_by_role("tab", name="标注", exact=True)).to_have_attribute("aria-selected", "true", timeout=LONG)
    page.locator(".desk-history button").first.click()
    expect(page.get_by_role("textbox", name="回答", exact=True)).to_have_value("Submit", timeout=LONG)
    page.get_by_label("语言").select_option("en")
    expect(page.get_by_role("tab", name="Label", exact=True)).to_have_attribute("aria-selected", "true", timeout=LONG)
    page.close()
    assert errors == []


def test_every_screen_is_german_and_fits_a_narrow_page(browser: Browser, served: Served) -> None:
    english = {text for text, german in texts_of("de").items() if german != text}
    page = browser.new_page(locale="de-DE", viewport={"width": 390, "height": 900})
    page.goto(served.url)
    page.get_by_role("button", name="Mit einem Muster ausprobieren").click()
    expect(page.locator(".home .next")).to_be_visible(timeout=LONG)
    for name in TABS:
        tab(page, name)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, name
        assert {what: found for what, found in page.evaluate(OUT_OF_PLACE).items() if found} == {}, name
        assert sorted(english & set(page.evaluate(UNTOLD))) == [], name
    page.close()
