"""A full disk while somebody labels, freezes or exports: a sentence, files intact, and all goes on once there is room.

(Of checkpoints: tests/training/test_disk_full.py; of runs: tests/jobs/test_runs.py; of a backup: test_backup.py.)
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.annotations import Act, annotate
from storage.consistency import find_broken
from storage.database import Database, check_integrity, connect
from storage.migrating import newest_version
from storage.projects import create_project, list_projects
from studio.data.exporting import export_project
from studio.data.snapshots import freeze, verify
from studio.errors import DiskFull
from studio.labeling.desk import act, open_desk
from studio.labeling.queue import Queues
from studio.settings import Workspace
from tests.labeling.samples import put_examples


@contextmanager
def full(disk: Path, left: int = 0) -> Iterator[None]:
    """The disk has `left` bytes of room for the length of a `with` block."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, max(0, filler.stat().st_size - left))
    yield
    filler.unlink()


@pytest.fixture
def small(small_disk: Path) -> Iterator[tuple[Workspace, Database, str]]:
    """A workspace on the small disk, with a project of 30 examples of which 20 are labeled."""
    workspace = Workspace(small_disk)
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Kept")
    ids = put_examples(db, project.id, [f"Question {number}?" for number in range(30)])
    for example in ids[:20]:
        annotate(db, example, "me", "submit", f"Answer to {example}.")
    db.cursor().execute("CHECKPOINT")
    yield workspace, db, project.id
    db.close()


def whole(workspace: Workspace, db: Database) -> int:
    """How many answers there are once the file was closed and opened again; nothing in it is broken."""
    db.close()
    again = connect(workspace.database, workspace.backups)
    try:
        assert find_broken(again.cursor()) == []
        return check_integrity(again)["annotations"]
    finally:
        again.close()


def test_a_label_that_finds_no_room_is_not_called_saved(small: tuple[Workspace, Database, str]) -> None:
    workspace, db, project = small
    queues, saved = Queues(db), 20
    with full(workspace.root), pytest.raises(DiskFull, match="disk is full"):
        for _ in range(10):
            card = open_desk(queues, project, "me").card
            assert card is not None
            act(queues, Act(card.example.id, "me", "submit", "long " * 20_000))
            saved += 1
    card = open_desk(queues, project, "me").card
    assert card is not None
    act(queues, Act(card.example.id, "me", "submit", "There is room again."))
    assert whole(workspace, db) == saved + 1


def test_a_snapshot_that_finds_no_room_leaves_nothing_and_can_be_frozen_later(
    small: tuple[Workspace, Database, str],
) -> None:
    workspace, db, project = small
    with full(workspace.root), pytest.raises(DiskFull, match="disk is full"):
        freeze(db, workspace, project)
    assert not workspace.snapshots.exists() or list(workspace.snapshots.iterdir()) == []
    frozen = freeze(db, workspace, project).snapshot
    assert sum(verify(workspace, frozen.id).values()) == 20 and whole(workspace, db) == 20


def test_an_export_that_finds_no_room_leaves_the_file_before_it(small: tuple[Workspace, Database, str]) -> None:
    workspace, db, project = small
    target = workspace.root / "out.jsonl"
    export_project(db, project, target)
    before = target.read_bytes()
    with full(workspace.root), pytest.raises(DiskFull, match="disk is full"):
        export_project(db, project, target)
    assert target.read_bytes() == before and not list(workspace.root.glob(".*.part"))
    export_project(db, project, target)
    assert target.read_bytes() == before


def test_an_update_of_the_schema_that_finds_no_room_leaves_the_old_file(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.storage.older import make_older

    workspace = Workspace(small_disk)
    make_older(workspace, tmp_path, 4, monkeypatch)
    before = workspace.database.read_bytes()
    for left in (0, len(before) + 65536):  # no room for the backup; none for the copy that is updated
        with full(small_disk, left), pytest.raises(DiskFull, match="ake room"):
            connect(workspace.database, workspace.backups)
        assert workspace.database.read_bytes() == before
        assert list(workspace.backups.iterdir()) == []
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    db = connect(workspace.database, workspace.backups)
    assert [one.name for one in list_projects(db)] == ["Kept"] and newest_version() > 4
    db.close()
