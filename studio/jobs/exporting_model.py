"""Exports of models: start the process that writes and checks one, hand it the records for its card, tell how it goes.

Each run (or base model) has one job folder a format, with its newest export; where no other folder is named, the export
lies in it. What it leaves out: the writing and checking (studio.export), and the Hub (studio.data.model_push).
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storage.audit import record
from storage.database import Database
from storage.origins import read_origins
from storage.projects import get_project
from storage.records import Run, User
from storage.runs import get_run
from storage.snapshots import get_snapshot
from studio import __version__
from studio.contract.export import (
    FORMATS,
    REPORT_FILE,
    DataRecord,
    ExportReport,
    ExportSpec,
    Format,
    Records,
    read_export_report,
    read_export_spec,
)
from studio.contract.preflight import Finding
from studio.contract.spec import SPEC_FILE
from studio.errors import BadInput, BadSpec, DiskFull, JobFailed, NotFound
from studio.jobs import job_folders, preflighting
from studio.jobs.engine import where_to_run
from studio.jobs.evaluating import look_at as look_at_evaluation
from studio.jobs.job_folders import Standing
from studio.jobs.processes import claimed, is_alive, spawn
from studio.language import mark, tr
from studio.settings import Workspace

EXPORT_MODULE = "studio.export"
BASE = "base:"
"""What a source begins with that is a base model and no run: base:NAME."""

_FILES = "files"
_LOCK = threading.Lock()
_NOT_TOLD = frozenset({"snapshot", "models", "start_from", "trackers", "tracking_uri", "base_model", "chat_template"})
"""Settings that name places of this machine or repeat what a card says elsewhere."""


@dataclass(frozen=True)
class Exported:
    """How the newest export of a source in a format stands; the report where it has ended well."""

    source: str
    wanted: Format
    standing: Standing
    report: ExportReport | None = None


def start_export(
    db: Database,
    workspace: Workspace,
    user: User,
    source: str,
    wanted: str,
    target: Path | None = None,
    system: str | None = None,
    **asked: Any,
) -> Path:
    """Start the export of a run (its id) or of a base model ("base:NAME"); the folder that will hold it.

    `target`: a folder that is not there yet; None for one in the workspace, where it takes the place of an older one.
    `system`: the system prompt of the Modelfile, None for the project's. `asked`: other fields of ExportSpec. Raises
    BadInput (no weights yet, one is at work, nothing to be made in this format), BadSpec, NotFound, DiskFull,
    JobFailed.
    """
    if wanted not in FORMATS:
        told = tr("There is no format '{name}'; there are: {known}.", name=wanted[:40], known=", ".join(FORMATS))
        raise BadInput(told)
    run = None if source.startswith(BASE) else get_run(db, source)
    if run is not None:
        _check(run, wanted)
    folder = folder_of(workspace, source, wanted)
    place = folder / _FILES if target is None else _free(target)
    known = _of_base(source) if run is None else _of_run(db, workspace, run, system)
    fixed = {"runs": workspace.runs, "models": workspace.models, "format": wanted, "target": place}
    try:
        spec = ExportSpec.model_validate(known | fixed | asked)
    except ValidationError as error:
        raise job_folders.unusable(error) from None
    with _LOCK:
        if is_alive(folder):
            raise BadInput("This export is at work already: wait for it, or cancel it.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("events.jsonl", REPORT_FILE):
                (folder / name).unlink(missing_ok=True)
            if target is None:
                shutil.rmtree(place, ignore_errors=True)
            (folder / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            raise DiskFull(tr("The export cannot be written to {folder}: {why}.", folder=folder, why=why)) from error
        with claimed(folder) as lock:
            spawn(folder, EXPORT_MODULE, lock)
    record(db, user.name, "model export", run.project_id if run else "", source, format=wanted)
    return place


def look_at(workspace: Workspace, source: str, wanted: Format) -> Exported:
    """How the newest export of a source in a format stands."""
    folder = folder_of(workspace, source, wanted)
    found = job_folders.standing(folder, mark("The export broke off"), mark("Cancelled: nothing was exported."))
    if found.state != "done":
        return Exported(source, wanted, found)
    try:
        report = read_export_report(folder)
    except JobFailed as error:
        return Exported(source, wanted, Standing("failed", words=str(error)))
    if not report.target.is_dir():
        gone = tr("'{folder}' is gone: export again.", folder=report.target)
        return Exported(source, wanted, Standing("none", words=gone))
    return Exported(source, wanted, found, report)


def cancel_export(workspace: Workspace, source: str, wanted: str) -> None:
    """End an export; nothing of it stays."""
    folder = folder_of(workspace, source, wanted)
    job_folders.end(folder)
    try:
        target = read_export_spec(folder).target
    except BadSpec:
        return
    # Only a process that was ended by force leaves it behind.
    shutil.rmtree(target.with_name(f".{target.name}.exporting"), ignore_errors=True)


def follow_export(
    workspace: Workspace,
    source: str,
    wanted: Format,
    on_progress: Callable[[float, str], object] = lambda fraction, words: None,
) -> ExportReport:
    """See an export to its end; an interrupt cancels it. Raises JobFailed, Cancelled."""
    job_folders.follow(
        lambda: look_at(workspace, source, wanted).standing,
        lambda: cancel_export(workspace, source, wanted),
        on_progress,
    )
    return read_export_report(folder_of(workspace, source, wanted))


def folder_of(workspace: Workspace, source: str, wanted: str) -> Path:
    """Where the newest export of a source in a format has its job."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", source)[-80:]
    return workspace.exports / f"{slug}-{wanted}"


