"""What an annotator's acts do: one transaction an act, and the desk as it is afterwards, so that a screen needs no
second request. The next card is on the desk already, lent to the same annotator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from storage.annotations import Act, take_back
from storage.leases import drop_leases, drop_some, put_leases, renew_leases
from storage.records import Counts, Draft, Project
from studio.errors import StudioError
from studio.labeling.cards import Card
from studio.labeling.dealing import card_of, deal, lend, record_of
from studio.labeling.queue import ProjectQueue, Queues
from studio.labeling.record import Past, Record
from studio.labeling.suggestions import undecide
from studio.labeling.writing import ActJob, DraftJob, write
from studio.language import tr

_AHEAD = 2
"""Cards that an annotator holds in the focus view: the one in hand and the next."""


@dataclass(frozen=True)
class Desk:
    """What an annotator sees: the card in hand (None when there is nothing to do), the next one, and how it goes.

    `left` counts what waits for this annotator, `today` the answers submitted since midnight (local time of this
    machine), `median_seconds` how long each took; `leases` how many examples each annotator holds; `taken_back` says
    that this desk is the answer to an undo that took something back.
    """

    project: Project
    card: Card | None
    next: Card | None
    counts: Counts
    left: int
    today: int
    median_seconds: float | None
    history: tuple[Past, ...]
    undoable: int
    leases: dict[str, int]
    taken_back: bool = False


@dataclass(frozen=True)
class BulkResult:
    """What became of the acts of one bulk action: example ids that are done, and sentences for those that are not."""

    done: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    desk: Desk


def open_desk(
    queues: Queues, project_id: str, annotator: str, example_id: str | None = None, ahead: int = _AHEAD
) -> Desk:
    """The desk with what the annotator holds, else the next examples; or with one taken up again as its card.

    Raises NotFound for a project or an example that is not there.
    """
    early = Record(queues.db, project_id, annotator) if not queues.knows(project_id, annotator) else None
    with queues.locked(project_id) as queue:
        if early:  # read before the lock: two hundred people who come at once do not wait for each other
            queue.records.setdefault(annotator, early)
        hand = [queue.example(example_id).id] if example_id else []
        return _desk(queues, queue, annotator, deal(queues, queue, annotator, hand, ahead))


def act(queues: Queues, wanted: Act, ahead: int = _AHEAD) -> Desk:
    """Write a submit, skip or flag; committed when this returns.

    Raises BadInput (an answer that the task does not allow), Conflict (the annotator's answer was changed meanwhile),
    NotFound, DiskFull.
    """
    project_id = queues.project_of(wanted.example_id, wanted.annotator)
    job = ActJob(wanted, ahead)
    write(queues, project_id, [job])
    if job.error:
        raise job.error
    with queues.locked(project_id) as queue:
        return _desk(queues, queue, wanted.annotator, job.hand)


def act_on_many(queues: Queues, project_id: str, annotator: str, acts: Sequence[Act]) -> BulkResult:
    """The same act on many examples in one transaction: each is done or told of by itself, and taken back by itself."""
    jobs = [ActJob(one, 0) for one in acts]
    write(queues, project_id, jobs)
    for job in jobs:
        if job.error and not isinstance(job.error, StudioError):
            raise job.error
    done = tuple(job.act.example_id for job in jobs if not job.error)
    failed = tuple((job.act.example_id, tr(str(job.error))) for job in jobs if job.error)
    return BulkResult(done, failed, open_desk(queues, project_id, annotator))


def undo(queues: Queues, project_id: str, annotator: str) -> Desk:
    """Take one's newest act back: its example is the card, what was written its draft, unless a later draft is there.
    No act left: the desk as is.
    """
    with queues.locked(project_id) as queue:
        newest = record_of(queues, queue, annotator).newest
        if newest is None:
            return _desk(queues, queue, annotator, deal(queues, queue, annotator, [], _AHEAD))
        example = queue.example(newest.example_id)
        lease = queue.new_lease(example.id, annotator, newest.source == "gold")
        with queues.db.write() as cursor:
            acted = take_back(cursor, newest, queue.rules)
            if newest.suggestion_id:
                undecide(cursor, newest.suggestion_id, annotator)
            drop_some(cursor, queue.expired)
            put_leases(cursor, [lease])
        del queue.records[annotator]
        after = acted.after
        example = replace(example, status=after.status, review=after.review, answers=after.answers)
        queue.settle(acted, example)
        queue.unwritten.clear()
        queue.expired.clear()
        queue.drafted.add((example.id, annotator))
        queue.cards.pop((example.id, annotator), None)
        queue.grant([lease], first=True)
        desk = _desk(queues, queue, annotator, queue.held(annotator))
        return replace(desk, taken_back=True)


def keep_draft(queues: Queues, example_id: str, annotator: str, response: str, value: str = "") -> None:
    """Keep what is being typed, so that it is there on any machine. Raises NotFound, DiskFull."""
    job = DraftJob((example_id, annotator), Draft(response, value))
    write(queues, queues.project_of(example_id, annotator), [job])
    if job.error:
        raise job.error


def renew(queues: Queues, project_id: str, annotator: str) -> datetime:
    """Hold on to what one has; the new end."""
    with queues.locked(project_id) as queue:
        end = queue.new_lease("", annotator).expires_at
        with queues.db.write() as cursor:
            renew_leases(cursor, project_id, annotator, queues.clock(), end)
        queue.renew(annotator, end)
        return end


def leave(queues: Queues, project_id: str, annotator: str) -> None:
    """Give back what one holds; drafts stay."""
    with queues.locked(project_id) as queue:
        held = queue.held(annotator)
        with queues.db.write() as cursor:
            drop_leases(cursor, project_id, annotator)
        for example_id in held:
            queue.release(example_id, annotator)
            queue.cards.pop((example_id, annotator), None)


def deal_many(
    queues: Queues, project_id: str, annotator: str, size: int, wanted: Iterable[str] | None = None
) -> list[Card]:
    """Cards for the bulk view, lent to the annotator; of `wanted`, in that order, only those that are free."""
    with queues.locked(project_id) as queue:
        if wanted is None:
            hand = deal(queues, queue, annotator, [], size)[:size]
        else:
            held = set(queue.held(annotator))
            hand = [one for one in wanted if one in held or queue.may_take(one, annotator)][:size]
            lend(queues, queue, [queue.new_lease(one, annotator) for one in hand if one not in held])
        return [card_of(queues, queue, example_id, annotator) for example_id in hand]


def _desk(queues: Queues, queue: ProjectQueue, annotator: str, hand: Sequence[str]) -> Desk:
    cards = [card_of(queues, queue, example_id, annotator) for example_id in hand[:_AHEAD]]
    record = record_of(queues, queue, annotator)
    return Desk(
        queue.project,
        cards[0] if cards else None,
        cards[1] if len(cards) > 1 else None,
        queue.counts,
        queue.left_for(annotator),
        record.today,
        record.median_seconds,
        record.history,
        record.undoable,
        queue.leased(),
    )
