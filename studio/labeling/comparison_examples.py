"""What votes and corrected answers become: a preference that each voter answers, a labeled pair, each with its origin.

A project whose answers are no preferences keeps those that its votes make in a project of their own, of which a DPO run
can go on from any run. Held-out prompts stay held out: what was made of them is in one group with the example that they
are of, and in another project it is held out as soon as that example is (storage.comparison_examples).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from storage.annotations import Act, Rules, append_act
from storage.audit import record_in
from storage.comparison_examples import (
    SOURCE,
    Made,
    add_draft_answer,
    add_made,
    bring_back,
    find_made,
    group_with,
    is_worked_on,
    keys_of,
    origin_of,
    preference_project,
    set_preference_project,
    standing_answer,
    status_of,
    take_answer_back,
    withdraw,
)
from storage.comparisons import name_answer, votes_on
from storage.database import Database
from storage.examples import get_example
from storage.projects import insert_project, list_projects
from storage.records import Comparison, Example, Project, Settings, Turn, Vote
from studio.contract.answers import TEXT_LIMIT, Preference, encode_preference, unsafe_text
from studio.contract.prompt_keys import content_key
from studio.errors import BadInput
from studio.labeling.answers import check_answer
from studio.language import mark, tr

_NAME_LIMIT = 120


def prompt_keys(db: Database, project: Project, turns: Sequence[Turn], example_id: str | None) -> list[str]:
    """The content keys by which a project knows what was asked: of each beginning up to a user turn, and of the example
    it is of. So a chat that goes on from a held-out prompt is known too."""
    own = _own_turns(project, turns)
    keys = [content_key(own[: at + 1], "") for at, turn in enumerate(own) if turn.role == "user"]
    if example_id is not None:
        example = get_example(db, example_id)
        keys += [example.content_key, content_key(example.prompt, example.context)]
    return list(dict.fromkeys(keys))


def take_vote(db: Database, cursor: Any, project: Project, comparison: Comparison, vote: Vote) -> str | None:
    """Make the preference of a vote, or answer the one that earlier votes on the same sides made, within an open
    transaction; the id of the vote's answer. Nothing is made of ties alone, nor of two equal answers."""
    if project.settings.votes_to == "nowhere":
        return None
    low, high = vote.pair
    made = find_made(cursor, comparison.id, "vote", low, high)
    votes = [one for one in votes_on(cursor, comparison.id) if one.pair == vote.pair]
    if made is None or made.withdrawn:
        if not _decided(votes) or not _differ(comparison, low, high):
            return None
    else:
        votes = [vote]
    target = _target(db, cursor, project, vote.user) if made is None else _project_of(db, project, made)
    if made is None:
        wanted = Made("", target.id, comparison.id, "vote", low, high, "", False)
        made = _make(cursor, project, target, comparison, wanted)
    elif made.withdrawn:
        bring_back(cursor, made)
    given: dict[str, str] = {}
    if project.settings.votes_to == "review":
        given = {one.id: _answer(cursor, comparison, made, one, _rules(project, target)) for one in votes}
    db.touch(target.id)
    return given.get(vote.id)


def _answer(cursor: Any, comparison: Comparison, made: Made, vote: Vote, rules: Rules) -> str:
    """Give a vote as an answer to its preference; the answer's id."""
    response = _choice(comparison, vote)
    value = encode_preference(Preference(response))
    acted = append_act(cursor, Act(made.example_id, vote.user, "submit", response, value, source=SOURCE), rules)
    name_answer(cursor, vote.id, acted.annotation.id)
    return acted.annotation.id


def drop_vote(db: Database, cursor: Any, project: Project, comparison: Comparison, vote: Vote) -> None:
    """What a vote that was taken back leaves of its preference, within an open transaction: without other votes
    nothing, unless somebody worked on it; then it stays as it is."""
    made = find_made(cursor, comparison.id, "vote", *vote.pair)
    rest = [one for one in votes_on(cursor, comparison.id) if one.pair == vote.pair]
    if made is None or made.withdrawn:
        if _decided(rest):  # the vote before it stands again
            take_vote(db, cursor, project, comparison, rest[-1])
        return
    if is_worked_on(cursor, made.example_id):
        return
    target = _project_of(db, project, made)
    if not _decided(rest):
        withdraw(cursor, made)
    elif vote.annotation_id:
        rules = _rules(project, target)
        take_answer_back(cursor, vote.annotation_id, made, rules.overlap, rules.asks_review)
    db.touch(target.id)


def make_fix(
    db: Database,
    cursor: Any,
    user: str,
    project: Project,
    comparison: Comparison,
    side: int,
    response: str,
    value: str,
) -> str:
    """Make a labeled pair of a corrected answer, or revise the one that this person made before, within an open
    transaction; the example's id. Raises BadInput."""
    queued = project.settings.votes_to == "queue"
    made = _earlier_fix(cursor, comparison, side, user, queued)
    wanted = Made("", project.id, comparison.id, "fix", side, side, user, False)
    if project.task == "preference":
        response = _checked_text(response)
        if response.strip() == comparison.sides[side].text.strip():
            raise BadInput("This is the answer as it was: change it, then save.")
        if made and not is_worked_on(cursor, made.example_id):
            withdraw(cursor, made)
        payload = {"a": response, "b": comparison.sides[side].text}
        made = _make(cursor, project, project, comparison, wanted, payload)
        response, value = "A", encode_preference(Preference("A"))
    else:
        response, value = check_answer(project, _asked_example(db, cursor, project, comparison), response, value)
        made = made or _make(cursor, project, project, comparison, wanted)
    if queued:
        add_draft_answer(cursor, project.id, made.example_id, response, value)
    else:
        before = standing_answer(cursor, made.example_id, user)
        base = before.id if before else None
        act = Act(made.example_id, user, "submit", response, value, source=SOURCE, base=base)
        append_act(cursor, act, _rules(project, project))
    db.touch(project.id)
    return made.example_id


