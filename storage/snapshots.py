"""Snapshots: which frozen dataset versions there are. Their rows lie in Parquet under snapshots/<id>/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.database import Database, aware, now
from storage.records import Snapshot
from studio.errors import NotFound

_MEMBERS = pa.schema([("example_id", pa.string()), ("split", pa.string())])
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


@dataclass(frozen=True)
class Membership:
    """A snapshot that holds an example, in which split, and the numbers of the runs trained on it."""

    snapshot: Snapshot
    split: str
    runs: tuple[int, ...]


def record_members(db: Database, snapshot_id: str, project_id: str, members: Sequence[tuple[str, str]]) -> None:
    """Note which examples a snapshot holds, as (example id, split); what was noted of it before is replaced."""
    ids, splits = zip(*members, strict=True) if members else ((), ())
    rows = pa.Table.from_arrays([pa.array(ids, pa.string()), pa.array(splits, pa.string())], schema=_MEMBERS)
    with db.write() as cursor:
        cursor.execute(
            "DELETE FROM snapshot_examples WHERE snapshot_id = ? AND project_id = ?", [snapshot_id, project_id]
        )
        cursor.register("members_batch", rows)
        cursor.execute(
            "INSERT INTO snapshot_examples (snapshot_id, project_id, example_id, split) "
            "SELECT ?, ?, example_id, split FROM members_batch",
            [snapshot_id, project_id],
        )
        cursor.unregister("members_batch")


def memberships(db: Database, example_id: str) -> list[Membership]:
    """The snapshots that an example is in, newest first, each with the runs trained on it."""
    rows = db.query(
        f"SELECT {', '.join('s.' + name for name in _COLUMNS.split(', '))}, m.split, "
        "coalesce((SELECT list(r.number ORDER BY r.number) FROM runs r "
        "WHERE r.snapshot_id = s.id AND r.project_id = s.project_id), []) "
        "FROM snapshot_examples m JOIN snapshots s ON s.id = m.snapshot_id AND s.project_id = m.project_id "
        "WHERE m.example_id = ? ORDER BY s.version DESC",
        [example_id],
    )
    return [Membership(_snapshot(row[:-2]), row[-2], tuple(row[-1])) for row in rows]


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
