"""Suggestions: appended by models, each decided once by the annotator it was shown to; and the rates of it.

Where several annotators get one suggestion (overlap), the second decision is a row of its own, so that none is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa

from storage.database import Database, aware, now
from storage.records import Suggestion

OUTCOMES = ("accepted", "edited", "rejected")

_COLUMNS = "id, example_id, project_id, source, response, value, uncertainty, created_at, outcome, annotator"
_SOURCE = "(SELECT json_extract_string(settings, '$.suggest') FROM projects WHERE id = project_id)"


@dataclass(frozen=True)
class NewSuggestion:
    """A suggestion to keep."""

    example_id: str
    source: str
    response: str
    value: str
    uncertainty: float | None


@dataclass(frozen=True)
class SourceRate:
    """What became of a source's suggestions of one day (UTC): counts, and the mean number of characters changed in
    the edited ones (None without any)."""

    source: str
    day: date
    accepted: int
    edited: int
    rejected: int
    mean_distance: float | None

    @property
    def decided(self) -> int:
        """Suggestions that somebody acted on."""
        return self.accepted + self.edited + self.rejected

    @property
    def rate(self) -> float:
        """Share accepted as they were, 0 to 1."""
        return self.accepted / self.decided if self.decided else 0.0


def add_suggestions(db: Database, project_id: str, rows: Sequence[NewSuggestion]) -> int:
    """Keep suggestions of one project; how many. One statement whatever their number."""
    if not rows:
        return 0
    table = pa.table(
        {
            "id": pa.array([uuid4().hex for _ in rows], pa.string()),
            "example_id": pa.array([row.example_id for row in rows], pa.string()),
            "source": pa.array([row.source for row in rows], pa.string()),
            "response": pa.array([row.response for row in rows], pa.string()),
            "value": pa.array([row.value for row in rows], pa.string()),
            "uncertainty": pa.array([row.uncertainty for row in rows], pa.float64()),
        }
    )
    with db.write() as cursor:
        cursor.register("new_suggestions", table)
        cursor.execute(
            "INSERT INTO suggestions (id, example_id, project_id, source, response, value, uncertainty, created_at) "
            "SELECT id, example_id, ?, source, response, value, uncertainty, ? FROM new_suggestions",
            [project_id, now()],
        )
        cursor.unregister("new_suggestions")
    return len(rows)


def has_suggestions(db: Database, project_id: str) -> bool:
    """Whether a project has any."""
    return db.one("SELECT 1 FROM suggestions WHERE project_id = ? LIMIT 1", [project_id]) is not None


def newest_suggestion(db: Database, example_id: str) -> Suggestion | None:
    """The newest suggestion for an example from the source that its project has chosen, a corrected answer of a
    comparison that was sent to the queue, or what a served model answered."""
    row = db.one(
        f"SELECT {_COLUMNS} FROM suggestions WHERE example_id = ? AND source IN ({_SOURCE}, 'comparison', 'served') "
        "ORDER BY created_at DESC, outcome NULLS FIRST LIMIT 1",
        [example_id],
    )
    return _suggestion(row) if row else None


def find_suggestion(cursor: Any, suggestion_id: str) -> tuple[Suggestion, str] | None:
    """A suggestion and its project's task, within a transaction that is open; None for an id that is not there."""
    columns = ", ".join(f"s.{name}" for name in _COLUMNS.split(", "))
    row = cursor.execute(
        f"SELECT {columns}, p.task FROM suggestions s JOIN projects p ON p.id = s.project_id WHERE s.id = ?",
        [suggestion_id],
    ).fetchone()
    return (_suggestion(row[:-1]), str(row[-1])) if row else None


def without_suggestion(db: Database, source: str, ids: Collection[str], since: datetime | None = None) -> set[str]:
    """Those of some examples that have no suggestion of this source (made at `since` or later)."""
    if not ids:
        return set()
    marks = ", ".join("?" * len(ids))
    after = since.replace(tzinfo=None) if since else datetime.min
    found = db.query(
        f"SELECT DISTINCT example_id FROM suggestions WHERE example_id IN ({marks}) AND source = ? AND created_at >= ?",
        [*ids, source, after],
    )
    return set(ids) - {row[0] for row in found}


