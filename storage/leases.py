"""Leases: an example lent to one annotator for minutes. Who gets which is decided in studio.labeling.queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from storage.database import Database, aware
from storage.records import Lease

_COLUMNS = "example_id, annotator, project_id, expires_at, gold"


def list_leases(db: Database, project_id: str) -> list[Lease]:
    """The leases of a project's examples that wait or are gold, those that ran out too, the oldest end first."""
    rows = db.query(
        "SELECT l.example_id, l.annotator, l.project_id, l.expires_at, l.gold FROM leases l "
        "JOIN examples e ON e.id = l.example_id WHERE l.project_id = ? "
        "AND (e.status = 'todo' OR l.gold) ORDER BY l.expires_at",
        [project_id],
    )
    return [Lease(*(*row[:3], aware(row[3]), row[4])) for row in rows]


def add_leases(cursor: Any, leases: Sequence[Lease]) -> None:
    """Grant leases that are not there yet, in one statement (a third of the time of `put_leases`)."""
    if leases:
        marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(leases))
        values = [value for lease in leases for value in _values(lease)]
        cursor.execute(f"INSERT INTO leases ({_COLUMNS}) VALUES {marks}", values)


def put_leases(cursor: Any, leases: Sequence[Lease]) -> None:
    """Grant leases, or set a new end of those that are there."""
    for lease in leases:
        cursor.execute(
            f"INSERT INTO leases ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (example_id, annotator) DO UPDATE SET expires_at = excluded.expires_at",
            _values(lease),
        )


def renew_leases(cursor: Any, project_id: str, annotator: str, now: datetime, expires_at: datetime) -> None:
    """Set a new end of an annotator's leases that have not run out."""
    cursor.execute(
        "UPDATE leases SET expires_at = ? WHERE project_id = ? AND annotator = ? AND expires_at > ?",
        [_stored(expires_at), project_id, annotator, _stored(now)],
    )


def drop_some(cursor: Any, keys: Sequence[tuple[str, str]]) -> None:
    """End leases by example and annotator."""
    if keys:
        marks = ", ".join(["(?, ?)"] * len(keys))
        values = [value for key in keys for value in key]
        cursor.execute(f"DELETE FROM leases WHERE (example_id, annotator) IN ({marks})", values)


def drop_leases(cursor: Any, project_id: str, annotator: str) -> None:
    """End all leases of an annotator in a project."""
    cursor.execute("DELETE FROM leases WHERE project_id = ? AND annotator = ?", [project_id, annotator])


def _values(lease: Lease) -> list[Any]:
    return [lease.example_id, lease.annotator, lease.project_id, _stored(lease.expires_at), lease.gold]


def _stored(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
