"""Who made a key or ended a server is in the audit log, whether the app held the database meanwhile or not."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from storage.audit import search_audit
from storage.database import Database, connect
from storage.projects import create_project
from studio.commands import opened, serving
from studio.commands.serving import key_add, key_revoke
from studio.deploy import acts
from studio.deploy.acts import note_act, take_up_acts
from studio.deploy.caretaker import Caretaker
from studio.errors import WorkspaceBusy
from studio.jobs.job_folders import Standing
from studio.jobs.serving import Server
from studio.settings import Workspace


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app holds the database."""

    def held(path: Path, backups: Path) -> Database:
        raise WorkspaceBusy("The app has it.")

    monkeypatch.setattr(acts, "connect", held)


def lines(db: Database) -> list[tuple[str, str, str]]:
    return [(line.user, line.action, line.subject) for line in search_audit(db)][::-1]


def test_commands_of_keys_are_in_the_log(workspace: Workspace) -> None:
    connect(workspace.database, workspace.backups).close()
    add = argparse.Namespace(name="shop", model=[], days=None, a_minute=None, by="ann")
    key_add(workspace, add)
    key_revoke(workspace, argparse.Namespace(key="shop", by="bob"))
    with opened(workspace) as db:
        assert lines(db) == [("ann", "key add", "shop"), ("bob", "key revoke", "shop")]
        assert str(search_audit(db)[0].details["key"]).startswith("key-")


def test_serving_is_in_the_log_with_its_end(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(workspace) as db:
        project = create_project(db, "Support")
    folder = workspace.root / "serving" / "one"
    ended = Server(folder, "starter", Standing("stopped"))
    monkeypatch.setattr(serving, "start_serving", lambda *given, **asked: folder)
    monkeypatch.setattr(serving, "wait_until_serving", lambda folder: ended)
    monkeypatch.setattr(serving, "serving_standing", lambda folder: ended)
    monkeypatch.setattr(serving, "stop_serving", lambda folder: None)
    flags = {"runs": [], "project": "Support", "host": "127.0.0.1", "port": 0, "keep_texts": True, "by": "ann"}
    flags |= {"engine": "auto", "gpu_share": 0.5, "lend_after": 60.0}
    serving.serve(workspace, argparse.Namespace(**flags))
    with opened(workspace) as db:
        found = search_audit(db, user="ann")[::-1]
    assert [(line.action, line.subject, line.project_id) for line in found] == [
        ("server start", "one", project.id),
        ("server stop", "one", project.id),
    ]
    assert found[0].details["keep_texts"] is True


def test_what_the_app_was_open_for_is_taken_up_by_it_once(db: Database, workspace: Workspace, busy: None) -> None:
    note_act(workspace, "ann", "key add", subject="shop", key="key-1")
    note_act(workspace, "ann", "server stop", subject="one")
    assert lines(db) == []
    Caretaker(db, workspace).turn()
    assert lines(db) == [("ann", "key add", "shop"), ("ann", "server stop", "one")]
    assert take_up_acts(db, workspace) == 0


def test_an_app_killed_before_the_file_is_gone_takes_none_up_twice(
    db: Database, workspace: Workspace, busy: None
) -> None:
    note_act(workspace, "ann", "key add", subject="shop")
    file = workspace.root / "serving" / acts.ACTS_FILE
    said = file.read_bytes()
    assert take_up_acts(db, workspace) == 1
    file.write_bytes(said)
    assert take_up_acts(db, workspace) == 0 and len(lines(db)) == 1


def test_lines_that_are_no_acts_are_passed_over(db: Database, workspace: Workspace, busy: None) -> None:
    file = workspace.root / "serving" / acts.ACTS_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b'\xff\xfe\n[1\n{"id": "x", "user": "eve", "action": "user add"}\n' + b"[" * 100_000 + b"\n")
    note_act(workspace, "ann", "server stop", subject="one")
    assert take_up_acts(db, workspace) == 1 and lines(db) == [("ann", "server stop", "one")]


def test_a_workspace_without_a_database_waits_for_its_first_app(workspace: Workspace) -> None:
    note_act(workspace, "ann", "key add", subject="shop")
    assert not workspace.database.exists()
    with opened(workspace) as db:
        assert take_up_acts(db, workspace) == 1
