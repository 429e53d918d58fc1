"""Sweeps of the studio: started, stopped, gone on with, used, one at a time with the runs; over the fake trainer."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.runs import list_runs
from studio.errors import BadInput, BadSpec, NotFound
from studio.jobs import sweeping
from studio.jobs.processes import PROCESS_FILE, is_alive, reap
from studio.jobs.queueing import dispatch, list_queue
from studio.jobs.runs import stop_run
from studio.jobs.sweeping import resume_sweep, start_sweep, stop_sweep, use_best
from studio.jobs.sweeps import Sweep, get_sweep, is_orphaned, list_sweeps, sweep_folder
from studio.settings import Workspace
from tests.jobs.conftest import Room, end_all, wait_until


@dataclass(frozen=True)
class Lab:
    """A room where sweeps are run; `mode` chooses what the fake trials do."""

    room: Room
    mode: Callable[[str], None]

    def start(self, *over: str, mode: str = "", **options: object) -> Sweep:
        """Start a sweep over the fake trainer."""
        self.mode(mode)
        room, over = self.room, over or ("lora_rank=4,8,16",)
        settings = {"learning_rate": 0.01, "epochs": 2}
        return start_sweep(room.db, room.workspace, room.snapshot.id, str(room.model), settings, over, **options)

    def now(self, sweep: Sweep) -> Sweep:
        """The sweep as it stands."""
        return get_sweep(self.room.workspace, sweep.id)

    def folder(self, sweep: Sweep) -> Path:
        """Its folder."""
        return sweep_folder(self.room.workspace, sweep.id)

    def ended(self, sweep: Sweep) -> Sweep:
        """The sweep once its processes are gone."""
        wait_until(lambda: not is_alive(self.folder(sweep)), 60)
        reap(self.folder(sweep))
        return self.now(sweep)

    def at_trial(self, sweep: Sweep, count: int) -> None:
        """Wait until so many trials are in the report."""
        wait_until(lambda: len(self.now(sweep).report.trials) >= count, 60)


@pytest.fixture
def lab(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The sweeping process over the fake trainer; whatever still lives afterwards is killed."""
    monkeypatch.setattr(sweeping, "SWEEPING_MODULE", "tests.sweeping.fake_sweep")
    yield Lab(room, lambda mode: monkeypatch.setenv("FAKE_TRIAL", mode))
    end_all(room.workspace.sweeps)


def test_a_sweep_is_followed_to_its_end_and_its_best_is_used(lab: Lab) -> None:
    sweep = lab.start(prune=False)
    assert sweep.active and (sweep.number, sweep.wanted) == (1, 3)
    done = lab.ended(sweep)
    assert done.state == "done" and [trial.state for trial in done.report.trials] == ["done"] * 3
    assert done.report.best_trial and done.report.best_trial.values == {"lora_rank": 16}
    run = use_best(lab.room.db, lab.room.workspace, sweep.id)
    assert (run.spec["lora_rank"], run.spec["learning_rate"], run.spec["samples"]) == (16, 0.01, 10)
    assert run.snapshot_id == lab.room.snapshot.id
    assert lab.room.ended(run).state == "done"


def test_stop_and_resume(lab: Lab) -> None:
    sweep = lab.start(mode="slow")
    lab.at_trial(sweep, 1)
    stop_sweep(lab.room.workspace, sweep.id)
    assert lab.now(sweep).state in ("stopping", "stopped")
    stopped = lab.ended(sweep)
    assert stopped.state == "stopped" and stopped.resumable
    lab.mode("")
    assert resume_sweep(lab.room.db, lab.room.workspace, sweep.id).active
    done = lab.ended(sweep)
    assert (done.state, len(done.report.trials)) == ("done", 3)
    with pytest.raises(BadInput, match="is done"):
        resume_sweep(lab.room.db, lab.room.workspace, sweep.id)


def test_a_killed_group_is_failed_with_a_way_on(lab: Lab) -> None:
    sweep = lab.start(mode="slow")
    lab.at_trial(sweep, 1)
    os.killpg(json.loads((lab.folder(sweep) / PROCESS_FILE).read_text())["pid"], signal.SIGKILL)
    failed = lab.ended(sweep)
    assert failed.state == "failed" and "Resume" in failed.message
    lab.mode("")
    resume_sweep(lab.room.db, lab.room.workspace, sweep.id)
    assert lab.ended(sweep).state == "done"


def test_a_sweep_killed_alone_is_told_and_its_trial_taken_up(lab: Lab) -> None:
    sweep = lab.start(mode="slow")
    lab.at_trial(sweep, 1)
    os.kill(json.loads((lab.folder(sweep) / PROCESS_FILE).read_text())["pid"], signal.SIGKILL)
    wait_until(lambda: is_orphaned(lab.folder(sweep)))
    orphaned = lab.now(sweep)
    assert orphaned.state == "failed" and "last trial still trains" in orphaned.message
    assert lab.room.start().message.startswith("Waits for Sweep 1 of")
    stop_run(lab.room.db, lab.room.workspace, list_runs(lab.room.db)[0].id)
    lab.mode("")
    resume_sweep(lab.room.db, lab.room.workspace, sweep.id)
    assert lab.ended(sweep).state == "done"


