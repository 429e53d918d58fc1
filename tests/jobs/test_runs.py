"""Runs with a fake trainer: their folder is the truth, the database follows, and nothing is taken up twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from storage.database import connect
from storage.runs import list_events
from studio.contract.events import EVENTS_FILE, KINDS, read_all
from studio.errors import BadInput, BadModel, BadSpec, DiskFull, NotFound
from studio.jobs import runs
from studio.jobs.processes import is_alive
from tests.jobs.conftest import Room, wait_until


def steps_of(room: Room) -> int:
    """Steps that the newest run's row shows after a look."""
    runs.sync_runs(room.db, room.workspace)
    return runs.list_runs(room.db)[0].step


def taken_up(room: Room, run: runs.Run) -> list[int]:
    """Sequence numbers of a run's events in the database."""
    return [event.seq for event in list_events(room.db, run.id, sorted(KINDS))]


def test_a_run_is_started_followed_and_done(room: Room) -> None:
    run = room.start("quick", max_steps=3)
    assert (run.state, run.number, run.steps) == ("starting", 1, 3)
    run = room.ended(run)
    assert (run.state, run.step, run.base_loss, run.tuned_loss) == ("done", 3, 2.0, 1.0)
    assert run.device == "CPU test" and run.ended_at is not None
    assert run.spec["base_model"] == str(room.model)
    assert taken_up(room, run) == [event.seq for event in read_all(room.folder(run))] == [1, 2, 3, 4, 5]


def test_events_are_taken_up_once_also_by_the_next_app(room: Room) -> None:
    run = room.start("slow")
    wait_until(lambda: steps_of(room) >= 3)
    room.db.close()
    written = len(read_all(room.folder(run)))
    wait_until(lambda: len(read_all(room.folder(run))) > written + 3)
    db = connect(room.workspace.database, room.workspace.backups)
    try:
        next_app = Room(db, room.workspace, room.snapshot, room.model, room.mode)
        runs.sync_runs(db, room.workspace)
        assert runs.get_run(db, run.id).step > written - 2
        runs.stop_run(db, room.workspace, run.id)
        assert next_app.ended(run).state == "stopped"
        seen = taken_up(next_app, run)
        assert seen == list(range(1, len(seen) + 1)) == [event.seq for event in read_all(room.folder(run))]
        assert runs.sync_runs(db, room.workspace) == []
    finally:
        db.close()


def test_a_half_line_waits_until_it_is_whole(room: Room) -> None:
    run = room.start("slow")
    wait_until(lambda: steps_of(room) >= 1)
    os.kill(json.loads((room.folder(run) / "process.json").read_text())["pid"], signal.SIGSTOP)
    steps_of(room)
    before = taken_up(room, run)
    row = {"seq": 9999, "at": "2026-11-21T12:00:00+00:00", "kind": "step", "data": {"step": 777}}
    line = json.dumps(row).encode() + b"\n"
    with (room.folder(run) / EVENTS_FILE).open("ab") as events:
        events.write(line[:30])
        events.flush()
        assert steps_of(room) != 777 and taken_up(room, run) == before
        events.write(line[30:])
    assert steps_of(room) == 777 and taken_up(room, run) == [*before, 9999]


def test_a_process_that_ended_without_done_is_failed_with_its_last_words(room: Room) -> None:
    run = room.ended(room.start("crash"))
    assert run.state == "failed" and run.ended_at is not None
    assert "the kettle exploded" in run.message and "first words" not in run.message
    assert "Resume starts it from the beginning" in run.message
    assert "first words" in runs.run_log(room.workspace, run.id)


