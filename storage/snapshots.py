"""Snapshots: which frozen dataset versions there are. Their rows lie in Parquet under snapshots/<id>/."""

from __future__ import annotations

from typing import Any

from storage.database import Database, aware, now
from storage.records import Snapshot
from studio.errors import NotFound

_COLUMNS = "id, project_id, version, seed, train_rows, validation_rows, test_rows, created_at"


def record_snapshot(
    db: Database, snapshot_id: str, project_id: str, seed: int, rows: tuple[int, int, int]
) -> tuple[Snapshot, bool]:
    """Note a frozen snapshot; `rows` of train, validation and test. Returns it and whether it is new to the project."""
    with db.write() as cursor:
        found = _find(cursor, snapshot_id, project_id)
        if found:
            return found, False
        row = cursor.execute("SELECT coalesce(max(version), 0) FROM snapshots WHERE project_id = ?", [project_id])
        version = int((row.fetchone() or (0,))[0]) + 1
        cursor.execute(
            f"INSERT INTO snapshots ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [snapshot_id, project_id, version, seed, *rows, now()],
        )
        made = _find(cursor, snapshot_id, project_id)
        assert made is not None
    return made, True


def list_snapshots(db: Database, project_id: str) -> list[Snapshot]:
    """A project's snapshots, newest first."""
    rows = db.query(f"SELECT {_COLUMNS} FROM snapshots WHERE project_id = ? ORDER BY version DESC", [project_id])
    return [_snapshot(row) for row in rows]


def get_snapshot(db: Database, snapshot_id: str, project_id: str | None = None) -> Snapshot:
    """A snapshot by its id or an unambiguous beginning of it (≥ 6 characters). Raises NotFound.

    Two projects with the same content share an id; without `project_id` the newest of them answers.
    """
    rows = db.query(
        f"SELECT {_COLUMNS} FROM snapshots WHERE (id = ? OR (length(?) >= 6 AND starts_with(id, ?))) "
        "AND (? IS NULL OR project_id = ?) ORDER BY created_at DESC",
        [snapshot_id, snapshot_id, snapshot_id, project_id, project_id],
    )
    if len({row[0] for row in rows}) != 1:
        raise NotFound(f"There is no single snapshot '{snapshot_id}': the Datasets tab lists their ids.")
    return _snapshot(rows[0])


def _find(cursor: Any, snapshot_id: str, project_id: str) -> Snapshot | None:
    sql = f"SELECT {_COLUMNS} FROM snapshots WHERE id = ? AND project_id = ?"
    row = cursor.execute(sql, [snapshot_id, project_id]).fetchone()
    return _snapshot(row) if row else None


def _snapshot(row: tuple[Any, ...]) -> Snapshot:
    return Snapshot(*(*row[:-1], aware(row[-1])))
