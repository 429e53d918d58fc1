"""What must hold between the rows of a database, checked over all of them; and what can be derived anew where it does
not. Rows of a closed transaction never break it: a finding is a bug of ours, or damage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from storage.database import Database
from storage.deriving import derive_again
from storage.opening import count_table, table_names
from storage.projects import get_project, list_projects


@dataclass(frozen=True)
class Broken:
    """A kind of finding: what does not hold, the first ids, how many in all, and whether it can be derived anew."""

    what: str
    ids: tuple[str, ...]
    count: int
    derivable: bool


# An example's `answers` counts annotators whose newest act that stands is a submit or a skip (storage.standing); what
# stands is an act of the example that was not taken back.
_STATES = """
WITH kept AS (
    SELECT id, example_id, annotator, number, action FROM annotations
    WHERE source NOT IN ('gold', 'repair') AND action <> 'undo'
      AND id NOT IN (SELECT undoes FROM annotations WHERE undoes IS NOT NULL)
), newest AS (
    SELECT example_id, annotator, arg_max(action, number) AS action FROM kept GROUP BY ALL
), counted AS (
    SELECT example_id, count(*) FILTER (WHERE action <> 'flag') AS answers FROM newest GROUP BY ALL
)
SELECT e.id FROM examples e
LEFT JOIN counted c ON c.example_id = e.id
LEFT JOIN annotations a ON a.id = e.annotation_id
WHERE e.status <> 'dropped' AND (
    e.answers <> coalesce(c.answers, 0)
    OR (e.status = 'todo' AND e.annotation_id IS NOT NULL)
    OR (e.status <> 'todo' AND (a.id IS NULL OR a.example_id <> e.id OR a.action = 'undo'
        OR a.id IN (SELECT undoes FROM annotations WHERE undoes IS NOT NULL)))
)
ORDER BY e.position
"""
_LOOSE = {
    "answers to examples that are not there": "SELECT id FROM annotations a "
    "WHERE NOT EXISTS (SELECT 1 FROM examples e WHERE e.id = a.example_id) ORDER BY number",
    "examples of projects that are not there": "SELECT id FROM examples e "
    "WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = e.project_id) ORDER BY position",
    "undone answers that are not there": "SELECT id FROM annotations a WHERE undoes IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM annotations b WHERE b.id = a.undoes) ORDER BY number",
}
_LEASES = "SELECT example_id FROM leases l WHERE NOT EXISTS (SELECT 1 FROM examples e WHERE e.id = l.example_id)"


def find_broken(cursor: Any) -> list[Broken]:
    """Every kind of finding in a database; none in a whole one. Reads all examples and acts."""
    found = [_told(cursor, "examples whose state is not what their answers make of it", _STATES, True)]
    found += [_told(cursor, what, sql, False) for what, sql in _LOOSE.items()]
    found.append(_told(cursor, "leases of examples that are not there", _LEASES, True))
    return [one for one in found if one.count]


def unreadable_tables(db: Database) -> dict[str, str]:
    """Tables of which a value cannot be read, and what DuckDB says."""
    found = {}
    for name in table_names(db.cursor()):
        try:
            count_table(db.cursor(), name)
        except duckdb.Error as error:
            found[name] = str(error).splitlines()[0]
    return found


def derive_broken(db: Database) -> int:
    """Derive anew what can be; how many rows that changed."""
    changed = 0
    projects = [project.id for project in list_projects(db, archived=True)]
    with db.write() as cursor:
        for project_id in projects:
            settings = get_project(db, project_id).settings
            chosen = f"SELECT id FROM ({_STATES.replace('ORDER BY e.position', '')}) JOIN examples USING (id) "
            changed += derive_again(
                cursor, chosen + "WHERE project_id = ?", [project_id], settings.overlap, settings.review
            )
            db.touch(project_id)
        row = cursor.execute(f"SELECT count(*) FROM ({_LEASES})").fetchone()
        changed += int(row[0]) if row else 0
        cursor.execute(f"DELETE FROM leases WHERE example_id IN ({_LEASES})")
    return changed


def _told(cursor: Any, what: str, sql: str, derivable: bool) -> Broken:
    ids = [str(row[0]) for row in cursor.execute(sql).fetchall()]
    return Broken(what, tuple(ids[:5]), len(ids), derivable)
