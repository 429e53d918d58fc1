"""Comparisons of models' answers and the votes on them: appended and never overwritten; an undo is a row of its own.

Of the votes of one person on two sides of one comparison the newest stands that was not taken back. What it leaves out:
the examples that are made of them (storage.comparison_examples), and what the votes say (studio.evaluation.votes).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from storage.database import Database, aware, now
from storage.examples import decode_turns, encode_turns
from storage.records import Comparison, Side, Turn, Vote
from studio.errors import NotFound

CHOICES = ("left", "right", "tie", "bad")

_COLUMNS = "id, number, project_id, example_id, messages, sides, sampling, created_by, created_at"
_VOTE = (
    "id, number, comparison_id, project_id, user_name, left_side, right_side, choice, blind, annotation_id, created_at"
)
_MOST = 500

_STANDS = "v.choice <> 'undo' AND NOT EXISTS (SELECT 1 FROM votes u WHERE u.choice = 'undo' AND u.undoes = v.id)"
"""A vote `v` that was not taken back."""

_STANDING = (
    f"SELECT {', '.join('v.' + name for name in _VOTE.split(', '))} FROM votes v WHERE {_STANDS} AND {{where}} "
    "QUALIFY row_number() OVER (PARTITION BY v.comparison_id, v.user_name, least(v.left_side, v.right_side), "
    "greatest(v.left_side, v.right_side) ORDER BY v.number DESC) = 1 ORDER BY v.number"
)


def add_comparison(
    cursor: Any,
    user: str,
    project_id: str,
    messages: Sequence[Turn],
    sides: Sequence[Side],
    sampling: Mapping[str, object],
    example_id: str | None,
    prompt_keys: Sequence[str],
) -> Comparison:
    """Append a comparison within a transaction that is open."""
    row = cursor.execute(
        "INSERT INTO comparisons (id, project_id, example_id, messages, sides, sampling, prompt_keys, created_by, "
        f"created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
        [
            *(uuid4().hex, project_id, example_id, encode_turns(tuple(messages))),
            json.dumps([asdict(side) for side in sides], ensure_ascii=False),
            *(json.dumps(dict(sampling), ensure_ascii=False), list(prompt_keys), user, now()),
        ],
    ).fetchone()
    return _comparison(row)


def get_comparison(db: Database, comparison_id: str) -> Comparison:
    """Raises NotFound."""
    return read_comparison(db.cursor(), comparison_id)


def read_comparison(cursor: Any, comparison_id: str) -> Comparison:
    """The same within a transaction that is open."""
    row = cursor.execute(f"SELECT {_COLUMNS} FROM comparisons WHERE id = ?", [comparison_id]).fetchone()
    if row is None:
        raise NotFound("This comparison does not exist.")
    return _comparison(row)


def find_comparison(db: Database, project_id: str, beginning: str) -> Comparison:
    """A project's comparison by its id or an unambiguous beginning of it (≥ 6 characters). Raises NotFound."""
    rows = db.query(
        f"SELECT {_COLUMNS} FROM comparisons WHERE project_id = ? "
        "AND (id = ? OR (length(?) >= 6 AND starts_with(id, ?))) LIMIT 2",
        [project_id, beginning, beginning, beginning],
    )
    if len(rows) != 1:
        raise NotFound(f"There is no single comparison '{beginning[:64]}' in this project: give its whole id.")
    return _comparison(rows[0])


def list_comparisons(db: Database, project_id: str, limit: int = 50, before: int | None = None) -> list[Comparison]:
    """A project's comparisons, newest first, at most 500; the next page is asked for with `before` = the last one's
    number."""
    rows = db.query(
        f"SELECT {_COLUMNS} FROM comparisons WHERE project_id = ? AND (? IS NULL OR number < ?) "
        "ORDER BY number DESC LIMIT ?",
        [project_id, before, before, max(1, min(limit, _MOST))],
    )
    return [_comparison(row) for row in rows]


