"""Search a project's examples by anything that is known of them, at a million examples as at ten.

First the positions that fit are counted and the page's few are picked, then only those rows are fetched. Texts, answers
and acts come from the copy in memory (storage/mirror.py), the rest from table `examples`. All conditions on acts
(annotator, dates, flag) are on one act: "by Ana, in May" is something that Ana did in May.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.database import Database, aware
from storage.embeddings import DIMENSIONS, WORDS
from storage.examples import EXAMPLE_COLUMNS, as_example
from storage.mirror import Mirror, mirrored
from storage.records import Example
from studio.errors import BadInput

SORTS: dict[str, str] = {
    "imported": "As imported",
    "newest": "Newest work",
    "longest": "Longest",
    "uncertain": "Most uncertain",
    "similar": "Most similar",
}
"""Orders of a list of examples."""

NEAREST = 500
"""How many examples a search by similarity looks at: the nearest of those that fit the rest."""


@dataclass(frozen=True)
class Filter:
    """What examples must be; what is left at its default does not matter.

    `text`: in prompt, context or the answer that stands, whatever the case. `labels`, `annotators`, `statuses`,
    `reviews`: any of them. `since` (included) and `until` (not) are aware times of an act; `flagged`: somebody flagged
    it, now or before. Lengths are characters, both ends included. `suggestion_source`: '' for any, `suggestion_outcome`
    accepted, edited, rejected or open. `similar_to`: an example's id; the NEAREST of the others that fit are found.
    """

    text: str = ""
    labels: tuple[str, ...] = ()
    annotators: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    flagged: bool = False
    prompt_min: int | None = None
    prompt_max: int | None = None
    answer_min: int | None = None
    answer_max: int | None = None
    suggestion_source: str = ""
    suggestion_outcome: str = ""
    gold: bool = False
    disagreement: bool = False
    similar_to: str = ""


@dataclass(frozen=True)
class Found:
    """An example of a search with the answer that stands ('' for none), who gave it and when; `similarity` is the
    cosine to the example that was chosen, None without one."""

    example: Example
    response: str
    value: str
    annotator: str | None
    worked_at: datetime | None
    priority: float
    uncertainty: float | None
    gold: bool
    similarity: float | None


@dataclass
class _Query:
    """A statement's conditions as literals of this file, and the values bound to them."""

    conditions: list[str]
    params: list[Any]
    of_mirror: bool = False
    of_examples: bool = False

    def add(self, condition: str, *params: object, mirror: bool = False, examples: bool = False) -> None:
        """One more condition; `r` is the copy's row and `e` the example."""
        self.conditions.append(condition)
        self.params += params
        self.of_mirror |= mirror
        self.of_examples |= examples


def search(
    db: Database, project_id: str, filter: Filter, sort: str = "imported", offset: int = 0, limit: int = 25
) -> tuple[list[Found], int]:
    """A page of the examples that fit, and how many fit. Raises BadInput (an order or an example without a vector)."""
    if sort not in SORTS:
        raise BadInput(f"There is no order '{sort}'; there are: {', '.join(SORTS)}.")
    if filter.similar_to:
        return _search_similar(db, project_id, filter, sort, offset, limit)
    positions, total = _pick(db, project_id, filter, "imported" if sort == "similar" else sort, offset, limit)
    return _fetch(db, project_id, positions, {}), total


def matching_ids(db: Database, project_id: str, filter: Filter, limit: int = 1_000_000) -> list[str]:
    """Ids of all examples that fit, as imported."""
    positions, _ = _pick(db, project_id, filter, "imported", 0, limit)
    rows = db.query(
        "SELECT id FROM examples WHERE project_id = ? AND position IN (SELECT unnest(?::BIGINT[])) ORDER BY position",
        [project_id, positions],
    )
    return [row[0] for row in rows]


def list_annotators(db: Database, project_id: str) -> list[str]:
    """Who has acted in a project, by name."""
    rows = db.query("SELECT DISTINCT annotator FROM annotations WHERE project_id = ? ORDER BY 1", [project_id])
    return [row[0] for row in rows]


def list_suggestion_sources(db: Database, project_id: str) -> list[str]:
    """Where a project's suggestions came from."""
    rows = db.query("SELECT DISTINCT source FROM suggestions WHERE project_id = ? ORDER BY 1", [project_id])
    return [row[0] for row in rows]


_ORDER = {
    "imported": "r.position",
    "newest": "r.worked_at DESC NULLS LAST, r.position",
    "longest": "r.text_length + r.answer_length DESC, r.position",
    "uncertain": "e.uncertainty DESC NULLS LAST, r.position",
}


