"""The labeling hot path: one call an act, each answers with the whole desk, so a screen needs no second request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import storage.annotations as acts
import storage.examples as examples
from storage.annotations import Done
from storage.database import Database
from storage.records import Counts, Example

_HISTORY = 20


@dataclass(frozen=True)
class Card:
    """An example on the desk. `draft` is what was being typed; `revision` the text of the act that stands (an answer,
    or what was typed before a skip or a flag), None where none does.
    """

    example: Example
    draft: str
    revision: str | None


@dataclass(frozen=True)
class Desk:
    """What an annotator sees: the card in hand (None when all is done), and how it goes.

    `today` counts answers submitted since midnight (local time of this machine), `median_seconds` how long each took.
    `taken_back` says that this desk is the answer to an undo that took something back.
    """

    card: Card | None
    counts: Counts
    today: int
    median_seconds: float | None
    history: tuple[Done, ...]
    taken_back: bool = False


def open_desk(db: Database, project_id: str, annotator: str, example_id: str | None = None) -> Desk:
    """The desk with the next example, or with one taken up again. Raises NotFound for an example that is not there."""
    waiting = [examples.get_example(db, example_id)] if example_id else examples.next_examples(db, project_id, 1)
    today, median_seconds = acts.pace(db, project_id, annotator, _midnight())
    return Desk(
        _card(db, waiting[0], annotator) if waiting else None,
        examples.count_examples(db, project_id),
        today,
        median_seconds,
        tuple(acts.list_history(db, project_id, annotator, _HISTORY)),
    )


def submit(db: Database, example_id: str, annotator: str, response: str, seconds: float | None = None) -> Desk:
    """Accept an answer; committed when this returns. Raises BadInput (empty), NotFound, DiskFull."""
    return _act(db, example_id, annotator, "submit", response, seconds)


def skip(db: Database, example_id: str, annotator: str, response: str = "", seconds: float | None = None) -> Desk:
    """Put an example by; what was typed is kept with it and comes back on undo. Raises NotFound, DiskFull."""
    return _act(db, example_id, annotator, "skip", response, seconds)


def flag(db: Database, example_id: str, annotator: str, response: str = "", seconds: float | None = None) -> Desk:
    """Mark an example as one that somebody has to look at. Raises NotFound, DiskFull."""
    return _act(db, example_id, annotator, "flag", response, seconds)


def undo(db: Database, project_id: str, annotator: str) -> Desk:
    """Take one's newest act back: its example is the card, what was written its draft, unless a later
    draft is there. No act left: the desk as is."""
    taken_back = acts.undo(db, project_id, annotator)
    desk = open_desk(db, project_id, annotator, taken_back.example_id if taken_back else None)
    return replace(desk, taken_back=taken_back is not None)


def keep_draft(db: Database, example_id: str, annotator: str, response: str) -> None:
    """Keep what is being typed, so that it is there on any machine. Raises DiskFull."""
    acts.save_draft(db, example_id, annotator, response)


def _act(db: Database, example_id: str, annotator: str, action: str, response: str, seconds: float | None) -> Desk:
    done = acts.annotate(db, example_id, annotator, action, response, seconds)
    return open_desk(db, done.project_id, annotator)


def _card(db: Database, example: Example, annotator: str) -> Card:
    standing = acts.get_annotation(db, example.annotation_id).response if example.annotation_id else None
    return Card(example, acts.get_draft(db, example.id, annotator), standing)


def _midnight() -> datetime:
    return datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
