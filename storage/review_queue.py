"""What waits for a reviewer: answers not yet accepted, examples somebody flagged, annotators who differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import Database
from storage.standing import UNDONE
from studio.errors import BadInput

KINDS = ("all", "pending", "flagged", "differing")
"""What a reviewer can ask for: answers that wait, examples somebody flagged, annotators who disagree, or all of it."""

_WINDOW = 2000
_CHUNK = 500


@dataclass(frozen=True)
class Waiting:
    """How many examples wait for a reviewer, by kind (one can be of two kinds)."""

    pending: int
    flagged: int
    differing: int


@dataclass(frozen=True)
class Bulk:
    """Answers that can be accepted together: those of one annotator, or (`source` 'import') imported ones."""

    annotator: str
    source: str
    count: int


# What stands of each annotator, imports included, edits of reviewers, repairs and gold answers not.
_STANDING = f"""
    SELECT a.example_id, a.annotator, a.action, a.response, a.value
    FROM annotations a ANTI JOIN {UNDONE} u ON u.undoes = a.id
    WHERE a.project_id = ? AND a.action <> 'undo' AND a.source NOT IN ('review', 'gold', 'repair') {{only}}
    QUALIFY row_number() OVER (PARTITION BY a.example_id, a.annotator ORDER BY a.number DESC) = 1
"""

# A skip is an answer too; of a preference only the choice counts, not the reason that was typed.
_DIFFERING = f"""
SELECT s.example_id FROM ({_STANDING}) s WHERE s.action <> 'flag' GROUP BY s.example_id
HAVING count(DISTINCT CASE WHEN s.action = 'skip' THEN 'skip' WHEN ? = 'preference' THEN 'submit' || s.response
                      ELSE 'submit' || trim(s.response) || chr(31) || s.value END) > 1
"""

# A window of positions at a time: with ORDER BY and LIMIT alone DuckDB reads every example behind the first.
_CANDIDATES = """
SELECT id, position, status, review, answers FROM examples e
WHERE project_id = ? AND position > ? AND position <= ? AND status <> 'dropped'
  AND (status = 'flagged' OR review = 'pending' OR (review = '' AND answers > 1 AND status IN ('labeled', 'skipped')))
"""

_ACTED_ON = """
  AND EXISTS (SELECT 1 FROM annotations a WHERE a.example_id = e.id AND a.annotator = ? AND a.action <> 'undo'
              AND a.source NOT IN ('review', 'gold', 'repair'))
"""


def list_queue(
    db: Database, project_id: str, task: str, kind: str = "all", annotator: str = "", after: int = 0, limit: int = 2
) -> list[str]:
    """Examples that wait for a reviewer behind position `after`, as imported; with `annotator` those they acted on."""
    if kind not in KINDS:
        raise BadInput(f"There is no '{kind}' to review; there are: {', '.join(KINDS)}.")
    sql = f"{_CANDIDATES} {_ACTED_ON if annotator else ''} ORDER BY position"
    last = db.one("SELECT max(position) FROM examples WHERE project_id = ?", [project_id])
    end, width = (last[0] or 0) if last else 0, _WINDOW
    found: list[str] = []
    while len(found) < limit and after < end:
        rows = db.query(sql, [project_id, after, after + width, *([annotator] if annotator else [])])
        for start in range(0, len(rows), _CHUNK):
            found += _of_kind(db, project_id, task, kind, rows[start : start + _CHUNK])
            if len(found) >= limit:
                break
        after, width = after + width, 4 * width
    return found[:limit]


def _of_kind(db: Database, project_id: str, task: str, kind: str, rows: Sequence[tuple[Any, ...]]) -> list[str]:
    several = [row[0] for row in rows if row[4] > 1] if kind in ("all", "differing") else []
    differing = list_differing(db, project_id, task, several) if several else set()
    return [row[0] for row in rows if _is_of(kind, row[2], row[3], row[0] in differing)]


def _is_of(kind: str, status: str, review: str, differs: bool) -> bool:
    kinds = {"pending": review == "pending", "flagged": status == "flagged", "differing": differs}
    return kinds[kind] if kind in kinds else any(kinds.values())


def list_differing(db: Database, project_id: str, task: str, ids: Collection[str]) -> set[str]:
    """Which of some examples have annotators whose standing answers differ."""
    marks = ", ".join("?" * len(ids))
    sql = _DIFFERING.format(only=f"AND a.example_id IN ({marks})")
    return {row[0] for row in db.query(sql, [project_id, *ids, task])} if ids else set()


def count_waiting(db: Database, project_id: str, task: str) -> Waiting:
    """How much there is to review. One look at the project's examples, and at its answers where several overlap."""
    row = db.one(
        "SELECT count(*) FILTER (review = 'pending' AND status <> 'dropped'), count(*) FILTER (status = 'flagged'), "
        f"count(*) FILTER ({_OVERLAPPING}) FROM examples WHERE project_id = ?",
        [project_id],
    )
    pending, flagged, several = row or (0, 0, 0)
    if not several:
        return Waiting(pending, flagged, 0)
    sql = _DIFFERING.format(
        only=f"AND a.example_id IN (SELECT id FROM examples WHERE project_id = ? AND {_OVERLAPPING})"
    )
    differing = db.one(f"SELECT count(*) FROM ({sql})", [project_id, project_id, task])
    return Waiting(pending, flagged, differing[0] if differing else 0)


_OVERLAPPING = "answers > 1 AND status IN ('labeled', 'skipped') AND review IN ('', 'pending')"


def list_bulk(db: Database, project_id: str, task: str) -> list[Bulk]:
    """What can be accepted together, most first: pending answers on which the annotators do not differ."""
    rows = db.query(
        "SELECT CASE WHEN a.source = 'import' THEN '' ELSE a.annotator END AS who, "
        "CASE WHEN a.source = 'import' THEN 'import' ELSE '' END AS source, count(*) AS n "
        f"FROM ({BULK}) b JOIN annotations a ON a.id = b.annotation_id GROUP BY ALL ORDER BY n DESC, who",
        [project_id, project_id, project_id, task],
    )
    return [Bulk(*row) for row in rows]


BULK = f"""
SELECT e.id, e.annotation_id FROM examples e WHERE e.project_id = ? AND e.review = 'pending' AND e.status = 'labeled'
  AND (e.answers < 2 OR e.id NOT IN ({
    _DIFFERING.format(
        only="AND a.example_id IN (SELECT id FROM examples WHERE project_id = ? AND answers > 1 AND review = 'pending')"
    )
}))
"""
