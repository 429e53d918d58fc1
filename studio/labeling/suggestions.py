"""What annotators make of a model's drafts: the offer on a card, the outcome of each, and the rate by source.

An outcome is `accepted` (submitted as it was), `edited`, or `rejected`: skipped, another label or choice, or a text of
which more than 60 % of the longer one was changed. A flag says something of the example, so it decides nothing.
What it leaves out: making suggestions (studio.jobs.suggesting).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from storage.database import Database, aware, now
from storage.records import Annotation, Example, Suggestion
from storage.runs import run_number
from storage.suggestions import (
    SourceRate,
    accepted_share,
    find_suggestion,
    forget_outcome,
    list_rates,
    newest_suggestion,
    write_outcome,
)
from studio.language import tr

__all__ = ["Offer", "SourceRate", "decide", "judge", "offer_for", "rates", "suggestion_for", "undecide", "week_rate"]

REJECTED_SHARE = 0.6
"""A text of which more than this share was changed was written anew."""

CHOICE_TASKS = ("classification", "rating", "preference")
"""Tasks whose answer is a choice: another one is no edit of the first."""

_EXACT_CHARACTERS = 10_000
_RATE_SECONDS = 30.0
_RATES: WeakKeyDictionary[Database, dict[tuple[str, str], tuple[float, float | None]]] = WeakKeyDictionary()
"""Rates of the last seven days, asked for by every card, kept for half a minute."""

_NUMBERS: WeakKeyDictionary[Database, dict[str, int | None]] = WeakKeyDictionary()
"""Runs that are sources, by their number on a card, which never changes."""


@dataclass(frozen=True)
class Offer:
    """A suggestion as a card shows it: `source` is what people call it, `rate` the share of that source that was
    accepted in seven days, 0 to 1.
    """

    id: str
    response: str
    value: str
    source: str
    rate: float | None
    uncertainty: float | None


def offer_for(db: Database, example: Example) -> Offer | None:
    """What a card offers: the newest suggestion of the source that the project has chosen, with its rate."""
    found = suggestion_for(db, example.id)
    if found is None:
        return None
    rate = week_rate(db, found.project_id, found.source)
    return Offer(found.id, found.response, found.value, _words(db, found.source), rate, found.uncertainty)


def _words(db: Database, source: str) -> str:
    """A source as people call it: a run by its number."""
    numbers = _NUMBERS.setdefault(db, {})
    if source not in numbers:
        numbers[source] = run_number(db, source.removeprefix("run:")) if source.startswith("run:") else None
    number = numbers[source]
    return source if number is None else tr("run {number}", number=number)


def suggestion_for(db: Database, example_id: str) -> Suggestion | None:
    """The newest suggestion for an example from its project's source; None without any."""
    return newest_suggestion(db, example_id)


def decide(cursor: Any, suggestion_id: str, annotation: Annotation) -> str | None:
    """Note, in the act's own transaction, what the annotator made of the suggestion on the screen; the outcome.

    An id that is unknown or of another example is passed over: it came from a browser.
    """
    found = find_suggestion(cursor, suggestion_id)
    if found is None or annotation.action not in ("submit", "skip"):
        return None
    suggestion, task = found
    if suggestion.example_id != annotation.example_id:
        return None
    outcome, distance = judge(task, suggestion, annotation)
    write_outcome(cursor, suggestion, annotation.annotator, outcome, distance)
    return outcome


def undecide(cursor: Any, suggestion_id: str, annotator: str | None = None) -> None:
    """Take the outcome back with the act; `annotator` is whose act it was (needed where several decide on one)."""
    forget_outcome(cursor, suggestion_id, annotator)


def judge(task: str, suggestion: Suggestion, annotation: Annotation) -> tuple[str, int | None]:
    """Outcome and distance: characters changed, or labels changed for several labels; None where there is no edit."""
    if annotation.action == "skip":
        return "rejected", None
    if _same(suggestion.response, annotation.response) and _same_value(suggestion.value, annotation.value):
        return "accepted", 0
    if task in CHOICE_TASKS:
        return "rejected", None
    if task == "multi-label":
        before, after = set(suggestion.response.split("\n")), set(annotation.response.split("\n"))
        return ("edited" if before & after else "rejected"), len(before ^ after)
    old, new = _texts(suggestion.response, suggestion.value), _texts(annotation.response, annotation.value)
    distance = edit_distance(old, new)
    return ("rejected" if distance > REJECTED_SHARE * max(len(old), len(new)) else "edited"), distance


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance in characters. What two long texts share at both ends costs nothing; of more than 10,000
    differing characters the length is given, which is the distance at most.

    Myers, "A fast bit-vector algorithm for approximate string matching" (1999), one row of the table in one integer.
    """
    a, b = _differing(a, b)
    if not a or not b:
        return len(a) or len(b)
    if max(len(a), len(b)) > _EXACT_CHARACTERS:
        return max(len(a), len(b))
    places: dict[str, int] = {}
    for at, letter in enumerate(a):
        places[letter] = places.get(letter, 0) | 1 << at
    whole, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    plus, minus, distance = whole, 0, len(a)
    for letter in b:
        match = places.get(letter, 0)
        diagonal = (((match & plus) + plus) ^ plus) | match | minus
        up = minus | ~(diagonal | plus) & whole
        down = plus & diagonal
        distance += bool(up & last) - bool(down & last)
        up = (up << 1 | 1) & whole
        down = down << 1 & whole
        plus, minus = down | ~(diagonal | up) & whole, up & diagonal
    return distance


def rates(db: Database, project_id: str) -> list[SourceRate]:
    """What became of suggestions, by source and day: a live measure of each model."""
    return list_rates(db, project_id)


def week_rate(db: Database, project_id: str, source: str) -> float | None:
    """Share of a source's suggestions accepted as they were in the last seven days (at most half a minute old)."""
    kept = _RATES.setdefault(db, {})
    at, rate = kept.get((project_id, source), (-_RATE_SECONDS, None))
    if time.monotonic() - at >= _RATE_SECONDS:
        rate = accepted_share(db, project_id, source, _week_ago())
        kept[project_id, source] = (time.monotonic(), rate)
    return rate


def _week_ago() -> datetime:
    return aware(now()) - timedelta(days=7)


def _differing(a: str, b: str) -> tuple[str, str]:
    """Both texts without what they share at their begin and end."""
    shortest = min(len(a), len(b))
    head = next((at for at in range(shortest) if a[at] != b[at]), shortest)
    a, b = a[head:], b[head:]
    shortest = min(len(a), len(b))
    tail = next((at for at in range(shortest) if a[-1 - at] != b[-1 - at]), shortest)
    return a[: len(a) - tail], b[: len(b) - tail]


def _same(a: str, b: str) -> bool:
    return a.strip() == b.strip()


def _same_value(a: str, b: str) -> bool:
    """Whether two structured answers say the same; one without structure says what its response does."""
    if not a or not b:
        return True
    return bool(json.loads(a) == json.loads(b))


def _texts(response: str, value: str) -> str:
    """What an edit is measured on: the text, of a conversation all of its turns."""
    turns = json.loads(value).get("turns") if value else None
    return "\n".join(str(turn.get("content", "")) for turn in turns) if isinstance(turns, list) else response
