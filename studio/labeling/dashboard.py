"""One line an annotator: how much, how fast, and how well by every measure there is. Rows in, dataclasses out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta

from storage.database import Database
from storage.projects import get_project
from storage.quality import Work, count_by_day, list_work
from studio.labeling.agreement import Agreement
from studio.labeling.gold import GoldAccuracy, gold_accuracy
from studio.labeling.reliability import Estimate

MOST_LINES = 4
"""Annotators with a line of their own in the plot: those with the most answers."""


@dataclass(frozen=True)
class Share:
    """A share (0 to 1) of so many; None where there is nothing to divide by."""

    value: float | None
    of: int


@dataclass(frozen=True)
class Person:
    """One annotator. `agreement` with the others is a share of equal answers, or mean chrF (0 to 100) for text; None
    until it is counted. `accepted` of the answers that a reviewer decided about; `suggestions` taken as they were.
    """

    annotator: str
    answers: int
    median_seconds: float | None
    agreement: Estimate | None
    accepted: Share
    suggestions: Share
    gold: GoldAccuracy | None


@dataclass(frozen=True)
class Line:
    """Answers by day, oldest first; days without one count 0."""

    annotator: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Dashboard:
    """Everybody by number of answers, and the `days` that the lines go over."""

    people: tuple[Person, ...]
    days: tuple[date, ...]
    lines: tuple[Line, ...]
    others: int


def dashboard(db: Database, project_id: str) -> Dashboard:
    """Figures of a project's annotators, but for how far they agree. Raises NotFound."""
    gold = gold_accuracy(db, get_project(db, project_id))
    counted, answers = count_by_day(db, project_id), Counter[str]()
    for annotator, _, count in counted:
        answers[annotator] += count
    work = {one.annotator: one for one in list_work(db, project_id)}
    known = {*answers, *(name for name, one in work.items() if one.decided or one.suggested)}
    people = [_person(name, answers[name], work.get(name), gold.get(name)) for name in known]
    people.sort(key=lambda person: (-person.answers, person.annotator))
    days, lines = _lines([(name, day, count) for name, day, count in counted if day])
    return Dashboard(tuple(people), days, lines[:MOST_LINES], max(0, len(lines) - MOST_LINES))


def with_agreement(found: Dashboard, agreement: Agreement) -> Dashboard:
    """The same with how far each agrees with the others, which takes longer to count."""
    agreed = {person.annotator: person.agreement for person in agreement.people}
    return replace(found, people=tuple(replace(one, agreement=agreed.get(one.annotator)) for one in found.people))


def _person(name: str, answers: int, work: Work | None, gold: GoldAccuracy | None) -> Person:
    if work is None:
        return Person(name, answers, None, None, _share(0, 0), _share(0, 0), gold)
    accepted, taken = _share(work.accepted, work.decided), _share(work.taken, work.suggested)
    return Person(name, answers, work.median_seconds, None, accepted, taken, gold)


def _share(part: int, of: int) -> Share:
    return Share(part / of if of else None, of)


def _lines(rows: list[tuple[str, date, int]]) -> tuple[tuple[date, ...], tuple[Line, ...]]:
    if not rows:
        return (), ()
    first, last = min(row[1] for row in rows), max(row[1] for row in rows)
    days = tuple(first + timedelta(days=number) for number in range((last - first).days + 1))
    counted: dict[str, dict[date, int]] = {}
    for annotator, day, count in rows:
        counted.setdefault(annotator, {})[day] = count
    lines = [Line(name, tuple(found.get(day, 0) for day in days)) for name, found in counted.items()]
    return days, tuple(sorted(lines, key=lambda line: (-sum(line.counts), line.annotator)))
