"""Each kind of task labeled by keyboard alone, and what is saved of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from storage.records import Settings
from tests.e2e.label_house import INTENTS, House, Plan, draft_saved, label, labels, make_house, prompt, prompts, says
from tests.e2e.label_house import page as page

PAIR = [{"prompt": f"Which {n}?", "a": f"first {n}", "b": f"second {n}"} for n in range(4)]
TALK = [
    {"role": "user", "content": "My kettle shows E3."},
    {"role": "assistant", "content": "Did you fill it?"},
    {"role": "user", "content": "Yes."},
]
PLANS = {
    "Instruct": Plan("instruction", prompts("One?", "Two?"), suggest=lambda row: "By the model." if row == 0 else None),
    "Asking": Plan("question-answering", [{"prompt": "When?", "context": "It was built in 1841."}]),
    "Summing": Plan("summarisation", prompts("A long text.")),
    "German": Plan("translation", prompts("Good day."), Settings(source_language="English", target_language="German")),
    "Coding": Plan("code", prompts("Write f.", "Write g."), Settings(code_language="Python")),
    "Mood": Plan("classification", prompts("1!", "2!", "3!"), Settings(labels=labels("good", "bad"))),
    "Intents": Plan(
        "classification", prompts("1?", "2?", "3?"), Settings(labels=INTENTS), suggest=lambda row: "cash_fee"
    ),
    "Topics": Plan("multi-label", prompts("a", "b"), Settings(labels=labels("delivery", "damage", "billing"))),
    "Many topics": Plan("multi-label", prompts("a", "b"), Settings(labels=INTENTS)),
    "Stars": Plan("rating", prompts("a", "b"), Settings(rating_max=10)),
    "Prefer": Plan("preference", PAIR),
    "Prefer how": Plan("preference", PAIR, Settings(ask_margin=True, ask_reason=True)),
    "Talk": Plan("chat", [{"messages": TALK}]),
    "Moves": Plan("chat", [{"messages": TALK[:1]}]),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One app for this module."""
    made = make_house(tmp_path_factory.mktemp("tasks"), PLANS)
    yield made
    made.served.stop()


def test_a_suggestion_is_a_draft_and_accepted_by_one_key(page: Page, house: House) -> None:
    label(page, "Instruct")
    expect(page.get_by_label("Response")).to_have_value("By the model.")
    expect(page.locator(".desk-suggestion")).to_contain_text("draft by the starter model")
    page.get_by_label("Response").press_sequentially("x")
    page.keyboard.press("Alt+a")
    says(page, "You changed the draft")
    page.get_by_role("button", name="Restore the draft").click()
    page.keyboard.press("Alt+a")
    says(page, "Saved.")
    assert house.answers("Instruct") == [("submit", "By the model.", "")]
    expect(page.locator(".desk-suggestion")).to_be_hidden()


@pytest.mark.parametrize("name", ["Asking", "Summing", "German"])
def test_text_tasks(page: Page, house: House, name: str) -> None:
    label(page, name)
    page.keyboard.type("1. An answer?")
    page.keyboard.press("Control+Enter")
    says(page, "Saved.")
    assert house.answers(name) == [("submit", "1. An answer?", "")]


def test_context_and_languages_are_shown(page: Page, house: House) -> None:
    label(page, "Asking")
    page.get_by_role("button", name="✓ When?").click()
    expect(page.locator(".turn.context p")).to_have_text("It was built in 1841.")
    label(page, "German")
    page.get_by_role("button", name="✓ Good day.").click()
    expect(page.locator(".desk-focus")).to_contain_text("from English")
    expect(page.locator(".desk-focus")).to_contain_text("in German")


def test_code_is_indented_by_tab_and_left_by_escape_and_tab(page: Page, house: House) -> None:
    label(page, "Coding")
    field = page.get_by_label("Response")
    page.keyboard.type("def f():\n")
    page.keyboard.press("Tab")
    page.keyboard.type("if 1:\nreturn 2")
    page.keyboard.press("Shift+Tab")
    expect(field).to_have_value("def f():\n    if 1:\nreturn 2")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(field).not_to_be_focused()
    page.keyboard.press("Control+Enter")
    says(page, "Saved.")
    assert house.answers("Coding") == [("submit", "def f():\n    if 1:\nreturn 2", "")]


def test_one_key_labels_and_submits(page: Page, house: House) -> None:
    label(page, "Mood")
    page.keyboard.press("2")
    says(page, "Saved.")
    expect(prompt(page)).to_have_text("2!")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(prompt(page)).to_have_text("3!")
    page.keyboard.press("9")
    expect(prompt(page)).to_have_text("3!")
    assert house.answers("Mood") == [("submit", "bad", ""), ("submit", "bad", "")]
    page.keyboard.press("Alt+p")
    expect(page.get_by_role("radio", name="bad")).to_be_checked()


