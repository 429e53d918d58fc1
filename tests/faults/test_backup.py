"""`backup` and `restore`: consistent while others write, checked before anything is replaced, the old one kept."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.database import Database, connect
from storage.opening import RESTORING
from storage.projects import create_project, list_projects
from studio import cli
from studio.data.backing_up import MANIFEST, back_up, hashed
from studio.data.restoring import check_backup, restore
from studio.errors import BadFile, BadInput, DiskFull, NotFound, StudioError, WorkspaceBroken, WorkspaceBusy
from studio.settings import Workspace

ROOT = Path(__file__).parents[2]
WRITER = """
import pathlib, sys, threading
from storage.database import connect, now
path = pathlib.Path(sys.argv[1])
db = connect(path / "studio.duckdb", path / "backups")
with db.write() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS pairs_a (n INTEGER)")
    cursor.execute("CREATE TABLE IF NOT EXISTS pairs_b (n INTEGER, pad VARCHAR)")
def go():
    n = 0
    while True:
        n += 1
        with db.write() as cursor:
            cursor.execute("INSERT INTO pairs_a VALUES (?)", [n])
            cursor.execute("INSERT INTO pairs_b VALUES (?, repeat(uuid()::VARCHAR, 300))", [n])
        if n % 40 == 0:
            db.cursor().execute("CHECKPOINT")
        print(n, flush=True)
