"""The guide of a first visit: its four steps from the project's figures, who is led, and its end."""

from __future__ import annotations

from pathlib import Path

from storage.annotations import annotate
from storage.database import Database
from storage.overview import tally
from storage.projects import archive_project, list_projects
from storage.records import User
from storage.runs import create_run, take_up_events
from studio.data.sample import create_guided_project, create_sample_project, end_guide
from studio.data.snapshots import freeze
from studio.jobs.next_step import guide_of, next_step
from studio.jobs.overview import overview
from studio.labeling.queue import Queues
from studio.settings import Workspace

ANN = User("ann", "admin")


def tab_and_part(db: Database, workspace: Workspace, project: str) -> tuple[str, int]:
    """Where both the badges' guide and Home's card lead."""
    step = guide_of(db, project)
    assert step and step == next_step(overview(db, workspace, Queues(db), project, ANN), "admin")
    return step.tab, step.part


def label_all(db: Database, project: str) -> None:
    """Answer what waits."""
    for (example,) in db.query("SELECT id FROM examples WHERE project_id = ? AND status = 'todo'", [project]):
        annotate(db, example, "ann", "submit", "Bike: BMX / Job: new grips / By: no date")


def test_four_steps_lead_to_a_comparison_and_then_nobody_is_led(db: Database, workspace: Workspace) -> None:
    project = create_guided_project(db).id
    assert (tally(db, project).todo, tally(db, project).accepted) == (3, 60)
    assert tab_and_part(db, workspace, project) == ("Label", 1)
    label_all(db, project)
    assert tab_and_part(db, workspace, project) == ("Datasets", 2)
    snapshot = freeze(db, workspace, project).snapshot
    assert tab_and_part(db, workspace, project) == ("Train", 3)
    run = create_run(db, "run-00000001", project, snapshot.id, "starter", "{}", 20)
    assert tab_and_part(db, workspace, project) == ("Train", 3)
    take_up_events(db, run.id, [], 0, {"state": "failed", "message": "out of disk"})
    step = guide_of(db, project)
    assert step and "start another" in step.sentence
    take_up_events(db, run.id, [], 0, {"state": "done", "step": 20})
    assert tab_and_part(db, workspace, project) == ("Compare", 4)
    end_guide(db, project)
    step = next_step(overview(db, workspace, Queues(db), project, ANN), "admin")
    assert guide_of(db, project) is None and step and (step.tab, step.part) == ("Evaluate", 0)


def test_only_admins_of_a_guided_project_are_led(db: Database, workspace: Workspace) -> None:
    plain, guided = create_sample_project(db).id, create_guided_project(db).id
    assert guide_of(db, plain) is None and guide_of(db, "") is None
    end_guide(db, plain)
    found = overview(db, workspace, Queues(db), guided, ANN)
    for role in ("annotator", "reviewer"):
        step = next_step(found, role)
        assert step and (step.tab, step.part) == ("Label", 0)
    assert guide_of(db, "gone") is None


def test_the_guided_sample_is_put_away_like_any_other(db: Database, tmp_path: Path) -> None:
    first = create_guided_project(db)
    archive_project(db, first.id)
    assert list_projects(db) == []
    assert create_guided_project(db).name == "Bicycle workshop (sample) 2"
