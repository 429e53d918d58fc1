"""Snapshots: which frozen dataset versions there are, what each holds, and what was once tested on and so stays tested.

Their rows lie in Parquet under snapshots/<id>/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.database import Database, aware, now
from storage.records import Snapshot
from studio.errors import Conflict, NotFound

MEMBERS = pa.schema([("example_id", pa.string()), ("annotation_id", pa.string()), ("split", pa.string())])
TESTED = pa.schema([("example_id", pa.string()), ("content_key", pa.string())])
_AT_ONCE = 100_000
_COLUMNS = "id, project_id, version, seed, train_rows, validation_rows, test_rows, created_at"


@dataclass(frozen=True)
class HeldOut:
    """What was once in a project's test split: examples, the keys of what they asked then, and how many rows say so."""

    examples: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    rows: int = 0


@dataclass(frozen=True)
class Membership:
    """A snapshot that holds an example, in which split, with which annotation ('' where it is not known), and the
    numbers of the runs trained on it."""

    snapshot: Snapshot
    split: str
    runs: tuple[int, ...]
    annotation_id: str = ""


def read_held_out(cursor: Any, project_id: str) -> HeldOut:
    """The held-out set of a project, within a read that is open."""
    rows = cursor.execute("SELECT example_id, content_key FROM held_out WHERE project_id = ?", [project_id]).fetchall()
    return HeldOut(frozenset(row[0] for row in rows), frozenset(row[1] for row in rows), len(rows))


def record_members(db: Database, snapshot_id: str, project_id: str, members: pa.Table) -> None:
    """Note which examples a snapshot holds, as MEMBERS rows; what was noted of it before is replaced.

    In several transactions, so that nobody waits for long: until `record_snapshot` they are of no snapshot.
    """
    with db.write() as cursor:
        cursor.execute(
            "DELETE FROM snapshot_examples WHERE snapshot_id = ? AND project_id = ?", [snapshot_id, project_id]
        )
    for at in range(0, members.num_rows, _AT_ONCE):
        with db.write() as cursor:
            cursor.register("members_batch", members.slice(at, _AT_ONCE))
            cursor.execute(
                "INSERT INTO snapshot_examples (snapshot_id, project_id, example_id, annotation_id, split) "
                "SELECT ?, ?, example_id, annotation_id, split FROM members_batch",
                [snapshot_id, project_id],
            )
            cursor.unregister("members_batch")


def record_snapshot(
    db: Database,
    snapshot_id: str,
    project_id: str,
    seed: int,
    rows: tuple[int, int, int],
    tested: pa.Table | None = None,
    known: HeldOut | None = None,
) -> tuple[Snapshot, bool]:
    """Note a frozen snapshot with its `rows` of train, validation and test, and that `tested` (TESTED rows) are held
    out from now on. Returns it and whether it is new to the project.

    Raises Conflict when another snapshot of the project has held out more than is `known`: the splits are then wrong.
    """
    with db.write() as cursor:
        held = cursor.execute("SELECT count(*) FROM held_out WHERE project_id = ?", [project_id]).fetchall()
        if known and held != [(known.rows,)]:
            raise Conflict("Another snapshot of this project was frozen meanwhile: freeze again.", None)
        if tested is not None and tested.num_rows:
            cursor.register("tested_batch", tested)
            cursor.execute(_HOLD_OUT, [project_id, snapshot_id, project_id])
            cursor.unregister("tested_batch")
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


_HOLD_OUT = (
    "INSERT INTO held_out SELECT DISTINCT ?, t.example_id, t.content_key, ? FROM tested_batch t "
    "ANTI JOIN (SELECT example_id, content_key FROM held_out WHERE project_id = ?) h "
    "ON h.example_id = t.example_id AND h.content_key = t.content_key"
)


def memberships(db: Database, example_id: str) -> list[Membership]:
    """The snapshots that an example is in, newest first, each with the runs trained on it."""
    rows = db.query(
        f"SELECT {', '.join('s.' + name for name in _COLUMNS.split(', '))}, m.split, m.annotation_id, "
        "coalesce((SELECT list(r.number ORDER BY r.number) FROM runs r "
        "WHERE r.snapshot_id = s.id AND r.project_id = s.project_id), []) "
        "FROM snapshot_examples m JOIN snapshots s ON s.id = m.snapshot_id AND s.project_id = m.project_id "
        "WHERE m.example_id = ? ORDER BY s.version DESC",
        [example_id],
    )
    return [Membership(_snapshot(row[:-3]), row[-3], tuple(row[-1]), row[-2]) for row in rows]


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
