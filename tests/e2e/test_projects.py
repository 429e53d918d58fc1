"""Projects in a browser: a classification with its labels, unsaved text, and two people at one form."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.conftest import create_project, open_tab


def pick_task(page: Page, task: str) -> None:
    page.get_by_label("Task", exact=True).click()
    page.get_by_role("option", name=task, exact=True).click()


def test_labels_are_made_renamed_and_merged(page: Page) -> None:
    open_tab(page, "Projects")
    pick_task(page, "Classification, one label")
    page.get_by_label("Labels (one a line)").fill("refund\nparcel\nother")
    create_project(page, "Intents")
    chips = page.locator("#labels-panel .labelled")
    expect(chips).to_have_count(3)
    page.get_by_text("Add labels").click()
    page.get_by_label("New labels (one a line)").fill("refund\ndelivery\n")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(chips).to_have_count(4)
    page.get_by_text("Change a label").click()
    page.get_by_label("New name").fill("money back")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#labels-panel .notice")).to_contain_text("Renaming “refund” to “money back” changes 0")
    page.get_by_role("button", name="Rename “refund”").click()
    expect(chips.first).to_contain_text("money back")
    page.get_by_role("radio", name="Delete").click()
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Delete “money back”").click()
    expect(chips).to_have_count(3)


def test_nothing_that_was_typed_is_lost(page: Page) -> None:
    create_project(page, "First")
    create_guidelines = page.get_by_label("Guidelines (Markdown)")
    create_guidelines.fill("Half a thought")
    page.get_by_role("button", name="New project").click()
    expect(create_guidelines).to_have_value("")
    page.locator(".item", has_text="First").click()
    expect(create_guidelines).to_have_value("Half a thought")
    page.get_by_role("button", name="Take the stored one").click()
    expect(create_guidelines).to_have_value("")

    other = page.context.new_page()
    other.goto(page.url)
    open_tab(other, "Projects")
    other.locator(".item", has_text="First").click()
    expect(other.get_by_label("Name", exact=True)).to_have_value("First")
    other.get_by_label("Guidelines (Markdown)").fill("Theirs")
    other.get_by_label("Name", exact=True).fill("Renamed")
    other.get_by_role("button", name="Save changes").click()
    other.locator(".item.current", has_text="Renamed").wait_for()
    create_guidelines.fill("Mine")
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("#projects-panel .notice")).to_contain_text("differs from yours in: name, guidelines")
    expect(create_guidelines).to_have_value("Mine")
    page.get_by_role("button", name="Save changes").click()
    page.locator(".item.current", has_text="First").wait_for()
    expect(create_guidelines).to_have_value("Mine")


def test_another_project_fills_the_open_tab_anew_and_no_other(page: Page) -> None:
    create_project(page, "First", guidelines="Words of the first")
    page.get_by_role("button", name="New project").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    create_project(page, "Second", guidelines="Words of the second")
    open_tab(page, "Label")
    expect(page.locator("#guidelines")).to_contain_text("Words of the second")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.get_by_label("Project", exact=True).click()
    page.get_by_role("option", name="First", exact=True).click()
    expect(page.locator("#guidelines")).to_contain_text("Words of the first")
    page.wait_for_timeout(2000)
    assert 0 < len(asked) <= 8, asked
    open_tab(page, "Projects")
    expect(page.locator(".item.current")).to_contain_text("First")
