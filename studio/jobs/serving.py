"""Servers of models: start one, say how it stands, change what it serves, stop it. One a base model and workspace.

What it leaves out: the server (studio.serving), keys (serving_keys.py), and what is in production (studio.deploy).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storage.database import Database
from storage.deployments import in_production
from storage.projects import get_project
from storage.records import Run
from storage.runs import get_run
from studio.contract.events import Event, log_tail, read_all
from studio.contract.serving import ServeSpec, is_own_machine, read_keys, read_names, read_serve_spec, write_names
from studio.contract.spec import SPEC_FILE
from studio.errors import BadInput, BadSpec, DiskFull, JobFailed
from studio.jobs import job_folders
from studio.jobs.continuing import weights_of
from studio.jobs.engine import where_to_run
from studio.jobs.job_folders import Standing
from studio.jobs.processes import ask_to_stop, claimed, gives_memory_back, is_alive, reap, spawn
from studio.jobs.serving_engine import engine_for
from studio.jobs.serving_keys import keys_file
from studio.language import mark, tr
from studio.settings import Workspace

SERVING_MODULE = "studio.serving"
PRODUCTION = "@production"
_LOCK = threading.Lock()
_START_SECONDS = 600
_STOP_MARGIN_SECONDS = 10


@dataclass(frozen=True)
class Server:
    """How a server stands: `url` is where clients ask ('' unless it serves), `names` the run ids by name ("": base),
    `warning` what could not be taken over last, `engine` what writes the answers (studio or vllm), `device` where, as
    the queue calls it, `bytes` what it can lend to jobs there, `lent_to` the job that has that memory now."""

    folder: Path
    base_model: str
    standing: Standing
    url: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""
    engine: str = ""
    device: str = ""
    bytes: int = 0
    lent_to: str = ""

    @property
    def lends(self) -> bool:
        """Whether it makes room for jobs at all."""
        return self.bytes > 0

    @property
    def ready(self) -> bool:
        """Whether it serves now."""
        return bool(self.url)


def start_serving(
    db: Database, workspace: Workspace, run_ids: Sequence[str], projects: Sequence[str] = (), **asked: Any
) -> Path:
    """Start a server of some runs, and of what is in production of their projects and of `projects` (ids); its folder.

    `asked`: fields of ServeSpec. Raises BadInput (different base models, no weights, served already), BadSpec,
    NotFound, DiskFull, JobFailed.
    """
    runs = _runs(db, run_ids, projects)
    for run in runs:
        weights_of(workspace, run)
    spec = _spec(workspace, runs[0], asked)
    folder = folder_of(workspace, runs[0].base_model)
    with _LOCK:
        if is_alive(folder):
            told = tr("'{model}' is being served already: stop that server first.", model=runs[0].base_model)
            raise BadInput(told)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "events.jsonl").unlink(missing_ok=True)
            (folder / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
        except OSError as error:
            told = tr("The server's folder cannot be written ({why}): make room.", why=error.strerror or error)
            raise DiskFull(told) from error
        write_names(folder, names_for(db, runs, projects))
        with claimed(folder) as lock:
            spawn(folder, SERVING_MODULE, lock, gives_memory_back())
    return folder


def names_for(db: Database, runs: Sequence[Run], projects: Sequence[str] = ()) -> dict[str, str]:
    """The names of some runs (`run-2`, or `PROJECT/run-2` where two have that number), and of what is in production."""
    numbers = [run.number for run in runs]
    found: dict[str, str] = {}
    for run in runs:
        alone = numbers.count(run.number) == 1
        found[f"run-{run.number}" if alone else f"{get_project(db, run.project_id).name}/run-{run.number}"] = run.id
    for project_id in dict.fromkeys([*(run.project_id for run in runs), *projects]):
        chosen = in_production(db, project_id)
        if chosen and get_run(db, chosen).base_model == runs[0].base_model:
            found[f"{get_project(db, project_id).name}{PRODUCTION}"] = chosen
    return found


def change_names(folder: Path, names: Mapping[str, str]) -> None:
    """Let a server answer to these names from its next look on, without a restart. Raises BadSpec, DiskFull."""
    write_names(folder, names)


def stop_serving(folder: Path) -> None:
    """Let a server finish what it answers (its `drain_seconds`) and end it; by force when it does not listen."""
    try:
        patience = read_serve_spec(folder).drain_seconds + _STOP_MARGIN_SECONDS
    except BadSpec:
        patience = _STOP_MARGIN_SECONDS
    if ask_to_stop(folder):
        deadline = time.monotonic() + patience
        while is_alive(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
    job_folders.end(folder)


def serving_standing(folder: Path) -> Server:
    """How the server of a folder stands."""
    try:
        base_model, names = read_serve_spec(folder).base_model, read_names(folder).names
    except BadSpec:
        base_model, names = "", {}
    standing = job_folders.standing(folder, mark("The server broke off"), mark("Stopped."))
    events = read_all(folder)
    told = next((event for event in reversed(events) if event.data.get("port")), None)
    warnings = [str(event.data.get("message")) for event in events if event.kind == "warning" and _after(event, told)]
    ended = not standing.alive or any(event.data.get("state") == "stopping" for event in events)
    if told is None or ended:
        return Server(folder, base_model, standing, names=names, warning=warnings[-1] if warnings else "")
    active = {str(name): str(run) for name, run in dict(told.data["names"]).items()}  # type: ignore[call-overload]
    warning = warnings[-1] if warnings else ""
    return Server(folder, base_model, standing, _url(told), active, warning, **_more(told.data))


def list_servers(workspace: Workspace) -> list[Server]:
    """The servers of a workspace, at work or not."""
    folders = sorted((workspace.root / "serving").glob(f"*/{SPEC_FILE}"))
    return [serving_standing(spec.parent) for spec in folders]


def wait_until_serving(folder: Path, seconds: float = _START_SECONDS) -> Server:
    """Wait until a server that was started answers. Raises JobFailed with what it said; then it is ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = serving_standing(folder)
        if found.ready:
            return found
        if not found.standing.alive:
            reap(folder)
            last = tr("The server ended while it loaded: {words}", words=log_tail(folder, 1)[:300])
            raise JobFailed(tr(found.standing.words) or last)
        time.sleep(0.1)
    stop_serving(folder)
    raise JobFailed("The model did not load in time: choose a smaller one.")


