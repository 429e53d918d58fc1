"""Retraining rules: off by default, each fires when it should, and none twice for the same thing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage.annotations import annotate
from storage.database import Database
from storage.projects import archive_project
from storage.records import Project
from storage.rules import set_step
from storage.serving_records import Retraining
from storage.watches import add_drift
from studio.deploy import rules
from studio.deploy.production import promote
from studio.deploy.rules import Facts, Rules, begin_due, due, reasons_of, retrain_now, set_rules
from studio.errors import BadInput, Conflict
from studio.settings import Workspace
from tests.deploy.conftest import NOW, Server, make_run
from tests.labeling.samples import put_examples

DAY = timedelta(days=1)


def label(db: Database, project: Project, count: int) -> None:
    for example_id in put_examples(db, project.id, ["text"] * count):
        annotate(db, example_id, "ann", "submit", "Yes.")


def end(db: Database, retraining: Retraining, step: str = "kept") -> None:
    set_step(db, retraining, step, NOW)


def fired(db: Database, workspace: Workspace, later: timedelta = timedelta()) -> list[Retraining]:
    return begin_due(db, workspace, NOW + later)


@pytest.mark.parametrize(
    ("given", "facts", "fires"),
    [
        (Rules(), Facts(NOW - 99 * DAY, 99, NOW, 0, 99), 0),
        (Rules(every_examples=5), Facts(NOW, 4, None, 0, 0), 0),
        (Rules(every_examples=5), Facts(NOW, 5, None, 0, 0), 1),
        (Rules(every_days=2), Facts(NOW - 1.99 * DAY, 0, None, 0, 0), 0),
        (Rules(every_days=2), Facts(NOW - 2 * DAY, 0, None, 0, 0), 1),
        (Rules(on_drift=True), Facts(NOW, 99, None, 0, 0), 0),
        (Rules(on_drift=True), Facts(NOW, 9, NOW, 0, 0), 0),
        (Rules(on_drift=True), Facts(NOW, 10, NOW, 0, 0), 1),
        (Rules(feedback_below=0.5), Facts(NOW, 99, None, 0, 19), 0),
        (Rules(feedback_below=0.5), Facts(NOW, 99, None, 10, 10), 0),
        (Rules(feedback_below=0.5), Facts(NOW, 9, None, 9, 11), 0),
        (Rules(feedback_below=0.5), Facts(NOW, 10, None, 9, 11), 1),
        (Rules(5, 2, True, 0.5), Facts(NOW - 3 * DAY, 10, NOW, 1, 30), 4),
    ],
)
def test_which_rules_fire(given: Rules, facts: Facts, fires: int) -> None:
    assert len(reasons_of(given, facts, NOW)) == fires


def test_nothing_fires_by_itself(db: Database, workspace: Workspace, project: Project) -> None:
    make_run(db, workspace, project)
    label(db, project, 30)
    assert due(db, workspace, NOW + 999 * DAY) == []


def test_new_examples_fire_once(db: Database, workspace: Workspace, project: Project) -> None:
    run = make_run(db, workspace, project)
    promote(db, workspace, project.id, run.id, "ann")
    set_rules(db, project.id, Rules(every_examples=10), "ann")
    label(db, project, 9)
    assert fired(db, workspace) == []
    label(db, project, 1)
    (first,) = fired(db, workspace)
    assert first.reasons == ("10 new accepted examples (the rule: every 10).",) and first.champion_id == run.id
    assert (first.base_model, first.settings) == ("starter", {"epochs": 2.0, "learning_rate": 0.001, "max_length": 256})
    assert fired(db, workspace) == []
    end(db, first)
    assert fired(db, workspace) == []
    label(db, project, 9)
    assert fired(db, workspace) == []
    label(db, project, 1)
    assert len(fired(db, workspace)) == 1


def test_a_retraining_that_failed_does_not_fire_again(db: Database, workspace: Workspace, project: Project) -> None:
    make_run(db, workspace, project)
    set_rules(db, project.id, Rules(every_examples=1, every_days=5), "ann")
    label(db, project, 3)
    (first,) = fired(db, workspace)
    end(db, first, "failed")
    assert fired(db, workspace, 4.9 * DAY) == []
    (second,) = fired(db, workspace, 5.1 * DAY)
    assert second.reasons == ("5.1 days since the last time (the rule: every 5).",)


def test_drift_fires_once_a_look(db: Database, workspace: Workspace, project: Project) -> None:
    make_run(db, workspace, project)
    set_rules(db, project.id, Rules(on_drift=True), "ann")
    add_drift(db, project.id, "s", False, {}, NOW - DAY)
    assert fired(db, workspace) == []
    add_drift(db, project.id, "s", True, {}, NOW - timedelta(hours=1))
    assert fired(db, workspace) == []
    label(db, project, 10)
    (first,) = fired(db, workspace)
    end(db, first)
    label(db, project, 10)
    assert fired(db, workspace, DAY) == []
    add_drift(db, project.id, "s", True, {}, NOW + DAY)
    assert len(fired(db, workspace, 2 * DAY)) == 1


def test_bad_feedback_fires_and_is_answered_by_that(
    db: Database, workspace: Workspace, project: Project, server: Server
) -> None:
    make_run(db, workspace, project)
    set_rules(db, project.id, Rules(feedback_below=0.6), "ann")
    for n in range(24):
        server.ask(rating=1 if n % 2 else -1)
    server.taken()
    assert fired(db, workspace) == []  # it waits for labels: what the requests asked for is not there yet
    label(db, project, 10)
    (first,) = fired(db, workspace)
    assert first.reasons == ("50% of 24 thumbs are up (the rule: below 60%).",)
    end(db, first)
    assert fired(db, workspace, DAY) == []


def test_without_any_run_there_is_nothing_to_go_by(db: Database, workspace: Workspace, project: Project) -> None:
    make_run(db, workspace, project, state="failed")
    set_rules(db, project.id, Rules(every_days=1), "ann")
    assert fired(db, workspace, 99 * DAY) == []
    with pytest.raises(BadInput, match="once by hand"):
        retrain_now(db, project.id, "ann", NOW)


def test_projects_put_away_are_left_alone(db: Database, workspace: Workspace, project: Project) -> None:
    make_run(db, workspace, project)
    set_rules(db, project.id, Rules(every_days=1), "ann")
    archive_project(db, project.id)
    assert fired(db, workspace, 99 * DAY) == []


def test_one_at_a_time_by_rule_or_by_hand(db: Database, workspace: Workspace, project: Project) -> None:
    make_run(db, workspace, project)
    set_rules(db, project.id, Rules(every_days=1), "ann")
    (found,) = due(db, workspace, NOW + 99 * DAY)
    assert retrain_now(db, project.id, "ann", NOW).reasons == ("Asked for by ann.",)
    with pytest.raises(Conflict):
        rules.begin(db, found, NOW)
    with pytest.raises(Conflict):
        retrain_now(db, project.id, "ann", NOW)


@pytest.mark.parametrize(
    "given",
    [Rules(every_examples=0), Rules(every_days=0), Rules(every_days=float("nan")), Rules(feedback_below=1.5)],
)
def test_rules_that_cannot_be_are_refused(db: Database, project: Project, given: Rules) -> None:
    with pytest.raises(BadInput):
        set_rules(db, project.id, given, "ann")