def count_comparisons(db: Database, project_id: str, user: str) -> tuple[int, int]:
    """How many comparisons a project has, and on how many of them a user has no vote yet."""
    row = db.one(
        "SELECT count(*), count(*) FILTER (c.id NOT IN (SELECT v.comparison_id FROM votes v "
        f"WHERE v.project_id = $1 AND v.user_name = $2 AND {_STANDS})) FROM comparisons c WHERE c.project_id = $1",
        [project_id, user],
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def next_unvoted(db: Database, project_id: str, user: str, after: int = 0) -> Comparison | None:
    """The oldest comparison behind number `after` that a user has no vote on; from the first again at the end."""
    row = db.one(
        f"SELECT {_COLUMNS} FROM comparisons c WHERE c.project_id = ? AND c.id NOT IN "
        f"(SELECT v.comparison_id FROM votes v WHERE v.project_id = ? AND v.user_name = ? AND {_STANDS}) "
        "ORDER BY c.number <= ?, c.number LIMIT 1",
        [project_id, project_id, user, after],
    )
    return _comparison(row) if row else None


def add_vote(
    cursor: Any, user: str, of: Comparison, left: int, right: int, choice: str, blind: bool, undoes: str | None = None
) -> Vote:
    """Append a vote, or the undo of one, within a transaction that is open."""
    row = cursor.execute(
        "INSERT INTO votes (id, comparison_id, project_id, user_name, left_side, right_side, choice, blind, undoes, "
        f"created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_VOTE}",
        [uuid4().hex, of.id, of.project_id, user, left, right, choice, blind, undoes, now()],
    ).fetchone()
    return _vote(row)


def name_answer(cursor: Any, vote_id: str, annotation_id: str) -> None:
    """Note which answer a vote is, within a transaction that is open."""
    cursor.execute("UPDATE votes SET annotation_id = ? WHERE id = ?", [annotation_id, vote_id])


def newest_vote(cursor: Any, user: str, project_id: str, comparison_id: str | None = None) -> Vote | None:
    """A user's newest vote in a project (on one comparison of it) that was not taken back: what an undo takes back."""
    row = cursor.execute(
        f"SELECT {_VOTE} FROM votes v WHERE v.project_id = ? AND v.user_name = ? "
        f"AND (? IS NULL OR v.comparison_id = ?) AND {_STANDS} ORDER BY v.number DESC LIMIT 1",
        [project_id, user, comparison_id, comparison_id],
    ).fetchone()
    return _vote(row) if row else None


def standing_votes(db: Database, project_id: str) -> list[Vote]:
    """The votes of a project that stand, oldest first."""
    return [_vote(row) for row in db.query(_STANDING.format(where="v.project_id = ?"), [project_id])]


def votes_on(cursor: Any, comparison_id: str) -> list[Vote]:
    """The votes on one comparison that stand, oldest first."""
    # In Python: the window and the anti-join of _STANDING take DuckDB ten times as long as reading a few rows.
    sql = f"SELECT {_VOTE}, undoes FROM votes WHERE comparison_id = ?"
    rows = sorted(cursor.execute(sql, [comparison_id]).fetchall(), key=lambda row: row[1])
    gone = {row[-1] for row in rows}
    given = [_vote(row[:-1]) for row in rows if row[7] != "undo" and row[0] not in gone]
    newest = {(vote.user, vote.pair): vote.id for vote in given}
    return [vote for vote in given if newest[vote.user, vote.pair] == vote.id]


def side_names(db: Database, project_id: str) -> dict[str, tuple[Side, ...]]:
    """The sides of each comparison of a project that has votes, without their texts."""
    rows = db.query(
        "SELECT id, sides FROM comparisons WHERE project_id = ? AND id IN (SELECT comparison_id FROM votes "
        "WHERE project_id = ?)",
        [project_id, project_id],
    )
    return {row[0]: tuple(Side(one["run_id"], one["name"], "", "") for one in json.loads(row[1])) for row in rows}


def _comparison(row: tuple[Any, ...]) -> Comparison:
    sides = tuple(Side(**side) for side in json.loads(row[5]))
    return Comparison(*(*row[:4], decode_turns(row[4]), sides, json.loads(row[6]), row[7], aware(row[8])))


def _vote(row: tuple[Any, ...]) -> Vote:
    return Vote(*(*row[:-1], aware(row[-1])))
