"""Which examples an annotator gets: what they hold, gold now and then, else the next that are free."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from storage.annotations import acts_on
from storage.leases import add_leases, drop_some
from storage.records import Lease
from studio.labeling.cards import Card, make_card
from studio.labeling.gold import pick_gold
from studio.labeling.queue import ProjectQueue, Queues
from studio.labeling.record import Record
from studio.labeling.suggestions import offer_for


def deal(queues: Queues, queue: ProjectQueue, annotator: str, hand: Sequence[str], count: int) -> list[str]:
    """`hand`, then what the annotator holds, filled up to `count` from the queue; all of it lent to them, if it can."""
    hand = [*hand, *(held for held in queue.held(annotator) if held not in hand)]
    fresh = [queue.new_lease(one, annotator) for one in hand if queue.may_take(one, annotator)]
    more = new_leases(queues, queue, annotator, hand, count)
    lend(queues, queue, [*fresh, *more])
    return [*hand, *(lease.example_id for lease in more)]


def new_leases(
    queues: Queues, queue: ProjectQueue, annotator: str, hand: Sequence[str], count: int, answered: str = ""
) -> list[Lease]:
    """Leases that are to be written, so that the annotator has `count` cards; none of what they have just `answered`,
    which the database may not know yet.
    """
    found: list[Lease] = []
    taken = {*hand, answered}
    free = (one for one in queue.free(annotator) if one not in taken)
    while len(hand) + len(found) < count:
        gold = _gold(queues, queue, annotator)
        known = gold is not None and gold not in taken
        following = gold if known else next(free, None)
        if following is None:
            break
        taken.add(following)
        found.append(queue.new_lease(following, annotator, known))
    return found


def lend(queues: Queues, queue: ProjectQueue, leases: Sequence[Lease]) -> None:
    """Write leases and take them up."""
    if leases:
        with queues.db.write() as cursor:
            drop_some(cursor, queue.expired)
            add_leases(cursor, leases)
        queue.expired.clear()
        queue.grant(leases)


def card_of(queues: Queues, queue: ProjectQueue, example_id: str, annotator: str) -> Card:
    """The card of an example for an annotator; kept while they hold it. Raises NotFound."""
    lease, key = queue.lease(example_id, annotator), (example_id, annotator)
    end = lease.expires_at if lease else None
    card = queue.cards.get(key)
    if card is None:
        example, known = queue.example(example_id), queue.known(example_id)
        if lease and lease.gold:  # it must look like any other: no status, no answer of anybody's
            example, acts = replace(example, status="todo", review=""), []
        else:
            acts = list(known.acts) if known else acts_on(queues.db.cursor(), example_id)
        card = make_card(queues.db, example, acts, annotator, key in queue.drafted, queue.offers)
    elif card.suggestion is None and card.revision is None and queue.offers:
        card = replace(card, suggestion=offer_for(queues.db, card.example))
    card = replace(card, lease_until=end)
    if end is not None:
        queue.cards[key] = card
    return card


def record_of(queues: Queues, queue: ProjectQueue, annotator: str) -> Record:
    """An annotator's own work, read when it is first asked for."""
    if annotator not in queue.records:
        queue.records[annotator] = Record(queues.db, queue.project.id, annotator)
    return queue.records[annotator]


def _gold(queues: Queues, queue: ProjectQueue, annotator: str) -> str | None:
    rate = queue.project.settings.gold_rate
    # Not for secrets: only so that nobody can tell which of the cards is gold.
    if rate == 0 or random.random() >= rate:  # noqa: S311
        return None
    return pick_gold(queues.db, queue.project.id, annotator)