def test_one_run_or_sweep_trains_at_a_time_and_the_others_wait(lab: Lab) -> None:
    room, sweep = lab.room, lab.start(mode="slow")
    run, second = room.start("slow"), lab.start(mode="slow")
    assert run.message.startswith("Waits for Sweep 1 of")
    assert second.state == "waiting" and second.message == "Waits for its turn on cpu."
    for one in (sweep, second):
        with pytest.raises(BadInput, match="at work already"):
            resume_sweep(room.db, room.workspace, one.id)
    stop_sweep(room.workspace, sweep.id)
    lab.ended(sweep)
    assert dispatch(room.db, room.workspace) == [run.id]
    resume_sweep(room.db, room.workspace, sweep.id)
    assert lab.now(sweep).state == "waiting"
    stop_sweep(room.workspace, second.id, room.db)
    assert lab.now(second).state == "stopped" and len(list_queue(room.db, room.workspace)) == 2


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (["snapshot=/etc,/root"], "cannot try 'snapshot'"),
        (["<b>=1,2"], "cannot try"),
        (["lora_rank=0,8"], "lora_rank"),
        ([], "at least one field"),
    ],
)
def test_what_cannot_be_tried_leaves_nothing_behind(lab: Lab, over: list[str], said: str) -> None:
    room = lab.room
    with pytest.raises(BadSpec, match=said):
        start_sweep(room.db, room.workspace, room.snapshot.id, str(room.model), {}, over)
    assert not list(room.workspace.sweeps.glob("*"))


def test_two_begun_at_once_get_two_numbers(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(workspace: Workspace, project_id: str) -> list[Sweep]:
        found = list_sweeps(workspace, project_id)
        time.sleep(0.3)  # time for the other to look as well, were it let
        return found

    monkeypatch.setattr(sweeping, "list_sweeps", slowly)
    with ThreadPoolExecutor(2) as threads:
        begun = list(threads.map(lambda _: lab.start(), range(2)))
    assert sorted(sweep.number for sweep in begun) == [1, 2]


def test_options_out_of_their_limits_are_refused(lab: Lab) -> None:
    for options in ({"trials": 0}, {"timeout_minutes": -1}, {"keep": "none"}, {"hello": 1}):
        with pytest.raises(BadSpec):
            lab.start(**options)


@pytest.mark.parametrize("name", ["", "..", "../runs", "sweep-", "sweep-../../etc", "run-00000000"])
def test_only_sweeps_of_this_workspace_are_found(lab: Lab, name: str) -> None:
    for act in (get_sweep, sweep_folder, stop_sweep):
        with pytest.raises(NotFound):
            act(lab.room.workspace, name)


def test_failed_trials_are_told(lab: Lab) -> None:
    failed = lab.ended(lab.start(mode="fail"))
    assert failed.state == "failed" and "The kettle exploded." in failed.message
    with pytest.raises(BadInput, match="No trial"):
        use_best(lab.room.db, lab.room.workspace, failed.id)


def test_sweeps_are_listed_newest_first_and_damaged_ones_passed_over(lab: Lab) -> None:
    first = lab.ended(lab.start("lora_rank=4,8"))
    second = lab.ended(lab.start("lora_rank=4,8"))
    (lab.room.workspace.sweeps / "sweep-broken").mkdir()
    found = list_sweeps(lab.room.workspace, lab.room.snapshot.project_id)
    assert [(sweep.id, sweep.number) for sweep in found] == [(second.id, 2), (first.id, 1)]
    assert list_sweeps(lab.room.workspace, "another") == []


def finish_a_run(lab: Lab, **settings: object) -> str:
    """A run that is done and has left an adapter; its id."""
    run = lab.room.ended(lab.room.start("quick", **settings))
    adapter = lab.room.folder(run) / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    return run.id


def test_trials_and_the_run_of_the_best_begin_with_a_finished_run(lab: Lab) -> None:
    begun = finish_a_run(lab, lora_rank=4)
    sweep = lab.start("learning_rate=0.01,0.02", from_run=begun, prune=False)
    weights = lab.room.workspace.runs / begun / "adapter"
    assert (sweep.spec.base.start_from, sweep.spec.base.lora_rank) == (weights, 4)
    assert lab.ended(sweep).state == "done"
    lab.room.mode("quick")
    run = use_best(lab.room.db, lab.room.workspace, sweep.id)
    assert (run.spec["start_from"], run.spec["learning_rate"]) == (str(weights), 0.01)
    lab.room.ended(run)


def test_what_a_finished_run_binds_cannot_be_tried(lab: Lab) -> None:
    begun = finish_a_run(lab, lora_rank=4)
    with pytest.raises(BadSpec, match="lora_rank"):
        lab.start("lora_rank=4,8", from_run=begun)
    with pytest.raises(BadInput, match="cannot be set"):
        room = lab.room
        settings = {"start_from": "/etc"}
        start_sweep(room.db, room.workspace, room.snapshot.id, str(room.model), settings, ["lora_rank=4,8"])
    assert not list(lab.room.workspace.sweeps.glob("*"))


def test_each_method_has_what_goes_with_it_and_one_that_cannot_be_is_refused(lab: Lab) -> None:
    room = lab.room
    ask = (room.db, room.workspace, room.snapshot.id, str(room.model), {})
    with pytest.raises(BadSpec, match="CUDA"):
        start_sweep(*ask, ["method=lora,qlora"])
    sweep = start_sweep(*ask, ["method=lora,full"], trials=2)
    rates = {name: base.learning_rate for name, base in sweep.spec.bases.items()}
    assert rates["full"] < rates["lora"]
    assert lab.ended(sweep).state == "done"
