"""What people call a job of the queue: "Run 3 of Support". Its id is for machines."""

from __future__ import annotations

from storage.database import Database
from storage.projects import get_project
from storage.queued import Job, get_job
from storage.runs import get_run
from studio.errors import NotFound
from studio.jobs.curves import get_curve
from studio.jobs.sweeps import get_sweep
from studio.settings import Workspace


def name_of(db: Database, workspace: Workspace, job: Job) -> str:
    """What people call a job; its id where what it is of is gone."""
    try:
        project = get_project(db, job.project_id).name  # jobs are counted per project
        if job.kind == "run":
            return f"Run {get_run(db, job.job_id).number} of {project}"
        if job.kind == "sweep":
            return f"Sweep {get_sweep(workspace, job.job_id).number} of {project}"
        return f"Learning curve {get_curve(workspace, job.job_id).about.number} of {project}"
    except NotFound:
        return job.job_id


def called(db: Database, workspace: Workspace, job_id: str) -> str:
    """The same by its id; the id itself of one that never was in the queue."""
    job = get_job(db, job_id)
    return name_of(db, workspace, job) if job else job_id
