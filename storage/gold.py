"""Gold: examples whose right answer is known, shown hidden among the others to see how well somebody answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.audit import record_in
from storage.database import Database, aware, now
from storage.examples import get_example
from studio.errors import NotFound


@dataclass(frozen=True)
class Gold:
    """A known answer to an example, and who set it when."""

    example_id: str
    response: str
    value: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class GoldAnswer:
    """What an annotator gave to a gold example, beside what is right."""

    annotator: str
    response: str
    value: str
    gold_response: str
    gold_value: str


def put_gold(db: Database, user: str, example_id: str, response: str, value: str) -> None:
    """Set an example's known answer, or set it anew. Raises NotFound."""
    project_id = get_example(db, example_id).project_id
    with db.write() as cursor:
        cursor.execute(
            "INSERT INTO gold VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (example_id) DO UPDATE SET "
            "response = excluded.response, value = excluded.value, created_by = excluded.created_by, "
            "created_at = excluded.created_at",
            [example_id, project_id, response, value, user, now()],
        )
        record_in(cursor, user, "gold set", project_id, example_id, response=response, value=value)


def drop_gold(db: Database, user: str, example_id: str) -> None:
    """Make an example an ordinary one again; what was answered to it stays. Raises NotFound."""
    with db.write() as cursor:
        row = cursor.execute("DELETE FROM gold WHERE example_id = ? RETURNING project_id", [example_id]).fetchone()
        if row is None:
            raise NotFound("This example is no gold example.")
        record_in(cursor, user, "gold remove", row[0], example_id)


def get_gold(db: Database, example_id: str) -> Gold | None:
    """An example's known answer, or None."""
    row = db.one(
        "SELECT example_id, response, value, created_by, created_at FROM gold WHERE example_id = ?", [example_id]
    )
    return Gold(*(*row[:4], aware(row[4]))) if row else None


def next_gold(db: Database, project_id: str, annotator: str) -> str | None:
    """A gold example that this annotator neither set nor ever acted on, in an order of their own; None when none is
    left. The order is a hash of both ids, so it is the same at each call and differs between annotators.
    """
    row = db.one(
        "SELECT g.example_id FROM gold g JOIN examples e ON e.id = g.example_id "
        "WHERE g.project_id = ? AND g.created_by <> ? AND NOT EXISTS ("
        "SELECT 1 FROM annotations a WHERE a.example_id = g.example_id AND a.annotator = ? AND a.action <> 'undo' "
        "AND NOT EXISTS (SELECT 1 FROM annotations u WHERE u.action = 'undo' AND u.undoes = a.id)) "
        "ORDER BY hash(g.example_id || ?) LIMIT 1",
        [project_id, annotator, annotator, annotator],
    )
    return str(row[0]) if row else None


def list_gold_answers(db: Database, project_id: str) -> list[GoldAnswer]:
    """Each annotator's newest standing answer to each gold example."""
    rows = db.query(
        "SELECT annotator, a.response, a.value, g.response, g.value FROM (SELECT * FROM annotations "
        "WHERE project_id = ? AND source = 'gold' AND action = 'submit') a JOIN gold g ON g.example_id = a.example_id "
        "WHERE NOT EXISTS (SELECT 1 FROM annotations u WHERE u.action = 'undo' AND u.undoes = a.id) "
        "QUALIFY row_number() OVER (PARTITION BY a.example_id, a.annotator ORDER BY a.number DESC) = 1",
        [project_id],
    )
    return [GoldAnswer(*row) for row in rows]
