"""Faults of clocks, starts and folders: what holds after each, and a plain sentence where nothing can be done."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.annotations import Act
from storage.consistency import find_broken
from storage.database import Database, check_integrity, connect, schema_version
from storage.projects import create_project, list_projects
from storage.records import Project
from studio.errors import Conflict, NotAllowed, WorkspaceBroken, WorkspaceBusy
from studio.labeling.desk import act, open_desk
from studio.labeling.queue import Queues
from studio.people.accounts import Accounts, hash_token
from studio.people.lockout import Lockout
from studio.settings import Workspace
from tests.faults.test_backup import at_work
from tests.labeling.samples import put_examples
from tests.storage.older import make_older
from tests.storage.test_database import more_migrations

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Clock:
    """A clock that jumps."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """The time that it shows."""
        return self.now

    def jump(self, **by: float) -> None:
        """Set it forth, or back."""
        self.now += timedelta(**by)


@pytest.fixture
def queues(db: Database, project: Project) -> tuple[Queues, Clock, str]:
    """A queue of five examples by a clock that jumps."""
    put_examples(db, project.id, [f"Question {number}?" for number in range(5)])
    clock = Clock()
    return Queues(db, clock), clock, project.id


def hand(queues: Queues, project: str, who: str) -> str:
    """The example in somebody's hand."""
    card = open_desk(queues, project, who).card
    assert card is not None
    return card.example.id


@pytest.mark.parametrize("jump", [{"days": -400}, {"hours": -1}, {"seconds": 1}, {"hours": 3}, {"days": 400}])
def test_a_clock_that_jumps_lends_nothing_twice_and_takes_every_answer(
    queues: tuple[Queues, Clock, str], jump: dict[str, float]
) -> None:
    desk, clock, project = queues
    mine = hand(desk, project, "ann")
    clock.jump(**jump)
    assert hand(desk, project, "ben") != hand(desk, project, "ann")
    act(desk, Act(mine, "ann", "submit", "An answer."))
    clock.jump(**{unit: -by for unit, by in jump.items()})
    left = [hand(desk, project, "ann"), hand(desk, project, "ben")]
    assert left[0] not in (mine, left[1])  # ben may have it in hand since before ann's late answer
    assert find_broken(desk.db.cursor()) == [] and desk.db.one("SELECT count(*) FROM annotations") == (1,)


def test_a_lease_from_before_the_clock_was_set_back_blocks_nobody_for_longer_than_a_lease(
    queues: tuple[Queues, Clock, str],
) -> None:
    desk, clock, project = queues
    clock.jump(days=400)
    ahead = {hand(desk, project, "ann")} | {card.example.id for card in [open_desk(desk, project, "ann").next] if card}
    clock.jump(days=-400)
    again = Queues(desk.db, clock)  # the next start, on the right clock
    for number in range(5):
        clock.jump(minutes=4)
        example = hand(again, project, "ben")
        act(again, Act(example, "ben", "submit", f"Answer {number}."))
    assert ahead <= {row[0] for row in desk.db.query("SELECT example_id FROM annotations")}


def test_a_machine_that_slept_in_a_lease_keeps_the_answer_and_overwrites_no_other(
    queues: tuple[Queues, Clock, str],
) -> None:
    desk, clock, project = queues
    mine = hand(desk, project, "ann")
    clock.jump(hours=9)
    assert hand(desk, project, "ben") == mine
    act(desk, Act(mine, "ben", "submit", "Ben's."))
    act(desk, Act(mine, "ann", "submit", "Ann's, after the night."))
    told = desk.db.query("SELECT annotator, response FROM annotations ORDER BY number")
    assert told == [("ben", "Ben's."), ("ann", "Ann's, after the night.")]


def test_of_two_saves_from_one_version_the_second_is_told_and_both_are_kept(
    queues: tuple[Queues, Clock, str],
) -> None:
    desk, _, project = queues
    mine = hand(desk, project, "ann")
    act(desk, Act(mine, "ann", "submit", "From one tab.", checked=True))
    with pytest.raises(Conflict, match="changed meanwhile") as told:
        act(desk, Act(mine, "ann", "submit", "From the other tab.", checked=True))
    assert told.value.newest.response == "From one tab."  # type: ignore[attr-defined]
    assert desk.db.query("SELECT response FROM annotations") == [("From one tab.",)]


def test_a_session_ends_and_anybody_can_log_in_again_whatever_the_clock_did(db: Database) -> None:
    clock = Clock()
    accounts = Accounts(db, clock)
    accounts.add("ann", "admin", "correct horse battery", "ann")
    token_hash = hash_token(accounts.log_in("ann", "correct horse battery"))
    for jump in (-48, 1, -1):
        clock.jump(hours=jump)
        assert (user := accounts.user_of(token_hash)) is not None and user.name == "ann"
    clock.jump(days=4000)
    assert accounts.user_of(token_hash) is None
    assert accounts.log_in("ann", "correct horse battery")


def test_a_lock_from_before_the_clock_was_set_back_keeps_nobody_out() -> None:
    clock = Clock()
    lockout = Lockout(clock)
    clock.jump(days=400)
    for _ in range(5):
        lockout.begin("ann", "10.0.0.1", known=True)
    with pytest.raises(NotAllowed, match="try again in"):
        lockout.begin("ann", "10.0.0.1", known=True)
    clock.jump(days=-400)
    lockout.begin("ann", "10.0.0.1", known=True)
    with pytest.raises(NotAllowed, match="try again in"):
        lockout.begin("ann", "10.0.0.1", known=True)


