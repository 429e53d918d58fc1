"""Pairs out of the studio: a project's accepted pairs, or a snapshot, in a shape and a kind of file.

Files appear whole or not at all, and a download is the same bytes piece by piece. Importing an export into a project
with the same settings gives the same pairs again, for all that the shape has a place for; the rest is counted and said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storage.database import Database
from studio.data.export_files import KINDS, Export, ExportReport, write_folder
from studio.data.export_shapes import SHAPES, find_shape
from studio.data.files import whole_file, whole_folder
from studio.data.outgoing import Source, project_source, snapshot_source
from studio.data.safecells import safe_cell
from studio.errors import BadInput
from studio.settings import Workspace

__all__ = [
    "KINDS",
    "SHAPES",
    "ExportReport",
    "Wanted",
    "check_project",
    "check_snapshot",
    "export_project",
    "export_snapshot",
    "open_export",
    "refuse_unfit",
    "safe_cell",
    "wanted_by",
]

Progress = Callable[[int], None]
"""Is told now and then how many rows were looked at; what it raises ends the export."""

SHAPES_BY_FILE = {"jsonl": ".jsonl", "csv": ".csv", "parquet": ".parquet", "datasets": "folder"}
"""Names of kinds that may stand where a shape is asked for: messages, in such a file."""

_PROGRESS_ROWS = 1000


@dataclass(frozen=True)
class Wanted:
    """What to write: a shape by its name, and a kind of file ("" to take it from the path's ending)."""

    shape: str = "messages"
    kind: str = ""


def wanted_by(shape: str, path: Path) -> Wanted:
    """What somebody means who names a shape (or a kind of file: csv, parquet, datasets) and a path.

    Raises BadInput for another shape or ending, or where the two do not fit.
    """
    path = Path(path)
    ending = path.suffix.lower()
    kind = SHAPES_BY_FILE.get(shape, "")
    if not kind:
        find_shape(shape)
    if kind and kind != "folder" and ending != kind:
        raise BadInput(f"'{path.name}' is to be a {shape} file, so its ending must be {kind}.")
    if not kind:
        kind = ending or "folder"
    if kind == "folder" and ending == ".zip":
        kind = ".zip"
    if kind not in KINDS and kind != "folder":
        endings = ", ".join(KINDS)
        raise BadInput(f"'{path.name}' cannot be written: its ending must be one of {endings}, or none for a folder.")
    return Wanted("messages" if shape in SHAPES_BY_FILE else shape, kind)


def export_project(
    db: Database, project_id: str, path: Path, shape: str = "messages", on_progress: Progress | None = None
) -> ExportReport:
    """Write the accepted pairs of a project to a file, or a `datasets` folder where `path` has no ending.

    Raises NotFound, BadInput for another shape or ending or nothing to write, BadFile, DiskFull.
    """
    wanted = wanted_by(shape, path)
    with project_source(db, project_id) as source:
        return _write(open_export(source, wanted, on_progress), path)


def export_snapshot(
    workspace: Workspace,
    snapshot_id: str,
    path: Path,
    shape: str = "messages",
    on_progress: Progress | None = None,
) -> ExportReport:
    """Write a snapshot, its splits in a column `split` or, in a folder, side by side. Raises as `export_project`."""
    wanted = wanted_by(shape, path)
    return _write(open_export(snapshot_source(workspace, snapshot_id), wanted, on_progress), path)


def check_project(db: Database, project_id: str, wanted: Wanted, on_progress: Progress | None = None) -> ExportReport:
    """What an export of a project would say, with nothing written. Raises as `export_project`."""
    with project_source(db, project_id) as source:
        return open_export(source, wanted, on_progress).check()


def check_snapshot(
    workspace: Workspace, snapshot_id: str, wanted: Wanted, on_progress: Progress | None = None
) -> ExportReport:
    """What an export of a snapshot would say, with nothing written. Raises as `export_snapshot`."""
    return open_export(snapshot_source(workspace, snapshot_id), wanted, on_progress).check()


def open_export(source: Source, wanted: Wanted, on_progress: Progress | None = None) -> Export:
    """An export about to be written; nothing is read yet. Raises BadInput where the shape cannot be."""
    export = Export(source, find_shape(wanted.shape), wanted.kind)
    if on_progress:
        export.on_row = lambda seen: on_progress(seen) if seen % _PROGRESS_ROWS == 0 else None
    return export


def refuse_unfit(source: Source, wanted: Wanted) -> None:
    """Raises BadInput for a shape that a kind of file, or every row of a source, cannot have."""
    open_export(source, wanted)


def _write(export: Export, path: Path) -> ExportReport:
    path = Path(path)
    if export.kind == "folder":
        if path.exists():
            raise BadInput(f"{path} is there already: name a folder that is not.")
        with whole_folder(path) as folder:
            write_folder(export, folder)
        return export.report
    if path.is_dir():
        raise BadInput(f"{path} is a folder: name a file.")
    with whole_file(path) as file:
        for chunk in export.chunks():
            file.write(chunk)
    return export.report
