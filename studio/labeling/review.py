"""The reviewer's desk: what waits, one example with all its answers, and the decisions on it.

A decision names the version that the reviewer saw; when an annotator has answered anew, or another reviewer decided,
nothing is written and the example is shown as it is now (Conflict). What it leaves out: who is a reviewer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import storage.review_queue as queue
import storage.reviews as reviews
from storage.annotations import acts_on
from storage.audit import record_in
from storage.database import Database
from storage.examples import get_example
from storage.gold import Gold, get_gold
from storage.projects import get_project, write_settings
from storage.records import Annotation, Example, Project, User
from storage.review_queue import Bulk, Waiting
from storage.reviews import Decision, Review
from storage.standing import newest_acts
from studio.errors import BadInput, Conflict
from studio.labeling.answers import check_answer
from studio.language import mark, tr

DECISIONS = ("accept", "edit", "return")
_COMMENT_LIMIT = 4_000


@dataclass(frozen=True)
class Wanted:
    """Which part of the queue a reviewer works on: a kind of `storage.review_queue.KINDS`, and one annotator or ''."""

    kind: str = "all"
    annotator: str = ""


@dataclass(frozen=True)
class Given:
    """One annotator's answer. `suggested`: source, response and value of the suggestion that was on the screen."""

    act: Annotation
    suggested: tuple[str, str, str] | None


@dataclass(frozen=True)
class Item:
    """An example as a reviewer sees it: `answers` that stand (the one that counts first), `revisions` before them,
    decisions so far. `stamp` is the version that a decision names.
    """

    example: Example
    answers: tuple[Given, ...]
    revisions: tuple[Annotation, ...]
    decisions: tuple[Review, ...]
    differs: bool
    gold: Gold | None
    stamp: str

    @property
    def waits(self) -> bool:
        """Whether a reviewer is asked for a decision."""
        return self.example.review == "pending" or self.example.status == "flagged" or self.differs


@dataclass(frozen=True)
class ReviewDesk:
    """What a reviewer sees: the example in hand and the next one; `taken_back` counts what an undo took back."""

    project: Project
    item: Item | None
    next: Item | None
    taken_back: int = 0


@dataclass(frozen=True)
class Overview:
    """How much waits, and what can be accepted together."""

    waiting: Waiting
    bulk: tuple[Bulk, ...]


def open_review(
    db: Database, project_id: str, wanted: Wanted, after: int = 0, example_id: str | None = None
) -> ReviewDesk:
    """The desk with what waits behind position `after` (from the start again at the end), or with one example first.

    Raises NotFound, BadInput.
    """
    project = get_project(db, project_id)
    hand = [example_id] if example_id else []
    for start in (after, 0) if after else (0,):
        found = queue.list_queue(db, project_id, project.task, wanted.kind, wanted.annotator, start, 3)
        hand += [one for one in found if one not in hand]
        if len(hand) > 1:
            break
    items = [read_item(db, project, one) for one in hand[:2]]
    return ReviewDesk(project, items[0] if items else None, items[1] if len(items) > 1 else None)


def read_item(db: Database, project: Project, example_id: str) -> Item:
    """One example with everything about it. Raises NotFound."""
    stamp = reviews.read_stamp(db.cursor(), example_id)  # read first: what comes after it is then newer, not older
    example = get_example(db, example_id)
    acts = acts_on(db.cursor(), example_id)
    standing = sorted(newest_acts(acts).values(), key=lambda act: (act.id != example.annotation_id, act.number))
    suggested = reviews.list_suggested(db, [act.suggestion_id for act in standing if act.suggestion_id])
    differs = example.review in ("", "pending") and example.status in ("labeled", "skipped") and example.answers > 1
    return Item(
        example,
        tuple(Given(act, suggested.get(act.suggestion_id or "")) for act in standing),
        tuple(act for act in acts if act.action != "undo" and act.source != "gold" and act not in standing),
        tuple(reviews.list_reviews(db, example_id)),
        differs and bool(queue.list_differing(db, project.id, project.task, [example_id])),
        get_gold(db, example_id),
        stamp,
    )


