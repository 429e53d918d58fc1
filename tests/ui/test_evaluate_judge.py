"""Evaluate's judge and overlay as data in, HTML out: hostile text as text, what is sent is said, ticks send little."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from storage.database import Database
from storage.records import Run
from studio.contract.evaluation import EvalReport
from studio.contract.judging import JudgedRow, write_judged
from studio.errors import BadInput
from studio.jobs import evaluating
from studio.jobs.job_folders import Standing
from studio.jobs.judging import Agreement, Estimate, JudgeReport, Judging
from studio.settings import Workspace
from studio.ui.components.overlay import Losses, overlay
from studio.ui.evaluate import View, shown, ticked
from studio.ui.evaluate_judge import asked_of
from studio.ui.evaluate_judge_views import estimate_html, judged_html, row_judged
from studio.ui.evaluate_overlay import curves_html, differences, side_by_side_html
from tests.jobs.judged_run import evaluated
from tests.ui.test_evaluate_views import HOSTILE, made


class House:
    """What of a Studio these functions touch."""

    def __init__(self, db: Database, workspace: Workspace) -> None:
        self.db, self.workspace = db, workspace


def report(**fields: object) -> JudgeReport:
    known = {"run": "r", "evaluation": "e", "model": HOSTILE, "host": HOSTILE, "criteria": HOSTILE, "reference": True}
    counts = {"asked": 10, "wins": 6, "ties": 2, "losses": 1, "left": 1, "stopped": "Stopped.", "unread_replies": 3}
    shares = {"rate": (0.78, 0.5, 0.9), "changed": 2, "shown_twice": 8, "first": 0.75, "cost": 0.5, "cost_now": 0.2}
    said = (JudgedRow(row=1, outcome="win", why=HOSTILE), JudgedRow(row=2, outcome="tie", changed=True))
    return JudgeReport.model_validate(known | counts | shares | {"rows": said, "sentence": "S."} | fields)


def run(number: int, **spec: object) -> Run:
    now = datetime.now(UTC)
    rest: dict[str, Any] = dict.fromkeys(("tokens_per_second", "eta_seconds", "memory_bytes", "base_loss"))
    rest |= dict.fromkeys(("tuned_loss", "base_hash", "adapter_hash", "device", "ended_at"))
    return Run(
        f"r{number}", "p", "s" * 20, number, "base", spec, "done", "", 1, 1, **rest, events_offset=0, created_at=now
    )


def test_the_judges_figures_stand_beside_each_other_and_hostile_text_is_text() -> None:
    html = judged_html(Judging(Standing("done"), report(), stale=True), Agreement(4, 3, (0.75, 0.3, 0.9), 0.5))
    assert "25 % of 8 rows" in html and "75 % of choices" in html and "3 of 4 votes · kappa 0.50" in html
    assert "0.5, 0.2 of it last" in html and "evaluated anew" in html and "1 row not judged" in html
    assert "<img" not in html and html.count("&lt;img") == 3
    assert "<img" not in row_judged(report(), 1) and "depends on the order" in row_judged(report(), 2)
    assert judged_html(Judging(Standing("none")), None) == row_judged(None, 1) == row_judged(report(), 3) == ""


def test_an_estimate_says_what_goes_where_and_for_how_much() -> None:
    found = Estimate("api.example", "m", 100, 4, 10, 172, 50_000, 9_000, 0.285, 1.9)
    html = estimate_html(found, priced=True, reference=True)
    assert (
        "api.example" in html and "172 requests" in html and "about 0.28, at most 1.9" in html and "reference" in html
    )
    html = estimate_html(found, priced=False, reference=False)
    assert "not known" in html and "reference" not in html
    assert "Nothing needs to be sent" in estimate_html(replace(found, requests=0), True, True)


def test_a_form_becomes_an_ask_and_what_is_no_number_is_refused() -> None:
    asked = asked_of(("u", "m", "c", False, 5, None, 2.5, 0))
    assert (asked.rows, asked.price_in, asked.price_out, asked.reference) == (5, 0.0, 2.5, False)
    with pytest.raises(BadInput, match="are numbers"):
        asked_of(("u", "m", "c", False, "many", 0, 0, 0))


def test_a_tick_reads_no_report_and_sends_nothing_that_stands_already(
    db: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, house = evaluated(db, workspace, [("Q", "a", "b")]), House(db, workspace)
    values = shown(house, one.project_id, one.id, View())  # type: ignore[arg-type]
    read: list[Path] = []
    before = evaluating.read_eval_report
    monkeypatch.setattr(evaluating, "read_eval_report", lambda folder: read.append(folder) or before(folder))
    again = ticked(house, one.project_id, one.id, values[6])  # type: ignore[arg-type]
    assert again[4] == gr.skip() and read == []
    shown(house, one.project_id, one.id, values[6])  # type: ignore[arg-type]
    assert read == []
    (workspace.evaluations / one.id / "report.json").touch()
    shown(house, one.project_id, one.id, values[6])  # type: ignore[arg-type]
    assert len(read) == 1


def test_another_run_forgets_the_rows_of_the_one_before(db: Database, workspace: Workspace) -> None:
    one, house = evaluated(db, workspace, [("Q", "a", "b")]), House(db, workspace)
    view = shown(house, one.project_id, one.id, View("win", 10, 3, "why-x", run_id="other"))[6]  # type: ignore[arg-type]
    assert isinstance(view, View) and (view.outcome, view.start, view.row, view.run_id) == ("", 0, 0, one.id)


def test_a_judging_that_ended_is_shown_at_the_next_tick(db: Database, workspace: Workspace) -> None:
    one, house = evaluated(db, workspace, [("Q", "a", "b")]), House(db, workspace)
    view = shown(house, one.project_id, one.id, View())[6]  # type: ignore[arg-type]
    write_judged(workspace.evaluations / one.id, report(model="Judge Judy"))
    values = ticked(house, one.project_id, one.id, replace(view, seen="asked", judging=True))  # type: ignore[arg-type]
    assert "Judge Judy" in values[4] and values[8] == "" and values[9].visible


def test_a_click_before_that_tick_does_not_swallow_it(db: Database, workspace: Workspace) -> None:
    one, house = evaluated(db, workspace, [("Q", "a", "b")]), House(db, workspace)
    clicked = shown(house, one.project_id, one.id, View(run_id=one.id, judging=True))  # type: ignore[arg-type]
    assert clicked[3].active and clicked[6].judging  # type: ignore[attr-defined]
    values = ticked(house, one.project_id, one.id, clicked[6])  # type: ignore[arg-type]
    assert values[8] == "" and not values[6].judging and not values[3].active  # type: ignore[attr-defined]


def test_curves_lie_over_one_another_with_a_label_each() -> None:
    runs = [Losses(f"Run {n}", [(0, 2.0), (9, 1.0 / n)], [(9, 1.0)] if n < 3 else []) for n in range(1, 4)]
    html = overlay([*runs, Losses(HOSTILE, [(1, float("nan"))], [])])
    assert html.count("polyline") == 3 and html.count("circle") == 2 and "<img" not in html
    assert "Run 1 1.000" in html and "Run 3 0.333" in html and "step 9" in html
    assert curves_html([Losses("Run 1", [], [])]) == ""


def test_only_settings_that_differ_are_listed() -> None:
    runs = [run(1, lr=1e-3, epochs=2, models="/a"), run(2, lr=2e-3, epochs=2, models="/b", packing=True)]
    assert differences(runs) == [["lr", "0.001", "0.002"], ["packing", "–", "on"]]


def test_metrics_stand_side_by_side_only_on_the_same_rows() -> None:
    other: EvalReport = made(held_out="elsewhere")
    html = side_by_side_html({1: made(), 2: made(), 3: other}, [1, 2, 3, 4])
    assert html.count("<table>") == 2 and html.count("0.7\n+0.5 (+0.4 to +0.6)") == 3
    assert "Run 4: not evaluated yet" in html and "do not compare them" in html