def write_outcome(cursor: Any, of: Suggestion, annotator: str, outcome: str, distance: int | None) -> None:
    """Note what an annotator made of a suggestion, within a transaction that is open."""
    if of.outcome is None or of.annotator == annotator:
        cursor.execute(
            "UPDATE suggestions SET outcome = ?, annotator = ?, distance = ?, decided_at = ? WHERE id = ?",
            [outcome, annotator, distance, now(), of.id],
        )
        return
    forget_outcome(cursor, of.id, annotator)
    cursor.execute(
        "INSERT INTO suggestions (id, example_id, project_id, source, response, value, uncertainty, created_at, "
        "outcome, annotator, distance, decided_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(uuid4().hex, of.example_id, of.project_id, of.source, of.response, of.value, of.uncertainty),
            *(of.created_at.replace(tzinfo=None), outcome, annotator, distance, now()),
        ],
    )


def forget_outcome(cursor: Any, suggestion_id: str, annotator: str | None = None) -> None:
    """Take back what an annotator made of a suggestion (None: whoever decided it), in an open transaction."""
    cursor.execute(
        "UPDATE suggestions SET outcome = NULL, annotator = NULL, distance = NULL, decided_at = NULL "
        "WHERE id = ? AND (? IS NULL OR annotator = ?)",
        [suggestion_id, annotator, annotator],
    )
    if annotator is not None:  # a second annotator's decision: a row beside the first one
        cursor.execute(
            "DELETE FROM suggestions WHERE id IN (SELECT o.id FROM suggestions s JOIN suggestions o "
            "ON o.example_id = s.example_id AND o.source = s.source AND o.created_at = s.created_at AND o.id <> s.id "
            "WHERE s.id = ? AND o.annotator = ?)",
            [suggestion_id, annotator],
        )


def list_uncertainties(db: Database, project_id: str, source: str) -> list[tuple[str, float]]:
    """Examples that wait for a label, with how unsure the newest suggestion of a source is."""
    return db.query(
        "SELECT s.example_id, arg_max(s.uncertainty, s.created_at) FROM suggestions s "
        "JOIN examples e ON e.id = s.example_id WHERE s.project_id = ? AND s.source = ? AND e.status = 'todo' "
        "AND s.uncertainty IS NOT NULL GROUP BY s.example_id ORDER BY s.example_id",
        [project_id, source],
    )


def list_rates(db: Database, project_id: str) -> list[SourceRate]:
    """Outcomes by source and day, oldest day first."""
    rows = db.query(
        "SELECT source, CAST(decided_at AS DATE) AS day, count(*) FILTER (outcome = 'accepted'), "
        "count(*) FILTER (outcome = 'edited'), count(*) FILTER (outcome = 'rejected'), "
        "avg(distance) FILTER (outcome = 'edited') FROM suggestions "
        "WHERE project_id = ? AND outcome IS NOT NULL GROUP BY source, day ORDER BY day, source",
        [project_id],
    )
    return [SourceRate(*row) for row in rows]


def accepted_share(db: Database, project_id: str, source: str, since: datetime) -> float | None:
    """Share of a source's suggestions decided after `since` that were accepted as they were; None without any."""
    row = db.one(
        "SELECT count(*), count(*) FILTER (outcome = 'accepted') FROM suggestions "
        "WHERE project_id = ? AND source = ? AND decided_at >= ?",
        [project_id, source, since.replace(tzinfo=None)],
    )
    return row[1] / row[0] if row and row[0] else None


def _suggestion(row: tuple[Any, ...]) -> Suggestion:
    example_id, project_id, source, response, value, uncertainty, created, outcome, annotator = row[1:]
    return Suggestion(
        row[0], example_id, project_id, source, response, value, uncertainty, aware(created), outcome, annotator
    )
