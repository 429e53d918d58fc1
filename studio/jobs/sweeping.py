"""Sweeps started, stopped, gone on with, and made a run of: one process, whose trials are runs of their own.

A sweep takes its place in the queue as a run does (studio.jobs.queueing). How each stands is told by
studio.jobs.sweeps.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from storage.audit import record
from storage.database import Database
from storage.queued import Ask, get_job
from storage.records import Run, Snapshot, User
from storage.snapshots import get_snapshot
from studio.contract.spec import SPEC_FILE, TRAIN_FIELDS
from studio.contract.sweep import Choices, Range, SweepSpec, parse_over, parse_sweep_spec, settings_with
from studio.errors import BadInput, DiskFull, JobFailed, NotFound, StudioError
from studio.jobs.continuing import check_start, settings_from
from studio.jobs.models import check_base_model
from studio.jobs.placing import asked_device
from studio.jobs.plan_spec import complete, planned_bytes
from studio.jobs.processes import ask_to_stop, is_alive, reap
from studio.jobs.queueing import TURN, WAITING, cancel, enqueue
from studio.jobs.runs import make_spec, start_run
from studio.jobs.sweeps import About, Sweep, get_sweep, is_orphaned, list_sweeps, sweep_folder, write_about
from studio.language import tr
from studio.settings import USER, Workspace

SWEEPING_MODULE = "studio.sweeping"
_ORPHAN_SECONDS = 60.0
_LOOK_SECONDS = 0.3


def start_sweep(
    db: Database,
    workspace: Workspace,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None,
    over: Iterable[str],
    trials: int = 8,
    project_id: str | None = None,
    from_run: str | None = None,
    user: str = USER,
    **options: object,
) -> Sweep:
    """Have a sweep over `over` (`field=a,b,c` or `field=low..high`) wait for its turn, with the other `settings` of a
    run as they are; it begins at once where a device is free.

    `from_run`: the finished run whose weights each trial begins with; `options`: other fields of SweepSpec
    (timeout_minutes, seed, prune, keep, …). Raises BadInput, NotFound, DiskFull, and NotAllowed where the user's
    device-hours are used up.
    """
    snapshot = get_snapshot(db, snapshot_id, project_id)
    given, tried = dict(settings or {}), parse_over(over)
    if "start_from" in given:
        raise BadInput("A folder to start from cannot be set: name the finished run to go on from.")
    if from_run:
        given = _going_on(db, workspace, from_run, snapshot, check_base_model(base_model), given, tried)
    spec = _sweep_spec(workspace, snapshot.id, base_model, given, tried, {"trials": trials, **options})
    base = spec.base
    if not (base.snapshot / "manifest.json").exists():
        told = {"snapshot": snapshot.id, "folder": base.snapshot}
        raise NotFound(tr("The files of snapshot {snapshot} are gone from {folder}: freeze it again.", **told))
    if not snapshot.validation_rows:
        raise BadInput("A sweep compares validation losses, and this snapshot has no validation rows: freeze another.")
    check_start(base)
    memory = _planned_bytes(workspace, snapshot.id, base_model, given, tried)
    folder = workspace.sweeps / f"sweep-{secrets.token_hex(4)}"
    try:
        _write(workspace, folder, snapshot, spec, from_run or "")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        why = error.strerror
        raise DiskFull(
            tr("The sweep cannot be written to {folder}: {why}. Make room.", folder=folder, why=why)
        ) from error
    try:
        enqueue(db, workspace, Ask(folder.name, "sweep", snapshot.project_id, user, asked_device(base), memory))
    except StudioError:  # then it is not in the queue
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return get_sweep(workspace, folder.name)


def _write(workspace: Workspace, folder: Path, snapshot: Snapshot, spec: SweepSpec, from_run: str) -> None:
    """Into its folder, with the project's next number; one at a time, else two could take the same. Raises OSError."""
    with TURN:
        number = 1 + max((sweep.number for sweep in list_sweeps(workspace, snapshot.project_id)), default=0)
        folder.mkdir(parents=True)
        write_about(folder, About(snapshot.project_id, number, snapshot.id, spec.base.base_model, from_run))
        (folder / SPEC_FILE).write_text(spec.model_dump_json(indent=2), encoding="utf-8")


def stop_sweep(workspace: Workspace, sweep_id: str, db: Database | None = None) -> None:
    """Ask a sweep to stop; its trial answers with a checkpoint. One that waits leaves the queue, where `db` is given.
    Raises BadInput when it is not at work, NotFound."""
    with TURN:  # else what waits could be started between the look and the cancelling
        if db and (job := get_job(db, sweep_id)) and job.state in WAITING:
            cancel(db, workspace, sweep_id)
            return
    if not ask_to_stop(sweep_folder(workspace, sweep_id)):
        raise BadInput("The sweep is not at work: there is nothing to stop.")


def resume_sweep(db: Database, workspace: Workspace, sweep_id: str, user: str = "") -> Sweep:
    """Go on with a stopped or failed sweep when it is its turn, with the trial that was at work first; `user`: who
    asks, '' for whoever asked before. Raises BadInput, NotFound, NotAllowed."""
    folder = sweep_folder(workspace, sweep_id)
    sweep = get_sweep(workspace, sweep_id)
    if sweep.state == "done":
        raise BadInput(tr("Sweep {number} is done: there is nothing to resume.", number=sweep.number))
    if sweep.active:
        raise BadInput(tr("Sweep {number} is at work already.", number=sweep.number))
    if is_orphaned(folder):
        _end_orphan(workspace, sweep_id)
    job = get_job(db, sweep_id)
    who, memory = user or (job.user_name if job else USER), job.memory_bytes if job else 0
    enqueue(db, workspace, Ask(sweep_id, "sweep", sweep.project_id, who, asked_device(sweep.spec.base), memory))
    return get_sweep(workspace, sweep_id)


