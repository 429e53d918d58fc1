"""States of many examples anew from their acts: after a change of labels, or of how many annotators an example needs.

One example at a time, in Python, so that it ends as it would have ended act by act (storage.standing).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from storage.annotations import COLUMNS, as_annotation
from storage.standing import Standing, derive

_STATES = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "status", "annotation_id")),
        ("answers", pa.int32()),
        ("review", pa.string()),
        ("returned_to", pa.string()),
    ]
)


def derive_again(cursor: Any, chosen: str, params: Sequence[object], overlap: int, review: bool) -> int:
    """Within an open transaction: the state of the examples whose ids the query `chosen` gives; how many they are."""
    acts = cursor.execute(
        f"SELECT {COLUMNS} FROM annotations WHERE example_id IN ({chosen}) ORDER BY example_id, number", params
    ).fetchall()
    by_example = {example_id: list(group) for example_id, group in groupby(acts, key=itemgetter(2))}
    states = cursor.execute(
        f"SELECT id, status, annotation_id, answers, review, returned_to FROM examples WHERE id IN ({chosen}) "
        "ORDER BY position",
        params,
    ).fetchall()
    rows = []
    for example_id, *before in states:
        own = [as_annotation(row) for row in by_example.get(example_id, [])]
        after = derive(own, Standing(*before), overlap, review, None)
        rows.append((example_id, after.status, after.annotation_id, after.answers, after.review, after.returned_to))
    if rows:
        _write(cursor, rows)
    return len(rows)


def change_overlap(cursor: Any, project_id: str, before: int, after: int, review: bool) -> int:
    """Within an open transaction: with more annotators an example, those that have too few wait again, but for imported
    and reviewed answers; with fewer, those that have enough are done. Returns how many examples that changed."""
    if after > before:
        row = cursor.execute(_REOPEN, [project_id, after]).fetchone()
        return int(row[0]) if row else 0
    if after < before:
        return derive_again(cursor, _ENOUGH, [project_id, after], after, review)
    return 0


_REOPEN = """
UPDATE examples SET status = 'todo', annotation_id = NULL, review = ''
FROM annotations a WHERE a.id = examples.annotation_id AND examples.project_id = ? AND examples.answers < ?
  AND examples.status IN ('labeled', 'skipped') AND examples.review <> 'accepted'
  AND a.source NOT IN ('import', 'review', 'repair', 'counterfactual', 'comparison')
"""

_ENOUGH = "SELECT id FROM examples WHERE project_id = $1 AND status = 'todo' AND answers >= $2 AND review <> 'returned'"


def _write(cursor: Any, rows: Sequence[tuple[object, ...]]) -> None:
    """`rows` are in the order of the table: DuckDB updates them thirty times faster than in another."""
    arrays = [pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), _STATES, strict=True)]
    cursor.register("incoming_states", pa.Table.from_arrays(arrays, schema=_STATES))
    cursor.execute("CREATE OR REPLACE TEMP TABLE states AS SELECT * FROM incoming_states")
    cursor.unregister("incoming_states")
    cursor.execute(
        "UPDATE examples SET status = s.status, annotation_id = s.annotation_id, answers = s.answers, "
        "review = s.review, returned_to = s.returned_to FROM states s WHERE examples.id = s.id"
    )
    cursor.execute("DROP TABLE states")
