"""Annotations: acts on examples, appended and never overwritten; undo; drafts.

The example's status and standing answer are derived from its acts (storage.standing) in the transaction that appends.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from storage.database import Database, aware, now
from storage.examples import get_examples
from storage.records import Annotation, Draft, Example
from storage.standing import Standing, derive, newest_acts, revision_for
from studio.errors import BadInput, Conflict, NotFound

UNDO_LIMIT = 50
"""How many of one's own acts can be taken back."""

ACTIONS = ("submit", "skip", "flag")
COLUMNS = (
    "id, number, example_id, project_id, annotator, action, response, value, source, undoes, base, suggestion_id, "
    "seconds, created_at"
)


@dataclass(frozen=True)
class Act:
    """What an annotator does with an example. `base` is the annotation it began from: with `checked`, one that is not
    the newest any more is refused. `source` is 'label', or 'gold' for an answer that changes nothing but the record.
    """

    example_id: str
    annotator: str
    action: str
    response: str = ""
    value: str = ""
    seconds: float | None = None
    source: str = "label"
    base: str | None = None
    suggestion_id: str | None = None
    checked: bool = False


@dataclass(frozen=True)
class Rules:
    """What of a project's settings decides an example's state."""

    overlap: int = 1
    asks_review: bool = False


@dataclass(frozen=True)
class Acted:
    """An act that was written or taken back, and the example's state before and after. `annotators`: whose acts stand
    on the example now.
    """

    annotation: Annotation
    before: Standing
    after: Standing
    annotators: frozenset[str]


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


def append_act(cursor: Any, act: Act, rules: Rules, has_draft: bool = True) -> Acted:
    """Append a submit, skip or flag within an open transaction and drop the annotator's draft (if it may have one).

    Raises NotFound, BadInput, and Conflict with the newer annotation when `act.base` is not the newest any more.
    """
    if act.action not in ACTIONS:
        raise BadInput(f"There is no action '{act.action}'; there are: {', '.join(ACTIONS)}.")
    if act.action == "submit" and not act.response.strip():
        raise BadInput("The response is empty: write an answer, or skip the example.")
    before, project_id, content_key = state_of(cursor, act.example_id)
    # What nobody has answered has no act that counts: one statement less on the hot path.
    acts = acts_on(cursor, act.example_id) if before.annotation_id or before.answers or before.review else []
    newest = revision_for(acts, act.annotator)
    if act.checked and newest is not None and newest.id != act.base:
        raise Conflict("This answer was changed meanwhile: choose which version stands.", newest)
    row = cursor.execute(
        "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, value, source, base, "
        "suggestion_id, seconds, pair_key, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        f"RETURNING {COLUMNS}",
        [
            *(uuid4().hex, act.example_id, project_id, act.annotator, act.action, act.response, act.value, act.source),
            *(act.base, act.suggestion_id, act.seconds, pair_key(content_key, act.response), now()),
        ],
    ).fetchone()
    written = as_annotation(row)
    if has_draft:
        cursor.execute("DELETE FROM drafts WHERE example_id = ? AND annotator = ?", [act.example_id, act.annotator])
    if act.source == "gold":
        return Acted(written, before, before, frozenset(newest_acts(acts)))
    after = derive([*acts, written], before, rules.overlap, rules.asks_review, act.annotator)
    set_state(cursor, act.example_id, after)
    return Acted(written, before, after, frozenset(newest_acts([*acts, written])))


def annotate(
    db: Database,
    example_id: str,
    annotator: str,
    action: str,
    response: str = "",
    seconds: float | None = None,
    source: str = "label",
    value: str = "",
    rules: Rules | None = None,
) -> Annotation:
    """One act in a transaction of its own, past the queue. Raises NotFound, BadInput."""
    act = Act(example_id, annotator, action, response, value, seconds, source)
    with db.write() as cursor:
        return append_act(cursor, act, rules or Rules()).annotation


def take_back(cursor: Any, taken: Annotation, rules: Rules) -> Acted:
    """Append the undo of an act; what was written becomes the draft again, unless a draft is there already: that was
    typed later, and it is the only copy.
    """
    moment = now()
    before, _, _ = state_of(cursor, taken.example_id)
    cursor.execute(
        "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, undoes, "
        "created_at) VALUES (?, ?, ?, ?, 'undo', '', '', ?, ?, ?)",
        [uuid4().hex, taken.example_id, taken.project_id, taken.annotator, taken.source, taken.id, moment],
    )
    after, acts = before, acts_on(cursor, taken.example_id)
    if taken.source != "gold":
        after = derive(acts, before, rules.overlap, rules.asks_review, None)
        set_state(cursor, taken.example_id, after)
    if taken.response or taken.value:
        cursor.execute(
            "INSERT INTO drafts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [taken.example_id, taken.annotator, taken.response, taken.value, moment],
        )
    return Acted(taken, before, after, frozenset(newest_acts(acts)))


def undo(db: Database, project_id: str, annotator: str, rules: Rules | None = None) -> Annotation | None:
    """Take back the annotator's newest standing act of this project in a transaction of its own, past the queue.

    Returns the act taken back, or None when there is nothing (more) to undo.
    """
    undoable = list_undoable(db, project_id, annotator)
    if not undoable:
        return None
    with db.write() as cursor:
        return take_back(cursor, undoable[-1], rules or Rules()).annotation


def list_undoable(db: Database, project_id: str, annotator: str) -> list[Annotation]:
    """One's own acts that can be taken back, oldest first: those that stand among the last UNDO_LIMIT."""
    rows = db.query(
        f"SELECT {COLUMNS} FROM annotations WHERE project_id = ? AND annotator = ? AND source IN ('label', 'gold') "
        "ORDER BY number DESC LIMIT ?",
        [project_id, annotator, 2 * UNDO_LIMIT],
    )
    acts = [as_annotation(row) for row in rows]
    undone = {act.undoes for act in acts}
    own = [act for act in acts if act.action != "undo"][:UNDO_LIMIT]
    return [act for act in reversed(own) if act.id not in undone]


