"""Data out and frozen on behalf of somebody, each with a line in the audit log. Imports log themselves."""

from __future__ import annotations

from pathlib import Path

from storage.audit import record
from storage.database import Database
from storage.records import User
from studio.data.exporting import export_project, export_snapshot
from studio.data.snapshots import Frozen, freeze
from studio.settings import Workspace


def export_project_for(db: Database, user: User, project_id: str, path: Path) -> int:
    """Write a project's accepted pairs; how many. Raises as `export_project`."""
    rows = export_project(db, project_id, path)
    record(db, user.name, "data export", project_id, path.name, rows=rows)
    return rows


def export_snapshot_for(
    db: Database, workspace: Workspace, user: User, project_id: str, snapshot_id: str, path: Path
) -> int:
    """Write a snapshot; how many rows. Raises as `export_snapshot`."""
    rows = export_snapshot(workspace, snapshot_id, path)
    record(db, user.name, "data export", project_id, snapshot_id, file=path.name, rows=rows)
    return rows


def freeze_for(
    db: Database,
    workspace: Workspace,
    user: User,
    project_id: str,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> Frozen:
    """Freeze a project's accepted pairs. Raises as `freeze`."""
    frozen = freeze(db, workspace, project_id, validation, test, seed)
    if frozen.created:
        made = frozen.snapshot
        counts = {"train": made.train_rows, "validation": made.validation_rows, "test": made.test_rows}
        record(db, user.name, "data freeze", project_id, made.id, version=made.version, **counts)
    return frozen