def decide(db: Database, user: User, decision: Decision, wanted: Wanted) -> ReviewDesk:
    """Accept an answer, put an edited one in its place, or send it back; then the desk with the next example.

    Raises BadInput, NotFound, and Conflict with the example as it is now (an Item) when it is not as the reviewer saw
    it any more: nothing is written then.
    """
    if decision.decision not in DECISIONS:
        unknown = mark("There is no decision '{name}'; there are: {names}.")
        raise BadInput(tr(unknown, name=decision.decision, names=", ".join(DECISIONS)))
    example = get_example(db, decision.example_id)
    project = get_project(db, example.project_id)
    settings = project.settings
    try:
        reviews.decide(db, user.name, _checked(project, example, decision), settings.overlap, settings.review)
    except Conflict:
        item = read_item(db, project, example.id)
        raise Conflict(_what_happened(item, decision.stamp), item) from None
    return open_review(db, project.id, wanted, example.position)


def _checked(project: Project, example: Example, decision: Decision) -> Decision:
    comment = decision.comment.strip()
    if len(comment) > _COMMENT_LIMIT:
        long = mark("The comment has {count:,} characters: at most {most:,} can be saved.")
        raise BadInput(tr(long, count=len(comment), most=_COMMENT_LIMIT))
    if decision.decision == "return" and not comment:
        raise BadInput("Write what should be different: the annotator sees it with the example.")
    if decision.decision == "edit":
        response, value = check_answer(project, example, decision.response, decision.value)
        return replace(decision, response=response, value=value, comment=comment)
    return replace(decision, comment=comment)


def _what_happened(item: Item, stamp: str) -> str:
    seen = stamp.partition(".")[0]
    newest = max((given.act for given in item.answers), key=lambda act: act.number, default=None)
    if item.decisions and item.stamp.partition(".")[0] == seen:
        who = item.decisions[-1].reviewer
        return tr("{who} decided about this example meanwhile: this is how it stands now.", who=who)
    if newest is None or str(newest.number) == seen:
        return tr("An answer to this example was taken back meanwhile: this is how it stands now.")
    return tr("{who} changed the answer since you looked: this is the newer one.", who=newest.annotator)


def undo_decision(db: Database, user: User, project_id: str, wanted: Wanted) -> ReviewDesk:
    """Take back one's newest decision: its example is in hand again. Nothing left: the desk as is.

    Raises Conflict when somebody acted on the example since.
    """
    ids = reviews.undo_review(db, project_id, user.name)
    return replace(open_review(db, project_id, wanted, 0, ids[0] if ids else None), taken_back=len(ids))


def overview(db: Database, project_id: str) -> Overview:
    """How much there is to review."""
    project = get_project(db, project_id)
    return Overview(
        queue.count_waiting(db, project_id, project.task), tuple(queue.list_bulk(db, project_id, project.task))
    )


def accept_all(db: Database, user: User, project_id: str, annotator: str, source: str, expected: int) -> int:
    """Accept the waiting answers of one annotator, or with `source` 'import' the imported ones, on which nobody
    differs; how many. Raises Conflict when their number is not the one that was confirmed.
    """
    project = get_project(db, project_id)
    return len(reviews.accept_all(db, user.name, project_id, project.task, annotator, source, expected))


def switch_review(db: Database, user: User, project_id: str, on: bool) -> int:
    """Ask for a review of a project's answers, or not any more; how many answers that made wait (or not wait).

    Raises NotFound.
    """
    project = get_project(db, project_id)
    with db.write() as cursor:
        write_settings(cursor, project_id, replace(project.settings, review=on))
        count = reviews.set_review(cursor, project_id, on)
        record_in(cursor, user.name, f"review {'on' if on else 'off'}", project_id, project_id, examples=count)
        db.touch(project_id)
    return count
