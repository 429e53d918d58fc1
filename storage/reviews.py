"""Reviews: decisions of reviewers, each appended with the state that it found.

A decision and what it makes of the example are one transaction. Every decision names a stamp: the newest act and the
newest review that the reviewer saw of the example. Where something newer is there, nothing is written and `Conflict` is
raised: so neither a newer answer nor another reviewer's decision is ever overwritten unseen. What it leaves out: who
may review (studio.web), what waits (storage.review_queue), whether an edited answer fits (studio.labeling.review).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from storage.annotations import COLUMNS, acts_on, as_annotation, pair_key, set_state, state_of
from storage.audit import record_in
from storage.database import Database, aware, now
from storage.records import Annotation
from storage.review_queue import BULK
from storage.standing import Standing, derive, newest_acts
from studio.errors import BadInput, Conflict, NotFound

UNDO_LIMIT = 50
"""How many of one's own decisions can be taken back."""


@dataclass(frozen=True)
class Review:
    """One decision about one answer: `decision` is accept, edit or return; `undone`: taken back since."""

    number: int
    example_id: str
    annotation_id: str
    annotator: str
    reviewer: str
    decision: str
    comment: str
    undone: bool
    created_at: datetime


@dataclass(frozen=True)
class Decision:
    """What a reviewer decides about one answer. `stamp` is what `read_stamp` gave when they saw it; `response` and
    `value` are the edited answer, `comment` what the annotator is told with a return.
    """

    example_id: str
    annotation_id: str
    decision: str
    stamp: str
    response: str = ""
    value: str = ""
    comment: str = ""


def read_stamp(cursor: Any, example_id: str) -> str:
    """The newest act and the newest review of an example: what a decision names as the version it looked at."""
    row = cursor.execute(
        "SELECT (SELECT max(number) FROM annotations WHERE example_id = ? AND source <> 'gold'), "
        "(SELECT max(number) FROM reviews WHERE example_id = ?)",
        [example_id, example_id],
    ).fetchone()
    return f"{row[0] or 0}.{row[1] or 0}"


def list_reviews(db: Database, example_id: str) -> list[Review]:
    """Every decision on an example, oldest first."""
    rows = db.query(
        "SELECT number, example_id, annotation_id, annotator, reviewer, decision, comment, undoes, created_at "
        "FROM reviews WHERE example_id = ? ORDER BY number",
        [example_id],
    )
    undone = {row[7] for row in rows}
    return [Review(*(*row[:7], row[0] in undone, aware(row[8]))) for row in rows if row[5] != "undo"]


def decide(db: Database, reviewer: str, decision: Decision, overlap: int = 1, asks_review: bool = True) -> str:
    """Write a decision and what it makes of the example; the id of its project.

    An accepted flag puts the example aside (skipped). Raises NotFound, BadInput, and Conflict (`newest` is None) when
    anything happened to the example since the stamp.
    """
    with db.write() as cursor:
        before, project_id, content_key = state_of(cursor, decision.example_id)
        if read_stamp(cursor, decision.example_id) != decision.stamp:
            raise Conflict("Somebody acted on this example meanwhile: look at it again.", None)
        acts = acts_on(cursor, decision.example_id)
        about = _about(acts, decision.annotation_id, before)
        if decision.decision == "edit":
            acts = [*acts, _append_edit(cursor, about, reviewer, decision, content_key)]
        after = _after(decision.decision, about, acts, before, overlap, asks_review)
        set_state(cursor, decision.example_id, after)
        seen = acts[-1].number
        _append(cursor, about, reviewer, decision.decision, decision.comment, before, seen)
        record_in(
            cursor, reviewer, f"review {decision.decision}", project_id, decision.example_id,
            annotation=about.id, annotator=about.annotator, comment=decision.comment,
        )  # fmt: skip
        if decision.decision != "accept" or after.status != before.status:
            db.touch(project_id)
    return project_id


def _about(acts: Sequence[Annotation], annotation_id: str, before: Standing) -> Annotation:
    if before.status == "todo":
        raise BadInput("This example is with the annotators: it can be reviewed once it is answered.")
    if before.status == "dropped":
        raise BadInput("This example was dropped: undo that on the Preflight page first.")
    found = next((act for act in newest_acts(acts).values() if act.id == annotation_id), None)
    if found is None:
        raise NotFound("This answer does not stand any more: look at the example again.")
    return found


def _after(
    decision: str, about: Annotation, acts: Sequence[Annotation], before: Standing, overlap: int, asks_review: bool
) -> Standing:
    if decision == "return":
        to = None if about.source == "import" else about.annotator
        return Standing("todo", None, before.answers, "returned", to)
    if decision == "edit":
        return derive(acts, before, overlap, asks_review, None)
    status = "labeled" if about.action == "submit" else "skipped"
    return Standing(status, about.id, before.answers, "accepted", None)


