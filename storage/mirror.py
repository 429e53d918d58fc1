"""A copy of a project's texts and acts in memory, for searches at a million examples.

Why: read from the file, a million prompts and answers take half a second to look through (they are compressed, and
answers must be joined by id); from here a tenth of a second. It is an in-memory database beside the workspace's own,
made at the first search (seconds at a million) and brought up to date before each later one: examples by their
position, acts and reviews by their number, all answers and mended texts after `Database.touch`. So no write pays for
it, and a dead database loses nothing. It takes about 0.4 GB at a million short examples. What it leaves out: status,
review state and scores, which change all the time; searches read those from table `examples`.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from storage.database import Database
from storage.embeddings import WORDS
from studio.errors import NotFound

_KEPT_PROJECTS = 2
_BY_KEY = 200
_LOCK = threading.Lock()


class Mirror:
    """Names of the copy's tables of one project, safe to stand in SQL: `rows`, `acts`, `codes`, `suggested`."""

    def __init__(self, project_id: str) -> None:
        if not re.fullmatch(r"[0-9a-f]{32}", project_id):
            raise NotFound("This project does not exist any more.")
        self.schema = f"finding.p_{project_id}"
        self.rows, self.acts = f"{self.schema}.rows", f"{self.schema}.acts"
        self.codes, self.suggested = f"{self.schema}.codes", f"{self.schema}.suggested"
        self.state = f"{self.schema}.state"


def mirrored(db: Database, project_id: str, codes: bool = False, suggestions: bool = False) -> Mirror:
    """The project's copy, up to date; its codes and suggestions only where they are asked for. Raises NotFound."""
    mirror = Mirror(project_id)
    with _LOCK:  # not the write door: labeling goes on while a copy is made
        cursor = db.cursor()
        cursor.execute("ATTACH IF NOT EXISTS ':memory:' AS finding")
        _make(cursor, mirror)
        version = db.version(project_id)  # before anything is read: a change that comes later is seen next time
        cursor.execute("BEGIN TRANSACTION")
        try:
            _update_rows(cursor, mirror, project_id, version)
            if codes:
                _update_codes(cursor, mirror, project_id)
            if suggestions:
                _update_suggested(cursor, mirror, project_id)
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
    return mirror


def _make(cursor: Any, mirror: Mirror) -> None:
    schemas = cursor.execute(
        "SELECT schema_name FROM duckdb_schemas() WHERE database_name = 'finding' "
        "AND starts_with(schema_name, 'p_') ORDER BY oid"
    )
    known = [row[0] for row in schemas.fetchall()]
    if mirror.schema.removeprefix("finding.") in known:
        return
    for old in known[: len(known) + 1 - _KEPT_PROJECTS]:
        cursor.execute(f"DROP SCHEMA finding.{old} CASCADE")
    cursor.execute("BEGIN TRANSACTION")
    cursor.execute(_TABLES.format(m=mirror, words=", ".join(f"{word} UBIGINT" for word in WORDS)))
    cursor.execute("COMMIT")


# key: of the content key, to see that a text was mended. text and answer: in lower case. label: a short answer as it
# was written, else ''. worked_at: of the newest act.
_TABLES = """
CREATE SCHEMA {m.schema};
CREATE TABLE {m.rows} (position BIGINT, id VARCHAR, key UBIGINT, text VARCHAR, text_length BIGINT,
    annotation_id VARCHAR, answer VARCHAR, answer_length BIGINT, label VARCHAR, worked_at TIMESTAMP,
    disagreement BOOLEAN);
CREATE TABLE {m.acts} (number BIGINT, position BIGINT, annotator VARCHAR, action VARCHAR, response UBIGINT,
    counts BOOLEAN, at_time TIMESTAMP);
CREATE TABLE {m.codes} (position BIGINT, {words});
CREATE TABLE {m.suggested} (id VARCHAR, position BIGINT, source VARCHAR, outcome VARCHAR);
CREATE TABLE {m.state} (number BIGINT, review BIGINT, version BIGINT, vector_row BIGINT, made_at TIMESTAMP,
    decided_at TIMESTAMP, suggestions BIGINT, decided_number BIGINT);
INSERT INTO {m.state} VALUES (0, 0, -1, -1, '-infinity', '-infinity', 0, 0);
"""

_TEXT = """
array_to_string(list_concat(json_extract_string(e.prompt, '$[*][1]'), [e.context],
    CASE WHEN e.payload = '' THEN [] ELSE json_extract_string(e.payload, '$.*') END), chr(10))
"""

_TEXT_LENGTH = "list_sum(list_transform(json_extract_string(e.prompt, '$[*][1]'), lambda t: length(t)))::BIGINT"

# The turns of an edited conversation and a preference's reason are found as the answer is.
_ANSWER = """
CASE WHEN a.value = '' OR a.value IS NULL THEN coalesce(a.response, '') ELSE array_to_string(list_concat([a.response],
    json_extract_string(a.value, '$.turns[*].content'), [json_extract_string(a.value, '$.reason')]), chr(10)) END
"""
_ANSWER_COLUMNS = (
    f"lower({_ANSWER}), coalesce(length(a.response), 0), "
    "CASE WHEN a.action = 'submit' AND length(a.response) <= 2000 THEN a.response ELSE '' END"
)

