"""When somebody last looked at a project's Home, so that it can say what came since.

Looks that are less than half an hour apart are one visit. What it leaves out: what came (studio.jobs.overview).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from storage.database import Database
from storage.preferences import get_preferences, merge_preferences

_PAUSE = timedelta(minutes=30)
_MOST = 40
"""Projects that are remembered of one person: the settings of a person have a limit."""


def note_visit(db: Database, user: str, project_id: str, now: datetime | None = None) -> datetime | None:
    """Note that a user looks at a project now; the end of the visit before this one, None where there was none.

    Written at most once in five minutes, so that looking costs nothing.
    """
    moment = now or datetime.now(UTC)
    ended, seen = _read(get_preferences(db, user).get("visits", {}).get(project_id))
    if seen and moment - seen > _PAUSE:
        ended = seen
    if seen is None or moment - seen > timedelta(minutes=5):
        merge_preferences(db, user, lambda kept: kept | {"visits": _with(kept, project_id, ended, moment)})
    return ended


def _with(kept: dict[str, Any], project_id: str, ended: datetime | None, seen: datetime) -> dict[str, Any]:
    others = {key: value for key, value in kept.get("visits", {}).items() if key != project_id}
    newest = dict(sorted(others.items(), key=lambda item: str(item[1][1]))[-(_MOST - 1) :])
    return newest | {project_id: [ended.isoformat() if ended else "", seen.isoformat()]}


def _read(stored: Any) -> tuple[datetime | None, datetime | None]:
    if not isinstance(stored, list) or len(stored) != 2:
        return None, None
    ended, seen = (datetime.fromisoformat(str(value)) if value else None for value in stored)
    return ended, seen
