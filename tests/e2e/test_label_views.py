"""The bulk view, keys of one's own, what is sent back, small screens, and axe-core's findings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from storage.records import Settings
from tests.e2e.label_house import (
    INTENTS,
    House,
    Plan,
    draft_saved,
    label,
    labels,
    make_house,
    open_page,
    prompt,
    prompts,
    says,
)
from tests.e2e.label_house import page as page

MOODS = Settings(labels=labels("good", "bad"))
PAIR = [{"prompt": f"Which {n}?", "a": "first", "b": "second"} for n in range(3)]
TALK = [{"role": "system", "content": "You help."}, {"role": "user", "content": "Hi."}]
LONG = "A long question about an invoice. " * 60
PLANS = {
    "Bulk": Plan("classification", prompts(*[f"Order {n}" for n in range(30)]), MOODS, suggest=lambda _: "good"),
    "Rows": Plan("classification", prompts(*[f"Order {n}" for n in range(12)]), MOODS),
    "Drafts": Plan("instruction", prompts("One?", "Two?", "Three?"), suggest=lambda n: f"Draft {n}." if n else None),
    "Keys": Plan("instruction", prompts("One?", "Two?", "Three?")),
    "Sent back": Plan("instruction", prompts("One?", "Two?"), Settings(review=True), returned="Say it kindly."),
    "Small": Plan("instruction", prompts(LONG, "Two?"), guidelines="Be **kind**."),
    "instruction": Plan(
        "instruction", prompts("One?", "Two?"), guidelines="Be **kind**.", suggest=lambda _: "A draft."
    ),
    "code": Plan("code", prompts("Write f."), Settings(code_language="Python")),
    "classification": Plan("classification", prompts("a", "b"), MOODS, suggest=lambda _: "good"),
    "intents": Plan("classification", prompts("a", "b"), Settings(labels=INTENTS), suggest=lambda _: "card_fee"),
    "multi-label": Plan("multi-label", prompts("a", "b"), MOODS),
    "rating": Plan("rating", prompts("a", "b")),
    "preference": Plan("preference", PAIR, Settings(ask_margin=True, ask_reason=True)),
    "chat": Plan("chat", [{"messages": TALK}]),
    "nothing": Plan("instruction", []),
}
FORMS = [name for name in PLANS if name[0].islower()]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One app for this module."""
    made = make_house(tmp_path_factory.mktemp("views"), PLANS)
    yield made
    made.served.stop()


def bulk(page: Page, project: str) -> None:
    """A project's bulk view."""
    label(page, project)
    page.get_by_role("button", name="Bulk").click()
    page.locator(".bulk-row").first.wait_for()


def test_one_action_does_all_that_are_selected(page: Page, house: House) -> None:
    bulk(page, "Bulk")
    expect(page.locator(".bulk-row")).to_have_count(10)
    page.get_by_label("Examples at once").select_option("25")
    expect(page.locator(".bulk-row")).to_have_count(25)
    page.get_by_label("Select all").check()
    page.keyboard.press("Alt+a")
    expect(page.get_by_role("dialog")).to_contain_text("Accept the suggestion of 25 examples?")
    page.get_by_role("button", name="Yes, all 25").click()
    says(page, "25 saved.")
    expect(page.locator(".bulk-row")).to_have_count(5)
    page.get_by_label("Select: Order 25").check()
    page.keyboard.press("2")
    says(page, "1 saved.")
    page.get_by_label("Select: Order 26").check()
    page.keyboard.press("Alt+s")
    says(page, "1 skipped.")
    page.keyboard.press("Alt+z")
    says(page, "Taken back")
    desk = house.desk("Bulk")
    assert desk["counts"]["labeled"] == 26 and desk["counts"]["skipped"] == 0
    assert desk["history"][0]["response"] == "bad" and desk["history"][1]["response"] == "good"


def test_rows_have_a_quick_answer_and_failures_are_told(page: Page, house: House) -> None:
    bulk(page, "Rows")
    page.locator(".bulk-row").filter(has_text="Order 0").get_by_role("button", name="bad").click()
    says(page, "1 saved.")
    expect(page.locator(".bulk-row").filter(has_text="Order 0")).to_have_count(0)
    elsewhere = page.locator(".bulk-row").filter(has_text="Order 3")
    example = elsewhere.get_attribute("data-example")
    house.ask("act", example=example, action="submit", response="good", base=None)
    elsewhere.get_by_role("checkbox").check()
    page.get_by_label("Select: Order 4").check()
    page.get_by_label("Answer for the selected").select_option(label="bad")
    page.get_by_role("button", name="Give to selected").click()
    says(page, "1 saved. 1 not:")
    expect(elsewhere.locator(".bulk-problem")).to_contain_text("changed meanwhile")
    assert house.desk("Rows", example)["card"]["answer"]["response"] == "good"


