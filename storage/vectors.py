"""What ordering and the first classifier need: texts without a vector, all vectors with their labels, scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from storage.database import Database
from storage.examples import decode_turns
from storage.records import Turn

_PAGE = 5000
_UPDATE = 25_000


@dataclass(frozen=True)
class Missing:
    """How far a project's vectors and scores are: examples, how many of them have a vector, how many that wait for
    labels have a place in the diverse order."""

    examples: int
    vectors: int
    todo: int
    ordered: int

    @property
    def texts(self) -> int:
        """Examples without a vector."""
        return self.examples - self.vectors

    @property
    def complete(self) -> bool:
        """Whether every example has its vector and every one that waits its place."""
        return self.texts <= 0 and self.ordered >= self.todo


def count_missing(db: Database, project_id: str) -> Missing:
    """Counts over a whole project (10 ms at 100,000 examples)."""
    row = db.one(
        "SELECT count(*), count(v.example_id), count(*) FILTER (e.status = 'todo'), "
        "count(*) FILTER (e.status = 'todo' AND e.diversity IS NOT NULL) "
        "FROM examples e LEFT JOIN embeddings v ON v.example_id = e.id WHERE e.project_id = ?",
        [project_id],
    )
    return Missing(*(row or (0, 0, 0, 0)))


def texts_without_vector(db: Database, project_id: str) -> Iterator[list[tuple[str, str]]]:
    """Pages of (id, text) of examples without a vector, as imported.

    The text is the last turn, then the context, then the earlier turns: an encoder reads only so far.
    """
    after = -1
    while True:
        rows = db.query(
            "SELECT e.position, e.id, e.prompt, e.context FROM examples e ANTI JOIN embeddings v "
            "ON v.example_id = e.id WHERE e.project_id = ? AND e.position > ? ORDER BY e.position LIMIT ?",
            [project_id, after, _PAGE],
        )
        if not rows:
            return
        yield [(row[1], _text(row[2], row[3])) for row in rows]
        after = rows[-1][0]


def load_vectors(db: Database, project_id: str) -> pa.Table:
    """Every vector of a project, as imported: `example_id`, `status`, `response` (the label that stands, null where the
    example is not labeled), `vector` (a list of 384 floats; 1.5 KB an example)."""
    # A cursor of its own: a relation (which spares a copy) does not bear an unfinished result beside it.
    with closing(db.cursor().cursor()) as cursor:
        found = cursor.sql(
            "SELECT v.example_id, e.status, if(e.status = 'labeled', a.response, NULL) AS response, v.vector "
            "FROM embeddings v JOIN examples e ON e.id = v.example_id "
            "LEFT JOIN annotations a ON a.id = e.annotation_id WHERE v.project_id = ? ORDER BY e.position",
            params=[project_id],
        )
        return found.to_arrow_table()


def count_labeled(db: Database, project_id: str) -> int:
    """Labeled examples of a project that have a vector."""
    row = db.one(
        "SELECT count(*) FROM examples e JOIN embeddings v ON v.example_id = e.id "
        "WHERE e.project_id = ? AND e.status = 'labeled'",
        [project_id],
    )
    return int(row[0]) if row else 0


def write_diversity(db: Database, project_id: str, ids: pa.Array, scores: pa.Array) -> None:
    """Set places in the diverse order (higher comes first)."""
    _write(db, project_id, ids, scores, "diversity")


def write_uncertainty(db: Database, project_id: str, ids: pa.Array, scores: pa.Array) -> None:
    """Set how uncertain a model is of examples (higher comes first, null for not known)."""
    _write(db, project_id, ids, scores, "uncertainty")


def _write(db: Database, project_id: str, ids: pa.Array, scores: pa.Array, column: str) -> None:
    """Set scores, in pieces so that nobody who labels waits long for the write door. After each the queue is told: it
    reads the order from the database in pages, which have moved."""
    table = pa.table({"id": ids, "score": scores})
    for begin in range(0, len(table), _UPDATE):
        with db.write() as cursor:
            cursor.register("new_scores", table.slice(begin, _UPDATE))
            cursor.execute(
                f"UPDATE examples SET {column} = s.score FROM new_scores s "
                "WHERE examples.id = s.id AND examples.project_id = ?",
                [project_id],
            )
            cursor.unregister("new_scores")
            db.touch(project_id)


def _text(prompt: str, context: str) -> str:
    return encoder_text(decode_turns(prompt), context)


def encoder_text(prompt: Sequence[Turn], context: str) -> str:
    """What an encoder reads of a prompt: the last turn, then the context, then the earlier turns."""
    turns = [turn.content for turn in prompt if turn.role != "system"]
    return "\n".join(part for part in (*turns[-1:], context, *turns[:-1]) if part)
