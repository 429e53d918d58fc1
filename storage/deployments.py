"""What was in production when, by whom and why: appended, the newest row of a project stands.

Promoting puts a run on top of what was there before; a rollback takes the top away. What it leaves out: whether a run
can be served, and telling the server (studio.deploy.production).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from storage.database import Database, aware, now
from storage.serving_records import Deployment

_COLUMNS = "id, number, project_id, run_id, kind, user_name, why, created_at"


def add_deployment(cursor: Any, project_id: str, run_id: str, kind: str, user: str, why: str) -> Deployment:
    """Append a row within a transaction that is open; `kind` is promote or rollback."""
    row = cursor.execute(
        "INSERT INTO deployments (id, project_id, run_id, kind, user_name, why, created_at) "
        f"VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
        [uuid4().hex, project_id, run_id, kind, user, why, now()],
    ).fetchone()
    return _deployment(row)


def list_deployments(db: Database, project_id: str) -> list[Deployment]:
    """A project's history of production, newest first."""
    return read_deployments(db.cursor(), project_id)


def read_deployments(cursor: Any, project_id: str) -> list[Deployment]:
    """The same within a transaction that is open."""
    sql = f"SELECT {_COLUMNS} FROM deployments WHERE project_id = ? ORDER BY number DESC"
    return [_deployment(row) for row in cursor.execute(sql, [project_id]).fetchall()]


def in_production(db: Database, project_id: str) -> str:
    """The run in production, '' for none."""
    row = db.one("SELECT run_id FROM deployments WHERE project_id = ? ORDER BY number DESC LIMIT 1", [project_id])
    return str(row[0]) if row else ""


def all_in_production(db: Database) -> dict[str, str]:
    """The run in production of each project that has one, by the project's id; projects put away are left out."""
    rows = db.query(
        "SELECT project_id, arg_max(run_id, number) FROM deployments "
        "WHERE project_id IN (SELECT id FROM projects WHERE archived_at IS NULL) GROUP BY project_id"
    )
    return {str(project_id): str(run_id) for project_id, run_id in rows}


def standing_runs(history: Sequence[Deployment]) -> list[str]:
    """The runs that a rollback can go back to, the one in production last; `history` newest first."""
    runs: list[str] = []
    for row in reversed(history):
        if row.kind == "promote":
            runs.append(row.run_id)
        else:
            while runs and runs[-1] != row.run_id:
                runs.pop()
    return runs


def _deployment(row: tuple[Any, ...]) -> Deployment:
    return Deployment(*(*row[:-1], aware(row[-1])))