def folder_of(workspace: Workspace, base_model: str) -> Path:
    """Where the server of a base model lives."""
    return workspace.root / "serving" / hashlib.sha256(base_model.encode()).hexdigest()[:12]


def _after(event: Event, told: Event | None) -> bool:
    return told is None or event.seq > told.seq


def _more(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a server's event says of its engine and memory; nothing is lent by one of an earlier version."""
    device = str(data.get("device", ""))
    return {
        "engine": str(data.get("engine", "studio")),
        "device": "cuda:0" if device == "cuda" else device,
        "bytes": int(data.get("bytes", 0)),
        "lent_to": str(data.get("lent_to", "")),
    }


def _url(told: Event) -> str:
    host = str(told.data["host"])
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{host}:{told.data['port']}/v1"


def _runs(db: Database, run_ids: Sequence[str], projects: Sequence[str]) -> list[Run]:
    """The runs to serve, of one base model. Raises BadInput, NotFound."""
    wanted = list(dict.fromkeys(run_ids))
    for project_id in projects:
        if not wanted and (chosen := in_production(db, project_id)):
            wanted.append(chosen)
    if not wanted:
        raise BadInput("There is nothing to serve: name a finished run, or promote one first.")
    runs = [get_run(db, run_id) for run_id in wanted]
    if other := next((run for run in runs if run.base_model != runs[0].base_model), None):
        told = tr(
            "Run {other} began as '{other_model}' and run {number} as '{model}': serve runs of one base model "
            "together, and the others by another server.",
            **{"other": other.number, "other_model": other.base_model},
            **{"number": runs[0].number, "model": runs[0].base_model},
        )
        raise BadInput(told)
    return runs


def _spec(workspace: Workspace, run: Run, asked: Mapping[str, Any]) -> ServeSpec:
    device, dtype = where_to_run(run.spec)
    known = {
        "models": workspace.models,
        "runs": workspace.runs,
        "keys": keys_file(workspace),
        "base_model": run.base_model,
        "device": device,
        "dtype": dtype,
    }
    try:
        spec = ServeSpec.model_validate(known | dict(asked))
    except ValidationError as error:
        raise job_folders.unusable(error) from None
    if not is_own_machine(spec.host) and not read_keys(spec.keys).keys:
        told = mark("{host} is open to others, so requests need keys: `python -m studio key add NAME` first.")
        raise BadSpec(tr(told, host=spec.host))
    return spec.model_copy(update={"engine": engine_for(spec.engine, spec.device)})