def _append_edit(cursor: Any, about: Annotation, reviewer: str, decision: Decision, content_key: str) -> Annotation:
    row = cursor.execute(
        "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, value, source, base, "
        f"pair_key, created_at) VALUES (?, ?, ?, ?, 'submit', ?, ?, 'review', ?, ?, ?) RETURNING {COLUMNS}",
        [
            *(uuid4().hex, about.example_id, about.project_id, reviewer, decision.response, decision.value, about.id),
            *(pair_key(content_key, decision.response), now()),
        ],
    ).fetchone()
    return as_annotation(row)


def _append(
    cursor: Any, about: Annotation, reviewer: str, decision: str, comment: str, before: Standing, seen: int
) -> None:
    cursor.execute(
        "INSERT INTO reviews (example_id, project_id, annotation_id, annotator, reviewer, decision, comment, before, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(about.example_id, about.project_id, about.id, about.annotator, reviewer, decision, comment),
            *(json.dumps({**asdict(before), "seen": seen}), now()),
        ],
    )


def accept_all(
    db: Database, reviewer: str, project_id: str, task: str, annotator: str, source: str, expected: int
) -> list[str]:
    """Accept what `list_bulk` counted of one annotator (or of 'import') in one act; the examples' ids.

    Raises Conflict when there are not `expected` any more: then nothing is accepted.
    """
    batch = uuid4().hex
    with db.write() as cursor:
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT b.id FROM ({BULK}) b JOIN annotations a "
            "ON a.id = b.annotation_id "
            "WHERE if(? = 'import', a.source = 'import', a.source <> 'import' AND a.annotator = ?)",
            [project_id, project_id, project_id, task, source, annotator],
        )
        ids = append_batch(cursor, reviewer, project_id, "accept", "", batch)
        if len(ids) != expected:
            raise Conflict(
                f"There are {len(ids):,} by now and not {expected:,}: nothing was accepted, look again.", None
            )
        cursor.execute("UPDATE examples SET review = 'accepted' WHERE id IN (SELECT id FROM chosen)")
        who = {"annotator": annotator, "source": source}
        record_in(cursor, reviewer, "review accept all", project_id, batch, **who, count=len(ids))
        cursor.execute("DROP TABLE chosen")
    return ids


def send_again(db: Database, user: str, project_id: str, example_ids: Sequence[str], comment: str) -> int:
    """Put labeled and dropped examples back into the queue with a comment for whoever takes them, those who have
    answered included; their answers stay as revisions. How many were, and so are put back.
    """
    batch = uuid4().hex
    with db.write() as cursor:
        marks = ", ".join("?" * len(example_ids))
        cursor.execute(
            "CREATE OR REPLACE TEMP TABLE chosen AS SELECT id FROM examples "
            "WHERE project_id = ? AND status IN ('labeled', 'dropped') AND annotation_id IS NOT NULL "
            f"AND id IN ({marks or 'NULL'})",
            [project_id, *example_ids],
        )
        ids = append_batch(cursor, user, project_id, "return", comment, batch)
        cursor.execute(
            "UPDATE examples SET status = 'todo', annotation_id = NULL, review = 'returned', returned_to = NULL "
            "WHERE id IN (SELECT id FROM chosen)"
        )
        for example_id in ids:
            record_in(cursor, user, "look again", project_id, example_id, batch=batch)
        cursor.execute("DROP TABLE chosen")
        db.touch(project_id)
    return len(ids)


def append_batch(cursor: Any, reviewer: str, project_id: str, decision: str, comment: str, batch: str) -> list[str]:
    """A decision on each example of the temporary table `chosen`, about the answer that stands; the examples."""
    rows = cursor.execute(
        "INSERT INTO reviews (example_id, project_id, annotation_id, annotator, reviewer, decision, comment, batch, "
        "before, created_at) SELECT e.id, e.project_id, a.id, a.annotator, ?, ?, ?, ?, to_json("
        "{status: e.status, annotation_id: e.annotation_id, answers: e.answers, review: e.review, returned_to: "
        "e.returned_to, seen: (SELECT max(number) FROM annotations n WHERE n.example_id = e.id AND n.source <> 'gold')"
        "}), ? FROM chosen c JOIN examples e ON e.id = c.id JOIN annotations a ON a.id = e.annotation_id "
        "RETURNING example_id",
        [reviewer, decision, comment, batch, now()],
    ).fetchall()
    return [row[0] for row in rows]


def undo_review(db: Database, project_id: str, reviewer: str) -> list[str]:
    """Take back a reviewer's newest decision (of a bulk accept all that nobody acted on since); the examples, which
    wait again. [] when there is nothing (more) to take back. Raises Conflict when the example was acted on since.
    """
    with db.write() as cursor:
        rows = cursor.execute(_NEWEST, [project_id, reviewer, UNDO_LIMIT]).fetchall()
        if not rows:
            return []
        newest = _Taken(*(*rows[-1][:4], json.loads(rows[-1][4])))
        if newest.batch:
            ids = _take_back_batch(cursor, newest.batch, project_id, reviewer)
        else:
            ids = [_take_back(cursor, newest, project_id, reviewer)]
        record_in(cursor, reviewer, "review undo", project_id, newest.batch or newest.example_id, count=len(ids))
        db.touch(project_id)
    return ids


