"""Lineage: who gave the answers of a snapshot under which guidelines, and what the beginning of an id names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.database import Database, aware
from storage.records import Run
from storage.runs import list_runs

_KINDS = {
    "comparison": "comparisons",
    "example": "examples",
    "annotation": "annotations",
    "snapshot": "snapshots",
    "run": "runs",
}
_AT_ONCE = 50_000

_VERSION = (
    "coalesce((SELECT max(g.version) FROM guidelines g WHERE g.project_id = a.project_id "
    "AND g.created_at <= a.created_at), 1)"
)
"""The version of the guidelines that an answer `a` was given under; the first for what is older than all."""

_GIVEN = "SELECT a.annotator, a.project_id, a.created_at FROM snapshot_examples m"
_KEPT = "m.snapshot_id = ? AND m.project_id = ? AND m.annotation_id"
"""Of a snapshot older than the column `annotation_id` it is ''."""


@dataclass(frozen=True)
class Authored:
    """Who gave an answer, how it came (label, import, review, …), and when."""

    annotator: str
    source: str
    created_at: datetime


@dataclass(frozen=True)
class Share:
    """How many rows of a snapshot an annotator answered under one version of the guidelines."""

    annotator: str
    version: int
    rows: int


def authors(db: Database, annotation_ids: Sequence[str]) -> dict[str, Authored]:
    """Who gave some answers, by their ids; those that are not in this workspace are left out."""
    found: dict[str, Authored] = {}
    for at in range(0, len(annotation_ids), _AT_ONCE):
        rows = db.query(
            "SELECT id, annotator, source, created_at FROM annotations WHERE id IN (SELECT unnest(?::VARCHAR[]))",
            [list(annotation_ids[at : at + _AT_ONCE])],
        )
        found.update((row[0], Authored(row[1], row[2], aware(row[3]))) for row in rows)
    return found


def shares(db: Database, snapshot_id: str, project_id: str) -> list[Share]:
    """Who answered how many rows of a snapshot under which guidelines, the most first.

    Of a snapshot older than the column, an example's answer of today stands for the one that it holds.
    """
    rows = db.query(
        f"SELECT a.annotator, {_VERSION} AS version, count(*) FROM ("
        f"{_GIVEN} JOIN annotations a ON a.id = m.annotation_id WHERE {_KEPT} <> '' UNION ALL "
        f"{_GIVEN} JOIN examples e ON e.id = m.example_id JOIN annotations a ON a.id = e.annotation_id "
        f"WHERE {_KEPT} = '') a GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2",
        [snapshot_id, project_id] * 2,
    )
    return [Share(*row) for row in rows]


def versions_of(db: Database, example_id: str) -> dict[str, int]:
    """The version of the guidelines that each answer to an example was given under, by the answer's id."""
    rows = db.query(f"SELECT a.id, {_VERSION} FROM annotations a WHERE a.example_id = ?", [example_id])
    return {row[0]: int(row[1]) for row in rows}


def runs_by_snapshot(db: Database, project_id: str) -> dict[str, list[Run]]:
    """A project's runs by the snapshot that they were trained on, oldest first."""
    found: dict[str, list[Run]] = {}
    for run in reversed(list_runs(db, project_id)):
        found.setdefault(run.snapshot_id, []).append(run)
    return found


def named(db: Database, beginning: str) -> list[tuple[str, str]]:
    """What an id, or the beginning of one (≥ 6 characters), names: (kind, id), at most a few of each kind.

    An id that is whole names nothing else than itself.
    """
    found: list[tuple[str, str]] = []
    for kind, table in _KINDS.items():
        rows = db.query(
            f"SELECT DISTINCT id FROM {table} WHERE id = ? OR (length(?) >= 6 AND starts_with(id, ?)) LIMIT 5",
            [beginning, beginning, beginning],
        )
        found += [(kind, row[0]) for row in rows]
    return [one for one in found if one[1] == beginning] or found
