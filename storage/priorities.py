"""The priority of examples: higher comes first in a queue by priority."""

from __future__ import annotations

from collections.abc import Sequence

from storage.audit import record_in
from storage.database import Database


def set_priority(db: Database, user: str, project_id: str, example_ids: Sequence[str], priority: float) -> int:
    """Set the priority of some examples of a project and say so in the audit log; how many there are of them."""
    marks = ", ".join("?" * len(example_ids)) or "NULL"
    with db.write() as cursor:
        row = cursor.execute(
            f"UPDATE examples SET priority = ? WHERE project_id = ? AND id IN ({marks})",
            [priority, project_id, *example_ids],
        ).fetchone()
        record_in(cursor, user, "set priority", project_id, "", priority=priority, examples=list(example_ids))
        db.touch(project_id)
    return int(row[0]) if row else 0
