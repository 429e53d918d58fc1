"""Projects, snapshots and runs as rows."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from storage.database import Database
from storage.projects import archive_project, create_project, find_project, get_project, list_projects, update_project
from storage.records import Project
from storage.runs import NewEvent, create_run, get_run, list_active_runs, list_events, list_runs, take_up_events
from storage.snapshots import get_snapshot, list_snapshots, record_snapshot
from studio.errors import BadInput, NotFound


def test_names_are_unique_whatever_their_case(db: Database, project: Project) -> None:
    with pytest.raises(BadInput, match="already"):
        create_project(db, f"  {project.name.upper()} ")
    other = create_project(db, "Other")
    with pytest.raises(BadInput, match="already"):
        update_project(db, other.id, project.name, "", "")
    assert update_project(db, project.id, "support", "S", "G").guidelines == "G"
    assert find_project(db, "SUPPORT ").id == project.id


@pytest.mark.parametrize(("name", "task"), [("", "chat"), (" \n", "chat"), ("x" * 121, "chat"), ("x", "cooking")])
def test_bad_projects_are_refused(db: Database, name: str, task: str) -> None:
    with pytest.raises(BadInput):
        create_project(db, name, task)
    assert list_projects(db) == []


def test_hostile_names_are_only_names(db: Database) -> None:
    name = "'; DROP TABLE projects; -- <script>"
    create_project(db, name)
    assert find_project(db, name).name == name
    with pytest.raises(NotFound):
        find_project(db, "' OR 1=1 --")


def test_archiving_puts_away_and_back(db: Database, project: Project) -> None:
    assert archive_project(db, project.id).archived_at is not None
    assert list_projects(db) == []
    assert [p.id for p in list_projects(db, archived=True)] == [project.id]
    assert archive_project(db, project.id, False).archived_at is None
    with pytest.raises(NotFound):
        get_project(db, "none")


def test_a_snapshot_is_found_by_the_beginning_of_its_id(db: Database, project: Project) -> None:
    made, new = record_snapshot(db, "abcdef0123456789", project.id, 0, (8, 1, 1))
    assert new
    assert record_snapshot(db, made.id, project.id, 0, (8, 1, 1)) == (made, False)
    assert get_snapshot(db, "abcdef") == made
    record_snapshot(db, "abcdef9999999999", project.id, 1, (8, 1, 1))
    for name in ("abcdef", "abc", "", "%", "zzzzzz"):
        with pytest.raises(NotFound):
            get_snapshot(db, name)
    assert [snapshot.version for snapshot in list_snapshots(db, project.id)] == [2, 1]


def test_events_are_taken_up_once_and_change_the_run(db: Database, project: Project) -> None:
    create_run(db, "r1", project.id, "s", "starter", '{"seed": 0}', 10)
    moment = datetime.now(UTC)
    events = [NewEvent(1, moment, "state", {"state": "training"}), NewEvent(2, moment, "step", {"loss": 1.5})]
    take_up_events(db, "r1", events, 99, {"state": "training", "step": 1})
    take_up_events(db, "r1", events, 99, {})
    assert [event.seq for event in list_events(db, "r1", ["state", "step"])] == [1, 2]
    assert [run.id for run in list_active_runs(db)] == ["r1"]
    take_up_events(db, "r1", [], 120, {"state": "done"})
    run = get_run(db, "r1")
    assert (run.state, run.step, run.events_offset, run.ended_at is not None) == ("done", 1, 120, True)
    assert list_active_runs(db) == []
    with pytest.raises(ValueError, match="id"):
        take_up_events(db, "r1", [], 0, {"id": "x"})
    assert [r.number for r in list_runs(db, project.id)] == [1]


@pytest.mark.parametrize(("steps", "most"), [(5, 5), (6, 5), (100, 5), (1000, 600), (7, 2), (1, 2), (0, 2)])
def test_of_many_steps_an_even_selection_is_listed_and_everything_else(
    db: Database, project: Project, steps: int, most: int
) -> None:
    create_run(db, "r1", project.id, "s", "starter", "{}", steps)
    moment = datetime.now(UTC)
    kinds = [kind for _ in range(steps) for kind in ("step", "metric")]
    take_up_events(db, "r1", [NewEvent(n, moment, kind, {}) for n, kind in enumerate(kinds, 1)], 0, {})
    listed = list_events(db, "r1", ["step", "metric"], most=most)
    chosen = [event.seq for event in listed if event.kind == "step"]
    everything = [event.seq for event in list_events(db, "r1", ["step"])]
    assert len(chosen) <= most and set(chosen) <= set(everything)
    assert chosen[:1] == everything[:1] and chosen[-1:] == everything[-1:]
    assert len({after - before for before, after in pairwise(chosen[:-1])}) <= 1
    assert steps > most or chosen == everything
    assert sum(event.kind == "metric" for event in listed) == steps
    assert [event.seq for event in listed] == sorted(event.seq for event in listed)
