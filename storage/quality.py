"""What the figures about people and labels rest on: answers of several annotators, acts by day, decisions, vectors.

Rows only: what is made of them stands in studio.labeling (agreement, dashboard, label_quality).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from storage.database import Database
from storage.standing import UNDONE

_OWN = """a.project_id = ? AND a.action <> 'undo'
      AND a.source NOT IN ('import', 'review', 'gold', 'repair', 'counterfactual')"""
"""An annotator's own acts `a`: not what was imported or copied, edits, gold."""


@dataclass(frozen=True)
class Work:
    """What one annotator did in a project. `decided`: reviewers' decisions about their answers, of which `accepted`;
    `suggested`: suggestions they acted on, of which `taken` as they were; `median_seconds` of their standing answers.
    """

    annotator: str
    median_seconds: float | None
    decided: int
    accepted: int
    suggested: int
    taken: int


def list_shared_answers(db: Database, project_id: str) -> list[tuple[str, str, str, str]]:
    """Example, annotator, response and value of each standing answer to an example that has several, by example."""
    rows = db.query(_SHARED, [project_id, project_id])
    return [(row[0], row[1], row[2], row[3]) for row in rows]


# The newest act of each annotator on an example; most examples have one act, and are left out before anything else.
_SHARED = f"""
SELECT example_id, annotator, response, value FROM (
    SELECT a.example_id, a.annotator, a.action, a.response, a.value
    FROM annotations a ANTI JOIN {UNDONE} u ON u.undoes = a.id
    WHERE {_OWN} AND a.example_id IN
        (SELECT a.example_id FROM annotations a WHERE {_OWN} GROUP BY a.example_id HAVING count(*) > 1)
    QUALIFY row_number() OVER (PARTITION BY a.example_id, a.annotator ORDER BY a.number DESC) = 1
) newest
WHERE action = 'submit' QUALIFY count(*) OVER (PARTITION BY example_id) > 1 ORDER BY example_id, annotator
"""


def list_work(db: Database, project_id: str) -> list[Work]:
    """What everybody did who ever answered, was decided about or had suggestions."""
    rows = db.query(_WORK, [project_id] * 3)
    return [Work(*row) for row in rows]


# Of several decisions about one answer the last counts; "look again" (a return in a batch) is about a label, not about
# who gave it. A renamed label is a new row without seconds, so the pace is read from the acts themselves.
_WORK = """
WITH paced AS (SELECT annotator, median(seconds) AS pace FROM annotations
          WHERE project_id = ? AND action = 'submit' AND source = 'label' GROUP BY annotator),
decided AS (SELECT annotator, count(*) AS decided, count(*) FILTER (decision = 'accept') AS accepted
            FROM (SELECT r.* FROM reviews r JOIN annotations a ON a.id = r.annotation_id
                  ANTI JOIN (SELECT undoes FROM reviews WHERE decision = 'undo') u ON u.undoes = r.number
                  WHERE r.project_id = ? AND r.decision <> 'undo'
                    AND a.source NOT IN ('import', 'review', 'repair', 'counterfactual')
                    AND NOT (r.decision = 'return' AND r.batch <> '')
                  QUALIFY row_number() OVER (PARTITION BY r.annotation_id ORDER BY r.number DESC) = 1) d
            GROUP BY annotator),
suggested AS (SELECT annotator, count(*) AS suggested, count(*) FILTER (outcome = 'accepted') AS taken
              FROM suggestions WHERE project_id = ? AND outcome IS NOT NULL AND annotator IS NOT NULL
              GROUP BY annotator)
SELECT annotator, pace, coalesce(decided, 0), coalesce(accepted, 0), coalesce(suggested, 0), coalesce(taken, 0)
FROM paced FULL JOIN decided USING (annotator) FULL JOIN suggested USING (annotator)
"""


def count_by_day(db: Database, project_id: str, days: int = 30) -> list[tuple[str, date | None, int]]:
    """Annotator, day (UTC) and answers that still stand, by the day on which they were first given (a revision is no
    new answer); those from before the last `days` up to the newest answer together, without a day.
    """
    rows = db.query(
        "WITH pairs AS (SELECT a.annotator, min(a.created_at) FILTER (a.action = 'submit') AS first, "
        "arg_max(a.action, a.number) FILTER (u.undoes IS NULL) AS newest "
        f"FROM annotations a LEFT JOIN {UNDONE} u ON u.undoes = a.id WHERE {_OWN} "
        "GROUP BY a.example_id, a.annotator), "
        "done AS (SELECT annotator, CAST(first AS DATE) AS day FROM pairs WHERE newest = 'submit') "
        "SELECT annotator, CASE WHEN day > (SELECT max(day) FROM done) - CAST(? AS INTEGER) THEN day END AS late, "
        "count(*) FROM done GROUP BY annotator, late ORDER BY annotator, late",
        [project_id, days],
    )
    return [(row[0], row[1], int(row[2])) for row in rows]


def count_embedded(db: Database, project_id: str) -> tuple[int, int]:
    """Labeled examples of a project, and how many of them have a vector."""
    row = db.one(
        "SELECT count(*), count(v.example_id) FROM examples e LEFT JOIN embeddings v ON v.example_id = e.id "
        "WHERE e.project_id = ? AND e.status = 'labeled'",
        [project_id],
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def read_labeled(db: Database, project_id: str, limit: int) -> pa.Table:
    """Labeled examples that have a vector, at most `limit`, drawn by a hash of their ids: example_id, prompt (as
    stored), label, annotator, and vector (384 numbers, of length 1).
    """
    with db.cursor().cursor() as own:  # a relation is refused where an earlier read was not fetched to its end
        found = own.sql(
            "SELECT e.id AS example_id, e.prompt, a.response AS label, a.annotator, v.vector FROM examples e "
            "JOIN annotations a ON a.id = e.annotation_id JOIN embeddings v ON v.example_id = e.id "
            "WHERE e.project_id = ? AND e.status = 'labeled' ORDER BY hash(e.id) LIMIT ?",
            params=[project_id, limit],
        )
        return found.to_arrow_table()