def test_what_a_resume_goes_on_from_is_told_as_it_is(room: Room) -> None:
    run = room.start("crash")
    (room.folder(run) / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    assert "Resume goes on from its last checkpoint" in room.ended(run).message


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (True, "Stopped. Its checkpoint is kept: Resume goes on from it."),
        (False, "Stopped before its first checkpoint: Resume starts from the beginning."),
    ],
)
@pytest.mark.parametrize("mode", ["slow", "mute"])
def test_a_stopped_run_says_whether_it_has_a_checkpoint(room: Room, checkpoint: bool, message: str, mode: str) -> None:
    run = room.start(mode)
    wait_until(lambda: bool(read_all(room.folder(run))))
    if checkpoint:
        (room.folder(run) / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    runs.stop_run(room.db, room.workspace, run.id)
    run = room.ended(run)
    assert (run.state, run.message) == ("stopped", message)


def test_a_killed_run_is_failed_and_can_be_resumed(room: Room) -> None:
    run = room.start("slow")
    wait_until(lambda: steps_of(room) >= 2)
    os.killpg(json.loads((room.folder(run) / "process.json").read_text())["pid"], signal.SIGKILL)
    assert room.ended(run).state == "failed"
    room.mode("quick")
    again = runs.resume_run(room.db, room.workspace, run.id)
    assert (again.state, again.message, again.ended_at) == ("starting", "", None)
    assert room.ended(run).state == "done"


def test_a_stopped_run_goes_on_from_its_checkpoint_and_goes_on_counting(room: Room) -> None:
    run = room.start("slow")
    wait_until(lambda: steps_of(room) >= 3)
    runs.stop_run(room.db, room.workspace, run.id)
    stopped = room.ended(run)
    assert stopped.state == "stopped"
    runs.resume_run(room.db, room.workspace, run.id)
    wait_until(lambda: steps_of(room) > stopped.step + 2)
    runs.stop_run(room.db, room.workspace, run.id)
    room.ended(run)
    seen = taken_up(room, run)
    assert seen == list(range(1, len(seen) + 1))


def test_resume_waits_for_a_process_that_has_said_done_but_lingers(room: Room) -> None:
    run = room.start("linger")
    wait_until(lambda: steps_of(room) >= 1)
    runs.stop_run(room.db, room.workspace, run.id)
    wait_until(lambda: runs.sync_runs(room.db, room.workspace) != [] and room_state(room, run) == "stopped")
    assert is_alive(room.folder(run))
    room.mode("quick")
    runs.resume_run(room.db, room.workspace, run.id)
    assert room.ended(run).state == "done"


def room_state(room: Room, run: runs.Run) -> str:
    """The state that a run's row shows."""
    return runs.get_run(room.db, run.id).state


def test_a_second_run_waits_while_one_is_at_work_and_starts_after_it(room: Room) -> None:
    run = room.start("slow")
    second = room.start("slow")
    assert (second.state, second.message) == ("waiting", "Waits for Run 1 of Support on cpu.")
    with pytest.raises(BadInput, match="at work already"):
        runs.resume_run(room.db, room.workspace, run.id)
    with pytest.raises(BadInput, match="waits in the queue already"):
        runs.resume_run(room.db, room.workspace, second.id)
    runs.stop_run(room.db, room.workspace, run.id)
    room.ended(run)
    assert room_state(room, second) != "waiting" and is_alive(room.folder(second))


def test_two_clicks_at_the_same_time_start_one_run(room: Room) -> None:
    room.mode("slow")
    both = threading.Barrier(2)
    outcomes: list[str] = []

    def click() -> None:
        both.wait()
        outcomes.append(runs.start_run(room.db, room.workspace, room.snapshot.id, str(room.model)).state)

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert sorted(outcomes) == ["starting", "waiting"]


def test_a_run_that_is_not_at_work_is_neither_stopped_nor_resumed_when_done(room: Room) -> None:
    run = room.ended(room.start("quick"))
    with pytest.raises(BadInput, match="not at work"):
        runs.stop_run(room.db, room.workspace, run.id)
    with pytest.raises(BadInput, match="nothing to resume"):
        runs.resume_run(room.db, room.workspace, run.id)
    with pytest.raises(NotFound):
        runs.stop_run(room.db, room.workspace, "run-unknown")


def test_a_run_whose_folder_is_gone_is_failed_and_says_so(room: Room) -> None:
    run = room.start("quick")
    wait_until(lambda: not is_alive(room.folder(run)))
    shutil.rmtree(room.folder(run))
    runs.sync_runs(room.db, room.workspace)
    assert runs.get_run(room.db, run.id).state == "failed"
    for verb in (runs.stop_run, runs.resume_run):
        with pytest.raises(NotFound, match="There is no run"):
            verb(room.db, room.workspace, run.id)
    assert room.start("quick").number == 2


def test_missing_files_of_a_snapshot_are_told_before_anything_starts(room: Room) -> None:
    shutil.rmtree(room.workspace.snapshots / room.snapshot.id)
    with pytest.raises(NotFound, match="freeze it again"):
        room.start()
    assert runs.list_runs(room.db) == [] and not room.workspace.runs.exists()


@pytest.mark.parametrize(
    ("settings", "field"),
    [({"epochs": 0}, "epochs"), ({"lora_rank": "many"}, "lora_rank"), ({"nonsense": 1}, "nonsense")],
)
def test_bad_settings_are_told_by_name_before_anything_starts(room: Room, settings: dict, field: str) -> None:
    with pytest.raises(BadSpec, match=field):
        room.start("quick", **settings)
    assert runs.list_runs(room.db) == []


def test_an_unknown_snapshot_or_model_starts_nothing(room: Room, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no single snapshot"):
        runs.start_run(room.db, room.workspace, "0123456789abcdef", str(room.model))
    with pytest.raises(BadModel):
        runs.start_run(room.db, room.workspace, room.snapshot.id, str(tmp_path / "gone"))
    assert runs.list_runs(room.db) == []


def test_a_full_disk_starts_nothing_and_leaves_no_half_run(room: Room, small_disk: Path) -> None:
    with (small_disk / "filler").open("wb") as filler, pytest.raises(OSError):
        while True:
            filler.write(b"\0" * 65536)
            filler.flush()
    room.workspace.runs.symlink_to(small_disk)
    with pytest.raises(DiskFull, match="Make room"):
        room.start()
    assert runs.list_runs(room.db) == []
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_the_watcher_takes_up_by_itself_and_a_stopped_one_leaves_the_run_alone(room: Room) -> None:
    watcher = runs.Watcher(room.db, room.workspace, seconds=0.02)
    watcher.start()
    run = room.start("slow")
    wait_until(lambda: runs.get_run(room.db, run.id).step >= 3)
    watcher.stop()
    assert is_alive(room.folder(run))
    assert room_state(room, run) == "training"


def test_following_hands_over_each_event_once_and_ends_with_the_process(room: Room) -> None:
    run = room.start("quick")
    heard: list[int] = []
    runs.follow_run(room.workspace, run.id, lambda event: heard.append(event.seq), poll_seconds=0.01)
    assert heard == [1, 2, 3, 4, 5]
    later: list[str] = []
    offset = (room.folder(run) / EVENTS_FILE).read_bytes().index(b'{"seq": 5')
    runs.follow_run(room.workspace, run.id, lambda event: later.append(event.kind), offset=offset)
    assert later == ["done"]


@pytest.mark.parametrize("name", ["..", "../snapshots", "a/b", "", "."])
def test_no_run_is_looked_for_outside_the_runs_folder(room: Room, name: str) -> None:
    room.workspace.runs.mkdir()
    (room.workspace.root / "log.txt").write_text("not a run's")
    with pytest.raises(NotFound):
        runs.follow_run(room.workspace, name, lambda event: None)
    assert runs.run_log(room.workspace, name) == ""
