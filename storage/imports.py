"""Imports: many rows as one transaction, duplicates passed over, labels that are new added to the project's set.

Rows wait in a temporary table, where DuckDB makes what is stored of plain texts: a million rows in a second or two, of
which Python would need forty. What it leaves out: reading files (studio.data.importing).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import duckdb
import pyarrow as pa

from storage.audit import record_in
from storage.database import Database, Stale, now
from storage.labels import stored_settings, with_labels
from storage.projects import write_settings
from storage.records import ImportCounts
from studio.errors import Cancelled

IMPORT_SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("prompt", pa.string()),
        ("context", pa.string()),
        ("payload", pa.string()),
        ("group_name", pa.string()),
        ("response", pa.string()),
        ("value", pa.string()),
        ("priority", pa.float64()),
        ("content_key", pa.string()),
    ]
)
"""One imported row: `place` (another one in each row, below 2**32) puts them in order, `prompt` from `encode_turns`,
`response` null where there is no answer, `payload` and `value` '' where there is none, a higher `priority` comes first.
"""

TEXT_SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("text", pa.string()),
        ("text_normal", pa.string()),
        ("context", pa.string()),
        ("context_normal", pa.string()),
        ("group_name", pa.string()),
        ("response", pa.string()),
    ]
)
"""One imported row that asks a plain text: what is stored of it follows from these. `…_normal` is the form in which
texts are compared (studio.data.prompts), and no text has control characters other than tab, LF and CR.
"""

_GROUP_ROWS = 122_880
"""Rows of one of DuckDB's row groups: adding to one that is begun costs as much as writing it anew."""

_GROUP_BYTES = 64 << 20
_KINDS = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.string(): "VARCHAR"}


