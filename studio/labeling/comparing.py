"""Comparisons of models' answers: kept, voted on blind by one or many, ranked; and the loop closed by what they make.

A vote becomes a preference and a corrected answer a labeled pair (studio.labeling.comparison_examples), in the same
transaction. Any role may compare, vote and correct. What it leaves out: asking the models (studio.jobs.comparison).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from storage import comparisons as rows
from storage.audit import record_in
from storage.comparison_examples import preference_project as stored_preference_project
from storage.comparisons import (
    count_comparisons,
    find_comparison,
    get_comparison,
    list_comparisons,
)
from storage.database import Database
from storage.examples import get_example
from storage.projects import get_project
from storage.records import Comparison, Project, Side, Turn, User, Vote
from studio.contract.answers import TEXT_LIMIT, unsafe_text
from studio.contract.prompt_keys import Spoken
from studio.errors import BadInput, NotAllowed
from studio.labeling.comparison_examples import drop_vote, make_fix, prompt_keys, take_vote
from studio.labeling.standings import Standings, standings
from studio.language import mark, tr

__all__ = [
    "CHOICES",
    "Comparison",
    "Side",
    "Standings",
    "Vote",
    "count_comparisons",
    "find_comparison",
    "fix_answer",
    "get_comparison",
    "list_comparisons",
    "next_to_vote",
    "preference_project",
    "save_comparison",
    "shuffled",
    "standings",
    "undo_vote",
    "vote",
    "votes_on",
]

CHOICES = rows.CHOICES
"""What a voter can press: left, right, tie, bad (both are bad)."""

MOST_SIDES = 8
_MOST_TURNS = 1_000
_MOST_SECONDS = 1e6
_MAY = ("annotator", "reviewer", "admin")


def save_comparison(
    db: Database,
    user: User,
    project_id: str,
    messages: Sequence[Spoken],
    sides: Sequence[Side],
    sampling: Mapping[str, object],
    example_id: str | None = None,
) -> Comparison:
    """Keep several models' answers to one prompt. `messages` is what was asked, a system turn included, as Messages or
    Turns; `example_id` the example whose prompt begins it, if it is one's.

    Raises NotFound, NotAllowed, and BadInput for fewer than two sides or texts that cannot be stored.
    """
    _check_role(user)
    project = get_project(db, project_id)
    if example_id is not None and get_example(db, example_id).project_id != project_id:
        raise BadInput("This prompt is of another project: compare it there.")
    turns = _checked_turns(messages)
    if not 2 <= len(sides) <= MOST_SIDES:
        raise BadInput(
            tr("A comparison has 2 to {most} answers; this one has {count}.", most=MOST_SIDES, count=len(sides))
        )
    kept = [_clean(side) for side in sides]
    with db.write() as cursor:
        keys = prompt_keys(db, project, turns, example_id)
        made = rows.add_comparison(cursor, user.name, project_id, turns, kept, sampling, example_id, keys)
        record_in(cursor, user.name, "comparison save", project_id, made.id, sides=[side.name for side in kept])
    return made


def vote(db: Database, user: User, comparison_id: str, left: int, right: int, choice: str, blind: bool = True) -> Vote:
    """Vote between two sides of a comparison by their places; a second vote of a person on the same two takes the
    first one's place. What it makes is as the project's `votes_to` says.

    Raises BadInput, NotFound, NotAllowed.
    """
    _check_role(user)
    if choice not in CHOICES:
        raise BadInput(tr("A vote is one of {choices}.", choices=", ".join(CHOICES)))
    comparison = get_comparison(db, comparison_id)
    for side in (left, right):
        _check_side(comparison, side)
    if left == right:
        raise BadInput("A vote is between two different answers: choose two.")
    project = get_project(db, comparison.project_id)
    with db.write() as cursor:
        given = rows.add_vote(cursor, user.name, comparison, left, right, choice, blind)
        answer_id = take_vote(db, cursor, project, comparison, given)
        record_in(
            cursor, user.name, "comparison vote", project.id, comparison.id,
            choice=choice, left=comparison.sides[left].name, right=comparison.sides[right].name, blind=blind,
        )  # fmt: skip
    return replace(given, annotation_id=answer_id)


def undo_vote(db: Database, user: User, project_id: str, comparison_id: str | None = None) -> Vote | None:
    """Take back one's newest vote in a project, or on one comparison of it; the vote, or None where there is none.

    The vote before it on the same two sides stands again. The example made of it goes too, unless somebody worked on
    it. Raises NotFound, NotAllowed.
    """
    _check_role(user)
    project = get_project(db, project_id)
    with db.write() as cursor:
        taken = rows.newest_vote(cursor, user.name, project_id, comparison_id)
        if taken is None:
            return None
        comparison = rows.read_comparison(cursor, taken.comparison_id)
        rows.add_vote(cursor, user.name, comparison, taken.left, taken.right, "undo", taken.blind, taken.id)
        drop_vote(db, cursor, project, comparison, taken)
        record_in(cursor, user.name, "comparison vote undo", project_id, comparison.id, choice=taken.choice)
    return taken


def fix_answer(db: Database, user: User, comparison_id: str, side: int, response: str, value: str = "") -> str:
    """Make a labeled pair of what was asked and the corrected answer of one side; the id of its example. Correcting the
    same side again is a revision of one's own answer. In a preference project the correction is preferred to the side.

    Raises BadInput (an answer that the task does not allow), NotFound, NotAllowed.
    """
    _check_role(user)
    comparison = get_comparison(db, comparison_id)
    _check_side(comparison, side)
    project = get_project(db, comparison.project_id)
    with db.write() as cursor:
        example_id = make_fix(db, cursor, user.name, project, comparison, side, response, value)
        record_in(
            cursor, user.name, "comparison fix", project.id, comparison.id,
            example=example_id, side=comparison.sides[side].name,
        )  # fmt: skip
    return example_id


def next_to_vote(db: Database, user: User, project_id: str, after: int = 0) -> Comparison | None:
    """The oldest comparison behind number `after` (from the first again at the end) on which this user has no vote."""
    return rows.next_unvoted(db, project_id, user.name, after)


def votes_on(db: Database, comparison_id: str) -> list[Vote]:
    """The votes on a comparison that stand, oldest first."""
    return rows.votes_on(db.cursor(), comparison_id)


def preference_project(db: Database, project_id: str) -> Project | None:
    """Where the votes of a project become preferences: itself, where that is its task, else a project that the first
    vote makes; None before that. Raises NotFound."""
    project = get_project(db, project_id)
    return project if project.task == "preference" else stored_preference_project(db, project_id)


def shuffled(comparison_id: str, user: str, count: int) -> tuple[int, ...]:
    """The places of a comparison's sides in the order in which this person sees them: always the same for the two,
    and as good as random over comparisons and people, so that a place tells nothing."""

    def key(place: int) -> bytes:
        return hashlib.sha256(f"{comparison_id}\0{user}\0{place}".encode("utf-8", "replace")).digest()

    return tuple(sorted(range(count), key=key))


def _check_role(user: User) -> None:
    if user.role not in _MAY:
        raise NotAllowed("Log in as an annotator, a reviewer or an admin to compare and vote.")


def _check_side(comparison: Comparison, side: int) -> None:
    if not 0 <= side < len(comparison.sides):
        few = mark("This comparison has {count} answers, counted from 0: choose one of them.")
        raise BadInput(tr(few, count=len(comparison.sides)))


def _checked_turns(messages: Sequence[Spoken]) -> list[Turn]:
    turns = [Turn(str(message.role), message.content, message.extra) for message in messages]
    if not any(turn.role == "user" and turn.content.strip() for turn in turns):
        raise BadInput("Write a prompt first: there is nothing that was asked.")
    if len(turns) > _MOST_TURNS or sum(len(turn.content) for turn in turns) > TEXT_LIMIT:
        raise BadInput(tr("The conversation is too long to be kept: at most {most:,} characters are.", most=TEXT_LIMIT))
    for turn in turns:
        if problem := unsafe_text(turn.content):
            raise BadInput(tr("What was asked cannot be saved: {problem}. Remove that character.", problem=tr(problem)))
    return turns


def _clean(side: Side) -> Side:
    """A side with a model's text as it can be stored: a model may write anything."""
    told = _storable(side.text)[:TEXT_LIMIT]
    names = (_storable(side.run_id), _storable(side.name)[:200], _storable(side.weights)[:500])
    return Side(*names, told, max(0, int(side.tokens)), min(max(0.0, float(side.seconds)), _MOST_SECONDS))


def _storable(text: Any) -> str:
    return str(text).replace("\0", "\ufffd").encode("utf-8", "replace").decode()
