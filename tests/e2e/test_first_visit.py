"""A first visit: from the first page to a tuned model's answer beside its base model's, in at most 12 clicks.

The clicks are counted in the page, trusted ones alone. The starter model is trained for real; how long the visit took
is printed (`pytest -s`) and not asserted: two busy cores are not the visitor's machine.
"""

from __future__ import annotations

import json
import re
import time

from playwright.sync_api import Page, expect

from studio.data.sample import GUIDED_FILE
from tests.e2e.conftest import Served

LONG = 30_000
TRAINED = 480_000
MOST_CLICKS = 12
COUNT = """() => {
  window.clicked = [];
  const note = (event) => event.isTrusted && window.clicked.push(event.target.textContent.trim().slice(0, 30));
  document.addEventListener('click', note, true);
}"""
CARDS = (
    "Bike: gravel bike / Job: front brake rubs / By: Thursday",
    "Bike: city bike / Job: lamp loose / By: no date",
    "Bike: e-bike / Job: flat front tyre / By: tomorrow",
)
FORM = re.compile(r"Bike: .+ / Job: .+ / By: .+")


def lead_on(page: Page, part: int, tab: str) -> None:
    """Wait for a step of the guide, and take its button."""
    guide = page.locator("#guide .guide")
    expect(guide).to_contain_text(f"Step {part} of 4", timeout=LONG)
    guide.get_by_role("button", name=tab, exact=True).click()
    expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true", timeout=LONG)


def label_three(page: Page) -> None:
    """Write the three job cards."""
    field = page.get_by_label("Response")
    for card, left in zip(CARDS, ("3 left", "2 left", "1 left"), strict=True):
        expect(page.locator(".desk-progress")).to_contain_text(left, timeout=LONG)
        field.fill(card)
        page.get_by_role("button", name="Submit").click()
    expect(page.locator(".desk")).to_contain_text("All done here", timeout=LONG)


def test_a_first_visit_takes_at_most_twelve_clicks(page: Page, served: Served) -> None:
    began = time.monotonic()
    page.evaluate(COUNT)
    page.get_by_role("button", name="Try it with a sample").click()
    expect(page.locator(".home .next")).to_contain_text("step 1 of 4", timeout=LONG)
    page.locator(".home .next").get_by_role("button", name="Label").click()
    label_three(page)

    lead_on(page, 2, "Datasets")
    page.get_by_role("button", name="Freeze snapshot").click()
    lead_on(page, 3, "Train")
    start = page.get_by_role("button", name="Start training")
    expect(page.locator("#train-panel .facts")).to_be_visible(timeout=LONG)
    start.click()
    expect(page.locator("#train-columns h2 .chip")).to_have_text("done", timeout=TRAINED)

    lead_on(page, 4, "Compare")
    expect(page.locator("#compare-runs")).to_contain_text("Run 1 ", timeout=LONG)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(re.compile("racing bike"), timeout=LONG)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".pane .weights")).to_have_count(2, timeout=180_000)
    seconds, clicked = time.monotonic() - began, page.evaluate("window.clicked")
    print(f"\nfirst visit: {len(clicked)} clicks, {seconds:.0f} s: {clicked}")

    base, tuned = (page.locator(".pane .answer").nth(side).inner_text() for side in range(2))
    print(f"base:  {base[:200]!r}\ntuned: {tuned!r}")
    assert FORM.fullmatch(tuned.strip()) and not FORM.fullmatch(base.strip())
    assert len(clicked) <= MOST_CLICKS

    expect(page.locator("#guide .guide")).to_contain_text("That is the loop", timeout=LONG)
    page.locator("#guide .guide").get_by_role("button", name="Home").click()
    expect(page.locator(".home .next")).to_contain_text("Is it better than its base model?", timeout=LONG)
    expect(page.locator("#guide .guide")).to_be_hidden()


def test_the_sample_is_sixty_cards_of_one_form_and_three_mails() -> None:
    rows = [json.loads(line) for line in GUIDED_FILE.read_text(encoding="utf-8").splitlines()]
    answers = [row["output"] for row in rows if row["output"]]
    assert (len(rows), len(answers), len({row["input"] for row in rows})) == (63, 60, 63)
    assert all(FORM.fullmatch(answer) for answer in answers)