def test_requests_from_a_clock_that_jumped_are_all_counted(db: Database) -> None:
    from tests.storage.test_traffic import add, request

    day = 24 * 3600.0
    assert add(db, *(request(number, at) for number, at in enumerate((0, -400 * day, 400 * day, 0)))) == 4
    assert add(db, request(9, 1)) == 1
    assert db.one("SELECT count(*) FROM requests") == (5,)


def _open(path: str, answers: object) -> None:
    workspace = Workspace(Path(path))
    try:
        db = connect(workspace.database, workspace.backups)
    except (WorkspaceBusy, WorkspaceBroken) as error:
        answers.put(f"{type(error).__name__}: {error}")  # type: ignore[attr-defined]
        return
    answers.put("open")  # type: ignore[attr-defined]
    import time

    time.sleep(2)
    db.close()


@pytest.mark.parametrize("version", [0, 3], ids=["new", "to be updated"])
def test_of_apps_started_at_once_on_one_workspace_one_serves_and_the_others_say_who(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    if version:
        make_older(workspace, tmp_path, version, monkeypatch)
    spawn = multiprocessing.get_context("fork")
    answers = spawn.Queue()
    apps = [spawn.Process(target=_open, args=(str(workspace.root), answers)) for _ in range(4)]
    for app in apps:
        app.start()
    told = sorted(answers.get(timeout=120) for _ in apps)
    for app in apps:
        app.join()
    assert told[-1] == "open" and all("is in use by process" in one for one in told[:-1])
    db = connect(workspace.database, workspace.backups)
    assert [project.name for project in list_projects(db)] == (["Kept"] if version else [])
    db.close()
    assert len(list(workspace.backups.glob("*.duckdb"))) == (1 if version else 0)


def test_a_workspace_copied_by_hand_while_it_is_written_opens_or_says_that_it_does_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    opened = 0
    with at_work(workspace) as writer:
        assert writer.stdout is not None
        for number in range(4):
            for _ in range(15):
                writer.stdout.readline()
            copy = Workspace(tmp_path / f"copy-{number}")
            with suppress(shutil.Error):  # the log may go in between, of which `cp -r` says so too and goes on
                shutil.copytree(workspace.root, copy.root)
            try:
                db = connect(copy.database, copy.backups)
            except WorkspaceBroken as error:
                assert "`restore`" in str(error)
                continue
            opened += 1
            assert check_integrity(db) and db.query("SELECT n FROM pairs_a EXCEPT SELECT n FROM pairs_b") == []
            db.close()
    assert opened


@pytest.fixture
def read_only(small_disk: Path) -> Iterator[Workspace]:
    """A workspace on a disk that cannot be written to."""
    workspace = Workspace(small_disk)
    db = connect(workspace.database, workspace.backups)
    create_project(db, "Kept")
    db.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    yield workspace
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


def test_a_read_only_workspace_is_said_to_be_one(read_only: Workspace) -> None:
    with pytest.raises(WorkspaceBroken, match="cannot be written to: give this user the right"):
        connect(read_only.database, read_only.backups)
    command = [sys.executable, "app.py", "--workspace", str(read_only.root), "--port", "0"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "cannot be written to" in done.stderr


def test_when_the_second_of_two_migrations_fails_the_file_is_as_before_the_first(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(workspace, tmp_path, 4, monkeypatch)
    before = workspace.database.read_bytes()
    with monkeypatch.context() as patch:
        more_migrations(tmp_path, patch, "CREATE TABLE extra (x INTEGER); INSERT INTO none VALUES (1);")
        for _ in range(3):
            with pytest.raises(WorkspaceBroken, match=r"from schema 4 to .* failed .*The old file is as it was"):
                connect(workspace.database, workspace.backups)
    assert workspace.database.read_bytes() == before
    assert len(list(workspace.backups.iterdir())) == 1 and not list(workspace.root.glob("*.next*"))


def test_the_backup_is_on_the_disk_before_the_update_takes_the_files_place(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(workspace, tmp_path, 4, monkeypatch)
    synced: set[int] = set()
    before: list[set[int]] = []
    fsync, replace = os.fsync, Path.replace

    def noting(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        fsync(handle)

    def replacing(self: Path, target: Path) -> Path:
        before.append(set(synced))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(Path, "replace", replacing)
    connect(workspace.database, workspace.backups).close()
    (kept,) = workspace.backups.iterdir()
    assert {kept.stat().st_ino, workspace.backups.stat().st_ino, workspace.database.stat().st_ino} <= before[-1]


def test_a_file_that_took_a_dead_databases_place_is_not_written_to(workspace: Workspace, tmp_path: Path) -> None:
    """A full disk can end a database; a restore finds it free then, though the app lives on."""
    db = connect(workspace.database, workspace.backups)
    create_project(db, "Kept")
    db._forget(db._generation)
    assert [project.name for project in list_projects(db)] == ["Kept"]
    db._forget(db._generation)
    connect(tmp_path / "other" / "studio.duckdb", tmp_path).close()
    (tmp_path / "other" / "studio.duckdb").replace(workspace.database)
    for _ in range(2):
        with pytest.raises(WorkspaceBroken, match=r"was replaced.*start the studio again"):
            create_project(db, "Lost")
    again = connect(workspace.database, workspace.backups)
    assert list_projects(again) == []
    again.close()
    db.close()


def test_a_kill_between_two_migrations_leaves_the_old_file(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(workspace, tmp_path, 3, monkeypatch)
    before = workspace.database.read_bytes()

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        connect(workspace.database, workspace.backups)
    assert workspace.database.read_bytes() == before
    db = connect(workspace.database, workspace.backups)
    assert schema_version(db) > 3 and [one.name for one in list_projects(db)] == ["Kept"]
    db.close()
