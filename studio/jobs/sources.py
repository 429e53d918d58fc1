"""Where a project's suggestions may come from: what there is to choose, the choice, and the endpoint an admin names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from storage.audit import record, record_in
from storage.database import Database
from storage.projects import get_project, write_settings
from storage.records import Project, User
from storage.runs import get_run, list_runs
from studio.contract.spec import STARTER as STARTER_MODEL
from studio.errors import BadInput
from studio.jobs.drafts import ENCODER, ENDPOINT, RUN, RUN_PREFIX, STARTER, kind_of, sources_for
from studio.jobs.endpoint import Endpoint, drop_endpoint, load_endpoint, save_endpoint
from studio.jobs.engine import where_to_run
from studio.settings import Workspace

Held = tuple[str, str, str]
"""Base model, device and dtype of an engine."""

_WORDS = {ENCODER: "Encoder (learns from the labels)", STARTER: "Starter model (untrained)"}


@dataclass(frozen=True)
class Source:
    """A source that can be chosen: `name` is what settings and suggestions keep."""

    name: str
    words: str


def list_sources(db: Database, workspace: Workspace, project: Project) -> list[Source]:
    """The sources that can answer this project's task now, "none" first."""
    found = [Source("", "No suggestions")]
    for kind in sources_for(project.task):
        if kind == RUN:
            runs = [run for run in list_runs(db, project.id) if run.state == "done"]
            found += [Source(f"{RUN_PREFIX}{run.id}", f"Run {run.number} of {run.base_model}") for run in runs]
        elif kind != ENDPOINT:
            found.append(Source(kind, _WORDS[kind]))
        elif endpoint := load_endpoint(workspace):
            found.append(Source(ENDPOINT, f"Endpoint {endpoint.host}, {endpoint.model}"))
    return found


def source_words(db: Database, project_id: str, source: str) -> str:
    """A source as a table names it: "Run 3", "Encoder", "Starter", "Endpoint"."""
    numbers = {f"{RUN_PREFIX}{run.id}": f"Run {run.number}" for run in list_runs(db, project_id)}
    return numbers.get(source, source.split(":")[0].capitalize())


def choose_source(db: Database, workspace: Workspace, user: User, project_id: str, source: str) -> Project:
    """Have a project show suggestions of this source ('' for none). Raises BadInput, NotFound."""
    project = get_project(db, project_id)
    if source:
        check_source(project.task, source)
        if source == ENDPOINT and load_endpoint(workspace) is None:
            raise BadInput("No endpoint is named yet: an admin names one below.")
        if source.startswith(RUN_PREFIX):
            held_by(db, source)
    with db.write() as cursor:
        write_settings(cursor, project_id, replace(project.settings, suggest=source))
        record_in(cursor, user.name, "suggestions choose", project_id, source)
        db.touch(project_id)
    return get_project(db, project_id)


def name_endpoint(db: Database, workspace: Workspace, user: User, url: str, model: str, key: str) -> Endpoint:
    """Name the endpoint that all projects may choose; the audit log keeps its address, never its key."""
    endpoint = save_endpoint(workspace, url, model, key)
    record(db, user.name, "endpoint name", subject=endpoint.url, model=endpoint.model)
    return endpoint


def forget_endpoint(db: Database, workspace: Workspace, user: User) -> None:
    """Forget the endpoint and its key; projects that chose it get no suggestions until it is named again."""
    drop_endpoint(workspace)
    record(db, user.name, "endpoint forget")


def check_source(task: str, source: str) -> None:
    """Raise BadInput unless this source can suggest answers to this task."""
    kind = kind_of(source)
    if kind not in (RUN, STARTER, ENCODER, ENDPOINT):
        raise BadInput(f"There is no source '{source}': give starter, encoder, endpoint or run:ID.")
    if kind not in sources_for(task):
        names = ", ".join(sources_for(task))
        raise BadInput(f"The source '{kind}' cannot answer this task: choose one of {names}.")


def held_by(db: Database, source: str) -> Held:
    """What an engine must hold to answer for a source. Raises NotFound, BadInput for a run that has not finished."""
    if not source.startswith(RUN_PREFIX):
        return (STARTER_MODEL, "auto", "auto")
    run = get_run(db, source.removeprefix(RUN_PREFIX))
    if run.state != "done":
        raise BadInput(f"Run {run.number} has not finished: choose one that has.")
    return (run.base_model, *where_to_run(run.spec))
