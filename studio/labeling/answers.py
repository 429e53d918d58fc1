"""Answers by task: what an annotator may submit, how it is stored, how lists show it, when two are the same.

An answer is a pair of texts, `response` and `value` (see storage.records.Annotation). What it leaves out: who may act,
and when (studio.labeling.queue).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from storage.records import Example, Project
from studio.contract.answers import (
    CHOICES,
    TEXT_LIMIT,
    Preference,
    decode_conversation,
    decode_preference,
    encode_conversation,
    encode_preference,
    unsafe_text,
)
from studio.contract.chat import Message
from studio.contract.tools import calls_text
from studio.errors import BadInput
from studio.language import mark, tr

Answer = tuple[str, str]
"""`response` and `value`."""

TURN_LIMIT = 1000
"""Turns of the longest conversation."""

_REASON_LIMIT = 10_000
_WHO = {
    "system": mark("The system turn"),
    "user": mark("A user turn"),
    "assistant": mark("An assistant turn"),
    "tool": mark("A tool turn"),
}
_UNSAFE = (mark("it contains NUL bytes"), mark("it contains half a character (a lone surrogate)"))
"""What `unsafe_text` says."""
_SHOWN = {"A": "A is better", "B": "B is better", "tie": "Tie"}
_MARGIN = {1: "slightly", 2: "clearly", 3: "much"}


def check_answer(project: Project, example: Example, response: str, value: str = "") -> Answer:
    """An answer in its stored form: labels in the set's order, values as canonical JSON, '' where a task has none.

    Raises BadInput with a sentence for the annotator.
    """
    for text in (response, value):
        if problem := unsafe_text(text):
            raise BadInput(tr("The answer cannot be saved: {problem}. Remove that character.", problem=tr(problem)))
    if len(response) > TEXT_LIMIT:
        long = mark("The answer has {count:,} characters: at most {most:,} can be saved.")
        raise BadInput(tr(long, count=len(response), most=TEXT_LIMIT))
    return _CHECKS.get(project.task, _text)(project, example, response, value)


def as_text(project: Project, response: str, value: str = "") -> str:
    """An answer as one text for lists, tables and word diffs."""
    if project.task == "multi-label":
        return ", ".join(_names(response))
    if project.task == "rating":
        return f"{response} of {project.settings.rating_max}" if response else ""
    if project.task == "preference":
        return _preference_text(response, value)
    if project.task == "chat":
        return _conversation_text(response, value)
    return response


def same_answer(project: Project, a: Answer, b: Answer) -> bool:
    """Whether two answers say the same. Texts are compared in Unicode's composed form, without white space around
    them; of a preference only the choice counts, of a conversation its turns with their flags."""
    if project.task == "multi-label":
        return set(_names(a[0])) == set(_names(b[0]))
    if project.task == "chat" and a[1] and b[1]:
        return _turns(a[1]) == _turns(b[1])
    return _normal(a[0]) == _normal(b[0])


def _text(project: Project, example: Example, response: str, value: str) -> Answer:
    if not response.strip():
        raise BadInput("Write a response first, or skip this one.")
    return response, ""


def _label(project: Project, example: Example, response: str, value: str) -> Answer:
    name = response.strip()
    if not name:
        raise BadInput("Choose a label first, or skip this one.")
    _known(project, [name])
    return name, ""


def _labels(project: Project, example: Example, response: str, value: str) -> Answer:
    chosen = _names(response)
    if not chosen:
        raise BadInput("Choose at least one label, or skip this one.")
    _known(project, chosen)
    return "\n".join(label.name for label in project.settings.labels if label.name in chosen), ""


def _rating(project: Project, example: Example, response: str, value: str) -> Answer:
    most, given = project.settings.rating_max, response.strip()
    if not given:
        raise BadInput("Choose a rating first, or skip this one.")
    if not re.fullmatch(r"[0-9]{1,3}", given) or not 1 <= int(given) <= most:
        raise BadInput(tr("A rating is a whole number from 1 to {most}.", most=most))
    return str(int(given)), ""


def _preference(project: Project, example: Example, response: str, value: str) -> Answer:
    try:
        found = decode_preference(value) if value.strip() else Preference(response)
    except ValueError as error:
        raise BadInput(tr("This choice cannot be saved: {problem}. Choose again.", problem=error)) from None
    if not found.choice:
        raise BadInput("Choose A, B or tie first, or skip this one.")
    if found.choice not in CHOICES or response not in ("", found.choice):
        raise BadInput("Choose one of A, B and tie.")
    if len(found.reason) > _REASON_LIMIT:
        long = mark("The reason has {count:,} characters: at most {most:,} can be saved.")
        raise BadInput(tr(long, count=len(found.reason), most=_REASON_LIMIT))
    _storable(found.reason, mark("The reason"))
    margin = None if found.choice == "tie" else found.margin
    return found.choice, encode_preference(Preference(found.choice, margin, found.reason.strip()))


def _conversation(project: Project, example: Example, response: str, value: str) -> Answer:
    if value.strip():
        try:
            turns = list(decode_conversation(value))
        except ValueError as error:
            broken = tr("This conversation cannot be saved: {problem}. Reload the page and try again.", problem=error)
            raise BadInput(broken) from None
    else:
        _text(project, example, response, value)
        asked = [Message(turn.role, turn.content, False, turn.extra) for turn in example.prompt]  # type: ignore[arg-type]
        turns = [*asked, Message("assistant", response)]
    check_turns(turns)
    return turns[-1].content or calls_text(turns[-1].extra), encode_conversation(turns)


def check_turns(turns: Sequence[Message]) -> None:
    """Raises BadInput for a conversation that nothing can be trained on, or that no chat template takes."""
    if not turns or turns[-1].role != "assistant":
        raise BadInput("The conversation has to end with a turn of the assistant: add one, or skip this one.")
    if len(turns) > TURN_LIMIT:
        many = mark("The conversation has {count:,} turns: at most {most:,} can be saved.")
        raise BadInput(tr(many, count=len(turns), most=TURN_LIMIT))
    if empty := next((turn for turn in turns if not turn.content.strip() and not calls_text(turn.extra)), None):
        raise BadInput(tr("{turn} is empty: write it, or delete it.", turn=tr(_WHO[empty.role])))
    if any(turn.role == "system" for turn in turns[1:]):
        raise BadInput("Only the first turn can be the system's: move it up, or delete it.")
    if not any(turn.role == "user" for turn in turns):
        raise BadInput("The conversation needs a turn of the user.")
    if not any(turn.train for turn in turns):
        raise BadInput("Switch “train on this” on for at least one turn of the assistant, or skip this one.")
    if (size := sum(len(turn.content) + len(turn.extra) for turn in turns)) > TEXT_LIMIT:
        long = mark("The conversation has {count:,} characters: at most {most:,} can be saved.")
        raise BadInput(tr(long, count=size, most=TEXT_LIMIT))
    for turn in turns:
        _storable(turn.content, _WHO[turn.role])


def _known(project: Project, names: Sequence[str]) -> None:
    known = {label.name for label in project.settings.labels}
    if not known:
        raise BadInput("This project has no labels yet: add them in the Projects tab.")
    if missing := next((name for name in names if name not in known), None):
        unknown = mark("There is no label '{label}' in this project (any more): choose another.")
        raise BadInput(tr(unknown, label=missing[:80]))


def _storable(text: str, what: str) -> None:
    # JSON can spell a NUL or half a character with an escape, which the check of the raw value does not see.
    if problem := unsafe_text(text):
        unsafe = mark("{what} cannot be saved: {problem}. Remove that character.")
        raise BadInput(tr(unsafe, what=tr(what), problem=tr(problem)))


def _names(response: str) -> list[str]:
    return [name.strip() for name in response.split("\n") if name.strip()]


def _turns(value: str) -> object:
    try:
        return [(turn.role, _normal(turn.content), turn.train, turn.extra) for turn in decode_conversation(value)]
    except ValueError:
        return value


def _preference_text(response: str, value: str) -> str:
    try:
        found = decode_preference(value)
    except ValueError:
        return _SHOWN.get(response, response)
    margin = f" ({_MARGIN[found.margin]})" if found.margin else ""
    reason = f": {found.reason}" if found.reason else ""
    return f"{_SHOWN[found.choice]}{margin}{reason}"


def _conversation_text(response: str, value: str) -> str:
    try:
        turns = decode_conversation(value)
    except ValueError:
        return response
    return "\n\n".join(f"{turn.role}: {turn.content or calls_text(turn.extra)}" for turn in turns)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


_CHECKS: dict[str, Callable[[Project, Example, str, str], Answer]] = {
    "classification": _label,
    "multi-label": _labels,
    "rating": _rating,
    "preference": _preference,
    "chat": _conversation,
}
