"""One trial: a run folder, the training process in it and what its events say, ended early where it is hopeless.

The training process stays in the sweep's process group and holds the sweep's lock with it, so whoever stops the sweep
reaches it, and a sweep whose own process was killed counts as at work until its trial has ended too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from studio.contract.events import LOG_FILE, Event, log_tail, tail
from studio.contract.spec import SPEC_FILE, TrainSpec
from studio.contract.sweep import TRIALS_FOLDER
from studio.errors import JobFailed
from studio.sweeping.stop import Stop

TRAINING_MODULE = "studio.training"
ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("checkpoints", "best", "adapter", "model")
"""What a trial's folder holds of weights."""

_LOOK_SECONDS = 0.1
_HEED_SECONDS = 3.0
"""A stop is sent to the whole process group; so much later the trial is asked by itself, if it does not end."""
_PRUNE_SECONDS = 60.0


@dataclass
class Course:
    """How a trial went: losses of its validation passes by step, and its last word."""

    losses: dict[int, float] = field(default_factory=dict)
    step: int = 0
    steps: int = 0
    state: Literal["", "done", "stopped", "failed"] = ""
    reason: str = ""
    kind: str = ""
    seconds: float = 0.0
    pruned: bool = False

    def take(self, event: Event) -> int | None:
        """Take an event up; the step of a validation pass, None for anything else."""
        data = event.data
        self.steps = _whole(data.get("steps"), self.steps)
        if event.kind in ("state", "step"):
            self.state, self.reason, self.kind = "", "", ""  # what an earlier process of the trial ended with
            self.step = _whole(data.get("step"), self.step)
        elif event.kind == "error":
            self.reason, self.kind = str(data.get("message", "")), str(data.get("kind", ""))
        elif event.kind == "done" and data.get("state") in ("done", "stopped", "failed"):
            self.state = data["state"]  # type: ignore[assignment]
        elif event.kind == "metric" and data.get("name") == "validation_loss":
            step, loss = _whole(data.get("step"), 0), data.get("value")
            if isinstance(loss, (int, float)):
                self.losses[step] = float(loss)
                return step
        return None


def folder_of(sweep: Path, number: int) -> Path:
    """A trial's folder; trials are counted from 1 for people."""
    return sweep / TRIALS_FOLDER / f"{number + 1:03d}"


def run_trial(
    folder: Path,
    spec: TrainSpec,
    stop: Stop,
    on_pass: Callable[[Course, int], bool],
    on_look: Callable[[Course], None],
) -> Course:
    """Train, or go on with, a trial until it has ended. `on_pass(course, step)` is told each validation pass and says
    whether to end the trial; `on_look` is called several times a second. Raises JobFailed where no process can start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / SPEC_FILE).exists():
        _write(folder / SPEC_FILE, spec.model_dump_json(indent=2))
    course, began = Course(), time.monotonic()
    offset = _take(folder, 0, course, lambda course, step: False)[0]
    if course.state != "done":
        course.state = ""
    process = _spawn(folder)
    asked_at = 0.0
    while True:
        ended = process.poll() is not None  # asked first: what it wrote last is in the file then
        offset, hopeless = _take(folder, offset, course, on_pass)
        course.seconds = time.monotonic() - began
        if ended:
            break
        on_look(course)
        if hopeless and not course.pruned:
            course.pruned, asked_at = True, time.monotonic()
            process.terminate()
        elif course.pruned and time.monotonic() - asked_at > _PRUNE_SECONDS:
            process.kill()
        elif stop.asked and not course.pruned:
            asked_at = _ask(process, asked_at)
        time.sleep(_LOOK_SECONDS)
    if not course.state:
        course.state, course.reason = _unsaid(folder, process.returncode, stop, course.reason)
    return course


def drop_weights(folder: Path) -> None:
    """Remove checkpoints, adapters and models of a trial; its spec, events and log stay."""
    for name in HEAVY:
        shutil.rmtree(folder / name, ignore_errors=True)


def drop_checkpoints(folder: Path) -> None:
    """Remove what a finished trial does not need any more."""
    for name in ("checkpoints", "best"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _take(folder: Path, offset: int, course: Course, on_pass: Callable[[Course, int], bool]) -> tuple[int, bool]:
    events, offset = tail(folder, offset)
    hopeless = False
    for event in events:
        step = course.take(event)
        if step is not None:
            hopeless = on_pass(course, step) or hopeless
    return offset, hopeless


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    try:
        with (folder / LOG_FILE).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", TRAINING_MODULE, str(folder)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                close_fds=False,  # hands on the sweep's lock, and nothing else: Python's own files are not inheritable
            )
    except OSError as error:
        raise JobFailed(f"The trial's process cannot be started: {error.strerror or error}.") from error


def _ask(process: subprocess.Popen[bytes], asked_at: float) -> float:
    """Ask a trial to stop that has not heard the group's signal. Returns when it is asked, below 0 once it was."""
    if not asked_at:
        return time.monotonic()
    if asked_at > 0 and time.monotonic() - asked_at > _HEED_SECONDS:
        process.terminate()
        return -1.0
    return asked_at


def _unsaid(folder: Path, code: int, stop: Stop, reason: str) -> tuple[Literal["stopped", "failed"], str]:
    """What to make of a process that ended without `done`."""
    if stop.asked:
        return "stopped", reason
    last = [line for line in log_tail(folder, 3).splitlines() if line.strip()]
    words = f" Its last words: {last[-1][:300]}" if last else ""
    how = f"was killed by signal {-code}" if code < 0 else "ended without finishing"
    return "failed", reason or f"The trial's process {how}.{words}"


def _write(path: Path, content: str) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _whole(value: object, otherwise: int) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise
