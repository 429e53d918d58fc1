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
    out = page.locator("#datasets-export")
    out.locator("> button").first.click()
    for kind in ("jsonl", "csv"):
        page.get_by_label("File format").click()
        page.get_by_role("option", name=kind).click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Export snapshot").click()
        assert download.value.suggested_filename == f"Out-v1-messages.{kind}"
        content = Path(download.value.path()).read_text(encoding="utf-8")
        assert content.count("\n") == (10 if kind == "jsonl" else 11)
        expect(out.locator(".notice")).to_contain_text("10 rows in the file")
    assert content.startswith("input,output")


def test_a_project_is_exported_in_a_shape_that_leaves_rows_out(page: Page, tmp_path: Path) -> None:
    create_project(page, "Shaped")
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    upload = tmp_path / "pairs.jsonl"
    upload.write_text(json.dumps({"messages": turns}) + "\n" + json.dumps({"messages": turns[:2]}) + "\n")
    import_file(page, upload)
    out = page.locator("#data-export")
    out.locator("> button").first.click()
    page.get_by_label("Write as").click()
    page.get_by_role("option", name="Alpaca").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export pairs").click()
    assert json.loads(Path(download.value.path()).read_bytes())["output"] == "assistant"
    expect(out.locator(".notice")).to_contain_text("1 row in the file. 1 row left out")
    out.get_by_role("button", name="Push to the Hub").click()
    out.get_by_label("Dataset on the Hub").fill("ann/desk")
    out.get_by_role("button", name="Push …").click()
    expect(page.locator("[data-testid=toast-body].error")).to_contain_text("cannot be reached")


def test_a_cancelled_import_says_the_truth(page: Page, tmp_path: Path) -> None:
    create_project(page, "Cancelled")
    upload = tmp_path / "many.jsonl"  # conversations are read row by row, which leaves the time to cancel
    rows = (f'{{"messages": [{{"role": "user", "content": "question number {i}"}}]}}\n' for i in range(300_000))
    upload.write_text("".join(rows), encoding="utf-8")
    open_tab(page, "Data")
    page.locator("#data-file input[type=file]").set_input_files(upload)
    page.get_by_role("heading", name="Preview").wait_for()
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_role("button", name="Cancel import").click()
    said = page.locator("#data-columns .notice", has_text="cancelled")
    expect(said).to_contain_text("nothing was imported", timeout=60_000)
    expect(page.get_by_text("No examples yet")).to_be_visible()
