"""What the app does by itself for served models: takes their traffic up, watches it, and keeps retrainings going.

One thread for as long as the app lives; a look that failed is told in the log and the next one begins anew. Prompts are
looked at for drift once a day, and only where a rule or a limit asks for it. What it leaves out: all that is not looked
at by itself (studio.deploy.monitoring, studio.deploy.rules).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from storage.database import Database
from storage.rules import list_rules
from storage.watches import get_watch, newest_drift, watched_projects
from studio.deploy.acts import take_up_acts
from studio.deploy.drifting import DriftReport, look_for_drift
from studio.deploy.monitoring import forget_old, look
from studio.deploy.production import write_names
from studio.deploy.retraining import advance_all
from studio.deploy.rules import begin_due
from studio.deploy.traffic import take_up_all
from studio.errors import BadInput, DiskFull, StudioError
from studio.settings import Workspace

RARE = timedelta(minutes=1)
"""How often limits and rules are looked at; traffic and retrainings are at each turn."""

DRIFT_EVERY = timedelta(days=1)
_log = logging.getLogger(__name__)

LookForDrift = Callable[[Database, Workspace, str, datetime], DriftReport]


def _now() -> datetime:
    return datetime.now(UTC)


class Caretaker:
    """The thread: `start` it once, `stop` it before the database is closed. Jobs that it started go on."""

    def __init__(
        self,
        db: Database,
        workspace: Workspace,
        seconds: float = 2.0,
        clock: Callable[[], datetime] = _now,
        look_for_drift: LookForDrift = look_for_drift,
    ) -> None:
        self._db, self._workspace, self._seconds, self._clock = db, workspace, seconds, clock
        self._look_for_drift = look_for_drift
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="caretaker", daemon=True)
        self._rare_at: datetime | None = None
        self._drift_at: dict[str, datetime] = {}
        self._drift: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within seconds."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def turn(self) -> None:
        """One turn: what is new is taken up, retrainings advance; once a minute limits and rules are looked at."""
        now = self._clock()
        take_up_all(self._db, self._workspace)
        take_up_acts(self._db, self._workspace)
        advance_all(self._db, self._workspace, now)
        if self._rare_at is None or now - self._rare_at >= RARE:
            self._rare_at = now
            write_names(self._db, self._workspace)
            look(self._db, self._workspace, now)
            forget_old(self._db, now)
            begin_due(self._db, self._workspace, now)
            self._begin_drift(now)

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self.turn()
            except DiskFull:
                continue  # all that was not taken up is where it was
            except Exception:
                # A bug, but one that must not leave everything later unwatched.
                _log.exception("A look at the served models failed")

    def _begin_drift(self, now: datetime) -> None:
        """Look for drift in one project whose last look is a day ago, on a thread: it takes a minute."""
        if self._drift and self._drift.is_alive():
            return
        for project_id in sorted(self._asking()):
            kept = newest_drift(self._db, project_id)
            last = max(filter(None, [kept.created_at if kept else None, self._drift_at.get(project_id)]), default=None)
            if last is None or now - last >= DRIFT_EVERY:
                self._drift_at[project_id] = now
                self._drift = threading.Thread(target=self._look, args=(project_id, now), daemon=True)
                self._drift.start()
                return

    def _asking(self) -> set[str]:
        rules = {kept.project_id for kept in list_rules(self._db) if kept.rules.on_drift}
        watched = {one for one in watched_projects(self._db) if self._is_limited(one)}
        return rules | watched

    def _is_limited(self, project_id: str) -> bool:
        watch = get_watch(self._db, project_id)
        return watch is not None and "drift" in watch.thresholds

    def _look(self, project_id: str, now: datetime) -> None:
        try:
            self._look_for_drift(self._db, self._workspace, project_id, now)
        except BadInput:
            return  # too few prompts yet: tomorrow there may be more
        except StudioError as error:
            _log.warning("The prompts could not be looked at for drift: %s", error)
        except Exception:
            _log.exception("A look for drift failed")
