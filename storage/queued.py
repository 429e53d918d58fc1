"""The queue of jobs as rows: every change of a state is a compare-and-set, and a run's own row changes with it.

What it leaves out: when a job may start (studio.jobs.placing), and starting it (studio.jobs.queueing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Database, aware, now
from storage.runs import change_run

AT_WORK = ("running", "pausing")
"""States in which a job has a device."""

_COLUMNS = (
    "job_id, kind, project_id, user_name, state, priority, place, device, on_device, memory_bytes, attempts, "
    "overtaken, events_size, reason, queued_at, changed_at"
)
_SETTABLE = frozenset({"on_device", "attempts", "overtaken", "events_size", "reason"})


@dataclass(frozen=True)
class Job:
    """A run, sweep or learning curve that was asked for.

    `state`: waiting, running, pausing, paused or ended. `device`: auto, cpu, cuda or mps as it asks; `on_device`: the
    key of the one it was given. `memory_bytes`: the planned peak, 0 where it cannot be planned. `reason`: why it waits.
    """

    job_id: str
    kind: str
    project_id: str
    user_name: str
    state: str
    priority: int
    place: int
    device: str
    on_device: str
    memory_bytes: int
    attempts: int
    overtaken: int
    events_size: int
    reason: str
    queued_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class Ask:
    """A job as it enters the queue."""

    job_id: str
    kind: str
    project_id: str
    user_name: str
    device: str
    memory_bytes: int
    priority: int = 0


def put_in(cursor: Any, ask: Ask) -> bool:
    """Have a job wait behind all of its priority, within a transaction that is open; a paused or ended one waits anew.
    False, and nothing is changed, where it waits or is at work already."""
    # No DELETE before an INSERT of the same key: DuckDB takes that for a duplicate within one transaction.
    known = cursor.execute("SELECT state FROM queued_jobs WHERE job_id = ?", [ask.job_id]).fetchone()
    if known is None:
        cursor.execute(
            f"INSERT INTO queued_jobs ({_COLUMNS}) "
            "VALUES (?, ?, ?, ?, 'waiting', ?, nextval('queue_places'), ?, '', ?, 0, 0, 0, '', ?, ?)",
            [
                *(ask.job_id, ask.kind, ask.project_id, ask.user_name, ask.priority, ask.device, ask.memory_bytes),
                *(now(), now()),
            ],
        )
        return True
    if known[0] not in ("paused", "ended"):
        return False
    cursor.execute(
        "UPDATE queued_jobs SET user_name = ?, state = 'waiting', priority = ?, place = nextval('queue_places'), "
        "device = ?, on_device = '', memory_bytes = ?, attempts = 0, overtaken = 0, reason = '', queued_at = ?, "
        "changed_at = ? WHERE job_id = ?",
        [ask.user_name, ask.priority, ask.device, ask.memory_bytes, now(), now(), ask.job_id],
    )
    return True


def get_job(db: Database, job_id: str) -> Job | None:
    """One job; None for one that never was in the queue."""
    row = db.one(f"SELECT {_COLUMNS} FROM queued_jobs WHERE job_id = ?", [job_id])
    return _job(row) if row else None


def list_jobs(db: Database, states: Sequence[str]) -> list[Job]:
    """Jobs in some states in the order in which they are to start."""
    sql = f"SELECT {_COLUMNS} FROM queued_jobs WHERE list_contains(?, state) ORDER BY priority DESC, place"
    return [_job(row) for row in db.query(sql, [list(states)])]


def change_state(
    db: Database,
    job_id: str,
    was: Sequence[str],
    state: str,
    run: Mapping[str, object] | None = None,
    **changes: object,
) -> bool:
    """Take a job from one of the states `was` to another, and with it what `run` changes of its run's row; False, and
    nothing is changed, where it is in none of them."""
    with db.write() as cursor:
        return change_state_in(cursor, job_id, was, state, run, **changes)


def change_state_in(
    cursor: Any,
    job_id: str,
    was: Sequence[str],
    state: str,
    run: Mapping[str, object] | None = None,
    **changes: object,
) -> bool:
    """The same within a transaction that is open."""
    unknown = set(changes) - _SETTABLE
    if unknown:
        raise ValueError(f"not columns of a job that can be set: {sorted(unknown)}")
    assignments = "".join(f", {name} = ?" for name in changes)
    found = cursor.execute(
        f"UPDATE queued_jobs SET state = ?, changed_at = ?{assignments} "
        "WHERE job_id = ? AND list_contains(?, state) RETURNING job_id",
        [state, now(), *changes.values(), job_id, list(was)],
    ).fetchall()
    if found and run:
        change_run(cursor, job_id, run)
    return bool(found)


def say_reasons(db: Database, reasons: Mapping[str, str], overtaken: Sequence[str] = ()) -> None:
    """Note why waiting jobs wait, in the rows of their runs too, and which of them were overtaken once more."""
    if not reasons and not overtaken:
        return
    with db.write() as cursor:
        for job_id, reason in reasons.items():
            found = cursor.execute(
                "UPDATE queued_jobs SET reason = ?, changed_at = ? WHERE job_id = ? AND state = 'waiting' "
                "RETURNING kind",
                [reason, now(), job_id],
            ).fetchone()
            if found and found[0] == "run":
                change_run(cursor, job_id, {"message": f"{reason[:1].upper()}{reason[1:]}."})
        for job_id in overtaken:
            cursor.execute(
                "UPDATE queued_jobs SET overtaken = overtaken + 1 WHERE job_id = ? AND state = 'waiting'", [job_id]
            )


def move_up(db: Database, job_id: str) -> bool:
    """Put a waiting job before the one that is before it, with that one's priority; False where it is the first, or
    waits no more."""
    with db.write() as cursor:
        rows = cursor.execute(
            "SELECT job_id, priority, place FROM queued_jobs WHERE state = 'waiting' ORDER BY priority DESC, place"
        ).fetchall()
        at = next((number for number, row in enumerate(rows) if row[0] == job_id), 0)
        if at == 0:
            return False
        (before, priority, place), mine = rows[at - 1], rows[at]
        behind = mine[2]
        if mine[1] != priority:  # that one was the last of its priority, and stays so behind this
            fresh = cursor.execute("SELECT nextval('queue_places')").fetchone()
            behind = fresh[0] if fresh else behind
        for one, at_place in ((job_id, place), (before, behind)):
            cursor.execute("UPDATE queued_jobs SET priority = ?, place = ? WHERE job_id = ?", [priority, at_place, one])
        return True


def set_priority(db: Database, job_id: str, priority: int) -> bool:
    """Give a waiting job a priority, behind all that have it already; False where it waits no more."""
    with db.write() as cursor:
        return bool(
            cursor.execute(
                "UPDATE queued_jobs SET priority = ?, place = nextval('queue_places') "
                "WHERE job_id = ? AND state = 'waiting' RETURNING job_id",
                [priority, job_id],
            ).fetchall()
        )


def _job(row: tuple[Any, ...]) -> Job:
    return Job(*(*row[:14], aware(row[14]), aware(row[15])))
