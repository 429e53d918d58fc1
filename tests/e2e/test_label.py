"""Labeling in the browser: what was typed is never lost, and hostile text is text."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served, create_project, import_file, open_tab

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


def prepare(page: Page, tmp_path: Path, prompts: list[str]) -> None:
    """A project with prompts to label, and its Label tab open."""
    create_project(page, "Labels", guidelines=HOSTILE + "\n\n**bold**")
    upload = tmp_path / "prompts.csv"
    lines = [prompt.replace('"', '""') for prompt in prompts]
    upload.write_text("prompt\n" + "".join(f'"{line}"\n' for line in lines), encoding="utf-8")
    import_file(page, upload)
    open_tab(page, "Label")


def test_a_draft_survives_reload_and_a_killed_app(page: Page, served: Served, tmp_path: Path) -> None:
    prepare(page, tmp_path, ["One?", "Two?"])
    page.get_by_label("Response").fill("half an ans")
    page.reload()
    open_tab(page, "Label")
    expect(page.get_by_label("Response")).to_have_value("half an ans")
    page.get_by_label("Response").press_sequentially("wer")
    page.wait_for_timeout(1500)
    served.stop(hard=True)
    served.start()
    page.evaluate("localStorage.clear()")
    page.reload()
    open_tab(page, "Label")
    expect(page.get_by_label("Response")).to_have_value("half an answer")


def test_without_connection_the_text_stays_and_is_said(page: Page, served: Served, tmp_path: Path) -> None:
    prepare(page, tmp_path, ["One?", "Two?"])
    page.get_by_label("Response").fill("kept")
    page.route("**/api/label/**", lambda route: route.abort())
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".desk-say")).to_contain_text("Not saved")
    expect(page.get_by_label("Response")).to_have_value("kept")
    page.unroute("**/api/label/**")
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".desk-say")).to_have_text("Saved.")


def test_an_empty_answer_is_not_submitted(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path, ["One?"])
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".desk-say")).to_contain_text("Write a response first")


def test_history_opens_an_answer_for_editing(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path, ["One?", "Two?"])
    page.get_by_label("Response").fill("first")
    page.get_by_label("Response").press("Control+Enter")
    page.get_by_role("button", name="✓ One?").click()
    expect(page.get_by_label("Response")).to_have_value("first")
    page.get_by_label("Response").fill("second")
    page.get_by_label("Response").press("Control+Enter")
    page.get_by_role("button", name="✓ One?").click()
    expect(page.get_by_label("Response")).to_have_value("second")


def test_hostile_text_is_shown_as_text_everywhere(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path, [HOSTILE])
    expect(page.locator(".turn.user p")).to_have_text(HOSTILE)
    page.get_by_label("Response").fill(HOSTILE)
    page.get_by_label("Response").press("Control+Enter")
    page.locator(".desk-history button").wait_for()
    open_tab(page, "Data")
    expect(page.locator("td:visible").filter(has_text="onerror").first).to_be_visible()
    open_tab(page, "Datasets")
    page.get_by_role("button", name="Freeze snapshot").click()
    expect(page.locator("#datasets-columns td").filter(has_text="onerror").first).to_be_visible()
    assert page.title() == "SFT Studio"


def test_any_example_can_be_opened_again_and_only_looked_at(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path, ["One?", "Two?", "Three?"])
    page.get_by_label("Response").fill("first")
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".turn.user p")).to_have_text("Two?")
    page.get_by_label("Response").fill("not sure")
    page.get_by_label("Response").press("Alt+f")
    expect(page.locator(".turn.user p")).to_have_text("Three?")
    open_tab(page, "Data")
    page.get_by_role("button", name="Two?").click()
    expect(page.locator(".turn.user p")).to_have_text("Two?")
    expect(page.get_by_label("Response")).to_have_value("not sure")
    page.get_by_role("button", name="Back to the queue").click()
    expect(page.locator(".turn.user p")).to_have_text("Three?")
    expect(page.locator(".desk-progress")).to_contain_text("1 left · 1 labeled")


def test_undo_never_overwrites_a_newer_draft(page: Page, tmp_path: Path) -> None:
    prepare(page, tmp_path, ["One?", "Two?"])
    page.get_by_label("Response").fill("A")
    page.get_by_label("Response").press("Control+Enter")
    page.get_by_role("button", name="✓ One?").click()
    expect(page.get_by_label("Response")).to_have_value("A")
    page.get_by_label("Response").fill("B")
    page.wait_for_timeout(1200)
    page.get_by_label("Response").press("Alt+z")
    expect(page.locator(".desk-say")).to_contain_text("Taken back")
    expect(page.get_by_label("Response")).to_have_value("B")