def test_seventy_seven_labels_are_found_by_typing(page: Page, house: House) -> None:
    label(page, "Intents")
    expect(page.get_by_role("radio")).to_have_count(77)
    page.keyboard.type("top up 1")
    expect(page.locator("#label-search-hint")).to_contain_text("No label")
    page.keyboard.press("Backspace")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#label-search-hint")).to_contain_text("Enter: top_up_fee (2 of 11)")
    page.keyboard.press("Enter")
    expect(prompt(page)).to_have_text("2?")
    expect(page.locator(".choice.suggested")).to_contain_text("cash_fee")
    page.keyboard.press("Alt+a")
    expect(prompt(page)).to_have_text("3?")
    page.keyboard.press("0")
    expect(page.locator(".desk")).to_contain_text("All done here")
    assert [response for _, response, _ in house.answers("Intents")] == ["top_up_fee", "cash_fee", "card_rate"]


def test_several_labels_are_toggled_and_submitted(page: Page, house: House) -> None:
    label(page, "Topics")
    for key in ("3", "2", "1", "2"):
        page.keyboard.press(key)
    draft_saved(page)
    page.keyboard.press("Control+Enter")
    says(page, "Saved.")
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)
    page.keyboard.press("Control+Enter")
    says(page, "Choose at least one label")
    label(page, "Many topics")
    for words in ("cash fee", "card fee"):
        page.keyboard.type(words)
        page.keyboard.press("Enter")
    page.keyboard.press("Control+Enter")
    says(page, "Saved.")
    assert house.answers("Topics") == [("submit", "delivery\nbilling", "")]
    assert house.answers("Many topics") == [("submit", "card_fee\ncash_fee", "")]


def test_a_rating_is_one_key(page: Page, house: House) -> None:
    label(page, "Stars")
    page.keyboard.press("4")
    expect(prompt(page)).to_have_text("b")
    page.keyboard.press("0")
    expect(page.locator(".desk")).to_contain_text("All done here")
    assert [response for _, response, _ in house.answers("Stars")] == ["4", "10"]


def test_a_preference_is_one_key(page: Page, house: House) -> None:
    label(page, "Prefer")
    for key, then in (("1", "Which 1?"), ("2", "Which 2?"), ("0", "Which 3?")):
        page.keyboard.press(key)
        expect(prompt(page)).to_have_text(then)
    expect(page.get_by_role("article", name="Answer B")).to_contain_text("second 3")
    assert [response for _, response, _ in house.answers("Prefer")] == ["A", "B", "tie"]


def test_a_preference_with_margin_and_reason(page: Page, house: House) -> None:
    label(page, "Prefer how")
    page.keyboard.press("2")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("1 reason")
    page.keyboard.press("Control+Enter")
    says(page, "Saved.")
    ((_, choice, value),) = house.answers("Prefer how")
    assert (choice, json.loads(value)) == ("B", {"choice": "B", "margin": 2, "reason": "1 reason"})


def test_a_conversation_is_edited_turn_by_turn(page: Page, house: House) -> None:
    label(page, "Talk")
    expect(page.get_by_label("Response")).to_be_focused()
    page.keyboard.type("Then descale it.")
    page.keyboard.press("Alt+n")
    page.keyboard.type("Thanks")
    page.keyboard.press("Control+Enter")
    says(page, "ends with an assistant turn")
    page.keyboard.press("Alt+x")
    expect(page.locator(".desk-turns > li")).to_have_count(4)
    page.get_by_role("button", name="Bring it back").click()
    page.keyboard.press("Alt+n")
    page.keyboard.type("Welcome")
    page.keyboard.press("Alt+t")
    page.get_by_role("button", name="Add system turn").click()
    page.keyboard.type("You help.")
    draft_saved(page)
    page.keyboard.press("Control+Enter")
    says(page, "Saved.")
    ((_, response, value),) = house.answers("Talk")
    turns = json.loads(value)["turns"]
    assert response == "Welcome" and [turn["role"][0] for turn in turns] == ["s", "u", "a", "u", "a", "u", "a"]
    assert [turn["train"] for turn in turns] == [False, False, False, False, True, False, False]


def test_turns_are_moved_by_key_and_a_draft_of_them_comes_back(page: Page) -> None:
    label(page, "Moves")
    page.get_by_role("button", name="Add user turn").click()
    page.keyboard.type("moved")
    page.keyboard.press("Alt+ArrowUp")
    expect(page.locator(".desk-turns > li").nth(1).locator("textarea")).to_have_value("moved")
    expect(page.locator(".desk-turns > li").nth(1).locator("textarea")).to_be_focused()
    draft_saved(page)
    page.reload()
    label(page, "Moves")
    expect(page.locator(".desk-turns > li").nth(1).locator("textarea")).to_have_value("moved")
