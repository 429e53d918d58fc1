"""Datasets in a browser: freeze with options, verify, search, trace a row, and see what changed since."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served, create_project, freeze, import_file, open_tab

EVIL = "<img src=x onerror=alert(1)>"


def write(path: Path, first: int, last: int) -> Path:
    rows = [{"input": f"Question {n} {EVIL}", "output": f"Answer {n}"} for n in range(first, last)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_snapshot_is_frozen_verified_searched_traced_and_compared(page: Page, served: Served, tmp_path: Path) -> None:
    page.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError("a script ran")))
    create_project(page, "Support")
    import_file(page, write(tmp_path / "one.jsonl", 0, 40))
    freeze(page)
    columns = page.locator("#datasets-columns")
    expect(columns.locator(".notice", has_text="Frozen as v1")).to_be_visible()

    page.get_by_role("button", name="Verify").click()
    expect(columns.locator(".notice", has_text="Sound: the content of all 40 rows")).to_be_visible()

    page.get_by_label("Search rows").fill("question 1")
    expect(columns.get_by_text("with “question 1”")).to_be_visible()
    page.get_by_label("Search rows").fill("")
    expect(columns.get_by_text("with “question 1”")).to_have_count(0)

    page.get_by_role("button", name="Lineage of row 1", exact=True).click()
    story = page.locator("#datasets-story .story")
    expect(story).to_contain_text("Snapshot v1")
    page.keyboard.press("Escape")
    expect(story).to_have_count(0)

    page.reload()
    import_file(page, write(tmp_path / "two.jsonl", 40, 45))
    open_tab(page, "Datasets")
    page.get_by_text("More options").click()
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Freeze snapshot").click()
    expect(columns.locator(".item.current")).to_contain_text("v2")
    page.get_by_role("tab", name="Changes", exact=True).click()
    page.get_by_role("button", name="Show changes").click()
    expect(columns.locator(".diff-sums")).to_contain_text("Added5")
    expect(columns.get_by_label("Added 5")).to_be_checked()
    expect(columns.locator("td", has_text="Answer 44")).to_be_visible()
    page.get_by_role("tab", name="Lineage", exact=True).click()
    expect(columns.locator(".lineage td", has_text="45 answers").first).to_be_visible()


def test_a_freeze_of_nothing_says_what_to_do(page: Page) -> None:
    create_project(page, "Empty")
    open_tab(page, "Datasets")
    page.get_by_role("button", name="Freeze snapshot").click()
    expect(page.locator("#datasets-panel .notice")).to_contain_text("no accepted pairs yet")
    page.get_by_role("tab", name="Changes", exact=True).click()
    expect(page.get_by_text("Nothing to compare with")).to_be_visible()
