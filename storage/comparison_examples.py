"""Examples made of comparisons: the preference that votes are, the pair that a corrected answer is, and their origin.

The votes on two sides of a comparison are one example, each vote an answer to it. Where the votes of a project make
preferences of another project, what is held out in the first is held out in the second too. What it leaves out: which
example a vote makes (studio.labeling.comparison_examples).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from storage.annotations import acts_on, set_state, state_of
from storage.database import Database, now
from storage.examples import EXAMPLE_COLUMNS, as_example, encode_turns
from storage.projects import get_project
from storage.records import Annotation, Example, Project, Turn
from storage.standing import Standing, derive
from studio.errors import NotFound

SOURCE = "comparison"
"""Where such an example, and such an answer, comes from."""

_COLUMNS = "example_id, project_id, comparison_id, kind, low_side, high_side, user_name, withdrawn"


@dataclass(frozen=True)
class Made:
    """An example made of a comparison: of the votes between two sides (`kind` vote), or of a person's correction of
    one (`kind` fix, `low` = `high`). `withdrawn`: taken back before anybody worked on it."""

    example_id: str
    project_id: str
    comparison_id: str
    kind: str
    low: int
    high: int
    user: str
    withdrawn: bool


def find_made(cursor: Any, comparison_id: str, kind: str, low: int, high: int, user: str = "") -> Made | None:
    """What was made of two sides of a comparison (of a side by `user`, for a fix), within an open transaction."""
    row = cursor.execute(
        f"SELECT {_COLUMNS} FROM comparison_examples WHERE comparison_id = ? AND kind = ? AND low_side = ? "
        "AND high_side = ? AND (kind = 'vote' OR user_name = ?) ORDER BY created_at DESC LIMIT 1",
        [comparison_id, kind, low, high, user],
    ).fetchone()
    return Made(*row) if row else None


def made_of(db: Database, example_id: str) -> Made | None:
    """From what comparison an example comes; None for one that was imported or written."""
    row = db.one(f"SELECT {_COLUMNS} FROM comparison_examples WHERE example_id = ?", [example_id])
    return Made(*row) if row else None


def list_made(db: Database, comparison_id: str) -> list[Made]:
    """The examples that a comparison made, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM comparison_examples WHERE comparison_id = ? ORDER BY created_at"
    return [Made(*row) for row in db.query(sql, [comparison_id])]


def add_made(
    cursor: Any,
    made: Made,
    prompt: Sequence[Turn],
    context: str,
    payload: Mapping[str, str],
    content_key: str,
    group_name: str,
) -> Made:
    """Make the example of `made`, which waits to be labeled, within an open transaction; it names the new example."""
    example_id, moment = uuid4().hex, now()
    stored = json.dumps(dict(payload), ensure_ascii=False) if payload else ""
    cursor.execute(
        "INSERT INTO examples (id, project_id, prompt, context, payload, content_key, group_name, source, status, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'todo', ?)",
        [
            *(example_id, made.project_id, encode_turns(tuple(prompt)), context, stored, content_key, group_name),
            *(SOURCE, moment),
        ],
    )
    cursor.execute(
        f"INSERT INTO comparison_examples ({_COLUMNS}, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, false, ?)",
        [example_id, made.project_id, made.comparison_id, made.kind, made.low, made.high, made.user, moment],
    )
    return Made(example_id, *list(vars(made).values())[1:])


def withdraw(cursor: Any, made: Made) -> None:
    """Take an example with its voters' answers out of the queue and of later snapshots, within an open transaction."""
    acts = acts_on(cursor, made.example_id)
    gone = {act.undoes for act in acts}
    for act in acts:
        if act.source == SOURCE and act.action == "submit" and act.id not in gone:
            _append_undo(cursor, act)
    set_state(cursor, made.example_id, Standing("dropped", None, 0, "", None))
    cursor.execute("UPDATE comparison_examples SET withdrawn = true WHERE example_id = ?", [made.example_id])


def bring_back(cursor: Any, made: Made) -> None:
    """The reverse: it waits to be labeled again."""
    set_state(cursor, made.example_id, Standing("todo", None, 0, "", None))
    cursor.execute("UPDATE comparison_examples SET withdrawn = false WHERE example_id = ?", [made.example_id])


def is_worked_on(cursor: Any, example_id: str) -> bool:
    """Whether anybody but voters had to do with an example: an act, a draft, a lease that holds, a decision, a repair
    that dropped it."""
    row = cursor.execute(_WORKED_ON, [example_id, now()]).fetchone()
    return bool(row and row[0])


_WORKED_ON = """
SELECT EXISTS (SELECT 1 FROM annotations WHERE example_id = $1 AND source <> 'comparison')
    OR EXISTS (SELECT 1 FROM drafts WHERE example_id = $1)
    OR EXISTS (SELECT 1 FROM leases WHERE example_id = $1 AND expires_at > $2)
    OR EXISTS (SELECT 1 FROM examples WHERE id = $1 AND (review IN ('accepted', 'returned') OR status = 'dropped'))
"""


def take_answer_back(cursor: Any, answer_id: str, made: Made, overlap: int, asks_review: bool) -> None:
    """Append the undo of a voter's answer within an open transaction, and what it leaves of the example."""
    acts = acts_on(cursor, made.example_id)
    taken = next((act for act in acts if act.id == answer_id), None)
    if taken is None or any(act.undoes == answer_id for act in acts):
        return
    _append_undo(cursor, taken)
    state = state_of(cursor, made.example_id)[0]
    after = derive(acts_on(cursor, made.example_id), state, overlap, asks_review, None)
    set_state(cursor, made.example_id, after)


