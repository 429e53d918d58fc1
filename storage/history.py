"""What else is known of one example than its acts and reviews: suggestions, leases, and who holds a draft.

Reads by key, for the panel that tells an example's whole story. The text of a draft is its writer's own: only who has
one is told.
"""

from __future__ import annotations

from datetime import UTC, datetime

from storage.database import Database, aware
from storage.records import Lease, Suggestion


def list_suggestions(db: Database, example_id: str) -> list[Suggestion]:
    """Every suggestion for an example, oldest first."""
    rows = db.query(
        "SELECT id, example_id, project_id, source, response, value, uncertainty, created_at, outcome, annotator "
        "FROM suggestions WHERE example_id = ? ORDER BY created_at, id",
        [example_id],
    )
    return [Suggestion(*(*row[:7], aware(row[7]), *row[8:])) for row in rows]


def leases_on(db: Database, example_id: str, moment: datetime) -> list[Lease]:
    """Who holds an example at a time (aware)."""
    rows = db.query(
        "SELECT example_id, annotator, project_id, expires_at FROM leases WHERE example_id = ? AND expires_at > ? "
        "ORDER BY expires_at",
        [example_id, moment.astimezone(UTC).replace(tzinfo=None)],
    )
    return [Lease(*(*row[:3], aware(row[3]))) for row in rows]


def drafters(db: Database, example_id: str) -> list[tuple[str, datetime]]:
    """Who has a draft of an example, and since when it is as it is."""
    rows = db.query("SELECT annotator, updated_at FROM drafts WHERE example_id = ? ORDER BY annotator", [example_id])
    return [(row[0], aware(row[1])) for row in rows]
