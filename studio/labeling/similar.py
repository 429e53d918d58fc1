"""Examples like another one, for the bulk view."""

from __future__ import annotations

from storage.database import Database
from storage.search import Filter, search


def similar_examples(db: Database, project_id: str, example_id: str, limit: int = 200) -> list[str]:
    """Ids of examples that wait: this one, then the nearest to it. Raises BadInput where it has no vector yet."""
    found, _ = search(db, project_id, Filter(statuses=("todo",), similar_to=example_id), "similar", 0, limit)
    return [example_id, *(one.example.id for one in found)]
