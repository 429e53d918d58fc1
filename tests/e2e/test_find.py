"""Finding in the browser: search, chips, keys, chosen rows, one example's history."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import create_project, import_file, open_tab


def prepare(page: Page, tmp_path: Path, rows: int = 40) -> None:
    """A project of labeled rows, shown in Data."""
    create_project(page, "Find")
    upload = tmp_path / "rows.csv"
    lines = [f"question {n} about {'parcels' if n % 2 else 'refunds'},answer {n}\n" for n in range(1, rows + 1)]
    upload.write_text("prompt,answer\n" + "".join(lines), encoding="utf-8")
    import_file(page, upload)
    open_tab(page, "Data")
    expect(page.locator(".find-head .hits")).to_contain_text(f"{rows} examples")


def rows_of(page: Page) -> list[str]:
    return page.locator("tr[data-example] td.num").all_inner_texts()


def test_filters_are_chips_that_come_and_go(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path)
    hits = page.locator(".find-head .hits")
    page.get_by_label("Search", exact=True).fill("PARCELS")
    expect(hits).to_contain_text("20 of 40 examples")
    page.get_by_role("button", name="More filters").click()
    page.get_by_label("Answer to (characters)").fill("8")
    expect(hits).to_contain_text("5 of 40 examples")
    page.get_by_role("button", name="Remove filter: “PARCELS”").click()
    expect(hits).to_contain_text("9 of 40 examples")
    expect(page.get_by_label("Search", exact=True)).to_have_value("")
    page.get_by_label("From day (UTC)").fill("soon")
    expect(page.locator("#find-list .notice")).to_contain_text("2026-11-30")


def test_pages_and_keys_go_through_the_list(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path)
    page.get_by_role("button", name="Next page").click()
    expect(page.locator("tr[data-example] td.num").first).to_have_text("26")
    page.locator("#find-list").get_by_text("page 2 of 2").click()
    page.keyboard.press("/")
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    page.keyboard.type("refunds")
    expect(page.locator(".find-head .hits")).to_contain_text("20 of 40 examples")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="question 4 about refunds")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".turn.user p")).to_have_text("question 4 about refunds")


def test_chosen_rows_go_back_into_the_queue_and_stay_with_themselves(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path, 6)
    page.get_by_label("Choose example 2", exact=True).check()
    page.get_by_label("Choose example 4", exact=True).check()
    expect(page.locator(".find-acts")).to_contain_text("2 chosen")
    page.get_by_role("button", name="Put back into the queue").click()
    expect(page.locator("tr[data-example] .chip", has_text="to label")).to_have_count(2)
    expect(page.locator(".find-acts")).to_contain_text("None chosen")
    page.get_by_label("Choose example 1", exact=True).check()
    page.get_by_label("Search", exact=True).fill("refunds")
    expect(page.locator(".find-head .hits")).to_contain_text("3 of 6 examples")
    expect(page.locator("input[data-row]:checked")).to_have_count(0)
    assert rows_of(page) == ["2", "4", "6"]


def test_an_example_tells_its_history(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path, 3)
    page.get_by_role("button", name="question 2 about refunds").click()
    page.get_by_label("Response").fill("answer 2, better")
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".desk-progress")).to_contain_text("labeled")
    open_tab(page, "Data")
    page.get_by_role("button", name="History of example 2").click()
    story = page.locator(".story")
    expect(story.locator("ins")).to_have_text(", better")
    expect(story).to_contain_text("imported")
    expect(story).to_contain_text("In none yet")
    expect(story.get_by_role("heading", name="History of example 2")).to_be_focused()
    page.keyboard.press("Escape")
    expect(story).to_have_count(0)
