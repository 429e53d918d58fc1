"""Labeling in the browser: what was typed is never lost, and hostile text is text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import open_tab
from tests.e2e.label_house import House, Plan, draft_saved, label, make_house, prompt, prompts, says
from tests.e2e.label_house import page as page

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
NAMES = ("Draft", "Busy", "Offline", "Pending", "Empty answer", "History", "Again", "Undo", "Refresh", "Two windows")
PLANS = {name: Plan("instruction", prompts("One?", "Two?", "Three?")) for name in NAMES}
PLANS["Hostile"] = Plan("instruction", prompts(HOSTILE), guidelines=HOSTILE + "\n\n**bold**")
PLANS["Nothing"] = Plan("instruction", [])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One app for this module."""
    made = make_house(tmp_path_factory.mktemp("label"), PLANS)
    yield made
    made.served.stop()


def test_a_draft_survives_reload_and_a_killed_app(page: Page, house: House) -> None:
    label(page, "Draft")
    page.get_by_label("Response").fill("half an ans")
    page.reload()
    label(page, "Draft")
    expect(page.get_by_label("Response")).to_have_value("half an ans")
    page.get_by_label("Response").press("End")
    page.get_by_label("Response").press_sequentially("wer")
    draft_saved(page)
    house.served.stop(hard=True)
    house.served.start()
    page.evaluate("localStorage.removeItem(Object.keys(localStorage).find((key) => key.startsWith('sft-draft')))")
    page.reload()
    label(page, "Draft")
    expect(page.get_by_label("Response")).to_have_value("half an answer")


def test_a_refresh_takes_no_keys_and_repaints_no_text(page: Page) -> None:
    label(page, "Refresh")
    held: list[Route] = []
    page.route("**/api/label/desk?*", lambda route: route.continue_() if held else held.append(route))
    open_tab(page, "Data")
    with page.expect_request("**/api/label/desk?*"):
        open_tab(page, "Label")
    field = page.get_by_label("Response")
    field.click()
    field.press_sequentially("typed while it loads")
    with page.expect_response("**/api/label/desk?*"):
        held[0].continue_()
    draft_saved(page)
    expect(field).to_have_value("typed while it loads")
    field.press("Control+Enter")
    says(page, "Saved.")
    expect(prompt(page)).to_have_text("Two?")


def test_keys_held_while_an_answer_is_on_its_way_go_to_no_other_example(page: Page, house: House) -> None:
    label(page, "Busy")
    held: list[Route] = []
    page.route("**/api/label/act", lambda route: route.continue_() if held else held.append(route))
    field = page.get_by_label("Response")
    field.fill("first")
    field.press("Control+Enter")
    field.press_sequentially("too early")
    held[0].continue_()
    says(page, "Saved.")
    expect(prompt(page)).to_have_text("Two?")
    expect(field).to_have_value("")
    assert house.answers("Busy") == [("submit", "first", "")]


def test_without_connection_the_text_stays_and_is_sent_when_it_is_back(page: Page, house: House) -> None:
    label(page, "Pending")
    page.get_by_label("Response").fill("kept")
    page.route("**/api/label/**", lambda route: route.abort())
    page.get_by_label("Response").press("Control+Enter")
    says(page, "Not saved yet")
    expect(page.get_by_label("Response")).to_have_value("kept")
    expect(page.get_by_role("alert").filter(has_text="No connection")).to_be_visible()
    assert house.answers("Pending") == []
    page.unroute("**/api/label/**")
    says(page, "Saved.")
    expect(page.get_by_role("alert").filter(has_text="No connection")).to_be_hidden()
    assert house.answers("Pending") == [("submit", "kept", "")]


def test_an_edit_after_a_lost_submit_is_not_sent_by_itself(page: Page, house: House) -> None:
    label(page, "Offline")
    page.get_by_label("Response").fill("not this")
    page.route("**/api/label/**", lambda route: route.abort())
    page.get_by_label("Response").press("Control+Enter")
    says(page, "Not saved yet")
    page.get_by_label("Response").fill("but this")
    expect(page.locator(".desk")).to_have_attribute("data-draft", "offline")
    page.unroute("**/api/label/**")
    says(page, "Connected again")
    draft_saved(page)
    assert house.answers("Offline") == []
    assert house.desk("Offline")["card"]["draft"]["response"] == "but this"


def test_an_empty_answer_is_not_submitted(page: Page) -> None:
    label(page, "Empty answer")
    page.get_by_label("Response").press("Control+Enter")
    says(page, "Write a response first")


