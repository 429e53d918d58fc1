"""Renaming, merging and deleting a label over every annotation.

A change appends: each standing answer with the label gets a new revision by the same annotator (`base` is the old one),
or, where no label is left, an undo. What it leaves out: when a change is allowed (studio.labeling.labels).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import now
from storage.deriving import derive_again
from storage.records import Label


@dataclass(frozen=True)
class Change:
    """What is to be done with a label: `kind` is rename, merge (into a label that is there) or delete."""

    kind: str
    label: str
    to: str = ""


@dataclass(frozen=True)
class Affected:
    """What a change touches: standing `annotations` on so many `examples`, of which `reopened` have no label left;
    answers of gold examples, drafts and open suggestions."""

    annotations: int
    examples: int
    reopened: int
    gold: int
    drafts: int
    suggestions: int


def count_affected(cursor: Any, project_id: str, change: Change, overlap: int) -> Affected:
    """What a change would touch now."""
    label = change.label
    row = cursor.execute(
        f"SELECT count(*), count(DISTINCT example_id) FROM ({_STANDING}) s WHERE {_HAS}", [project_id, label]
    ).fetchone()
    reopened = 0
    if change.kind == "delete":
        reopened = int(cursor.execute(_REOPENED, [project_id, label, overlap]).fetchone()[0])
    of_project = "example_id IN (SELECT id FROM examples WHERE project_id = ?)"
    gold, drafts, suggestions = (
        int(cursor.execute(f"SELECT count(*) FROM {table} WHERE {where} AND {_HAS}", [project_id, label]).fetchone()[0])
        for table, where in (
            ("gold", "project_id = ?"),
            ("drafts", of_project),
            ("suggestions", "project_id = ? AND outcome IS NULL"),
        )
    )
    return Affected(int(row[0]), int(row[1]), reopened, gold, drafts, suggestions)


def change_in(cursor: Any, project_id: str, change: Change, labels: Sequence[Label], overlap: int, review: bool) -> int:
    """Carry a change out within an open transaction; `labels` is the set after it. Returns the examples touched."""
    order = [label.name for label in labels]
    to = [change.to] if change.to else []
    cursor.execute(_CHANGED, [change.label, to, project_id, change.label, order])
    moment = now()
    cursor.execute(_APPEND, [project_id, moment])
    cursor.execute(_TAKE_BACK, [project_id, moment])
    # Answers to gold count once: the new one stands for the old one.
    cursor.execute("INSERT INTO annotations " + _UNDO_COLUMNS + _UNDO_GOLD, [project_id, moment])
    # Updates in the order of the table are thirty times faster: DuckDB scans the larger side, so that has to be it.
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE standing AS SELECT c.id, c.new_id FROM changed c "
        "JOIN examples e ON e.id = c.example_id AND e.annotation_id = c.id"
    )
    cursor.execute("UPDATE examples SET annotation_id = s.new_id FROM standing s WHERE annotation_id = s.id")
    touched = int(cursor.execute("SELECT count(DISTINCT example_id) FROM changed").fetchone()[0])
    cursor.execute(_REOPEN)
    if change.kind != "rename":
        derive_again(cursor, _SHARED, [], overlap, review)
    _follow(cursor, project_id, change, to, order)
    for name in ("changed", "standing"):
        cursor.execute(f"DROP TABLE {name}")
    return touched


_HAS = "list_contains(string_split(response, chr(10)), ?)"

# The newest act of each annotator on an example that was not taken back; answers to gold beside the others.
_STANDING = """
SELECT * EXCLUDE (nth) FROM (
    SELECT a.*, row_number() OVER (
        PARTITION BY a.example_id, a.annotator, a.source = 'gold' ORDER BY a.number DESC) AS nth
    FROM annotations a ANTI JOIN (SELECT undoes FROM annotations WHERE action = 'undo') u ON u.undoes = a.id
    WHERE a.project_id = ? AND a.action <> 'undo'
) WHERE nth = 1 AND action = 'submit'
"""

# Labeled examples that fall below the overlap, and have no imported or reviewed answer that is enough alone.
_REOPENED = f"""
SELECT count(*) FROM (
    SELECT example_id, count(*) FILTER (WHERE response = $2) AS removed,
           bool_or(response <> $2
               AND source IN ('import', 'review', 'repair', 'counterfactual', 'comparison')) AS enough
    FROM ({_STANDING.replace("?", "$1")}) WHERE source <> 'gold' GROUP BY example_id
) s JOIN examples e ON e.id = s.example_id
WHERE removed > 0 AND e.status = 'labeled' AND NOT enough AND e.answers - removed < $3
"""

# Parameters: label, [to], project, label, names in order. `names` is what is left, in the order of the set.
_CHANGED = f"""
CREATE OR REPLACE TEMP TABLE changed AS
SELECT * EXCLUDE (swapped), replace(uuid()::VARCHAR, '-', '') AS new_id,
    list_concat(list_filter(ordered, lambda x: list_contains(swapped, x)),
                list_filter(swapped, lambda x: NOT list_contains(ordered, x))) AS names
