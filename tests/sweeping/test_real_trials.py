"""A sweep over the real trainer and a tiny random model: the trials are real runs, stopped and gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from studio.contract.events import read_all
from studio.contract.spec import SPEC_FILE
from studio.contract.sweep import parse_over, parse_sweep_spec, read_report
from tests import tiny


def make(folder: Path) -> Path:
    """A sweep of two trials."""
    model = tiny.make_model(folder / "model")
    snapshot = tiny.make_snapshot(folder / "snapshot", tiny.pairs(40), tiny.pairs(6, 100), tiny.pairs(6, 200))
    base = {"snapshot": snapshot, "models": folder / "models", "base_model": str(model), "device": "cpu"}
    small = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "lora_rank": 4}
    over = parse_over(["learning_rate=1e-3,1e-2"])
    sweep = folder / "sweep"
    sweep.mkdir()
    spec = parse_sweep_spec({"base": base | small, "over": over, "trials": 2, "prune": False})
    (sweep / SPEC_FILE).write_text(spec.model_dump_json())
    return sweep


def start(sweep: Path) -> subprocess.Popen[bytes]:
    """The sweeping process, as the studio starts it."""
    with (sweep / "log.txt").open("ab") as log:
        argv = [sys.executable, "-m", "studio.sweeping", str(sweep)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(argv, start_new_session=True, stdout=log, stderr=log, env=environment)


def test_real_trials_stopped_and_killed_in_between(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    for number, sent in ((signal.SIGTERM, 1), (signal.SIGKILL, 2)):
        process = start(sweep)
        events, deadline = sweep / "trials" / f"{sent:03d}", time.monotonic() + 120
        while not any(event.kind == "step" for event in read_all(events)):
            assert process.poll() is None and time.monotonic() < deadline, (sweep / "log.txt").read_text()
            time.sleep(0.05)
        os.killpg(process.pid, number)
        process.wait(timeout=60)
    assert start(sweep).wait(timeout=300) == 0, (sweep / "log.txt").read_text()
    report = read_report(sweep)
    assert [trial.state for trial in report.trials] == ["done"] * 2
    assert report.best_trial and report.best_trial.loss == min(trial.loss or 9e9 for trial in report.trials)
    assert report.best_trial.values["learning_rate"] == 1e-2  # a tiny random model learns more from bigger steps
    assert all(trial.before and trial.loss and trial.loss < trial.before for trial in report.trials)
    kept = [folder.parent.name for folder in sweep.glob("trials/*/adapter")]
    assert kept == [f"{report.best_trial.number + 1:03d}"]
    said = read_all(sweep / "trials" / kept[0])
    assert said[-1].data["state"] == "done" and not any(event.kind == "sample" for event in said)
    assert said[-1].data["held_out_rows"] == 0
