"""The queue over the fake trainer: order, pause, cancel, what a killed starter leaves, and what it all costs."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from storage.queued import change_state, get_job, list_jobs
from storage.records import Run, User
from storage.usage import list_spans, open_spans
from studio.contract.serving import Loan, read_loan
from studio.errors import BadInput, DiskFull, JobFailed, NotAllowed, NotFound
from studio.jobs import accounting, lending, queueing, queueing_for, runs
from studio.jobs.accounting import Compute, cost_of_job, costs, planned_cost, quota_of, set_compute, set_quota
from studio.jobs.devices import Device, list_devices
from studio.jobs.job_folders import Standing
from studio.jobs.processes import PROCESS_FILE, claimed, is_alive
from studio.jobs.serving import Server
from tests.jobs.conftest import Room, wait_until

ADMIN, ANN = User("me", "admin"), User("ann", "reviewer")


def state(room: Room, run: Run) -> str:
    """A run's state after a look."""
    runs.sync_runs(room.db, room.workspace)
    return runs.get_run(room.db, run.id).state


def waiting(room: Room) -> list[str]:
    """Ids of what waits, in order."""
    return [job.job_id for job in list_jobs(room.db, ("waiting",))]


def test_the_order_can_be_changed_and_priority_comes_first(room: Room) -> None:
    room.start("slow")
    a, b, c = (room.start("slow").id for _ in range(3))
    queueing.move(room.db, room.workspace, c)
    assert waiting(room) == [a, c, b]
    queueing.prioritise(room.db, room.workspace, b, 5)
    assert waiting(room) == [b, a, c]
    queueing.move(room.db, room.workspace, a)  # before one of a higher priority: it gets that too
    assert waiting(room) == [a, b, c] and get_job(room.db, a).priority == 5  # type: ignore[union-attr]
    for wrong in (
        lambda: queueing.move(room.db, room.workspace, a),
        lambda: queueing.prioritise(room.db, room.workspace, a, 101),
    ):
        with pytest.raises(BadInput):
            wrong()
    with pytest.raises(NotFound):
        queueing.move(room.db, room.workspace, "run-unknown")
    places = queueing.list_queue(room.db, room.workspace)
    assert [(one.place, one.name) for one in places][1] == (1, "Run 2 of Support")


def test_a_paused_run_frees_the_device_and_goes_on_where_it_was(room: Room) -> None:
    first = room.start("slow")
    wait_until(lambda: state(room, first) == "training" and runs.get_run(room.db, first.id).step >= 2)
    second = room.start("slow")
    queueing.pause(room.db, room.workspace, first.id)
    wait_until(lambda: state(room, first) == "paused" and state(room, second) != "waiting")
    assert is_alive(room.folder(second)) and not is_alive(room.folder(first))
    step = runs.get_run(room.db, first.id).step
    queueing.resume(room.db, room.workspace, first.id)
    assert state(room, first) == "waiting"
    runs.stop_run(room.db, room.workspace, second.id)
    wait_until(lambda: state(room, first) == "training" and runs.get_run(room.db, first.id).step > step)
    with pytest.raises(BadInput, match="not paused"):
        queueing.resume(room.db, room.workspace, first.id)


def test_a_waiting_run_is_held_back_cancelled_and_queued_again(room: Room) -> None:
    room.start("slow")
    run = room.start("slow")
    queueing.pause(room.db, room.workspace, run.id)
    assert state(room, run) == "paused" and waiting(room) == []
    assert runs.get_run(room.db, run.id).message == queueing.HELD_BACK  # it has no checkpoint to be kept
    queueing.cancel(room.db, room.workspace, run.id)
    assert runs.get_run(room.db, run.id).message == queueing.CANCELLED and state(room, run) == "stopped"
    with pytest.raises(BadInput, match="does not wait"):
        queueing.cancel(room.db, room.workspace, run.id)
    runs.resume_run(room.db, room.workspace, run.id)
    assert state(room, run) == "waiting"
    runs.stop_run(room.db, room.workspace, run.id)
    assert state(room, run) == "stopped"


