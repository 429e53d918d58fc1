"""Kill -9 and resume, for what is more than LoRA on a causal model: the same result, bit for bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys

import pytest

from studio.contract.events import read_all
from studio.training.methods import result_hash
from tests import tiny
from tests.training.test_recipe import data_of
from tests.training.test_stopping import KILLED

CASES = [
    ("llama", "full"),
    ("bert", "full"),
    ("bert", "lora"),
    ("t5", "lora-plus"),
    ("llama", "pissa"),
    ("llama", "prompt"),
]


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_kill_and_resume_equals_a_run_never_killed(tmp_path, train, kind, method):
    rows = tiny.labeled if kind == "bert" else tiny.pairs
    base = tiny.make_model(tmp_path / "base", kind)
    snapshot = tiny.make_snapshot(tmp_path / "s", rows(40), rows(6, 100), rows(6, 200))
    step = random.randint(3, 18)
    fields = {"method": method, "lora_dropout": 0.1, "samples": 0, "checkpoints": 9, "learning_rate": 3e-3}
    whole, killed = (
        tiny.make_run(tmp_path / name, snapshot, tmp_path / "models", base, **fields) for name in ("whole", "killed")
    )
    train(whole)
    code = KILLED.replace("global_step == 13", f"global_step == {step}")
    died = subprocess.run([sys.executable, "-c", code, str(killed)], check=False)
    assert died.returncode == -signal.SIGKILL and read_all(killed)[-1].kind != "done"
    assert list((killed / "checkpoints").glob("checkpoint-*")), f"killed at step {step}"
    exit_code, events = train(killed)
    folder = "model" if method == "full" else "adapter"
    assert exit_code == 0 and "going on from step" in data_of(events, "state")[-3]["message"]
    assert result_hash(killed / folder) == result_hash(whole / folder), f"killed at step {step}"