def _pick(db: Database, project_id: str, filter: Filter, sort: str, offset: int, limit: int) -> tuple[list[int], int]:
    """Positions of a page and the count of all, in one pass."""
    source, query = _query(db, project_id, filter, sort)
    keys, order = _keys(_ORDER[sort])
    if not source:  # no copy needed: one table
        source, keys = "examples e", keys.replace("r.position", "e.position")
        query.conditions = [condition.replace("r.position", "e.position") for condition in query.conditions]
    where = " AND ".join(query.conditions)
    row = db.one(
        f"WITH hits AS MATERIALIZED (SELECT {keys} FROM {source} WHERE {where}) "
        "SELECT (SELECT count(*) FROM hits), "
        f"(SELECT list(p) FROM (SELECT p FROM hits ORDER BY {order} LIMIT ? OFFSET ?))",
        [*query.params, limit, max(0, offset)],
    )
    return ([*(row[1] or [])], int(row[0])) if row else ([], 0)


def _keys(order: str) -> tuple[str, str]:
    """What a hit must carry to be sorted by `order`, and the order in those words."""
    parts = order.split(", ")
    if len(parts) == 1:
        return "r.position AS p", "p"
    key, _, direction = parts[0].partition(" DESC")
    return f"{key} AS k, r.position AS p", f"k DESC{direction}, p"


def _query(db: Database, project_id: str, filter: Filter, sort: str) -> tuple[str, _Query]:
    """The tables to read and the conditions on them; '' where table `examples` is enough."""
    query = _Query([], [], sort in ("newest", "longest"), sort == "uncertain")
    _on_examples(filter, query)
    suggested = bool(filter.suggestion_source or filter.suggestion_outcome)
    if not (query.of_mirror or _needs_mirror(filter)):
        query.add("e.project_id = ?", project_id)
        return "", query
    mirror = mirrored(db, project_id, bool(filter.similar_to), suggested)
    _on_texts(filter, query)
    _on_acts(filter, query, mirror)
    if suggested:
        _on_suggestions(filter, query, mirror)
    if not query.of_examples:
        query.add("true")
        return f"{mirror.rows} r", query
    query.add("e.project_id = ?", project_id)
    return f"{mirror.rows} r JOIN examples e ON e.position = r.position", query


def _needs_mirror(filter: Filter) -> bool:
    plain = Filter(statuses=filter.statuses, reviews=filter.reviews, gold=filter.gold)
    return filter != plain


def _on_examples(filter: Filter, query: _Query) -> None:
    for column, wanted in (("e.status", filter.statuses), ("e.review", filter.reviews)):
        if wanted:
            query.add(f"{column} IN ({_marks(wanted)})", *wanted, examples=True)
    if filter.gold:
        query.add("e.id IN (SELECT example_id FROM gold)", examples=True)


def _on_texts(filter: Filter, query: _Query) -> None:
    if filter.text.strip():
        needle = filter.text.strip()
        query.add("(contains(r.text, lower(?)) OR contains(r.answer, lower(?)))", needle, needle)
    if filter.labels:
        # Several labels stand on a line each. Most answers are one label, which is found by comparing.
        several = "contains(r.label, chr(10)) AND list_has_any(string_split(r.label, chr(10)), ?::VARCHAR[])"
        one = f"r.label IN ({_marks(filter.labels)})"
        query.add(f"({one} OR ({several}))", *filter.labels, list(filter.labels))
    for column, low, high in (
        ("r.text_length", filter.prompt_min, filter.prompt_max),
        ("r.answer_length", filter.answer_min, filter.answer_max),
    ):
        if low is not None:
            query.add(f"{column} >= ?", low)
        if high is not None:
            query.add(f"{column} <= ?", high)
    if filter.disagreement:
        query.add("r.disagreement")


def _on_acts(filter: Filter, query: _Query, mirror: Mirror) -> None:
    act = _Query([], [])
    if filter.annotators:
        act.add(f"annotator IN ({_marks(filter.annotators)})", *filter.annotators)
    if filter.since:
        act.add("at_time >= ?", _stored(filter.since))
    if filter.until:
        act.add("at_time < ?", _stored(filter.until))
    if filter.flagged:
        act.add("action = 'flag'")
    if act.conditions:
        where = " AND ".join(act.conditions)
        query.add(f"r.position IN (SELECT position FROM {mirror.acts} WHERE {where})", *act.params)


