"""Deployments, rules and retrainings in the database: what stands, and what two at once cannot both do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storage import deployments, rules, watches
from storage.database import Database
from storage.projects import archive_project
from storage.records import Project
from storage.serving_records import Retraining, Rules
from studio.errors import Conflict

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def deploy(db: Database, project: Project, run_id: str, kind: str = "promote") -> None:
    with db.write() as cursor:
        deployments.add_deployment(cursor, project.id, run_id, kind, "ann", "why")


def begin(db: Database, project: Project, after: str = "") -> Retraining:
    return rules.begin_retraining(db, project.id, ["a", "b"], 7, "ann", "starter", {"epochs": 2.0}, "", NOW, after)


def test_a_rollback_takes_the_top_away(db: Database, project: Project) -> None:
    for run_id, kind in (("a", "promote"), ("b", "promote"), ("a", "rollback"), ("c", "promote")):
        deploy(db, project, run_id, kind)
    history = deployments.list_deployments(db, project.id)
    assert [row.run_id for row in history] == ["c", "a", "b", "a"]
    assert deployments.standing_runs(history) == ["a", "c"]
    assert deployments.in_production(db, project.id) == "c" and deployments.in_production(db, "no") == ""


def test_a_project_put_away_has_no_name_in_production(db: Database, project: Project) -> None:
    deploy(db, project, "a")
    assert deployments.all_in_production(db) == {project.id: "a"}
    archive_project(db, project.id)
    assert deployments.all_in_production(db) == {}


def test_the_newest_rules_stand(db: Database, project: Project) -> None:
    for given in (Rules(every_examples=5), Rules(on_drift=True, feedback_below=0.5)):
        with db.write() as cursor:
            rules.add_rules(cursor, project.id, given, "ann")
    assert [kept.rules for kept in rules.list_rules(db)] == [Rules(None, None, True, 0.5)]
    with db.write() as cursor:
        rules.add_rules(cursor, project.id, Rules(), "ann")
    assert rules.list_rules(db) == []


def test_one_retraining_a_project_at_a_time(db: Database, project: Project) -> None:
    first = begin(db, project)
    assert first.reasons == ("a", "b") and first.settings == {"epochs": 2.0} and first.step == "snapshot"
    with pytest.raises(Conflict):
        begin(db, project, first.id)
    rules.set_step(db, first, "kept", NOW, "no")
    with pytest.raises(Conflict):
        begin(db, project)
    assert begin(db, project, first.id).number > first.number


def test_a_step_is_only_taken_from_where_it_was(db: Database, project: Project) -> None:
    first = begin(db, project)
    second = rules.set_step(db, first, "preflight", NOW, snapshot_id="s")
    with pytest.raises(Conflict):
        rules.set_step(db, first, "preflight", NOW)
    ended = rules.set_step(db, second, "cancelled", NOW, "by ann")
    assert (ended.snapshot_id, ended.message, ended.ended_at) == ("s", "by ann", NOW)
    assert rules.list_under_way(db) == []


def test_an_alert_is_open_once(db: Database, project: Project) -> None:
    alert = watches.raise_alert(db, project.id, "error_rate", 0.5, 0.1, NOW)
    assert alert and watches.raise_alert(db, project.id, "error_rate", 0.6, 0.1, NOW) is None
    assert watches.end_alert(db, project.id, "error_rate", NOW) and not watches.end_alert(db, project.id, "p95", NOW)
    watches.note_delivery(db, alert.number, "sent (200)")
    (kept,) = watches.list_alerts(db, project.id)
    assert (kept.ended_at, kept.delivery) == (NOW, "sent (200)") and not watches.list_alerts(db, project.id, True)
