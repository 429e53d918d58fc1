"""Retraining rules of projects, and the retrainings that they started: how far each is, kept so that it can go on.

A retraining is begun only where none of its project is under way, in one transaction, so no rule fires twice. What it
leaves out: when a rule fires (studio.deploy.rules), and the steps themselves (studio.deploy.retraining).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from storage.database import Database, aware, naive, now
from storage.serving_records import KeptRules, Retraining, Rules
from studio.errors import Conflict, NotFound

STEPS = ("snapshot", "preflight", "train", "evaluate", "evaluate-champion", "decide")
"""The steps of a retraining, in their order."""

ENDS = ("promoted", "kept", "failed", "cancelled")
"""How a retraining ends."""

_RULES = "project_id, every_examples, every_days, on_drift, feedback_below, user_name, created_at"
_COLUMNS = (
    "id, number, project_id, reasons, accepted, user_name, base_model, settings, champion_id, step, step_at, "
    "snapshot_id, run_id, message, created_at, ended_at"
)


def add_rules(cursor: Any, project_id: str, rules: Rules, user: str) -> None:
    """Append the rules of a project from now on, within a transaction that is open."""
    cursor.execute(
        f"INSERT INTO retraining_rules ({_RULES}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [project_id, rules.every_examples, rules.every_days, rules.on_drift, rules.feedback_below, user, now()],
    )


def get_rules(db: Database, project_id: str) -> KeptRules | None:
    """A project's rules; None where nobody set any."""
    row = db.one(
        f"SELECT {_RULES} FROM retraining_rules WHERE project_id = ? ORDER BY number DESC LIMIT 1", [project_id]
    )
    return _rules(row) if row else None


def list_rules(db: Database) -> list[KeptRules]:
    """The rules of every project that has any on, those put away left out."""
    rows = db.query(
        f"SELECT {_RULES} FROM retraining_rules "
        "WHERE project_id IN (SELECT id FROM projects WHERE archived_at IS NULL) "
        "QUALIFY row_number() OVER (PARTITION BY project_id ORDER BY number DESC) = 1 ORDER BY number"
    )
    return [kept for row in rows if (kept := _rules(row)).rules.any_on]


def count_new_accepted(db: Database, project_id: str, snapshot_id: str) -> int:
    """Accepted pairs of a project whose answer is not in a snapshot ('': all of them); ties of preferences left out."""
    row = db.one(
        "SELECT count(*) FROM examples e JOIN annotations a ON a.id = e.annotation_id "
        "JOIN projects p ON p.id = e.project_id WHERE e.project_id = $1 AND e.status = 'labeled' "
        "AND (e.review = 'accepted' OR e.review <> 'pending' AND NOT "
        "coalesce(json_extract_string(p.settings, '$.review') = 'true', false)) "
        "AND (p.task <> 'preference' OR a.response IN ('A', 'B')) AND a.id NOT IN "
        "(SELECT annotation_id FROM snapshot_examples WHERE snapshot_id = $2 AND project_id = $1)",
        [project_id, snapshot_id],
    )
    return int(row[0]) if row else 0


def begin_retraining(
    db: Database,
    project_id: str,
    reasons: Sequence[str],
    accepted: int,
    user: str,
    base_model: str,
    settings: Mapping[str, object],
    champion_id: str,
    at: datetime,
    after: str = "",
) -> Retraining:
    """Note a retraining that begins. `after`: the id of the project's newest one as the rules saw it; where a newer one
    is there, what they saw is out of date. Raises Conflict then, or while one is under way."""
    with db.write() as cursor:
        newest = _newest(cursor, project_id)
        if newest and (newest.ended_at is None or newest.id != after):
            raise Conflict("This project is being retrained already: wait for it, or cancel it.", newest)
        row = cursor.execute(
            "INSERT INTO retrainings (id, project_id, reasons, accepted, user_name, base_model, settings, champion_id, "
            f"step, step_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'snapshot', ?, ?) RETURNING {_COLUMNS}",
            [
                *(uuid4().hex, project_id, json.dumps(list(reasons), ensure_ascii=False), accepted, user, base_model),
                *(json.dumps(dict(settings)), champion_id, naive(at), naive(at)),
            ],
        ).fetchone()
    assert row is not None
    return _retraining(row)


def set_step(
    db: Database,
    retraining: Retraining,
    step: str,
    at: datetime,
    message: str = "",
    snapshot_id: str | None = None,
    run_id: str | None = None,
) -> Retraining:
    """Note that a retraining has come to a step or to an end. Raises Conflict when it is not where it was taken to be
    (somebody cancelled it)."""
    with db.write() as cursor:
        ended = naive(at) if step in ENDS else None
        row = cursor.execute(
            "UPDATE retrainings SET step = ?, step_at = CASE WHEN step = ? THEN step_at ELSE ? END, message = ?, "
            "snapshot_id = coalesce(?, snapshot_id), run_id = coalesce(?, run_id), ended_at = ? "
            f"WHERE id = ? AND step = ? AND ended_at IS NULL RETURNING {_COLUMNS}",
            [step, step, naive(at), message, snapshot_id, run_id, ended, retraining.id, retraining.step],
        ).fetchone()
    if row is None:
        raise Conflict("This retraining has ended or gone on meanwhile: look at it again.", None)
    return _retraining(row)


def get_retraining(db: Database, retraining_id: str) -> Retraining:
    """Raises NotFound."""
    row = db.one(f"SELECT {_COLUMNS} FROM retrainings WHERE id = ?", [retraining_id])
    if row is None:
        raise NotFound("This retraining does not exist.")
    return _retraining(row)


def newest_retraining(db: Database, project_id: str) -> Retraining | None:
    """A project's newest retraining."""
    return _newest(db.cursor(), project_id)


def list_retrainings(db: Database, project_id: str, limit: int = 50) -> list[Retraining]:
    """A project's retrainings, newest first."""
    sql = f"SELECT {_COLUMNS} FROM retrainings WHERE project_id = ? ORDER BY number DESC LIMIT ?"
    return [_retraining(row) for row in db.query(sql, [project_id, limit])]


def list_under_way(db: Database) -> list[Retraining]:
    """Retrainings that have not ended, oldest first."""
    return [
        _retraining(row)
        for row in db.query(f"SELECT {_COLUMNS} FROM retrainings WHERE ended_at IS NULL ORDER BY number")
    ]


def _newest(cursor: Any, project_id: str) -> Retraining | None:
    sql = f"SELECT {_COLUMNS} FROM retrainings WHERE project_id = ? ORDER BY number DESC LIMIT 1"
    row = cursor.execute(sql, [project_id]).fetchone()
    return _retraining(row) if row else None


def _rules(row: tuple[Any, ...]) -> KeptRules:
    return KeptRules(row[0], Rules(*row[1:5]), row[5], aware(row[6]))


def _retraining(row: tuple[Any, ...]) -> Retraining:
    ended = aware(row[15]) if row[15] else None
    return Retraining(
        *(*row[:3], tuple(json.loads(row[3])), *row[4:7], json.loads(row[7]), row[8], row[9], aware(row[10])),
        *(*row[11:14], aware(row[14]), ended),
    )
