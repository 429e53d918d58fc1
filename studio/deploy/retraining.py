"""A retraining, step by step: snapshot, preflight, training, evaluation of both runs, promote or keep.

Where it stands is in the database, and each step is a job that lives on without the app; so whatever ends the app, the
next one goes on where this one stopped, and nothing is done twice. `advance` never waits: what takes seconds (a freeze,
the plan of a run, the decision) is done on a thread, the rest is looked at. What it leaves out: when a retraining
begins (studio.deploy.rules), and what decides (studio.deploy.challenger).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.audit import record
from storage.database import Database
from storage.deployments import in_production
from storage.projects import get_project
from storage.records import Run
from storage.rules import ENDS, STEPS, get_retraining, list_retrainings, list_under_way, set_step
from storage.runs import get_run, list_runs
from storage.serving_records import Retraining
from studio.contract.evaluation import ROWS_FILE, EvalReport
from studio.data.preflight_rows import write_rows
from studio.data.snapshots import freeze
from studio.deploy import sentences
from studio.deploy.challenger import Evaluation, incomparable, verdict_of_challenger
from studio.deploy.leaks import nearly_trained
from studio.deploy.production import promote
from studio.errors import BadInput, Conflict, DiskFull, JobFailed, StudioError, WorkspaceBroken
from studio.jobs import evaluating, preflighting, runs
from studio.language import mark
from studio.settings import Workspace

__all__ = ["ENDS", "STEPS", "WORDS", "Retraining", "advance", "advance_all", "cancel", "get_retraining"]

WORDS = {
    "snapshot": mark("Freezing the accepted pairs"),
    "preflight": mark("Checking the data"),
    "train": mark("Training"),
    "evaluate": mark("Evaluating the new run"),
    "evaluate-champion": mark("Evaluating the run in production on the same rows"),
    "decide": mark("Deciding"),
    "promoted": mark("Promoted"),
    "kept": mark("Kept what was there"),
    "failed": mark("Failed"),
    "cancelled": mark("Cancelled"),
}
"""What people call a step."""

_STOPPING = ("secrets",)
"""Findings of a preflight with which nothing is trained that nobody looked at: a key would be learnt by heart. Other
findings stand on the Preflight tab."""

_STOPPING_ALONE = ("leaks",)
"""Those where nothing is in production: a base never saw what is trained on, so near repeats of held-out rows would
speak for the new run. Held against another run, such rows are left out (studio.deploy.leaks)."""

_EVALUATING = mark("Evaluating")
_log = logging.getLogger(__name__)
_AT_WORK: dict[tuple[int, str], threading.Thread] = {}
_LOCK = threading.Lock()

Step = Callable[[Database, Workspace, Retraining, datetime], Retraining]


def advance_all(db: Database, workspace: Workspace, now: datetime) -> list[Retraining]:
    """Advance every retraining that is under way; those that came to another step or an end. For a watcher's thread,
    every few seconds. Raises DiskFull, after which nothing is lost."""
    before = list_under_way(db)
    after = [advance(db, workspace, one, now) for one in before]
    return [new for old, new in zip(before, after, strict=True) if new.step != old.step]


def advance(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    """Do at most one step of a retraining, or look whether the one at work is done; how it stands then. Never waits for
    a job. What a step cannot do ends it as failed, with the sentence; what is in production stays. Raises DiskFull."""
    retraining = get_retraining(db, retraining.id)
    if retraining.ended_at is not None or _is_busy(db, retraining):
        return retraining
    step = retraining.step
    heavy = step in ("snapshot", "decide") or (step == "train" and not retraining.run_id)
    if heavy:
        _on_thread(db, workspace, retraining, now)
        return retraining
    return _do(db, workspace, retraining, now)


def settle(db: Database, retraining: Retraining, seconds: float = 60.0) -> None:
    """Wait until the thread of a retraining's step, if there is one, has ended."""
    if thread := _AT_WORK.get((id(db), retraining.id)):
        thread.join(seconds)


