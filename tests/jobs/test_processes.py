"""A process a folder: its life is a lock, so it is told apart from dead ones whatever ended it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.contract.events import read_all
from studio.errors import BadInput
from studio.jobs.processes import PROCESS_FILE, ROOT, ask_to_stop, claimed, is_alive, reap, spawn
from tests.jobs.conftest import end_all, wait_until

FAKE = "tests.jobs.fake_training"


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """A run folder with a spec for the fake trainer."""
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    spec = {"snapshot": "/nowhere", "models": "/nowhere", "base_model": "starter"}
    (folder / "spec.json").write_text(json.dumps(spec))
    yield folder
    end_all(folder.parent)


def start(run_dir: Path, mode: str) -> int:
    """Start the fake trainer and wait for its first step."""
    with claimed(run_dir) as lock:
        pid = spawn(run_dir, FAKE, lock, {"FAKE_TRAINING": mode})
    wait_until(lambda: any(event.kind == "step" for event in read_all(run_dir)))
    return pid


def test_it_lives_while_it_runs_and_a_signal_ends_it_with_a_checkpoint(run_dir: Path) -> None:
    start(run_dir, "slow")
    assert is_alive(run_dir)
    assert ask_to_stop(run_dir)
    wait_until(lambda: not is_alive(run_dir))
    assert read_all(run_dir)[-1].data["state"] == "stopped"
    assert (run_dir / "checkpoint.json").exists()


def test_a_killed_process_is_dead_at_once_though_nobody_waited_for_it(run_dir: Path) -> None:
    pid = start(run_dir, "slow")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(run_dir), seconds=5)
    assert not ask_to_stop(run_dir)
    reap(run_dir)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_claim_is_refused_while_it_lives_and_granted_afterwards(run_dir: Path) -> None:
    start(run_dir, "slow")
    with pytest.raises(BadInput, match="at work"), claimed(run_dir):
        pass
    ask_to_stop(run_dir, hard=True)
    wait_until(lambda: not is_alive(run_dir))
    with claimed(run_dir):
        assert is_alive(run_dir)
    assert not is_alive(run_dir)


def test_one_that_ignores_the_signal_can_be_killed(run_dir: Path) -> None:
    start(run_dir, "deaf")
    assert ask_to_stop(run_dir) and is_alive(run_dir)
    assert ask_to_stop(run_dir, hard=True)
    wait_until(lambda: not is_alive(run_dir))


def test_it_outlives_the_process_that_started_it(run_dir: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from studio.jobs.processes import claimed, spawn\n"
        "folder = Path(sys.argv[1])\n"
        f"with claimed(folder) as lock: spawn(folder, '{FAKE}', lock, {{'FAKE_TRAINING': 'slow'}})\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(run_dir)], cwd=ROOT).returncode == -signal.SIGKILL
    wait_until(lambda: len(read_all(run_dir)) > 3)
    assert is_alive(run_dir)
    assert ask_to_stop(run_dir)
    wait_until(lambda: not is_alive(run_dir))
    assert read_all(run_dir)[-1].kind == "done"


def test_looking_and_claiming_at_the_same_time_do_not_hinder_each_other(run_dir: Path) -> None:
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            is_alive(run_dir)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(5):
            with claimed(run_dir):
                pass
    finally:
        end.set()
        for looker in lookers:
            looker.join()


def test_the_number_of_an_earlier_process_is_never_signalled(run_dir: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    (run_dir / PROCESS_FILE).write_text(json.dumps({"pid": bystander.pid}))
    try:
        assert not ask_to_stop(run_dir, hard=True)
        start(run_dir, "slow")
        assert ask_to_stop(run_dir, hard=True)
        wait_until(lambda: not is_alive(run_dir))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_stop_that_comes_before_the_process_is_noted_waits_for_it(run_dir: Path) -> None:
    with claimed(run_dir) as lock:
        asked: list[bool] = []
        asker = threading.Thread(target=lambda: asked.append(ask_to_stop(run_dir, hard=True)))
        asker.start()
        spawn(run_dir, FAKE, lock, {"FAKE_TRAINING": "slow"})
        asker.join()
    wait_until(lambda: not is_alive(run_dir))
    assert asked == [True]


def test_a_folder_in_which_nothing_ever_ran_is_dead(tmp_path: Path) -> None:
    assert not is_alive(tmp_path)
    assert not ask_to_stop(tmp_path)
    assert not is_alive(tmp_path / "gone")
    reap(tmp_path)
