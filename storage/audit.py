"""The audit log: who did what to what, appended and never changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from storage.database import Database, aware, now
from storage.records import AuditLine

_COLUMNS = "number, at_time, user_name, action, project_id, project, subject, details"
_FROM = (
    "(SELECT a.*, coalesce(p.name, '') AS project FROM audit a LEFT JOIN projects p ON p.id = a.project_id) AS lines"
)
_MOST = 500


def record(db: Database, user: str, action: str, project_id: str = "", subject: str = "", **details: object) -> None:
    """Append a line in a transaction of its own: `action` as a verb with its object ("label rename")."""
    with db.write() as cursor:
        record_in(cursor, user, action, project_id, subject, **details)


def record_in(cursor: Any, user: str, action: str, project_id: str = "", subject: str = "", **details: object) -> None:
    """Append a line within a transaction that is open, so that the act and its line are one."""
    cursor.execute(
        "INSERT INTO audit (at_time, user_name, action, project_id, subject, details) VALUES (?, ?, ?, ?, ?, ?)",
        [now(), user, action, project_id, subject, json.dumps(details, ensure_ascii=False, default=str)],
    )


def search_audit(
    db: Database,
    text: str = "",
    user: str = "",
    action: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[AuditLine]:
    """The newest lines that match, at most 500; the next page is asked for with `before` = the last one's number.

    `text` is looked for, whatever its case, in user, action, project name, subject and details; `user` and `action`
    must be equal; `since` ≤ time < `until` (aware times).
    """
    where: list[str] = ["TRUE"]
    params: list[Any] = []
    if text.strip():
        where.append("contains(lower(concat_ws(' ', user_name, action, project, subject, details)), lower(?))")
        params.append(text.strip())
    for column, value in (("user_name", user), ("action", action)):
        if value:
            where.append(f"{column} = ?")
            params.append(value)
    for test, moment in (("at_time >= ?", since), ("at_time < ?", until)):
        if moment:
            where.append(test)
            params.append(_stored(moment))
    if before is not None:
        where.append("number < ?")
        params.append(before)
    params.append(max(1, min(limit, _MOST)))
    rows = db.query(f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?", params)
    return [
        AuditLine(number, aware(moment), who, what, project_id, project, subject, json.loads(details))
        for number, moment, who, what, project_id, project, subject, details in rows
    ]


def each_audit_line(db: Database, **asked: Any) -> Iterator[AuditLine]:
    """Every line that matches, the newest first, read in pages (`asked`: as `search_audit`, less limit and before)."""
    before = None
    while lines := search_audit(db, limit=_MOST, before=before, **asked):
        yield from lines
        before = lines[-1].number


def audit_choices(db: Database) -> tuple[list[str], list[str]]:
    """The users and the actions that the log knows, each sorted: what it can be filtered by."""
    users = [row[0] for row in db.query("SELECT DISTINCT user_name FROM audit WHERE user_name <> '' ORDER BY 1")]
    return users, [row[0] for row in db.query("SELECT DISTINCT action FROM audit ORDER BY 1")]


def _stored(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
