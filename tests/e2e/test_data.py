"""Files in and out in the browser: an import that is cancelled, an export that is the file one asked for."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.conftest import create_project, freeze, import_file, open_tab


def test_an_export_is_the_file_that_was_asked_for(page: Page, tmp_path: Path) -> None:
    create_project(page, "Out")
    upload = tmp_path / "pairs.csv"
    upload.write_text("input,output\n" + "".join(f"q{i},a{i}\n" for i in range(10)), encoding="utf-8")
    import_file(page, upload)
    freeze(page)
    for kind in ("jsonl", "csv"):
        page.get_by_label("File format").click()
        page.get_by_role("option", name=kind).click()
        page.get_by_role("button", name="Export snapshot").click()
        link = page.locator(f"#datasets-columns a[download$='.{kind}']")
        with page.expect_download() as download:
            link.click()
        content = Path(download.value.path()).read_text(encoding="utf-8")
        assert content.count("\n") == (10 if kind == "jsonl" else 11)
    assert json.loads(content.splitlines()[0]) if kind == "jsonl" else content.startswith(("input", "split"))


def test_a_cancelled_import_says_the_truth(page: Page, tmp_path: Path) -> None:
    create_project(page, "Cancelled")
    upload = tmp_path / "many.csv"
    upload.write_text("prompt\n" + "".join(f"question number {i}\n" for i in range(400_000)), encoding="utf-8")
    open_tab(page, "Data")
    page.locator("#data-file input[type=file]").set_input_files(upload)
    page.get_by_role("heading", name="Preview").wait_for()
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_role("button", name="Cancel import").click()
    expect(page.locator("#data-columns .notice")).to_contain_text("nothing was imported", timeout=60_000)
    expect(page.get_by_text("No examples yet")).to_be_visible()
