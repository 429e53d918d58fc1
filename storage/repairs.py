"""Repairs: what a preflight's doings make of examples, each one transaction that can be undone.

A repair notes what it found of each example and a stamp of what it left. An undo restores the examples that still bear
their stamp; those that somebody changed since stay as they are, and are named. What it leaves out: what a repair writes
(studio.data.repairing), and who may (the same).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa

from storage.audit import record_in
from storage.database import Database, aware, now
from storage.labels import stored_settings
from storage.reviews import append_batch
from studio.errors import BadInput, Conflict, NotFound

KINDS = ("drop", "redact", "edit", "back", "augment")


@dataclass(frozen=True)
class Repair:
    """One doing over `rows` examples. `reason`: the finding it came from; `undone_at`: None while it stands."""

    number: int
    project_id: str
    user: str
    kind: str
    reason: str
    rows: int
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None


@dataclass(frozen=True)
class Undone:
    """What an undo restored, and the examples that were changed since the repair and stay as they are."""

    number: int
    restored: int
    left: tuple[str, ...]


@dataclass(frozen=True)
class Mended:
    """New texts of one example. The `old_` ones are as stored: where they are not any more, the row is passed over.

    `response` and `value` are the answer that is to stand, a revision of `old_annotation`.
    """

    example_id: str
    old_prompt: str
    old_context: str
    old_payload: str
    old_annotation: str
    prompt: str
    context: str
    payload: str
    content_key: str
    response: str
    value: str
    pair_key: str


def drop(db: Database, user: str, project_id: str, ids: Sequence[str], reason: str) -> Repair:
    """Leave examples out of the queue and of every later snapshot. Raises BadInput when none of them can be."""
    with _step(db, user, project_id, "drop", reason, _of_ids(ids), "e.status <> 'dropped'") as (cursor, number):
        cursor.execute("UPDATE examples SET status = 'dropped' WHERE id IN (SELECT id FROM chosen)")
    return get_repair(db, project_id, number)


def put_back(db: Database, user: str, project_id: str, ids: Sequence[str], reason: str) -> Repair:
    """Put labeled examples back into the queue, whoever answered them. Raises BadInput when none of them is labeled."""
    with _step(db, user, project_id, "back", reason, _of_ids(ids), "e.status = 'labeled'") as (cursor, number):
        append_batch(cursor, user, project_id, "return", f"Preflight: {reason}", _batch(number))
        cursor.execute(
            "UPDATE examples SET status = 'todo', annotation_id = NULL, review = 'returned', returned_to = NULL "
            "WHERE id IN (SELECT id FROM chosen)"
        )
    return get_repair(db, project_id, number)


def mend(db: Database, user: str, project_id: str, kind: str, rows: Sequence[Mended], reason: str) -> Repair:
    """Write new texts over labeled examples and append the answers as revisions by `user`, source 'repair'.

    Their vectors go: they tell of the old text. Raises BadInput when no row is as it was read.
    """
    made = [{**vars(row), "id": row.example_id, "annotation_id": uuid4().hex} for row in rows]
    with _step(db, user, project_id, kind, reason, _table(made, _MENDED), _UNCHANGED, texts=True) as (cursor, number):
        cursor.execute(
            "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, value, pair_key, "
            "source, base, created_at) SELECT i.annotation_id, c.id, ?, ?, 'submit', i.response, i.value, i.pair_key, "
            "'repair', i.old_annotation, ? FROM chosen c JOIN incoming_rows i ON i.id = c.id ORDER BY c.position",
            [project_id, user, now()],
        )
        cursor.execute(
            "UPDATE examples SET prompt = i.prompt, context = i.context, payload = i.payload, "
            "content_key = i.content_key, annotation_id = i.annotation_id "
            "FROM (SELECT i.* FROM chosen c JOIN incoming_rows i ON i.id = c.id ORDER BY c.position) i "
            "WHERE examples.id = i.id"
        )
        cursor.execute(
            "DELETE FROM embeddings WHERE example_id IN (SELECT c.id FROM chosen c JOIN incoming_rows i ON i.id = c.id "
            "WHERE i.prompt <> i.old_prompt OR i.context <> i.old_context)"
        )
    return get_repair(db, project_id, number)


def add_copies(db: Database, user: str, project_id: str, rows: Sequence[Mended], reason: str) -> Repair:
    """Make new labeled examples of examples (`example_id` and the `old_` texts are the origin's), in one group with
    them, so that no split tears them apart. What the project has already is passed over. Raises BadInput for none."""
    made = [{**vars(row), "id": uuid4().hex, "annotation_id": uuid4().hex} for row in rows]
    with _step(db, user, project_id, "augment", reason, _table(made, _MENDED), _NEW_COPY) as (cursor, number):
        review = "pending" if stored_settings(cursor, project_id).review else ""
        moment = now()
        cursor.execute(_INSERT_COPIES, [project_id, review, moment])
        cursor.execute(_INSERT_ANSWERS, [project_id, user, moment])
        cursor.execute("CREATE OR REPLACE TEMP TABLE origins AS SELECT DISTINCT origin AS id FROM chosen")
        cursor.execute(
            f"INSERT INTO chosen SELECT e.id, e.position, {_STATE}, '' FROM origins o JOIN examples e ON e.id = o.id"
        )
        cursor.execute("UPDATE examples SET group_name = id WHERE group_name = '' AND id IN (SELECT id FROM origins)")
        cursor.execute("DROP TABLE origins")
    return get_repair(db, project_id, number)


def undo_repair(db: Database, user: str, project_id: str, number: int) -> Undone:
    """Restore what a repair found, but for examples that were changed since. Copies that it made are dropped.

    Raises NotFound, BadInput when it is undone already, Conflict when nothing can be restored.
    """
    repair = get_repair(db, project_id, number)
    with db.write() as cursor:
        taken = cursor.execute(
            "UPDATE repairs SET undone_at = ?, undone_by = ? WHERE number = ? AND undone_at IS NULL",
            [now(), user, number],
        ).fetchone()
        if not taken or not taken[0]:
            raise BadInput("This step was undone already.")
        cursor.execute(
            "CREATE OR REPLACE TEMP TABLE touched_rows AS SELECT example_id AS id, before, after FROM repair_rows "
            "WHERE repair = ?",
            [number],
        )
        cursor.execute(
            "CREATE OR REPLACE TEMP TABLE untouched AS SELECT t.id, t.before FROM touched_rows t "
            f"JOIN ({_STAMPS.format(rows='touched_rows')}) s ON s.id = t.id WHERE s.stamp = t.after"
        )
        restored = _count(cursor, "SELECT count(*) FROM untouched")
        if not restored:
            raise Conflict("All of these rows were changed after this step: undo what came later first.", None)
        left = cursor.execute(_LEFT).fetchall()
        _restore(cursor, repair, user)
        record_in(cursor, user, "repair undo", project_id, str(number), kind=repair.kind, rows=restored, left=len(left))
        for name in ("touched_rows", "untouched"):
            cursor.execute(f"DROP TABLE {name}")
        db.touch(project_id)
    return Undone(number, restored, tuple(row[0] for row in left))


def list_repairs(db: Database, project_id: str, limit: int = 50) -> list[Repair]:
    """A project's repairs, newest first."""
    rows = db.query(f"{_SELECT} WHERE project_id = ? ORDER BY number DESC LIMIT ?", [project_id, limit])
    return [_repair(row) for row in rows]


def list_touched(db: Database, numbers: Sequence[int]) -> set[str]:
    """The examples that some repairs touched or made."""
    rows = db.query(
        "SELECT DISTINCT example_id FROM repair_rows WHERE repair IN (SELECT unnest(?::BIGINT[]))", [list(numbers)]
    )
    return {row[0] for row in rows}


def get_repair(db: Database, project_id: str, number: int) -> Repair:
    """Raises NotFound."""
    row = db.one(f"{_SELECT} WHERE number = ? AND project_id = ?", [number, project_id])
    if row is None:
        raise NotFound("This step does not exist in this project.")
    return _repair(row)


_SELECT = "SELECT number, project_id, user_name, kind, reason, rows, created_at, undone_at, undone_by FROM repairs"

_MENDED = (
    *("id", "example_id", "old_prompt", "old_context", "old_payload", "old_annotation", "prompt", "context", "payload"),
    *("content_key", "annotation_id", "response", "value", "pair_key"),
)

# What an example is before a repair, and its texts where those change.
_STATE_FIELDS = (
    "'status': e.status, 'annotation_id': e.annotation_id, 'answers': e.answers, 'review': e.review, "
    "'returned_to': e.returned_to, 'group_name': e.group_name"
)
_TEXT_FIELDS = "'prompt': e.prompt, 'context': e.context, 'payload': e.payload, 'content_key': e.content_key"
_STATE = f"to_json({{{_STATE_FIELDS}}})"
_STATE_AND_TEXTS = f"to_json({{{_STATE_FIELDS}, {_TEXT_FIELDS}}})"

# What tells that nobody has changed an example: its state, its texts, its newest act and its newest decision.
_STAMPS = """
SELECT e.id, to_json({{'state': [e.status, e.annotation_id, e.review, e.returned_to, e.group_name],
    'text': sha256(e.prompt || chr(0) || e.context || chr(0) || e.payload),
    'act': a.number, 'decision': r.number}})::VARCHAR AS stamp
FROM {rows} c JOIN examples e ON e.id = c.id
LEFT JOIN (SELECT example_id, max(number) AS number FROM annotations
           WHERE source <> 'gold' AND example_id IN (SELECT id FROM {rows}) GROUP BY example_id) a
    ON a.example_id = e.id
LEFT JOIN (SELECT example_id, max(number) AS number FROM reviews
           WHERE example_id IN (SELECT id FROM {rows}) GROUP BY example_id) r ON r.example_id = e.id
"""

_UNCHANGED = (
    "e.status = 'labeled' AND e.prompt = i.old_prompt AND e.context = i.old_context AND e.payload = i.old_payload "
    "AND e.annotation_id = i.old_annotation"
)

_NEW_COPY = (
    f"{_UNCHANGED} AND i.content_key NOT IN "
    "(SELECT k.content_key FROM examples k WHERE k.project_id = e.project_id AND k.status <> 'dropped') "
    "QUALIFY row_number() OVER (PARTITION BY i.content_key ORDER BY e.position) = 1"
)

_INSERT_COPIES = """
INSERT INTO examples (id, project_id, prompt, context, payload, content_key, group_name, source, status, annotation_id,
                      answers, review, created_at)
SELECT i.id, $1, i.prompt, i.context, i.payload, i.content_key, if(e.group_name = '', e.id, e.group_name),
       'counterfactual', 'labeled', i.annotation_id, 1, $2, $3
FROM chosen c JOIN incoming_rows i ON i.id = c.id JOIN examples e ON e.id = i.example_id ORDER BY e.position
"""

_INSERT_ANSWERS = """
INSERT INTO annotations (id, example_id, project_id, annotator, action, response, value, pair_key, source, base,
                         created_at)
SELECT i.annotation_id, i.id, $1, $2, 'submit', i.response, i.value, i.pair_key, 'counterfactual', i.old_annotation, $3
FROM chosen c JOIN incoming_rows i ON i.id = c.id ORDER BY c.position
"""

# Of an augmentation the copies count, not the group that their origins got.
_LEFT = """
SELECT id FROM touched_rows WHERE id NOT IN (SELECT id FROM untouched)
  AND (before = '' OR NOT EXISTS (SELECT 1 FROM touched_rows WHERE before = ''))
"""


@contextmanager
def _step(
    db: Database, user: str, project_id: str, kind: str, reason: str, rows: pa.Table, fits: str, texts: bool = False
) -> Iterator[tuple[Any, int]]:
    """A transaction with the temporary table `chosen` (id, position, before, origin): those of `rows` that `fits`
    still holds for. What the block does to them is one repair, audited, with its rows and stamps."""
    with db.write() as cursor:
        cursor.register("incoming_rows", rows)
        try:
            before = "''" if kind == "augment" else _STATE_AND_TEXTS if texts else _STATE
            cursor.execute(
                f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT i.id, e.position, {before}::VARCHAR AS before, "
                "i.example_id AS origin FROM incoming_rows i JOIN examples e ON e.id = i.example_id "
                f"WHERE e.project_id = ? AND {fits}",
                [project_id],
            )
            count = _count(cursor, "SELECT count(*) FROM chosen")
            if not count:
                raise BadInput(_NONE[kind])
            number = _count(
                cursor,
                "INSERT INTO repairs (project_id, user_name, kind, reason, rows, created_at) VALUES (?, ?, ?, ?, ?, ?) "
                "RETURNING number",
                [project_id, user, kind, reason, count, now()],
            )
            yield cursor, number
            cursor.execute(
                "INSERT INTO repair_rows SELECT ?, c.id, c.before, s.stamp FROM chosen c "
                f"JOIN ({_STAMPS.format(rows='chosen')}) s ON s.id = c.id ORDER BY c.position",
                [number],
            )
            record_in(cursor, user, f"repair {kind}", project_id, str(number), reason=reason, rows=count)
            cursor.execute("DROP TABLE chosen")
            db.touch(project_id)
        finally:
            cursor.unregister("incoming_rows")


_NONE = {
    "drop": "None of these rows can be dropped: they were dropped already, or are gone.",
    "back": "None of these rows can go back: none of them is labeled any more.",
    "redact": "None of these rows was changed: their texts are not what the preflight read any more. Check again.",
    "edit": "None of these rows was changed: their texts are not what the preflight read any more. Check again.",
    "augment": "No copy was made: the project has them all already, or the texts have changed. Check again.",
}


def _restore(cursor: Any, repair: Repair, user: str) -> None:
    """Put the examples of `untouched` back as they were."""
    if repair.kind in ("redact", "edit"):
        cursor.execute(
            "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, "
            "undoes, created_at) SELECT replace(uuid()::VARCHAR, '-', ''), e.id, e.project_id, a.annotator, 'undo', "
            "'', '', 'repair', a.id, ? FROM untouched u JOIN examples e ON e.id = u.id JOIN annotations a "
            "ON a.id = e.annotation_id ORDER BY e.position",
            [now()],
        )
        cursor.execute(
            "DELETE FROM embeddings WHERE example_id IN (SELECT u.id FROM untouched u JOIN examples e ON e.id = u.id "
            "WHERE u.before->>'$.prompt' <> e.prompt OR u.before->>'$.context' <> e.context)"
        )
    if repair.kind == "back":
        cursor.execute(
            "INSERT INTO reviews (example_id, project_id, annotation_id, annotator, reviewer, decision, comment, "
            "undoes, created_at) SELECT r.example_id, r.project_id, r.annotation_id, '', ?, 'undo', '', r.number, ? "
            "FROM reviews r JOIN untouched u ON u.id = r.example_id WHERE r.batch = ?",
            [user, now(), _batch(repair.number)],
        )
    cursor.execute("UPDATE examples SET status = 'dropped' WHERE id IN (SELECT id FROM untouched WHERE before = '')")
    cursor.execute("DELETE FROM untouched WHERE before = ''")
    texts = ", ".join(f"{name} = u.before->>'$.{name}'" for name in ("prompt", "context", "payload", "content_key"))
    cursor.execute(
        "UPDATE examples SET status = u.before->>'$.status', annotation_id = u.before->>'$.annotation_id', "
        "answers = (u.before->>'$.answers')::INTEGER, review = u.before->>'$.review', "
        "returned_to = u.before->>'$.returned_to', group_name = u.before->>'$.group_name'"
        + (f", {texts}" if repair.kind in ("redact", "edit") else "")
        + " FROM untouched u WHERE examples.id = u.id"
    )


def _of_ids(ids: Sequence[str]) -> pa.Table:
    column = pa.array(list(dict.fromkeys(ids)), pa.string())
    return pa.table({"id": column, "example_id": column})


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})


def _batch(number: int) -> str:
    return f"repair {number}"


def _count(cursor: Any, sql: str, params: Sequence[object] = ()) -> int:
    # Read to the end: an unfinished result would refuse the next statement on this cursor.
    return int(cursor.execute(sql, list(params)).fetchall()[0][0])


def _repair(row: tuple[Any, ...]) -> Repair:
    return Repair(*(*row[:6], aware(row[6]), aware(row[7]) if row[7] else None, row[8]))
