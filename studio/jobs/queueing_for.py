"""What somebody does with the queue: what studio.jobs.queueing does, with a line in the audit log."""

from __future__ import annotations

from storage.audit import record
from storage.database import Database
from storage.queued import get_job
from storage.records import User
from studio.jobs.queueing import cancel, move, pause, prioritise, resume
from studio.settings import Workspace


def move_for(db: Database, workspace: Workspace, user: User, job_id: str) -> None:
    """`move` with a line in the audit log."""
    move(db, workspace, job_id)
    _record(db, user, "queue up", job_id)


def pause_for(db: Database, workspace: Workspace, user: User, job_id: str) -> None:
    """`pause` with a line in the audit log."""
    pause(db, workspace, job_id)
    _record(db, user, "queue pause", job_id)


def resume_for(db: Database, workspace: Workspace, user: User, job_id: str) -> None:
    """`resume`, on the account of whoever asks, with a line in the audit log."""
    resume(db, workspace, job_id, user.name)
    _record(db, user, "queue resume", job_id)


def cancel_for(db: Database, workspace: Workspace, user: User, job_id: str) -> None:
    """`cancel` with a line in the audit log."""
    cancel(db, workspace, job_id)
    _record(db, user, "queue cancel", job_id)


def raise_for(db: Database, workspace: Workspace, user: User, job_id: str) -> None:
    """Give a waiting job the next higher priority, with a line in the audit log."""
    prioritise_for(db, workspace, user, job_id, _priority(db, job_id) + 1)


def lower_for(db: Database, workspace: Workspace, user: User, job_id: str) -> None:
    """Give a waiting job the next lower priority, with a line in the audit log."""
    prioritise_for(db, workspace, user, job_id, _priority(db, job_id) - 1)


def prioritise_for(db: Database, workspace: Workspace, user: User, job_id: str, priority: int) -> None:
    """`prioritise` with a line in the audit log."""
    prioritise(db, workspace, job_id, priority)
    _record(db, user, "queue priority", job_id, priority=priority)


def _priority(db: Database, job_id: str) -> int:
    job = get_job(db, job_id)
    return job.priority if job else 0  # what is not there is refused when it is to be changed


def _record(db: Database, user: User, action: str, job_id: str, **details: object) -> None:
    job = get_job(db, job_id)
    record(db, user.name, action, job.project_id if job else "", job_id, **details)
