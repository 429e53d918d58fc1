"""Where a project's accepted answers come from: how many were imported or given by people, how many were reviewed.

Counts only, no names: they may leave the studio (a dataset card). What it leaves out: agreement (studio.labeling).
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Database


@dataclass(frozen=True)
class Origins:
    """Of the answers that stand: all, `imported` ones, those given here, by how many `annotators`, those that began
    from a model's suggestion, and those that a reviewer accepted."""

    answers: int
    imported: int
    annotators: int
    suggested: int
    reviewed: int


def read_origins(db: Database, project_id: str, snapshot_id: str = "") -> Origins:
    """Of a project's accepted answers, or of those that one of its snapshots holds as far as it knows them."""
    member = (
        "AND a.id IN (SELECT m.annotation_id FROM snapshot_examples m WHERE m.project_id = $1 AND m.snapshot_id = $2)"
        if snapshot_id
        else "AND e.status = 'labeled' AND $2 = ''"
    )
    # An answer that a snapshot holds may have been replaced since, so examples are asked for their review only.
    row = db.one(
        "SELECT count(*), count(*) FILTER (a.source = 'import'), "
        "count(DISTINCT a.annotator) FILTER (a.source <> 'import'), count(*) FILTER (a.suggestion_id IS NOT NULL), "
        "count(*) FILTER (e.review = 'accepted' AND e.annotation_id = a.id) "
        "FROM annotations a JOIN examples e ON e.id = a.example_id "
        f"WHERE a.project_id = $1 AND {'TRUE' if snapshot_id else 'e.annotation_id = a.id'} {member}",
        [project_id, snapshot_id],
    )
    return Origins(*map(int, row)) if row else Origins(0, 0, 0, 0, 0)
