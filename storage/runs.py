"""Runs: what was started, and what their processes said since. A run's folder is the truth; these rows follow it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Database, aware, now
from storage.records import Run, RunEvent
from studio.errors import NotFound

_COLUMNS = (
    "id, project_id, snapshot_id, number, base_model, spec, state, message, step, steps, tokens_per_second, "
    "eta_seconds, memory_bytes, base_loss, tuned_loss, base_hash, adapter_hash, device, "
    "events_offset, created_at, ended_at"
)
_SETTABLE = frozenset(_COLUMNS.split(", ")[6:18])
_ENDED = ("done", "stopped", "failed")
_HELD = ("waiting", "paused")
"""States of a run that has no process and is to have one: it is in the queue (storage.queued)."""


@dataclass(frozen=True)
class NewEvent:
    """An event to take up: `at` is UTC and aware."""

    seq: int
    at: datetime
    kind: str
    data: Mapping[str, object]


def create_run(
    db: Database, run_id: str, project_id: str, snapshot_id: str, base_model: str, spec_json: str, steps: int
) -> Run:
    """Note a run that is about to start; it is numbered within its project."""
    with db.write() as cursor:
        create_run_in(cursor, run_id, project_id, snapshot_id, base_model, spec_json, steps)
    return get_run(db, run_id)


def create_run_in(
    cursor: Any,
    run_id: str,
    project_id: str,
    snapshot_id: str,
    base_model: str,
    spec_json: str,
    steps: int,
    state: str = "starting",
) -> None:
    """The same within a transaction that is open."""
    row = cursor.execute("SELECT coalesce(max(number), 0) FROM runs WHERE project_id = ?", [project_id]).fetchone()
    cursor.execute(
        "INSERT INTO runs (id, project_id, snapshot_id, number, base_model, spec, state, steps, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [run_id, project_id, snapshot_id, int(row[0] if row else 0) + 1, base_model, spec_json, state, steps, now()],
    )


def get_run(db: Database, run_id: str) -> Run:
    """Raises NotFound."""
    row = db.one(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", [run_id])
    if row is None:
        raise NotFound(f"There is no run '{run_id}': `runs` lists them.")
    return _run(row)


def run_number(db: Database, run_id: str) -> int | None:
    """What people call a run; None for one that is not there."""
    row = db.one("SELECT number FROM runs WHERE id = ?", [run_id])
    return int(row[0]) if row else None


def list_runs(db: Database, project_id: str | None = None) -> list[Run]:
    """Runs of a project (or of all), newest first."""
    sql = f"SELECT {_COLUMNS} FROM runs WHERE (? IS NULL OR project_id = ?) ORDER BY created_at DESC, number DESC"
    return [_run(row) for row in db.query(sql, [project_id, project_id])]


def list_active_runs(db: Database) -> list[Run]:
    """Runs whose processes have not ended as far as is known here; those that wait in the queue have none."""
    sql = f"SELECT {_COLUMNS} FROM runs WHERE NOT list_contains(?, state) ORDER BY created_at"
    return [_run(row) for row in db.query(sql, [[*_ENDED, *_HELD]])]


def take_up_events(
    db: Database, run_id: str, events: Sequence[NewEvent], offset: int, changes: Mapping[str, object]
) -> None:
    """Store new events, how far they were read, and what they change of the run's row, in one transaction."""
    with db.write() as cursor:
        if events:
            rows = [[run_id, e.seq, e.at.replace(tzinfo=None), e.kind, json.dumps(dict(e.data))] for e in events]
            cursor.executemany("INSERT INTO run_events VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)
        cursor.execute("UPDATE runs SET events_offset = ? WHERE id = ?", [offset, run_id])
        change_run(cursor, run_id, changes)


def change_run(cursor: Any, run_id: str, changes: Mapping[str, object]) -> None:
    """Change a run's row within a transaction that is open; with its state, when it ended. Raises ValueError."""
    unknown = set(changes) - _SETTABLE
    if unknown:
        raise ValueError(f"not columns of a run that can be set: {sorted(unknown)}")
    values = dict(changes)
    if "state" in values:
        values["ended_at"] = now() if values["state"] in _ENDED else None
    if values:
        assignments = ", ".join(f"{name} = ?" for name in values)
        cursor.execute(f"UPDATE runs SET {assignments} WHERE id = ?", [*values.values(), run_id])


def list_events(
    db: Database, run_id: str, kinds: Sequence[str], after: int = 0, most: int | None = None
) -> list[RunEvent]:
    """Events of some kinds behind sequence number `after`, in order.

    With `most` (2 or more), of more `step` events than that only so many: the first, the last and evenly spaced ones.
    """
    spaces = None if most is None else max(1, most - 1)
    rows = db.query(_THINNED, [run_id, list(kinds), after, run_id, most, most, spaces, spaces])
    return [RunEvent(row[0], row[1], aware(row[2]), row[3], json.loads(row[4])) for row in rows]


# Counted from the first step on, so that the chosen ones stay the same from one look to the next, while a run grows.
_THINNED = """
WITH asked AS (
    SELECT seq, kind, row_number() OVER (PARTITION BY kind = 'step' ORDER BY seq) AS nth,
           count(*) OVER (PARTITION BY kind = 'step') AS total
    FROM run_events WHERE run_id = ? AND list_contains(?, kind) AND seq > ?
)
SELECT run_id, seq, at_time, kind, data FROM run_events WHERE run_id = ? AND seq IN (
    SELECT seq FROM asked
    WHERE kind <> 'step' OR ? IS NULL OR total <= ? OR nth = total OR (nth - 1) % ((total + ? - 1) // ?) = 0
)
ORDER BY seq
"""


def _run(row: tuple[Any, ...]) -> Run:
    ended = aware(row[20]) if row[20] else None
    return Run(*(*row[:5], json.loads(row[5]), *row[6:19], aware(row[19]), ended))
