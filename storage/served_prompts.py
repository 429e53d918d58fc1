"""Prompts on both sides of serving: what a snapshot was trained on, what is held out, and which requests were labeled.

A served prompt has the context of an example before its last user turn, so prompts are compared in that form. What it
leaves out: whether they drift apart (studio.deploy.drift), and making examples of them (studio.deploy.label_these).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from storage.database import Database, now
from storage.examples import decode_turns, encode_turns
from storage.records import Turn

SOURCE = "served"
"""Where an example made of a request comes from, and its suggestion."""


@dataclass(frozen=True)
class TrainedPrompt:
    """A prompt of a training split as a server would be asked it; `vector` where the example has one of that text."""

    example_id: str
    prompt: tuple[Turn, ...]
    vector: tuple[float, ...] | None


def trained_prompts(db: Database, project_id: str, snapshot_id: str, most: int, seed: int = 0) -> list[TrainedPrompt]:
    """Prompts of a snapshot's training split: all, or `most` by chance (the same for a `seed`)."""
    rows = db.query(
        "SELECT e.id, e.prompt, e.context, v.vector FROM (SELECT example_id FROM snapshot_examples "
        "WHERE snapshot_id = ? AND project_id = ? AND split = 'train' ORDER BY hash(example_id, ?) LIMIT ?) m "
        "JOIN examples e ON e.id = m.example_id LEFT JOIN embeddings v ON v.example_id = e.id ORDER BY e.id",
        [snapshot_id, project_id, seed, most],
    )
    return [
        TrainedPrompt(row[0], as_served(decode_turns(row[1]), row[2]), tuple(row[3]) if row[3] and not row[2] else None)
        for row in rows
    ]


def as_served(prompt: Sequence[Turn], context: str) -> tuple[Turn, ...]:
    """A prompt with the context before its last user turn, as models are asked it, without system turns."""
    turns = [turn for turn in prompt if turn.role != "system"]
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if context and last is not None:
        turns[last] = Turn("user", f"{context}\n\n{turns[last].content}", turns[last].extra)
    return tuple(turns)


def asked_like(db: Database, project_id: str, texts: Sequence[str]) -> list[tuple[str, tuple[Turn, ...]]]:
    """Examples of a project whose last turn, as it is served, is one of `texts`, with their prompts as they are served;
    the first imported first."""
    rows = db.query(_ASKED_LIKE, [project_id, list(texts), _BLANKS])
    return [(row[0], as_served(decode_turns(row[1]), row[2])) for row in rows]


def asked_like_pattern(db: Database, project_id: str, patterns: Sequence[str]) -> list[tuple[str, tuple[Turn, ...]]]:
    """The same by patterns of SQL's LIKE, in which a backslash takes % and _ as they are."""
    rows = db.query(_LIKE_PATTERN, [project_id, list(patterns), _BLANKS])
    return [(row[0], as_served(decode_turns(row[1]), row[2])) for row in rows]


_BLANKS = " \n\t\r"
# The last turn as it is served: with the context before it.
_SERVED = (
    "trim(concat(if(context = '', '', concat(context, chr(10), chr(10))), "
    "json_extract_string(prompt, '$[#-1][1]')), $3)"
)
_ASKED_LIKE = (
    f"SELECT id, prompt, context FROM examples WHERE project_id = $1 AND {_SERVED} IN "
    "(SELECT trim(unnest($2::VARCHAR[]), $3)) ORDER BY position"
)
_LIKE_PATTERN = (
    "SELECT DISTINCT id, prompt, context, position FROM examples e "
    "JOIN (SELECT trim(unnest($2::VARCHAR[]), $3) AS pattern) p "
    f"ON {_SERVED} LIKE p.pattern ESCAPE '\\' WHERE project_id = $1 ORDER BY position"
)


def waiting_example(cursor: Any, project_id: str, content_key: str) -> str | None:
    """The example of a project that asks just this and still waits to be labeled, within an open transaction."""
    row = cursor.execute(
        "SELECT id FROM examples WHERE project_id = ? AND content_key = ? AND status = 'todo' AND payload = '' "
        "ORDER BY position LIMIT 1",
        [project_id, content_key],
    ).fetchone()
    return str(row[0]) if row else None


def insert_example(
    cursor: Any, project_id: str, prompt: Sequence[Turn], content_key: str, group_name: str, priority: float
) -> str:
    """Make an example that waits to be labeled, within an open transaction; its id."""
    example_id = uuid4().hex
    cursor.execute(
        "INSERT INTO examples (id, project_id, prompt, context, payload, content_key, group_name, source, status, "
        "priority, created_at) VALUES (?, ?, ?, '', '', ?, ?, ?, 'todo', ?, ?)",
        [example_id, project_id, encode_turns(tuple(prompt)), content_key, group_name, SOURCE, priority, now()],
    )
    return example_id


def add_served_draft(
    cursor: Any, project_id: str, example_id: str, response: str, value: str, uncertainty: float | None
) -> None:
    """Offer what the model answered to whoever gets an example, within an open transaction."""
    cursor.execute(
        "INSERT INTO suggestions (id, example_id, project_id, source, response, value, uncertainty, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [uuid4().hex, example_id, project_id, SOURCE, response, value, uncertainty, now()],
    )


def taken_of(cursor: Any, ids: Sequence[str]) -> set[str]:
    """Those of some requests that are an example already, within an open transaction."""
    sql = "SELECT request_id FROM request_examples WHERE request_id IN (SELECT unnest(?::VARCHAR[]))"
    return {str(row[0]) for row in cursor.execute(sql, [list(ids)]).fetchall()}


def note_taken(cursor: Any, request_id: str, example_id: str, project_id: str, reason: str, user: str) -> None:
    """Note which example a request became, within an open transaction."""
    cursor.execute(
        "INSERT INTO request_examples VALUES (?, ?, ?, ?, ?, ?)",
        [request_id, example_id, project_id, reason, user, now()],
    )


def requests_of(db: Database, example_id: str) -> list[tuple[str, str]]:
    """The requests that an example was made of, with the reason, oldest first."""
    rows = db.query(
        "SELECT request_id, reason FROM request_examples WHERE example_id = ? ORDER BY created_at, request_id",
        [example_id],
    )
    return [(str(row[0]), str(row[1])) for row in rows]


def count_taken(db: Database, project_id: str) -> dict[str, int]:
    """How many of a project's requests became examples, by reason."""
    rows = db.query("SELECT reason, count(*) FROM request_examples WHERE project_id = ? GROUP BY 1", [project_id])
    return {str(reason): int(count) for reason, count in rows}
