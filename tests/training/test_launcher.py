"""Two processes learn what one does with the same effective batch, whatever starts them and at whichever step they
take over from it; one that dies ends the run. On the CPU, over gloo: no GPU is needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file

from studio.contract.events import Event, read_all
from studio.contract.spec import parse_train_spec
from studio.errors import BadSpec
from studio.jobs.processes import ROOT, ask_to_stop, claimed, is_alive, reap, spawn
from studio.training.together import Dealt, Ranks
from tests import tiny
from tests.training.test_stopping import data_of, stop_at

pytestmark = pytest.mark.timeout(1800)  # each of the processes imports torch, and here may be two cores for all
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
"""What `accelerate launch` calls; by itself that starts several processes on a CPU through MPI alone."""
QUICK = {"samples": 0, "held_out_rows": 4, "learning_rate": 3e-3, "evaluations": 3, "checkpoints": 1}
CASES = {
    "packed": {},
    "padded": {"packing": "off", "gradient_accumulation": 3, "batch_size": 3},
    "full": {"method": "full", "label_smoothing": 0.1},
    "one-row": {"batch_size": 1, "max_steps": 6},
    "bert": {"model": "bert", "method": "full", "keep": "last"},
}
"""22 rows in all: no batch size of these divides them, so the last step is short and a process may have no row."""


def losses(events: list[Event]) -> dict[tuple[str, int], float]:
    """The loss after each step that was told, and of each validation pass."""
    told = {("loss", int(data["step"])): float(data["loss"]) for data in data_of(events, "step")}
    passes = (data for data in data_of(events, "metric") if data["name"] == "validation_loss")
    return told | {("validation", int(data["step"])): float(data["value"]) for data in passes}


def assert_alike(one: list[Event], two: list[Event], passes: int = 4) -> None:
    """Both told the same steps with the same losses, as far as floats add up in another order, and so many validation
    passes at least."""
    first, second = losses(one), losses(two)
    both = sorted(set(first) & set(second))
    assert len([key for key in both if key[0] == "validation"]) >= passes and ("loss", 1) in both
    assert np.allclose([first[key] for key in both], [second[key] for key in both], rtol=1e-4, atol=1e-5)
    ends = [data_of(events, "done")[-1] for events in (one, two)]
    assert ends[0]["steps"] == ends[1]["steps"] and ends[0]["tokens"] == ends[1]["tokens"]
    assert abs(ends[0]["tuned_loss"] - ends[1]["tuned_loss"]) < 1e-4 < abs(ends[0]["base_loss"] - ends[0]["tuned_loss"])


def make(root: Path, name: str, fields: dict[str, object]) -> Path:
    """A run folder of a case; those of one model share it and their snapshot."""
    kind = str(fields.get("model", "llama"))
    base, snapshot = root / kind, root / f"{kind}-rows"
    if not base.is_dir():
        rows: Callable[..., list[tuple[str, str]]] = tiny.labeled if kind == "bert" else tiny.pairs
        tiny.make_model(base, kind)
        config = json.loads((base / "config.json").read_text())
        dropped = {name: 0.0 for name in config if name.endswith("dropout_prob")}  # each process draws its own
        (base / "config.json").write_text(json.dumps(config | dropped))
        tiny.make_snapshot(snapshot, rows(11), rows(5, 100), rows(4, 200))
    own = {key: value for key, value in fields.items() if key != "model"}
    return tiny.make_run(root / name, snapshot, root / "models", base, **(QUICK | own))


def test_two_of_a_launcher_learn_what_one_learns(tmp_path, train, monkeypatch):
    alone = {name: make(tmp_path, f"{name}-1", fields) for name, fields in CASES.items()}
    pairs = {name: make(tmp_path, f"{name}-2", fields) for name, fields in CASES.items()}
    told = {name: train(run)[1] for name, run in alone.items()}
    begun = make(tmp_path, "begun", CASES["packed"])
    stop_at(monkeypatch, 2)
    assert train(begun)[1][-1].data["state"] == "stopped"
    launched = [*LAUNCH, "-m", "tests.training.several_runs", *map(str, [*pairs.values(), begun])]
    done = subprocess.run(launched, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    for name, run in pairs.items():
        events = read_all(run)
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), "more than one wrote"
        assert data_of(events, "state")[1]["processes"] == 2
        assert_alike(told[name], events)
    assert "going on from step" in data_of(read_all(begun), "state")[-3]["message"]
    # From one process to two; the stop came before the second validation pass.
    assert_alike(told["packed"], read_all(begun), passes=3)


LONG = {"max_steps": 4000, "checkpoints": 0, "evaluations": 2, "schedule": "constant", "warmup_ratio": 0}
"""Nobody waits for its end."""


def start(run: Path, steps: int) -> None:
    """Start a run as the app does, and wait until it has taken some steps."""
    with claimed(run) as lock:
        spawn(run, "studio.training", lock, {"OMP_NUM_THREADS": "1"})
    until(run, lambda: len(data_of(read_all(run), "step")) >= steps)


def until(run: Path, true: Callable[[], bool], seconds: float = 600) -> None:
    """Wait for something to come true of a run; fail when it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, (run / "log.txt").read_text()[-2000:]
        time.sleep(0.05)