class ImportBatch:
    """One import as one transaction: `add` batches as they are read, then `finish`, or nothing is imported.

    Rows wait in a temporary table of this thread's cursor, so all calls come from one thread. Annotators go on
    meanwhile: the write door is held while `finish` commits, and for all of `finish` only where rows meet examples
    that wait for an answer, or somebody else changed the project.
    """

    def __init__(self, db: Database, project_id: str, source: str, annotator: str) -> None:
        self._db, self._project_id, self._source, self._annotator = db, project_id, source, annotator
        self._is_cancelled: Callable[[], bool] = lambda: False
        self._ids = (_prefix(), _prefix())
        self._held: dict[str, list[pa.Table]] = {_ADD_ROWS: [], _ADD_TEXTS: []}
        columns = ", ".join(f"{field.name} {_KINDS[field.type]}" for field in IMPORT_SCHEMA)
        with db.scratch() as cursor:
            cursor.execute(f"CREATE OR REPLACE TEMP TABLE incoming ({columns})")

    def add(self, rows: pa.Table) -> None:
        """Hold a batch of IMPORT_SCHEMA rows. Raises DiskFull where they do not fit into memory and spill."""
        self._take(rows.cast(IMPORT_SCHEMA), _ADD_ROWS)

    def add_texts(self, rows: pa.Table) -> None:
        """Hold a batch of TEXT_SCHEMA rows. Raises like `add`."""
        self._take(rows.cast(TEXT_SCHEMA), _ADD_TEXTS)

    def finish(self, labels: Sequence[str] = (), is_cancelled: Callable[[], bool] = lambda: False) -> ImportCounts:
        """Write what is new, and add `labels` to the project's set. An answer to an example that still waits labels
        that example. Answers are done whatever the overlap, and wait for a reviewer where the project asks for review.

        Raises NotFound, DiskFull, Cancelled, and BadInput for more labels than a project can have.
        """
        self._is_cancelled = is_cancelled
        for sql, held in self._held.items():
            if held:
                self._insert(sql, whole=True)
        first = self._reserve()
        try:
            counts = self._write(self._db.append(self._project_id), first, labels, beside=True)
        except Stale:
            counts = self._write(self._db.write(), first, labels, beside=False)
        self.discard()
        return counts

    def discard(self) -> None:
        """Forget the rows that were added."""
        self._held = {_ADD_ROWS: [], _ADD_TEXTS: []}
        with self._db.scratch() as cursor:
            for name in ("incoming", "dropped", "waiting"):
                cursor.execute(f"DROP TABLE IF EXISTS {name}")

    def _take(self, rows: pa.Table, sql: str) -> None:
        held = self._held[sql]
        held.append(rows)
        if sum(part.num_rows for part in held) >= _GROUP_ROWS or sum(part.nbytes for part in held) > _GROUP_BYTES:
            self._insert(sql, whole=False)

    def _insert(self, sql: str, whole: bool) -> None:
        """Put rows that are held into the temporary table; but for `whole`, what fills no group is held on."""
        table = pa.concat_tables(self._held[sql])
        groups = table.num_rows // _GROUP_ROWS * _GROUP_ROWS
        count = table.num_rows if whole or table.nbytes > _GROUP_BYTES else groups
        with self._db.scratch() as cursor:
            for start in range(0, count, _GROUP_ROWS):
                cursor.register("incoming_batch", table.slice(start, min(_GROUP_ROWS, count - start)))
                try:
                    cursor.execute(sql)
                finally:
                    cursor.unregister("incoming_batch")
        self._held[sql] = [table.slice(count)] if count < table.num_rows else []

    def _reserve(self) -> tuple[int, int]:
        """What a row's place is added to for its position, and for its annotation's number. As many of both are drawn
        as the rows can need.
        """
        with self._db.write() as cursor:  # nobody else may draw a number in between
            least, most = _counted(cursor, "SELECT coalesce(min(place), 0), coalesce(max(place), 0) FROM incoming")
            places = [most - least + 1]
            (position,) = _counted(cursor, "SELECT min(nextval('example_positions')) FROM range(?)", places)
            (number,) = _counted(cursor, "SELECT min(nextval('annotation_numbers')) FROM range(?)", places)
        return position - least, number - least

    def _write(
        self,
        transaction: AbstractContextManager[duckdb.DuckDBPyConnection],
        first: tuple[int, int],
        labels: Sequence[str],
        beside: bool,
    ) -> ImportCounts:
        with transaction as cursor:
            settings = stored_settings(cursor, self._project_id)
            grown = with_labels(settings, labels)
            if grown != settings:
                write_settings(cursor, self._project_id, grown)
            rows, answers = _counted(cursor, "SELECT count(*), count(response) FROM incoming")
            self._go_on()
            self._drop_known(cursor, rows, answers)
            waiting = self._match_waiting(cursor, answers)
            if waiting and beside:
                raise Stale  # annotators may change these examples meanwhile
            moment, review = now(), "pending" if settings.review else ""
            ids = [*self._ids, self._project_id]
            self._go_on()
            cursor.execute(_INSERT_EXAMPLES, [*ids, first[0], self._source, review, moment])
            self._go_on()
            cursor.execute(_INSERT_ANNOTATIONS, [*ids, first[1], self._annotator, moment])
            if waiting:
                cursor.execute(_LABEL_WAITING, [self._ids[1], review])
            lost, lost_answers = _counted(
                cursor, "SELECT count(*), count(response) FROM incoming SEMI JOIN dropped USING (place)"
            )
            added = len(grown.labels) - len(settings.labels)
            counts = ImportCounts(rows - lost, answers - lost_answers, lost, added)
            record_in(cursor, self._annotator, "data import", self._project_id, self._source, **vars(counts))
            self._db.touch(self._project_id)
            self._go_on()
        return counts

    def _go_on(self) -> None:
        if self._is_cancelled():
            raise Cancelled("The import was cancelled: nothing was imported.")

    def _drop_known(self, cursor: Any, rows: int, answers: int) -> None:
        """Note the rows that are duplicates. An unlabeled row is one when its prompt is known at all; a labeled one
        when prompt and answer both are: as the pair that stands, or as one imported before, so that the same file again
        brings back nothing that was corrected since.
        """
        cursor.execute("CREATE OR REPLACE TEMP TABLE dropped (place BIGINT)")
        cursor.execute(_DROP_REPEATED)
        if answers and cursor.execute(_HAS_ANSWERS, [self._project_id]).fetchone():
            cursor.execute(_DROP_KNOWN_PAIRS, [self._project_id])
        if rows > answers:
            cursor.execute(_DROP_KNOWN_PROMPTS, [self._project_id])
            cursor.execute(_DROP_ANSWERED)

    def _match_waiting(self, cursor: Any, answers: int) -> int:
        """Note which answers are to which example that waits for one; how many."""
        cursor.execute("CREATE OR REPLACE TEMP TABLE waiting (place BIGINT, example_id VARCHAR)")
        if answers:
            cursor.execute(_MATCH_WAITING, [self._project_id])
        return _counted(cursor, "SELECT count(*) FROM waiting")[0]


