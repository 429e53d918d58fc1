"""The import screen: a shape found and changed, pasted text, a hub out of reach, the splits of an archive."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pyarrow as pa
from playwright.sync_api import Page, expect

from tests.e2e.conftest import create_project, open_tab


def choose(page: Page, menu: str, option: str) -> None:
    page.locator("#data-panel").get_by_label(menu, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def test_a_shape_is_found_shown_and_changed(page: Page, tmp_path: Path) -> None:
    create_project(page, "Shapes")
    upload = tmp_path / "alpaca.jsonl"
    rows = [{"instruction": f"<b>do</b> {n}", "input": "c", "output": f"o{n}"} for n in range(3)] + [{"output": "x"}]
    upload.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    open_tab(page, "Data")
    page.locator("#data-file input[type=file]").set_input_files(upload)
    page.get_by_role("heading", name="Preview").wait_for()
    seen = page.locator("#data-seen")
    expect(seen).to_contain_text("Of 4 rows, 3 can be taken: 3 with an answer, 0 to label. 1 row cannot.")
    expect(seen.locator(".chip").first).to_have_text("Alpaca")
    expect(seen.locator(".trial-example").first).to_contain_text("<b>do</b> 0")
    expect(page.get_by_label("Input column")).to_have_count(0)
    choose(page, "Shape", "Label Studio")
    expect(seen).to_contain_text("is not laid out as Label Studio's JSON")
    choose(page, "Shape", "Columns")
    choose(page, "Input column", "output")
    choose(page, "Output column", "(none)")
    expect(seen).to_contain_text("0 with an answer, 4 to label")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#data-columns .notice", has_text="Imported 4 rows: 0 labeled")).to_be_visible(timeout=30_000)


def test_pasted_text_is_imported_and_without_a_hub_there_is_one_sentence(page: Page) -> None:
    create_project(page, "Pasted")
    open_tab(page, "Data")
    page.get_by_text("Or paste text").click()
    page.get_by_label("Pasted text").fill("question,answer\nWhy?,Because.\nHow?,\n")
    page.get_by_role("button", name="Preview text").click()
    page.get_by_role("heading", name="Preview").wait_for()
    expect(page.locator("#data-seen")).to_contain_text("Because.")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#data-columns .notice", has_text="Imported 2 rows: 1 labeled")).to_be_visible(timeout=30_000)
    page.get_by_text("Or take a data set of the Hub").click()
    page.get_by_label("Hub name").fill("owner/name")
    page.get_by_role("button", name="Preview data set").click()
    expect(page.locator("#data-seen .notice")).to_contain_text("cannot be reached", timeout=30_000)


def test_one_split_of_an_archive_is_chosen(page: Page, tmp_path: Path) -> None:
    create_project(page, "Splits")
    upload = tmp_path / "set.zip"
    with zipfile.ZipFile(upload, "w") as archive:
        archive.writestr("dataset_dict.json", '{"splits": ["train", "test"]}')
        for split, rows in (("train", 3), ("test", 2)):
            table = pa.table({"input": [f"{split} {n}" for n in range(rows)]})
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            archive.writestr(f"{split}/d.arrow", sink.getvalue().to_pybytes())
            archive.writestr(f"{split}/state.json", '{"_data_files": [{"filename": "d.arrow"}]}')
    open_tab(page, "Data")
    page.locator("#data-file input[type=file]").set_input_files(upload)
    page.get_by_role("heading", name="Preview").wait_for()
    expect(page.locator("#data-seen")).to_contain_text("Of 5 rows")
    choose(page, "Split", "test")
    expect(page.locator("#data-seen")).to_contain_text("Of 2 rows")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#data-columns .notice", has_text="Imported 2 rows")).to_be_visible(timeout=30_000)