def test_history_opens_an_answer_for_editing(page: Page) -> None:
    label(page, "History")
    page.get_by_label("Response").fill("first")
    page.get_by_label("Response").press("Control+Enter")
    page.get_by_role("button", name="✓ One?").click()
    expect(page.get_by_label("Response")).to_have_value("first")
    page.get_by_label("Response").fill("second")
    page.get_by_label("Response").press("Control+Enter")
    expect(prompt(page)).to_have_text("Two?")
    page.get_by_label("Response").press("Alt+p")
    expect(page.get_by_label("Response")).to_have_value("second")


def test_hostile_text_is_shown_as_text_everywhere(page: Page) -> None:
    label(page, "Hostile")
    expect(prompt(page)).to_have_text(HOSTILE)
    page.get_by_label("Response").fill(HOSTILE)
    page.get_by_role("button", name="Bulk").click()
    expect(page.locator(".bulk-row").filter(has_text="onerror")).to_be_visible()
    page.get_by_role("button", name="Focus").click()
    expect(page.get_by_label("Response")).to_have_value(HOSTILE)
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".desk-history button").filter(has_text="onerror")).to_be_visible()
    open_tab(page, "Data")
    expect(page.locator("td:visible").filter(has_text="onerror").first).to_be_visible()
    open_tab(page, "Datasets")
    page.get_by_role("button", name="Freeze snapshot").click()
    expect(page.locator("#datasets-columns td").filter(has_text="onerror").first).to_be_visible()
    assert page.title() == "SFT Studio"


def test_any_example_can_be_opened_again_and_only_looked_at(page: Page) -> None:
    label(page, "Again")
    page.get_by_label("Response").fill("first")
    page.get_by_label("Response").press("Control+Enter")
    expect(prompt(page)).to_have_text("Two?")
    page.get_by_label("Response").fill("not sure")
    page.get_by_label("Response").press("Alt+f")
    expect(prompt(page)).to_have_text("Three?")
    open_tab(page, "Data")
    page.get_by_role("button", name="Two?").click()
    expect(prompt(page)).to_have_text("Two?")
    expect(page.get_by_label("Response")).to_have_value("not sure")
    page.get_by_role("button", name="Back to the queue").click()
    expect(prompt(page)).to_have_text("Three?")
    expect(page.locator(".desk-progress")).to_contain_text("1 left · 1 labeled")


def test_undo_never_overwrites_a_newer_draft(page: Page) -> None:
    label(page, "Undo")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    page.get_by_label("Response").fill("A")
    page.get_by_label("Response").press("Control+Enter")
    page.get_by_role("button", name="✓ One?").click()
    expect(page.get_by_label("Response")).to_have_value("A")
    page.get_by_label("Response").fill("B")
    draft_saved(page)
    page.get_by_label("Response").press("Alt+z")
    says(page, "Taken back")
    expect(page.get_by_label("Response")).to_have_value("B")


def test_a_conflict_shows_both_versions_and_neither_is_lost(page: Page, house: House) -> None:
    label(page, "Two windows")
    example = house.desk("Two windows")["card"]["id"]
    field = page.get_by_label("Response")
    field.fill("It left on Monday.")
    house.ask("act", example=example, action="submit", response="It left on Friday.", base=None)
    field.press("Control+Enter")
    conflict = page.get_by_role("group", name="Two versions of this answer")
    expect(conflict.locator("mark.new")).to_have_text("Monday.")
    expect(conflict.locator("mark.gone")).to_have_text("Friday.")
    draft_saved(page)
    conflict.get_by_role("button", name="Edit merged").click()
    field.press("Control+a")
    field.press_sequentially("It left on Monday or Friday.")
    field.press("Control+Enter")
    says(page, "Saved.")
    card = house.desk("Two windows", example)["card"]
    assert card["answer"]["response"] == "It left on Monday or Friday." and card["draft"] is None


def test_keep_mine_and_keep_theirs(page: Page, house: House) -> None:
    label(page, "Two windows")
    for keep, stands in (("Keep mine", "mine"), ("Keep theirs", "theirs")):
        card = house.desk("Two windows")["card"]
        expect(prompt(page)).to_have_text(card["turns"][0]["content"])
        page.get_by_label("Response").fill("mine")
        house.ask("act", example=card["id"], action="submit", response="theirs", base=None)
        page.get_by_label("Response").press("Control+Enter")
        page.get_by_role("button", name=keep).click()
        expect(page.get_by_role("group", name="Two versions of this answer")).to_have_count(0)
        says(page, "Saved." if keep == "Keep mine" else "Their version stays.")
        assert house.desk("Two windows", card["id"])["card"]["answer"]["response"] == stands


def test_where_there_is_no_card_it_says_what_to_do(page: Page) -> None:
    label(page, "Nothing")
    expect(page.locator(".desk")).to_contain_text("Import a file in the Data tab")
    label(page, "Hostile")
    expect(page.locator(".desk")).to_contain_text(re.compile("All done here"))
