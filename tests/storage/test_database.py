"""The door: one process, backups before migrations, all or nothing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import pytest

import storage.database
import storage.migrating
from storage.database import Database, Stale, check_integrity, connect, schema_version
from storage.examples import count_examples
from storage.imports import ImportBatch
from storage.projects import create_project, list_projects
from storage.records import Project
from studio.errors import DiskFull, StudioError, WorkspaceBroken, WorkspaceBusy
from studio.settings import Workspace

ROOT = Path(__file__).parents[2]
OPEN_AND_WAIT = """
import sys, pathlib
from storage.database import connect
db = connect(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_holders_number(workspace: Workspace) -> None:
    command = [sys.executable, "-c", OPEN_AND_WAIT, str(workspace.database), str(workspace.backups)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        with pytest.raises(WorkspaceBusy, match=str(holder.pid)):
            connect(workspace.database, workspace.backups)
        holder.communicate("")
    connect(workspace.database, workspace.backups).close()


def test_a_killed_process_loses_nothing_that_was_saved(workspace: Workspace) -> None:
    script = OPEN_AND_WAIT.replace(
        'print("open"', 'from storage.projects import create_project; create_project(db, "Kept"); print("open"'
    )
    command = [sys.executable, "-c", script, str(workspace.database), str(workspace.backups)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        holder.kill()
    db = connect(workspace.database, workspace.backups)
    assert [project.name for project in list_projects(db)] == ["Kept"]
    db.close()


def test_a_migration_is_preceded_by_a_backup_that_opens(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = connect(workspace.database, workspace.backups)
    create_project(db, "Old")
    before = schema_version(db)
    db.close()
    assert not workspace.backups.exists()
    more_migrations(tmp_path, monkeypatch, "CREATE TABLE extra (x INTEGER);")
    db = connect(workspace.database, workspace.backups)
    assert schema_version(db) == before + 1
    db.close()
    (backup,) = workspace.backups.glob("*.duckdb")
    with duckdb.connect(str(backup)) as copy:
        assert copy.execute("SELECT name FROM projects").fetchall() == [("Old",)]
        assert copy.execute("SELECT max(version) FROM schema_migrations").fetchall() == [(before,)]


def test_a_migration_that_fails_changes_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(workspace.database, workspace.backups).close()
    with monkeypatch.context() as patch:
        more_migrations(tmp_path, patch, "CREATE TABLE extra (x INTEGER); INSERT INTO none VALUES (1);")
        with pytest.raises(WorkspaceBroken, match="The old file is as it was: go on with the SFT Studio that wrote it"):
            connect(workspace.database, workspace.backups)
    db = connect(workspace.database, workspace.backups)
    assert "extra" not in check_integrity(db)
    db.close()


def test_a_backup_that_does_not_fit_leaves_the_old_file_as_it_was(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(workspace.database, workspace.backups).close()
    before = workspace.database.read_bytes()

    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    more_migrations(tmp_path, monkeypatch, "CREATE TABLE extra (x INTEGER);")
    monkeypatch.setattr(shutil, "copy2", half)
    with pytest.raises(DiskFull, match="Nothing was changed"):
        connect(workspace.database, workspace.backups)
    assert workspace.database.read_bytes() == before
    assert list(workspace.backups.iterdir()) == []


def more_migrations(folder: Path, patch: pytest.MonkeyPatch, sql: str) -> None:
    """The migrations there are and one more."""
    copy = folder / "migrations"
    copy.mkdir()
    for file in storage.migrating.MIGRATIONS.glob("*.sql"):
        (copy / file.name).write_text(file.read_text())
    newest = max(int(file.name[:4]) for file in copy.iterdir())
    (copy / f"{newest + 1:04d}_next.sql").write_text(sql)
    patch.setattr(storage.migrating, "MIGRATIONS", copy)


def test_a_newer_schema_is_refused(workspace: Workspace) -> None:
    db = connect(workspace.database, workspace.backups)
    with db.write() as cursor:
        cursor.execute("INSERT INTO schema_migrations VALUES (9000, 'later', current_timestamp)")
    db.close()
    with pytest.raises(WorkspaceBroken, match="newer SFT Studio"):
        connect(workspace.database, workspace.backups)


def test_a_file_that_is_no_database_is_refused(workspace: Workspace) -> None:
    workspace.database.write_bytes(os.urandom(10_000))
    with pytest.raises(WorkspaceBroken, match="cannot be opened"):
        connect(workspace.database, workspace.backups)


def test_an_error_rolls_everything_back(db: Database) -> None:
    with pytest.raises(RuntimeError), db.write() as cursor:
        cursor.execute("INSERT INTO drafts VALUES ('e', 'me', 'x', '', current_timestamp)")
        raise RuntimeError
    with pytest.raises(duckdb.Error), db.write() as cursor:
        cursor.execute("INSERT INTO drafts VALUES ('e', 'me', 'x', '', current_timestamp)")
        cursor.execute("SELECT * FROM none")
    assert db.one("SELECT count(*) FROM drafts") == (0,)


def test_threads_read_their_own_rows(db: Database) -> None:
    found: list[bool] = []

    def read(number: int) -> None:
        found.append(all(db.one("SELECT ?::INTEGER", [number]) == (number,) for _ in range(100)))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_files_of_the_machine_cannot_be_read_through_sql(db: Database) -> None:
    with pytest.raises(duckdb.Error):
        db.query("SELECT * FROM read_text('/etc/passwd')")


def test_integrity_counts_every_table(db: Database, project: Project) -> None:
    counts = check_integrity(db)
    assert counts["projects"] == 1
    assert {"examples", "annotations", "drafts", "snapshots", "runs", "run_events"} <= set(counts)


def test_a_full_disk_is_one_sentence_and_the_database_goes_on(small_disk: Path) -> None:
    workspace = Workspace(small_disk)
    db = connect(workspace.database, workspace.backups)
    create_project(db, "Before")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(StudioError, match="full"):
        for number in range(5000):
            create_project(db, f"P{number}", guidelines="x" * 1000)
    known = {project.name for project in list_projects(db)}
    filler.unlink()
    create_project(db, "After")
    db.close()
    db = connect(workspace.database, workspace.backups)
    assert {project.name for project in list_projects(db)} == known | {"After"}
    db.close()


def test_a_database_that_cannot_be_opened_again_at_once_is_opened_when_it_can(
    db: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise DiskFull("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(storage.database, "open_file", full)
        with pytest.raises(DiskFull), db.write():
            raise duckdb.FatalException("No space left on device; the database has been invalidated")
        for use in (lambda: list_projects(db), lambda: create_project(db, "Lost"), db.cursor):
            with pytest.raises(DiskFull):
                use()
    create_project(db, "Later")
    assert {found.name for found in list_projects(db)} == {project.name, "Later"}


def test_a_read_that_finds_the_database_dead_is_tried_again(db: Database, project: Project) -> None:
    db.cursor().close()  # as another thread's recovery leaves it
    assert [found.id for found in list_projects(db)] == [project.id]
    db.cursor().close()
    with pytest.raises(WorkspaceBroken, match="try it again"), db.write():
        pass
    create_project(db, "Later")


def test_a_closed_database_says_so(db: Database) -> None:
    db.close()
    for use in (lambda: list_projects(db), lambda: create_project(db, "Lost")):
        with pytest.raises(WorkspaceBroken, match="start the studio again"):
            use()


def test_closing_waits_for_a_thread_that_reads(db: Database, workspace: Workspace) -> None:
    begun, found = threading.Event(), []

    def read() -> None:
        db.cursor()
        begun.set()
        found.append(
            db.one("SELECT count(*) FROM range(30000) a, range(10000) b WHERE hash(a.range + b.range) % 7 = 0")
        )

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait()
    time.sleep(0.1)
    db.close()
    thread.join()
    assert len(found) == 1
    connect(workspace.database, workspace.backups).close()


def test_an_import_that_is_dropped_leaves_no_trace(db: Database, project: Project) -> None:
    batch = ImportBatch(db, project.id, "x", "me")
    batch.discard()
    batch.discard()
    assert count_examples(db, project.id).total == 0
    assert check_integrity(db).keys() == check_integrity(db).keys()


def test_what_is_added_beside_the_door_is_dropped_when_others_touched_the_project(
    db: Database, project: Project
) -> None:
    with pytest.raises(Stale), db.append(project.id) as cursor:
        cursor.execute("INSERT INTO guidelines VALUES (?, 9, 'x', 'me', now())", [project.id])
        other = threading.Thread(target=db.touch, args=(project.id,))
        other.start()
        other.join()
    assert db.query("SELECT * FROM guidelines WHERE version = 9") == []
    with db.append(project.id) as cursor:
        cursor.execute("INSERT INTO guidelines VALUES (?, 9, 'x', 'me', now())", [project.id])
    assert len(db.query("SELECT * FROM guidelines WHERE version = 9")) == 1
