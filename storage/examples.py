"""Examples: what is to be labeled, and the counts and pages that screens show of them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from storage.database import Database, aware
from storage.records import Counts, Example, Pair, Turn
from studio.errors import NotFound

EXAMPLE_COLUMNS = (
    "id, project_id, position, prompt, context, payload, source, status, annotation_id, answers, review, returned_to, "
    "created_at, content_key"
)


def encode_turns(turns: tuple[Turn, ...]) -> str:
    """Turns as they are stored."""
    return json.dumps([[turn.role, turn.content] for turn in turns], ensure_ascii=False)


def decode_turns(stored: str) -> tuple[Turn, ...]:
    """The reverse of `encode_turns`."""
    return tuple(Turn(role, content) for role, content in json.loads(stored))


def get_example(db: Database, example_id: str) -> Example:
    """Raises NotFound."""
    row = db.one(f"SELECT {EXAMPLE_COLUMNS} FROM examples WHERE id = ?", [example_id])
    if row is None:
        raise NotFound("This example does not exist any more.")
    return as_example(row)


def get_examples(db: Database, ids: Collection[str]) -> list[Example]:
    """Those of some examples that exist, in no order."""
    marks = ", ".join("?" * len(ids))
    rows = db.query(f"SELECT {EXAMPLE_COLUMNS} FROM examples WHERE id IN ({marks})", [*ids]) if ids else []
    return [as_example(row) for row in rows]


def next_examples(db: Database, project_id: str, limit: int, after: int = 0) -> list[Example]:
    """The first `limit` examples to label behind position `after`, as imported."""
    rows = db.query(
        f"SELECT {EXAMPLE_COLUMNS} FROM examples WHERE project_id = ? AND status = 'todo' AND position > ? "
        "ORDER BY position LIMIT ?",
        [project_id, after, limit],
    )
    return [as_example(row) for row in rows]


@dataclass(frozen=True)
class Waiting:
    """An example of the queue; `again`: open to those too who have answered it."""

    example: Example
    again: bool


_KEYS = {
    "imported": "e.position",
    "random": "hash(e.id)",
    "priority": "-e.priority",
    "uncertain": "-coalesce(e.uncertainty, -1)",
    "diverse": "-coalesce(e.diversity, -1)",
}
"""What each order sorts by; what is equal follows by diversity, then as imported."""


def list_waiting(db: Database, project_id: str, order: str, offset: int, limit: int) -> list[Waiting]:
    """Examples to label, in an order of `storage.projects.ORDERS`. Those sent back come with the first page (offset 0)
    besides.
    """
    rows = db.query(
        f"SELECT {qualified('e', EXAMPLE_COLUMNS)} FROM examples e "
        "WHERE e.project_id = ? AND e.status = 'todo' AND e.review <> 'returned' "
        f"ORDER BY {_KEYS[order]}, -coalesce(e.diversity, -1), e.position LIMIT ? OFFSET ?",
        [project_id, limit, offset],
    )
    returned = [] if offset else list_returned(db, project_id)
    return [*returned, *(Waiting(as_example(row), False) for row in rows)]


def return_comment(db: Database, example_id: str) -> tuple[str, str] | None:
    """Who sent an example back, and with which words; None when nobody did."""
    row = db.one(
        "SELECT reviewer, comment FROM reviews WHERE example_id = ? AND decision = 'return' "
        "ORDER BY number DESC LIMIT 1",
        [example_id],
    )
    return (row[0], row[1]) if row else None


def list_returned(db: Database, project_id: str) -> list[Waiting]:
    """Examples that a reviewer sent back."""
    rows = db.query(
        f"SELECT {EXAMPLE_COLUMNS} FROM examples WHERE project_id = ? AND status = 'todo' AND review = 'returned' "
        "ORDER BY position",
        [project_id],
    )
    return [Waiting(as_example(row), True) for row in rows]


def page_examples(
    db: Database, project_id: str, status: str | None = None, search: str = "", offset: int = 0, limit: int = 25
) -> list[tuple[Example, str]]:
    """A page of a project's examples with the answer that stands ('' for none), newest work last."""
    rows = db.query(
        f"SELECT {qualified('e', EXAMPLE_COLUMNS)}, coalesce(a.response, '') FROM examples e "
        "LEFT JOIN annotations a ON a.id = e.annotation_id WHERE e.project_id = ? AND (? IS NULL OR e.status = ?) "
        "AND (? = '' OR contains(lower(e.prompt), lower(?)) OR contains(lower(coalesce(a.response, '')), lower(?))) "
        "ORDER BY e.position LIMIT ? OFFSET ?",
        [project_id, status, status, search, search, search, limit, offset],
    )
    return [(as_example(row[:-1]), row[-1]) for row in rows]


def count_examples(db: Database, project_id: str) -> Counts:
    """Examples by status."""
    rows = db.query("SELECT status, count(*) FROM examples WHERE project_id = ? GROUP BY status", [project_id])
    return Counts(**{status: int(count) for status, count in rows})


def list_pairs(db: Database, project_id: str) -> list[Pair]:
    """Every accepted pair of a project, in the order of import: where it asks for review, those a reviewer accepted."""
    rows = db.query(
        "SELECT e.id, a.id, e.prompt, e.context, e.payload, a.response, a.value, e.content_key FROM examples e "
        "JOIN annotations a ON a.id = e.annotation_id JOIN projects p ON p.id = e.project_id "
        "WHERE e.project_id = ? AND e.status = 'labeled' "
        "AND (e.review = 'accepted' OR json_extract_string(p.settings, '$.review') IS DISTINCT FROM 'true') "
        "ORDER BY e.position",
        [project_id],
    )
    return [Pair(*(*row[:2], decode_turns(row[2]), row[3], _payload(row[4]), *row[5:])) for row in rows]


def qualified(table: str, columns: str) -> str:
    """Column names with their table in front."""
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


def as_example(row: tuple[Any, ...]) -> Example:
    """The example of a row of EXAMPLE_COLUMNS."""
    return Example(*(*row[:3], decode_turns(row[3]), row[4], _payload(row[5]), *row[6:12], aware(row[12]), row[13]))


def _payload(stored: str) -> dict[str, str]:
    return dict(json.loads(stored)) if stored else {}