# Of an example's acts: when the newest was, and whether the newest answers of two annotators differ. Most examples have
# one act: those need no grouping by annotator.
_DERIVED = """
SELECT t.position, t.worked_at, coalesce(d.disagreement, false) AS disagreement FROM (
    SELECT position, max(at_time) AS worked_at FROM {acts} {where} GROUP BY position) t
LEFT JOIN (
    SELECT position, count(DISTINCT response) FILTER (counts) > 1 AS disagreement FROM (
        SELECT position, arg_max(response, number) AS response, arg_max(counts, number) AS counts FROM {acts}
        WHERE position IN (SELECT position FROM {acts} {where} GROUP BY position HAVING count(*) > 1)
        GROUP BY position, annotator)
    GROUP BY position) d ON d.position = t.position
"""


def _update_rows(cursor: Any, mirror: Mirror, project_id: str, version: int) -> None:
    number, review, seen, last = cursor.execute(
        f"SELECT number, review, version, (SELECT coalesce(max(position), 0) FROM {mirror.rows}) FROM {mirror.state}"
    ).fetchone()
    newest, newest_review, newest_position = cursor.execute(
        "SELECT coalesce((SELECT max(number) FROM annotations), 0), coalesce((SELECT max(number) FROM reviews), 0), "
        "coalesce((SELECT max(position) FROM examples), 0)"
    ).fetchone()
    if last and (newest > number or newest_review > review or version != seen):
        _find_touched(cursor, mirror, project_id, number, review, last, everything=version != seen)
    else:
        cursor.execute("CREATE OR REPLACE TEMP TABLE touched (position BIGINT, annotation_id VARCHAR)")
    if newest > number:
        _add_acts(cursor, mirror, project_id, number)
    if newest_position > last:
        cursor.execute(
            f"INSERT INTO {mirror.rows} SELECT e.position, e.id, hash(e.content_key), lower({_TEXT}), {_TEXT_LENGTH}, "
            f"coalesce(e.annotation_id, ''), {_ANSWER_COLUMNS}, d.worked_at, coalesce(d.disagreement, false) "
            "FROM examples e LEFT JOIN annotations a ON a.id = e.annotation_id "
            f"LEFT JOIN ({_DERIVED.format(acts=mirror.acts, where='WHERE position > ?')}) d ON d.position = e.position "
            "WHERE e.project_id = ? AND e.position > ? ORDER BY e.position",
            [last, last, project_id, last],
        )
    if _value(cursor, "SELECT count(*) FROM touched"):
        _update_touched(cursor, mirror)
        if version != seen:
            _update_mended(cursor, mirror)
    cursor.execute(f"UPDATE {mirror.state} SET number = ?, review = ?, version = ?", [newest, newest_review, version])


def _find_touched(
    cursor: Any, mirror: Mirror, project_id: str, number: int, review: int, last: int, everything: bool
) -> None:
    """Which of the copy's rows may have another answer or other acts, into the temporary table `touched`."""
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE touched_ids AS SELECT example_id FROM annotations "
        "WHERE project_id = $1 AND number > $2 "
        "UNION SELECT example_id FROM reviews WHERE project_id = $1 AND number > $3",
        [project_id, number, review],
    )
    ids = [row[0] for row in cursor.execute("SELECT example_id FROM touched_ids LIMIT ?", [_BY_KEY + 1]).fetchall()]
    # Some are looked up by their key, which DuckDB does where nothing else is asked; for many, every id is read.
    few = len(ids) <= _BY_KEY
    which = f"id IN ({', '.join('?' * len(ids)) or 'NULL'})" if few else "id IN (SELECT example_id FROM touched_ids)"
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE touched AS SELECT position, annotation_id FROM examples WHERE {which}",
        ids if few else [],
    )
    cursor.execute("DELETE FROM touched WHERE position > ?", [last])
    if everything:
        cursor.execute(
            "INSERT INTO touched SELECT e.position, e.annotation_id FROM examples e "
            f"JOIN {mirror.rows} r ON r.position = e.position WHERE e.project_id = ? "
            "AND (coalesce(e.annotation_id, '') <> r.annotation_id OR hash(e.content_key) <> r.key) "
            "AND e.position NOT IN (SELECT position FROM touched)",
            [project_id],
        )


def _add_acts(cursor: Any, mirror: Mirror, project_id: str, number: int) -> None:
    cursor.execute(
        f"INSERT INTO {mirror.acts} SELECT a.number, e.position, a.annotator, a.action, hash(a.response), "
        "a.action = 'submit' AND a.source NOT IN ('gold', 'review', 'repair', 'counterfactual'), a.created_at "
        "FROM annotations a JOIN examples e ON e.id = a.example_id "
        "WHERE a.project_id = ? AND a.number > ? AND a.action <> 'undo'",
        [project_id, number],
    )
    undone = "SELECT undoes FROM annotations WHERE project_id = ? AND number > ? AND action = 'undo'"
    if _value(cursor, f"SELECT count(*) FROM ({undone})", project_id, number):
        cursor.execute(
            f"DELETE FROM {mirror.acts} WHERE number IN (SELECT number FROM annotations WHERE id IN ({undone}))",
            [project_id, number],
        )


