"""What the Deploy tab lets somebody choose: runs that can serve, what a rollback brings back, servers that concern a
project, and one more run for a server at work. What it leaves out: doing any of it but that (production, jobs.serving).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage.database import Database
from storage.deployments import list_deployments, standing_runs
from storage.projects import get_project
from storage.records import Run
from storage.runs import get_run, list_runs
from studio.contract.serving import ServeSpec, read_names, read_serve_spec
from studio.errors import BadInput, BadSpec, NotFound, StudioError
from studio.jobs.continuing import weights_of
from studio.jobs.processes import is_alive
from studio.jobs.serving import Server, change_names, folder_of, list_servers, names_for, start_serving
from studio.language import tr
from studio.settings import Workspace


def servable_runs(db: Database, workspace: Workspace, project_id: str) -> list[Run]:
    """The finished runs of a project whose weights are there, newest first."""
    runs = sorted(list_runs(db, project_id), key=lambda run: run.number, reverse=True)
    return [run for run in runs if run.state == "done" and _has_weights(workspace, run)]


def comes_back(db: Database, workspace: Workspace, project_id: str) -> Run | None:
    """The run that a rollback would put into production, as studio.deploy.production.rollback chooses it."""
    for run_id in reversed(standing_runs(list_deployments(db, project_id))[:-1]):
        try:
            run = get_run(db, run_id)
        except StudioError:
            continue
        if _has_weights(workspace, run):
            return run
    return None


def servers_of(db: Database, workspace: Workspace, project_id: str) -> list[tuple[Server, ServeSpec]]:
    """The servers, at work or not, that serve a run of a project or a base model of its runs, with their specs."""
    runs = list_runs(db, project_id)
    own, bases = {run.id for run in runs}, {run.base_model for run in runs}
    found = []
    for server in list_servers(workspace):
        try:
            spec = read_serve_spec(server.folder)
        except BadSpec:
            continue
        if own & set(server.names.values()) or spec.base_model in bases:
            found.append((server, spec))
    return found


def serve_runs(
    db: Database, workspace: Workspace, project_id: str, run_ids: Sequence[str], **asked: Any
) -> tuple[Path, bool]:
    """Serve runs of a project and what it has in production; the server's folder, and whether it was at work already.

    A server of their base model that is at work takes them up and stays as it is; otherwise one is started with `asked`
    (fields of ServeSpec). Raises BadInput, BadSpec, NotFound, DiskFull, JobFailed.
    """
    runs = [get_run(db, run_id) for run_id in dict.fromkeys(run_ids)]
    if other := next((run for run in runs if run.project_id != project_id), None):
        raise BadInput(tr("Run {number} is of another project: choose runs of this one.", number=other.number))
    if len({run.base_model for run in runs}) != 1 or not is_alive(folder_of(workspace, runs[0].base_model)):
        return start_serving(db, workspace, run_ids, [project_id], **asked), False
    folder = folder_of(workspace, runs[0].base_model)
    for run in runs:
        weights_of(workspace, run)
    known, project = dict(read_names(folder).names), get_project(db, project_id).name
    for name, run_id in names_for(db, runs, [project_id]).items():
        taken = known.get(name, run_id) != run_id and "@" not in name
        known[f"{project}/{name}" if taken else name] = run_id
    change_names(folder, known)
    return folder, True


def _has_weights(workspace: Workspace, run: Run) -> bool:
    try:
        weights_of(workspace, run)
    except NotFound:
        return False
    return True