def use_best(db: Database, workspace: Workspace, sweep_id: str, user: str = USER) -> Run:
    """Start an ordinary run with the settings of a sweep's best trial: the same seed, so the same weights, and with
    held-out losses and samples. Raises BadInput without one, NotFound."""
    sweep = get_sweep(workspace, sweep_id)
    best = sweep.report.best_trial
    if best is None:
        raise BadInput(tr("No trial of sweep {number} has come to its end yet.", number=sweep.number))
    fields, about = settings_with(sweep.spec, best.values), sweep.about
    settings = {name: value for name, value in fields.items() if name in TRAIN_FIELDS}
    return start_run(
        *(db, workspace, about.snapshot_id, about.base_model, settings, about.project_id, about.from_run or None),
        user=user,
    )


def follow_sweep(workspace: Workspace, sweep_id: str, on_look: Callable[[Sweep], None]) -> Sweep:
    """Look at a sweep until its process has ended. Needs no database."""
    while (sweep := get_sweep(workspace, sweep_id)).active:
        on_look(sweep)
        time.sleep(_LOOK_SECONDS)
    on_look(sweep)
    return sweep


def start_sweep_for(
    db: Database,
    workspace: Workspace,
    user: User,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None,
    over: Iterable[str],
    trials: int = 8,
    project_id: str | None = None,
    from_run: str | None = None,
    **options: object,
) -> Sweep:
    """`start_sweep` with a line in the audit log."""
    who = user.name
    sweep = start_sweep(
        db, workspace, snapshot_id, base_model, settings, over, trials, project_id, from_run, who, **options
    )
    about = {"number": sweep.number, "snapshot": sweep.about.snapshot_id, "over": sorted(sweep.spec.over)}
    record(db, user.name, "sweep start", sweep.project_id, sweep.id, **about, trials=sweep.spec.trials)
    return sweep


def stop_sweep_for(db: Database, workspace: Workspace, user: User, sweep_id: str) -> None:
    """`stop_sweep` with a line in the audit log."""
    stop_sweep(workspace, sweep_id, db)
    sweep = get_sweep(workspace, sweep_id)
    record(db, user.name, "sweep stop", sweep.project_id, sweep.id, number=sweep.number)


def resume_sweep_for(db: Database, workspace: Workspace, user: User, sweep_id: str) -> Sweep:
    """`resume_sweep` with a line in the audit log."""
    sweep = resume_sweep(db, workspace, sweep_id, user.name)
    record(db, user.name, "sweep resume", sweep.project_id, sweep.id, number=sweep.number)
    return sweep


def use_best_for(db: Database, workspace: Workspace, user: User, sweep_id: str) -> Run:
    """`use_best` with a line in the audit log."""
    run = use_best(db, workspace, sweep_id, user.name)
    record(db, user.name, "run start", run.project_id, run.id, number=run.number, sweep=sweep_id)
    return run


def _going_on(
    db: Database,
    workspace: Workspace,
    from_run: str,
    snapshot: Snapshot,
    base_model: str,
    settings: dict[str, object],
    tried: Mapping[str, Choices | Range],
) -> dict[str, object]:
    """The settings of trials that begin with a finished run's weights. Raises BadSpec where a field that those weights
    bind is tried."""
    for name, one in tried.items():
        for value in one.choices if isinstance(one, Choices) else (one.low, one.high):
            settings_from(db, workspace, from_run, snapshot, base_model, {**settings, name: value})
    return settings_from(db, workspace, from_run, snapshot, base_model, settings)


def _sweep_spec(
    workspace: Workspace,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object],
    tried: Mapping[str, Choices | Range],
    options: Mapping[str, object],
) -> SweepSpec:
    """The whole spec of a sweep. What is not set goes with each method that is tried, and lora_alpha with the rank.

    Raises BadSpec, also for a method that this model or machine cannot take.
    """
    base = make_spec(workspace, snapshot_id, base_model, settings)
    methods = tried.get("method")
    bases = {
        str(name): make_spec(workspace, snapshot_id, base_model, {**settings, "method": name})
        for name in (methods.choices if isinstance(methods, Choices) else ())
    }
    ratio = base.lora_alpha / base.lora_rank if "lora_rank" in tried and "lora_alpha" not in settings else 0.0
    return parse_sweep_spec({"base": base, "bases": bases, "alpha_by_rank": ratio, "over": tried, **options})


def _planned_bytes(
    workspace: Workspace,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object],
    tried: Mapping[str, Choices | Range],
) -> int:
    """The largest peak of the methods that are tried; 0 where one cannot be planned. Other fields count as set."""
    methods = tried.get("method")
    names = methods.choices if isinstance(methods, Choices) else ()
    cases = [{**settings, "method": name} for name in names] or [dict(settings)]
    planned = [planned_bytes(complete(workspace, snapshot_id, base_model, case)) for case in cases]
    return max(planned) if all(planned) else 0


def _end_orphan(workspace: Workspace, sweep_id: str) -> None:
    """Stop a trial whose sweep is gone, by force when it does not listen. Raises JobFailed."""
    folder = sweep_folder(workspace, sweep_id)
    for hard in (False, True):
        ask_to_stop(folder, hard=hard)
        deadline = time.monotonic() + _ORPHAN_SECONDS
        while is_alive(folder) and time.monotonic() < deadline:
            time.sleep(0.1)
    reap(folder)
    if is_alive(folder):
        raise JobFailed("The sweep's last trial cannot be stopped: end its process by hand.")
