"""Annotators in threads do whatever they like, at once, while a clock that nobody waits for runs out their leases.

Checked while they work: no example has more people on it (standing answers and live leases) than the overlap, but for
late answers. Checked at the end: each act that was acknowledged is in the database once and nothing else is, and the
queue in memory is what a fresh one reads from the database.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from storage.annotations import Act
from storage.database import Database, aware
from storage.examples import count_examples
from storage.projects import create_project
from storage.records import Settings
from studio.errors import Conflict
from studio.labeling.desk import act, keep_draft, leave, open_desk, renew, undo
from studio.labeling.queue import ProjectQueue, Queues

EXAMPLES, TURNS, LEASE_MINUTES = 60, 45, 10.0
PEOPLE = ("ada", "bob", "cleo", "dan", "ada")
"""Ada works in two windows."""


@dataclass
class Clock:
    """A clock that is set."""

    now: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Room:
    """What the threads share: `told` counts acknowledged acts, `late` names examples answered without a lease."""

    queues: Queues
    project: str
    overlap: int
    clock: Clock
    told: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    late: set[str] = field(default_factory=set)
    notes: threading.Lock = field(default_factory=threading.Lock)
    taken_back: int = 0
    acting: int = 0
    stirred: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def standing_clock(self) -> Iterator[None]:
        """The clock does not move within: a lease that is live before an act is live when it is written."""
        with self.stirred:
            self.acting += 1
        try:
            yield
        finally:
            with self.stirred:
                self.acting -= 1
                self.stirred.notify_all()

    def pass_time(self, minutes: float) -> None:
        """Set the clock forward when nobody acts."""
        with self.stirred:
            self.stirred.wait_for(lambda: self.acting == 0)
            self.clock.now += timedelta(minutes=minutes)


def waiting(db: Database, overlap: int) -> str:
    """A project with examples to label."""
    settings = Settings(overlap=overlap, lease_minutes=LEASE_MINUTES)
    project = create_project(db, f"Races {overlap}", settings=settings).id
    with db.write() as cursor:
        cursor.execute(
            "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
            "SELECT 'e' || n, $project, '[[\"user\", \"q' || n || '\"]]', '', 'k' || n, 'test', 'todo', "
            "now()::TIMESTAMP FROM range($count) r(n) ORDER BY n",
            {"project": project, "count": EXAMPLES},
        )
    return project


def labels(room: Room, name: str, seed: int) -> None:
    """One window of one annotator: random acts, whatever the others do."""
    chance = random.Random(seed)
    desk = open_desk(room.queues, room.project, name)
    for turn in range(TURNS):
        lot = chance.random()
        if lot < 0.06:
            room.pass_time(chance.choice((1, LEASE_MINUTES + 1)))
        elif lot < 0.12:
            desk = undo(room.queues, room.project, name)
            with room.notes:
                room.taken_back += desk.taken_back
        elif lot < 0.16:
            leave(room.queues, room.project, name)
            desk = open_desk(room.queues, room.project, name)
        elif lot < 0.20:
            renew(room.queues, room.project, name)
        elif lot < 0.24:
            desk = open_desk(room.queues, room.project, name, f"e{chance.randrange(EXAMPLES)}")
        elif lot < 0.30:
            assert_room(room)
        elif desk.card is None:
            desk = open_desk(room.queues, room.project, name)
        else:
            if lot < 0.40:
                keep_draft(room.queues, desk.card.example.id, name, "half")
            action = chance.choice(("submit",) * 8 + ("skip", "flag"))
            desk = tell(room, desk, Act(desk.card.example.id, name, action, f"{seed}-{turn}"))


def tell(room, desk, wanted: Act):
    """Act and note it; where another window of the same person was quicker, look again."""
    wanted = Act(**{**vars(wanted), "base": desk.card.revision, "checked": True})
    with room.standing_clock():
        with room.queues.locked(room.project) as queue:
            held = wanted.example_id in queue.held(wanted.annotator)
        # In two windows a lease may be given back in one while the other still shows the example.
        if not held or PEOPLE.count(wanted.annotator) > 1:
            with room.notes:
                room.late.add(wanted.example_id)
        try:
            after = act(room.queues, wanted)
        except Conflict:
            return open_desk(room.queues, room.project, wanted.annotator)
    with room.notes:
        room.told[wanted.example_id, wanted.annotator, wanted.action, wanted.response] += 1
    return after


def assert_room(room: Room) -> None:
    """While nobody can act: no example has more people on it than the overlap, but for late answers."""
    with room.queues.locked(room.project):
        people = standing(room.queues.db, room.project)
        for example, annotator, expires in room.queues.db.query(
            "SELECT example_id, annotator, expires_at FROM leases l JOIN examples e ON e.id = l.example_id "
            "WHERE e.status = 'todo' AND l.project_id = ?",
            [room.project],
        ):
            if aware(expires) > room.clock():
                people[example].add(annotator)
        with room.notes:
            late = set(room.late)
        crowded = {example: names for example, names in people.items() if len(names) > room.overlap}
        assert crowded.keys() <= late, crowded


def standing(db: Database, project: str) -> defaultdict[str, set[str]]:
    """By example, the annotators whose newest act that was not taken back is a submit or a skip."""
    newest: dict[tuple[str, str], str] = {}
    for example, annotator, action in db.query(
        "SELECT example_id, annotator, action FROM annotations WHERE project_id = ? AND action != 'undo' "
        "AND id NOT IN (SELECT undoes FROM annotations WHERE undoes IS NOT NULL) ORDER BY number",
        [project],
    ):
        newest[example, annotator] = action
    people: defaultdict[str, set[str]] = defaultdict(set)
    for (example, annotator), action in newest.items():
        if action != "flag":
            people[example].add(annotator)
    return people


def as_told(db: Database, project: str) -> Counter[tuple[str, ...]]:
    """The acts that the database has."""
    return Counter(
        db.query(
            "SELECT example_id, annotator, action, response FROM annotations WHERE project_id = ? AND action != 'undo'",
            [project],
        )
    )


def picture(queue: ProjectQueue, todo: set[str]) -> object:
    """What a queue would do: what each annotator holds of what is to do, may take, and has left."""
    with queue.lock:
        names = set(PEOPLE) | {"eve"}
        return {name: (todo & set(queue.held(name)), set(queue.free(name)), queue.left_for(name)) for name in names}


@pytest.mark.parametrize("overlap", [1, 2, 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_annotators_do_at_once_the_queue_keeps_its_word(db: Database, overlap: int, seed: int) -> None:
    clock = Clock()
    room = Room(Queues(db, clock), waiting(db, overlap), overlap, clock)
    with ThreadPoolExecutor(len(PEOPLE)) as threads:
        began = [threads.submit(labels, room, name, 100 * seed + number) for number, name in enumerate(PEOPLE)]
        for one in began:
            one.result()
    assert_room(room)
    assert as_told(db, room.project) == room.told
    undone = db.one("SELECT count(*) FROM annotations WHERE action = 'undo'")
    assert undone == (room.taken_back,)
    answers = dict(db.query("SELECT id, answers FROM examples WHERE answers > 0"))
    assert answers == {example: len(names) for example, names in standing(db, room.project).items() if names}
    with room.queues.locked(room.project) as queue:
        assert queue.counts == count_examples(db, room.project)
        todo = {row[0] for row in db.query("SELECT id FROM examples WHERE status = 'todo'")}
        assert picture(queue, todo) == picture(ProjectQueue(db, room.project, clock), todo)
