"""`sweep SNAPSHOT --over field=a,b,c …`: try settings, the lowest validation loss wins; stop, go on, use the best."""

from __future__ import annotations

import signal
import sys
from argparse import Namespace
from collections.abc import Mapping

from storage.database import Database
from storage.projects import list_projects
from storage.runs import get_run
from studio.commands import Outcome, opened
from studio.commands.queueing import await_turn
from studio.commands.spec_flags import settings_of
from studio.contract.sweep import Trial
from studio.errors import BadInput
from studio.jobs.processes import ask_to_stop
from studio.jobs.sweeping import follow_sweep, resume_sweep, start_sweep, stop_sweep, use_best
from studio.jobs.sweeps import Sweep, get_sweep, list_sweeps, sweep_folder
from studio.settings import Workspace

ACTS = ("list", "show", "stop", "resume", "use")


def sweep(workspace: Workspace, flags: Namespace) -> Outcome:
    """`sweep SNAPSHOT --over …` starts one and, without --detach, sees it to its end; `sweep list`, and with a sweep's
    id `sweep show`, `stop`, `resume` and `use` (which starts a run with the settings of the best trial)."""
    act, name = _words(flags.words)
    if act == "list":
        return _listed(workspace)
    if act == "show":
        return Outcome(_result(get_sweep(workspace, name)))
    if act == "stop":
        with opened(workspace) as db:
            stop_sweep(workspace, name, db)
        return _stopped(workspace, name)
    if act == "use":
        with opened(workspace) as db:
            run = use_best(db, workspace, name)
        how = "is in the queue" if run.state == "waiting" else "has started"
        return Outcome({"run": run.id, "state": run.state}, f"Run {run.id} {how}.")
    with opened(workspace) as db:
        found = resume_sweep(db, workspace, name) if act == "resume" else _start(db, workspace, name, flags)
    waits = found.state == "waiting"
    print(f"Sweep {found.id} {'is in the queue' if waits else 'has started'}.", file=sys.stderr)
    if flags.detach:
        return Outcome(_result(found))
    if waits:
        await_turn(workspace, found.id)
    return _ended(_follow(workspace, found))


def _words(words: list[str]) -> tuple[str, str]:
    """What to do, and with which snapshot or sweep."""
    if words == ["list"]:
        return "list", ""
    if len(words) == 2 and words[0] in ACTS[1:]:
        return words[0], words[1]
    if len(words) == 1 and words[0] not in ACTS:
        return "start", words[0]
    raise BadInput("Write `sweep SNAPSHOT --over field=a,b,c`, `sweep list`, or `sweep show|stop|resume|use SWEEP`.")


def _start(db: Database, workspace: Workspace, snapshot: str, flags: Namespace) -> Sweep:
    settings, from_run = settings_of(flags.set), getattr(flags, "from_run", None)
    base_model = get_run(db, from_run).base_model if from_run else flags.model
    return start_sweep(
        db,
        workspace,
        snapshot,
        base_model,
        settings,
        flags.over,
        flags.trials,
        from_run=from_run,
        timeout_minutes=flags.minutes,
        seed=flags.seed,
        prune=not flags.no_prune,
        keep="all" if flags.keep_all else "best",
    )


def _stopped(workspace: Workspace, name: str) -> Outcome:
    print("Stopping: waiting for the checkpoint …", file=sys.stderr)
    return Outcome(_result(follow_sweep(workspace, name, lambda look: None)))


def _listed(workspace: Workspace) -> Outcome:
    with opened(workspace) as db:
        names = {project.id: project.name for project in list_projects(db, archived=True)}
    rows = [
        {
            "sweep": found.id,
            "state": found.state,
            "trials": f"{found.report.ended}/{found.wanted}",
            "best_loss": found.report.best_trial.loss if found.report.best_trial else None,
            "project": names.get(found.project_id),
            "snapshot": found.about.snapshot_id,
            "model": found.about.base_model,
        }
        for found in list_sweeps(workspace)
    ]
    return Outcome({"sweeps": rows})


def _follow(workspace: Workspace, found: Sweep) -> Sweep:
    """Show a sweep until it ends. Ctrl-C stops it with a checkpoint; a second one leaves it to itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs of a shell
    said: list[str] = []

    def show(look: Sweep) -> None:
        for line in _lines(look):
            if line not in said:
                said.append(line)
                print(line, file=sys.stderr, flush=True)

    try:
        return follow_sweep(workspace, found.id, show)
    except KeyboardInterrupt:
        print("\nStopping: waiting for the checkpoint …", file=sys.stderr)
        ask_to_stop(sweep_folder(workspace, found.id))
        return follow_sweep(workspace, found.id, show)


def _lines(look: Sweep) -> list[str]:
    """What to tell of a sweep: what it does, and how each trial ended."""
    ended = [_line(trial) for trial in look.report.trials if trial.state != "running"]
    return [*ended, look.message] if look.message else ended


def _line(trial: Trial) -> str:
    loss = f", validation loss {trial.loss:.4f}" if trial.loss is not None else ""
    why = f": {trial.reason}" if trial.reason else ""
    return f"Trial {trial.number + 1} is {trial.state} after {trial.step} steps{loss}{why}"


def _ended(found: Sweep) -> Outcome:
    done = found.state == "done"
    return Outcome(_result(found), "" if done else found.message, 0 if done else 1)


def _result(found: Sweep) -> Mapping[str, object]:
    best = found.report.best_trial
    trials = [
        {"trial": t.number + 1, "state": t.state, "loss": t.loss, "steps": t.step, "seconds": t.seconds, **t.values}
        for t in found.report.trials
    ]
    return {
        "sweep": found.id,
        "state": found.state,
        "best": {"trial": best.number + 1, "loss": best.loss, **best.values} if best else {},
        "importances": found.report.importances,
        "trials": trials,
    }
