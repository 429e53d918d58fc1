"""Lines that go from files into the database, after which the files are removed: a backup in between loses none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.audit import search_audit
from storage.database import connect
from studio.data import backing_up
from studio.data.backing_up import back_up, hashed
from studio.data.restoring import check_backup, restore
from studio.deploy.acts import ACTS_FILE, note_act, take_up_acts
from studio.settings import Workspace

OLD, NEWEST = "traffic-00000000000000000001.jsonl", "traffic-00000000000000000002.jsonl"


def test_what_is_taken_up_and_removed_while_a_backup_is_made_is_in_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(workspace.database, workspace.backups).close()
    serving = workspace.root / "serving" / "s"
    serving.mkdir(parents=True)
    (serving / OLD).write_text('{"a": 1}\n')
    (serving / NEWEST).write_text('{"b": 1}\n')
    monkeypatch.setattr("studio.deploy.acts.connect", lambda *given: (_ for _ in ()).throw(_busy()))
    note_act(workspace, "ann", "key add", subject="while the app holds the database")
    copy = backing_up.copy_database

    def copied(path: Path, target: Path) -> None:
        copy(path, target)
        (serving / OLD).unlink()
        (serving / NEWEST).write_text('{"b": 1}\n{"b": 2}\n')
        (workspace.root / "serving" / ACTS_FILE).unlink()

    monkeypatch.setattr(backing_up, "copy_database", copied)
    made = back_up(workspace, tmp_path / "backup")
    there = tmp_path / "backup" / "serving" / "s"
    assert (there / OLD).read_text() == '{"a": 1}\n'
    assert (there / NEWEST).read_text() == '{"b": 1}\n{"b": 2}\n'
    assert made.files[f"serving/s/{NEWEST}"] == hashed(there / NEWEST)
    assert check_backup(tmp_path / "backup") == made
    names = sorted(path.name for path in (tmp_path / "backup").iterdir())
    assert names == ["backup.json", "serving", "studio.duckdb"]
    restore(workspace, tmp_path / "backup")
    db = connect(workspace.database, workspace.backups)
    assert take_up_acts(db, workspace) == 1
    assert "while the app holds the database" in json.dumps([str(line) for line in search_audit(db)])
    db.close()


def _busy() -> Exception:
    from studio.errors import WorkspaceBusy

    return WorkspaceBusy("The app holds it.")
