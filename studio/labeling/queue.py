"""Who labels what next: one project's examples in order, lent to annotators for minutes.

The queue is kept in memory, because the app alone owns the database: handing out the next example then takes the same
time at a thousand examples and at a million. Leases are in DuckDB too, so a restart takes them up again. What it
leaves out: what an act writes (studio.labeling.desk).
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from storage.annotations import Acted, Known, Rules, list_drafted, list_partial
from storage.database import Database
from storage.examples import Waiting, count_examples, get_example, list_waiting
from storage.leases import list_leases
from storage.projects import get_project
from storage.records import Annotation, Counts, Example, Lease, Project
from storage.standing import Standing, newest_acts
from storage.suggestions import has_suggestions
from studio.labeling.cards import Card
from studio.labeling.record import Record

CHUNK = 256
"""Examples that are read from the database at a time."""


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


@dataclass
class _Slot:
    """An example that waits: the acts on it, who holds it until when, whether it came by reading the order."""

    example: Example
    acts: tuple[Annotation, ...]
    answered: set[str]
    leases: dict[str, datetime] = field(default_factory=dict)
    read: bool = False
    returned_to: str | None = None
    again: bool = False


class ProjectQueue:
    """One project's queue. Every method but `rules` expects that the caller holds `lock`.

    `cards` are those that annotators hold, by example and annotator; `drafted` says who has a draft of what; `expired`
    are leases that ran out and still have their row; `unwritten` are examples whose last answer is taken up but not yet
    in the database; `offers` says whether there may be suggestions.
    """

    def __init__(self, db: Database, project_id: str, clock: Callable[[], datetime] = utc_now) -> None:
        self.lock = threading.RLock()
        self._db, self._clock = db, clock
        self.version = db.version(project_id)
        self.project: Project = get_project(db, project_id)
        self.counts: Counts = count_examples(db, project_id)
        self.cards: dict[tuple[str, str], Card] = {}
        self.records: dict[str, Record] = {}
        self.drafted: set[tuple[str, str]] = list_drafted(db, project_id)
        self.expired: list[tuple[str, str]] = []
        self.unwritten: set[str] = set()
        self.offers: bool = bool(self.project.settings.suggest) or has_suggestions(db, project_id)
        self._slots: dict[str, _Slot] = {}
        self._order: list[str] = []
        self._front: list[str] = []
        self._cursors: dict[str, int] = {}
        self._held: dict[str, dict[str, Lease]] = {}
        self._partial: dict[str, tuple[Annotation, ...]] = {}
        self._done: Counter[str] = Counter()
        self._all_read = False
        for example_id, acts in list_partial(db, project_id).items():
            self._partial[example_id] = tuple(acts)
            self._done.update(newest_acts(acts).keys())
        self._read_more()
        latest = clock() + timedelta(minutes=self.project.settings.lease_minutes)
        for lease in list_leases(db, project_id):  # one that ends later is from before the clock was set back
            self._note_lease(replace(lease, expires_at=min(lease.expires_at, latest)))

    @property
    def rules(self) -> Rules:
        """What of the settings decides an example's state."""
        return Rules(self.project.settings.overlap, self.project.settings.review)

    def known(self, example_id: str) -> Known | None:
        """What an act has to know of an example that waits, without a read; None for one that is not in the queue."""
        slot = self._slots.get(example_id)
        if slot is None:
            return None
        answers = sum(act.action != "flag" for act in newest_acts(slot.acts).values())
        state = Standing("todo", None, answers, "returned" if slot.again else "", slot.returned_to)
        return Known(self.project.id, slot.example.content_key, state, slot.acts)

    def example(self, example_id: str) -> Example:
        """An example, without a read where it waits. Raises NotFound."""
        slot = self._slots.get(example_id)
        return slot.example if slot else get_example(self._db, example_id)

    def held(self, annotator: str) -> list[str]:
        """What an annotator holds and has not answered, the longest held first."""
        now = self._clock()
        mine = self._held.get(annotator, {})
        for example_id in [one for one, lease in mine.items() if lease.expires_at <= now]:
            self.release(example_id, annotator)
            self.expired.append((example_id, annotator))
        return list(mine)

    def lease(self, example_id: str, annotator: str) -> Lease | None:
        """The lease of an example that an annotator holds now."""
        lease = self._held.get(annotator, {}).get(example_id)
        return lease if lease and lease.expires_at > self._clock() else None

    def leased(self) -> dict[str, int]:
        """How many examples each annotator holds now."""
        now = self._clock()
        counts = {name: sum(lease.expires_at > now for lease in held.values()) for name, held in self._held.items()}
        return {name: count for name, count in counts.items() if count}

    def left_for(self, annotator: str) -> int:
        """Examples to label that this annotator has not answered."""
        return max(0, self.counts.todo - self._done[annotator])

    def free(self, annotator: str) -> Iterator[str]:
        """Examples that this annotator may take, in order: those sent back to them first."""
        now = self._clock()
        for example_id in [*self._front]:
            if self._may_take(example_id, annotator, now):
                yield example_id
        index = self._cursors.get(annotator, 0)
        solid = True  # nothing that was passed can come back to this annotator, unless it goes to the front
        while True:
            while index < len(self._order):
                example_id = self._order[index]
                slot = self._slots.get(example_id)
                if slot is not None and self._may_take(example_id, annotator, now):
                    solid = False
                    if example_id not in self._front:
                        yield example_id
                elif slot is not None and annotator not in slot.answered:
                    solid = False
                index += 1
                if solid:
                    self._cursors[annotator] = index
            if not self._read_more():
                return

    def peek(self, count: int) -> list[str]:
        """The next examples that wait, whoever will get them."""
        while len(self._slots) < count and self._read_more():
            pass
        waiting = (one for one in self._order if one in self._slots and one not in self._front)
        return [*self._front, *islice(waiting, count)][:count]

    def may_take(self, example_id: str, annotator: str) -> bool:
        """Whether an example waits and has room for one more annotator, this one."""
        return self._may_take(example_id, annotator, self._clock())

    def new_lease(self, example_id: str, annotator: str, gold: bool = False) -> Lease:
        """A lease from now on; it counts once `grant` is told of it."""
        end = self._clock() + timedelta(minutes=self.project.settings.lease_minutes)
        return Lease(example_id, annotator, self.project.id, end, gold)

    def grant(self, leases: Iterable[Lease], first: bool = False) -> None:
        """Take up leases that are or will be written; with `first` they are what their holder has in hand."""
        for lease in leases:
            self._note_lease(lease)
            if first:
                held = self._held[lease.annotator]
                self._held[lease.annotator] = {lease.example_id: held.pop(lease.example_id), **held}

    def renew(self, annotator: str, end: datetime) -> None:
        """Set a new end of all that an annotator holds."""
        for lease in [self._held[annotator][one] for one in self.held(annotator)]:
            self._note_lease(replace(lease, expires_at=end))

    def release(self, example_id: str, annotator: str) -> None:
        """End a lease: the example is free again for others."""
        self._held.get(annotator, {}).pop(example_id, None)
        if slot := self._slots.get(example_id):
            slot.leases.pop(annotator, None)

    def settle(self, acted: Acted, example: Example) -> None:
        """Take up what an act, or its undo, made of an example."""
        example_id, annotator = example.id, acted.annotation.annotator
        self.release(example_id, annotator)
        if acted.before.status == "todo":
            self._done.subtract(newest_acts(self._partial.pop(example_id, ())).keys())
        self._move(acted.before.status, acted.after.status)
        if acted.after.status != "todo":
            self.unwritten.add(example_id)
            self._slots.pop(example_id, None)
            self._front = [one for one in self._front if one != example_id]
            if len(self._order) > 2 * len(self._slots) + CHUNK:
                self._compact()
            return
        people = acted.annotators
        self._partial[example_id] = acted.known.acts
        self._done.update(people)
        self._add(Waiting(example, acted.after.review == "returned"), acted.known.acts, acted.after.returned_to)
        if annotator not in people and example_id not in self._front:
            self._front.append(example_id)  # taken back: this annotator's cursor has passed it

    def _move(self, before: str, after: str) -> None:
        if before != after:
            counts = asdict(self.counts)
            counts[before] -= 1
            counts[after] += 1
            self.counts = Counts(**counts)

    def _may_take(self, example_id: str, annotator: str, now: datetime) -> bool:
        slot = self._slots.get(example_id)
        if slot is None or (annotator in slot.leases and slot.leases[annotator] > now):
            return False
        if slot.again:
            others = any(end > now for name, end in slot.leases.items() if name != annotator)
            return slot.returned_to == annotator or (slot.returned_to is None and not others)
        if annotator in slot.answered:
            return False
        taken = sum(end > now for name, end in slot.leases.items() if name not in slot.answered)
        return len(slot.answered) + taken < self.project.settings.overlap

    def _note_lease(self, lease: Lease) -> None:
        self._held.setdefault(lease.annotator, {})[lease.example_id] = lease
        if slot := self._slots.get(lease.example_id):
            slot.leases[lease.annotator] = lease.expires_at

    def _add(self, waiting: Waiting, acts: tuple[Annotation, ...], returned_to: str | None) -> None:
        """Make or mend the slot of an example; a new one goes to the end, or to the front where it came back."""
        example_id = waiting.example.id
        slot = self._slots.get(example_id)
        if slot is None:
            slot = self._slots[example_id] = _Slot(waiting.example, acts, set())
            holders = ((name, held.get(example_id)) for name, held in self._held.items())
            slot.leases = {name: lease.expires_at for name, lease in holders if lease}
            (self._front if waiting.again else self._order).append(example_id)
        slot.acts, slot.answered = acts, set(newest_acts(acts))
        slot.returned_to, slot.again = returned_to, waiting.again

    def _read_more(self) -> bool:
        """Read the next chunk; whether there was one."""
        if self._all_read:
            return False
        # What was read before and still waits is in the slots: the database's next ones stand behind as many.
        read = sum(slot.read and not slot.again for slot in self._slots.values())
        order = self.project.settings.order
        found = list_waiting(self._db, self.project.id, order, read, CHUNK)
        self._all_read = sum(not waiting.again for waiting in found) < CHUNK
        for waiting in found:
            example = waiting.example
            if example.id not in self.unwritten:
                self._add(waiting, self._partial.get(example.id, ()), example.returned_to)
                self._slots[example.id].read = True
        return bool(found)

    def _compact(self) -> None:
        kept = set(self._slots)
        self._order = [example_id for example_id in self._order if example_id in kept]
        self._cursors.clear()


