"""The figures of Home, the next step that follows from them, and badges: on a real database, without a browser."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.database import Database, connect
from storage.overview import Tally, losses, tally
from storage.projects import create_project
from storage.records import User
from storage.runs import NewEvent, create_run, take_up_events
from storage.snapshots import record_snapshot
from studio.data.importing import import_file
from studio.data.sample import create_sample_project
from studio.jobs.next_step import FIRST_RUN, next_step
from studio.jobs.overview import Overview, badges, overview
from studio.labeling.queue import Queues
from studio.labeling.visits import note_visit
from studio.settings import Workspace

ANN = User("ann", "admin")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return connect(tmp_path / "studio.duckdb", tmp_path / "backups")


def look(db: Database, tmp_path: Path, project_id: str, since: datetime | None = None) -> Overview:
    return overview(db, Workspace(tmp_path), Queues(db), project_id, ANN, since)


def test_the_sample_is_counted_and_wants_a_snapshot(db: Database, tmp_path: Path) -> None:
    project = create_sample_project(db)
    found = look(db, tmp_path, project.id)
    assert (found.tally.labeled, found.tally.todo, found.tally.accepted, found.left) == (205, 15, 205, 15)
    step = next_step(found, "admin")
    assert step and step.tab == "Datasets" and "205 accepted pairs" in step.sentence
    assert found.changes is None and found.recent == () and found.newest is None


def test_a_project_without_examples_wants_data_and_one_with_few_wants_labels(db: Database, tmp_path: Path) -> None:
    project = create_project(db, "Few")
    step = next_step(look(db, tmp_path, project.id), "admin")
    assert step and step.tab == "Data"
    file = tmp_path / "few.jsonl"
    rows = [{"prompt": f"question {n}", "response": "yes" if n < 38 else ""} for n in range(60)]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    import_file(db, project.id, file)
    step = next_step(look(db, tmp_path, project.id), "admin")
    assert step and step.tab == "Label"
    assert step.sentence == f"{FIRST_RUN - 38} more accepted pairs until a first run is worth it."


def test_an_annotator_hears_of_labeling_only(db: Database, tmp_path: Path) -> None:
    found = look(db, tmp_path, create_sample_project(db).id)
    step = next_step(found, "annotator")
    assert step and (step.tab, step.sentence) == ("Label", "15 examples left to label.")
    assert next_step(replace(found, left=0), "annotator") is None


def test_a_reviewer_reviews_first(db: Database, tmp_path: Path) -> None:
    found = look(db, tmp_path, create_sample_project(db).id)
    waiting = replace(found, tally=replace(found.tally, pending=3, flagged=2))
    step = next_step(waiting, "reviewer")
    assert step and (step.tab, step.sentence) == ("Review", "5 examples to review, 2 of them flagged.")
    assert next_step(found, "reviewer").tab == "Label"  # type: ignore[union-attr]


def with_run(db: Database, found: Overview, **changes: object) -> Overview:
    """The same project with a snapshot of now and one run of it."""
    record_snapshot(db, "s1", found.project.id, 0, (165, 20, 20))
    run = create_run(db, "run-1", found.project.id, "s1", "base", "{}", 10)
    at = datetime.now(UTC)
    events = [NewEvent(n, at, "step", {"step": n, "loss": 3.0 - n / 10}) for n in range(1, 11)]
    take_up_events(db, run.id, events, 1, changes)
    return found


@pytest.mark.parametrize(
    ("changes", "tab"),
    [({"state": "training", "step": 5}, "Train"), ({"state": "failed", "message": "out of disk"}, "Train"),
     ({"state": "waiting"}, "Train"), ({"state": "paused", "step": 5}, "Train"),
     ({"state": "done", "step": 10}, "Evaluate")],
)  # fmt: skip
def test_a_run_decides_what_is_next(db: Database, tmp_path: Path, changes: dict[str, object], tab: str) -> None:
    project = create_sample_project(db)
    with_run(db, look(db, tmp_path, project.id), **changes)
    found = look(db, tmp_path, project.id, NOW - timedelta(days=3000))
    step = next_step(found, "admin")
    assert step and step.tab == tab and step.run_id == "run-1"
    assert found.fresh == 0 and found.recent[0].losses[0] == 2.9 and len(found.recent[0].losses) == 10
    assert found.changes and (found.changes.snapshots, found.changes.imported) == (1, 220)


def test_after_a_verdict_comes_service_and_then_more_labels(db: Database, tmp_path: Path) -> None:
    project = create_sample_project(db)
    with_run(db, look(db, tmp_path, project.id), state="done", step=10)
    found = look(db, tmp_path, project.id)
    better = replace(found, recent=(replace(found.recent[0], kind="better", sentence="Better on 61 %."),))
    step = next_step(better, "admin")
    assert step and step.tab == "Deploy" and "Better on 61 %." in step.sentence
    served = replace(better, in_service=1, in_service_id="run-1")
    assert next_step(served, "admin").tab == "Label"  # type: ignore[union-attr]
    assert next_step(replace(served, fresh=30), "admin").tab == "Datasets"  # type: ignore[union-attr]
    assert next_step(replace(served, alerts=1), "admin").tab == "Monitor"  # type: ignore[union-attr]


def test_badges_tell_of_runs_to_those_who_see_them(db: Database, tmp_path: Path) -> None:
    project = create_sample_project(db)
    with_run(db, look(db, tmp_path, project.id), state="training", step=5)
    found = badges(db, project.id, True)
    assert (found.to_label, found.to_review, found.alerts) == (15, 0, 0)
    assert [(run.number, run.step, run.steps, run.ended_at) for run in found.runs] == [(1, 5, 10, None)]
    assert badges(db, project.id, False).runs == ()


def test_losses_are_thinned_and_keep_the_last(db: Database, tmp_path: Path) -> None:
    project = create_sample_project(db)
    with_run(db, look(db, tmp_path, project.id), state="done")
    thin = losses(db, "run-1", 3)
    assert len(thin) <= 5 and thin[-1] == 2.0 and losses(db, "run-2", 3) == []


def test_looks_that_are_close_are_one_visit(db: Database) -> None:
    assert note_visit(db, "ann", "p", NOW) is None
    assert note_visit(db, "ann", "p", NOW + timedelta(minutes=10)) is None
    later = NOW + timedelta(hours=5)
    assert note_visit(db, "ann", "p", later) == NOW + timedelta(minutes=10)
    assert note_visit(db, "ann", "p", later + timedelta(minutes=20)) == NOW + timedelta(minutes=10)
    assert note_visit(db, "bob", "p", later) is None


def test_a_project_that_is_not_there_counts_nothing(db: Database) -> None:
    assert tally(db, "nowhere") == Tally()