def _append_undo(cursor: Any, taken: Annotation) -> None:
    cursor.execute(
        "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, undoes, "
        "created_at) VALUES (?, ?, ?, ?, 'undo', '', '', ?, ?, ?)",
        [uuid4().hex, taken.example_id, taken.project_id, taken.annotator, SOURCE, taken.id, now()],
    )


def status_of(cursor: Any, made: Made) -> str:
    """The status of the example that was made, within an open transaction."""
    return state_of(cursor, made.example_id)[0].status


def standing_answer(cursor: Any, example_id: str, user: str) -> Annotation | None:
    """A person's newest answer to an example that was not taken back, within an open transaction."""
    acts = acts_on(cursor, example_id)
    gone = {act.undoes for act in acts}
    mine = [act for act in acts if act.annotator == user and act.action == "submit" and act.id not in gone]
    return mine[-1] if mine else None


def origin_of(cursor: Any, project_id: str, example_id: str | None, keys: Sequence[str]) -> Example | None:
    """The example of a project whose prompt was compared: the one named, else the first that is known by a key."""
    row = cursor.execute(
        f"SELECT {EXAMPLE_COLUMNS} FROM examples WHERE project_id = ? "
        "AND (id = ? OR (? IS NULL AND content_key IN (SELECT unnest(?::VARCHAR[])) AND source <> ?)) "
        "ORDER BY position LIMIT 1",
        [project_id, example_id, example_id, list(keys), SOURCE],
    ).fetchone()
    return as_example(row) if row else None


def keys_of(cursor: Any, comparison_id: str) -> list[str]:
    """The content keys of what a comparison asked, within an open transaction."""
    row = cursor.execute("SELECT prompt_keys FROM comparisons WHERE id = ?", [comparison_id]).fetchone()
    return list(row[0]) if row else []


def group_with(cursor: Any, example_id: str) -> str:
    """The group of an example, made where it has none: what gets its name stays in one split with it."""
    cursor.execute("UPDATE examples SET group_name = id WHERE id = ? AND group_name = ''", [example_id])
    row = cursor.execute("SELECT group_name FROM examples WHERE id = ?", [example_id]).fetchone()
    if row is None:
        raise NotFound("This example does not exist any more.")
    return str(row[0])


def add_draft_answer(cursor: Any, project_id: str, example_id: str, response: str, value: str) -> None:
    """Offer an answer to whoever gets an example, as a suggestion, within an open transaction."""
    cursor.execute(
        "INSERT INTO suggestions (id, example_id, project_id, source, response, value, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [uuid4().hex, example_id, project_id, SOURCE, response, value, now()],
    )


def preference_project(db: Database, project_id: str) -> Project | None:
    """The project that the votes of a project become preferences of; None as long as there is none."""
    row = db.one("SELECT preference_id FROM vote_projects WHERE project_id = ?", [project_id])
    return get_project(db, row[0]) if row else None


def set_preference_project(cursor: Any, project_id: str, preference_id: str) -> None:
    """Name it, within an open transaction."""
    cursor.execute("INSERT INTO vote_projects VALUES (?, ?, ?)", [project_id, preference_id, now()])


def hold_out_compared(db: Database, project_id: str) -> int:
    """Hold out of a project's training what was made of comparisons on held-out prompts of another one, which are in
    a validation or test split there; how many examples that are more. To be called before each freeze.
    """
    if not db.one("SELECT 1 FROM vote_projects WHERE preference_id = ?", [project_id]):
        return 0
    with db.write() as cursor:
        rows = cursor.execute(_HOLD_OUT, [project_id]).fetchall()
    return int(rows[0][0]) if rows else 0


_HOLD_OUT = """
INSERT INTO held_out
WITH compared AS (
    SELECT m.example_id, e.content_key, c.project_id, c.example_id AS origin, c.prompt_keys
    FROM comparison_examples m JOIN comparisons c ON c.id = m.comparison_id JOIN examples e ON e.id = m.example_id
    WHERE m.project_id = $1 AND c.project_id <> $1
), held AS (
    SELECT project_id, example_id, content_key FROM held_out
    WHERE project_id IN (SELECT project_id FROM compared)
    UNION
    SELECT s.project_id, s.example_id, e.content_key FROM snapshot_examples s
    JOIN snapshots n ON n.id = s.snapshot_id AND n.project_id = s.project_id
    JOIN examples e ON e.id = s.example_id
    WHERE s.split IN ('validation', 'test') AND s.project_id IN (SELECT project_id FROM compared)
), wanted AS (
    SELECT c.example_id, c.content_key FROM compared c JOIN held h ON h.project_id = c.project_id
        AND h.example_id = c.origin
    UNION
    SELECT c.example_id, c.content_key FROM (SELECT *, unnest(prompt_keys) AS key FROM compared) c
        JOIN held h ON h.project_id = c.project_id AND h.content_key = c.key
)
SELECT $1, example_id, content_key, 'comparison' FROM wanted w
WHERE NOT EXISTS (SELECT 1 FROM held_out h WHERE h.project_id = $1 AND h.example_id = w.example_id
                  AND h.content_key = w.content_key)
"""
