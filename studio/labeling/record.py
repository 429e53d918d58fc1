"""One annotator's own work in a project, kept in memory: what can be taken back, what was done today, the history."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import median

from storage.annotations import UNDO_LIMIT, list_history, list_undoable, seconds_since
from storage.database import Database
from storage.records import Annotation, Example

_HISTORY = 20
_TEXT = 120


@dataclass(frozen=True)
class Past:
    """One line of the history: `text` and `response` are shortened."""

    example_id: str
    text: str
    action: str
    response: str
    at: datetime


class Record:
    """Read once from the database, then kept up with each act; read anew after an undo."""

    def __init__(self, db: Database, project_id: str, annotator: str) -> None:
        self._undoable = deque(list_undoable(db, project_id, annotator), maxlen=UNDO_LIMIT)
        # Who has nothing that could be undone has done nothing lately.
        done = list_history(db, project_id, annotator, _HISTORY) if self._undoable else []
        self._past = {one.example.id: _past(one.annotation, one.example) for one in reversed(done)}
        self._day = date.today()
        self._seconds = seconds_since(db, project_id, annotator, _midnight()) if self._undoable else []

    def add(self, act: Annotation, example: Example) -> None:
        """An act that was written."""
        self._turn_day()
        self._undoable.append(act)
        self._past.pop(example.id, None)
        self._past[example.id] = _past(act, example)
        if len(self._past) > 2 * _HISTORY:
            del self._past[next(iter(self._past))]
        if act.action == "submit":
            self._seconds.append(act.seconds)

    @property
    def newest(self) -> Annotation | None:
        """The act that an undo would take back."""
        return self._undoable[-1] if self._undoable else None

    @property
    def undoable(self) -> int:
        """How many acts can be taken back."""
        return len(self._undoable)

    @property
    def today(self) -> int:
        """Answers submitted since midnight, in the local time of this machine."""
        self._turn_day()
        return len(self._seconds)

    @property
    def median_seconds(self) -> float | None:
        """How long an answer took today; None when no time is known."""
        known = [value for value in self._seconds if value is not None]
        return median(known) if known else None

    @property
    def history(self) -> tuple[Past, ...]:
        """The newest act of each example, newest first."""
        return tuple(reversed(self._past.values()))[:_HISTORY]

    def _turn_day(self) -> None:
        if date.today() != self._day:
            self._day, self._seconds = date.today(), []


def _past(act: Annotation, example: Example) -> Past:
    return Past(example.id, example.text[:_TEXT], act.action, act.response[:_TEXT], act.created_at)


def _midnight() -> datetime:
    return datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