class Queues:
    """The queues of all projects, each made when it is first asked for, and anew when `Database.touch` says so.

    `jobs` are the acts and drafts that wait to be written, by project (see studio.labeling.writing).
    """

    def __init__(self, db: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self.db, self.clock = db, clock
        self.jobs: defaultdict[str, deque[Any]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._queues: dict[str, ProjectQueue] = {}

    @contextmanager
    def locked(self, project_id: str) -> Iterator[ProjectQueue]:
        """The queue of a project as it is now, for the length of a `with` block. Raises NotFound."""
        while True:
            queue = self._of(project_id)
            with queue.lock:
                if self._queues.get(project_id) is not queue:
                    continue  # another thread has made it anew
                if queue.version == self.db.version(project_id):
                    yield queue
                    return
                # Made while the old one is held: an act that is being written is then in the database.
                fresh = ProjectQueue(self.db, project_id, self.clock)
                with self._lock:
                    self._queues[project_id] = fresh

    def project_of(self, example_id: str, annotator: str) -> str:
        """The project that an example is in; no read where the annotator holds it. Raises NotFound."""
        with self._lock:
            for project_id, queue in self._queues.items():
                if (example_id, annotator) in queue.cards:
                    return project_id
        return get_example(self.db, example_id).project_id

    def knows(self, project_id: str, annotator: str) -> bool:
        """Whether an annotator's own work is in memory."""
        with self._lock:
            queue = self._queues.get(project_id)
            return queue is not None and annotator in queue.records

    def reload(self, project_id: str) -> None:
        """Read a project anew when it is next asked for."""
        self.db.touch(project_id)

    def peek(self, project_id: str, count: int) -> list[str]:
        """Ids of the next examples that wait."""
        with self.locked(project_id) as queue:
            return queue.peek(count)

    def _of(self, project_id: str) -> ProjectQueue:
        with self._lock:
            queue = self._queues.get(project_id)
            if queue is None:
                queue = self._queues[project_id] = ProjectQueue(self.db, project_id, self.clock)
            return queue
