"""Leases: an example lent to one annotator for minutes. Who gets which is decided in studio.labeling.queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from storage.database import Database, aware
from storage.records import Lease

_COLUMNS = "example_id, annotator, project_id, expires_at"


def list_leases(db: Database, project_id: str) -> list[Lease]:
    """The leases of a project's examples that wait or are gold, those that ran out too, the oldest end first."""
    rows = db.query(
        "SELECT l.example_id, l.annotator, l.project_id, l.expires_at FROM leases l "
        "JOIN examples e ON e.id = l.example_id WHERE l.project_id = ? "
        "AND (e.status = 'todo' OR l.example_id IN (SELECT example_id FROM gold)) ORDER BY l.expires_at",
        [project_id],
    )
    return [Lease(*(*row[:3], aware(row[3]))) for row in rows]


def add_leases(cursor: Any, leases: Sequence[Lease]) -> None:
    """Grant leases that are not there yet (a third of the time of `put_leases`)."""
    for lease in leases:
        cursor.execute(
            f"INSERT INTO leases ({_COLUMNS}) VALUES (?, ?, ?, ?)",
            [lease.example_id, lease.annotator, lease.project_id, _stored(lease.expires_at)],
        )


def put_leases(cursor: Any, leases: Sequence[Lease]) -> None:
    """Grant leases, or set a new end of those that are there."""
    for lease in leases:
        cursor.execute(
            f"INSERT INTO leases ({_COLUMNS}) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (example_id, annotator) DO UPDATE SET expires_at = excluded.expires_at",
            [lease.example_id, lease.annotator, lease.project_id, _stored(lease.expires_at)],
        )


def renew_leases(cursor: Any, project_id: str, annotator: str, now: datetime, expires_at: datetime) -> None:
    """Set a new end of an annotator's leases that have not run out."""
    cursor.execute(
        "UPDATE leases SET expires_at = ? WHERE project_id = ? AND annotator = ? AND expires_at > ?",
        [_stored(expires_at), project_id, annotator, _stored(now)],
    )


def drop_lease(cursor: Any, example_id: str, annotator: str) -> None:
    """End one lease."""
    cursor.execute("DELETE FROM leases WHERE example_id = ? AND annotator = ?", [example_id, annotator])


def drop_leases(cursor: Any, project_id: str, annotator: str) -> None:
    """End all leases of an annotator in a project."""
    cursor.execute("DELETE FROM leases WHERE project_id = ? AND annotator = ?", [project_id, annotator])


def _stored(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
