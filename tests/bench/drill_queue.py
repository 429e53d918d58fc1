"""The queue under kill -9: many tiny runs wait while the app that starts them is killed again and again.

Prints how many runs came to their end, how many were lost (not done), doubled (begun twice) or told wrong (the database
says otherwise than their folders), and runs a minute. `python -m tests.bench.drill_queue --runs 100 --kills 3`; with
`--real` each run is a real one on a tiny random model, with `--save` the page is kept in results/. What it leaves out:
a full disk and a lost power line.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.database import Database, connect
from storage.projects import create_project
from storage.records import User
from studio.contract.events import Event, read_all
from studio.jobs import queueing, runs
from studio.jobs.accounting import set_compute
from studio.jobs.placing import Placed
from studio.jobs.processes import is_alive
from studio.jobs.queueing import list_queue
from studio.settings import Workspace
from tests.bench import saved
from tests.bench.reliability import queue_rows
from tests.jobs.conftest import make_model_folder, make_snapshot

ROOT = Path(__file__).resolve().parents[2]
_STAND_IN = "tests.bench.queue_trainer"
_REAL = "studio.training"
_SMALL = {"max_steps": 2, "samples": 0, "evaluations": 0, "held_out_rows": 0, "batch_size": 2, "max_length": 64}


@dataclass(frozen=True)
class Found:
    """What the drill came to. `overlaps`: looks at which more runs were alive than there are slots."""

    runs: int
    kills: int
    done: int
    lost: int
    doubled: int
    told_wrong: int
    overlaps: int
    seconds: float
    runs_per_minute: float


def drill(folder: Path, count: int, kills: int, slots: int = 2, real: bool = False, patience: float = 3600) -> Found:
    """Queue `count` runs in a fresh workspace in `folder`, and have them started by an app that is killed `kills`
    times, at even parts of the way."""
    workspace = Workspace(folder / "workspace")
    workspace.root.mkdir(parents=True)
    module = _REAL if real else _STAND_IN
    with _opened(workspace, module) as db:
        set_compute(db, User("me", "admin"), slots={"cpu": slots})
        with _nothing_starts():
            ids = _queue(db, workspace, folder, count, real)
    began, deadline = time.monotonic(), time.monotonic() + patience
    overlaps = killed = 0
    app = _app(workspace, module)
    try:
        while (done := sum(_is_done(workspace, one) for one in ids)) < count and time.monotonic() < deadline:
            overlaps += sum(is_alive(workspace.runs / one) for one in ids) > slots
            if killed < kills and done >= (killed + 1) * count / (kills + 1):
                app.send_signal(signal.SIGKILL)
                app.wait()
                killed += 1
                app = _app(workspace, module)
            time.sleep(0.05)
        seconds = time.monotonic() - began
        _wait_for_exits(workspace, ids)
    finally:
        app.kill()
        app.wait()
    return _judged(workspace, module, ids, killed, overlaps, seconds)


def _wait_for_exits(workspace: Workspace, ids: list[str], patience: float = 60) -> None:
    """A process that has said its last word keeps its slot until it is gone: no error of the queue's."""
    deadline = time.monotonic() + patience
    while any(is_alive(workspace.runs / one) for one in ids) and time.monotonic() < deadline:
        time.sleep(0.05)


def _judged(workspace: Workspace, module: str, ids: list[str], kills: int, overlaps: int, seconds: float) -> Found:
    with _opened(workspace, module) as db:
        runs.sync_runs(db, workspace)
        told = {run.id: run.state for run in runs.list_runs(db)}
        left = len(list_queue(db, workspace))
    begun = {one: sum(event.data.get("state") == "training" for event in _states(workspace, one)) for one in ids}
    done = [one for one in ids if _is_done(workspace, one)]
    wrong = sum(told.get(one) != "done" for one in done) + sum(told.get(one) == "done" for one in {*ids} - {*done})
    return Found(
        runs=len(ids),
        kills=kills,
        done=len(done),
        lost=len(ids) - len(done),
        doubled=sum(times > 1 for times in begun.values()),
        told_wrong=wrong + left,
        overlaps=overlaps,
        seconds=round(seconds, 1),
        runs_per_minute=round(60 * len(done) / max(seconds, 1e-9), 1),
    )


def _queue(db: Database, workspace: Workspace, folder: Path, count: int, real: bool) -> list[str]:
    snapshot = make_snapshot(db, workspace, create_project(db, "Drill"), folder, rows=20)
    if real:
        from tests import tiny

        model = tiny.make_model(folder / "model")
    else:
        model = make_model_folder(folder / "model")
    return [runs.start_run(db, workspace, snapshot.id, str(model), _SMALL).id for _ in range(count)]


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """All wait until the app is there: what is measured is its work, not that of whoever fills the queue."""
    before, queueing.place = queueing.place, lambda *about, **more: Placed()
    try:
        yield
    finally:
        queueing.place = before


def _app(workspace: Workspace, module: str) -> subprocess.Popen[bytes]:
    """What an app is to the queue: its watcher over the open database, in a process of its own."""
    words = [sys.executable, "-m", "tests.bench.drill_queue", "--app", str(workspace.root), "--module", module]
    return subprocess.Popen(words, cwd=ROOT)


def _serve(workspace: Workspace, module: str) -> None:
    """Be that app until somebody kills it."""
    with _opened(workspace, module) as db:
        watcher = runs.Watcher(db, workspace, seconds=0.1)
        watcher.start()
        while os.getppid() != 1:  # the drill itself was killed
            time.sleep(0.2)
        watcher.stop()


@contextmanager
def _opened(workspace: Workspace, module: str) -> Iterator[Database]:
    before, runs.TRAINING_MODULE = runs.TRAINING_MODULE, module
    db = connect(workspace.database, workspace.backups)
    try:
        yield db
    finally:
        runs.TRAINING_MODULE = before
        db.close()


def _is_done(workspace: Workspace, run_id: str) -> bool:
    return any(
        event.kind == "done" and event.data.get("state") == "done" for event in read_all(workspace.runs / run_id)
    )


def _states(workspace: Workspace, run_id: str) -> list[Event]:
    return [event for event in read_all(workspace.runs / run_id) if event.kind == "state"]


def main() -> int:
    """Run the drill and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--real", action="store_true", help="train a tiny random model in each run")
    parser.add_argument("--save", action="store_true", help="keep the page in results/")
    parser.add_argument("--app", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--module", default=_STAND_IN, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.app:
        _serve(Workspace(flags.app), flags.module)
        return 0
    with tempfile.TemporaryDirectory(prefix="drill-queue-") as folder:
        found = drill(Path(folder), flags.runs, flags.kills, flags.slots, flags.real)
    figures = asdict(found)
    lines = [*queue_rows(figures), json.dumps(figures)]
    print("\n".join(lines))
    if flags.save:
        note = f"--runs {flags.runs} --kills {flags.kills} --slots {flags.slots}{' --real' if flags.real else ''}"
        saved.save("queue-cpu", "drill_queue", note, lines, os.cpu_count() or 1)
    return 0 if not (found.lost or found.doubled or found.told_wrong or found.overlaps) else 1


if __name__ == "__main__":
    sys.exit(main())