def _check(run: Run, wanted: str) -> None:
    """What can be said without loading anything. Raises BadInput."""
    if not run.adapter_hash:
        raise BadInput(tr("Run {number} has no weights yet: export it when it has ended.", number=run.number))
    method = run.spec.get("method", "lora")
    if wanted == "adapter" and method == "full":
        told = mark("Run {number} has trained all weights, so it has no adapter: export it as merged or gguf.")
        raise BadInput(tr(told, number=run.number))
    if wanted != "adapter" and method == "prompt":
        told = mark("Run {number} has learnt a prompt, which has no weights to merge: export it as adapter.")
        raise BadInput(tr(told, number=run.number))


def _free(target: Path) -> Path:
    try:
        place = target.expanduser().absolute()
        taken = place.exists() and (not place.is_dir() or any(place.iterdir()))
    except (OSError, RuntimeError, ValueError):
        told = tr("'{path}' is no usable path: name another folder.", path=str(target)[:200])
        raise BadInput(told) from None
    if taken:
        raise BadInput(tr("'{path}' is there already: name a folder that is not.", path=place))
    return place


def _of_base(source: str) -> dict[str, Any]:
    return {"base_model": source.removeprefix(BASE)}


def _of_run(db: Database, workspace: Workspace, run: Run, system: str | None) -> dict[str, Any]:
    """The fields of a run's spec. Compared in float32 wherever the run was trained: that is what is exported."""
    device, _ = where_to_run(run.spec)
    project = get_project(db, run.project_id)
    return {
        "run": run.id,
        "snapshot": workspace.snapshots / run.snapshot_id,
        "base_model": run.base_model,
        "device": device,
        "system": project.system_prompt if system is None else system,
        "records": records_of(db, workspace, run),
    }


def records_of(db: Database, workspace: Workspace, run: Run) -> Records:
    """What the app knows of a run and a card may tell: no prompt, no name of an annotator."""
    project = get_project(db, run.project_id)
    checked = preflighting.look_at(None, workspace, preflighting.Target(run.project_id, run.snapshot_id)).report
    findings = checked.findings if checked else ()
    return Records(
        studio=__version__,
        project=project.name,
        task=project.task,
        number=run.number,
        method=str(run.spec.get("method", "lora")),
        settings=_settings(run.spec),
        device=run.device or "",
        trained=f"{run.ended_at:%Y-%m-%d}" if run.ended_at else "",
        base_loss=run.base_loss,
        tuned_loss=run.tuned_loss,
        base_hash=run.base_hash or "",
        weights_hash=run.adapter_hash or "",
        data=_data(db, workspace, run),
        evaluation=look_at_evaluation(workspace, run).report,
        checked=checked is not None,
        bias=_sentences(findings, "bias", "imbalance"),
        personal=_sentences(findings, "personal-data", "secrets"),
    )


def _settings(spec: Mapping[str, object]) -> dict[str, str | int | float | bool | None]:
    plain = (str, int, float, bool)
    return {name: value for name, value in spec.items() if name not in _NOT_TOLD and isinstance(value, plain)}


def _sentences(findings: tuple[Finding, ...], *checks: str) -> tuple[str, ...]:
    return tuple(found.text for found in findings if found.check in checks)


def _data(db: Database, workspace: Workspace, run: Run) -> DataRecord | None:
    try:
        snapshot = get_snapshot(db, run.snapshot_id, run.project_id)
    except NotFound:
        return None
    origins = read_origins(db, run.project_id, run.snapshot_id)
    rows = {"train": snapshot.train_rows, "validation": snapshot.validation_rows, "test": snapshot.test_rows}
    return DataRecord(
        version=snapshot.version,
        hash=_hash(workspace.snapshots / run.snapshot_id) or snapshot.id,
        rows={split: count for split, count in rows.items() if count},
        answers=origins.answers,
        imported=origins.imported,
        annotators=origins.annotators,
        suggested=origins.suggested,
        reviewed=origins.reviewed,
    )


def _hash(folder: Path) -> str:
    """The content hash in a snapshot's manifest; '' where it cannot be read."""
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get("hash", "")) if isinstance(found, dict) else ""
