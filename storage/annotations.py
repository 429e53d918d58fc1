"""Annotations: acts on examples, appended and never overwritten; undo; drafts.

The example's `status` and `annotation_id` are what its newest standing act made of it. They are derived: an undo
recomputes them from the acts that are left.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from storage.database import Database, aware, now
from storage.examples import get_examples
from storage.records import Annotation, Example
from studio.errors import BadInput, NotFound

UNDO_LIMIT = 50
"""How many of one's own acts can be taken back."""

_STATUS = {"submit": "labeled", "skip": "skipped", "flag": "flagged"}
_COLUMNS = "id, number, example_id, project_id, annotator, action, response, source, undoes, seconds, created_at"


@dataclass(frozen=True)
class Done:
    """An annotation of an annotator's history with the prompt it answers."""

    annotation: Annotation
    example: Example


def pair_key(content_key: str, response: str | None) -> str:
    """Hash of a prompt and its answer; of the prompt alone where there is no answer."""
    if response is None:
        return content_key
    return hashlib.sha256(f"{content_key}\0{response}".encode()).hexdigest()


def annotate(
    db: Database,
    example_id: str,
    annotator: str,
    action: str,
    response: str = "",
    seconds: float | None = None,
    source: str = "label",
) -> Annotation:
    """Append a submit, skip or flag and drop the annotator's draft. Raises NotFound, BadInput."""
    if action not in _STATUS:
        raise BadInput(f"There is no action '{action}'; there are: {', '.join(_STATUS)}.")
    if action == "submit" and not response.strip():
        raise BadInput("The response is empty: write an answer, or skip the example.")
    annotation_id = uuid4().hex
    with db.write() as cursor:
        row = cursor.execute("SELECT project_id, content_key FROM examples WHERE id = ?", [example_id]).fetchone()
        if row is None:
            raise NotFound("This example does not exist any more.")
        cursor.execute(
            "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, source, seconds, "
            "pair_key, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(annotation_id, example_id, row[0], annotator, action, response, source, seconds),
                pair_key(row[1], response),
                now(),
            ],
        )
        _set_status(cursor, example_id, _STATUS[action], annotation_id)
        cursor.execute("DELETE FROM drafts WHERE example_id = ? AND annotator = ?", [example_id, annotator])
    return get_annotation(db, annotation_id)


def undo(db: Database, project_id: str, annotator: str) -> Annotation | None:
    """Take back the annotator's newest standing act of this project; what was written becomes the draft again, unless
    a draft is there already: that was typed later, and it is the only copy.

    Returns the act taken back, or None when there is nothing (more) to undo.
    """
    with db.write() as cursor:
        row = cursor.execute(_NEWEST_STANDING, [project_id, annotator, UNDO_LIMIT]).fetchone()
        if row is None:
            return None
        taken_back = _annotation(row)
        moment = now()
        cursor.execute(
            "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, "
            "undoes, created_at) VALUES (?, ?, ?, ?, 'undo', '', '', 'label', ?, ?)",
            [uuid4().hex, taken_back.example_id, project_id, annotator, taken_back.id, moment],
        )
        _restore_status(cursor, taken_back.example_id)
        if taken_back.response:
            cursor.execute(
                "INSERT INTO drafts VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [taken_back.example_id, annotator, taken_back.response, moment],
            )
    return taken_back


# Acts that stand: not taken back by an undo, and among the last UNDO_LIMIT acts of this person in this project.
_NEWEST_STANDING = f"""
SELECT {_COLUMNS} FROM (
    SELECT * FROM annotations WHERE project_id = ? AND annotator = ? AND source = 'label' AND action <> 'undo'
    ORDER BY number DESC LIMIT ?
) AS mine
WHERE NOT EXISTS (SELECT 1 FROM annotations u WHERE u.undoes = mine.id)
ORDER BY number DESC LIMIT 1
"""


def _restore_status(cursor: Any, example_id: str) -> None:
    row = cursor.execute(
        "SELECT id, action FROM annotations a WHERE example_id = ? AND action <> 'undo' "
        "AND NOT EXISTS (SELECT 1 FROM annotations u WHERE u.undoes = a.id) ORDER BY number DESC LIMIT 1",
        [example_id],
    ).fetchone()
    status, annotation_id = (_STATUS[row[1]], row[0]) if row else ("todo", None)
    _set_status(cursor, example_id, status, annotation_id)


def _set_status(cursor: Any, example_id: str, status: str, annotation_id: str | None) -> None:
    cursor.execute(
        "UPDATE examples SET status = ?, annotation_id = ? WHERE id = ?", [status, annotation_id, example_id]
    )


def get_annotation(db: Database, annotation_id: str) -> Annotation:
    """Raises NotFound."""
    row = db.one(f"SELECT {_COLUMNS} FROM annotations WHERE id = ?", [annotation_id])
    if row is None:
        raise NotFound("This annotation does not exist.")
    return _annotation(row)


def list_history(db: Database, project_id: str, annotator: str, limit: int = 20) -> list[Done]:
    """One's own standing acts, newest first: the current one of each example, among the last `2 * limit` acts."""
    # Two reads by key: as one join DuckDB reads every example (20 ms at 200,000 of them, on each submit).
    rows = db.query(
        f"SELECT {_COLUMNS} FROM annotations WHERE project_id = ? AND annotator = ? AND source = 'label' "
        "AND action <> 'undo' ORDER BY number DESC LIMIT ?",
        [project_id, annotator, 2 * limit],
    )
    done = [_annotation(row) for row in rows]
    examples = {example.id: example for example in get_examples(db, {act.example_id for act in done})}
    standing = [Done(act, examples[act.example_id]) for act in done if act.example_id in examples]
    return [item for item in standing if item.example.annotation_id == item.annotation.id][:limit]


def list_revisions(db: Database, example_id: str) -> list[Annotation]:
    """Every act on an example, oldest first, undos included."""
    rows = db.query(f"SELECT {_COLUMNS} FROM annotations WHERE example_id = ? ORDER BY number", [example_id])
    return [_annotation(row) for row in rows]


def pace(db: Database, project_id: str, annotator: str, since: datetime) -> tuple[int, float | None]:
    """Answers submitted since a time (aware), and the median seconds that each took."""
    row = db.one(
        "SELECT count(*), median(seconds) FROM annotations a WHERE project_id = ? AND annotator = ? "
        "AND action = 'submit' AND source = 'label' AND created_at >= ? "
        "AND NOT EXISTS (SELECT 1 FROM annotations u WHERE u.undoes = a.id)",
        [project_id, annotator, since.astimezone(UTC).replace(tzinfo=None)],
    )
    return (int(row[0]), row[1]) if row else (0, None)


def save_draft(db: Database, example_id: str, annotator: str, response: str) -> None:
    """Keep what is being typed; an empty text drops the draft."""
    with db.write() as cursor:
        if response:
            cursor.execute(
                "INSERT INTO drafts VALUES (?, ?, ?, ?) ON CONFLICT (example_id, annotator) "
                "DO UPDATE SET response = excluded.response, updated_at = excluded.updated_at",
                [example_id, annotator, response, now()],
            )
        else:
            cursor.execute("DELETE FROM drafts WHERE example_id = ? AND annotator = ?", [example_id, annotator])


def get_draft(db: Database, example_id: str, annotator: str) -> str:
    """The text kept for this example, or ''."""
    row = db.one("SELECT response FROM drafts WHERE example_id = ? AND annotator = ?", [example_id, annotator])
    return str(row[0]) if row else ""


def _annotation(row: tuple[Any, ...]) -> Annotation:
    return Annotation(*(*row[:-1], aware(row[-1])))
