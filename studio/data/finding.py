"""Finding a project's examples, and what one does with those that were found: put them back, set their priority."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from storage import priorities
from storage.annotations import Rules, acts_on, take_back
from storage.audit import record_in
from storage.database import Database
from storage.embeddings import count_vectors
from storage.examples import get_examples
from storage.mirror import mirrored
from storage.projects import get_project
from storage.records import User
from storage.reviews import send_again
from storage.search import SORTS, Filter, Found, list_annotators, list_suggestion_sources, matching_ids, search
from storage.standing import newest_acts
from studio.errors import BadInput, NotAllowed, StudioError
from studio.language import mark, tr

__all__ = ["SORTS", "Choices", "Filter", "Found", "Page", "choices", "find", "matching_ids", "put_back", "set_priority"]

PAGE_ROWS = 25
_MOST_CHANGED = 1000
_MAY_CHANGE = ("reviewer", "admin")


@dataclass(frozen=True)
class Page:
    """A page of what was found, the first being 1, out of `total`; `milliseconds` is what the search took."""

    rows: tuple[Found, ...]
    number: int
    total: int
    milliseconds: float

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // PAGE_ROWS))


@dataclass(frozen=True)
class Choices:
    """What a project's filters offer: answers of tasks that have few, people, sources, whether there are vectors."""

    answers: tuple[str, ...]
    annotators: tuple[str, ...]
    sources: tuple[str, ...]
    similar: bool


def find(db: Database, project_id: str, filter: Filter, sort: str = "imported", page: int = 1) -> Page:
    """A page of the examples that fit; the last where there are fewer pages. Raises BadInput, NotFound."""
    check(filter)
    began = time.perf_counter()
    number = max(1, page)
    rows, total = search(db, project_id, filter, sort, (number - 1) * PAGE_ROWS, PAGE_ROWS)
    if not rows and total:
        number = -(-total // PAGE_ROWS)
        rows, total = search(db, project_id, filter, sort, (number - 1) * PAGE_ROWS, PAGE_ROWS)
    return Page(tuple(rows), number, total, 1000 * (time.perf_counter() - began))


def check(filter: Filter) -> None:
    """Raises BadInput for a filter that cannot be meant."""
    if filter.since and filter.until and filter.since >= filter.until:
        raise BadInput("The first day comes after the last: change one of them.")
    too_short = mark("The shortest prompt is longer than the longest: change one of them.")
    too_brief = mark("The shortest answer is longer than the longest: change one of them.")
    for low, high, advice in (
        (filter.prompt_min, filter.prompt_max, too_short),
        (filter.answer_min, filter.answer_max, too_brief),
    ):
        if low is not None and high is not None and low > high:
            raise BadInput(advice)


def choices(db: Database, project_id: str) -> Choices:
    """What the filters of a project offer. Raises NotFound."""
    project = get_project(db, project_id)
    answers: tuple[str, ...] = ()
    if project.task in ("classification", "multi-label"):
        answers = tuple(label.name for label in project.settings.labels)
    elif project.task == "rating":
        answers = tuple(str(number) for number in range(1, project.settings.rating_max + 1))
    elif project.task == "preference":
        answers = ("A", "B", "tie")
    people = tuple(list_annotators(db, project_id))
    return Choices(answers, people, tuple(list_suggestion_sources(db, project_id)), count_vectors(db, project_id) > 0)


def warm(db: Database, project_id: str) -> None:
    """Make what searches need ready on a thread of its own, so that the first one does not wait for it."""

    def work() -> None:
        try:
            mirrored(db, project_id)
        except StudioError:
            return  # the search itself will say why

    threading.Thread(target=work, name="finding", daemon=True).start()


def put_back(db: Database, user: User, project_id: str, example_ids: Sequence[str]) -> int:
    """Put labeled, dropped, skipped and flagged examples back into the queue; their acts stay. How many were.

    An answer is sent back to whoever takes the example next; a skip or a flag is taken back. Raises BadInput,
    NotAllowed, NotFound.
    """
    ids = _checked(user, example_ids)
    settings = get_project(db, project_id).settings
    rules = Rules(settings.overlap, settings.review)
    count = send_again(db, user.name, project_id, ids, "Put back from the Data tab.")
    for example in get_examples(db, ids):
        if example.project_id == project_id and example.status in ("skipped", "flagged"):
            count += _take_back(db, user, example.id, rules)
    return count


def _take_back(db: Database, user: User, example_id: str, rules: Rules) -> bool:
    with db.write() as cursor:
        acts = newest_acts(acts_on(cursor, example_id)).values()
        taken = [act for act in acts if act.action in ("skip", "flag")]
        for act in taken:
            take_back(cursor, act, rules)
        if taken:
            record_in(cursor, user.name, "put back", taken[0].project_id, example_id)
            db.touch(taken[0].project_id)
    return bool(taken)


def set_priority(db: Database, user: User, project_id: str, example_ids: Sequence[str], priority: float) -> int:
    """Set the priority of some examples: higher comes first in a queue by priority. How many there are.

    Raises BadInput, NotAllowed.
    """
    ids = _checked(user, example_ids)
    if not isfinite(priority) or abs(priority) > 1e6:
        raise BadInput("A priority is a number from -1,000,000 to 1,000,000.")
    return priorities.set_priority(db, user.name, project_id, ids, priority)


def _checked(user: User, example_ids: Sequence[str]) -> list[str]:
    if user.role not in _MAY_CHANGE:
        raise NotAllowed("Only reviewers and admins change the queue.")
    ids = list(dict.fromkeys(example_ids))
    if not ids:
        raise BadInput("Choose examples first: each row has a box.")
    if len(ids) > _MOST_CHANGED:
        raise BadInput(tr("At most {most:,} examples at once.", most=_MOST_CHANGED))
    return ids
