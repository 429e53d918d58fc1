"""Data out and frozen on behalf of somebody, each with a line in the audit log. Imports log themselves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.audit import record
from storage.database import Database
from storage.projects import get_project
from storage.records import User
from storage.snapshots import get_snapshot
from studio.data.exporting import (
    ExportReport,
    Progress,
    Wanted,
    export_project,
    export_snapshot,
    open_export,
    refuse_unfit,
)
from studio.data.outgoing import Source, project_source, snapshot_source
from studio.data.snapshots import Frozen, freeze
from studio.settings import Workspace


@dataclass(frozen=True)
class Goods:
    """What goes out: a project's accepted pairs, or one of its snapshots."""

    project_id: str
    snapshot_id: str = ""


@contextmanager
def source_of(db: Database, workspace: Workspace, goods: Goods) -> Iterator[Source]:
    """The rows, while the block is open. Raises NotFound, BadFile, and BadInput where there are none."""
    if not goods.snapshot_id:
        with project_source(db, goods.project_id) as source:
            yield source
        return
    found = get_snapshot(db, goods.snapshot_id, goods.project_id)
    project = get_project(db, found.project_id)
    yield snapshot_source(workspace, found.id, f"{project.name} v{found.version}")


def export_project_for(
    db: Database,
    user: User,
    project_id: str,
    path: Path,
    shape: str = "messages",
    on_progress: Progress | None = None,
) -> ExportReport:
    """Write a project's accepted pairs. Raises as `export_project`."""
    report = export_project(db, project_id, path, shape, on_progress)
    record(db, user.name, "data export", project_id, path.name, **_account(report, shape))
    return report


def export_snapshot_for(
    db: Database,
    workspace: Workspace,
    user: User,
    project_id: str,
    snapshot_id: str,
    path: Path,
    shape: str = "messages",
    on_progress: Progress | None = None,
) -> ExportReport:
    """Write a snapshot. Raises as `export_snapshot`."""
    report = export_snapshot(workspace, snapshot_id, path, shape, on_progress)
    record(db, user.name, "data export", project_id, snapshot_id, file=path.name, **_account(report, shape))
    return report


def check_export(
    db: Database, workspace: Workspace, goods: Goods, wanted: Wanted, on_progress: Progress | None = None
) -> ExportReport:
    """What an export would say, with nothing written. Raises as `open_download`."""
    with source_of(db, workspace, goods) as source:
        return open_export(source, wanted, on_progress).check()


def refuse_export(db: Database, workspace: Workspace, goods: Goods, wanted: Wanted) -> None:
    """Say at once what needs no look at the rows: raises NotFound, and BadInput where the shape cannot be."""
    with source_of(db, workspace, goods) as source:
        refuse_unfit(source, wanted)


@dataclass(frozen=True)
class Download:
    """A file on its way to a browser. `pieces` may be taken by several threads by turns; `close` must be called, as a
    read of the database is open till then."""

    name: str
    media: str
    pieces: Iterator[bytes]
    close: Callable[[], None]


def open_download(db: Database, workspace: Workspace, user: User, goods: Goods, wanted: Wanted) -> Download:
    """Begin a download, logged here, before its first byte. Raises NotFound, BadFile, BadInput; what goes wrong later
    is raised by `pieces`, and the file must then not look whole."""
    stack = ExitStack()
    try:
        source = stack.enter_context(source_of(db, workspace, goods))
        pieces = open_export(source, wanted).chunks()
        stack.callback(pieces.close)
        first = next(pieces)
        name = file_name(source.name, wanted)
        subject = goods.snapshot_id or name
        told = {"file": name, "shape": wanted.shape, "rows": source.rows, "by": "download"}
        record(db, user.name, "data export", goods.project_id, subject, **told)
    except BaseException:
        stack.close()
        raise
    return Download(name, _MEDIA[wanted.kind], _chain(first, pieces), stack.close)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def file_name(name: str, wanted: Wanted) -> str:
    """A file name of letters that every system takes: Support-v2-alpaca.jsonl."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:60] or "export"
    return f"{slug}-{wanted.shape}{wanted.kind}"


_MEDIA = {
    ".jsonl": "application/jsonl",
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".zip": "application/zip",
}


def _account(report: ExportReport, shape: str) -> dict[str, object]:
    left = sum(report.left_out.values())
    return {"rows": report.rows, "shape": shape, **({"left_out": left} if left else {})}


def freeze_for(
    db: Database,
    workspace: Workspace,
    user: User,
    project_id: str,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    stratify: bool = True,
    group_by: str = "column",
    on_progress: Callable[[float, str], bool] | None = None,
) -> Frozen:
    """Freeze a project's accepted pairs. Raises as `freeze`."""
    frozen = freeze(db, workspace, project_id, validation, test, seed, stratify, group_by, on_progress)
    if frozen.created:
        made = frozen.snapshot
        counts = {"train": made.train_rows, "validation": made.validation_rows, "test": made.test_rows}
        record(db, user.name, "data freeze", project_id, made.id, version=made.version, **counts)
    return frozen
