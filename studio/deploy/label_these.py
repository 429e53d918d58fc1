""" "Label these": served requests that went badly become examples to label, with the model's answer as suggestion.

Which: those with a thumb down, those about topics that nothing was trained on, and those the model was unsure of. Each
request is taken once, prompts that are the same become one example, and a prompt (or a conversation that goes on from
one) that the project knows is put into one group with the example it is of: so what is held out stays held out,
whatever is labeled here. What it leaves out: requests whose text was not kept, for there is nothing to label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from storage.audit import record_in
from storage.comparison_examples import group_with, origin_of
from storage.database import Database, aware
from storage.database import now as stored_now
from storage.projects import get_project
from storage.records import Example, Project, Turn
from storage.served_prompts import (
    SOURCE,
    add_served_draft,
    as_served,
    asked_like,
    asked_like_pattern,
    count_taken,
    insert_example,
    note_taken,
    requests_of,
    taken_of,
    waiting_example,
)
from storage.serving_records import KeptRequest
from storage.traffic import get_kept, low_rated, unsure
from storage.watches import newest_drift
from studio.contract.answers import TEXT_LIMIT, unsafe_text
from studio.contract.prompt_keys import content_key
from studio.errors import BadInput
from studio.jobs.drafts import Reply, suggestion_of
from studio.language import mark, tr

__all__ = ["REASONS", "Labeled", "candidates", "count_taken", "label_these", "requests_of"]

REASONS = {"low-rated": mark("Thumb down"), "drifting": mark("New topic"), "unsure": mark("Low confidence")}
"""Why a request is worth labeling, the strongest reason first: key and the words that a screen shows."""

UNSURE_BELOW = 0.5
"""Mean probability of an answer's tokens below which a model was unsure."""

SINCE = timedelta(days=30)
_BLURRED = re.compile(r"\[[A-Z][A-Z_]*_\d+\]| …$")
"""What the server puts in the place of personal data, and of the end of a long text: anything may have stood there."""

_PRIORITY = {"low-rated": 3.0, "drifting": 2.0, "unsure": 1.0}


@dataclass(frozen=True)
class Candidate:
    """A request that could be labeled, and why."""

    request: KeptRequest
    reason: str


@dataclass
class Labeled:
    """What became of the candidates: new `examples`, requests that were added to one that `waiting` already, requests
    `taken` in all; `left_out`: no prompt of a user's, or a text that cannot be stored."""

    examples: list[str] = field(default_factory=list)
    waiting: int = 0
    taken: int = 0
    left_out: int = 0


def candidates(
    db: Database,
    project_id: str,
    now: datetime,
    reasons: Sequence[str] = tuple(REASONS),
    since: timedelta = SINCE,
    most: int = 200,
    unsure_below: float = UNSURE_BELOW,
) -> list[Candidate]:
    """The requests worth labeling, each with its strongest reason, at most `most`. Raises BadInput for a reason that is
    not in REASONS."""
    if unknown := [one for one in reasons if one not in REASONS]:
        told = tr("There is no reason '{name}'; there are: {known}.", name=unknown[0], known=", ".join(REASONS))
        raise BadInput(told)
    start = now - since
    found: dict[str, Candidate] = {}
    for reason in (one for one in REASONS if one in reasons):
        if reason == "low-rated":
            rows = low_rated(db, project_id, start, most)
        elif reason == "drifting":
            rows = [one for one in get_kept(db, project_id, _drifting(db, project_id)) if one.at >= start]
        else:
            rows = unsure(db, project_id, start, unsure_below, most)
        for row in rows:
            found.setdefault(row.id, Candidate(row, reason))
    taken = taken_of(db.cursor(), list(found))
    return [one for key, one in found.items() if key not in taken][:most]


def label_these(db: Database, user: str, project_id: str, chosen: Sequence[Candidate]) -> Labeled:
    """Make examples of requests, all or none; those taken meanwhile are passed over. Raises BadInput, NotFound."""
    project = get_project(db, project_id)
    if project.task == "preference":
        raise BadInput("A preference needs two answers, and a request has one: vote on answers in Compare instead.")
    own = [one for one in chosen if one.request.project_id == project_id]
    known = _known_prompts(db, project_id, [one.request for one in own])
    done = Labeled()
    with db.write() as cursor:
        taken = taken_of(cursor, [one.request.id for one in own])
        made: dict[str, str] = {}
        for one in own:
            if one.request.id not in taken:
                taken.add(one.request.id)
                _take(db, cursor, user, project, one, known, made, done)
        if done.taken:
            record_in(cursor, user, "requests label", project_id, requests=done.taken, examples=len(done.examples))
            db.touch(project_id)
    return done


