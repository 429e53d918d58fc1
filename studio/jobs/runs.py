"""Training runs: start, stop, resume, and take up what their processes say.

A run's folder is the truth and lives on without the app; the rows in the database follow it. So closing the browser,
restarting the app or killing it changes nothing for a run: the next look goes on where the last one stopped. A run that
is started takes its place in the queue (studio.jobs.queueing), which begins it at once where a device is free.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from storage.database import Database
from storage.queued import Ask, get_job
from storage.records import Run
from storage.runs import NewEvent, create_run_in, get_run, list_active_runs, list_events, list_runs, take_up_events
from storage.snapshots import get_snapshot
from studio.contract.events import ENDED_STATES, Event, log_tail, tail
from studio.contract.spec import SPEC_FILE, TrainSpec, parse_train_spec, read_train_spec
from studio.errors import BadInput, BadSpec, DiskFull, NotFound, StudioError
from studio.jobs.continuing import check_start, settings_from
from studio.jobs.devices import History
from studio.jobs.models import check_base_model
from studio.jobs.placing import asked_device
from studio.jobs.plan_spec import complete, device_of, planned_bytes, refuse_devices
from studio.jobs.processes import ask_to_stop, is_alive, reap, stop_was_asked
from studio.jobs.queueing import PAUSED, TURN, WAITING, cancel, dispatch, enqueue, look, never_began
from studio.language import mark, tr
from studio.settings import USER, Workspace

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
]

_log = logging.getLogger(__name__)

TRAINING_MODULE = "studio.training"
_SAMPLE_SECONDS = 2.0
_STOPPED = mark("Stopped. Its checkpoint is kept: Resume goes on from it.")
_PAUSED_EARLY = mark("Paused before its first checkpoint: Resume starts from the beginning.")
_STOPPED_EARLY = mark("Stopped before its first checkpoint: Resume starts from the beginning.")


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
    user: str = USER,
    priority: int = 0,
) -> Run:
    """Have a run wait for its turn, and begin at once where a device is free, in a process of its own; `from_run`: the
    finished run whose weights it begins with (then `base_model` may be '': that run's).

    Raises BadInput (also for a run that cannot be gone on from), NotFound, DiskFull, and NotAllowed where the user's
    device-hours are used up.
    """
    snapshot = get_snapshot(db, snapshot_id, project_id)
    if "start_from" in (settings or {}):
        raise BadInput("A folder to start from cannot be set: name the finished run to go on from.")
    if from_run:
        base_model = check_base_model(base_model or get_run(db, from_run).base_model)
        settings = settings_from(db, workspace, from_run, snapshot, base_model, settings or {})
    made = complete(workspace, snapshot.id, base_model, settings)
    spec = made.spec
    if not (spec.snapshot / "manifest.json").exists():
        gone = {"snapshot": snapshot.id, "folder": spec.snapshot}
        raise NotFound(tr("The files of snapshot {snapshot} are gone from {folder}: freeze it again.", **gone))
    check_start(spec)
    with TURN:
        sync_runs(db, workspace)
        run_id = f"run-{secrets.token_hex(4)}"
        run_dir = workspace.runs / run_id
        try:
            run_dir.mkdir(parents=True)
            (run_dir / SPEC_FILE).write_text(spec.model_dump_json(indent=2), encoding="utf-8")
        except OSError as error:
            shutil.rmtree(run_dir, ignore_errors=True)
            told = {"folder": workspace.runs, "why": error.strerror}
            raise DiskFull(tr("The run cannot be written to {folder}: {why}. Make room.", **told)) from error
        row = (run_id, snapshot.project_id, snapshot.id, spec.base_model, spec.model_dump_json())
        create = partial(_create, row, spec.steps(snapshot.train_rows))
        ask = Ask(run_id, "run", snapshot.project_id, user, asked_device(spec), planned_bytes(made), priority)
        try:
            enqueue(db, workspace, ask, create)
        except StudioError:
            shutil.rmtree(run_dir, ignore_errors=True)
            raise
    return get_run(db, run_id)


def resume_run(
    db: Database, workspace: Workspace, run_id: str, user: str = "", share: Mapping[str, object] | None = None
) -> Run:
    """Go on from a stopped, failed or paused run's last checkpoint (from the start when it has none), when it is its
    turn; `user`: who asks, '' for whoever asked before; `share`: its `processes` or `devices` from here on, where that
    is to change. Raises BadInput, NotFound, NotAllowed."""
    with TURN:
        sync_runs(db, workspace)
        run = get_run(db, run_id)
        if run.state == "done":
            raise BadInput(tr("Run {number} is done: there is nothing to resume.", number=run.number))
        if run.state == "waiting":
            raise BadInput(tr("Run {number} waits in the queue already.", number=run.number))
        if run.state not in (*ENDED_STATES, "paused"):
            raise BadInput(tr("Run {number} is at work already.", number=run.number))
        run_dir = _run_dir(workspace, run_id)
        asks = _asks(run, run_dir, share)
        job = get_job(db, run_id)
        memory = job.memory_bytes if job else run.memory_bytes or 0
        who, priority = user or (job.user_name if job else USER), job.priority if job else 0
        asked = Ask(run_id, "run", run.project_id, who, asks, memory, priority)
        enqueue(db, workspace, asked)
        return get_run(db, run_id)


def stop_run(db: Database, workspace: Workspace, run_id: str) -> None:
    """Ask a run to stop; it answers with a checkpoint and the state `stopped`. One that waits leaves the queue. Raises
    BadInput when it neither waits nor is at work."""
    with TURN:  # else what waits could be started between the look and the cancelling
        run = get_run(db, run_id)
        if run.state in WAITING and get_job(db, run_id):
            cancel(db, workspace, run_id)
            return
    if not ask_to_stop(_run_dir(workspace, run_id)):
        raise BadInput(tr("Run {number} is not at work: there is nothing to stop.", number=run.number))


def sync_runs(db: Database, workspace: Workspace) -> list[str]:
    """Take up the new events of every run that has not ended, and start what waits where a device has become free; ids
    of the runs that changed."""
    with TURN:  # else `failed` could be written over a run that was found dead and is resumed in between
        changed = [run.id for run in list_active_runs(db) if _sync(db, workspace, run)]
        dispatch(db, workspace)
        return changed


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
    """A thread that takes up events of active runs every half second and starts what waits, for as long as the app
    lives; `on_done` is given the id of each run that came to its end. `history`: the devices in the last minutes."""

    def __init__(
        self,
        db: Database,
        workspace: Workspace,
        seconds: float = 0.5,
        on_done: Callable[[str], object] = lambda run_id: None,
    ) -> None:
        self._db, self._workspace, self._seconds, self._on_done = db, workspace, seconds, on_done
        self.history = History()
        self._sampled = float("-inf")
        self._active = {run.id for run in list_active_runs(db)}
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
                self.look()
            except DiskFull:
                continue  # the events stay in their file and are taken up when there is room
            except Exception:
                # A bug, but one that must not leave every later run unwatched: the next look starts from the files.
                _log.exception("A look at the runs failed")

    def look(self) -> None:
        """One look. What was active at the last one counts as well as what this one takes up: a click may have taken
        up the end of a run meanwhile."""
        changed = sync_runs(self._db, self._workspace)
        before, self._active = self._active, {run.id for run in list_active_runs(self._db)}
        for run_id in sorted({*before, *changed} - self._active):
            if get_run(self._db, run_id).state == "done":
                self._on_done(run_id)
        if time.monotonic() - self._sampled >= _SAMPLE_SECONDS:
            self._sampled = time.monotonic()
            look(self._db, self._workspace, self.history.sample())


def _sync(db: Database, workspace: Workspace, run: Run) -> bool:
    run_dir = workspace.runs / run.id
    job = get_job(db, run.id)
    alive = is_alive(run_dir)  # asked first: what a dying process wrote last is then in the file already
    if not alive:
        if never_began(job, run_dir):
            return False  # the queue starts it anew
        reap(run_dir)
    events, offset = tail(run_dir, run.events_offset)
    changes = _changes(events)
    if not alive and changes.get("state") not in ENDED_STATES:
        changes |= _ending(run_dir, events)
    if changes.get("state") == "stopped":
        changes["message"] = _STOPPED if _has_checkpoint(run_dir) else _STOPPED_EARLY
        if job and job.state == "pausing":
            kept = PAUSED if _has_checkpoint(run_dir) else _PAUSED_EARLY
            why = f"{job.reason[:1].upper()}{job.reason[1:]}. " if job.reason else ""
            changes |= {"state": "paused", "message": f"{why}{kept}"}
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


def _asks(run: Run, run_dir: Path, share: Mapping[str, object] | None) -> str:
    """What a run asks of the queue as it goes on: its folder is the truth, whatever its row was made with."""
    if share:
        return asked_device(_shared_anew(run_dir, share))
    try:
        return asked_device(read_train_spec(run_dir))
    except BadSpec:  # its process will say what is wrong
        return str(run.spec.get("device", "auto"))


def _shared_anew(run_dir: Path, share: Mapping[str, object]) -> TrainSpec:
    """The spec of a run with another number of processes, in its folder too: what is learnt is the same for any."""
    fields = read_train_spec(run_dir).model_dump(mode="json") | {"devices": "", "processes": 1}
    spec = parse_train_spec(fields | {name: share[name] for name in ("devices", "processes") if name in share})
    refuse_devices(spec, device_of(spec))
    whole = run_dir / f"{SPEC_FILE}.tmp"
    whole.write_text(spec.model_dump_json(indent=2), encoding="utf-8")
    whole.replace(run_dir / SPEC_FILE)
    return spec


def _create(row: tuple[str, str, str, str, str], steps: int, cursor: Any) -> None:
    create_run_in(cursor, *row, steps, state="waiting")


def _run_dir(workspace: Workspace, run_id: str) -> Path:
    run_dir = workspace.runs / run_id
    if run_id == ".." or run_dir.parent != workspace.runs or not run_dir.is_dir():
        raise NotFound(tr("There is no run '{run}' in {folder}.", run=run_id, folder=workspace.runs))
    return run_dir