def test_a_starter_killed_before_the_process_began_loses_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*about: object) -> int:
        raise KeyboardInterrupt  # as far as the database and the folder go: gone between claim and process

    with monkeypatch.context() as here, pytest.raises(KeyboardInterrupt):
        here.setattr(queueing, "spawn", killed)
        room.start("quick")
    (run,) = runs.list_runs(room.db)
    assert run.state == "starting" and list_jobs(room.db, ("running",))[0].attempts == 1
    runs.sync_runs(room.db, room.workspace)
    assert list_jobs(room.db, ("running",))[0].attempts == 2
    assert room.ended(run).state == "done" and len(list_spans(room.db)) == 1


def test_one_that_can_never_be_started_fails_with_the_reason(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*about: object) -> int:
        raise JobFailed("The process cannot be started: no memory.")

    monkeypatch.setattr(queueing, "spawn", refused)
    run = room.start("quick")
    for _ in range(queueing.ATTEMPTS):
        runs.sync_runs(room.db, room.workspace)
    found = runs.get_run(room.db, run.id)
    assert found.state == "failed" and open_spans(room.db) == []
    assert found.message == "Given up after 3 attempts: the process cannot be started: no memory."


def test_only_one_of_two_wins_the_claim(room: Room) -> None:
    room.start("slow")
    run = room.start("slow")
    device, job = list_devices()[-1], get_job(room.db, run.id)
    assert job is not None
    assert [queueing._claim(room.db, job, device, Compute(), 0) for _ in range(2)] == [True, False]
    assert not change_state(room.db, run.id, ("waiting",), "paused")
    runs.sync_runs(room.db, room.workspace)
    assert state(room, run) == "waiting"  # nobody started its process


def test_several_run_side_by_side_where_there_are_slots(room: Room) -> None:
    set_compute(room.db, ADMIN, slots={"cpu": 2})
    room.mode("slow")
    both = [room.start("slow") for _ in range(2)]
    third = room.start("slow")
    assert all(is_alive(room.folder(run)) for run in both) and third.state == "waiting"
    with pytest.raises(NotAllowed):
        set_compute(room.db, ANN, slots={"cpu": 9})
    for wrong in ({"slots": {"cpu": 0}}, {"prices": {"cpu": float("nan")}}, {"prices": {"tpu": 1.0}}):
        with pytest.raises(BadInput):
            set_compute(room.db, ADMIN, **wrong)  # type: ignore[arg-type]


def test_time_is_shared_priced_and_told_by_user(room: Room) -> None:
    set_compute(room.db, ADMIN, {"cpu": 3.6}, {"cpu": 2})
    first, second = room.start("slow"), room.start("slow")
    began = open_spans(room.db)[0].last_at
    later = began + timedelta(seconds=100)
    accounting.count_up(room.db, room.workspace, now=later)
    took = cost_of_job(room.db, first.id)
    assert took and took.hours * 3600 == pytest.approx(50, abs=3) and took.cost == pytest.approx(0.05, abs=0.003)
    found = costs(room.db, room.snapshot.project_id)
    assert found.total.hours * 3600 == pytest.approx(100, abs=5) and [one.name for one in found.users] == ["me"]
    assert {one.name for one in found.jobs} == {first.id, second.id} and found.total.watt_hours is None
    assert planned_cost(Compute({"cpu": 3.6}), "cpu", 60) == 3.6 and planned_cost(Compute(), "cpu", 60) is None


def test_energy_is_counted_where_a_device_tells_it(room: Room) -> None:
    run, began = room.start("slow"), datetime.now(UTC)
    for number, joules in enumerate((1000.0, 4600.0), 1):
        told = [Device("cpu", "", 1, 1, joules=joules)]
        accounting.count_up(room.db, room.workspace, told, began + timedelta(seconds=10 * number))
    took = cost_of_job(room.db, run.id)
    assert took and took.watt_hours == pytest.approx(1.0)