@dataclass(frozen=True)
class _Taken:
    number: int
    example_id: str
    annotation_id: str
    batch: str
    before: dict[str, Any]


# The newest decision that was not taken back; any of its batch stands for the batch.
_NEWEST = """
SELECT number, example_id, annotation_id, batch, before FROM (
    SELECT r.*, dense_rank() OVER (ORDER BY CASE WHEN batch = '' THEN number ELSE last_of_batch END DESC) AS nth
    FROM (SELECT *, max(number) OVER (PARTITION BY batch) AS last_of_batch FROM reviews
          WHERE project_id = ? AND reviewer = ? AND decision <> 'undo') r
) mine
WHERE nth <= ? AND NOT EXISTS (SELECT 1 FROM reviews u WHERE u.decision = 'undo' AND u.undoes = mine.number)
ORDER BY nth, number LIMIT 1
"""

_UNTOUCHED = """
CREATE OR REPLACE TEMP TABLE untouched AS
SELECT r.number, r.example_id, r.annotation_id, r.before FROM reviews r WHERE r.batch = ?
  AND r.number = (SELECT max(n.number) FROM reviews n WHERE n.example_id = r.example_id)
  AND CAST(json_extract(r.before, '$.seen') AS BIGINT)
      = (SELECT max(a.number) FROM annotations a WHERE a.example_id = r.example_id AND a.source <> 'gold')
"""


def _take_back_batch(cursor: Any, batch: str, project_id: str, reviewer: str) -> list[str]:
    cursor.execute(_UNTOUCHED, [batch])
    ids = [row[0] for row in cursor.execute("SELECT example_id FROM untouched").fetchall()]
    if not ids:
        raise Conflict("All of these were acted on after your decision: decide about what is there now.", None)
    cursor.execute(
        "INSERT INTO reviews (example_id, project_id, annotation_id, annotator, reviewer, decision, comment, undoes, "
        "created_at) SELECT example_id, ?, annotation_id, '', ?, 'undo', '', number, ? FROM untouched",
        [project_id, reviewer, now()],
    )
    cursor.execute(
        "UPDATE examples SET status = u.before->>'$.status', annotation_id = u.before->>'$.annotation_id', "
        "review = u.before->>'$.review', returned_to = u.before->>'$.returned_to' FROM untouched u "
        "WHERE examples.id = u.example_id"
    )
    cursor.execute("DROP TABLE untouched")
    return ids


def _take_back(cursor: Any, taken: _Taken, project_id: str, reviewer: str) -> str:
    if read_stamp(cursor, taken.example_id) != f"{taken.before['seen']}.{taken.number}":
        raise Conflict("This example was acted on after your decision: decide about what is there now.", None)
    cursor.execute(
        "INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, undoes, "
        "created_at) SELECT ?, example_id, project_id, annotator, 'undo', '', '', 'review', id, ? FROM annotations "
        "WHERE number = ? AND base = ? AND source = 'review' AND action = 'submit'",
        [uuid4().hex, now(), taken.before["seen"], taken.annotation_id],
    )
    cursor.execute(
        "INSERT INTO reviews (example_id, project_id, annotation_id, annotator, reviewer, decision, comment, undoes, "
        "created_at) VALUES (?, ?, ?, '', ?, 'undo', '', ?, ?)",
        [taken.example_id, project_id, taken.annotation_id, reviewer, taken.number, now()],
    )
    state = Standing(**{name: value for name, value in taken.before.items() if name != "seen"})
    set_state(cursor, taken.example_id, state)
    return taken.example_id


def set_review(cursor: Any, project_id: str, on: bool) -> int:
    """Within an open transaction: what is labeled and not accepted waits for a review, or does not any more; how many.

    Decisions stay: what a reviewer accepted is accepted still, and what was sent back stays with its annotator.
    """
    before, after = ("", "pending") if on else ("pending", "")
    row = cursor.execute(
        "UPDATE examples SET review = ? WHERE project_id = ? AND review = ? AND status = 'labeled'",
        [after, project_id, before],
    ).fetchone()
    return int(row[0]) if row else 0


def list_suggested(db: Database, ids: Collection[str]) -> dict[str, tuple[str, str, str]]:
    """Source, response and value of some suggestions, by id."""
    marks = ", ".join("?" * len(ids))
    rows = db.query(f"SELECT id, source, response, value FROM suggestions WHERE id IN ({marks})", [*ids]) if ids else []
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
