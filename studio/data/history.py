"""The whole story of one example: each act and review in order, suggestions, who has it now, what was made of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from storage.annotations import list_revisions
from storage.database import Database
from storage.examples import get_example
from storage.gold import get_gold
from storage.history import drafters, leases_on, list_suggestions
from storage.records import Annotation, Example, Lease, Suggestion
from storage.reviews import Review, list_reviews
from storage.snapshots import Membership, memberships
from studio.data.lineage import Lineage, of_example


@dataclass(frozen=True)
class Revision:
    """An act. `before` is the text that it changed: of the act it began from, else of the newest answer before it;
    None where it is the first or has no text. `undone`: taken back since; `stands`: the example's answer now.
    """

    act: Annotation
    before: str | None
    undone: bool
    stands: bool


@dataclass(frozen=True)
class History:
    """What `read_history` knows of an example. `drafts` are names and times only; `gold`: its answer is known."""

    example: Example
    revisions: tuple[Revision, ...]
    reviews: tuple[Review, ...]
    suggestions: tuple[Suggestion, ...]
    leases: tuple[Lease, ...]
    drafts: tuple[tuple[str, datetime], ...]
    memberships: tuple[Membership, ...]
    gold: bool
    lineage: Lineage | None = None


def read_history(db: Database, example_id: str, now: datetime | None = None) -> History:
    """Everything about an example. Raises NotFound."""
    example = get_example(db, example_id)
    return History(
        example,
        tuple(_revisions(list_revisions(db, example_id), example.annotation_id)),
        tuple(list_reviews(db, example_id)),
        tuple(list_suggestions(db, example_id)),
        tuple(leases_on(db, example_id, now or datetime.now(UTC))),
        tuple(drafters(db, example_id)),
        tuple(memberships(db, example_id)),
        get_gold(db, example_id) is not None,
        of_example(db, example_id),
    )


def _revisions(acts: list[Annotation], standing: str | None) -> list[Revision]:
    undone = {act.undoes for act in acts}
    texts = {act.id: act.response for act in acts}
    last: str | None = None
    found = []
    for act in acts:
        before = texts.get(act.base or "") or last
        has_text = act.action == "submit"
        found.append(Revision(act, before if has_text else None, act.id in undone, act.id == standing))
        last = act.response if has_text else last
    return found