def _on_suggestions(filter: Filter, query: _Query, mirror: Mirror) -> None:
    made = _Query(["true"], [])
    if filter.suggestion_source:
        made.add("source = ?", filter.suggestion_source)
    if filter.suggestion_outcome:
        made.add("outcome = ?", "" if filter.suggestion_outcome == "open" else filter.suggestion_outcome)
    where = " AND ".join(made.conditions)
    query.add(f"r.position IN (SELECT position FROM {mirror.suggested} WHERE {where})", *made.params)


def _search_similar(
    db: Database, project_id: str, filter: Filter, sort: str, offset: int, limit: int
) -> tuple[list[Found], int]:
    """The nearest of those that fit: by sign codes first, then exactly; a page of them in the order asked for."""
    chosen = db.one(f"SELECT vector, {', '.join(WORDS)} FROM embeddings WHERE example_id = ?", [filter.similar_to])
    if chosen is None:
        raise BadInput("This example has no vector yet: they are made in the background when suggestions are on.")
    source, query = _query(db, project_id, filter, "imported")
    codes = Mirror(project_id).codes
    distance = " + ".join(f"bit_count(xor(c.{word}, ?::UBIGINT))::INTEGER" for word in WORDS)
    if filter == Filter(similar_to=filter.similar_to):
        source, query = f"{codes} c", _Query(["true"], [])
    else:
        source = f"{source} JOIN {codes} c ON c.position = r.position"
    near = db.query(
        f"SELECT c.position FROM {source} WHERE {' AND '.join(query.conditions)} ORDER BY {distance} "
        f"LIMIT {NEAREST + 1}",  # the chosen one is among them
        [*query.params, *chosen[1:]],
    )
    scores = _exact(db, project_id, filter.similar_to, chosen[0], [row[0] for row in near])
    positions = sorted(scores, key=lambda position: (-scores[position], position))[:NEAREST]
    if sort not in ("similar", "imported"):
        positions = _sorted(db, project_id, positions, sort)
    page = positions[max(0, offset) : max(0, offset) + limit]
    return _fetch(db, project_id, page, scores), len(positions)


def _exact(
    db: Database, project_id: str, chosen: str, vector: Sequence[float], positions: list[int]
) -> dict[int, float]:
    """Cosines to a vector, of some examples but the chosen one, by their positions."""
    ids = dict(
        db.query(
            "SELECT id, position FROM examples WHERE project_id = ? AND position IN (SELECT unnest(?::BIGINT[])) "
            "AND id <> ?",
            [project_id, positions, chosen],
        )
    )
    rows = db.query(
        f"SELECT example_id, array_inner_product(vector, ?::FLOAT[{DIMENSIONS}]) FROM embeddings "
        f"WHERE example_id IN ({_marks([*ids]) or 'NULL'})",
        [list(vector), *ids],
    )
    return {ids[example_id]: float(score) for example_id, score in rows}


def _sorted(db: Database, project_id: str, positions: list[int], sort: str) -> list[int]:
    rows = db.query(
        f"SELECT r.position FROM {Mirror(project_id).rows} r JOIN examples e ON e.position = r.position "
        f"WHERE e.project_id = ? AND r.position IN (SELECT unnest(?::BIGINT[])) ORDER BY {_ORDER[sort]}",
        [project_id, positions],
    )
    return [row[0] for row in rows]


def _fetch(db: Database, project_id: str, positions: list[int], scores: dict[int, float]) -> list[Found]:
    if not positions:
        return []
    # By join or by a list of literals DuckDB would read every prompt; so it reads the page's rows only.
    rows = db.query(
        f"SELECT {EXAMPLE_COLUMNS}, priority, uncertainty, id IN (SELECT example_id FROM gold) FROM examples "
        "WHERE project_id = ? AND position IN (SELECT unnest(?::BIGINT[]))",
        [project_id, positions],
    )
    wanted = [row[8] for row in rows if row[8]]
    sql = f"SELECT id, response, value, annotator, created_at FROM annotations WHERE id IN ({_marks(wanted)})"
    answers = db.query(sql, wanted) if wanted else []
    by_id = {row[0]: row[1:] for row in answers}
    found = {row[2]: _found(row, by_id.get(row[8]), scores.get(row[2])) for row in rows}
    return [found[position] for position in positions if position in found]


def _found(row: tuple[Any, ...], answer: tuple[Any, ...] | None, score: float | None) -> Found:
    response, value, annotator, at = answer or ("", "", None, None)
    priority, uncertainty, gold = row[-3:]
    worked_at = aware(at) if at else None
    return Found(as_example(row[:-3]), response, value, annotator, worked_at, priority, uncertainty, gold, score)


def _stored(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
