"""Runs started and stopped by somebody: what studio.jobs.runs does, with a line in the audit log."""

from __future__ import annotations

from collections.abc import Mapping

from storage.audit import record
from storage.database import Database
from storage.records import Run, User
from studio.jobs.runs import get_run, resume_run, start_run, stop_run
from studio.settings import Workspace


def start_run_for(
    db: Database,
    workspace: Workspace,
    user: User,
    snapshot_id: str,
    base_model: str,
    settings: Mapping[str, object] | None = None,
    project_id: str | None = None,
    from_run: str | None = None,
    priority: int = 0,
) -> Run:
    """Have a run wait for its turn to train. Raises as `start_run`."""
    what = (snapshot_id, base_model, settings, project_id, from_run)
    run = start_run(db, workspace, *what, user=user.name, priority=priority)
    about = {"number": run.number, "snapshot": run.snapshot_id, "base_model": run.base_model}
    about |= {"from_run": from_run} if from_run else {}
    record(db, user.name, "run start", run.project_id, run.id, **about)
    return run


def resume_run_for(db: Database, workspace: Workspace, user: User, run_id: str) -> Run:
    """Go on from a run's last checkpoint. Raises as `resume_run`."""
    run = resume_run(db, workspace, run_id, user.name)
    record(db, user.name, "run resume", run.project_id, run.id, number=run.number)
    return run


def stop_run_for(db: Database, workspace: Workspace, user: User, run_id: str) -> None:
    """Ask a run to stop. Raises as `stop_run`."""
    stop_run(db, workspace, run_id)
    run = get_run(db, run_id)
    record(db, user.name, "run stop", run.project_id, run.id, number=run.number)
