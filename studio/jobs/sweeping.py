"""Sweeps started, stopped, gone on with, and made a run of: one process, whose trials are runs of their own.

A sweep takes the turn to train as a run does: one of them is at work at a time. How each stands is told by
studio.jobs.sweeps.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping

from storage.audit import record
from storage.database import Database
from storage.records import Run, Snapshot, User
from storage.snapshots import get_snapshot
from studio.contract.spec import SPEC_FILE, TRAIN_FIELDS
from studio.contract.sweep import Choices, Range, SweepSpec, parse_over, parse_sweep_spec, settings_with
from studio.errors import BadInput, DiskFull, JobFailed, NotFound
from studio.jobs.continuing import check_start, settings_from
from studio.jobs.models import check_base_model
from studio.jobs.processes import ask_to_stop, claimed, is_alive, reap, spawn
from studio.jobs.runs import make_spec, start_run, turn
from studio.jobs.sweeps import About, Sweep, get_sweep, is_orphaned, list_sweeps, sweep_folder, write_about
from studio.settings import Workspace

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
    **options: object,
) -> Sweep:
    """Start a sweep over `over` (`field=a,b,c` or `field=low..high`) with the other `settings` of a run as they are.

    `from_run`: the finished run whose weights each trial begins with; `options`: other fields of SweepSpec
    (timeout_minutes, seed, prune, keep, …). Raises BadInput (also while a run or sweep is at work), NotFound, DiskFull.
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
        raise NotFound(f"The files of snapshot {snapshot.id} are gone from {base.snapshot}: freeze it again.")
    if not snapshot.validation_rows:
        raise BadInput("A sweep compares validation losses, and this snapshot has no validation rows: freeze another.")
    check_start(base)
    with turn(db, workspace):
        number = 1 + max((sweep.number for sweep in list_sweeps(workspace, snapshot.project_id)), default=0)
        folder = workspace.sweeps / f"sweep-{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True)
            write_about(folder, About(snapshot.project_id, number, snapshot.id, base.base_model, from_run or ""))
            (folder / SPEC_FILE).write_text(spec.model_dump_json(indent=2), encoding="utf-8")
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DiskFull(f"The sweep cannot be written to {folder}: {error.strerror}. Make room.") from error
        with claimed(folder) as lock:
            spawn(folder, SWEEPING_MODULE, lock)
    return get_sweep(workspace, folder.name)


def stop_sweep(workspace: Workspace, sweep_id: str) -> None:
    """Ask a sweep to stop; its trial answers with a checkpoint. Raises BadInput when it is not at work, NotFound."""
    if not ask_to_stop(sweep_folder(workspace, sweep_id)):
        raise BadInput("The sweep is not at work: there is nothing to stop.")


def resume_sweep(db: Database, workspace: Workspace, sweep_id: str) -> Sweep:
    """Go on with a stopped or failed sweep, with the trial that was at work first. Raises BadInput, NotFound."""
    folder = sweep_folder(workspace, sweep_id)
    sweep = get_sweep(workspace, sweep_id)
    if sweep.state == "done":
        raise BadInput(f"Sweep {sweep.number} is done: there is nothing to resume.")
    if sweep.active:
        raise BadInput(f"Sweep {sweep.number} is at work already.")
    if is_orphaned(folder):
        _end_orphan(workspace, sweep_id)
    with turn(db, workspace), claimed(folder) as lock:
        spawn(folder, SWEEPING_MODULE, lock)
    return get_sweep(workspace, sweep_id)


def use_best(db: Database, workspace: Workspace, sweep_id: str) -> Run:
    """Start an ordinary run with the settings of a sweep's best trial: the same seed, so the same weights, and with
    held-out losses and samples. Raises BadInput without one or while something trains, NotFound."""
    sweep = get_sweep(workspace, sweep_id)
    best = sweep.report.best_trial
    if best is None:
        raise BadInput(f"No trial of sweep {sweep.number} has come to its end yet.")
    fields, about = settings_with(sweep.spec, best.values), sweep.about
    settings = {name: value for name, value in fields.items() if name in TRAIN_FIELDS}
    return start_run(
        *(db, workspace, about.snapshot_id, about.base_model, settings, about.project_id, about.from_run or None)
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
    sweep = start_sweep(db, workspace, snapshot_id, base_model, settings, over, trials, project_id, from_run, **options)
    about = {"number": sweep.number, "snapshot": sweep.about.snapshot_id, "over": sorted(sweep.spec.over)}
    record(db, user.name, "sweep start", sweep.project_id, sweep.id, **about, trials=sweep.spec.trials)
    return sweep


def stop_sweep_for(db: Database, workspace: Workspace, user: User, sweep_id: str) -> None:
    """`stop_sweep` with a line in the audit log."""
    stop_sweep(workspace, sweep_id)
    sweep = get_sweep(workspace, sweep_id)
    record(db, user.name, "sweep stop", sweep.project_id, sweep.id, number=sweep.number)


def resume_sweep_for(db: Database, workspace: Workspace, user: User, sweep_id: str) -> Sweep:
    """`resume_sweep` with a line in the audit log."""
    sweep = resume_sweep(db, workspace, sweep_id)
    record(db, user.name, "sweep resume", sweep.project_id, sweep.id, number=sweep.number)
    return sweep


def use_best_for(db: Database, workspace: Workspace, user: User, sweep_id: str) -> Run:
    """`use_best` with a line in the audit log."""
    run = use_best(db, workspace, sweep_id)
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
