"""Markup and scripts in every field that anything shows, on every tab, in a browser: they are words there, and no more.

Watched: no script of theirs runs, no request leaves this machine, no element of theirs stands in the page. Answers of
models in Compare are in test_compare.py.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from storage.annotations import annotate
from storage.audit import record
from storage.database import connect
from storage.deployments import add_deployment
from storage.projects import create_project
from storage.records import Label, Settings, Turn
from storage.runs import create_run, take_up_events
from storage.serving_records import NewRequest
from storage.suggestions import NewSuggestion, add_suggestions
from storage.traffic import add_traffic
from storage.watches import add_watch, note_delivery, raise_alert
from studio.contract.events import EventWriter
from studio.contract.serving import ServeSpec, write_names
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.jobs.serving import folder_of
from studio.jobs.serving_keys import add_key
from studio.settings import Workspace
from studio.ui.app import TABS
from tests.e2e.conftest import Served, open_tab

SHORT = "<img src=//evil.example/s onerror=owned=1>"
EVIL = (
    "\"'><img src='http://evil.example/i' onerror=\"window.owned=1\"><script>window.owned=1</script>"
    "<svg onload=window.owned=1><iframe srcdoc='<script>parent.owned=1</script>'></iframe>"
    "<style>@import url(http://evil.example/c);</style><link rel=prefetch href=http://evil.example/l>"
    "<meta http-equiv=refresh content='0;url=http://evil.example/r'>"
    " ${window.owned=1} {{constructor.constructor('window.owned=1')()}} </textarea></script>"
)
MARKDOWN = (
    f"# Guide\n\n[go](javascript:window.owned=1) ![p](http://evil.example/p) <http://evil.example/a>\n\n{EVIL}\n\n"
    "[x]: http://evil.example/ref\n\n[far](http://evil.example/far)"
)
LOOK = """() => ({
  owned: window.owned, title: document.title,
  foreign: [...document.querySelectorAll('*')].filter(e =>
    [...e.attributes].some(a => /^on(error|load)$/i.test(a.name) && /owned/.test(a.value)) ||
    (/^(IMG|IFRAME|SCRIPT|LINK|STYLE|META|OBJECT|EMBED)$/.test(e.tagName) && /evil\\.example|owned=1/.test(e.outerHTML)
      && !/window\\.gradio_config/.test(e.outerHTML)) ||
    (e.tagName === 'A' && /^\\s*(javascript|data):/i.test(e.getAttribute('href') || ''))
  ).map(e => e.outerHTML.slice(0, 200)),
})"""


def fill(workspace: Workspace) -> None:
    """Past the app: hostile words wherever somebody or something may have written some."""
    db, now = connect(workspace.database, workspace.backups), datetime.now(UTC)
    labels = Settings(labels=(Label(SHORT, "#cc0000"), Label("<b>b</b>", "#00cc00")))
    create_project(db, f"Z {SHORT}", "classification", EVIL, MARKDOWN, labels)
    project = create_project(db, f"A {SHORT}", "instruction", EVIL, MARKDOWN)
    file = workspace.root / "rows.jsonl"
    rows = [{"prompt": f"{number} {EVIL}", "response": f"{EVIL} {number}"} for number in range(30)]
    waiting = [{"prompt": f"{number} waits {EVIL}", "response": ""} for number in range(9)]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *waiting]), encoding="utf-8")
    import_file(db, project.id, file, source=SHORT)
    ids = [row[0] for row in db.query("SELECT id FROM examples WHERE status = 'todo' ORDER BY position")]
    for one in ids[:2]:
        annotate(db, one, SHORT, "submit", EVIL)
    annotate(db, ids[2], SHORT, "flag", EVIL)
    add_suggestions(db, project.id, [NewSuggestion(one, SHORT, EVIL, "", 0.5) for one in ids[3:]])
    snapshot = freeze(db, workspace, project.id, 0.1, 0.2).snapshot
    spec = json.dumps({"base_model": EVIL, "method": "lora", "device": SHORT})
    for number, state in enumerate(("failed", "done")):
        create_run(db, f"run-0000000{number}", project.id, snapshot.id, EVIL, spec, 4)
        told = {"state": state, "message": EVIL, "device": SHORT, "adapter_hash": "a" * 64}
        take_up_events(db, f"run-0000000{number}", [], 0, told)
    weights = workspace.runs / "run-00000001" / "adapter"
    weights.mkdir(parents=True)
    (weights / "adapter_model.safetensors").touch()
    broken_server(workspace)
    with db.write() as cursor:
        add_deployment(cursor, project.id, "run-00000001", "promote", SHORT, EVIL)
        add_watch(cursor, project.id, {"error_rate": 0.1}, "https://example.org/?" + SHORT, SHORT)
    alert = raise_alert(db, project.id, "error_rate", 0.5, 0.1, now)
    assert alert is not None
    note_delivery(db, alert.number, EVIL)
    asked = [
        NewRequest(
            *(f"req-{n}", now - timedelta(seconds=n + 5), project.id, SHORT, "", SHORT, "chat"),
            status=200,
            finish="stop",
            prompt_tokens=10,
            answer_tokens=10,
            queued_ms=1.0,
            first_ms=20.0,
            total_ms=100.0,
            confidence=0.1,
            form_ok=None,
            refused=False,
            messages=(Turn("user", f"{n} {EVIL}"), Turn("assistant", EVIL)),
        )
        for n in range(9)
    ]
    add_traffic(db, "s", 1, asked, [])
    record(db, SHORT, SHORT, project.id, subject=EVIL, why=EVIL)
    db.close()
    add_key(workspace, SHORT)


def broken_server(workspace: Workspace) -> None:
    """A server's folder with hostile names, and last words of the same kind."""
    folder = folder_of(workspace, EVIL)
    folder.mkdir(parents=True)
    spec = ServeSpec(models=workspace.root, runs=workspace.runs, keys=workspace.root / "keys.json", base_model=EVIL)
    (folder / "spec.json").write_text(spec.model_dump_json())
    write_names(folder, {SHORT: "run-00000001"})
    events = EventWriter(folder)
    events.write("error", message=EVIL, traceback=EVIL)
    events.write("done", state="failed", message=EVIL)