def test_spent_hours_refuse_a_start_and_pause_what_is_at_work(room: Room) -> None:
    run = room.start("slow")
    with pytest.raises(NotAllowed, match="Only an admin"):
        set_quota(room.db, ANN, "me", 1)
    set_quota(room.db, ADMIN, "me", 0.001)
    accounting.count_up(room.db, room.workspace, now=datetime.now(UTC) + timedelta(seconds=9))
    assert quota_of(room.db, "me").is_spent
    with pytest.raises(NotAllowed, match=r"of 0\.001 device-hours in 30 days"):
        room.start("slow")
    queueing.look(room.db, room.workspace)
    wait_until(lambda: state(room, run) == "paused")
    told = runs.get_run(room.db, run.id).message
    assert told.startswith("Paused: me has used") and "raise the limit. Paused before its first checkpoint" in told
    assert "raise the limit" in queueing.list_queue(room.db, room.workspace)[0].job.reason
    assert len(runs.list_runs(room.db)) == 1 and len(list(room.workspace.runs.iterdir())) == 1
    set_quota(room.db, ADMIN, "me", None)
    queueing.resume(room.db, room.workspace, run.id)
    wait_until(lambda: state(room, run) == "training")


def test_a_quota_that_is_spent_while_a_run_waits_is_told_in_whole_sentences(room: Room) -> None:
    room.start("slow")
    run = room.start("slow")
    set_quota(room.db, ADMIN, "me", 0)
    assert state(room, run) == "waiting"
    message = runs.get_run(room.db, run.id).message
    assert message.startswith("Waits: me has used") and message.endswith("an admin can raise the limit.")


def test_what_is_in_the_queue_stays_there_when_the_queue_cannot_be_worked_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*about: object) -> None:
        raise DiskFull("The disk is full.")

    with monkeypatch.context() as here:
        here.setattr(queueing, "place", full)
        run = room.start("quick")
    assert (run.state, room.folder(run).is_dir()) == ("waiting", True)
    runs.sync_runs(room.db, room.workspace)
    assert room.ended(run).state == "done"


