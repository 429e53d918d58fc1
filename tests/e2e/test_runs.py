"""Runs in the browser, on a tiny random model: stop, resume, restart of the app, a killed trainer, what cannot work."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served, create_project, freeze, import_file, open_tab, start_training
from tests.tiny import make_model, pairs


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with a tiny random Llama."""
    return make_model(tmp_path / "tiny")


@pytest.fixture
def ready(page: Page, tmp_path: Path) -> Page:
    """A project with a snapshot."""
    create_project(page, "Runs")
    upload = tmp_path / "pairs.jsonl"
    upload.write_text("\n".join(json.dumps({"input": q, "output": a}) for q, a in pairs(60)), encoding="utf-8")
    import_file(page, upload)
    freeze(page)
    return page


def state(page: Page, expected: str, seconds: float = 120) -> None:
    """Wait until the run on screen is in a state."""
    expect(page.locator("#train-columns h2 .chip")).to_have_text(expected, timeout=seconds * 1000)


def test_stop_restart_of_the_app_resume(ready: Page, served: Served, tiny: Path) -> None:
    page = ready
    start_training(page, str(tiny), **{"Max steps": 4000})
    state(page, "training")
    served.stop(hard=True)
    served.start()
    page.reload()
    open_tab(page, "Train")
    state(page, "training")
    page.get_by_role("button", name="Stop", exact=True).click()
    state(page, "stopped")
    assert list((served.workspace / "runs").glob("*/checkpoints/checkpoint-*"))
    page.get_by_role("button", name="Resume", exact=True).click()
    state(page, "training")
    page.get_by_role("button", name="Stop", exact=True).click()
    state(page, "stopped")


def test_a_killed_trainer_is_failed_and_can_be_resumed(ready: Page, served: Served, tiny: Path) -> None:
    page = ready
    start_training(page, str(tiny), **{"Max steps": 4000})
    state(page, "training")
    process = next((served.workspace / "runs").glob("*/process.json"))
    os.kill(json.loads(process.read_text())["pid"], signal.SIGKILL)
    state(page, "failed", seconds=10)
    expect(page.locator("#train-columns .notice.bad")).to_contain_text("Resume")
    expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible()


def test_a_folder_without_weights_is_refused_before_the_click(ready: Page, tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text("{}")
    open_tab(ready, "Train")
    ready.get_by_label("Base model").fill(str(tmp_path / "hollow"))
    ready.get_by_label("Base model").press("Enter")
    expect(ready.locator("#train-panel .notice.bad")).to_contain_text("has no weights")
    expect(ready.get_by_role("button", name="Start training")).to_be_disabled()


def test_a_hub_model_out_of_reach_says_so_in_seconds(ready: Page) -> None:
    start_training(ready, "nobody/nothing-here")
    state(ready, "failed", seconds=60)
    expect(ready.locator("#train-columns .notice.bad")).to_contain_text("hub")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "text"),
        ("twice.csv", b"a,a\n1,2\n", "a"),
        ("broken.json", b'[{"input": "x"},\n{"input": ]', "line 2"),
    ],
)
def test_a_wrong_file_gets_one_sentence(page: Page, tmp_path: Path, name: str, content: bytes, said: str) -> None:
    create_project(page, "Files")
    (tmp_path / name).write_bytes(content)
    open_tab(page, "Data")
    page.locator("#data-file input[type=file]").set_input_files(tmp_path / name)
    expect(page.locator("#data-columns .notice.bad")).to_contain_text(said)
    expect(page.get_by_role("button", name="Import", exact=True)).not_to_be_visible()
