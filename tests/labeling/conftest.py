"""A project with examples, its queue, and a clock that tests turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.annotations import Act
from storage.database import Database, now
from storage.examples import encode_turns
from storage.projects import update_settings
from storage.records import Project, Turn
from studio.labeling import desk
from studio.labeling.desk import Desk
from studio.labeling.queue import Queues


@dataclass
class Clock:
    """A time that stands still until it is moved."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.at

    def forward(self, minutes: float) -> None:
        """Let time pass."""
        self.at += timedelta(minutes=minutes)


@dataclass
class Room:
    """A labeling room: people open desks, act, leave."""

    db: Database
    project: Project
    clock: Clock
    queues: Queues

    def set(self, **settings: object) -> None:
        """Change the project's settings."""
        changed = replace(self.project.settings, **settings)  # type: ignore[arg-type]
        self.project = update_settings(self.db, self.project.id, changed)

    def open(self, who: str = "me", example: str | None = None) -> Desk:
        """Somebody's desk."""
        return desk.open_desk(self.queues, self.project.id, who, example)

    def act(self, who: str = "me", action: str = "submit", response: str = "an answer", **fields: object) -> Desk:
        """Somebody acts on the card in hand, or on `example`."""
        example = fields.pop("example", None) or in_hand(self.open(who))
        return desk.act(self.queues, Act(str(example), who, action, response, **fields))  # type: ignore[arg-type]

    def undo(self, who: str = "me") -> Desk:
        """Somebody takes their newest act back."""
        return desk.undo(self.queues, self.project.id, who)

    def restart(self) -> None:
        """What the app knows in memory is gone."""
        self.queues = Queues(self.db, self.clock)


def in_hand(seen: Desk) -> str:
    """The id of the card."""
    assert seen.card is not None
    return seen.card.example.id


def name(seen: Desk) -> str | None:
    """The prompt of the card."""
    return seen.card.example.text if seen.card else None


def add_examples(db: Database, project: Project, count: int, start: int = 0) -> list[str]:
    """Examples q0, q1, … with ids e0, e1, …"""
    ids = [f"e{number}" for number in range(start, start + count)]
    with db.write() as cursor:
        for example in ids:
            cursor.execute(
                "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
                "VALUES (?, ?, ?, '', ?, 'test', 'todo', ?)",
                [example, project.id, encode_turns((Turn("user", f"q{example[1:]}"),)), example, now()],
            )
        db.touch(project.id)
    return ids


@pytest.fixture
def make_room(db: Database, project: Project) -> Callable[..., Room]:
    """A room with so many examples and these settings."""

    def make(examples: int = 4, **settings: object) -> Room:
        clock = Clock()
        room = Room(db, project, clock, Queues(db, clock))
        room.set(**settings)
        add_examples(db, project, examples)
        return room

    return make


@pytest.fixture
def room(make_room: Callable[..., Room]) -> Room:
    """Four examples, one annotator each."""
    return make_room()
