"""Evaluations by real processes: a run held against its base, the board, rows by page, cancel, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from storage.annotations import annotate
from storage.database import Database
from storage.projects import create_project, get_project, update_settings
from storage.records import Run
from studio.data.snapshots import freeze
from studio.errors import BadInput, Cancelled, JobFailed
from studio.jobs import evaluating
from studio.jobs.evaluating import follow_evaluation, leaderboard, list_rows, look_at, start_evaluation
from studio.jobs.job_folders import LOOK_SECONDS
from studio.jobs.runs import follow_run, get_run, start_run, sync_runs
from studio.settings import Workspace
from tests import tiny
from tests.jobs.conftest import wait_until
from tests.labeling.samples import put_examples


@pytest.fixture
def run(db: Database, workspace: Workspace, tmp_path: Path) -> Run:
    """A finished run of four steps on a tiny model and 30 labeled pairs, 6 of them held out."""
    project = create_project(db, "Mail", "classification", "")
    pairs = [(f"{text} Number {n}.", label) for n, (text, label) in enumerate(tiny.labeled(30))]
    for example, (_, label) in zip(put_examples(db, project.id, [text for text, _ in pairs]), pairs, strict=True):
        annotate(db, example, "me", "submit", label)
    snapshot = freeze(db, workspace, project.id, 0.1, 0.2).snapshot
    base = tiny.make_model(tmp_path / "base")
    settings = {"max_steps": 4, "device": "cpu", "samples": 0, "evaluations": 1, "lora_rank": 4}
    started = start_run(db, workspace, snapshot.id, str(base), settings)
    follow_run(workspace, started.id, lambda event: None)
    sync_runs(db, workspace)
    return get_run(db, started.id)


def test_an_evaluation_is_started_followed_read_and_stands_on_the_board(
    db: Database, workspace: Workspace, run: Run
) -> None:
    start_evaluation(db, workspace, run.id, ways=False)
    told: list[tuple[float, str]] = []
    report = follow_evaluation(workspace, run, lambda fraction, words: told.append((fraction, words)))
    assert report.rows == 6 and report.verdict.metric == "accuracy" and told
    assert {part.kind for part in report.slices} <= {"label", "length", "language", "source"}
    page = list_rows(workspace, run.id, count=4)
    assert page.total == 6 and [row.row for row in page.rows] == [1, 2, 3, 4]
    assert all(row.outcome == "tie" for row in list_rows(workspace, run.id, "tie").rows)
    ((only,),) = leaderboard(db, workspace, run.project_id)
    assert only.run.id == run.id and only.standing.state == "done"


def test_a_run_that_ended_is_evaluated_unless_its_project_does_not_want_it(
    db: Database, workspace: Workspace, run: Run
) -> None:
    assert evaluating.evaluate_ended(db, workspace, run.id)
    evaluating.cancel_evaluation(workspace, run.id)
    settings = replace(get_project(db, run.project_id).settings, evaluate_runs=False)
    update_settings(db, run.project_id, settings)
    assert not evaluating.evaluate_ended(db, workspace, run.id)


def test_a_cancelled_evaluation_says_so(db: Database, workspace: Workspace, run: Run) -> None:
    start_evaluation(db, workspace, run.id)
    evaluating.cancel_evaluation(workspace, run.id)
    assert look_at(workspace, run).standing.state == "stopped"
    with pytest.raises(Cancelled, match="what was answered is kept"):
        follow_evaluation(workspace, run)


def test_what_cannot_be_evaluated_is_refused_with_what_to_do(
    db: Database, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="cannot be sorted by 'tuned; drop'"):
        list_rows(workspace, run.id, order="tuned; drop")
    with pytest.raises(JobFailed, match="evaluate again"):
        list_rows(workspace, run.id)
    start_evaluation(db, workspace, run.id, ways=False)
    with pytest.raises(BadInput, match="being evaluated already"):
        start_evaluation(db, workspace, run.id)
    wait_until(lambda: not look_at(workspace, run).standing.alive, seconds=120)
    assert get_run(db, run.id).state == "done" and LOOK_SECONDS < 1
