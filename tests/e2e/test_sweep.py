"""A sweep in the browser, on a tiny random model: started, stopped, gone on with, its best trial used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.jobs.processes import ask_to_stop
from tests.e2e.conftest import Served, create_project, freeze, import_file, open_tab
from tests.tiny import make_model, pairs


@pytest.fixture
def ready(page: Page, served: Served, tmp_path: Path) -> Iterator[Page]:
    """The Train tab with a snapshot and a tiny model, and the sweep's part open."""
    create_project(page, "Sweeps")
    upload = tmp_path / "pairs.jsonl"
    upload.write_text("\n".join(json.dumps({"input": q, "output": a}) for q, a in pairs(60)), encoding="utf-8")
    import_file(page, upload)
    freeze(page)
    open_tab(page, "Train")
    page.locator("#train-panel .facts").wait_for()
    page.get_by_label("Base model").fill(str(make_model(tmp_path / "tiny")))
    page.get_by_label("Base model").press("Enter")
    page.locator("#sweep button", has_text="Sweep: try several settings").click()
    yield page
    for folder in (served.workspace / "sweeps").glob("*"):
        ask_to_stop(folder, hard=True)


def state(page: Page, expected: str, seconds: float = 180) -> None:
    """Wait until the sweep on screen is in a state."""
    expect(page.locator("#sweep h2 .chip")).to_have_text(expected, timeout=seconds * 1000)


def test_a_sweep_from_its_form_to_the_run_of_its_best(ready: Page, served: Served) -> None:
    page = ready
    expect(page.locator("#sweep .empty")).to_contain_text("No sweep yet")
    page.get_by_label("Values").nth(0).fill("1e-3, 1e-2")
    page.get_by_label("Values").nth(1).fill("4")
    page.get_by_role("button", name="Start sweep").click()
    expect(page.locator(".toast-body.error")).to_contain_text("2 to 50 different values of lora_rank")
    page.get_by_label("Values").nth(1).fill("4, 8")
    page.get_by_label("Trials", exact=True).fill("2")
    page.get_by_role("button", name="Start sweep").click()
    state(page, "training")
    page.locator("#sweep .table tbody tr").first.wait_for(timeout=60_000)
    page.get_by_role("button", name="Stop sweep").click()
    state(page, "stopped")
    page.get_by_role("button", name="Resume sweep").click()
    state(page, "done", seconds=240)
    expect(page.locator("#sweep .table tbody tr")).to_have_count(2)
    assert len(list((served.workspace / "sweeps").glob("*/trials/*/adapter"))) == 1
    best = page.locator(".chart.parallel .one.best")
    best.focus()
    expect(best.locator(".said")).to_be_visible()
    page.get_by_role("button", name="Use the best").click()
    expect(page.locator("#train-columns h2")).to_contain_text("Run 1", timeout=60_000)