def of_run(run: Path) -> list[psutil.Process]:
    """The processes that work on a run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(run) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def shared(tmp_path):
    """A run that two processes share, long enough to be interrupted; whatever is left of it is killed."""
    run = make(tmp_path, "shared", LONG | {"processes": 2})
    yield run
    ask_to_stop(run, hard=True)
    until(run, lambda: not is_alive(run))
    reap(run)


def test_a_stop_is_one_checkpoint_of_both_from_which_one_goes_on(shared, train, tmp_path):
    start(shared, steps=4)
    assert len(of_run(shared)) == 2
    groups = {os.getpgid(process.pid) for process in of_run(shared)}
    assert len(groups) == 1 and ask_to_stop(shared)
    until(shared, lambda: not is_alive(shared))
    told = data_of(read_all(shared), "done")[-1]
    assert told["state"] == "stopped" and told["resumable"] and not of_run(shared)
    step = told["step"]
    folder = shared / "checkpoints" / f"checkpoint-{step}"
    assert folder.is_dir() and sorted(path.name for path in folder.glob("rng_state*")) == [
        "rng_state_0.pth",
        "rng_state_1.pth",
    ]
    whole = make(tmp_path, "whole", LONG)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, step + 1)  # it ends a step later
        train(whole)
    ended = data_of(read_all(whole), "done")[-1]["step"]
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, ended - 1)
        train(shared)  # in this process: two have become one
    one, two = (weights(run / "checkpoints" / f"checkpoint-{ended}") for run in (whole, shared))
    assert ended > step and "going on from step" in data_of(read_all(shared), "state")[-1]["message"]
    assert np.linalg.norm(one) > 0.1 and np.linalg.norm(one - two) < 0.02 * np.linalg.norm(one)


def weights(folder: Path) -> np.ndarray:
    """What a checkpoint has learnt beside zero: every B of its adapter."""
    state = load_file(folder / "adapter_model.safetensors")
    return np.concatenate([state[name].numpy().ravel() for name in sorted(state) if "lora_B" in name])


def test_one_that_is_killed_ends_the_run_and_leaves_nobody_behind(shared):
    start(shared, steps=2)
    first = json.loads((shared / "process.json").read_text())["pid"]
    (helper,) = (process for process in of_run(shared) if process.pid != first)
    os.kill(helper.pid, signal.SIGKILL)
    until(shared, lambda: not is_alive(shared))
    done = data_of(read_all(shared), "done")[-1]
    assert done["state"] == "failed" and "Process 2 of 2 was killed by signal 9" in done["message"]
    assert not of_run(shared)


def test_when_the_first_is_killed_the_others_go_too(shared):
    start(shared, steps=2)
    os.kill(json.loads((shared / "process.json").read_text())["pid"], signal.SIGKILL)
    until(shared, lambda: not is_alive(shared) and not of_run(shared))


def test_each_step_is_dealt_out_whole_and_in_stretches_of_like_length():
    for total, batch, accumulation, count in ((41, 4, 1, 2), (41, 3, 3, 2), (10, 1, 1, 4), (64, 8, 4, 3)):
        rows = batch * accumulation
        steps = -(-total // rows)
        dealt = [list(Dealt(total, steps, rows, batch, Ranks(rank, count))) for rank in range(count)]
        passes = {len(one) for one in dealt}
        assert passes == {steps * -(-rows // (batch * count))}
        each = passes.pop() // steps
        for step in range(steps):
            mine = [one[step * each : (step + 1) * each] for one in dealt]
            seen = sorted(row for one in mine for part in one for row in part)
            assert seen == list(range(step * rows, min((step + 1) * rows, total)))
            assert all(len(part) <= batch for one in mine for part in one)
            sizes = [sum(map(len, one)) for one in mine]
            assert max(sizes) - min(sizes) <= each


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"devices": "0,0"}, "name each GPU once"),
        ({"devices": "0,1", "processes": 3}, "one for each of 'devices'"),
        ({"devices": "0,1", "device": "cpu"}, "leave 'device' at auto"),
        ({"devices": "0;rm"}, "'devices' cannot be"),
        ({"processes": 2, "objective": "dpo"}, "learnt by one process"),
        ({"processes": 65}, "'processes' cannot be"),
    ],
)
def test_what_cannot_be_shared_is_told_before_any_work(fields, told):
    with pytest.raises(BadSpec, match=told):
        parse_train_spec({"snapshot": "/s", "models": "/m"} | fields)
    assert parse_train_spec({"snapshot": "/s", "models": "/m", "devices": "1,3"}).ranks == 2
