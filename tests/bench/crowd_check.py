"""Whether the queue kept its word: what the annotators saw (`tests.bench.crowd`) against the database afterwards.

An annotator surely holds an example from the answer that lent it until they send what gives it back, or the lease
ends; an acknowledged submit or skip takes one of the example's places for good. These intervals lie inside the true
ones, so two that overlap beyond the project's overlap are a double lease and never an artefact of the network.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from pathlib import Path

import duckdb

from tests.bench.crowd import Log, Seen

_ANSWERS = ("submit", "skip")


@dataclass(frozen=True)
class Verdict:
    """What was found. `late`: answers that were sent after the sender's lease had ended (they are kept, by design);
    `crowded`: examples with more annotators than the overlap although none of their answers was late; `unknown`: rows
    of the database that nobody was told of."""

    acknowledged: int
    lost: int
    repeated: int
    unknown: int
    double_leases: int
    crowded: int
    late: int
    refused: int
    lent: int

    @property
    def clean(self) -> bool:
        """No submit lost or written twice, no example with two people too many."""
        return not (self.lost or self.repeated or self.unknown or self.double_leases or self.crowded or self.refused)

    def __str__(self) -> str:
        return (
            f"{self.double_leases} double leases, {self.lost} lost, {self.repeated} repeated, {self.unknown} unknown, "
            f"{self.crowded} crowded, {self.refused} refused; {self.late} late; {self.acknowledged} acknowledged, "
            f"{self.lent} leases"
        )


@dataclass
class _Stay:
    """One annotator's time with one example."""

    began: float
    until: float
    answered: float = inf


def check(log: Log, database: Path, project: str, overlap: int) -> Verdict:
    """The verdict on one crowd's work, from the database of a stopped app."""
    told = Counter((one.example, one.user, one.kind, one.response) for one in log.seen if _answer(one))
    kept = Counter(_rows(database, project))
    stays, late = _stays(log.seen)
    return Verdict(
        acknowledged=sum(told.values()),
        lost=sum((told - kept).values()),
        repeated=sum(count - told[key] for key, count in kept.items() if key in told and count > told[key]),
        unknown=sum(count for key, count in kept.items() if key not in told),
        double_leases=sum(_most(found) > overlap for found in stays.values()),
        crowded=sum(
            len(people) > overlap and example not in late for example, people in _annotators(database, project).items()
        ),
        late=sum(late.values()),
        refused=len(log.failures()),
        lent=sum(map(len, stays.values())),
    )


def _answer(one: Seen) -> bool:
    return one.kind in _ANSWERS and one.status == 200


def _rows(database: Path, project: str) -> list[tuple[str, str, str, str]]:
    sql = (
        "SELECT example_id, annotator, action, response FROM annotations "
        "WHERE project_id = ? AND action IN ('submit', 'skip')"
    )
    with duckdb.connect(str(database), read_only=True) as file:
        return file.execute(sql, [project]).fetchall()


def _annotators(database: Path, project: str) -> dict[str, set[str]]:
    """By example, whose submit or skip stands."""
    sql = (
        "SELECT example_id, annotator FROM annotations a WHERE project_id = ? AND action IN ('submit', 'skip') "
        "AND id NOT IN (SELECT undoes FROM annotations WHERE project_id = ? AND undoes IS NOT NULL)"
    )
    people: dict[str, set[str]] = defaultdict(set)
    with duckdb.connect(str(database), read_only=True) as file:
        for example, annotator in file.execute(sql, [project, project]).fetchall():
            people[example].add(annotator)
    return people


def _stays(seen: Iterable[Seen]) -> tuple[dict[str, list[tuple[float, float]]], Counter[str]]:
    """By example, the spans of sure possession; and how many late answers it has."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    late: Counter[str] = Counter()
    with_user: dict[str, dict[str, _Stay]] = defaultdict(dict)
    for one in sorted(seen, key=lambda one: (one.user, one.sent)):
        if one.status != 200:
            continue
        mine = with_user[one.user]
        if one.kind == "renew":
            for example, until in one.held or ():
                if example in mine and mine[example].until > one.received:
                    mine[example].until = until
        elif _answer(one):
            stay = mine.get(one.example)
            if stay is None or stay.until < one.sent:
                late[one.example] += 1
            if stay is not None and stay.until >= one.received:
                stay.answered = one.sent
        elif one.kind == "undo" and one.example in mine:
            mine[one.example].answered = inf
        if one.held is not None or one.kind == "leave":
            _change(one, mine, spans)
    for mine in with_user.values():
        for example, stay in mine.items():
            spans[example].append((stay.began, inf if stay.answered < inf else stay.until))
    return spans, late


def _change(one: Seen, mine: dict[str, _Stay], spans: dict[str, list[tuple[float, float]]]) -> None:
    """Take up which examples an answer says are held now; what is not among them was given back when it was sent."""
    held = dict(one.held or ())
    for example in [name for name, stay in mine.items() if name not in held and stay.answered == inf]:
        stay = mine.pop(example)
        spans[example].append((stay.began, min(stay.until, one.sent)))
    for example, until in held.items():
        stay = mine.get(example)
        if stay is None:
            mine[example] = _Stay(one.received, until)
        elif stay.answered < inf:  # answered before and lent anew: the place is still this person's
            stay.answered, stay.until = inf, until
        elif stay.until < one.sent:  # ran out and was lent anew
            spans[example].append((stay.began, stay.until))
            mine[example] = _Stay(one.received, until)
        else:
            stay.until = until


def _most(spans: Iterable[tuple[float, float]]) -> int:
    """The largest number of spans at one moment; empty spans count nothing."""
    events = sorted(
        (moment, step) for began, ended in spans if ended > began for moment, step in ((began, 1), (ended, -1))
    )
    most = now = 0
    for _, step in events:
        now += step
        most = max(most, now)
    return most