def _update_touched(cursor: Any, mirror: Mirror) -> None:
    derived = _DERIVED.format(acts=mirror.acts, where="WHERE position IN (SELECT position FROM touched)")
    cursor.execute(
        f"UPDATE {mirror.rows} AS r SET annotation_id = n.a, answer = n.b, answer_length = n.c, label = n.d, "
        "worked_at = n.e, disagreement = n.f "
        f"FROM (SELECT e.position, coalesce(e.annotation_id, ''), {_ANSWER_COLUMNS}, d.worked_at, "
        "coalesce(d.disagreement, false) FROM touched e LEFT JOIN annotations a ON a.id = e.annotation_id "
        f"LEFT JOIN ({derived}) d ON d.position = e.position) AS n(p, a, b, c, d, e, f) WHERE r.position = n.p"
    )


def _update_mended(cursor: Any, mirror: Mirror) -> None:
    mended = (
        f"FROM touched t JOIN examples e ON e.position = t.position JOIN {mirror.rows} r ON r.position = t.position "
        "WHERE hash(e.content_key) <> r.key"
    )
    if _value(cursor, f"SELECT count(*) {mended}"):
        cursor.execute(
            f"UPDATE {mirror.rows} AS r SET key = n.k, text = n.t, text_length = n.l "
            f"FROM (SELECT e.position, hash(e.content_key), lower({_TEXT}), {_TEXT_LENGTH} {mended}) AS n(p, k, t, l) "
            "WHERE r.position = n.p"
        )


def _update_codes(cursor: Any, mirror: Mirror, project_id: str) -> None:
    words = ", ".join(f"v.{word}" for word in WORDS)
    insert = (
        f"INSERT INTO {mirror.codes} SELECT r.position, {words} FROM embeddings v "
        f"JOIN {mirror.rows} r ON r.id = v.example_id WHERE v.project_id = ? AND v.rowid > ?"
    )
    last = _value(cursor, f"SELECT vector_row FROM {mirror.state}")
    newest = _value(cursor, "SELECT coalesce(max(rowid), -1) FROM embeddings")
    if newest > last:
        cursor.execute(insert, [project_id, last])
    stored = _value(cursor, "SELECT count(*) FROM embeddings WHERE project_id = ?", project_id)
    if stored != _value(cursor, f"SELECT count(*) FROM {mirror.codes}"):  # some were deleted, and others moved up
        cursor.execute(f"DELETE FROM {mirror.codes}")
        cursor.execute(insert, [project_id, -1])
    cursor.execute(f"UPDATE {mirror.state} SET vector_row = ?", [newest])


def _update_suggested(cursor: Any, mirror: Mirror, project_id: str) -> None:
    *known, number, done = cursor.execute(
        f"SELECT suggestions, made_at, decided_at, number, decided_number FROM {mirror.state}"
    ).fetchone()
    found = cursor.execute(
        "SELECT count(*), coalesce(max(created_at), '-infinity'), coalesce(max(decided_at), '-infinity') "
        "FROM suggestions"
    ).fetchone()
    if [*found] == known and number == done:
        return
    # A time is taken before its row is committed, so a minute is looked at twice; an outcome goes when its act does.
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE new_suggested AS SELECT s.id, r.position, s.source, coalesce(s.outcome, '') "
        f"AS outcome FROM suggestions s JOIN {mirror.rows} r ON r.id = s.example_id WHERE s.project_id = $1 "
        "AND (s.created_at > $2::TIMESTAMP - INTERVAL 1 MINUTE OR s.decided_at > $3::TIMESTAMP - INTERVAL 1 MINUTE "
        "OR s.example_id IN (SELECT example_id FROM annotations WHERE project_id = $1 AND number > $4))",
        [project_id, known[1], known[2], done],
    )
    cursor.execute(f"DELETE FROM {mirror.suggested} WHERE id IN (SELECT id FROM new_suggested)")
    cursor.execute(f"INSERT INTO {mirror.suggested} FROM new_suggested")
    stored = _value(cursor, "SELECT count(*) FROM suggestions WHERE project_id = ?", project_id)
    if stored != _value(cursor, f"SELECT count(*) FROM {mirror.suggested}"):
        cursor.execute(
            f"DELETE FROM {mirror.suggested} WHERE id NOT IN (SELECT id FROM suggestions WHERE project_id = ?)",
            [project_id],
        )
    cursor.execute(
        f"UPDATE {mirror.state} SET suggestions = ?, made_at = ?, decided_at = ?, decided_number = ?", [*found, number]
    )


def _value(cursor: Any, sql: str, *params: object) -> int:
    return int(cursor.execute(sql, list(params)).fetchone()[0])
