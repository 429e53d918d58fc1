"""Annotations: acts on examples, appended and never overwritten; undo; drafts.

The example's status and standing answer are derived from its acts (storage.standing) in the transaction that appends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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

_JOIN_FROM = 5
"""Examples from which on one joined update is quicker than updates by key (measured at a million examples)."""

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
class Known:
    """What has to be known of an example before an act on it: its state, and its acts, oldest first."""

    project_id: str
    content_key: str
    state: Standing
    acts: tuple[Annotation, ...]


@dataclass(frozen=True)
class Acted:
    """An act that is written or taken back, the example's state before it, and what is known of the example after."""

    annotation: Annotation
    before: Standing
    known: Known

    @property
    def after(self) -> Standing:
        """The example's state after the act."""
        return self.known.state

    @property
    def annotators(self) -> set[str]:
        """Whose acts stand on the example now."""
        return set(newest_acts(self.known.acts))


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


def read_known(cursor: Any, example_id: str) -> Known:
    """Read what an act has to know. Raises NotFound."""
    state, project_id, content_key = state_of(cursor, example_id)
    # What nobody has answered has no act that counts.
    acts = acts_on(cursor, example_id) if state.annotation_id or state.answers or state.review else []
    return Known(project_id, content_key, state, tuple(acts))


def next_numbers(cursor: Any, count: int) -> list[int]:
    """Numbers for so many annotations that are about to be written."""
    rows = cursor.execute("SELECT nextval('annotation_numbers') FROM range(?)", [count]).fetchall()
    return [row[0] for row in rows]


def prepare_act(act: Act, known: Known, rules: Rules, number: int) -> Acted:
    """What an act makes of an example; nothing is written.

    Raises BadInput, and Conflict with the newer annotation when `act.base` is not the newest any more.
    """
    if act.action not in ACTIONS:
        raise BadInput(f"There is no action '{act.action}'; there are: {', '.join(ACTIONS)}.")
    if act.action == "submit" and not act.response.strip():
        raise BadInput("The response is empty: write an answer, or skip the example.")
    newest = revision_for(known.acts, act.annotator)
    if act.checked and act.source != "gold" and newest is not None and newest.id != act.base:
        raise Conflict("This answer was changed meanwhile: choose which version stands.", newest)
    made = Annotation(
        *(uuid4().hex, number, act.example_id, known.project_id, act.annotator, act.action, act.response, act.value),
        *(act.source, None, act.base, act.suggestion_id, act.seconds, aware(now())),
    )
    acts, state = (*known.acts, made), known.state
    if act.source != "gold":
        state = derive(acts, state, rules.overlap, rules.asks_review, act.annotator)
    return Acted(made, known.state, replace(known, state=state, acts=acts))


def write_acts(cursor: Any, acted: Sequence[Acted]) -> None:
    """Write prepared acts and the states they leave, many in the time of a few."""
    if not acted:
        return
    rows = [_stored(one) for one in acted]
    columns = f"{COLUMNS}, pair_key"
    marks = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
    cursor.execute(f"INSERT INTO annotations ({columns}) VALUES {marks}", [value for row in rows for value in row])
    set_states(cursor, {one.annotation.example_id: one.after for one in acted if one.annotation.source != "gold"})


def append_act(cursor: Any, act: Act, rules: Rules) -> Acted:
    """Append one act within an open transaction and drop the annotator's draft.

    Raises NotFound, BadInput and Conflict as `prepare_act` does.
    """
    acted = prepare_act(act, read_known(cursor, act.example_id), rules, next_numbers(cursor, 1)[0])
    write_acts(cursor, [acted])
    drop_drafts(cursor, [(act.example_id, act.annotator)])
    return acted


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
    known = read_known(cursor, taken.example_id)
    relabeled = [
        act
        for act in known.acts
        if act.source == "relabel" and act.action == "submit" and act.annotator == taken.annotator
        if act.number > taken.number
    ]
    # What a change of labels made of the act goes with it; the draft then has the new name.
    for act in [taken, *relabeled]:
        cursor.execute(
            "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, "
            "undoes, created_at) VALUES (?, ?, ?, ?, 'undo', '', '', ?, ?, ?)",
            [uuid4().hex, taken.example_id, taken.project_id, taken.annotator, act.source, act.id, moment],
        )
    state, acts = known.state, acts_on(cursor, taken.example_id)
    if taken.source != "gold":
        state = derive(acts, state, rules.overlap, rules.asks_review, None)
        set_state(cursor, taken.example_id, state)
    if taken.response or taken.value:
        cursor.execute(
            "INSERT INTO drafts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [taken.example_id, taken.annotator, (relabeled or [taken])[-1].response, taken.value, moment],
        )
    return Acted(taken, known.state, replace(known, state=state, acts=tuple(acts)))


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