def _earlier_fix(cursor: Any, comparison: Comparison, side: int, user: str, queued: bool) -> Made | None:
    """This person's correction of this side that can be revised: one that is there still, and waits where it is for
    the queue."""
    made = find_made(cursor, comparison.id, "fix", side, side, user)
    status = status_of(cursor, made) if made else "dropped"
    return None if status == "dropped" or (queued and status != "todo") else made


def _rules(project: Project, target: Project) -> Rules:
    """How the state of an example of `target` follows from what the votes of `project` make of it: in a project of
    their own its settings say whether a reviewer has to see it, else where votes go."""
    own = target.id == project.id and project.settings.votes_to == "review"
    return Rules(target.settings.overlap, own or target.settings.review)


def _target(db: Database, cursor: Any, project: Project, user: str) -> Project:
    """The project in which the votes of `project` become preferences; made where there is none."""
    if project.task == "preference":
        return project
    if found := preference_project(db, project.id):
        return found
    taken = {one.name.lower() for one in list_projects(db, archived=True)}
    stem = f"{project.name[: _NAME_LIMIT - 20]}: preferences"
    name = next(one for one in (stem, *(f"{stem} {n}" for n in range(2, 10_000))) if one.lower() not in taken)
    settings = Settings(review=project.settings.votes_to == "review")
    guidelines = f"Which answer is better? These come from votes in Compare on answers of {project.name}."
    made = insert_project(cursor, name, "preference", "", guidelines, settings, user)
    set_preference_project(cursor, project.id, made.id)
    record_in(cursor, user, "project create", made.id, name, task="preference", votes_of=project.name)
    return made


def _project_of(db: Database, project: Project, made: Made) -> Project:
    if made.project_id == project.id:
        return project
    found = preference_project(db, project.id)
    assert found is not None  # it is never deleted
    return found


def _make(
    cursor: Any,
    project: Project,
    target: Project,
    comparison: Comparison,
    wanted: Made,
    payload: Mapping[str, str] | None = None,
) -> Made:
    """Make an example of what a comparison asked; for votes with the two answers to choose from."""
    prompt, context, group = _own_turns(target, comparison.messages), "", ""
    if target.id == project.id:
        origin = origin_of(cursor, project.id, comparison.example_id, keys_of(cursor, comparison.id))
        if origin:
            group = group_with(cursor, origin.id)
            if _asks(project, origin) == [(turn.role, turn.content) for turn in comparison.messages]:
                prompt, context = list(origin.prompt), origin.context
    if wanted.kind == "vote":
        first, second = (comparison.sides[place].text for place in _sides(comparison, wanted.low, wanted.high))
        payload = {"a": first, "b": second}
    key = content_key(prompt, context, payload)
    return add_made(cursor, wanted, prompt, context, payload or {}, key, group)


def _asked_example(db: Database, cursor: Any, project: Project, comparison: Comparison) -> Example:
    """An example that asks what a comparison asked, for checking an answer to it."""
    turns = tuple(_own_turns(project, comparison.messages))
    return Example(*("", project.id, 0, turns, "", {}, SOURCE, "todo", None, 0, "", None, comparison.created_at))


def _own_turns(project: Project, messages: Sequence[Turn]) -> list[Turn]:
    """What was asked as an example of a project has it: without the project's own system prompt."""
    first = messages[0] if messages else None
    own = first is not None and first.role == "system" and first.content == project.system_prompt
    return [*messages[1:]] if own else [*messages]


def _asks(project: Project, example: Example) -> list[tuple[str, str]]:
    """What a model is asked with by an example: the system prompt, then its turns, the context before the last user
    turn (as studio.data.prompts puts it)."""
    turns = [(turn.role, turn.content) for turn in example.prompt]
    last = max((at for at, turn in enumerate(turns) if turn[0] == "user"), default=None)
    if example.context and last is not None:
        turns[last] = ("user", f"{example.context}\n\n{turns[last][1]}")
    if project.system_prompt and not (turns and turns[0][0] == "system"):
        turns.insert(0, ("system", project.system_prompt))
    return turns


def _sides(comparison: Comparison, low: int, high: int) -> tuple[int, int]:
    """Which side is A and which B: by chance, so that A is not always the base model, but always the same."""
    digest = hashlib.sha256(f"{comparison.id}\0{low}\0{high}".encode()).digest()
    return (low, high) if digest[0] % 2 else (high, low)


def _choice(comparison: Comparison, vote: Vote) -> str:
    """A vote as the answer to its preference: A, B or tie (both bad is one too)."""
    if vote.choice in ("tie", "bad"):
        return "tie"
    winner = vote.left if vote.choice == "left" else vote.right
    return "A" if winner == _sides(comparison, *vote.pair)[0] else "B"


def _decided(votes: Sequence[Vote]) -> bool:
    return any(vote.choice in ("left", "right") for vote in votes)


def _differ(comparison: Comparison, low: int, high: int) -> bool:
    first, second = (comparison.sides[place].text.strip() for place in (low, high))
    return bool(first and second) and first != second


def _checked_text(text: str) -> str:
    if problem := unsafe_text(text):
        raise BadInput(tr("The answer cannot be saved: {problem}. Remove that character.", problem=tr(problem)))
    if not text.strip():
        raise BadInput("Write the better answer first.")
    if len(text) > TEXT_LIMIT:
        long = mark("The answer has {count:,} characters: at most {most:,} can be saved.")
        raise BadInput(tr(long, count=len(text), most=TEXT_LIMIT))
    return text