@pytest.fixture
def served(served: Served) -> Served:
    """A studio full of them."""
    served.stop()
    fill(Workspace(served.workspace))
    served.start()
    return served


def look(page: Page, where: str) -> None:
    """Nothing of theirs ran, and nothing of theirs is more than words."""
    found = page.evaluate(LOOK)
    assert found["owned"] is None and found["foreign"] == [], (where, found)
    assert "owned" not in found["title"]


def unfold(part: Locator) -> None:
    """Open what is folded, so that it is filled and drawn."""
    part.evaluate(
        "part => part.querySelectorAll('button.label-wrap:not(.open), details:not([open]) > summary')"
        ".forEach(fold => fold.click())"
    )


def test_hostile_words_are_words_on_every_tab(page: Page) -> None:
    page.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError(f"a script ran: {dialog.message}")))
    expect(page.get_by_label("Project", exact=True)).to_have_value(f"A {SHORT}", timeout=60_000)
    shown = set()
    for tab in TABS:
        open_tab(page, tab)
        page.wait_for_timeout(2500)
        panel = page.locator("[role=tabpanel]:visible").first
        unfold(panel)
        page.wait_for_timeout(700)
        look(page, tab)
        if "owned=1" in panel.inner_text() or panel.locator("input, textarea").evaluate_all(
            "all => all.some(one => one.value.includes('owned=1'))"
        ):
            shown.add(tab)
    waiting = {"Suggestions", "Preflight"}  # they show nobody's words before a job of theirs has ended
    assert shown == set(TABS) - waiting, shown


def test_a_files_name_and_columns_are_words(page: Page) -> None:
    open_tab(page, "Data")
    header = '"<img src=x onerror=window.owned=1>","<script>window.owned=1</script>"'
    file = {"name": "<img src=x onerror=owned=1>.csv", "mimeType": "text/csv", "buffer": f"{header}\na,b\n".encode()}
    page.locator("#data-file input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("heading", name="Preview").wait_for()
    look(page, "an upload")
    expect(page.locator("body")).to_contain_text("<script>window.owned=1</script>")


def test_a_link_of_the_guidelines_opens_nothing_by_itself_and_elsewhere_on_a_click(page: Page) -> None:
    open_tab(page, "Label")
    page.wait_for_timeout(2500)
    unfold(page.locator("[role=tabpanel]:visible").first)
    look(page, "Label")
    for link in page.locator("a[href*='evil.example']").all():
        assert link.get_attribute("target") == "_blank" and "noopener" in (link.get_attribute("rel") or "")
