"""Annotators over one queue, in any order that hypothesis thinks of, against a model of what they may expect.

Threads are in tests/labeling/test_queue_races.py; here one thing happens after the other, so a failure is shortened to
the few steps that make it. `make properties` tries many more.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.annotations import Act
from storage.database import connect
from storage.examples import count_examples
from storage.projects import create_project
from storage.records import Settings
from studio.errors import StudioError
from studio.labeling.desk import Desk, act, keep_draft, leave, open_desk, renew, undo
from studio.labeling.queue import ProjectQueue, Queues

EXAMPLES, MINUTES = 5, 10.0
PEOPLE = ("ada", "bob", "cleo")
MORE = int(os.environ.get("SFT_STUDIO_EXAMPLES", "12"))
"""How many histories are tried."""

WHO = st.sampled_from(PEOPLE)


class Labeling(RuleBasedStateMachine):
    """`said`: what stands, by example and annotator, the newest last; `mine`: the acts that each may take back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.db = connect(Path(self.folder.name) / "studio.duckdb", Path(self.folder.name) / "backups")
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.desks: dict[str, Desk] = {}
        self.said: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.mine: dict[str, list[tuple[str, str]]] = {name: [] for name in PEOPLE}
        self.late: set[str] = set()
        self.drafts: dict[tuple[str, str], str] = {}
        self.told = 0

    @initialize(overlap=st.integers(1, 2))
    def open_project(self, overlap: int) -> None:
        """A few examples to label."""
        self.overlap = overlap
        self.project = create_project(self.db, "Machine", settings=Settings(overlap=overlap, lease_minutes=MINUTES)).id
        with self.db.write() as cursor:
            cursor.execute(
                "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
                "SELECT 'e' || n, $project, '[[\"user\", \"q' || n || '\"]]', '', 'k' || n, 'test', 'todo', "
                "now()::TIMESTAMP FROM range($count) r(n) ORDER BY n",
                {"project": self.project, "count": EXAMPLES},
            )
        self.queues = Queues(self.db, lambda: self.now)

    @rule(name=WHO)
    def look(self, name: str) -> None:
        """Somebody opens their desk: the card in hand is lent to them and to no more people than may have it."""
        desk = self.desks[name] = open_desk(self.queues, self.project, name)
        if desk.card:
            assert self.holds(desk.card.example.id, name)
            assert (desk.card.example.id, name) not in self.said or not self.said[desk.card.example.id, name]

    @precondition(lambda self: any(desk.card for desk in self.desks.values()))
    @rule(name=WHO, action=st.sampled_from(["submit", "submit", "skip", "flag"]))
    def answer(self, name: str, action: str) -> None:
        """Somebody acts on what their screen shows, however old it is: it is written, or refused with a sentence."""
        desk = self.desks.get(name)
        if desk is None or desk.card is None:
            return
        example = desk.card.example.id
        if not self.holds(example, name):
            self.late.add(example)
        self.told += 1
        wanted = Act(example, name, action, f"text {self.told}", base=desk.card.revision, checked=True)
        try:
            self.desks[name] = act(self.queues, wanted)
        except StudioError:
            self.desks[name] = open_desk(self.queues, self.project, name)
            return
        self.said.setdefault((example, name), []).append((action, wanted.response if action != "skip" else ""))
        self.mine[name].append((example, action))
        self.drafts.pop((example, name), None)

    @rule(name=WHO)
    def take_back(self, name: str) -> None:
        """Undo takes back one's own newest act and nobody else's, and what was written stands there again."""
        desk = self.desks[name] = undo(self.queues, self.project, name)
        assert desk.taken_back == bool(self.mine[name])
        if self.mine[name]:
            example, _ = self.mine[name].pop()
            action, text = self.said[example, name].pop()
            assert desk.card is not None and desk.card.example.id == example
            if action == "submit" and (example, name) not in self.drafts:
                assert desk.card.draft is not None and desk.card.draft.response == text

    @rule(name=WHO, example=st.integers(0, EXAMPLES - 1), word=st.text("ab\u00e9\n'\"\\", max_size=5))
    def type(self, name: str, example: int, word: str) -> None:
        """A draft is kept as it is."""
        keep_draft(self.queues, f"e{example}", name, word)
        self.drafts[f"e{example}", name] = word

    @rule(name=WHO, minutes=st.sampled_from([1, 9, 11]), act_=st.sampled_from(["wait", "renew", "leave"]))
    def wait(self, name: str, minutes: int, act_: str) -> None:
        """Time passes; somebody holds on to what they have, or gives it back."""
        self.now += timedelta(minutes=minutes)
        if act_ == "renew":
            renew(self.queues, self.project, name)
        elif act_ == "leave":
            leave(self.queues, self.project, name)
            with self.queues.locked(self.project) as queue:
                assert queue.held(name) == []

    @rule()
    def restart(self) -> None:
        """The app ends without a word; all that it told is in the database."""
        self.queues = Queues(self.db, lambda: self.now)

    @invariant()
    def nothing_is_lost_and_nobody_in_excess(self) -> None:
        """What was acknowledged stands in the database; no example has more people on it than it may have."""
        if not hasattr(self, "project"):
            return
        stands = Counter(
            self.db.query(
                "SELECT example_id, annotator, action FROM annotations WHERE project_id = ? AND action != 'undo' "
                "AND id NOT IN (SELECT undoes FROM annotations WHERE undoes IS NOT NULL)",
                [self.project],
            )
        )
        told = Counter((*key, action) for key, acts in self.said.items() for action, _ in acts)
        assert stands == told
        with self.queues.locked(self.project) as queue:
            assert queue.counts == count_examples(self.db, self.project)
            for example in {f"e{number}" for number in range(EXAMPLES)} - self.late:
                answered = {who for (one, who), acts in self.said.items() if one == example and acts}
                answered = {who for who in answered if self.said[example, who][-1][0] != "flag"}
                holding = {who for who in PEOPLE if queue.lease(example, who)} - answered
                if queue.known(example):
                    assert len(answered | holding) <= self.overlap, (example, answered, holding)

    def holds(self, example: str, name: str) -> bool:
        """Whether an example is lent to somebody now."""
        with self.queues.locked(self.project) as queue:
            return queue.lease(example, name) is not None

    def teardown(self) -> None:
        """A queue that is read anew from the database would go on as this one."""
        if hasattr(self, "project"):
            with self.queues.locked(self.project) as queue:
                fresh = ProjectQueue(self.db, self.project, lambda: self.now)
                for name in (*PEOPLE, "eve"):
                    assert set(queue.free(name)) == set(fresh.free(name)), name
                    assert queue.left_for(name) == fresh.left_for(name), name
        self.db.close()
        self.folder.cleanup()


TestLabeling = Labeling.TestCase
TestLabeling.settings = hypothesis_settings(
    max_examples=MORE,
    stateful_step_count=25,
    deadline=None,
    derandomize="SFT_STUDIO_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
