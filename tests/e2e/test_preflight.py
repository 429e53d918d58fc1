"""Preflight in the browser: check, read the findings, mend rows, undo, freeze anew; the page finds a report again."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served, create_project, import_file, open_tab

ROWS = [
    ("Please mail my invoice to bob.smith@tideline.org today.", "Gladly: it is on its way to bob.smith@tideline.org."),
    ("Where is my parcel with the blue kettle?", "It left our warehouse this morning."),
    ("Where is my parcel with the blue kettle?", "It is lost and we are sorry about that."),
    *(
        (f"How do I descale kettle model {n}00?", f"Fill it with vinegar, boil it {n} times and rinse.")
        for n in range(2, 9)
    ),
]


def check(page: Page, tmp_path: Path) -> None:
    """A project of these rows with a finished preflight."""
    create_project(page, "Preflight")
    upload = tmp_path / "rows.jsonl"
    lines = [json.dumps({"prompt": prompt, "answer": answer}) for prompt, answer in ROWS]
    upload.write_text("\n".join(lines), encoding="utf-8")
    import_file(page, upload)
    open_tab(page, "Preflight")
    expect(page.get_by_text("Nothing checked yet")).to_be_visible()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".pf-verdict")).to_be_visible(timeout=120_000)


def test_personal_data_is_redacted_and_undone(page: Page, tmp_path: Path) -> None:
    check(page, tmp_path)
    finding = page.locator(".pf-finding", has_text="Personal data")
    finding.locator(".pf-head").click()
    expect(finding.locator("del").first).to_have_text("bob.smith@tideline.org")
    finding.get_by_role("button", name="Redact", exact=True).click()
    expect(finding.locator(".pf-did")).to_contain_text("Redacted 1 row.")
    expect(finding.locator("del")).to_have_count(0)
    page.reload()
    open_tab(page, "Preflight")
    expect(page.locator(".pf-steps")).to_contain_text("Redacted 1 row")
    page.get_by_role("button", name="Undo step 1").click()
    expect(page.locator(".pf-steps .chip")).to_have_text("undone")


def test_a_conflict_is_shown_side_by_side_and_one_of_it_dropped(page: Page, tmp_path: Path) -> None:
    check(page, tmp_path)
    finding = page.locator(".pf-finding", has_text="One input, different answers")
    finding.locator(".pf-head").click()
    expect(finding.locator(".pf-group .pf-row")).to_have_count(2)
    finding.get_by_label("Choose example 3", exact=True).check()
    expect(finding.locator("output")).to_have_text("1 chosen")
    finding.get_by_role("button", name="Drop", exact=True).click()
    expect(finding.locator(".pf-row.dropped")).to_have_count(1)
    open_tab(page, "Data")
    expect(page.locator("tr[data-example] .chip", has_text="dropped")).to_have_count(1)
    open_tab(page, "Preflight")
    page.get_by_role("button", name="Freeze a new snapshot").click()
    expect(page.get_by_role("button", name="Freeze snapshot")).to_be_visible()


def test_the_train_tab_tells_what_a_preflight_of_the_snapshot_found(page: Page, served: Served, tmp_path: Path) -> None:
    check(page, tmp_path)
    open_tab(page, "Datasets")
    page.get_by_role("button", name="Freeze snapshot").click()
    page.locator("#datasets-columns .item.current").wait_for()
    open_tab(page, "Train")
    expect(page.locator("#train-panel")).to_contain_text("Not checked yet", timeout=20_000)
    open_tab(page, "Preflight")
    page.get_by_label("Data to check").click()
    page.get_by_role("option", name="Snapshot v1").click()
    expect(page.get_by_text("Nothing checked yet")).to_be_visible()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator(".pf-verdict")).to_contain_text("train", timeout=120_000)
    open_tab(page, "Train")
    page.locator(".pf-brief summary").click()
    expect(page.locator(".pf-brief")).to_contain_text("finding")
    assert len(list((served.workspace / "preflights").iterdir())) == 2
