"""What is in production: promote a run, roll back, the history, and the names under which a server finds them.

Each change is appended, with who and why, in the same transaction as its line in the audit log. Servers read names from
files that are exchanged whole, so they never see half of one, and take the new weights up without a restart. What it
leaves out: starting a server (studio.jobs.serving), and whether a run should be promoted (studio.deploy.challenger).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from storage.audit import record_in
from storage.database import Database
from storage.deployments import (
    add_deployment,
    all_in_production,
    in_production,
    list_deployments,
    read_deployments,
    standing_runs,
)
from storage.projects import get_project
from storage.records import Run
from storage.runs import get_run, list_runs
from storage.serving_records import Deployment
from studio.contract import serving
from studio.deploy.traffic import PRODUCTION
from studio.errors import BadInput, BadSpec, NotFound, StudioError
from studio.jobs.continuing import weights_of
from studio.jobs.processes import is_alive
from studio.language import mark, tr
from studio.settings import Workspace

__all__ = [
    "NAMES_FILE",
    "Deployment",
    "in_production",
    "list_deployments",
    "names",
    "production_name",
    "promote",
    "rollback",
    "write_names",
]

NAMES_FILE = "names.json"
"""In the folder of servers: {"names": {name: {"run_id", "adapter", "base_model", "trained_on"}}}; `adapter` is '' for
whole weights, whose folder is then `base_model`; `trained_on` is the run's own base in either case."""

_LONGEST_WHY = 2000
_WRITING = threading.Lock()


def production_name(project_name: str) -> str:
    """What a project's model in production is called."""
    return f"{project_name}{PRODUCTION}"


def promote(db: Database, workspace: Workspace, project_id: str, run_id: str, user: str, why: str = "") -> Deployment:
    """Put a finished run of a project into production, for every server from its next look on.

    Raises NotFound, DiskFull, and BadInput for a run that is not done, of another project, without its weights, or in
    production already.
    """
    project, run = get_project(db, project_id), get_run(db, run_id)
    if run.project_id != project_id:
        told = mark("Run {number} is of another project: promote one of '{project}'.")
        raise BadInput(tr(told, number=run.number, project=project.name))
    if run.state != "done":
        told = mark("Run {number} is {state}: only a run that is done can be promoted.")
        raise BadInput(tr(told, number=run.number, state=tr(run.state)))
    _served_by(workspace, run)
    with db.write() as cursor:
        standing = standing_runs(read_deployments(cursor, project_id))
        if standing and standing[-1] == run_id:
            raise BadInput(tr("Run {number} is in production already.", number=run.number))
        made = add_deployment(cursor, project_id, run_id, "promote", user, why.strip()[:_LONGEST_WHY])
        record_in(cursor, user, "model promote", project_id, f"run {run.number}", why=made.why)
    write_names(db, workspace)
    return made


def rollback(db: Database, workspace: Workspace, project_id: str, user: str, why: str = "") -> Deployment:
    """Put back what was in production before the run that is; where its weights are gone, what was before that.

    Raises NotFound, DiskFull, and BadInput where nothing can be gone back to.
    """
    get_project(db, project_id)
    with db.write() as cursor:
        standing = standing_runs(read_deployments(cursor, project_id))
        if not standing:
            raise BadInput("Nothing is in production: promote a run first.")
        before = next((one for one in reversed(standing[:-1]) if _can_serve(db, workspace, one)), None)
        if before is None:
            raise BadInput("Nothing that was in production before can be served: promote another run instead.")
        run = get_run(db, before)
        made = add_deployment(cursor, project_id, before, "rollback", user, why.strip()[:_LONGEST_WHY])
        record_in(cursor, user, "model rollback", project_id, f"run {run.number}", why=made.why)
    write_names(db, workspace)
    return made


def names(db: Database, workspace: Workspace) -> dict[str, dict[str, str]]:
    """What answers under each name `PROJECT@production`: run, folder of its adapter and base model as a server takes
    them. A run whose weights are gone since has no name."""
    found = {}
    for project_id, run_id in sorted(all_in_production(db).items()):
        try:
            run, project = get_run(db, run_id), get_project(db, project_id)
            found[production_name(project.name)] = {"run_id": run.id, **_served_by(workspace, run)}
        except StudioError:
            continue
    return found


def write_names(db: Database, workspace: Workspace) -> Path:
    """Write the names for servers to be started where they have changed, and put them in place in those at work; also
    to be called now and then, as projects are renamed and archived. Raises DiskFull."""
    file = workspace.root / "serving" / NAMES_FILE
    with _WRITING:
        found = names(db, workspace)
        text = json.dumps({"names": found}, ensure_ascii=False, indent=1)
        before = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        if text != before and (found or before):
            serving.exchange(file, text)
        owners = {run.id: run.project_id for run in list_runs(db)}
        for spec in (workspace.root / "serving").glob(f"*/{serving.SPEC_FILE}"):
            if is_alive(spec.parent):
                _tell_server(spec.parent, found, owners)
    return file


def _tell_server(folder: Path, found: Mapping[str, Mapping[str, str]], owners: Mapping[str, str]) -> None:
    """Exchange the names of a server at work: those in production of each project that it serves a run of. Where that
    is a run of another base model, which another server has to serve, this one goes on with the one before."""
    try:
        base, known = serving.read_serve_spec(folder).base_model, dict(serving.read_names(folder).names)
    except BadSpec:
        return
    served = {owners.get(run_id) for run_id in known.values()} - {None}
    wanted = {name: run_id for name, run_id in known.items() if not name.endswith(PRODUCTION)}
    for name, one in found.items():
        if (name in known or owners.get(one["run_id"]) in served) and one["trained_on"] == base:
            wanted[name] = one["run_id"]
        elif name in known:
            wanted[name] = known[name]
    if wanted != known:
        serving.write_names(folder, wanted)


def _served_by(workspace: Workspace, run: Run) -> Mapping[str, str]:
    """Where a server finds a run's weights. Raises BadInput."""
    try:
        weights = weights_of(workspace, run)
    except NotFound:
        told = mark("The weights of run {number} are gone from {folder}: train it again, or choose another run.")
        raise BadInput(tr(told, number=run.number, folder=workspace.runs / run.id)) from None
    if weights.name == "adapter":
        return {"adapter": str(weights), "base_model": run.base_model, "trained_on": run.base_model}
    return {"adapter": "", "base_model": str(weights), "trained_on": run.base_model}


def _can_serve(db: Database, workspace: Workspace, run_id: str) -> bool:
    try:
        _served_by(workspace, get_run(db, run_id))
    except StudioError:
        return False
    return True
