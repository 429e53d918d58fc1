"""Evaluate in the browser: from a finished run to the sentence, wins and losses by a click, the leaderboard, a judge
who is asked only when somebody sends, and runs side by side."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from storage.annotations import annotate
from storage.database import connect
from storage.projects import create_project
from studio.data.snapshots import freeze
from studio.jobs.runs import follow_run, start_run, sync_runs
from studio.settings import Workspace
from tests import tiny
from tests.e2e.conftest import Served, open_tab
from tests.jobs.judged_run import BAD, GOOD, FakeJudge, evaluated, fair, said
from tests.labeling.samples import put_examples


def trained(served: Served) -> None:
    """Past the app: a project of 40 labeled texts with one finished run on a tiny model."""
    workspace = Workspace(served.workspace)
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Mail", "classification", "")
    pairs = [(f"{text} Number {n}.", label) for n, (text, label) in enumerate(tiny.labeled(40))]
    for example, (_, label) in zip(put_examples(db, project.id, [text for text, _ in pairs]), pairs, strict=True):
        annotate(db, example, "me", "submit", label)
    snapshot = freeze(db, workspace, project.id, 0.1, 0.3).snapshot
    base = tiny.make_model(served.workspace.parent / "base")
    settings = {"max_steps": 4, "device": "cpu", "samples": 0, "evaluations": 1, "lora_rank": 4}
    run = start_run(db, workspace, snapshot.id, str(base), settings)
    follow_run(workspace, run.id, lambda event: None)
    sync_runs(db, workspace)
    db.close()


def test_a_run_is_evaluated_and_its_losses_are_read(page: Page, served: Served) -> None:
    page.goto("about:blank")
    served.stop()
    trained(served)
    served.start()
    page.goto(served.url)
    open_tab(page, "Evaluate")
    expect(page.get_by_text("Not evaluated yet")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Evaluate", exact=True).click()
    expect(page.locator("h2.verdict")).to_contain_text(".", timeout=120_000)
    expect(page.get_by_role("button", name="Evaluate", exact=True)).to_be_visible()
    expect(page.locator(".verdict-report .held")).to_have_count(10)
    page.get_by_role("button", name="Ties", exact=True).click()
    expect(page.get_by_role("button", name="Ties", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Why this?").first.click()
    expect(page.locator(".held .why").first).to_contain_text("Nearest by prompt and answer", timeout=120_000)
    expect(page.get_by_role("button", name="Run 1")).to_be_visible()
    found = Axe().run(page, ".verdict-report", {"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def judged_page(page: Page, served: Served) -> None:
    """Evaluate open on a run whose answers were made up: 4 better, 1 worse, 1 the same."""
    page.goto("about:blank")
    served.stop()
    workspace = Workspace(served.workspace)
    db = connect(workspace.database, workspace.backups)
    answers = [
        *((f"Question {n}?", f"{BAD} {n}", f"{GOOD} {n}") for n in range(4)),
        ("Why?", GOOD, BAD),
        ("So?", "a", "a"),
    ]
    evaluated(db, workspace, answers)
    db.close()
    served.start()
    page.goto(served.url)
    open_tab(page, "Evaluate")
    expect(page.locator("h2.verdict")).to_contain_text("Better.", timeout=30_000)


def test_a_judge_is_asked_only_when_somebody_sends(page: Page, served: Served) -> None:
    judged_page(page, served)
    with FakeJudge(lambda shown: said(fair(shown), "<i>clear</i>")).open() as fake:
        page.get_by_role("button", name="Ask a judge").click()
        page.get_by_label("Judge's address").fill(fake.url)
        page.get_by_label("Judge's model").fill("big")
        page.get_by_label("API key").fill("sk-typed")
        page.get_by_label("Price in").fill("10")
        page.get_by_role("button", name="See what it sends").click()
        expect(page.get_by_text("in 10 requests (6 rows chosen, 1 with identical answers)")).to_be_visible()
        assert fake.answered == 0
        page.get_by_role("button", name="Send to 127.0.0.1").click()
        expect(page.locator(".judged")).to_contain_text("better 67 %", timeout=60_000)
        assert fake.answered == 10 and set(fake.keys) == {"Bearer sk-typed"}
    expect(page.get_by_label("API key")).to_have_value("")
    expect(page.locator(".judge-said").first).to_contain_text("judge: better <i>clear</i>")
    found = (
        Axe().run(page, "#evaluate-judge, .verdict-report", {"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    )
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_runs_are_laid_over_one_another(page: Page, served: Served) -> None:
    judged_page(page, served)
    page.get_by_role("button", name="Runs side by side").click()
    page.get_by_label("Runs to lay over one another").click()
    page.get_by_role("option", name="Run 1").click()
    expect(page.locator("#evaluate-overlay table")).to_contain_text("+0.4 (+0.2 to +0.6)")