def test_suggested_texts_are_accepted_together_and_opened_alone(page: Page, house: House) -> None:
    bulk(page, "Drafts")
    expect(page.locator(".bulk-draft").first).to_contain_text("Draft 1.")
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Accept suggestions").click()
    says(page, "2 saved.")
    page.get_by_role("button", name="Open: One?").click()
    page.get_by_label("Response").fill("by hand")
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".desk")).to_contain_text("All done here")
    assert sorted(response for _, response, _ in house.answers("Drafts")) == ["Draft 1.", "Draft 2.", "by hand"]


def test_similar_examples_are_listed_in_the_bulk_view(page: Page) -> None:
    label(page, "Keys")
    page.route("**/api/label/bulk?*similar=*", lambda route: route.continue_())
    with page.expect_request("**/api/label/bulk?*similar=*"):
        page.keyboard.press("Alt+m")
    expect(page.locator(".desk-similar")).to_contain_text("Most similar to “One?”")
    page.keyboard.press("Alt+b")
    expect(prompt(page)).to_have_text("One?")


def test_keys_are_listed_changed_kept_and_reset(page: Page) -> None:
    label(page, "Keys")
    page.get_by_label("Response").press("Escape")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.get_by_role("button", name="Change the key of Skip, now Alt+S").click()
    page.keyboard.press("Alt+F")
    expect(dialog.get_by_role("status")).to_contain_text("already the key of “Flag”")
    page.keyboard.press("Control+c")
    expect(dialog.get_by_role("status")).to_contain_text("belongs to the browser")
    page.keyboard.press("Alt+J")
    expect(dialog.get_by_role("status")).to_contain_text("Alt+J is now the key of “Skip”")
    page.keyboard.press("Escape")
    page.reload()
    label(page, "Keys")
    expect(page.get_by_role("button", name="Skip")).to_contain_text("Alt J")
    page.keyboard.press("Alt+s")
    page.keyboard.press("Alt+j")
    says(page, "Skipped.")
    page.keyboard.press("Alt+z")
    says(page, "Taken back")
    expect(page.get_by_role("button", name="Skip")).to_be_visible()
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("button", name="Reset to defaults").click()
    expect(dialog.get_by_role("button", name="Change the key of Skip, now Alt+S")).to_be_visible()


def test_plain_keys_in_a_text_field_only_write(page: Page, house: House) -> None:
    label(page, "Keys")
    page.get_by_label("Response").fill("")
    page.get_by_label("Response").press_sequentially("?12 sfz")
    expect(page.get_by_label("Response")).to_have_value("?12 sfz")
    expect(page.get_by_role("dialog")).to_have_count(0)
    draft_saved(page)
    assert house.answers("Keys") == []


def test_what_was_sent_back_says_why(page: Page, house: House) -> None:
    label(page, "Sent back")
    expect(page.get_by_role("note")).to_contain_text("Sent back by Rita")
    expect(page.get_by_role("note")).to_contain_text("Say it kindly.")
    expect(page.get_by_label("Response")).to_have_value("Too short.")
    page.get_by_label("Response").fill("Thank you for asking.")
    page.get_by_label("Response").press("Control+Enter")
    says(page, "Saved.")
    expect(page.get_by_role("note")).to_have_count(0)
    assert house.answers("Sent back")[-1][1] == "Thank you for asking."


def test_a_lease_is_shown_and_given_back_on_leaving(page: Page, house: House) -> None:
    label(page, "classification")
    expect(page.locator(".desk-lease")).to_contain_text("Held for you until")
    with page.expect_request("**/api/label/leave"):
        page.get_by_role("tab", name="Data", exact=True).click()


def test_small_screens_have_the_buttons_at_hand(browser: Browser, house: House) -> None:
    page, problems = open_page(browser, house, viewport={"width": 390, "height": 844}, has_touch=True)
    label(page, "Small")
    submit = page.get_by_role("button", name="Submit")
    expect(submit).to_be_in_viewport(ratio=1)
    expect(page.get_by_text("Be kind.")).to_be_hidden()
    page.get_by_role("button", name="Guidelines").tap()
    expect(page.get_by_text("Be kind.")).to_be_in_viewport()
    page.get_by_role("button", name="Guidelines").tap()
    page.get_by_label("Response").fill("short")
    submit.tap()
    expect(prompt(page)).to_have_text("Two?")
    expect(prompt(page)).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    page.context.close()
    assert problems == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, house: House, theme: str) -> None:
    page, problems = open_page(browser, house, theme=theme)
    found: list[str] = []

    def check(what: str) -> None:
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:200] for node in violation["nodes"][:3]]
                found.append(f"{what}: {violation['id']} {nodes}")

    for name in FORMS:
        label(page, name)
        check(name)
        if name in ("instruction", "intents", "preference"):
            page.keyboard.press("Alt+b")
            page.locator(".bulk-row input").first.check()
            check(name + " in bulk")
            page.keyboard.press("Alt+b")
            page.locator(".desk-focus").wait_for()
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("dialog").wait_for()
    check("keys")
    page.context.close()
    assert found == [] and problems == []
