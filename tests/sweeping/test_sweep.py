"""A sweep over the fake trainer: what is tried, ended early, kept; what a stop, a kill and failures leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.contract.events import read_all
from studio.contract.sweep import REPORT_FILE, SweepReport, parse_over, read_report, read_sweep_spec, trial_spec
from studio.sweeping.search import STUDY_FILE, Search
from tests.sweeping.conftest import MakeSweep, RunSweep
from tests.sweeping.fake_training import loss


def states(report: SweepReport) -> list[str]:
    """The states of the trials in their order."""
    return [trial.state for trial in report.trials]


def start(folder: Path, mode: str = "slow") -> subprocess.Popen[bytes]:
    """The sweep as a process that leads a group, as the studio starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sweeping.fake_sweep", str(folder)],
        start_new_session=True,
        env={**os.environ, "FAKE_TRIAL": mode},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_step(folder: Path, number: int, step: int, seconds: float = 30) -> None:
    """Wait until trial `number` (from 1) has come to a step."""
    deadline = time.monotonic() + seconds
    while not any(e.data.get("step", 0) >= step for e in read_all(folder / "trials" / f"{number:03d}")):
        assert time.monotonic() < deadline, (folder / "log.txt").exists()
        time.sleep(0.02)


def wait_for_silence(folder: Path, seconds: float = 20) -> None:
    """Wait until no trial writes any more."""
    deadline = time.monotonic() + seconds
    while any(read_all(run)[-1].kind != "done" for run in (folder / "trials").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_every_choice_is_tried_once_and_the_lowest_loss_is_best(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("learning_rate=1e-4,1e-2", "lora_rank=4,16", trials=9, prune=False)
    code, events = run_sweep(folder)
    report = read_report(folder)
    assert (code, states(report)) == (0, ["done"] * 4)
    assert len({tuple(trial.values.items()) for trial in report.trials}) == 4
    spec = read_sweep_spec(folder)
    real = {trial.number: loss(trial_spec(spec, trial.values), 8) for trial in report.trials}
    assert {trial.number: trial.loss for trial in report.trials} == pytest.approx(real)
    assert report.best == min(real, key=lambda number: real[number])
    assert report.best_trial and report.best_trial.values == {"learning_rate": 1e-2, "lora_rank": 16}
    assert events[-1].data["best"] == report.best + 1
    assert report.best_trial.before == 5.0


def test_only_the_best_keeps_its_weights(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("lora_rank=4,16,8", trials=3, prune=False)
    run_sweep(folder)
    best = read_report(folder).best
    kept = sorted(path.parent.name for path in folder.glob("trials/*/adapter"))
    assert kept == [f"{(best or 0) + 1:03d}"]
    assert not list(folder.glob("trials/*/checkpoints"))
    assert len(list(folder.glob("trials/*/events.jsonl"))) == 3


def test_all_keep_their_weights_by_setting(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("lora_rank=4,16", trials=2, prune=False, keep="all")
    run_sweep(folder)
    assert len(list(folder.glob("trials/*/adapter"))) == 2


def test_a_hopeless_trial_is_ended_early(
    make_sweep: MakeSweep, run_sweep: RunSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "slow")
    base = {"learning_rate": 0.01}
    folder = make_sweep("learning_rate=0.01,0.5", base=base, trials=2, full_trials=1, warmup_passes=2)
    run_sweep(folder)
    report = read_report(folder)
    assert states(report) == ["done", "pruned"]
    pruned = report.trials[1]
    assert 2 <= pruned.step < 8 and "median" in pruned.reason
    assert read_all(folder / "trials" / "002")[-1].data["state"] == "stopped"
    assert not (folder / "trials" / "002" / "checkpoints").exists()


def test_without_pruning_every_trial_goes_to_its_end(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("learning_rate=0.01,0.5", base={"learning_rate": 0.01}, trials=2, full_trials=1, prune=False)
    run_sweep(folder)
    assert states(read_report(folder)) == ["done", "done"]


def test_the_first_trial_takes_the_settings_as_they_stand(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("learning_rate=1e-4..1e-1", "lora_rank=4,8,16", base={"learning_rate": 0.003}, trials=1)
    run_sweep(folder)
    assert read_report(folder).trials[0].values == {"learning_rate": 0.003, "lora_rank": 16}


def test_ranges_stay_inside_and_whole(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("learning_rate=1e-4..1e-2", "lora_rank=4..64", "warmup_ratio=0..0.5", trials=8, prune=False)
    run_sweep(folder)
    trials = read_report(folder).trials
    assert len(trials) == 8
    for trial in trials:
        assert 1e-4 <= float(trial.values["learning_rate"]) <= 1e-2
        assert isinstance(trial.values["lora_rank"], int) and 4 <= trial.values["lora_rank"] <= 64
    assert set(read_report(folder).importances) == {"learning_rate", "lora_rank", "warmup_ratio"}


def test_stopped_and_gone_on_with_it_tries_what_it_would_have_tried(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    over, fields = ("learning_rate=1e-4..1e-2", "lora_rank=4,8,16,32"), {"trials": 6, "prune": False}
    whole, cut = make_sweep(*over, name="whole", **fields), make_sweep(*over, name="cut", **fields)
    run_sweep(whole)
    process = start(cut)
    wait_for_step(cut, 2, 3)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert read_all(cut)[-1].data["state"] == "stopped"
    assert states(read_report(cut)) == ["done", "running"]
    assert read_report(cut).trials[1].step >= 3
    assert run_sweep(cut)[0] == 0
    assert [t.values for t in read_report(cut).trials] == [t.values for t in read_report(whole).trials]
    second = [e.data["step"] for e in read_all(cut / "trials" / "002") if e.kind == "metric"]
    assert len(second) == 10  # the step it was stopped at is measured again, none before it


def test_a_killed_sweep_goes_on_where_it_was(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("lora_rank=4,8,16", trials=3, prune=False)
    process = start(folder)
    wait_for_step(folder, 2, 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    with (folder / STUDY_FILE).open("ab") as journal:
        journal.write(b'{"op_code":6,"trial_')  # a kill in the middle of a line
    code, events = run_sweep(folder)
    assert (code, states(read_report(folder))) == (0, ["done"] * 3)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(list((folder / "trials").iterdir())) == 3


def test_a_sweep_killed_alone_leaves_its_trial_in_its_group(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("lora_rank=4,8", trials=2, prune=False)
    process = start(folder)
    wait_for_step(folder, 1, 2)
    process.kill()
    process.wait(timeout=30)
    os.killpg(process.pid, signal.SIGTERM)
    wait_for_silence(folder)
    assert run_sweep(folder)[0] == 0
    assert states(read_report(folder)) == ["done", "done"]


def test_a_killed_trial_has_failed_and_the_others_go_on(
    make_sweep: MakeSweep, run_sweep: RunSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "die")
    folder = make_sweep("lora_rank=4,8,16", trials=3, prune=False)
    code, events = run_sweep(folder)
    report = read_report(folder)
    assert code == 0 and sorted(states(report)) == ["done", "done", "failed"]
    failed = next(trial for trial in report.trials if trial.state == "failed")
    assert failed.values["lora_rank"] == 16 and "killed by signal 9" in failed.reason
    assert any(event.kind == "warning" for event in events)


def test_failures_in_a_row_end_the_sweep_with_the_reason(
    make_sweep: MakeSweep, run_sweep: RunSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "fail")
    code, events = run_sweep(folder := make_sweep("lora_rank=4,8,16,32", trials=4))
    assert code == 1 and len(read_report(folder).trials) == 3
    assert "The kettle exploded." in str(events[-1].data["message"])


def test_a_full_disk_ends_the_sweep_and_costs_no_trial(
    make_sweep: MakeSweep, run_sweep: RunSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "full")
    code, events = run_sweep(folder := make_sweep("lora_rank=4,8", trials=2))
    assert code == 1 and "disk is full" in str(events[-1].data["message"])
    monkeypatch.setenv("FAKE_TRIAL", "")
    assert run_sweep(folder)[0] == 0
    assert states(read_report(folder)) == ["done", "done"]


def test_no_trial_begins_when_the_time_is_up(
    make_sweep: MakeSweep, run_sweep: RunSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRIAL", "slow")
    code, events = run_sweep(folder := make_sweep("lora_rank=4,8,16", trials=3, timeout_minutes=0.01, prune=False))
    assert (code, states(read_report(folder))) == (0, ["done"])
    assert "time was up after 1 of 3" in str(events[-1].data["message"])


def test_a_done_sweep_is_left_as_it_is(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("lora_rank=4,8", trials=2, prune=False)
    _, events = run_sweep(folder)
    assert run_sweep(folder) == (0, events)


def test_a_trial_killed_before_its_values_were_noted_is_passed_over(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("lora_rank=4,8", trials=2, prune=False)
    search = Search(folder, read_sweep_spec(folder))
    search._storage.create_new_trial(search._storage.get_study_id_from_name("sweep"))
    assert run_sweep(folder)[0] == 0
    assert states(read_report(folder)) == ["done", "done"]


def test_nothing_in_the_folder_is_pickled(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    folder = make_sweep("lora_rank=4,8", trials=2, prune=False)
    run_sweep(folder)
    for line in (folder / STUDY_FILE).read_text().splitlines():
        json.loads(line)
    json.loads((folder / REPORT_FILE).read_text())


def test_a_trial_writes_no_samples_and_no_held_out_losses(make_sweep: MakeSweep) -> None:
    spec = trial_spec(read_sweep_spec(make_sweep("lora_rank=4,8", base={"trackers": "wandb"})), {"lora_rank": 8})
    assert (spec.samples, spec.held_out_rows, spec.checkpoints, spec.trackers, spec.lora_rank) == (0, 0, 1, "", 8)


def test_choices_of_one_sweep_come_in_another_order_by_seed(make_sweep: MakeSweep, run_sweep: RunSweep) -> None:
    over = parse_over(["lora_rank=1,2,3,4,5,6,7,8"])
    assert over
    orders = []
    for seed in (0, 1):
        folder = make_sweep("lora_rank=1,2,3,4,5,6,7,8", name=f"s{seed}", trials=4, seed=seed, prune=False)
        run_sweep(folder)
        orders.append([trial.values["lora_rank"] for trial in read_report(folder).trials])
    assert orders[0] != orders[1]
