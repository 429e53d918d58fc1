"""Examples: what is to be labeled, and the counts and pages that screens show of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
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
    return json.dumps(
        [[turn.role, turn.content, turn.extra] if turn.extra else [turn.role, turn.content] for turn in turns],
        ensure_ascii=False,
    )


def decode_turns(stored: str) -> tuple[Turn, ...]:
    """The reverse of `encode_turns`."""
    return tuple(Turn(*turn) for turn in json.loads(stored))


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
    """Every accepted pair of a project in memory, as `iter_pairs` gives them: for small projects and tests."""
    return list(iter_pairs(db, project_id))


def iter_pairs(db: Database, project_id: str, batch: int = 1000) -> Iterator[Pair]:
    """Every accepted pair of a project, in the order of import: where it asks for review, those a reviewer accepted.

    All of one moment (see `Database.reading`), about `batch` rows in memory at a time, fewer where they are long.
    """
    with db.reading() as cursor:
        yield from pairs_in(cursor, project_id, batch)


def pairs_in(cursor: Any, project_id: str, batch: int = 1000) -> Iterator[Pair]:
    """As `iter_pairs`, within a read that is open."""
    order = cursor.execute(f"SELECT e.position, a.number {_ACCEPTED} ORDER BY e.position", [project_id]).fetchnumpy()
    positions, numbers = order["position"], order["number"]
    at, size = 0, min(batch, 200)
    while at < len(positions):
        part = numbers[at : at + size].tolist()
        # Both ranges let DuckDB pass over nearly all that it does not need: answers are stored by their number.
        first, last = int(positions[at]), int(positions[min(at + size, len(positions)) - 1])
        rows = cursor.execute(
            f"SELECT e.id, a.id, e.prompt, e.context, e.payload, a.response, a.value, e.content_key, e.group_name "
            f"{_ACCEPTED} AND e.position BETWEEN ? AND ? AND a.number BETWEEN ? AND ? ORDER BY e.position",
            [project_id, first, last, min(part), max(part)],
        ).fetchall()
        at += size
        characters = sum(len(row[2]) + len(row[3]) + len(row[4]) + len(row[5]) + len(row[6]) for row in rows)
        size = max(1, min(batch, _CHARACTERS * len(rows) // (characters or 1)))
        for example, annotation, prompt, context, payload, *answer in rows:
            yield Pair(example, annotation, decode_turns(prompt), context, _payload(payload), *answer)


@dataclass(frozen=True)
class PairTraits:
    """How many accepted pairs a project has, and what some of them have. `turns`: a prompt of more than one turn;
    `extra` and `flags`: maybe tool calls in a turn, loss elsewhere than on the last one (too often rather than too
    rarely)."""

    rows: int
    context: bool
    tools: bool
    turns: bool
    extra: bool
    flags: bool
    group: bool


def pair_traits(cursor: Any, project_id: str) -> PairTraits:
    """The traits of what `pairs_in` gives within the same read."""
    row = cursor.execute(
        """
        SELECT count(*), bool_or(e.context <> ''), bool_or(contains(e.payload, '"tools"')),
               bool_or(json_array_length(e.prompt) > 1),
               bool_or(contains(e.prompt, 'tool_call') OR contains(e.prompt, '\\"name\\"')
                       OR contains(a.value, '"extra"')),
               bool_or(a.value <> '' AND NOT ends_with(a.value, '"train":true}]}')
                       OR length(a.value) - length(replace(a.value, '"train":true', '')) > length('"train":true')),
               bool_or(e.group_name <> '')
        """
        + _ACCEPTED,
        [project_id],
    ).fetchone()
    return PairTraits(int(row[0]), *(bool(value) for value in row[1:]))


_CHARACTERS = 8_000_000
"""Of the texts of one batch of pairs, about."""

_ACCEPTED = (
    "FROM examples e JOIN annotations a ON a.id = e.annotation_id "
    "WHERE e.project_id = ? AND e.status = 'labeled' AND (e.review = 'accepted' OR e.review <> 'pending' AND NOT "
    "(SELECT coalesce(json_extract_string(p.settings, '$.review') = 'true', false) FROM projects p "
    "WHERE p.id = e.project_id))"
)
"""The accepted pairs of a project. What waits for a reviewer is not one, even where the project asks for no review:
votes and corrections of comparisons may (studio.labeling.comparison_examples)."""


def qualified(table: str, columns: str) -> str:
    """Column names with their table in front."""
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


def as_example(row: tuple[Any, ...]) -> Example:
    """The example of a row of EXAMPLE_COLUMNS."""
    return Example(*(*row[:3], decode_turns(row[3]), row[4], _payload(row[5]), *row[6:12], aware(row[12]), row[13]))


def _payload(stored: str) -> dict[str, str]:
    return dict(json.loads(stored)) if stored else {}