FROM (
    SELECT s.id, s.number, s.example_id, s.annotator, s.source, s.suggestion_id, s.seconds, s.created_at,
        list_concat(list_filter(string_split(s.response, chr(10)), lambda x: x <> $1), $2::VARCHAR[]) AS swapped,
        $5::VARCHAR[] AS ordered
    FROM ({_STANDING.replace("?", "$3")}) s WHERE {_HAS.replace("?", "$4")}
)
"""

# An imported or reviewed answer stays one, for that decides whether it stands alone; one to gold stays hidden.
_APPEND = """
INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, base,
                         suggestion_id, seconds, created_at)
SELECT new_id, c.example_id, $1, annotator, 'submit', array_to_string(names, chr(10)),
       sha256(e.content_key || chr(0) || array_to_string(names, chr(10))),
       if(c.source IN ('import', 'review', 'gold', 'repair', 'counterfactual', 'comparison'), c.source, 'relabel'),
       c.id, suggestion_id,
       if(c.source = 'gold', seconds, NULL), if(c.source = 'gold', c.created_at, $2)
FROM changed c JOIN examples e ON e.id = c.example_id WHERE len(names) > 0 ORDER BY c.number
"""

_UNDO_COLUMNS = (
    "(id, example_id, project_id, annotator, action, response, pair_key, source, undoes, base, created_at) "
    "SELECT replace(uuid()::VARCHAR, '-', ''), "
)

# Every act of the annotator on the example, else an older answer that they had changed would stand again.
_TAKE_BACK = f"""
INSERT INTO annotations {_UNDO_COLUMNS} a.example_id, $1, a.annotator, 'undo', '', '', 'relabel', a.id, c.id, $2
FROM changed c JOIN annotations a
    ON a.example_id = c.example_id AND a.annotator = c.annotator AND (a.source = 'gold') = (c.source = 'gold')
ANTI JOIN (SELECT undoes FROM annotations WHERE action = 'undo') u ON u.undoes = a.id
WHERE len(c.names) = 0 AND a.action <> 'undo' ORDER BY a.number
"""

_UNDO_GOLD = """
    c.example_id, $1, c.annotator, 'undo', '', '', 'gold', c.id, NULL, $2
FROM changed c WHERE c.source = 'gold' AND len(c.names) > 0
"""


# The only answer of its example: without it the example is as new.
_REOPEN = """
UPDATE examples SET status = 'todo', annotation_id = NULL, answers = 0, review = ''
FROM changed c WHERE examples.id = c.example_id AND c.source <> 'gold' AND len(c.names) = 0 AND examples.answers = 1
  AND examples.status IN ('labeled', 'todo') AND examples.review <> 'returned'
"""

# Examples that others acted on too. What a reviewer sent back stays with its annotator.
_SHARED = (
    "SELECT DISTINCT e.id FROM changed c JOIN examples e ON e.id = c.example_id "
    "WHERE c.source <> 'gold' AND e.review <> 'returned' AND (e.answers > 1 OR e.status = 'flagged')"
)


def _follow(cursor: Any, project_id: str, change: Change, to: list[str], order: list[str]) -> None:
    """Gold answers, drafts and open suggestions take the new name; those with no label left go."""
    for table, where in (
        ("gold", "project_id = $4"),
        ("drafts", "example_id IN (SELECT id FROM examples WHERE project_id = $4)"),
        ("suggestions", "project_id = $4 AND outcome IS NULL"),
    ):
        has = "list_contains(string_split(response, chr(10)), $1)"
        swapped = "list_concat(list_filter(string_split(response, chr(10)), lambda x: x <> $1), $2::VARCHAR[])"
        left = (
            f"array_to_string(list_concat(list_filter($3::VARCHAR[], lambda x: list_contains({swapped}, x)), "
            f"list_filter({swapped}, lambda x: NOT list_contains($3::VARCHAR[], x))), chr(10))"
        )
        cursor.execute(
            f"UPDATE {table} SET response = {left} WHERE {where} AND {has}", [change.label, to, order, project_id]
        )
        if not to:
            emptied = where.replace("$4", "$1")
            cursor.execute(f"DELETE FROM {table} WHERE {emptied} AND response = '' AND value = ''", [project_id])
