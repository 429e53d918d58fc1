"""A dataset to the Hugging Face Hub: only when somebody asks, private unless they say otherwise.

The files are written first, so that nothing goes out where the disk is full or a row has no place; then one commit. A
token is used and forgotten: it is neither stored nor logged. What it leaves out: changing who may see a repository.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from storage.audit import record
from storage.database import Database
from storage.origins import read_origins
from storage.projects import TASKS, get_project
from storage.records import Project, User
from storage.snapshots import get_snapshot
from studio import __version__
from studio.data.dataset_card import CardFacts, card_text
from studio.data.export_files import Export, columnar_schema, split_file
from studio.data.export_shapes import find_shape
from studio.data.exporting import ExportReport
from studio.data.files import sentences
from studio.data.outgoing import Source
from studio.data.snapshot_files import read_manifest
from studio.data.transfers import Goods, source_of
from studio.errors import BadInput, Cancelled
from studio.language import mark, tr
from studio.models.hub import endpoint, is_hub_id, is_offline, reachable
from studio.settings import Workspace

Progress = Callable[[float, str], bool]
"""Is told how far it is (0 to 1) and in words; False calls it off."""

_TOLD_ROWS = 1000


@dataclass(frozen=True)
class Destination:
    """Where a dataset goes: `repo` as OWNER/NAME. Without `token`, the one that `hf auth login` or HF_TOKEN gave."""

    repo: str
    private: bool = True
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Pushed:
    """A dataset that is on the Hub now."""

    url: str
    private: bool
    report: ExportReport


def push(
    db: Database,
    workspace: Workspace,
    user: User,
    goods: Goods,
    destination: Destination,
    shape: str = "messages",
    agreement: str = "",
    on_progress: Progress = lambda fraction, words: True,
) -> Pushed:
    """Write Parquet files and a card, and send them in one commit. `agreement` is said in the card.

    Raises BadInput (name, shape, token, an unreachable Hub), NotFound, BadFile, DiskFull, Cancelled.
    """
    check_destination(destination)
    folder = workspace.uploads / f"push-{uuid4().hex}"
    try:
        with sentences(folder):
            (folder / "data").mkdir(parents=True)
            report = _write(db, workspace, goods, shape, agreement, folder, on_progress)
        on_progress(0.6, tr("Sending"))
        url, private = send(destination, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told = {"repo": destination.repo, "private": private, "shape": shape, "rows": report.rows}
    record(db, user.name, "data push", goods.project_id, goods.snapshot_id or destination.repo, **told)
    return Pushed(url, private, report)


def check_destination(destination: Destination, what: str = "dataset") -> None:
    """Raises BadInput, within seconds, for a name that the Hub does not take or a Hub that cannot be reached."""
    if not is_hub_id(destination.repo):
        name = destination.repo[:80]
        if what == "model":
            raise BadInput(tr("'{name}' is no name for a model on the Hub: write OWNER/NAME.", name=name))
        raise BadInput(tr("'{name}' is no name for a dataset on the Hub: write OWNER/NAME.", name=name))
    if is_offline() or not reachable():
        told = {"address": endpoint()}
        raise BadInput(tr("The Hub ({address}) cannot be reached: nothing was sent. Export to a file instead.", **told))


def _write(
    db: Database,
    workspace: Workspace,
    goods: Goods,
    shape: str,
    agreement: str,
    folder: Path,
    on_progress: Progress,
) -> ExportReport:
    with source_of(db, workspace, goods) as source:
        export = Export(source, find_shape(shape), "hub")
        rows: dict[str, int] = {}
        export.on_row = lambda seen: _tell(on_progress, seen, source.rows)
        for split in source.splits or ("",):
            name = split or "train"
            before = export.rows
            with (folder / "data" / f"{name}-00000-of-00001.parquet").open("wb") as file:
                for piece in split_file(export, split):
                    file.write(piece)
            rows[name] = export.rows - before
        export.refuse_nothing()
        card = card_text(_facts(db, workspace, goods, export, source, rows, agreement))
        (folder / "README.md").write_text(card, encoding="utf-8")
        return export.report


def _tell(on_progress: Progress, seen: int, rows: int) -> None:
    if seen % _TOLD_ROWS:
        return
    if not on_progress(0.6 * seen / max(1, rows), tr("Writing: {rows:,} rows", rows=seen)):
        raise Cancelled("The push was called off: nothing was sent.")


def _facts(
    db: Database,
    workspace: Workspace,
    goods: Goods,
    export: Export,
    source: Source,
    rows: dict[str, int],
    agreement: str,
) -> CardFacts:
    project: Project = get_project(db, goods.project_id)
    version, digest, seed = 0, "", None
    if goods.snapshot_id:
        version = get_snapshot(db, goods.snapshot_id, goods.project_id).version
        manifest: dict[str, Any] = read_manifest(workspace, goods.snapshot_id)
        digest, seed = str(manifest.get("hash", "")), manifest.get("seed")
    return CardFacts(
        project=project.name,
        task=project.task,
        title=TASKS[project.task],
        shape=export.shape.title,
        rows=rows,
        columns=tuple(columnar_schema(export.shape, export.traits).names),
        origins=read_origins(db, goods.project_id, goods.snapshot_id),
        reviewed=project.settings.review,
        agreement=agreement,
        studio=__version__,
        version=version,
        hash=digest,
        seed=seed,
        remarks=tuple(export.report.lines),
    )


def send(destination: Destination, folder: Path, kind: str = "dataset") -> tuple[str, bool]:
    """All files of a folder in one commit; the address, and whether it is private. The repository (`kind`: dataset or
    model) is made where there is none; a public one that exists already takes nothing that was meant to be private.
    Raises BadInput."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi(token=destination.token.strip() or None)
    try:
        made = api.create_repo(destination.repo, repo_type=kind, private=destination.private, exist_ok=True)
        private = bool(api.repo_info(made.repo_id, repo_type=kind).private)
        if destination.private and not private:
            told = {"name": made.repo_id}
            raise BadInput(tr("'{name}' exists and is public: choose another name, or push without “private”.", **told))
        words = f"{kind.capitalize()} from SFT Studio"
        api.upload_folder(repo_id=made.repo_id, repo_type=kind, folder_path=folder, commit_message=words)
    except LocalTokenNotFoundError:
        raise BadInput(_NO_TOKEN) from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        raise BadInput(_refusal(status, destination.repo)) from None
    except (OSError, RuntimeError, ValueError, httpx.HTTPError) as error:
        told = {"error": type(error).__name__}
        raise BadInput(tr("The Hub could not be written to ({error}): try again.", **told)) from None
    return str(made), private


_NO_TOKEN = mark("The Hub wants to know who you are: run `hf auth login` on this machine, or give a token.")


def _refusal(status: int, repo: str) -> str:
    if status == 401:
        return _NO_TOKEN
    if status == 403:
        advice = mark("Your token may not write to '{name}': give one with write access, or choose your own name.")
        return tr(advice, name=repo)
    told = {"name": repo, "status": status}
    return tr("The Hub refused '{name}' (status {status}): try again, or choose another name.", **told)