# As storage.annotations.pair_key makes it.
_PAIR_KEY = "sha256(concat(content_key, chr(0), response))"

# Hashes before keys: of a million keys only the hashes have to be held in memory.
_DROP_REPEATED = """
INSERT INTO dropped
SELECT place FROM (
    SELECT place, row_number() OVER (PARTITION BY content_key, response ORDER BY place) AS nth FROM incoming
    WHERE hash(content_key, response) IN (
        SELECT hash(content_key, response) FROM incoming GROUP BY 1 HAVING count(*) > 1)
) WHERE nth > 1
"""

_HAS_ANSWERS = "SELECT 1 FROM annotations WHERE project_id = ? LIMIT 1"

_DROP_KNOWN_PAIRS = f"""
INSERT INTO dropped
SELECT place FROM incoming WHERE response IS NOT NULL AND {_PAIR_KEY} IN (
    SELECT a.pair_key FROM annotations a LEFT JOIN examples e ON e.annotation_id = a.id
    WHERE a.project_id = ? AND a.action = 'submit' AND (a.source = 'import' OR e.id IS NOT NULL))
"""

_DROP_KNOWN_PROMPTS = """
INSERT INTO dropped
SELECT place FROM incoming WHERE response IS NULL
    AND content_key IN (SELECT content_key FROM examples WHERE project_id = ?)
"""

_DROP_ANSWERED = """
INSERT INTO dropped
SELECT place FROM incoming WHERE response IS NULL
    AND content_key IN (SELECT content_key FROM incoming WHERE response IS NOT NULL)
"""

_MATCH_WAITING = """
INSERT INTO waiting
SELECT f.place, e.id
FROM (SELECT id, content_key, row_number() OVER (PARTITION BY content_key ORDER BY position) AS nth
      FROM examples WHERE project_id = $1 AND status = 'todo' AND review <> 'returned') e
JOIN (SELECT place, content_key, row_number() OVER (PARTITION BY content_key ORDER BY place) AS nth
      FROM incoming ANTI JOIN dropped USING (place)
      WHERE response IS NOT NULL AND content_key IN (
          SELECT content_key FROM examples WHERE project_id = $1 AND status = 'todo' AND review <> 'returned')) f
  ON e.content_key = f.content_key AND e.nth = f.nth
"""

_ADD_ROWS = "INSERT INTO incoming SELECT * FROM incoming_batch"

_ADD_TEXTS = """
INSERT INTO incoming
SELECT place, concat('[["user", ', to_json(text), ']]'), context, '', group_name, response, '', 0,
       sha256(concat('[[["user", ', to_json(text_normal), ']], ', to_json(context_normal), ']'))
FROM incoming_batch
"""

# Ids grow with the place: an index takes keys in order twice as fast as random ones, and half the room.
_ID = "lower(to_base(place, 16, 8))"
_INSERT_EXAMPLES = f"""
INSERT INTO examples (id, project_id, position, prompt, context, payload, content_key, group_name, source, status,
                      annotation_id, answers, review, priority, created_at)
SELECT concat($1, {_ID}), $3, $4 + place, prompt, context, payload, content_key, group_name, $5,
       if(response IS NULL, 'todo', 'labeled'), if(response IS NULL, NULL, concat($2, {_ID})),
       if(response IS NULL, 0, 1), if(response IS NULL, '', $6), priority, $7
FROM incoming ANTI JOIN dropped USING (place) ANTI JOIN waiting USING (place)
"""

_INSERT_ANNOTATIONS = f"""
INSERT INTO annotations (id, number, example_id, project_id, annotator, action, response, value, pair_key, source,
                         created_at)
SELECT concat($2, {_ID}), $4 + place, coalesce(w.example_id, concat($1, {_ID})), $3, $5,
       'submit', response, value, {_PAIR_KEY}, 'import', $6
FROM incoming ANTI JOIN dropped USING (place) LEFT JOIN waiting w USING (place) WHERE response IS NOT NULL
"""

_LABEL_WAITING = f"""
UPDATE examples
SET status = 'labeled', annotation_id = concat($1, {_ID}), answers = answers + 1, review = $2
FROM waiting w WHERE examples.id = w.example_id
"""


def _prefix() -> str:
    """The first 24 hex digits of ids: the time in milliseconds and chance; the place makes the last eight."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def _counted(cursor: Any, sql: str, params: Sequence[int] = ()) -> tuple[int, ...]:
    return tuple(map(int, cursor.execute(sql, params).fetchone()))
