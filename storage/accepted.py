"""The accepted pairs of a project with everything that a preflight or a repair reads of them, streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from storage.database import Database
from storage.examples import decode_turns
from storage.records import Pair, Turn

_BATCH = 1000


@dataclass(frozen=True)
class Held:
    """An example and the answer that stands for it. `prompt` and `payload` are as stored, so that a later write can ask
    whether they still are; `status`: see storage.records.Example; `annotation_id` is '' and `response` too without an
    answer."""

    example_id: str
    position: int
    status: str
    prompt: str
    context: str
    payload: str
    content_key: str
    annotation_id: str
    annotator: str
    response: str
    value: str

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The prompt, decoded."""
        return decode_turns(self.prompt)

    @property
    def payload_texts(self) -> dict[str, str]:
        """The payload, decoded."""
        return dict(json.loads(self.payload)) if self.payload else {}

    @property
    def pair(self) -> Pair:
        """The pair that a snapshot would take."""
        return Pair(
            *(self.example_id, self.annotation_id, self.turns, self.context, self.payload_texts),
            *(self.response, self.value, self.content_key),
        )


_COLUMNS = (
    "e.id, e.position, e.status, e.prompt, e.context, e.payload, e.content_key, coalesce(a.id, ''), "
    "coalesce(a.annotator, ''), coalesce(a.response, ''), coalesce(a.value, '')"
)
_ACCEPTED = """
FROM examples e JOIN annotations a ON a.id = e.annotation_id
WHERE e.project_id = ? AND e.status = 'labeled' AND (e.review = 'accepted' OR e.review <> 'pending' AND NOT (SELECT
    coalesce(json_extract_string(p.settings, '$.review') = 'true', false) FROM projects p WHERE p.id = e.project_id))
"""


def iter_accepted(db: Database, project_id: str) -> Iterator[list[Held]]:
    """Every accepted pair, as imported, in lists of at most 1000; all of one moment, whatever is written meanwhile."""
    with db.reading() as cursor:
        # Sorted by its keys alone: with the texts DuckDB would hold all of them at once.
        order = cursor.execute(f"SELECT e.position, a.number {_ACCEPTED} ORDER BY e.position", [project_id])
        keys = order.fetchnumpy()
        positions, numbers = keys["position"], keys["number"]
        for start in range(0, len(positions), _BATCH):
            part, acts = positions[start : start + _BATCH], numbers[start : start + _BATCH]
            rows = cursor.execute(
                f"SELECT {_COLUMNS} {_ACCEPTED} AND e.position BETWEEN ? AND ? AND a.number BETWEEN ? AND ? "
                "ORDER BY e.position",
                [project_id, int(part[0]), int(part[-1]), int(acts.min()), int(acts.max())],
            ).fetchall()
            yield [Held(*row) for row in rows]


def count_accepted(db: Database, project_id: str) -> int:
    """How many `iter_accepted` gives."""
    row = db.one(f"SELECT count(*) {_ACCEPTED}", [project_id])
    return int(row[0]) if row else 0


def read_held(db: Database, project_id: str, ids: Sequence[str]) -> list[Held]:
    """Some examples of a project with their answers, in the order of `ids`; those that are gone are left out."""
    rows = db.query(
        f"SELECT {_COLUMNS} FROM examples e LEFT JOIN annotations a ON a.id = e.annotation_id "
        "WHERE e.project_id = ? AND e.id IN (SELECT unnest(?::VARCHAR[]))",
        [project_id, list(ids)],
    )
    found: dict[str, Held] = {row[0]: Held(*row) for row in rows}
    return [found[key] for key in dict.fromkeys(ids) if key in found]


def sources_of(db: Database, project_id: str, ids: Sequence[str]) -> dict[str, str]:
    """Where examples of a project came from, by id."""
    rows = db.query(
        "SELECT id, source FROM examples WHERE project_id = ? AND id IN (SELECT unnest(?::VARCHAR[]))",
        [project_id, list(ids)],
    )
    return {str(key): str(source) for key, source in rows}


def data_stamp(db: Database, project_id: str) -> str:
    """A text that changes whenever a project's pairs may have: the newest act, decision, repair and example."""
    row: Any = db.one(
        "SELECT (SELECT max(number) FROM annotations WHERE project_id = $1), "
        "(SELECT max(number) FROM reviews WHERE project_id = $1), "
        "(SELECT count(*) + count(undone_at) FROM repairs WHERE project_id = $1), "
        "(SELECT max(position) FROM examples WHERE project_id = $1)",
        [project_id],
    )
    return ".".join(str(number or 0) for number in row)
