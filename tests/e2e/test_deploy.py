"""Deploy in the browser: a run is promoted, served, asked with a key that is shown once, and the server is stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from storage.annotations import annotate
from storage.database import connect
from storage.projects import create_project
from storage.runs import create_run, take_up_events
from studio.data.snapshots import freeze
from studio.jobs.processes import ask_to_stop
from studio.settings import Workspace
from tests import tiny
from tests.e2e.conftest import Served, open_tab
from tests.export.made import House, lora_run
from tests.labeling.samples import put_examples


def finished_run(served: Served) -> None:
    """Past the app: a project with one finished run on a tiny model, as training would have left it."""
    workspace = Workspace(served.workspace)
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Desk", "instruction", "Be brief.")
    given = put_examples(db, project.id, [question for question, _ in tiny.pairs(12)])
    for example, (_, answer) in zip(given, tiny.pairs(12), strict=True):
        annotate(db, example, "me", "submit", answer)
    snapshot = freeze(db, workspace, project.id, 0.1, 0.3).snapshot
    base = tiny.make_model(served.workspace.parent / "base")
    spec = {"base_model": str(base), "method": "lora", "device": "cpu"}
    create_run(db, "run-1x", project.id, snapshot.id, str(base), json.dumps(spec), 4)
    ended = {"state": "done", "adapter_hash": "a" * 64, "base_hash": "", "tuned_loss": 1.5, "device": "CPU"}
    take_up_events(db, "run-1x", [], 0, ended)
    lora_run(House(workspace.root, base, workspace.snapshots / snapshot.id), "run-1x")
    db.close()


@pytest.fixture
def tidy(served: Served) -> Iterator[None]:
    """A server outlives the app, but not the test."""
    yield
    for spec in (served.workspace / "serving").glob("*/spec.json"):
        ask_to_stop(spec.parent, hard=True)


@pytest.mark.usefixtures("tidy")
def test_a_run_is_promoted_served_asked_with_a_key_and_stopped(page: Page, served: Served) -> None:
    page.goto("about:blank")
    served.stop()
    finished_run(served)
    served.start()
    page.goto(served.url)
    open_tab(page, "Deploy")
    page.get_by_label("Reason (optional)").fill("The first one")
    page.get_by_role("button", name="Promote", exact=True).click()
    expect(page.locator("#deploy-production-panel .standing")).to_contain_text("The first one", timeout=60_000)

    page.get_by_role("spinbutton", name="Port").fill("0")
    page.get_by_role("button", name="Start server").click()
    expect(page.locator("#deploy-server-panel .standing")).to_contain_text("Answers at http", timeout=180_000)
    url = page.locator("#deploy-server-panel .standing code").first.inner_text()

    page.get_by_label("Key for").fill("the web shop")
    page.get_by_role("button", name="Make key").click()
    expect(page.get_by_text("never shown again")).to_be_visible(timeout=30_000)
    token = page.locator("#deploy-keys-panel .copied code").inner_text()
    asked = {"model": "Desk@production", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        expect(page.locator("#deploy-keys-panel .key")).to_have_count(1)
        page.wait_for_timeout(1500)  # the server knows a new key within a second
        assert client.post("/chat/completions", json=asked).status_code == 401
        answer = client.post("/chat/completions", json=asked, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200 and answer.json()["model"] == "Desk@production"

    page.get_by_role("button", name="Stop …").click()
    page.get_by_role("button", name="Stop the server").click()
    expect(page.get_by_text("No server", exact=True)).to_be_visible(timeout=90_000)
    page.reload()
    open_tab(page, "Deploy")
    expect(page.locator("#deploy-production-panel .standing")).to_contain_text("Run 1", timeout=60_000)
    assert token not in page.content()
