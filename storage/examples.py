"""Examples: what is to be labeled, and the counts and pages that screens show of them."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pyarrow as pa

from storage.database import Database, aware, now
from storage.records import Counts, Example, ImportCounts, Pair, Turn
from studio.errors import NotFound

IMPORT_SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("example_id", pa.string()),
        ("annotation_id", pa.string()),
        ("prompt", pa.string()),
        ("context", pa.string()),
        ("response", pa.string()),
        ("content_key", pa.string()),
        ("pair_key", pa.string()),
    ]
)
"""One imported row: fresh ids, `prompt` from `encode_turns`, `response` null where there is none."""

EXAMPLE_COLUMNS = "id, project_id, position, prompt, context, source, status, annotation_id, created_at"


def encode_turns(turns: tuple[Turn, ...]) -> str:
    """Turns as they are stored."""
    return json.dumps([[turn.role, turn.content] for turn in turns], ensure_ascii=False)


def decode_turns(stored: str) -> tuple[Turn, ...]:
    """The reverse of `encode_turns`."""
    return tuple(Turn(role, content) for role, content in json.loads(stored))


class ImportBatch:
    """One import as one transaction: `add` batches as they are read, then `finish`, or nothing is imported.

    Rows wait in a temporary table of this thread's cursor, so all calls come from one thread, and the write door is
    held only for a moment at each `add` and while `finish` moves them.
    """

    def __init__(self, db: Database, project_id: str, source: str, annotator: str) -> None:
        self._db, self._project_id, self._source, self._annotator = db, project_id, source, annotator
        columns = ", ".join(f"{f.name} {'BIGINT' if f.name == 'line' else 'VARCHAR'}" for f in IMPORT_SCHEMA)
        with db.write() as cursor:
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({columns})")

    def add(self, rows: pa.Table) -> None:
        """Hold a batch of IMPORT_SCHEMA rows. Raises DiskFull where they do not fit into memory and spill."""
        with self._db.write() as cursor:
            cursor.register("incoming_batch", rows.cast(IMPORT_SCHEMA))
            cursor.execute("INSERT INTO incoming SELECT * FROM incoming_batch")
            cursor.unregister("incoming_batch")

    def finish(self) -> ImportCounts:
        """Write what is new. An answer to an example that still waits labels that example."""
        with self._db.write() as cursor:
            before = _counted(cursor, "SELECT count(*) FROM incoming")
            cursor.execute(_DEDUPLICATE, [self._project_id, self._project_id])
            cursor.execute(_MATCH_WAITING, [self._project_id])
            moment = now()
            cursor.execute(_INSERT_EXAMPLES, [self._project_id, self._source, moment])
            cursor.execute(_INSERT_ANNOTATIONS, [self._project_id, self._annotator, moment])
            cursor.execute(_LABEL_WAITING)
            imported = _counted(cursor, "SELECT count(*) FROM fresh")
            labeled = _counted(cursor, "SELECT count(*) FROM fresh WHERE response IS NOT NULL")
        self.discard()
        return ImportCounts(imported, labeled, before - imported)

    def discard(self) -> None:
        """Forget the rows that were added."""
        for name in ("incoming", "fresh", "waiting"):
            self._db.cursor().execute(f"DROP TABLE IF EXISTS {name}")


# An unlabeled row is a duplicate when its prompt is known at all; a labeled one when prompt and answer both are: as the
# pair that stands, or as one imported before, so that the same file again brings back nothing that was corrected since.
_DEDUPLICATE = """
CREATE OR REPLACE TEMP TABLE fresh AS
WITH ranked AS (
    SELECT *, row_number() OVER (PARTITION BY pair_key ORDER BY line) AS nth_pair,
           bool_or(response IS NOT NULL) OVER (PARTITION BY content_key) AS answered_in_file
    FROM incoming
)
SELECT r.* EXCLUDE (nth_pair, answered_in_file) FROM ranked r
WHERE nth_pair = 1
  AND (response IS NOT NULL OR NOT answered_in_file)
  AND NOT (response IS NULL AND content_key IN (SELECT content_key FROM examples WHERE project_id = ?))
  AND NOT (response IS NOT NULL AND pair_key IN (
        SELECT a.pair_key FROM annotations a LEFT JOIN examples e ON e.annotation_id = a.id
        WHERE a.project_id = ? AND a.action = 'submit' AND (a.source = 'import' OR e.id IS NOT NULL)))
"""

_MATCH_WAITING = """
CREATE OR REPLACE TEMP TABLE waiting AS
SELECT f.example_id AS incoming_id, e.id AS example_id, f.annotation_id
FROM (SELECT *, row_number() OVER (PARTITION BY content_key ORDER BY line) AS nth
      FROM fresh WHERE response IS NOT NULL) f
JOIN (SELECT id, content_key, row_number() OVER (PARTITION BY content_key ORDER BY position) AS nth
      FROM examples WHERE project_id = ? AND status = 'todo') e
  ON e.content_key = f.content_key AND e.nth = f.nth
"""

_INSERT_EXAMPLES = """
INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, annotation_id, created_at)
SELECT example_id, ?, prompt, context, content_key, ?, if(response IS NULL, 'todo', 'labeled'),
       if(response IS NULL, NULL, annotation_id), ?
FROM fresh WHERE example_id NOT IN (SELECT incoming_id FROM waiting) ORDER BY line
"""

_INSERT_ANNOTATIONS = """
INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, created_at)
SELECT f.annotation_id, coalesce(w.example_id, f.example_id), ?, ?, 'submit', f.response, f.pair_key, 'import', ?
FROM fresh f LEFT JOIN waiting w ON w.incoming_id = f.example_id WHERE f.response IS NOT NULL ORDER BY f.line
"""

_LABEL_WAITING = """
UPDATE examples SET status = 'labeled', annotation_id = w.annotation_id FROM waiting w WHERE examples.id = w.example_id
"""


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
    """Every accepted pair of a project, in the order of import."""
    rows = db.query(
        "SELECT e.id, a.id, e.prompt, e.context, a.response, e.content_key FROM examples e "
        "JOIN annotations a ON a.id = e.annotation_id "
        "WHERE e.project_id = ? AND e.status = 'labeled' ORDER BY e.position",
        [project_id],
    )
    return [Pair(row[0], row[1], decode_turns(row[2]), row[3], row[4], row[5]) for row in rows]


def qualified(table: str, columns: str) -> str:
    """Column names with their table in front."""
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


def _counted(cursor: Any, sql: str) -> int:
    return int(cursor.execute(sql).fetchone()[0])


def as_example(row: tuple[Any, ...]) -> Example:
    """The example of a row of EXAMPLE_COLUMNS."""
    return Example(row[0], row[1], row[2], decode_turns(row[3]), row[4], row[5], row[6], row[7], aware(row[8]))