def state_of(cursor: Any, example_id: str) -> tuple[Standing, str, str]:
    """An example's derived columns, its project and its content key. Raises NotFound."""
    row = cursor.execute(
        "SELECT status, annotation_id, answers, review, returned_to, project_id, content_key FROM examples "
        "WHERE id = ?",
        [example_id],
    ).fetchone()
    if row is None:
        raise NotFound("This example does not exist any more.")
    return Standing(*row[:5]), row[5], row[6]


def set_state(cursor: Any, example_id: str, state: Standing) -> None:
    """Write an example's derived columns."""
    cursor.execute(
        "UPDATE examples SET status = ?, annotation_id = ?, answers = ?, review = ?, returned_to = ? WHERE id = ?",
        [state.status, state.annotation_id, state.answers, state.review, state.returned_to, example_id],
    )


def acts_on(cursor: Any, example_id: str) -> list[Annotation]:
    """Every act on an example, oldest first, undos included."""
    rows = cursor.execute(f"SELECT {COLUMNS} FROM annotations WHERE example_id = ?", [example_id]).fetchall()
    return sorted((as_annotation(row) for row in rows), key=lambda act: act.number)


def get_annotation(db: Database, annotation_id: str) -> Annotation:
    """Raises NotFound."""
    row = db.one(f"SELECT {COLUMNS} FROM annotations WHERE id = ?", [annotation_id])
    if row is None:
        raise NotFound("This annotation does not exist.")
    return as_annotation(row)


def list_history(db: Database, project_id: str, annotator: str, limit: int = 20) -> list[Done]:
    """One's own standing acts, newest first: the newest of each example, among the last `3 * limit` acts."""
    # Two reads by key: as one join DuckDB reads every example (20 ms at 200,000 of them, on each submit).
    rows = db.query(
        f"SELECT {COLUMNS} FROM annotations WHERE project_id = ? AND annotator = ? AND source IN ('label', 'gold') "
        "ORDER BY number DESC LIMIT ?",
        [project_id, annotator, 3 * limit],
    )
    acts = [as_annotation(row) for row in rows]
    undone = {act.undoes for act in acts}
    newest: dict[str, Annotation] = {}
    for act in acts:
        if act.action != "undo" and act.id not in undone:
            newest.setdefault(act.example_id, act)
    examples = {example.id: example for example in get_examples(db, newest)}
    return [Done(act, examples[act.example_id]) for act in newest.values() if act.example_id in examples][:limit]


def list_revisions(db: Database, example_id: str) -> list[Annotation]:
    """Every act on an example, oldest first, undos included."""
    return acts_on(db.cursor(), example_id)


def seconds_since(db: Database, project_id: str, annotator: str, since: datetime) -> list[float | None]:
    """How long each answer took that was submitted since a time (aware) and stands, oldest first."""
    rows = db.query(
        "SELECT seconds FROM annotations a WHERE project_id = ? AND annotator = ? AND action = 'submit' "
        "AND source IN ('label', 'gold') AND created_at >= ? "
        "AND NOT EXISTS (SELECT 1 FROM annotations u WHERE u.action = 'undo' AND u.undoes = a.id) ORDER BY number",
        [project_id, annotator, since.astimezone(UTC).replace(tzinfo=None)],
    )
    return [row[0] for row in rows]


def save_draft(db: Database, example_id: str, annotator: str, response: str, value: str = "") -> None:
    """Keep what is being typed; an empty one drops the draft."""
    with db.write() as cursor:
        if response or value:
            cursor.execute(
                "INSERT INTO drafts VALUES (?, ?, ?, ?, ?) ON CONFLICT (example_id, annotator) DO UPDATE SET "
                "response = excluded.response, value = excluded.value, updated_at = excluded.updated_at",
                [example_id, annotator, response, value, now()],
            )
        else:
            cursor.execute("DELETE FROM drafts WHERE example_id = ? AND annotator = ?", [example_id, annotator])


def get_draft(db: Database, example_id: str, annotator: str) -> Draft | None:
    """What is kept for this example."""
    row = db.one("SELECT response, value FROM drafts WHERE example_id = ? AND annotator = ?", [example_id, annotator])
    return Draft(*row) if row else None


def list_drafted(db: Database, project_id: str) -> set[tuple[str, str]]:
    """Example and annotator of every draft of a project."""
    rows = db.query(
        "SELECT d.example_id, d.annotator FROM drafts d JOIN examples e ON e.id = d.example_id WHERE e.project_id = ?",
        [project_id],
    )
    return {(row[0], row[1]) for row in rows}


def list_answered(db: Database, project_id: str) -> list[tuple[str, str]]:
    """Example and annotator of each act that stands on an example that waits for more answers."""
    rows = db.query(
        "SELECT DISTINCT a.example_id, a.annotator FROM annotations a JOIN examples e ON e.id = a.example_id "
        "WHERE e.project_id = ? AND e.status = 'todo' AND e.answers > 0 AND a.action <> 'undo' AND a.source <> 'gold' "
        "AND NOT EXISTS (SELECT 1 FROM annotations u WHERE u.action = 'undo' AND u.undoes = a.id)",
        [project_id],
    )
    return [(row[0], row[1]) for row in rows]


def as_annotation(row: tuple[Any, ...]) -> Annotation:
    """The annotation of a row of COLUMNS."""
    return Annotation(*(*row[:-1], aware(row[-1])))