def set_states(cursor: Any, states: Mapping[str, Standing]) -> None:
    """The same for many examples: by key where they are few, as one join where that is quicker."""
    if len(states) < _JOIN_FROM:
        for example_id, state in states.items():
            set_state(cursor, example_id, state)
        return
    marks = ", ".join(["(?, ?, ?, ?::INTEGER, ?, ?)"] * len(states))
    values = [
        value
        for name, one in states.items()
        for value in (name, one.status, one.annotation_id, one.answers, one.review, one.returned_to)
    ]
    cursor.execute(
        "UPDATE examples SET status = s.status, annotation_id = s.annotation_id, answers = s.answers, "
        "review = s.review, returned_to = s.returned_to "
        f"FROM (VALUES {marks}) s(id, status, annotation_id, answers, review, returned_to) WHERE examples.id = s.id",
        values,
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
        f"SELECT {COLUMNS} FROM annotations WHERE project_id = ? AND annotator = ? "
        "AND source IN ('label', 'gold', 'relabel') ORDER BY number DESC LIMIT ?",
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
    """Keep one draft in a transaction of its own, past the queue; an empty one is dropped."""
    with db.write() as cursor:
        put_drafts(cursor, {(example_id, annotator): Draft(response, value)})


def get_draft(db: Database, example_id: str, annotator: str) -> Draft | None:
    """What is kept for this example."""
    row = db.one("SELECT response, value FROM drafts WHERE example_id = ? AND annotator = ?", [example_id, annotator])
    return Draft(*row) if row else None


def put_drafts(cursor: Any, drafts: Mapping[tuple[str, str], Draft], first: Collection[tuple[str, str]] = ()) -> None:
    """Keep what is being typed, by example and annotator; an empty draft is dropped. Those of `first` are known to
    have no row yet, which takes a third of the time.
    """
    kept = {key: draft for key, draft in drafts.items() if draft.response or draft.value}
    drop_drafts(cursor, [key for key in drafts if key not in kept and key not in first])
    for fresh in (True, False):
        rows = [(*key, one.response, one.value, now()) for key, one in kept.items() if (key in first) == fresh]
        if rows:
            marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(rows))
            again = "" if fresh else _DRAFT_AGAIN
            cursor.execute(f"INSERT INTO drafts VALUES {marks} {again}", [value for row in rows for value in row])


_DRAFT_AGAIN = (
    "ON CONFLICT (example_id, annotator) DO UPDATE SET response = excluded.response, value = excluded.value, "
    "updated_at = excluded.updated_at"
)


def drop_drafts(cursor: Any, keys: Sequence[tuple[str, str]]) -> None:
    """Forget drafts by example and annotator."""
    if keys:
        marks = ", ".join(["(?, ?)"] * len(keys))
        values = [value for key in keys for value in key]
        cursor.execute(f"DELETE FROM drafts WHERE (example_id, annotator) IN ({marks})", values)


def list_drafted(db: Database, project_id: str) -> set[tuple[str, str]]:
    """Example and annotator of every draft of a project."""
    rows = db.query(
        "SELECT d.example_id, d.annotator FROM drafts d JOIN examples e ON e.id = d.example_id WHERE e.project_id = ?",
        [project_id],
    )
    return {(row[0], row[1]) for row in rows}


def list_partial(db: Database, project_id: str) -> dict[str, list[Annotation]]:
    """The acts, oldest first, on each example that waits for more answers."""
    rows = db.query(
        f"SELECT {', '.join('a.' + name for name in COLUMNS.split(', '))} FROM annotations a "
        "JOIN examples e ON e.id = a.example_id WHERE e.project_id = ? AND e.status = 'todo' AND e.answers > 0 "
        "ORDER BY a.number",
        [project_id],
    )
    partial: dict[str, list[Annotation]] = {}
    for row in rows:
        act = as_annotation(row)
        partial.setdefault(act.example_id, []).append(act)
    return partial


def _stored(acted: Acted) -> list[Any]:
    made = acted.annotation
    return [
        *(made.id, made.number, made.example_id, made.project_id, made.annotator, made.action, made.response),
        *(made.value, made.source, made.undoes, made.base, made.suggestion_id, made.seconds),
        *(made.created_at.replace(tzinfo=None), pair_key(acted.known.content_key, made.response)),
    ]


def as_annotation(row: tuple[Any, ...]) -> Annotation:
    """The annotation of a row of COLUMNS."""
    return Annotation(*(*row[:-1], aware(row[-1])))
