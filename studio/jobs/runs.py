"""Training runs: start, stop, resume, and take up what their processes say.

A run's folder is the truth and lives on without the app; the rows in the database follow it. So closing the browser,
restarting the app or killing it changes nothing for a run: the next look goes on where the last one stopped.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.database import Database
from storage.projects import get_project
from storage.records import Run
from storage.runs import NewEvent, create_run, get_run, list_active_runs, list_events, list_runs, take_up_events
from storage.snapshots import get_snapshot
from studio.contract.events import ENDED_STATES, Event, log_tail, tail
from studio.contract.spec import SPEC_FILE, TrainSpec
from studio.errors import BadInput, DiskFull, NotFound
from studio.jobs.continuing import check_start, settings_from
from studio.jobs.curves import curve_at_work
from studio.jobs.models import check_base_model
from studio.jobs.plan_spec import complete
from studio.jobs.processes import ask_to_stop, claimed, is_alive, reap, spawn, stop_was_asked
from studio.jobs.sweeps import sweep_at_work
from studio.settings import Workspace

__all__ = [
    "Watcher",
    "follow_run",
    "get_run",
    "list_events",
    "list_runs",
    "make_spec",
    "resume_run",
    "run_log",
    "start_run",
    "stop_run",
    "sync_runs",
    "turn",
]

_log = logging.getLogger(__name__)

TRAINING_MODULE = "studio.training"
# One process owns the database, so a lock of this process is enough. Without it two clicks start two runs, and a
# watcher that saw a process dead could write `failed` over a run that was resumed in between.
_TURN = threading.RLock()
_STOPPED = "Stopped. Its checkpoint is kept: Resume goes on from it."
_STOPPED_EARLY = "Stopped before its first checkpoint: Resume starts from the beginning."


def make_spec(
    workspace: Workspace, snapshot_id: str, base_model: str, settings: Mapping[str, object] | None = None
) -> TrainSpec:
    """The validated spec of a run, with good values for what is not set (studio.jobs.plan_spec). Raises BadSpec,
    NotFound or BadFile, or BadModel for a base model that cannot be loaded."""
    return complete(workspace, snapshot_id, base_model, settings).spec


def start_run(
    db: Database,
    workspace: Workspace,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None = None,
    project_id: str | None = None,
    from_run: str | None = None,
) -> Run:
    """Start training in a process of its own; `from_run`: the finished run whose weights it begins with
    (then `base_model` may be '': that run's).

    Raises BadInput (also while another run trains, or for a run that cannot be gone on from), NotFound, DiskFull.
    """
    snapshot = get_snapshot(db, snapshot_id, project_id)
    if "start_from" in (settings or {}):
        raise BadInput("A folder to start from cannot be set: name the finished run to go on from.")
    if from_run:
        base_model = check_base_model(base_model or get_run(db, from_run).base_model)
        settings = settings_from(db, workspace, from_run, snapshot, base_model, settings or {})
    spec = make_spec(workspace, snapshot.id, base_model, settings)
    if not (spec.snapshot / "manifest.json").exists():
        raise NotFound(f"The files of snapshot {snapshot.id} are gone from {spec.snapshot}: freeze it again.")
    check_start(spec)
    with _TURN:
        _refuse_second(db, workspace)
        run_id = f"run-{secrets.token_hex(4)}"
        run_dir = workspace.runs / run_id
        try:
            run_dir.mkdir(parents=True)
            (run_dir / SPEC_FILE).write_text(spec.model_dump_json(indent=2), encoding="utf-8")
        except OSError as error:
            shutil.rmtree(run_dir, ignore_errors=True)
            raise DiskFull(f"The run cannot be written to {workspace.runs}: {error.strerror}. Make room.") from error
        with claimed(run_dir) as lock:
            steps, text = spec.steps(snapshot.train_rows), spec.model_dump_json()
            run = create_run(db, run_id, snapshot.project_id, snapshot.id, spec.base_model, text, steps)
            spawn(run_dir, TRAINING_MODULE, lock)
    return run


def resume_run(db: Database, workspace: Workspace, run_id: str) -> Run:
    """Go on from a stopped or failed run's last checkpoint (from the start when it has none). Raises BadInput."""
    with _TURN:
        sync_runs(db, workspace)
        run = get_run(db, run_id)
        if run.state == "done":
            raise BadInput(f"Run {run.number} is done: there is nothing to resume.")
        if run.state not in ENDED_STATES:
            raise BadInput(f"Run {run.number} is at work already.")
        _refuse_second(db, workspace)
        run_dir = _run_dir(workspace, run_id)
        with claimed(run_dir) as lock:
            take_up_events(db, run_id, [], run.events_offset, {"state": "starting", "message": ""})
            spawn(run_dir, TRAINING_MODULE, lock)
        return get_run(db, run_id)


def stop_run(db: Database, workspace: Workspace, run_id: str) -> None:
    """Ask a run to stop; it answers with a checkpoint and the state `stopped`. Raises BadInput when none is at work."""
    run = get_run(db, run_id)
    if not ask_to_stop(_run_dir(workspace, run_id)):
        raise BadInput(f"Run {run.number} is not at work: there is nothing to stop.")


def sync_runs(db: Database, workspace: Workspace) -> list[str]:
    """Take up the new events of every run that has not ended; ids of the runs that changed."""
    with _TURN:
        return [run.id for run in list_active_runs(db) if _sync(db, workspace, run)]


def follow_run(
    workspace: Workspace, run_id: str, on_event: Callable[[Event], None], poll_seconds: float = 0.2, offset: int = 0
) -> None:
    """Hand each event of a run to `on_event` until its process has ended. Needs no database."""
    run_dir = _run_dir(workspace, run_id)
    while True:
        alive = is_alive(run_dir)
        events, offset = tail(run_dir, offset)
        for event in events:
            on_event(event)
        if not alive:
            return
        time.sleep(poll_seconds)


def run_log(workspace: Workspace, run_id: str, lines: int = 20) -> str:
    """The last lines of a run's log; '' where its folder is gone."""
    try:
        return log_tail(_run_dir(workspace, run_id), lines)
    except NotFound:
        return ""


class Watcher:
    """A thread that takes up events of active runs every half second, for as long as the app lives; `on_done` is given
    the id of each run that came to its end."""

    def __init__(
        self,
        db: Database,
        workspace: Workspace,
        seconds: float = 0.5,
        on_done: Callable[[str], object] = lambda run_id: None,
    ) -> None:
        self._db, self._workspace, self._seconds, self._on_done = db, workspace, seconds, on_done
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="run watcher", daemon=True)

    def start(self) -> None:
        """Begin; the first look takes up whatever happened while no app was there."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. The runs go on."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                for run_id in sync_runs(self._db, self._workspace):
                    if get_run(self._db, run_id).state == "done":
                        self._on_done(run_id)
            except DiskFull:
                continue  # the events stay in their file and are taken up when there is room
            except Exception:
                # A bug, but one that must not leave every later run unwatched: the next look starts from the files.
                _log.exception("A look at the runs failed")


def _sync(db: Database, workspace: Workspace, run: Run) -> bool:
    run_dir = workspace.runs / run.id
    alive = is_alive(run_dir)  # asked first: what a dying process wrote last is then in the file already
    if not alive:
        reap(run_dir)
    events, offset = tail(run_dir, run.events_offset)
    changes = _changes(events)
    if not alive and changes.get("state") not in ENDED_STATES:
        changes |= _ending(run_dir, events)
    if changes.get("state") == "stopped":
        changes["message"] = _STOPPED if _has_checkpoint(run_dir) else _STOPPED_EARLY
    if not events and not changes:
        return False
    take_up_events(db, run.id, [NewEvent(e.seq, e.at, e.kind, e.data) for e in events], offset, changes)
    return True


_COPIED: dict[str, tuple[str, ...]] = {
    "state": ("state", "message", "device", "steps"),
    "step": ("step", "steps", "tokens_per_second", "eta_seconds", "memory_bytes"),
    "error": ("message",),
    "done": ("state", "base_loss", "tuned_loss", "base_hash", "adapter_hash", "tokens_per_second"),
}


def _changes(events: Iterable[Event]) -> dict[str, object]:
    """What a batch of events changes of the run's row."""
    changes: dict[str, object] = {}
    for event in events:
        for name in _COPIED.get(event.kind, ()):
            if event.data.get(name) is not None:
                changes[name] = event.data[name]
    return changes


