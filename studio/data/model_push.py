"""An exported model to the Hugging Face Hub: only when somebody asks, private unless they say otherwise.

The exported folder goes as it is, card and all, in one commit; only an adapter's path of this machine is replaced by
the base model's name. A token is used and forgotten: it is neither stored nor logged.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from storage.audit import record
from storage.database import Database
from storage.records import User
from studio.contract.export import ExportReport
from studio.data.files import sentences
from studio.data.hub_push import Destination, Progress, check_destination, send
from studio.errors import BadFile, BadInput
from studio.language import tr
from studio.models.hub import is_hub_id
from studio.settings import Workspace

_ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class PushedModel:
    """A model that is on the Hub now."""

    url: str
    private: bool


def push_model(
    db: Database,
    workspace: Workspace,
    user: User,
    report: ExportReport,
    destination: Destination,
    project_id: str = "",
    on_progress: Progress = lambda fraction, words: True,
) -> PushedModel:
    """Send the folder of an export that is still what its report says.

    Raises BadInput (name, token, an unreachable Hub), BadFile (files gone or changed), DiskFull.
    """
    check_destination(destination, "model")
    _check_files(report)
    copied = workspace.uploads / f"push-{uuid4().hex}"
    try:
        folder = report.target
        if report.format == "adapter":
            with sentences(copied):
                folder = _without_paths(report, copied)
        on_progress(0.1, tr("Sending"))
        url, private = send(destination, folder, "model")
    finally:
        shutil.rmtree(copied, ignore_errors=True)
    told = {"repo": destination.repo, "private": private, "format": report.format}
    record(db, user.name, "model push", project_id, report.run or report.base_model, **told)
    return PushedModel(url, private)


def _check_files(report: ExportReport) -> None:
    """Nothing may go out that was not exported: a folder of a user's own may have got other files since."""
    known = {file.name: file.size for file in report.files}
    try:
        there = {path.name: path.stat().st_size for path in report.target.iterdir()}
    except OSError as error:
        raise BadFile(tr("The export at '{path}' is gone: export again.", path=report.target)) from error
    if {name: size for name, size in there.items() if name != "README.md"} != {
        name: size for name, size in known.items() if name != "README.md"
    }:
        told = {"path": report.target}
        raise BadFile(tr("The files in '{path}' are not those that were exported: export again.", **told))


def _without_paths(report: ExportReport, copied: Path) -> Path:
    """A copy of an adapter's folder that names its base as the Hub does, or by its last name."""
    if report.target.is_symlink():
        raise BadInput(tr("'{path}' is a link: export again.", path=report.target))
    shutil.copytree(report.target, copied, symlinks=True)
    config = json.loads((copied / _ADAPTER).read_text(encoding="utf-8"))
    base = report.base_model
    config["base_model_name_or_path"] = base if is_hub_id(base) and not Path(base).is_dir() else Path(base).name
    (copied / _ADAPTER).write_text(json.dumps(config, indent=2), encoding="utf-8")
    return copied