def _take(
    db: Database,
    cursor: Any,
    user: str,
    project: Project,
    one: Candidate,
    known: dict[str, str],
    made: dict[str, str],
    done: Labeled,
) -> None:
    prompt = _own_turns(project, one.request.prompt)
    if not _storable(prompt):
        done.left_out += 1
        return
    key = content_key(prompt, "")
    example_id = made.get(key)
    if example_id is None:
        example_id = waiting_example(cursor, project.id, key)
        if example_id is None:
            group = _group(cursor, project, one.request, prompt, known)
            example_id = insert_example(cursor, project.id, prompt, key, group, _PRIORITY[one.reason])
            done.examples.append(example_id)
        else:
            done.waiting += 1
        made[key] = example_id
        _suggest(cursor, project, example_id, prompt, one.request)
    note_taken(cursor, one.request.id, example_id, project.id, one.reason, user)
    done.taken += 1


def _suggest(cursor: Any, project: Project, example_id: str, prompt: Sequence[Turn], request: KeptRequest) -> None:
    example = Example(
        *(example_id, project.id, 0, tuple(prompt), "", {}, SOURCE, "todo", None, 0, "", None, aware(stored_now()))
    )
    draft = suggestion_of(project, example, SOURCE, Reply(request.answer, None))
    if draft:
        unsure_by = None if request.confidence is None else 1 - request.confidence
        add_served_draft(cursor, project.id, example_id, draft.response, draft.value, unsure_by)


def _group(cursor: Any, project: Project, request: KeptRequest, prompt: Sequence[Turn], known: dict[str, str]) -> str:
    """The group of the example that a request asks, or goes on from; '' where the project knows none."""
    begun = _beginnings(request.prompt)
    origin = next((known[key] for key in reversed(begun) if key in known), None)
    if origin is None:
        asked = [content_key(prompt[: at + 1], "") for at, turn in enumerate(prompt) if turn.role == "user"]
        found = origin_of(cursor, project.id, None, [*asked, *begun])
        origin = found.id if found else None
    return group_with(cursor, origin) if origin else ""


def _known_prompts(db: Database, project_id: str, requests: Sequence[KeptRequest]) -> dict[str, str]:
    """The examples whose prompt one of the requests is or goes on from, by the key of it as it was served."""
    texts = {turn.content for request in requests for turn in request.prompt if turn.role == "user"}
    found: dict[str, str] = {}
    for example_id, prompt in asked_like(db, project_id, sorted(texts)) if texts else ():
        found.setdefault(content_key(prompt, ""), example_id)
    blurred = sorted({_like(text) for text in texts if _BLURRED.search(text)})
    known = asked_like_pattern(db, project_id, blurred) if blurred else []
    for request in requests if known else ():
        said = as_served(request.prompt, "")
        for at in (at for at, turn in enumerate(said) if turn.role == "user"):
            begun = said[: at + 1]
            origin = next((one for one, prompt in known if _may_be(begun, prompt)), None)
            if origin:
                found.setdefault(content_key(begun, ""), origin)
    return found


def _may_be(asked: Sequence[Turn], known: Sequence[Turn]) -> bool:
    """Whether a prompt, as it was kept, may be that of an example."""
    return len(asked) == len(known) and all(
        one.role == other.role and re.fullmatch(_pattern(one.content), other.content.strip(), re.DOTALL)
        for one, other in zip(asked, known, strict=True)
    )


def _pattern(text: str) -> str:
    return ".*".join(re.escape(part) for part in _BLURRED.split(text.strip()))


def _like(text: str) -> str:
    parts = (re.sub(r"([\\%_])", r"\\\1", part) for part in _BLURRED.split(text.strip()))
    return "%".join(parts)


def _beginnings(prompt: Sequence[Turn]) -> list[str]:
    """The keys of each beginning of a prompt up to a user turn, without system turns."""
    said = as_served(prompt, "")
    return [content_key(said[: at + 1], "") for at, turn in enumerate(said) if turn.role == "user"]


def _own_turns(project: Project, prompt: Sequence[Turn]) -> tuple[Turn, ...]:
    """What was asked as an example of the project has it: without the project's own system prompt."""
    first = prompt[0] if prompt else None
    own = first is not None and first.role == "system" and first.content.strip() == project.system_prompt
    return tuple(prompt[1:] if own else prompt)


def _storable(prompt: Sequence[Turn]) -> bool:
    return (
        bool(prompt)
        and prompt[-1].role == "user"
        and bool(prompt[-1].content.strip())
        and all(len(turn.content) <= TEXT_LIMIT and not unsafe_text(turn.content) for turn in prompt)
    )


def _drifting(db: Database, project_id: str) -> list[str]:
    """The requests of the new topics that the newest look at the prompts found."""
    found = newest_drift(db, project_id)
    topics = found.report.get("topics") if found else None
    if not isinstance(topics, list):
        return []
    return [str(one) for topic in topics if isinstance(topic, dict) for one in topic.get("requests", [])]