threading.Thread(target=go, daemon=True).start()
sys.stdin.read()
"""


@contextmanager
def at_work(workspace: Workspace) -> Iterator[subprocess.Popen[str]]:
    """A process that writes pairs of rows, each pair in one transaction, and makes checkpoints."""
    command = [sys.executable, "-c", WRITER, str(workspace.root)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
        try:
            yield writer
        finally:
            writer.kill()


def fill(workspace: Workspace, name: str = "Kept") -> None:
    """A workspace with a project, a snapshot's file and a run that is half told."""
    db = connect(workspace.database, workspace.backups)
    create_project(db, name)
    db.close()
    for folder, file, text in (
        (workspace.snapshots / "a1", "train.parquet", "frozen " + name),
        (workspace.runs / "run-1", "events.jsonl", '{"seq": 1}\n{"seq": 2}\n{"se'),
        (workspace.runs / "run-1" / "adapter", "adapter_model.safetensors", "weights"),
        (workspace.root / "models" / "starter", "config.json", "{}"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    (workspace.runs / "run-1" / "alive.lock").touch()


def names_in(workspace: Workspace) -> list[str]:
    """The projects there are."""
    db = connect(workspace.database, workspace.backups)
    try:
        return [project.name for project in list_projects(db)]
    finally:
        db.close()


def test_a_backup_taken_while_rows_are_written_holds_all_before_it_and_no_half(
    workspace: Workspace, tmp_path: Path
) -> None:
    with at_work(workspace) as writer:
        assert writer.stdout is not None
        for number in range(4):
            time.sleep(0.2)
            told = max(int(writer.stdout.readline()) for _ in range(5))
            back_up(workspace, tmp_path / f"backup-{number}")
            db = Database(tmp_path / f"backup-{number}" / "studio.duckdb")
            assert db.query("SELECT n FROM pairs_a EXCEPT SELECT n FROM pairs_b") == []
            assert db.one("SELECT count(*) = max(n) AND max(n) >= ? FROM pairs_a", [told]) == (True,)
            db.close()
    check_backup(tmp_path / "backup-3")


def test_a_backup_holds_what_cannot_be_made_again_and_whole_lines_alone(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    made = back_up(workspace, tmp_path / "backup")
    assert sorted(made.files) == [
        "runs/run-1/adapter/adapter_model.safetensors",
        "runs/run-1/events.jsonl",
        "snapshots/a1/train.parquet",
        "studio.duckdb",
    ]
    assert (tmp_path / "backup" / "runs/run-1/events.jsonl").read_text() == '{"seq": 1}\n{"seq": 2}\n'
    assert made.tables["projects"] == 1 and made.unsteady == ()


def test_a_restore_puts_everything_back_and_keeps_what_was_there(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    fill(workspace, "Later")
    (workspace.runs / "run-2").mkdir()
    done = restore(workspace, tmp_path / "backup")
    assert names_in(workspace) == ["Kept"]
    assert (workspace.snapshots / "a1" / "train.parquet").read_text() == "frozen Kept"
    assert not (workspace.runs / "run-2").exists() and (workspace.root / "models" / "starter").is_dir()
    assert done.kept is not None and (done.kept / "runs" / "run-2").is_dir()
    assert sorted(names_in(Workspace(done.kept))) == ["Kept", "Later"]


def test_a_backup_goes_into_a_new_workspace(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    (tmp_path / "other").mkdir()
    assert restore(Workspace(tmp_path / "other"), tmp_path / "backup").kept is None
    assert names_in(Workspace(tmp_path / "other")) == ["Kept"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda b: (b / "snapshots/a1/train.parquet").write_text("frozen Kepp"), "is not what was written"),
        (lambda b: (b / "runs/run-1/events.jsonl").write_text('{"seq": 1}\n'), "is cut or grown"),
        (lambda b: (b / "runs/run-1/adapter/adapter_model.safetensors").unlink(), "lacks runs/run-1/adapter"),
        (lambda b: (b / "snapshots/more.txt").touch(), "does not name"),
        (lambda b: (b / MANIFEST).write_text("{"), "cannot be read"),
        (lambda b: (b / MANIFEST).unlink(), "no backup"),
        (lambda b: counted_otherwise(b), "has not the rows that were counted (projects)"),
        (lambda b: named(b, "../../outside"), "cannot be read"),
        (lambda b: named(b, "/etc/passwd"), "cannot be read"),
    ],
    ids=["changed", "cut", "missing", "more", "manifest", "none", "counts", "upwards", "absolute"],
)
def test_a_damaged_backup_replaces_nothing(workspace: Workspace, tmp_path: Path, damage, told: str) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    damage(tmp_path / "backup")
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    with pytest.raises((BadFile, NotFound)) as found:
        restore(workspace, tmp_path / "backup")
    assert told in str(found.value)
    assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before


def counted_otherwise(backup: Path) -> None:
    """Let the manifest state another number of projects."""
    found = json.loads((backup / MANIFEST).read_text())
    found["tables"]["projects"] = 7
    (backup / MANIFEST).write_text(json.dumps(found))


def named(backup: Path, name: str) -> None:
    """Let the manifest name a file elsewhere."""
    found = json.loads((backup / MANIFEST).read_text())
    found["files"][name] = [1, "0" * 64]
    (backup / MANIFEST).write_text(json.dumps(found))


@pytest.mark.parametrize(
    "name",
    ["models/evil.txt", "backups/old/x", "uploads/x", "restoring.json", "studio.duckdb.wal", "studio.duckdb.next"],
)
def test_a_backup_with_what_no_backup_holds_replaces_nothing(workspace: Workspace, tmp_path: Path, name: str) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    place = tmp_path / "backup" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("x")
    found = json.loads((tmp_path / "backup" / MANIFEST).read_text())
    found["files"][name] = hashed(place)
    (tmp_path / "backup" / MANIFEST).write_text(json.dumps(found))
    with pytest.raises(BadFile, match="what no backup holds"):
        restore(workspace, tmp_path / "backup")
    assert names_in(workspace) == ["Kept"] and not (workspace.root / RESTORING).exists()


def test_a_restore_under_a_running_app_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    with at_work(workspace), pytest.raises(WorkspaceBusy, match=r"stop the app first\. Nothing was changed"):
        restore(workspace, tmp_path / "backup")
    assert names_in(workspace) == ["Kept"]


@pytest.mark.parametrize("after", range(5))
def test_a_restore_killed_between_two_renames_lets_no_app_in_and_is_finished_by_the_next(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    fill(workspace, "Later")
    (workspace.root / "why").mkdir()
    rename, done = Path.rename, []

    def dying(self: Path, target: Path) -> Path:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(self)
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", dying)
        restore(workspace, tmp_path / "backup")
    assert (workspace.root / RESTORING).exists()
    with pytest.raises(WorkspaceBroken, match="run `restore` with the same backup again"):
        connect(workspace.database, workspace.backups)
    with pytest.raises(WorkspaceBroken, match="broken off"):
        back_up(workspace, tmp_path / "of-both")
    restore(workspace, tmp_path / "backup")
    assert names_in(workspace) == ["Kept"]
    kept = [names_in(Workspace(folder)) for folder in sorted(workspace.backups.glob("before-restore-*"))]
    assert sorted(kept[0]) == ["Kept", "Later"]


def test_folders_that_were_put_on_another_disk_are_backed_up_and_stay_there(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from studio.jobs.processes import claimed

    fill(workspace)
    for folder in (workspace.snapshots / "a1", workspace.runs):  # a link within, and a link of the whole
        folder.rename(tmp_path / f"far-{folder.name}")
        folder.symlink_to(tmp_path / f"far-{folder.name}")
    made = back_up(workspace, tmp_path / "backup")
    assert {"snapshots/a1/train.parquet", "runs/run-1/events.jsonl"} <= made.files.keys()
    with claimed(workspace.runs / "run-1"):
        assert cli.main(["--workspace", str(workspace.root), "restore", str(tmp_path / "backup")]) == 1
    assert "runs/run-1" in capsys.readouterr().err
    restore(workspace, tmp_path / "backup")
    assert (workspace.runs / "run-1" / "events.jsonl").exists() and not workspace.runs.is_symlink()
    assert (tmp_path / "far-runs" / "run-1" / "events.jsonl").exists()


def test_a_restore_that_no_rename_could_finish_is_not_begun(
    workspace: Workspace, tmp_path: Path, small_disk: Path
) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    workspace.backups.symlink_to(small_disk)
    with pytest.raises(BadInput, match="another disk"):
        restore(workspace, tmp_path / "backup")
    assert names_in(workspace) == ["Kept"] and not (workspace.root / RESTORING).exists()
    assert list(small_disk.iterdir()) == []


def test_a_restore_amid_a_backup_is_found_out(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    from studio.data import backing_up

    copy, done = backing_up._copy_steady, []

    def restoring(*given: Any) -> Any:
        if not done:
            done.append(restore(workspace, tmp_path / "backup"))
        return copy(*given)

    monkeypatch.setattr(backing_up, "_copy_steady", restoring)
    with pytest.raises(WorkspaceBusy, match="replaced meanwhile"):
        back_up(workspace, tmp_path / "of-both")
    assert not (tmp_path / "of-both").exists()


def test_what_only_its_owner_may_read_stays_so(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace)
    secret = workspace.root / "endpoint.json"
    secret.write_text('{"key": "k"}')
    secret.chmod(0o600)
    back_up(workspace, tmp_path / "backup")
    restore(workspace, tmp_path / "backup")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "backup/endpoint.json", secret)]
    assert modes == [0o600, 0o600] and stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o700


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int | str]:
    """What is seen onto the disk, by inode, and the names of files that are removed, in this order."""
    done: list[int | str] = []
    fsync, unlink = os.fsync, Path.unlink

    def noting(handle: int) -> None:
        done.append(os.fstat(handle).st_ino)
        fsync(handle)

    def removing(self: Path, missing_ok: bool = False) -> None:
        done.append(self.name)
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(Path, "unlink", removing)
    return done


def inodes(folder: Path, fit: Callable[[Path], bool] = lambda path: True) -> set[int | str]:
    """A folder and all below it."""
    return {path.stat().st_ino for path in (folder, *folder.rglob("*")) if fit(path)}


def test_a_power_cut_after_a_backup_or_a_restore_costs_nothing(
    workspace: Workspace, tmp_path: Path, written: list[int | str]
) -> None:
    fill(workspace)
    back_up(workspace, tmp_path / "backup")
    assert inodes(tmp_path / "backup") | {tmp_path.stat().st_ino} <= set(written)
    written.clear()
    restore(workspace, tmp_path / "backup")
    end = written.index(RESTORING)  # the note that lets no app in is removed last of all
    assert inodes(workspace.snapshots) | inodes(workspace.runs) | inodes(workspace.database) <= set(written[:end])
    assert workspace.root.stat().st_ino in written[:end] and workspace.root.stat().st_ino in written[end:]


def test_a_target_that_cannot_be_one_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing to back up"):
        back_up(workspace, tmp_path / "backup")
    fill(workspace)
    for target, told in ((workspace.root / "runs" / "b", "in the workspace itself"), (tmp_path, "new or empty")):
        with pytest.raises(BadInput, match=told):
            back_up(workspace, target)


def test_a_backup_that_does_not_fit_leaves_nothing(workspace: Workspace, small_disk: Path) -> None:
    fill(workspace)
    (workspace.runs / "run-1" / "big").write_bytes(bytes(5 << 20))
    with pytest.raises(DiskFull, match="make room or name another disk"):
        back_up(workspace, small_disk / "backup")
    assert list(small_disk.iterdir()) == []


def test_a_damaged_database_is_not_backed_up_as_if_it_were_whole(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.copying._TRIES", 2)
    fill(workspace)
    with workspace.database.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(8192))
    with pytest.raises(StudioError, match="cannot be copied"):
        back_up(workspace, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_from_the_command_line_and_back(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(workspace)
    at = ["--workspace", str(workspace.root)]
    assert cli.main([*at, "backup", str(tmp_path / "b"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["schema"] > 0) == (4, True)
    assert cli.main([*at, "restore", str(tmp_path / "b"), "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == told["rows"]
    assert cli.main([*at, "restore", str(tmp_path / "b"), "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["kept"]).is_dir()
    assert cli.main([*at, "restore", str(tmp_path / "none")]) == 2


def test_a_job_at_work_stops_a_restore(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from studio.jobs.processes import claimed

    fill(workspace)
    back_up(workspace, tmp_path / "b")
    with claimed(workspace.runs / "run-1"):
        assert cli.main(["--workspace", str(workspace.root), "restore", str(tmp_path / "b")]) == 1
    assert "runs/run-1" in capsys.readouterr().err