def _ending(run_dir: Path, events: Sequence[Event]) -> dict[str, object]:
    """What to say of a process that is gone without a last word."""
    if stop_was_asked(run_dir):
        return {"state": "stopped"}
    told = [str(event.data["message"]) for event in events if event.kind == "error"]
    return {"state": "failed", "message": told[-1] if told else _obituary(run_dir)}


def _obituary(run_dir: Path) -> str:
    if not run_dir.is_dir():
        return f"The run's folder {run_dir} is gone: start a new run."
    last = [line for line in log_tail(run_dir, 3).splitlines() if line.strip()]
    reason = f" Its last words: {last[-1][:300]}" if last else ""
    resume = "goes on from its last checkpoint" if _has_checkpoint(run_dir) else "starts it from the beginning"
    return f"The training process ended without finishing. Resume {resume}.{reason}"


def _has_checkpoint(run_dir: Path) -> bool:
    return any((run_dir / "checkpoints").glob("checkpoint-*"))


@contextmanager
def turn(db: Database, workspace: Workspace) -> Iterator[None]:
    """Hold the one turn to train for the length of a `with` block. Raises BadInput while anything trains."""
    with _TURN:
        _refuse_second(db, workspace)
        yield


def _refuse_second(db: Database, workspace: Workspace) -> None:
    sync_runs(db, workspace)
    active = list_active_runs(db)
    if active:
        name = get_project(db, active[0].project_id).name  # runs are counted per project
        raise BadInput(f"Run {active[0].number} of {name} is at work: wait until it has ended, or stop it.")
    if sweep := sweep_at_work(workspace):
        name = get_project(db, sweep.project_id).name
        raise BadInput(f"Sweep {sweep.number} of {name} is at work: wait until it has ended, or stop it.")
    if curve := curve_at_work(workspace):
        name = get_project(db, curve.project_id).name
        raise BadInput(f"Learning curve {curve.number} of {name} is at work: wait until it has ended, or stop it.")


def _run_dir(workspace: Workspace, run_id: str) -> Path:
    run_dir = workspace.runs / run_id
    if run_id == ".." or run_dir.parent != workspace.runs or not run_dir.is_dir():
        raise NotFound(f"There is no run '{run_id}' in {workspace.runs}.")
    return run_dir
