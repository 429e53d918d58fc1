"""Served requests and what clients said of them: taken up in batches, counted by stretches of time, in SQL.

Rows are appended, each request once whatever is read twice. Texts lie apart, so that counting never reads them. What it
leaves out: reading the server's lines (studio.deploy.traffic), and which figures are bad (studio.deploy.monitoring).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from storage.database import Database, aware, naive
from storage.examples import decode_turns, encode_turns
from storage.serving_records import Bucket, KeptRequest, NewFeedback, NewRequest

MOST_BUCKETS = 2_000

_REQUEST = pa.schema(
    [
        ("id", pa.string()),
        ("at_time", pa.timestamp("us")),
        *((name, pa.string()) for name in ("project_id", "model", "run_id", "key_id", "route")),
        ("status", pa.int32()),
        ("finish", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("answer_tokens", pa.int64()),
        *((name, pa.float64()) for name in ("queued_ms", "first_ms", "total_ms", "confidence")),
        ("form_ok", pa.bool_()),
        ("refused", pa.bool_()),
        ("messages", pa.string()),
    ]
)
_FEEDBACK = pa.schema(
    [
        ("request_id", pa.string()),
        ("at_time", pa.timestamp("us")),
        ("rating", pa.int32()),
        ("text", pa.string()),
        ("key_id", pa.string()),
    ]
)
_STORED = ", ".join(_REQUEST.names[:-1])


def read_offset(db: Database, name: str) -> int:
    """How many bytes of a server's traffic file were taken up."""
    row = db.one("SELECT read_offset FROM traffic_files WHERE name = ?", [name])
    return int(row[0]) if row else 0


def forget_file(db: Database, name: str) -> None:
    """A server's traffic file is gone, and how far it was read means nothing any more."""
    with db.write() as cursor:
        cursor.execute("DELETE FROM traffic_files WHERE name = ?", [name])


def add_traffic(
    db: Database, name: str, offset: int, requests: Sequence[NewRequest], feedback: Sequence[NewFeedback]
) -> tuple[int, int]:
    """Keep requests and feedback that are new, and how far the file `name` was read, in one transaction; how many of
    each were new."""
    with db.write() as cursor:
        added = _add_requests(cursor, requests) if requests else 0
        said = _add_feedback(cursor, feedback) if feedback else 0
        cursor.execute(
            "INSERT INTO traffic_files VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET read_offset = excluded.read_offset",
            [name, offset],
        )
    return added, said


def _add_requests(cursor: Any, requests: Sequence[NewRequest]) -> int:
    once = {request.id: request for request in reversed(requests)}
    rows = [
        (
            *(one.id, naive(one.at), one.project_id, one.model, one.run_id, one.key_id, one.route, one.status),
            *(one.finish, one.prompt_tokens, one.answer_tokens, one.queued_ms, one.first_ms, one.total_ms),
            *(one.confidence, one.form_ok, one.refused),
            encode_turns(one.messages) if one.messages else None,
        )
        for one in reversed(once.values())
    ]
    cursor.register("traffic_batch", _table(rows, _REQUEST))
    try:
        found = cursor.execute(
            f"INSERT INTO requests ({_STORED}) SELECT {_STORED} FROM traffic_batch ON CONFLICT DO NOTHING RETURNING id"
        )
        added = [row[0] for row in found.fetchall()]
        cursor.execute(
            "INSERT INTO request_texts SELECT id, project_id, at_time, messages FROM traffic_batch "
            "WHERE messages IS NOT NULL AND id IN (SELECT unnest(?::VARCHAR[]))",
            [added],
        )
    finally:
        cursor.unregister("traffic_batch")
    return len(added)


def _add_feedback(cursor: Any, feedback: Sequence[NewFeedback]) -> int:
    rows = [(one.request_id, naive(one.at), one.rating, one.text, one.key_id) for one in feedback]
    cursor.register("feedback_batch", _table(rows, _FEEDBACK))
    try:
        found = cursor.execute(
            "INSERT INTO feedback (request_id, at_time, rating, text, key_id) SELECT * FROM feedback_batch b "
            "WHERE NOT EXISTS (SELECT 1 FROM feedback f WHERE f.request_id = b.request_id AND f.at_time = b.at_time "
            "AND f.rating = b.rating AND f.text = b.text) RETURNING 1"
        )
        return len(found.fetchall())
    finally:
        cursor.unregister("feedback_batch")


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


# The newest rating of each request; given at the request's time at the earliest.
_RATINGS = "SELECT request_id, arg_max(rating, number) AS rating FROM feedback WHERE at_time >= $3 GROUP BY request_id"

_BUCKETS = f"""
SELECT (epoch_ms(r.at_time) - epoch_ms($3::TIMESTAMP)) // $5::BIGINT AS place,
    count(*), count(*) FILTER (status = 200),
    count(*) FILTER (status >= 500 OR status < 400 AND finish IN ('error', 'timeout')),
    count(*) FILTER (status BETWEEN 400 AND 498), count(*) FILTER (status = 499),
    quantile_cont(total_ms, [0.5, 0.95]) FILTER (status = 200) AS total,
    quantile_cont(first_ms, [0.5, 0.95]) FILTER (status = 200) AS first,
    sum(prompt_tokens), coalesce(sum(answer_tokens) FILTER (status = 200), 0),
    coalesce(sum(greatest(total_ms - queued_ms, 0)) FILTER (status = 200), 0) / 1000,
    count(*) FILTER (f.rating = 1), count(*) FILTER (f.rating = -1),
    count(refused), count(*) FILTER (refused), count(form_ok), count(*) FILTER (NOT form_ok), avg(confidence)
FROM requests r LEFT JOIN ({_RATINGS}) f ON f.request_id = r.id
WHERE r.project_id = $1 AND ($2 IS NULL OR r.run_id = $2) AND r.at_time >= $3 AND r.at_time < $4
GROUP BY place ORDER BY place
"""