def cancel(db: Database, workspace: Workspace, retraining: Retraining, now: datetime, user: str) -> Retraining:
    """End a retraining with whatever job of it is at work; what is in production stays. Raises Conflict where it has
    ended already."""
    current = get_retraining(db, retraining.id)
    ended = set_step(db, current, "cancelled", now, sentences.CANCELLED.format(user=user))
    record(db, user, "retraining cancel", current.project_id, current.id, step=current.step)
    if current.step == "preflight":
        preflighting.cancel_preflight(workspace, _target(current))
    elif current.step == "train" and current.run_id:
        with suppress(StudioError):  # it ended just now
            runs.stop_run(db, workspace, current.run_id)
    elif current.step == "evaluate":
        evaluating.cancel_evaluation(workspace, current.run_id)
    elif current.step == "evaluate-champion":
        evaluating.cancel_evaluation(workspace, current.champion_id, current.snapshot_id)
    return ended


def _is_busy(db: Database, retraining: Retraining) -> bool:
    thread = _AT_WORK.get((id(db), retraining.id))
    return thread is not None and thread.is_alive()


def _on_thread(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> None:
    def work() -> None:
        try:
            _do(db, workspace, retraining, now)
        except (DiskFull, WorkspaceBroken) as error:
            _log.warning("A retraining waits: %s", error)  # the next look tries again

    with _LOCK:
        if _is_busy(db, retraining):
            return
        for key in [key for key, thread in _AT_WORK.items() if not thread.is_alive()]:
            del _AT_WORK[key]
        thread = threading.Thread(target=work, name="retraining", daemon=True)
        _AT_WORK[id(db), retraining.id] = thread
        thread.start()


def _do(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    try:
        return _STEPS[retraining.step](db, workspace, retraining, now)
    except Conflict:
        return get_retraining(db, retraining.id)  # somebody cancelled it meanwhile
    except (DiskFull, WorkspaceBroken):
        raise
    except StudioError as error:
        return _end(db, retraining, "failed", str(error), now)
    except Exception:
        _log.exception("A step of a retraining failed")
        return _end(db, retraining, "failed", mark("A step of it broke off: the studio's log says where."), now)


def _end(db: Database, retraining: Retraining, step: str, message: str, now: datetime) -> Retraining:
    try:
        return set_step(db, retraining, step, now, message)
    except Conflict:
        return get_retraining(db, retraining.id)


def _snapshot(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    """Freeze as the snapshot before was frozen; where nothing has changed since, there is nothing to train on."""
    before = _before(db, retraining)
    frozen = freeze(db, workspace, retraining.project_id, **_as_before(workspace, before))
    tried = [
        one.run_id for one in list_retrainings(db, retraining.project_id) if one.id != retraining.id and one.run_id
    ]
    for run in [*([before] if before else []), *(get_run(db, run_id) for run_id in tried[:1])]:
        if run.snapshot_id == frozen.snapshot.id and run.state == "done":
            told = sentences.NOTHING_NEW.format(number=run.number)
            return _end(db, retraining, "kept", told, now)
    return set_step(db, retraining, "preflight", now, snapshot_id=frozen.snapshot.id)


def _preflight(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    target = _target(retraining)
    look = preflighting.look_at(None, workspace, target)
    if look.state == "running":
        return retraining
    ours = look.about is not None and look.about.base_model == retraining.base_model
    if look.state == "done" and ours and look.report is not None:
        stops = _STOPPING if retraining.champion_id else (*_STOPPING, *_STOPPING_ALONE)
        stopping = [one for one in look.report.findings if one.check in stops and one.severity == "error"]
        if stopping:
            told = " ".join(one.text for one in stopping)
            return _end(db, retraining, "kept", sentences.MEND.format(findings=told), now)
        return set_step(db, retraining, "train", now)
    if ours and look.about and look.about.at > retraining.step_at - timedelta(seconds=1):
        if look.state == "stopped":
            return _end(db, retraining, "cancelled", mark("Its preflight was cancelled."), now)
        raise JobFailed(look.words)
    project = get_project(db, retraining.project_id)
    asked: dict[str, Any] = {
        "base_model": retraining.base_model,
        "task": project.task,
        "terms": project.settings.identity_terms,
        "allowed": project.settings.allowed_texts,
    }
    if isinstance(length := retraining.settings.get("max_length"), int):
        asked["max_length"] = length
    rows = partial(write_rows, db, workspace, retraining.project_id, retraining.snapshot_id)
    preflighting.start_preflight(db, workspace, target, asked, rows)
    return retraining


def _train(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    if not retraining.run_id:
        return _start_run(db, workspace, retraining, now)
    runs.sync_runs(db, workspace)
    run = get_run(db, retraining.run_id)
    if run.state == "done":
        return set_step(db, retraining, "evaluate", now)
    if run.state == "stopped":
        return _end(db, retraining, "cancelled", sentences.RUN_STOPPED.format(number=run.number), now)
    if run.state == "failed":
        raise JobFailed(sentences.RUN_FAILED.format(number=run.number, why=run.message))
    held = run.state in ("waiting", "paused")
    waits = sentences.RUN_WAITS.format(number=run.number, why=run.message) if held else ""
    return retraining if retraining.message == waits else set_step(db, retraining, "train", now, waits)


def _start_run(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    """Have a run wait for its turn to train. One that was started, but not noted before the app was killed, is taken
    up."""
    begun = next(
        (
            run
            for run in list_runs(db, retraining.project_id)
            if run.snapshot_id == retraining.snapshot_id
            and run.base_model == retraining.base_model
            and run.created_at >= retraining.step_at
        ),
        None,
    )
    if begun is None:
        begun = runs.start_run(
            *(db, workspace, retraining.snapshot_id, retraining.base_model, retraining.settings),
            project_id=retraining.project_id,
            user=retraining.user,
        )
    return set_step(db, retraining, "train", now, run_id=begun.id)


def _evaluate(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    after = "evaluate-champion" if retraining.champion_id else "decide"
    return _evaluated(db, workspace, retraining, retraining.run_id, after, now)


def _evaluate_champion(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    """Have the run in production answer the same rows, beside its own evaluation; nothing where that one will do."""
    challenger = _report_of(workspace, get_run(db, retraining.run_id))
    beside = _beside(workspace, retraining, get_run(db, retraining.champion_id), challenger)
    if not beside:
        return set_step(db, retraining, "decide", now)
    asked: dict[str, Any] = {"further": False, "suite": ""}  # what the decision needs, no more
    if challenger.most_tokens:
        asked["most_tokens"] = challenger.most_tokens
    return _evaluated(db, workspace, retraining, retraining.champion_id, "decide", now, beside, **asked)


def _beside(workspace: Workspace, retraining: Retraining, champion: Run, challenger: EvalReport) -> str:
    """Where the evaluation lies that the challenger's is held against: '' for the champion's own, where the two can be
    compared, else the snapshot that it is evaluated on besides."""
    own = evaluating.look_at(workspace, champion)
    fits = own.standing.state == "done" and own.report is not None and not incomparable(challenger, own.report)
    return "" if fits else retraining.snapshot_id


def _evaluated(
    db: Database,
    workspace: Workspace,
    retraining: Retraining,
    run_id: str,
    after: str,
    now: datetime,
    beside: str = "",
    **asked: Any,
) -> Retraining:
    """Have a run evaluated on the retraining's snapshot. The message says that it was started here: one that failed
    before is tried again once."""
    run = get_run(db, run_id)
    found = evaluating.look_at(workspace, run, beside)
    if found.standing.alive:
        return retraining
    done = found.standing.state == "done" and found.report is not None
    if done and found.report and found.report.snapshot == retraining.snapshot_id and found.report.split == "test":
        return set_step(db, retraining, after, now)
    if retraining.message == _EVALUATING:
        if found.standing.state == "stopped":
            return _end(db, retraining, "cancelled", sentences.NOT_EVALUATED.format(number=run.number), now)
        raise JobFailed(found.standing.words or sentences.NO_REPORT.format(number=run.number))
    try:
        evaluating.start_evaluation(db, workspace, run_id, beside=beside, ways=False, **asked)
    except BadInput:
        if evaluating.standing_of(workspace, run_id, beside).alive:  # the watcher of runs began it just now
            return retraining
        raise
    return set_step(db, retraining, retraining.step, now, _EVALUATING)


def _decide(db: Database, workspace: Workspace, retraining: Retraining, now: datetime) -> Retraining:
    run, current = get_run(db, retraining.run_id), in_production(db, retraining.project_id)
    if current == retraining.run_id:  # promoted, and not noted before the app was killed
        return _end(db, retraining, "promoted", sentences.IN_PRODUCTION.format(number=run.number), now)
    if current != retraining.champion_id:
        told = sentences.OVERTAKEN.format(number=run.number)
        return _end(db, retraining, "kept", told, now)
    champion, beside = (get_run(db, current) if current else None), ""
    if champion:
        beside = _beside(workspace, retraining, champion, _report_of(workspace, run))
        if beside and evaluating.look_at(workspace, champion, beside).report is None:
            return set_step(db, retraining, "evaluate-champion", now)  # somebody evaluated it in another way meanwhile
    known = nearly_trained(workspace, retraining.snapshot_id) if champion else frozenset()
    decision = verdict_of_challenger(
        _without(_read(workspace, run), known),
        _without(_read(workspace, champion, beside), known) if champion else None,
        suite=bool(get_project(db, retraining.project_id).settings.suite.strip()),
        name=sentences.CHAMPION.format(number=champion.number) if champion else "",
    )
    left = sentences.ONE_LEFT_OUT if len(known) == 1 else sentences.SOME_LEFT_OUT if known else "{decision}"
    told = left.format(decision=decision.sentence, count=f"{len(known):,}")
    if decision.promote:
        promote(db, workspace, retraining.project_id, run.id, retraining.user, told)
    return _end(db, retraining, "promoted" if decision.promote else "kept", told, now)


def _without(found: Evaluation, known: frozenset[str]) -> Evaluation:
    return replace(found, scores={key: score for key, score in found.scores.items() if key[1] not in known})


def _report_of(workspace: Workspace, run: Run, beside: str = "") -> EvalReport:
    """Raises JobFailed."""
    report = evaluating.look_at(workspace, run, beside).report
    if report is None:
        raise JobFailed(sentences.NO_REPORT_LEFT.format(number=run.number))
    return report


def _read(workspace: Workspace, run: Run, beside: str = "") -> Evaluation:
    """Raises JobFailed."""
    report, folder = _report_of(workspace, run, beside), evaluating.folder_of(workspace, run.id, beside)
    try:
        table = pq.read_table(folder / ROWS_FILE, columns=["row", "example_id", "tuned_score"])
        scores = {(row["row"], row["example_id"]): float(row["tuned_score"]) for row in table.to_pylist()}
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise JobFailed(sentences.UNREADABLE.format(number=run.number)) from error
    return Evaluation(report, scores)


def _before(db: Database, retraining: Retraining) -> Run | None:
    """The run whose place is to be taken: the one in production, else the newest done one of that base model."""
    if retraining.champion_id:
        return get_run(db, retraining.champion_id)
    return next((run for run in list_runs(db, retraining.project_id) if run.state == "done"), None)


def _as_before(workspace: Workspace, run: Run | None) -> dict[str, Any]:
    """How the snapshot of a run was split; nothing where that cannot be read."""
    if run is None:
        return {}
    try:
        said = json.loads((workspace.snapshots / run.snapshot_id / "manifest.json").read_text(encoding="utf-8"))
        options = said["options"]
        return {
            **{"validation": float(said["validation"]), "test": float(said["test"]), "seed": int(said["seed"])},
            **{"stratify": bool(options["stratify"]), "group_by": str(options["group_by"])},
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _target(retraining: Retraining) -> preflighting.Target:
    return preflighting.Target(retraining.project_id, retraining.snapshot_id)


_STEPS: dict[str, Step] = {
    "snapshot": _snapshot,
    "preflight": _preflight,
    "train": _train,
    "evaluate": _evaluate,
    "evaluate-champion": _evaluate_champion,
    "decide": _decide,
}
