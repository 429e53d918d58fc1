"""The engine as a process of its own: tells its port, answers, and ends for every reason it should."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from studio.contract.events import Event, read_all
from studio.inference.watch import Owner

ROOT = Path(__file__).parents[2]
TOKEN = "s" * 32

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path, base_folder: Path, runs: Path) -> Iterator[Start]:
    """Start an engine in tmp_path with these spec fields; it is killed when the test ends."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(**fields: object) -> subprocess.Popen[bytes]:
        spec = {"models": str(tmp_path / "models"), "runs": str(runs), "base_model": str(base_folder), "device": "cpu"}
        (tmp_path / "spec.json").write_text(json.dumps({**spec, "token": TOKEN, **fields}))
        with (tmp_path / "log.txt").open("wb") as log:
            command = [sys.executable, "-m", "studio.inference", str(tmp_path)]
            environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
            processes.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def wait_for(folder: Path, process: subprocess.Popen[bytes], state: str) -> Event:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        for event in read_all(folder):
            if event.data.get("state") == state:
                return event
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(f"no event '{state}': {read_all(folder)} {(folder / 'log.txt').read_text()[-2000:]}")


def ask(port: object, **fields: object) -> httpx.Response:
    body: dict[str, Any] = {"model": "base", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, **fields}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers=headers, timeout=30)


def test_it_answers_until_sigterm(start: Start, tmp_path: Path) -> None:
    process = start(owner=os.getpid())
    ready = wait_for(tmp_path, process, "ready")
    answers = [ask(ready.data["port"], model=model).json() for model in ("base", "one")]
    assert answers[0]["choices"] != answers[1]["choices"]
    assert answers[0]["weights"]["base_hash"] == ready.data["base_hash"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    events = read_all(tmp_path)
    assert [event.data["state"] for event in events] == ["loading", "ready", "stopped"]
    assert events[-1].kind == "done" and events[-1].data["reason"] == "asked"


def test_it_ends_when_its_owner_has_gone(start: Start, tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        process = start(owner=owner.pid)
        wait_for(tmp_path, process, "ready")
    finally:
        owner.kill()
    # Not waited for: a zombie counts as gone.
    assert process.wait(20) == 0
    assert read_all(tmp_path)[-1].data == {"state": "stopped", "reason": "owner gone"}
    owner.wait()


def test_it_ends_while_loading_when_nobody_wants_it(start: Start, tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", ""])
    owner.wait()
    assert start(owner=owner.pid).wait(60) == 0
    assert [event.data["state"] for event in read_all(tmp_path)] == ["loading", "stopped"]


def test_it_ends_when_idle(start: Start, tmp_path: Path) -> None:
    assert start(idle_seconds=0.5).wait(60) == 0
    assert read_all(tmp_path)[-1].data == {"state": "stopped", "reason": "idle"}


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"base_model": "/nowhere/at/all"}, "BadModel"), ({"batch_rows": 0}, "BadSpec"), ({"x": 1}, "BadSpec")],
)
def test_what_cannot_be_started_is_told_in_one_sentence(
    start: Start, tmp_path: Path, fields: dict[str, object], kind: str
) -> None:
    assert start(**fields).wait(60) == 1
    error, done = read_all(tmp_path)[-2:]
    assert (error.kind, error.data["kind"]) == ("error", kind)
    assert str(error.data["message"]).endswith(".") and "Traceback" not in str(error.data["message"])
    assert (done.kind, done.data["state"]) == ("done", "failed")


def test_a_reused_process_number_is_not_the_owner() -> None:
    owner = Owner(os.getpid())
    assert not owner.gone
    owner._born = 1.0
    assert owner.gone
    assert not Owner(0).gone
