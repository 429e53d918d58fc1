"""The thread that looks after served models: what it does at each turn, once a minute, once a day, and after a bug."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from storage.database import Database
from storage.records import Project
from storage.rules import list_under_way
from storage.watches import list_alerts
from studio.deploy import caretaker
from studio.deploy.caretaker import Caretaker
from studio.deploy.monitoring import set_watch
from studio.deploy.rules import Rules, set_rules
from studio.errors import BadInput
from studio.settings import Workspace
from tests.deploy.conftest import NOW, Server, make_run
from tests.jobs.conftest import wait_until


@dataclass
class Hands:
    """A caretaker whose clock is moved by hand, and the looks for drift that it began."""

    now: datetime = NOW
    looked: list[tuple[str, datetime]] = field(default_factory=list)
    fails: Exception | None = None

    def make(self, db: Database, workspace: Workspace) -> Caretaker:
        def look(db: Database, workspace: Workspace, project_id: str, now: datetime) -> None:
            self.looked.append((project_id, now))
            if self.fails:
                raise self.fails

        return Caretaker(db, workspace, 0.01, lambda: self.now, look)  # type: ignore[arg-type]

    def turn(self, care: Caretaker, later: timedelta = timedelta()) -> None:
        self.now += later
        care.turn()
        if care._drift:
            care._drift.join()


def test_traffic_at_each_turn_and_limits_once_a_minute(
    db: Database, workspace: Workspace, project: Project, server: Server
) -> None:
    hands = Hands()
    care = hands.make(db, workspace)
    set_watch(db, project.id, {"error_rate": 0.1}, "ann")
    hands.turn(care)
    for _ in range(30):
        server.ask(status=500, answer="", at=NOW - timedelta(minutes=1))
    hands.turn(care, timedelta(seconds=2))
    assert db.query("SELECT count(*) FROM requests") == [(30,)] and list_alerts(db, project.id) == []
    hands.turn(care, timedelta(seconds=60))
    assert len(list_alerts(db, project.id)) == 1


def test_rules_begin_retrainings(
    db: Database, workspace: Workspace, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker, "advance_all", lambda db, workspace, now: [])
    make_run(db, workspace, project)
    set_rules(db, project.id, Rules(every_days=1), "ann")
    hands = Hands(now=datetime.now(NOW.tzinfo))
    care = hands.make(db, workspace)
    hands.turn(care)
    assert list_under_way(db) == []
    hands.turn(care, timedelta(days=1.1))
    assert [one.user for one in list_under_way(db)] == ["rules"]


@pytest.mark.parametrize("fails", [None, BadInput("too few"), RuntimeError("a bug")])
def test_drift_is_looked_at_once_a_day_where_it_is_asked_for(
    db: Database, workspace: Workspace, project: Project, fails: Exception | None
) -> None:
    hands = Hands(fails=fails)
    care = hands.make(db, workspace)
    hands.turn(care)
    assert hands.looked == []
    set_rules(db, project.id, Rules(on_drift=True), "ann")
    for later in (0.1, 0.1, 0.5, 0.5, 0.1):
        hands.turn(care, timedelta(days=later))
    assert hands.looked == [(project.id, NOW + timedelta(days=0.1)), (project.id, NOW + timedelta(days=1.2))]


def test_a_drift_limit_asks_for_it_too(db: Database, workspace: Workspace, project: Project) -> None:
    hands = Hands()
    set_watch(db, project.id, {"drift": 0.01}, "ann")
    hands.turn(hands.make(db, workspace))
    assert len(hands.looked) == 1


def test_the_thread_outlives_a_bug_and_ends_when_asked(
    db: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []

    def buggy(*given: object) -> None:
        turns.append(1)
        raise RuntimeError("a bug")

    monkeypatch.setattr(caretaker, "take_up_all", buggy)
    care = Hands().make(db, workspace)
    care.start()
    wait_until(lambda: len(turns) > 2)
    care.stop()
    assert not care._thread.is_alive()


def test_names_are_written_once_a_minute_as_projects_are_renamed(
    db: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(caretaker, "write_names", lambda db, workspace: written.append(1))
    hands = Hands()
    care = hands.make(db, workspace)
    for later in (0, 2, 60):
        hands.turn(care, timedelta(seconds=later))
    assert len(written) == 2
