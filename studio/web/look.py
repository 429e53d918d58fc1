"""One small JSON route for what stands beside the tabs: how much is to label and to review, runs, alerts, the guide.

Every open page asks for it again and again, so what it reads of a project is kept for two seconds.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from fastapi import APIRouter, Request

from studio.context import Studio
from studio.jobs.next_step import GUIDED, Step, guide_of
from studio.jobs.overview import Badges, badges
from studio.language import reader
from studio.people.roles import may
from studio.web.answering import answer
from studio.web.identity import user_of

_KEPT_SECONDS = 2.0
_MOST = 200


class _Kept:
    """The badges of projects as of a moment ago."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._lock = studio, threading.Lock()
        self._found: dict[tuple[str, bool, str], tuple[float, Badges, Step | None]] = {}

    def of(self, project_id: str, sees_runs: bool) -> tuple[Badges, Step | None]:
        """Read anew where they are older than two seconds."""
        key, now = (project_id, sees_runs, reader()), time.monotonic()
        with self._lock:
            kept = self._found.get(key)
        if kept and now - kept[0] < _KEPT_SECONDS:
            return kept[1:]
        found = badges(self._studio.db, project_id, sees_runs)
        guide = guide_of(self._studio.db, project_id) if sees_runs else None
        with self._lock:
            if len(self._found) >= _MOST:
                self._found.clear()
            self._found[key] = (now, found, guide)
        return found, guide


def look_routes(studio: Studio) -> APIRouter:
    """Routes under /api/look."""
    router = APIRouter(prefix="/api/look")
    kept = _Kept(studio)

    @router.get("/badges")
    def get_badges(request: Request, project: str = "") -> Any:
        user = user_of(request)
        return answer(lambda: _json(*kept.of(project, may(user, "admin")), may(user, "reviewer"), may(user, "admin")))

    return router


def _json(found: Badges, guide: Step | None, reviews: bool, sees_runs: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"label": found.to_label}
    if guide:
        words = {"sentence": guide.sentence, "button": guide.button, "tab": guide.tab.lower()}
        answer["guide"] = {**words, "run": guide.run_id, "part": guide.part, "of": GUIDED}
    if reviews:
        answer["review"] = found.to_review
    if sees_runs:
        answer["monitor"] = found.alerts
        answer["runs"] = [
            {
                "id": run.id,
                "project": run.project_id,
                "name": run.project,
                "number": run.number,
                "state": run.state,
                "done": run.step / run.steps if run.steps else 0.0,
                "ended": run.ended_at.isoformat() if run.ended_at else "",
            }
            for run in found.runs
        ]
    return answer
