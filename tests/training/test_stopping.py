"""Stop, kill and resume: the adapter of an interrupted run equals, bit for bit, that of one never interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.contract.events import read_all
from studio.models.hashes import adapter_hash
from studio.training.report import Report
from studio.training.stop import Stop, Stopped
from tests import tiny

KILLED = """
import os, signal, sys
from pathlib import Path
from studio.training.callbacks import Progress
from studio.training.ending import run_to_end

before = Progress.on_log
def on_log(self, args, state, control, **kwargs):
    before(self, args, state, control, **kwargs)
    if state.global_step == 13:
        os.kill(os.getpid(), signal.SIGKILL)
Progress.on_log = on_log
run_to_end(Path(sys.argv[1]))
"""


def data_of(events, kind):
    return [dict(event.data) for event in events if event.kind == kind]


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """From that step's event on, act as if SIGTERM had come, once."""
    from studio.training.callbacks import Progress

    before = Progress.on_log

    def on_log(self, args, state, control, **kwargs):
        before(self, args, state, control, **kwargs)
        if state.global_step == step:
            monkeypatch.undo()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "on_log", on_log)


@pytest.mark.parametrize(
    "fields",
    [{}, {"lora_dropout": 0.2}, {"gradient_accumulation": 2, "schedule": "linear", "weight_decay": 0.1}],
    ids=["plain", "dropout", "accumulation"],
)
def test_stop_and_resume_equals_a_run_never_stopped(place, train, monkeypatch, fields):
    whole, cut = place.run("whole", **fields), place.run("cut", **fields)
    train(whole)
    stop_at(monkeypatch, 5)
    code, events = train(cut)
    assert code == 0 and events[-1].data["state"] == "stopped" and events[-1].data["step"] == 6
    assert (cut / "checkpoints" / "checkpoint-6").is_dir() and not (cut / "adapter").exists()
    code, events = train(cut)
    assert code == 0 and "going on from step 6" in data_of(events, "state")[-3]["message"]
    assert adapter_hash(cut / "adapter") == adapter_hash(whole / "adapter")
    assert (cut / "adapter" / "adapter_model.safetensors").read_bytes()


def test_kill_and_resume_equals_a_run_never_killed(place, train):
    whole, killed = place.run("whole", lora_dropout=0.1), place.run("killed", lora_dropout=0.1)
    train(whole)
    died = subprocess.run([sys.executable, "-c", KILLED, str(killed)], check=False)
    assert died.returncode == -signal.SIGKILL and read_all(killed)[-1].kind != "done"
    code, events = train(killed)
    assert code == 0 and "going on from step 12" in data_of(events, "state")[-3]["message"]
    assert adapter_hash(killed / "adapter") == adapter_hash(whole / "adapter")


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(place, train, monkeypatch):
    whole, cut = place.run("whole"), place.run("cut")
    train(whole)
    stop_at(monkeypatch, 9)
    train(cut)
    damaged = cut / "checkpoints" / "checkpoint-10" / "optimizer.pt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    code, events = train(cut)
    assert code == 0 and "checkpoint-10 is damaged" in data_of(events, "warning")[-1]["message"]
    assert "going on from step 8" in data_of(events, "state")[-3]["message"]
    assert adapter_hash(cut / "adapter") == adapter_hash(whole / "adapter")


def test_a_checkpoint_of_another_plan_is_refused(place, train, monkeypatch):
    run = place.run()
    stop_at(monkeypatch, 9)
    train(run)
    place.run(max_steps=3)
    code, events = train(run)
    assert code == 1 and "the spec or snapshot has changed" in data_of(events, "error")[-1]["message"]


def test_a_resume_on_other_base_weights_is_refused(place, train, monkeypatch, tmp_path):
    base = shutil.copytree(place.base, tmp_path / "own")
    run = place.run(base_model=base)
    stop_at(monkeypatch, 9)
    train(run)
    tiny.make_model(base, seed=1)
    code, events = train(run)
    assert code == 1 and "other weights now than when this run began" in data_of(events, "error")[-1]["message"]
    shutil.copytree(place.base, base, dirs_exist_ok=True)
    assert train(run)[0] == 0


@pytest.mark.parametrize("phase", ["loading", "evaluating", "sampling"])
def test_a_stop_outside_of_the_steps_ends_at_once(place, train, monkeypatch, phase):
    before = Report.state

    def state(self, state, message, **data):
        before(self, state, message, **data)
        if state == phase:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Report, "state", state)
    code, events = train(place.run())
    assert code == 0 and events[-1].data["state"] == "stopped"
    assert events[-1].data["step"] == (0 if phase == "loading" else 20)


@pytest.mark.parametrize("phase", ["last step", "evaluating", "sampling"])
def test_a_stop_behind_the_steps_leaves_the_adapter_and_the_resume_only_finishes(place, train, monkeypatch, phase):
    whole, cut = place.run("whole"), place.run("cut")
    train(whole)
    if phase == "last step":
        stop_at(monkeypatch, 20)
    else:
        before = Report.state
        with monkeypatch.context() as patch:
            patch.setattr(Report, "state", lambda self, state, *told, **data: (
                before(self, state, *told, **data), state == phase and os.kill(os.getpid(), signal.SIGTERM)
            ))  # fmt: skip
            train(cut)
    if phase == "last step":
        train(cut)
    done = read_all(cut)[-1].data
    assert (done["state"], done["step"], done["resumable"]) == ("stopped", 20, True)
    assert done["adapter_hash"] == adapter_hash(cut / "adapter") == adapter_hash(whole / "adapter")
    first = len(read_all(cut))
    code, events = train(cut)
    assert code == 0 and events[-1].data["state"] == "done" and not data_of(events[first:], "step")
    assert events[-1].data["adapter_hash"] == adapter_hash(whole / "adapter")
    assert events[-1].data["tuned_loss"] == read_all(whole)[-1].data["tuned_loss"]


def test_a_real_process_answers_sigterm_with_a_checkpoint(place):
    run = place.run(max_steps=20_000)
    process = subprocess.Popen([sys.executable, "-m", "studio.training", str(run)])
    try:
        wait_for(run, "step", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
    done = read_all(run)[-1]
    assert done.data["state"] == "stopped" and done.data["resumable"]
    assert (run / "checkpoints" / f"checkpoint-{done.data['step']}").is_dir()


def test_a_real_process_stops_while_it_is_still_importing(place):
    run = place.run()
    process = subprocess.Popen([sys.executable, "-m", "studio.training", str(run)])
    try:
        wait_for(run, "state", process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert read_all(run)[-1].data == {"state": "stopped", "step": 0, "resumable": False}


def test_a_stop_that_foreign_code_swallowed_is_noticed_at_the_next_check():
    stop = Stop()
    stop.asked = True
    with pytest.raises(Stopped):
        stop.check()


def wait_for(run: Path, kind: str, process: subprocess.Popen[bytes]) -> None:
    """Until the run has written an event of that kind; fails when its process ends first."""
    while not any(event.kind == kind for event in read_all(run)):
        assert process.poll() is None
        time.sleep(0.02)