def test_a_last_process_that_does_not_leave_is_not_waited_for_with_the_queue_in_hand(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.jobs.processes._CLAIM_SECONDS", 0.1)
    run = room.ended(room.start("crash"))
    room.mode("quick")
    with claimed(room.folder(run)):  # as one that still tidies up
        told = runs.resume_run(room.db, room.workspace, run.id).message
        assert told == "Waits, as it cannot be started: a process is at work on this run already."
        monkeypatch.setattr(queueing, "claimed", None)  # would be called, were it tried
        assert state(room, run) == "waiting"
        assert runs.get_run(room.db, run.id).message == "Waits for its last process to leave."
        monkeypatch.undo()
    room.mode("quick")
    monkeypatch.setattr(runs, "TRAINING_MODULE", "tests.jobs.fake_training")
    runs.sync_runs(room.db, room.workspace)
    assert room.ended(run).state == "done"


def test_a_folder_that_cannot_be_written_is_told_and_one_that_is_gone_fails(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: object) -> None:
        raise PermissionError(13, "Permission denied", "/secret/place")

    room.start("slow")
    set_compute(room.db, ADMIN, slots={"cpu": 2})
    with monkeypatch.context() as here:
        here.setattr(queueing, "claimed", refused)
        run = room.start("slow")
    assert run.message == "Waits, as it cannot be started: permission denied."
    shutil.rmtree(room.folder(run))
    assert state(room, run) == "failed" and "start a new one" in runs.get_run(room.db, run.id).message


def test_a_pause_whose_signal_was_never_sent_is_sent_by_the_next_look(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = room.start("slow")
    wait_until(lambda: state(room, run) == "training")
    with monkeypatch.context() as here:
        here.setattr(queueing, "ask_to_stop", lambda folder: False)  # killed between the row and the signal
        queueing.pause(room.db, room.workspace, run.id)
    wait_until(lambda: state(room, run) == "paused")
    assert get_job(room.db, run.id).state in ("pausing", "paused")  # type: ignore[union-attr]


def test_a_process_whose_number_was_never_noted_can_be_stopped(room: Room) -> None:
    run = room.start("slow")
    wait_until(lambda: state(room, run) == "training")
    (room.folder(run) / PROCESS_FILE).unlink()  # the app was killed between starting it and noting it
    runs.stop_run(room.db, room.workspace, run.id)
    wait_until(lambda: state(room, run) == "stopped")


def test_a_paused_run_whose_process_lingers_is_cancelled_or_resumed_all_the_same(room: Room) -> None:
    run = room.start("linger")
    wait_until(lambda: state(room, run) == "training")
    queueing.pause(room.db, room.workspace, run.id)
    wait_until(lambda: state(room, run) == "paused")  # it stays for a second more
    runs.stop_run(room.db, room.workspace, run.id)
    assert state(room, run) == "stopped"


def test_who_resumes_takes_it_on_their_account(room: Room) -> None:
    room.start("slow")
    run = room.start("slow")
    queueing_for.pause_for(room.db, room.workspace, ADMIN, run.id)
    queueing_for.resume_for(room.db, room.workspace, User("eva", "admin"), run.id)
    assert get_job(room.db, run.id).user_name == "eva"  # type: ignore[union-attr]
    queueing_for.raise_for(room.db, room.workspace, ADMIN, run.id)
    queueing_for.raise_for(room.db, room.workspace, ADMIN, run.id)
    queueing_for.lower_for(room.db, room.workspace, ADMIN, run.id)
    assert get_job(room.db, run.id).priority == 1  # type: ignore[union-attr]
    with pytest.raises(NotFound):
        queueing_for.raise_for(room.db, room.workspace, ADMIN, "run-unknown")


def test_energy_counts_from_the_start_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "list_devices", lambda: [Device("cpu", "", 1, 1, joules=1000.0)])
    run = room.start("slow")
    told = [Device("cpu", "", 1, 1, joules=4600.0)]
    accounting.count_up(room.db, room.workspace, told, datetime.now(UTC) + timedelta(seconds=10))
    took = cost_of_job(room.db, run.id)
    assert took and took.watt_hours == pytest.approx(1.0)


def test_the_end_of_a_run_that_a_click_took_up_is_heard_of_all_the_same(room: Room) -> None:
    heard: list[str] = []
    watcher = runs.Watcher(room.db, room.workspace, on_done=heard.append)
    run = room.start("slow")
    watcher.look()
    room.mode("quick")
    runs.stop_run(room.db, room.workspace, run.id)
    room.ended(run)
    runs.resume_run(room.db, room.workspace, run.id)
    watcher.look()
    assert heard == []
    assert room.ended(run).state == "done"  # taken up here, not by the watcher
    for _ in range(2):
        watcher.look()
    assert heard == [run.id]


def test_idle_servers_are_asked_for_memory_until_the_job_has_ended(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = room.workspace.root / "serving" / "one"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    there = Server(folder, "starter", Standing("running"), device="cpu", bytes=1 << 40)
    monkeypatch.setattr(lending, "serving_standing", lambda folder: there)
    monkeypatch.setattr(lending, "is_alive", lambda folder: True)
    small = Device("cpu", "CPU", 16, 8)
    monkeypatch.setattr(queueing, "list_devices", lambda: [small])
    run = room.start("slow")  # alone on a CPU it starts however little is free, and has the server make room
    job = get_job(room.db, run.id)
    assert job and job.state == "running" and job.memory_bytes > 8
    assert read_loan(folder) == Loan(name="Run 1 of Support", jobs={run.id: job.memory_bytes})
    queueing.look(room.db, room.workspace)
    assert read_loan(folder)
    runs.stop_run(room.db, room.workspace, run.id)
    room.ended(run)
    queueing.look(room.db, room.workspace)
    assert read_loan(folder) is None
