"""What jobs took of the devices, what users may take, and what a device-hour costs: rows only.

What it leaves out: how time is shared among those on one device, and what all of it comes to (studio.jobs.accounting).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Database, aware, naive, now
from storage.queued import Job

_COLUMNS = (
    "number, job_id, kind, project_id, user_name, device, started_at, last_at, ended_at, seconds, tokens, joules, "
    "energy_mark, price_hour"
)


@dataclass(frozen=True)
class Span:
    """One time that a job was at work on a device. `seconds`: its share of the device's time up to `last_at`; `joules`:
    None where the device does not tell; `energy_mark`: the device's own counter of joules at `last_at`; `price_hour`:
    of a device-hour when it began; `ended_at`: None while it lasts."""

    number: int
    job_id: str
    kind: str
    project_id: str
    user_name: str
    device: str
    started_at: datetime
    last_at: datetime
    ended_at: datetime | None
    seconds: float
    tokens: int
    joules: float | None
    energy_mark: float | None
    price_hour: float

    @property
    def cost(self) -> float:
        """Price of its share of the device."""
        return self.seconds / 3600 * self.price_hour


def begin_span_in(
    cursor: Any,
    job: Job,
    device: str,
    price_hour: float,
    energy_mark: float | None = None,
    beside: Sequence[tuple[str, float | None]] = (),
) -> None:
    """A job begins to be at work, within a transaction that is open; `beside`: further devices and their energy marks,
    each of which counts by itself. A time of it that was not closed yet ends where it was last counted."""
    cursor.execute("UPDATE device_usage SET ended_at = last_at WHERE job_id = ? AND ended_at IS NULL", [job.job_id])
    for key, mark in ((device, energy_mark), *beside):
        cursor.execute(
            "INSERT INTO device_usage (job_id, kind, project_id, user_name, device, started_at, last_at, energy_mark, "
            "price_hour) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [job.job_id, job.kind, job.project_id, job.user_name, key, now(), now(), mark, price_hour],
        )


def forget_span_in(cursor: Any, job_id: str) -> None:
    """Take back the open span of a job that never began."""
    cursor.execute("DELETE FROM device_usage WHERE job_id = ? AND ended_at IS NULL", [job_id])


def open_spans(db: Database) -> list[Span]:
    """What has not ended as far as is known here."""
    return [_span(row) for row in db.query(f"SELECT {_COLUMNS} FROM device_usage WHERE ended_at IS NULL")]


def list_spans(db: Database, project_id: str | None = None, job_id: str | None = None) -> list[Span]:
    """Spans of a project, of a job, or all, the newest first."""
    sql = f"SELECT {_COLUMNS} FROM device_usage WHERE (? IS NULL OR project_id = ?) AND (? IS NULL OR job_id = ?)"
    return [_span(row) for row in db.query(f"{sql} ORDER BY number DESC", [project_id, project_id, job_id, job_id])]


def count_span(
    db: Database,
    number: int,
    until: datetime,
    seconds: float,
    tokens: int,
    joules: float | None,
    energy_mark: float | None,
    ended: bool,
) -> None:
    """Note what a span has come to until an aware time; one that has ended is left as it is."""
    db_until = naive(until)
    with db.write() as cursor:
        cursor.execute(
            "UPDATE device_usage SET last_at = ?, seconds = ?, tokens = ?, joules = ?, energy_mark = ?, ended_at = ? "
            "WHERE number = ? AND ended_at IS NULL",
            [db_until, seconds, tokens, joules, energy_mark, db_until if ended else None, number],
        )


def seconds_by_user(db: Database, since: datetime) -> dict[str, float]:
    """Device-seconds that each user's jobs took in spans that were at work after an aware time; of a span that began
    before it, the part that lies behind it."""
    rows = db.query(
        "SELECT user_name, sum(seconds * CASE WHEN started_at >= $1 OR last_at <= started_at THEN 1 ELSE "
        "epoch(last_at - $1) / epoch(last_at - started_at) END) FROM device_usage WHERE last_at >= $1 GROUP BY 1",
        [naive(since)],
    )
    return {str(name): float(seconds) for name, seconds in rows}


def list_quotas(db: Database) -> dict[str, float]:
    """Device-hours in thirty days by user, of those who have a limit."""
    rows = db.query("SELECT user_name, arg_max(coalesce(hours, -1), number) FROM device_quotas GROUP BY 1 ORDER BY 1")
    return {str(name): float(hours) for name, hours in rows if hours >= 0}


def set_quota_in(cursor: Any, user_name: str, hours: float | None, set_by: str) -> None:
    """Give a user a limit, or none; within a transaction that is open."""
    cursor.execute(
        "INSERT INTO device_quotas (user_name, hours, set_by, created_at) VALUES (?, ?, ?, ?)",
        [user_name, hours, set_by, now()],
    )


def read_compute(db: Database) -> Mapping[str, Any]:
    """The settings of devices as they stand; {} before any were made."""
    row = db.one("SELECT settings FROM compute_settings ORDER BY number DESC LIMIT 1")
    found = json.loads(row[0]) if row else {}
    return found if isinstance(found, dict) else {}


def write_compute_in(cursor: Any, settings: Mapping[str, object], user_name: str) -> None:
    """Set them, within a transaction that is open."""
    cursor.execute(
        "INSERT INTO compute_settings (settings, user_name, created_at) VALUES (?, ?, ?)",
        [json.dumps(dict(settings)), user_name, now()],
    )


def _span(row: tuple[Any, ...]) -> Span:
    return Span(*(*row[:6], aware(row[6]), aware(row[7]), aware(row[8]) if row[8] else None, *row[9:]))
