"""What is watched of served models: limits and webhook of a project, alerts that were raised, looks for drift."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from storage.database import Database, aware, naive, now
from storage.serving_records import Alert, KeptDrift, Watch

_ALERT = "number, project_id, kind, value, threshold, created_at, ended_at, delivery"
_DRIFT = "number, project_id, snapshot_id, drifted, report, created_at"


_KEEP_DAYS = "keep_days"
"""How long texts are kept lies in the JSON of the limits: the table has no column of its own for it."""


def add_watch(
    cursor: Any,
    project_id: str,
    thresholds: Mapping[str, float],
    webhook: str,
    user: str,
    keep_days: int | None = None,
) -> None:
    """Append what is watched of a project from now on, within a transaction that is open."""
    limits = dict(thresholds) | ({} if keep_days is None else {_KEEP_DAYS: keep_days})
    cursor.execute(
        "INSERT INTO watches (project_id, thresholds, webhook, user_name, created_at) VALUES (?, ?, ?, ?, ?)",
        [project_id, json.dumps(limits), webhook, user, now()],
    )


def get_watch(db: Database, project_id: str) -> Watch | None:
    """What is watched of a project; None where nobody set that."""
    row = db.one(
        "SELECT project_id, thresholds, webhook, user_name, created_at FROM watches WHERE project_id = ? "
        "ORDER BY number DESC LIMIT 1",
        [project_id],
    )
    if row is None:
        return None
    limits = json.loads(row[1])
    keep_days = limits.pop(_KEEP_DAYS, None)
    return Watch(row[0], limits, row[2], row[3], aware(row[4]), keep_days)


def watched_projects(db: Database) -> list[str]:
    """Ids of the projects that had a request or a watch, those put away left out."""
    rows = db.query(
        "SELECT id FROM projects WHERE archived_at IS NULL AND (id IN (SELECT DISTINCT project_id FROM requests) "
        "OR id IN (SELECT project_id FROM watches)) ORDER BY lower(name)"
    )
    return [str(row[0]) for row in rows]


def raise_alert(db: Database, project_id: str, kind: str, value: float, threshold: float, at: datetime) -> Alert | None:
    """Note that a figure is beyond its limit; None while an alert of that kind is open already."""
    with db.write() as cursor:
        if cursor.execute(f"SELECT 1 FROM alerts WHERE {_OPEN}", [project_id, kind]).fetchone():
            return None
        row = cursor.execute(
            "INSERT INTO alerts (project_id, kind, value, threshold, created_at) VALUES (?, ?, ?, ?, ?) "
            f"RETURNING {_ALERT}",
            [project_id, kind, value, threshold, naive(at)],
        ).fetchone()
    assert row is not None
    return _alert(row)


def end_alert(db: Database, project_id: str, kind: str, at: datetime) -> bool:
    """Note that a figure is within its limit again; whether an alert of that kind was open."""
    if not db.one(f"SELECT 1 FROM alerts WHERE {_OPEN}", [project_id, kind]):
        return False
    with db.write() as cursor:
        sql = f"UPDATE alerts SET ended_at = ? WHERE {_OPEN} RETURNING 1"
        return bool(cursor.execute(sql, [naive(at), project_id, kind]).fetchall())


def note_delivery(db: Database, number: int, delivery: str) -> None:
    """Note what became of an alert's message to the webhook."""
    with db.write() as cursor:
        cursor.execute("UPDATE alerts SET delivery = ? WHERE number = ?", [delivery, number])


def list_alerts(db: Database, project_id: str, only_open: bool = False, limit: int = 100) -> list[Alert]:
    """A project's alerts, newest first."""
    rows = db.query(
        f"SELECT {_ALERT} FROM alerts WHERE project_id = ? AND (NOT ? OR ended_at IS NULL) "
        "ORDER BY number DESC LIMIT ?",
        [project_id, only_open, limit],
    )
    return [_alert(row) for row in rows]


def add_drift(
    db: Database, project_id: str, snapshot_id: str, drifted: bool, report: Mapping[str, object], at: datetime
) -> None:
    """Keep what a look at a project's prompts found."""
    with db.write() as cursor:
        cursor.execute(
            "INSERT INTO drift_reports (project_id, snapshot_id, drifted, report, created_at) VALUES (?, ?, ?, ?, ?)",
            [project_id, snapshot_id, drifted, json.dumps(dict(report), ensure_ascii=False), naive(at)],
        )


def newest_drift(db: Database, project_id: str) -> KeptDrift | None:
    """The newest look at a project's prompts."""
    row = db.one(f"SELECT {_DRIFT} FROM drift_reports WHERE project_id = ? ORDER BY number DESC LIMIT 1", [project_id])
    return KeptDrift(*(*row[:4], json.loads(row[4]), aware(row[5]))) if row else None


_OPEN = "project_id = ? AND kind = ? AND ended_at IS NULL"


def _alert(row: tuple[Any, ...]) -> Alert:
    return Alert(*(*row[:5], aware(row[5]), aware(row[6]) if row[6] else None, row[7]))