def buckets(
    db: Database, project_id: str, start: datetime, end: datetime, seconds: float, run_id: str | None = None
) -> list[Bucket]:
    """What a project's models (or one run) served from `start` to before `end`, by stretches of `seconds`; empty ones
    too, at most 2,000. Raises ValueError for more."""
    width = timedelta(seconds=seconds)
    count = -((start - end) // width)
    if not 0 < count <= MOST_BUCKETS or seconds < 0.001:
        raise ValueError(f"{count} stretches of {seconds} seconds: 1 to {MOST_BUCKETS} can be counted")
    rows = db.query(_BUCKETS, [project_id, run_id, naive(start), naive(end), round(seconds * 1000)])
    found = {int(row[0]): (*row[1:6], *(row[6] or (None, None)), *(row[7] or (None, None)), *row[8:]) for row in rows}
    return [Bucket(start + width * place, *found.get(place, ())) for place in range(count)]


_WITH_TEXT = """
SELECT r.id, r.at_time, r.project_id, r.run_id, t.messages, r.confidence, f.rating
FROM request_texts t JOIN requests r ON r.id = t.request_id
LEFT JOIN (SELECT request_id, arg_max(rating, number) AS rating FROM feedback GROUP BY request_id) f
    ON f.request_id = r.id
WHERE t.project_id = $1 AND r.status = 200
"""


def list_kept(
    db: Database, project_id: str, start: datetime, end: datetime, most: int = 1000, seed: int = 0
) -> list[KeptRequest]:
    """Requests of a stretch of time with their texts: all, or `most` of them by chance (the same for a `seed`)."""
    rows = db.query(
        f"{_WITH_TEXT} AND r.at_time >= $2 AND r.at_time < $3 ORDER BY hash(r.id, $4) LIMIT $5",
        [project_id, naive(start), naive(end), seed, most],
    )
    return [_kept(row) for row in rows]


def get_kept(db: Database, project_id: str, ids: Sequence[str]) -> list[KeptRequest]:
    """Some requests of a project whose texts are kept, oldest first."""
    rows = db.query(
        f"{_WITH_TEXT} AND r.id IN (SELECT unnest($2::VARCHAR[])) ORDER BY r.at_time, r.id", [project_id, list(ids)]
    )
    return [_kept(row) for row in rows]


_FREE = "AND NOT EXISTS (SELECT 1 FROM request_examples x WHERE x.request_id = r.id) AND r.at_time >= $2"


def low_rated(db: Database, project_id: str, since: datetime, most: int) -> list[KeptRequest]:
    """Requests with a thumb down that are no example yet, the newest first."""
    sql = f"{_WITH_TEXT} {_FREE} AND f.rating = -1 ORDER BY r.at_time DESC, r.id LIMIT $3"
    return [_kept(row) for row in db.query(sql, [project_id, naive(since), most])]


def unsure(db: Database, project_id: str, since: datetime, below: float, most: int) -> list[KeptRequest]:
    """Requests answered with a confidence below a limit that are no example yet, the least sure first."""
    sql = f"{_WITH_TEXT} {_FREE} AND r.confidence < $3 ORDER BY r.confidence, r.id LIMIT $4"
    return [_kept(row) for row in db.query(sql, [project_id, naive(since), below, most])]


def list_feedback(db: Database, project_id: str, limit: int = 50) -> list[NewFeedback]:
    """What was said of a project's requests in words, newest first."""
    rows = db.query(
        "SELECT f.request_id, f.at_time, f.rating, f.text, f.key_id FROM feedback f "
        "JOIN requests r ON r.id = f.request_id WHERE r.project_id = ? AND f.text <> '' "
        "ORDER BY f.number DESC LIMIT ?",
        [project_id, limit],
    )
    return [NewFeedback(row[0], aware(row[1]), *row[2:]) for row in rows]


def count_thumbs(db: Database, project_id: str, since: datetime) -> tuple[int, int]:
    """Thumbs up and down on a project's requests, of the newest ratings given since then."""
    row = db.one(
        "SELECT count(*) FILTER (f.rating = 1), count(*) FILTER (f.rating = -1) FROM (SELECT request_id, "
        "arg_max(rating, number) AS rating FROM feedback WHERE at_time >= ? GROUP BY request_id) f "
        "JOIN requests r ON r.id = f.request_id WHERE r.project_id = ?",
        [naive(since), project_id],
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)


def served_between(db: Database, project_id: str) -> tuple[datetime, datetime] | None:
    """When a project's first and newest request came; None without any."""
    row = db.one("SELECT min(at_time), max(at_time) FROM requests WHERE project_id = ?", [project_id])
    return (aware(row[0]), aware(row[1])) if row and row[0] else None


def forget_texts(db: Database, project_id: str, before: datetime) -> int:
    """Delete the texts of a project's requests older than `before`; how many. The counts stay."""
    if not db.one("SELECT 1 FROM request_texts WHERE project_id = ? AND at_time < ?", [project_id, naive(before)]):
        return 0
    with db.write() as cursor:
        found = cursor.execute(
            "DELETE FROM request_texts WHERE project_id = ? AND at_time < ? RETURNING 1", [project_id, naive(before)]
        )
        return len(found.fetchall())


def _kept(row: tuple[Any, ...]) -> KeptRequest:
    return KeptRequest(row[0], aware(row[1]), row[2], row[3], decode_turns(row[4]), row[5], row[6])
