"""Imports: many rows as one transaction, duplicates passed over, labels that are new added to the project's set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from storage.audit import record_in
from storage.database import Database, now
from storage.labels import stored_settings, with_labels
from storage.projects import write_settings
from storage.records import ImportCounts

IMPORT_SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("example_id", pa.string()),
        ("annotation_id", pa.string()),
        ("prompt", pa.string()),
        ("context", pa.string()),
        ("payload", pa.string()),
        ("response", pa.string()),
        ("value", pa.string()),
        ("priority", pa.float64()),
        ("content_key", pa.string()),
        ("pair_key", pa.string()),
    ]
)
"""One imported row: fresh ids, `prompt` from `encode_turns`, `response` null where there is no answer, `payload` and
`value` '' where there is none, a higher `priority` comes first."""

_KINDS = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.string(): "VARCHAR"}


class ImportBatch:
    """One import as one transaction: `add` batches as they are read, then `finish`, or nothing is imported.

    Rows wait in a temporary table of this thread's cursor, so all calls come from one thread, and the write door is
    held only for a moment at each `add` and while `finish` moves them.
    """

    def __init__(self, db: Database, project_id: str, source: str, annotator: str) -> None:
        self._db, self._project_id, self._source, self._annotator = db, project_id, source, annotator
        columns = ", ".join(f"{field.name} {_KINDS[field.type]}" for field in IMPORT_SCHEMA)
        with db.write() as cursor:
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({columns})")

    def add(self, rows: pa.Table) -> None:
        """Hold a batch of IMPORT_SCHEMA rows. Raises DiskFull where they do not fit into memory and spill."""
        with self._db.write() as cursor:
            cursor.register("incoming_batch", rows.cast(IMPORT_SCHEMA))
            cursor.execute("INSERT INTO incoming SELECT * FROM incoming_batch")
            cursor.unregister("incoming_batch")

    def finish(self, labels: Sequence[str] = ()) -> ImportCounts:
        """Write what is new, and add `labels` to the project's set. An answer to an example that still waits labels
        that example. Answers are done whatever the overlap, and wait for a reviewer where the project asks for review.

        Raises NotFound, DiskFull, and BadInput for more labels than a project can have.
        """
        with self._db.write() as cursor:
            settings = stored_settings(cursor, self._project_id)
            grown = with_labels(settings, labels)
            if grown != settings:
                write_settings(cursor, self._project_id, grown)
            before = _counted(cursor, "SELECT count(*) FROM incoming")
            cursor.execute(_DEDUPLICATE, [self._project_id, self._project_id])
            cursor.execute(_MATCH_WAITING, [self._project_id])
            moment, review = now(), "pending" if settings.review else ""
            cursor.execute(_INSERT_EXAMPLES, [self._project_id, self._source, review, moment])
            cursor.execute(_INSERT_ANNOTATIONS, [self._project_id, self._annotator, moment])
            cursor.execute(_LABEL_WAITING, [review])
            imported = _counted(cursor, "SELECT count(*) FROM fresh")
            labeled = _counted(cursor, "SELECT count(*) FROM fresh WHERE response IS NOT NULL")
            added = len(grown.labels) - len(settings.labels)
            counts = ImportCounts(imported, labeled, before - imported, added)
            record_in(cursor, self._annotator, "data import", self._project_id, self._source, **vars(counts))
            self._db.touch(self._project_id)
        self.discard()
        return counts

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
      FROM examples WHERE project_id = ? AND status = 'todo' AND review <> 'returned') e
  ON e.content_key = f.content_key AND e.nth = f.nth
"""

_INSERT_EXAMPLES = """
INSERT INTO examples (id, project_id, prompt, context, payload, priority, content_key, source, status, annotation_id,
                      answers, review, created_at)
SELECT example_id, $1, prompt, context, payload, priority, content_key, $2, if(response IS NULL, 'todo', 'labeled'),
       if(response IS NULL, NULL, annotation_id), if(response IS NULL, 0, 1), if(response IS NULL, '', $3), $4
FROM fresh WHERE example_id NOT IN (SELECT incoming_id FROM waiting) ORDER BY line
"""

_INSERT_ANNOTATIONS = """
INSERT INTO annotations (id, example_id, project_id, annotator, action, response, value, pair_key, source, created_at)
SELECT f.annotation_id, coalesce(w.example_id, f.example_id), ?, ?, 'submit', f.response, f.value, f.pair_key,
       'import', ?
FROM fresh f LEFT JOIN waiting w ON w.incoming_id = f.example_id WHERE f.response IS NOT NULL ORDER BY f.line
"""

_LABEL_WAITING = """
UPDATE examples SET status = 'labeled', annotation_id = w.annotation_id, answers = answers + 1, review = ?
FROM waiting w WHERE examples.id = w.example_id
"""


def _counted(cursor: Any, sql: str) -> int:
    return int(cursor.execute(sql).fetchone()[0])
