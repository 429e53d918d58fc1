"""What is cut, flipped or gone is found and named, the rest can be used, and `doctor --repair` mends what it can."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.annotations import annotate
from storage.database import Database, connect
from storage.opening import logs_of
from storage.projects import create_project, list_projects
from storage.records import Project
from storage.runs import NewEvent, create_run, get_run, list_events, take_up_events
from studio.checkup import check_up
from studio.contract.events import EventWriter, read_all
from studio.contract.spec import read_train_spec
from studio.data.snapshots import freeze
from studio.errors import DiskFull, WorkspaceBroken
from studio.settings import Workspace
from tests.bench.faulty import fake_spec
from tests.labeling.samples import put_examples

ROOT = Path(__file__).parents[2]
KILLED = """
import os, pathlib, sys
from storage.database import connect
from storage.projects import create_project
root = pathlib.Path(sys.argv[1])
db = connect(root / "studio.duckdb", root / "backups")
for number in range(20):
    create_project(db, f"P{number:02}", guidelines="x" * 500)
os._exit(9)
"""


def doctor(workspace: Workspace, repair: bool = False) -> tuple[list[str], list[str]]:
    """Problems of the workspace alone, and what was mended."""
    report = check_up(workspace, repair)
    problems = [str(one) for one in report["problems"] if "starter" not in str(one) and "GB are free" not in str(one)]  # type: ignore[attr-defined]
    return problems, report.get("repaired", [])  # type: ignore[return-value]


@pytest.fixture
def killed(workspace: Workspace) -> Workspace:
    """A workspace with twenty projects in the log of a killed process."""
    connect(workspace.database, workspace.backups).close()
    subprocess.run([sys.executable, "-c", KILLED, str(workspace.root)], cwd=ROOT, check=False)
    assert logs_of(workspace.database)[0].stat().st_size > 10_000
    return workspace


def names(workspace: Workspace) -> list[str]:
    """The projects there are."""
    db = connect(workspace.database, workspace.backups)
    try:
        return sorted(project.name for project in list_projects(db))
    finally:
        db.close()


def flip(file: Path, at: int) -> None:
    """Damage some bytes of a file."""
    content = bytearray(file.read_bytes())
    content[at : at + 8] = bytes(byte ^ 0xFF for byte in content[at : at + 8])
    file.write_bytes(content)


def test_a_log_that_ends_in_half_an_entry_costs_that_entry_alone(killed: Workspace) -> None:
    log = logs_of(killed.database)[0]
    os.truncate(log, log.stat().st_size - 11)
    assert names(killed) == [f"P{number:02}" for number in range(19)]
    assert doctor(killed) == ([], [])


def test_a_damaged_log_is_named_and_read_up_to_its_damage(killed: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs_of(killed.database)[0]
    flip(log, log.read_bytes().index(b"x" * 300, log.stat().st_size // 2) + 100)
    with pytest.raises(WorkspaceBroken, match="`doctor` says what can be done"):
        connect(killed.database, killed.backups)
    found, _ = doctor(killed)
    assert any("log is damaged" in one and "`doctor --repair` mends that" in one for one in found)
    truncate, synced, fsync = os.truncate, set(), os.fsync

    def cut(file: Path, size: int) -> None:
        assert {kept.stat().st_ino for kept in killed.backups.glob("damaged-*/*")} <= synced
        truncate(file, size)

    monkeypatch.setattr(os, "fsync", lambda handle: (synced.add(os.fstat(handle).st_ino), fsync(handle)))
    monkeypatch.setattr(os, "truncate", cut)
    found, done = doctor(killed, repair=True)
    assert found == [] and "is lost" in done[0] and synced
    kept = names(killed)
    assert 5 < len(kept) < 20 and kept == [f"P{number:02}" for number in range(len(kept))]
    assert len(list(killed.backups.glob("damaged-*/*"))) == 2


@pytest.mark.parametrize("log", [True, False])
def test_a_database_cut_to_nothing_or_gone_is_not_taken_for_a_new_one(killed: Workspace, log: bool) -> None:
    if log:
        killed.database.unlink()
    else:
        logs_of(killed.database)[0].unlink()
        killed.database.write_bytes(b"")
    with pytest.raises(WorkspaceBroken, match="put a backup in its place with `restore`"):
        connect(killed.database, killed.backups)
    assert logs_of(killed.database)[0].exists() is log


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: flip(file, 16),
        lambda file: [flip(file, at) for at in (4104, 8200)],
        lambda file: os.truncate(file, file.stat().st_size // 2),
        lambda file: file.write_bytes(b"something else"),
    ],
    ids=["beginning", "both headers", "cut", "another file"],
)
def test_a_damaged_database_is_named_and_left_as_it_was_found(
    workspace: Workspace, damage: Callable[[Path], object]
) -> None:
    db = connect(workspace.database, workspace.backups)
    for number in range(30):
        create_project(db, f"P{number}", guidelines=f"{number} " + "x" * 3000)
    db.close()
    damage(workspace.database)
    before = workspace.database.read_bytes()
    found, done = doctor(workspace, repair=True)
    assert found and all("with `restore`" in one or "`restore` puts a backup" in one for one in found)
    assert done == [] and workspace.database.read_bytes() == before


@pytest.mark.parametrize("end", [".wal", ".wal.checkpoint", ".wal.recovery"])
def test_no_new_database_is_made_beside_the_log_of_one_that_is_gone(workspace: Workspace, end: str) -> None:
    workspace.database.with_name(workspace.database.name + end).write_bytes(b"what somebody saved")
    with pytest.raises(WorkspaceBroken, match="gone, though there was one"):
        connect(workspace.database, workspace.backups)
    assert not workspace.database.exists()


def test_a_damaged_table_is_named_and_the_others_can_be_read(workspace: Workspace) -> None:
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Kept")
    put_examples(db, project.id, [os.urandom(60).hex() for _ in range(4000)])
    db.cursor().execute("CHECKPOINT")
    blocks = "SELECT DISTINCT block_id FROM pragma_storage_info('{}') WHERE block_id >= 0"
    own = {row[0] for row in db.query(blocks.format("examples") + " AND column_name = 'prompt'")}
    own -= {row[0] for row in db.query(blocks.format("projects"))}
    db.close()
    flip(workspace.database, 12288 + max(own) * 262144 + 100)
    found, _ = doctor(workspace)
    assert "Table examples of the database cannot be read" in found[0]
    assert names(workspace) == ["Kept"]


def test_a_snapshot_whose_content_changed_is_named_and_not_trained_on(
    db: Database, workspace: Workspace, project: Project
) -> None:
    frozen(db, workspace, project)
    second = frozen(db, workspace, project, more=5)
    db.close()
    flip(workspace.snapshots / second / "train.parquet", 60)
    (found,), _ = doctor(workspace)
    assert f"Snapshot {second} is damaged" in found and "backup" in found


def frozen(db: Database, workspace: Workspace, project: Project, more: int = 20) -> str:
    """A snapshot of some labeled examples."""
    for example in put_examples(db, project.id, [f"Question {os.urandom(4).hex()}" for _ in range(more)]):
        annotate(db, example, "me", "submit", f"Answer to {example}")
    return freeze(db, workspace, project.id, 0.1, 0.1).snapshot.id


@pytest.fixture
def run_folder(db: Database, workspace: Workspace, project: Project) -> Path:
    """An ended run whose events the database has, closed."""
    folder = workspace.runs / "run-1"
    (folder / "adapter").mkdir(parents=True)
    spec = fake_spec(workspace)
    (folder / "spec.json").write_text(spec)
    create_run(db, "run-1", project.id, "0" * 16, "none", spec, 10)
    writer = EventWriter(folder)
    told = [writer.write("step", step=number, loss=1 / number) for number in range(1, 9)]
    told.append(writer.write("done", state="stopped"))
    writer.close()
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"w" * 100)
    size = (folder / "events.jsonl").stat().st_size
    digest = "7cc4d2ac9c6a8e5b7a4c8a3a2b4a3d25f6a8e0dcb1bbe9b9f9b58f2b0d6f7b11"
    take_up_events(
        db,
        "run-1",
        [NewEvent(one.seq, one.at, one.kind, one.data) for one in told],
        size,
        {"state": "stopped", "adapter_hash": digest},
    )
    return folder


def test_weights_that_are_not_what_the_run_wrote_are_named(
    db: Database, workspace: Workspace, run_folder: Path
) -> None:
    db.close()
    (found,), done = doctor(workspace, repair=True)
    assert "The weights of run 1" in found and "hash differs" in found and done == []


@pytest.mark.parametrize("damage", [lambda file: file.write_text('{"snapshot": "/'), lambda file: file.unlink()])
def test_a_run_s_spec_comes_back_from_the_database(
    db: Database, workspace: Workspace, run_folder: Path, damage: Callable[[Path], object]
) -> None:
    whole = read_train_spec(run_folder)
    db.close()
    damage(run_folder / "spec.json")
    found, _ = doctor(workspace)
    assert any("spec.json cannot be read" in one and "--repair" in one for one in found)
    doctor(workspace, repair=True)
    assert read_train_spec(run_folder) == whole


def test_events_that_were_cut_come_back_from_the_database(db: Database, workspace: Workspace, run_folder: Path) -> None:
    before = read_all(run_folder)
    db.close()
    os.truncate(run_folder / "events.jsonl", 250)
    found, _ = doctor(workspace)
    assert any("was cut: it has 250 of" in one for one in found)
    doctor(workspace, repair=True)
    assert [(one.seq, one.kind, dict(one.data)) for one in read_all(run_folder)] == [
        (one.seq, one.kind, dict(one.data)) for one in before
    ]
    db = connect(workspace.database, workspace.backups)
    assert get_run(db, "run-1").events_offset == (run_folder / "events.jsonl").stat().st_size
    assert len(list_events(db, "run-1", ["step", "done"])) == 9
    db.close()


def test_half_a_line_and_a_damaged_one_cost_no_other(db: Database, workspace: Workspace, run_folder: Path) -> None:
    db.close()
    file = run_folder / "events.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"rub" + lines[1], *lines[2:], b'{"seq": 10, "at"']))
    found, _ = doctor(workspace)
    assert any("1 lines of" in one for one in found) and any("half a line" in one for one in found)
    _, done = doctor(workspace, repair=True)
    assert any("half line" in one for one in done) and file.read_bytes().endswith(lines[-1])
    assert len(read_all(run_folder)) == 8


def test_a_repair_that_finds_no_room_says_so(
    db: Database, workspace: Workspace, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.close()
    with (run_folder / "events.jsonl").open("ab") as file:
        file.write(b'{"seq": 10, "at"')

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "truncate", full)
    with pytest.raises(DiskFull, match="Make room"):
        doctor(workspace, repair=True)
    monkeypatch.undo()
    assert any("half line" in one for one in doctor(workspace, repair=True)[1])


def test_a_state_that_does_not_fit_its_answers_is_derived_anew(
    db: Database, workspace: Workspace, project: Project
) -> None:
    ids = put_examples(db, project.id, ["One?", "Two?", "Three?"])
    annotate(db, ids[0], "me", "submit", "Yes.")
    annotate(db, ids[1], "me", "submit", "No.")
    before = db.query("SELECT id, status, annotation_id, answers FROM examples ORDER BY position")
    with db.write() as cursor:
        cursor.execute("UPDATE examples SET status = 'todo', annotation_id = NULL, answers = 0 WHERE id = ?", [ids[0]])
        cursor.execute("UPDATE examples SET annotation_id = 'gone' WHERE id = ?", [ids[1]])
        cursor.execute("INSERT INTO leases VALUES ('gone', 'me', ?, now()::TIMESTAMP, false)", [project.id])
    db.close()
    found, _ = doctor(workspace)
    assert ids[0] in found[0] and ids[1] in found[0] and "1 leases" in found[1]
    assert doctor(workspace, repair=True)[0] == []
    db = connect(workspace.database, workspace.backups)
    assert db.query("SELECT id, status, annotation_id, answers FROM examples ORDER BY position") == before
    db.close()


def test_folders_and_rows_that_miss_each_other_are_named(db: Database, workspace: Workspace, project: Project) -> None:
    create_run(db, "run-2", project.id, "0" * 16, "none", json.dumps({}), 10)
    (workspace.runs / "run-3").mkdir(parents=True)
    snapshot = frozen(db, workspace, project)
    db.close()
    (workspace.snapshots / snapshot).rename(workspace.root / "elsewhere")
    found, _ = doctor(workspace)
    assert any("folder of run 1 is gone" in one for one in found) and any("run-3" in one for one in found)
    assert any(f"files of snapshot {snapshot} are gone" in one for one in found)
