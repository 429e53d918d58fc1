"""What an annotator's acts do: one transaction an act, and the desk as it is afterwards, so that a screen needs no
second request. The next card is on the desk already, lent to the same annotator.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from storage.annotations import Act, Acted, append_act, save_draft, take_back
from storage.examples import get_example
from storage.leases import add_leases, drop_lease, drop_leases, put_leases, renew_leases
from storage.records import Counts, Example, Lease, Project
from studio.errors import StudioError
from studio.labeling.answers import check_answer
from studio.labeling.cards import Card, make_card
from studio.labeling.gold import pick_gold
from studio.labeling.queue import ProjectQueue, Queues
from studio.labeling.record import Past, Record
from studio.labeling.suggestions import decide, undecide

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
    with queues.locked(project_id) as queue:
        hand = [example_id] if example_id else []
        if example_id:
            get_example(queues.db, example_id)
        return _desk(queues, queue, annotator, _deal(queues, queue, annotator, hand, ahead))


def act(queues: Queues, wanted: Act, ahead: int = _AHEAD) -> Desk:
    """Write a submit, skip or flag; committed when this returns.

    Raises BadInput (an answer that the task does not allow), Conflict (the annotator's answer was changed meanwhile),
    NotFound, DiskFull.
    """
    key = (wanted.example_id, wanted.annotator)
    with queues.locked_for(wanted.example_id, wanted.annotator) as queue:
        held = queue.cards.get(key)
        example = held.example if held else get_example(queues.db, wanted.example_id)
        wanted = _checked(queue, example, wanted)
        rest = [one for one in queue.held(wanted.annotator) if one != example.id]
        with queues.db.write() as cursor:
            acted = append_act(cursor, wanted, queue.rules, key in queue.drafted)
            if wanted.suggestion_id:
                decide(cursor, wanted.suggestion_id, acted.annotation)
            if queue.lease_end(*key):
                drop_lease(cursor, *key)
            leases = _leases(queues, queue, wanted.annotator, rest, ahead)
            _write_leases(cursor, queue, leases)
        _take_up(queues, queue, acted, example)
        queue.grant(leases)
        return _desk(queues, queue, wanted.annotator, [*rest, *(lease.example_id for lease in leases)])


def act_on_many(queues: Queues, project_id: str, annotator: str, acts: Sequence[Act]) -> BulkResult:
    """The same act on many examples: each is done or told of by itself, and taken back by itself."""
    done: list[str] = []
    failed: list[tuple[str, str]] = []
    for one in acts:
        try:
            act(queues, one, ahead=0)
            done.append(one.example_id)
        except StudioError as error:
            failed.append((one.example_id, str(error)))
    return BulkResult(tuple(done), tuple(failed), open_desk(queues, project_id, annotator))


def undo(queues: Queues, project_id: str, annotator: str) -> Desk:
    """Take one's newest act back: its example is the card, what was written its draft, unless a later draft is there.
    No act left: the desk as is.
    """
    with queues.locked(project_id) as queue:
        newest = _record(queues, queue, annotator).newest
        if newest is None:
            return _desk(queues, queue, annotator, _deal(queues, queue, annotator, [], _AHEAD))
        lease = queue.new_lease(newest.example_id, annotator)
        with queues.db.write() as cursor:
            acted = take_back(cursor, newest, queue.rules)
            if newest.suggestion_id:
                undecide(cursor, newest.suggestion_id)
            put_leases(cursor, [lease])
        del queue.records[annotator]
        queue.settle(acted)
        queue.drafted.add((newest.example_id, annotator))
        queue.cards.pop((newest.example_id, annotator), None)
        queue.grant([lease], first=True)
        desk = _desk(queues, queue, annotator, queue.held(annotator))
        return replace(desk, taken_back=True)


def keep_draft(queues: Queues, example_id: str, annotator: str, response: str, value: str = "") -> None:
    """Keep what is being typed, so that it is there on any machine. Raises NotFound, DiskFull."""
    with queues.locked_for(example_id, annotator) as queue:
        save_draft(queues.db, example_id, annotator, response, value)
        queue.drafted.add((example_id, annotator))
        queue.cards.pop((example_id, annotator), None)


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
            hand = _deal(queues, queue, annotator, [], size)[:size]
        else:
            held = set(queue.held(annotator))
            hand = [one for one in wanted if one in held or queue.may_take(one, annotator)][:size]
            _lend(queues, queue, [queue.new_lease(one, annotator) for one in hand if one not in held])
        return [_card(queues, queue, example_id, annotator) for example_id in hand]


def _checked(queue: ProjectQueue, example: Example, wanted: Act) -> Act:
    """The act with its answer in canonical form, and as an answer to gold where the queue handed it out as that."""
    response, value = wanted.response, wanted.value
    if wanted.action == "submit":
        response, value = check_answer(queue.project, example, response, value)
    hidden = example.status == "labeled" and queue.lease_end(example.id, wanted.annotator) is not None
    return replace(wanted, response=response, value=value, source="gold" if hidden else wanted.source)


def _take_up(queues: Queues, queue: ProjectQueue, acted: Acted, example: Example) -> None:
    annotator = acted.annotation.annotator
    queue.settle(acted)
    queue.cards.pop((example.id, annotator), None)
    queue.drafted.discard((example.id, annotator))
    queue.expired.clear()
    _record(queues, queue, annotator).add(acted.annotation, example)


def _deal(queues: Queues, queue: ProjectQueue, annotator: str, hand: list[str], count: int) -> list[str]:
    """`hand`, then what the annotator holds, filled up to `count` from the queue."""
    hand = [*hand, *(held for held in queue.held(annotator) if held not in hand)]
    fresh = [queue.new_lease(one, annotator) for one in hand if queue.may_take(one, annotator)]
    fresh += _leases(queues, queue, annotator, hand, count)
    _lend(queues, queue, fresh)
    return [*hand, *(lease.example_id for lease in fresh if lease.example_id not in hand)]


def _leases(queues: Queues, queue: ProjectQueue, annotator: str, hand: Sequence[str], count: int) -> list[Lease]:
    """New leases, so that the annotator has `count` cards."""
    found: list[str] = []
    free = (one for one in queue.free(annotator) if one not in hand)
    while len(hand) + len(found) < count:
        gold = _gold(queues, queue, annotator)
        following = gold if gold and gold not in hand and gold not in found else next(free, None)
        if following is None:
            break
        found.append(following)
    return [queue.new_lease(one, annotator) for one in found]


def _gold(queues: Queues, queue: ProjectQueue, annotator: str) -> str | None:
    rate = queue.project.settings.gold_rate
    # Not for secrets: only so that nobody can tell which of the cards is gold.
    if rate == 0 or random.random() >= rate:  # noqa: S311
        return None
    return pick_gold(queues.db, queue.project.id, annotator)


def _lend(queues: Queues, queue: ProjectQueue, leases: Sequence[Lease]) -> None:
    if leases:
        with queues.db.write() as cursor:
            _write_leases(cursor, queue, leases)
        queue.expired.clear()
        queue.grant(leases)


def _write_leases(cursor: Any, queue: ProjectQueue, leases: Sequence[Lease]) -> None:
    for key in queue.expired:
        drop_lease(cursor, *key)
    add_leases(cursor, leases)


def _desk(queues: Queues, queue: ProjectQueue, annotator: str, hand: Sequence[str]) -> Desk:
    cards = [_card(queues, queue, example_id, annotator) for example_id in hand[:_AHEAD]]
    record = _record(queues, queue, annotator)
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


def _card(queues: Queues, queue: ProjectQueue, example_id: str, annotator: str) -> Card:
    end, key = queue.lease_end(example_id, annotator), (example_id, annotator)
    card = queue.cards.get(key)
    if card is None or (card.suggestion is None and queue.project.settings.suggest):
        card = make_card(queues.db, example_id, annotator, end, key in queue.drafted)
        if end is not None:
            queue.cards[key] = card
    return card if card.lease_until == end else replace(card, lease_until=end)


def _record(queues: Queues, queue: ProjectQueue, annotator: str) -> Record:
    if annotator not in queue.records:
        queue.records[annotator] = Record(queues.db, queue.project.id, annotator)
    return queue.records[annotator]
