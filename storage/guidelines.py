"""Guidelines: every text that a project's have had, so that each answer is known with what its annotator had to read.

A version is appended when a project's texts are saved and the guidelines are other than before; none is ever changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.database import Database, aware, now

_COLUMNS = "project_id, version, text, user_name, created_at"


@dataclass(frozen=True)
class Guidelines:
    """One version of a project's guidelines; `version` counts from 1, `user_name` is '' where nobody is known."""

    project_id: str
    version: int
    text: str
    user_name: str
    created_at: datetime


def note_guidelines(cursor: Any, project_id: str, text: str, user_name: str) -> None:
    """Append a version within an open transaction, unless the newest has this text."""
    newest = cursor.execute(
        "SELECT version, text FROM guidelines WHERE project_id = ? ORDER BY version DESC LIMIT 1", [project_id]
    ).fetchone()
    if newest is None or newest[1] != text:
        version = newest[0] + 1 if newest else 1
        cursor.execute("INSERT INTO guidelines VALUES (?, ?, ?, ?, ?)", [project_id, version, text, user_name, now()])


def list_guidelines(db: Database, project_id: str) -> list[Guidelines]:
    """A project's versions, oldest first."""
    rows = db.query(f"SELECT {_COLUMNS} FROM guidelines WHERE project_id = ? ORDER BY version", [project_id])
    return [Guidelines(*(*row[:-1], aware(row[-1]))) for row in rows]


def guidelines_at(db: Database, project_id: str, moment: datetime) -> Guidelines | None:
    """The version that was in force at a time (aware); the first for what is older than all; None for no project."""
    stored = moment.astimezone(UTC).replace(tzinfo=None)
    row = db.one(
        f"SELECT {_COLUMNS} FROM guidelines WHERE project_id = ? "
        "ORDER BY created_at <= ? DESC, CASE WHEN created_at <= ? THEN -version ELSE version END LIMIT 1",
        [project_id, stored, stored],
    )
    return Guidelines(*(*row[:-1], aware(row[-1]))) if row else None
