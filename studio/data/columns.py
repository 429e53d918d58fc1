"""Which columns of a file are prompt, answer and context, and a row turned into what is stored.

A column of messages (`[{"role", "content"}, …]`, also ShareGPT's `from`/`value`) is a prompt of several turns; its last
assistant turn is the answer when no answer column is named. What the answer column holds depends on the task:

- classification: a label. multi-label: a list, or "a|b", "a;b". rating: a number.
- chat: text; without an answer column the messages are the answer, trained on where a message's "train" or "weight"
  (0 or 1) says so, and on the last assistant turn where none says anything.
- preference: `a` and `b` are the two answers, `output` the choice (A, B, tie). Without a choice, an answer in a column
  named "chosen" (or preferred, better, winner) is the better one, and the two are shuffled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from storage.records import Project, Settings, Turn
from studio.contract.answers import TEXT_LIMIT, encode_conversation, unsafe_text, with_flags
from studio.contract.chat import Message, Role
from studio.data import targets
from studio.data.prompts import content_key, context_turn
from studio.data.rows import as_text
from studio.data.targets import Target, Unusable

_MESSAGES = ("messages", "conversations", "conversation")
_PROMPTS = (
    *_MESSAGES,
    *("instruction", "prompt", "question", "input", "text", "query"),
    *("user", "source", "sentence", "document", "article"),
)
_ANSWERS = (
    *("output", "completion", "response", "answer", "target", "label", "category", "summary", "translation"),
    *("assistant", "reply", "chosen"),
)
_LABELS = ("label_text", "label_name", "label", "labels", "category", "categories", "intent", "class", "tags", "topic")
_FIRST: dict[str, tuple[str, ...]] = {
    "classification": (*_LABELS, "sentiment", "output"),
    "multi-label": ("labels", "categories", "tags", *_LABELS, "output"),
    "rating": ("rating", "score", "stars", "grade", "label", "output"),
    "preference": ("choice", "preference", "preferred", "winner", "label", "vote"),
    "summarisation": ("summary", "highlights"),
    "translation": ("translation",),
    "code": ("code", "solution", "completion"),
}
"""Names of the answer column that a task looks for first."""

_PAIRS = (
    *(("a", "b"), ("answer_a", "answer_b"), ("response_a", "response_b"), ("completion_a", "completion_b")),
    *(("model_a", "model_b"), ("output_a", "output_b"), ("answer_1", "answer_2"), ("response_1", "response_2")),
    *(("output_1", "output_2"), ("chosen", "rejected"), ("preferred", "rejected"), ("better", "worse")),
)
_BETTER = ("chosen", "preferred", "better", "winner", "accepted")
_CONTEXTS = ("context", "passage", "background")
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "developer": "system"}


@dataclass(frozen=True)
class Columns:
    """Names of the columns to import; without `output` every row is an example to label.

    A form shows `input`, `context` and `priority` for every task; `output` for every task, as the choice in a
    preference; `a` and `b` (needed), `margin` and `reason` in a preference only.
    """

    input: str
    output: str | None = None
    context: str | None = None
    a: str | None = None
    b: str | None = None
    margin: str | None = None
    reason: str | None = None
    priority: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """The columns that are named, by the field that names them."""
        return {name: column for name, column in vars(self).items() if column is not None}


@dataclass(frozen=True)
class Draft:
    """A row as an example: `response` is None where it has no answer; `labels` are the names that its answer holds."""

    prompt: tuple[Turn, ...]
    context: str
    response: str | None
    value: str = ""
    payload: Mapping[str, str] = field(default_factory=dict)
    priority: float = 0.0
    labels: tuple[str, ...] = ()


def guess_columns(columns: Sequence[str], task: str = "instruction") -> Columns | None:
    """The columns that are meant, by the names in common use; None when no name tells."""
    known = {name.strip().lower(): name for name in reversed(columns)}
    found = _guess_pair(known) if task == "preference" else _guess_text(known, columns, task)
    if found is None:
        return None
    return replace(found, priority=known.get("priority"))


def _guess_text(known: Mapping[str, str], columns: Sequence[str], task: str) -> Columns | None:
    prompt = next((known[name] for name in _PROMPTS if name in known), None)
    if prompt is None:
        return Columns(columns[0]) if len(columns) == 1 else None
    context = next((known[name] for name in _CONTEXTS if name in known), None)
    if prompt.strip().lower() in _MESSAGES:
        labels = known.get("labels") if task == "multi-label" else None
        return Columns(prompt, labels, context)
    if prompt.strip().lower() == "instruction" and context is None and task != "classification":
        context = known.get("input")
    names = (*_FIRST.get(task, ()), *_ANSWERS)
    answer = next((known[name] for name in names if name in known and known[name] != prompt), None)
    return Columns(prompt, answer, context)


def _guess_pair(known: Mapping[str, str]) -> Columns | None:
    pair = next(((known[a], known[b]) for a, b in _PAIRS if a in known and b in known), None)
    if pair is None:
        return None
    free = {name: column for name, column in known.items() if column not in pair}
    # Without a prompt of its own, both answers are whole conversations that begin alike.
    prompt = next((free[name] for name in _PROMPTS if name in free), pair[0])
    choice = next((free[name] for name in _FIRST["preference"] if name in free), None)
    context = next((free[name] for name in _CONTEXTS if name in free), None)
    return Columns(prompt, choice, context, *pair, free.get("margin"), free.get("reason"))


def to_draft(values: Mapping[str, object], columns: Columns, system: str = "", project: Project | None = None) -> Draft:
    """One row as an example of a project (None: an instruction). A system turn equal to `system` (the project's) is
    left out. Raises Unusable."""
    task, settings = (project.task, project.settings) if project else ("instruction", Settings())
    context = _text(values, columns.context, "context")
    messages, flags = _messages_of(values, columns, system, task)
    answer: str | None = None
    if messages is None:
        turns: tuple[Turn, ...] = (Turn("user", _text(values, columns.input, "input")),)
        flags = [None]
    else:
        turns = tuple(messages)
        if turns and turns[-1].role == "assistant":
            answer, turns = turns[-1].content, turns[:-1]
        turns = _without_context(turns, flags, context, task)
    cell: object = answer
    if columns.output is not None or task == "preference":
        cell = values.get(columns.output) if columns.output is not None else None
        flags = flags[: len(turns)]
    context = context if context.strip() else ""
    payload: dict[str, str] = {}
    labels: tuple[str, ...] = ()
    if task == "preference":
        payload, target = _preference(values, columns, turns, cell)
    elif task == "classification":
        target = Target(targets.label(cell))
        labels = (target.response,) if target.response else ()
    elif task == "multi-label":
        labels = targets.labels(cell, {label.name for label in settings.labels})
        target = Target("\n".join(labels) or None)
    elif task == "rating":
        target = Target(targets.rating(cell, settings.rating_max))
    else:
        target = _answer(values, columns, answer)
    _check(turns, target.response)
    if task == "chat" and target.response is not None:
        target = _conversation(turns, target.response, flags)
    rank = targets.priority(values.get(columns.priority)) if columns.priority else 0.0
    return Draft(turns, context, target.response, target.value, payload, rank, labels)


def _messages_of(
    values: Mapping[str, object], columns: Columns, system: str, task: str
) -> tuple[list[Turn] | None, list[bool | None]]:
    """The turns of the input column without the project's own system turn, and the flag of each; None for text."""
    found = _read_messages(values.get(columns.input), columns.input)
    if found is None:
        return None, []
    flags = targets.flags(found) if task == "chat" else [None] * len(found)
    pairs = [
        (turn, flag)
        for turn, flag in zip(map(_turn, found), flags, strict=True)
        if not (turn.role == "system" and turn.content.strip() == system)
    ]
    return [turn for turn, _ in pairs], [flag for _, flag in pairs]


def _answer(values: Mapping[str, object], columns: Columns, answer: str | None) -> Target:
    text = answer if columns.output is None else _text(values, columns.output, "answer")
    return Target(text if text and text.strip() else None)


def _preference(
    values: Mapping[str, object], columns: Columns, turns: Sequence[Turn], cell: object
) -> tuple[dict[str, str], Target]:
    if columns.a is None or columns.b is None:
        raise Unusable("the two answers to choose from have no columns")
    a, b = (_side(values.get(column), column, what) for column, what in ((columns.a, "A"), (columns.b, "B")))
    better = [column.strip().lower() in _BETTER for column in (columns.a, columns.b)]
    if columns.output is None and any(better):
        first = (a, b) if better[0] else (b, a)
        return targets.shuffled(*first, content_key(turns, ""))
    reason = _text(values, columns.reason, "reason")
    margin = values.get(columns.margin) if columns.margin else None
    return {"a": a, "b": b}, targets.choice(cell, margin, reason)


def _side(value: object, column: str, what: str) -> str:
    """One of two answers: text, or the last turn of a list of messages."""
    messages = as_messages(value, column)
    text = messages[-1].content if messages else _decoded(value, f"answer {what}")
    if not text.strip():
        raise Unusable(f"answer {what} is empty")
    _check_text(text, f"answer {what}")
    return text


def _conversation(turns: Sequence[Turn], answer: str, flags: Sequence[bool | None]) -> Target:
    """A conversation with the flags that its messages carry; `flags` is one longer than `turns` where the answer is
    one of them."""
    said = [*flags, *[None] * (len(turns) + 1 - len(flags))]
    whole = [*((turn.role, turn.content) for turn in turns), ("assistant", answer)]
    messages = with_flags([(role, text, flag) for (role, text), flag in zip(whole, said, strict=True)])
    if not any(message.train for message in messages):
        raise Unusable("its flags say to train on no turn")
    return Target(answer, encode_conversation(messages))


def as_messages(value: object, column: str = "messages") -> list[Turn] | None:
    """The turns of a value that is a list of messages (or JSON text of one, in a column so named); else None.

    Raises Unusable for a list that is meant as messages and is not.
    """
    found = _read_messages(value, column)
    return None if found is None else [_turn(message) for message in found]


def _read_messages(value: object, column: str) -> list[dict[str, object]] | None:
    if isinstance(value, str) and column.strip().lower() in _MESSAGES:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unusable("its messages are not JSON") from None
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        if column.strip().lower() in _MESSAGES:
            raise Unusable("it has no list of messages")
        return None
    return cast("list[dict[str, object]]", value)


def _turn(message: Mapping[str, object]) -> Turn:
    role = as_text(message.get("role", message.get("from"))).strip().lower()
    content = message.get("content", message.get("value"))
    role = _ROLES.get(role, role)
    if role not in ("system", "user", "assistant"):
        raise Unusable(f"a message has the role '{role[:40]}': known are system, user and assistant")
    if not isinstance(content, str):
        raise Unusable("a message has no text")
    return Turn(role, content)


def _without_context(
    turns: tuple[Turn, ...], flags: Sequence[bool | None], context: str, task: str
) -> tuple[Turn, ...]:
    """Our own export writes the context into a user turn and beside it: take it out of the turn again."""
    at = len(turns) - 1
    if task == "chat" and any(flags):
        asked = zip(turns, flags, strict=False)
        at = context_turn([Message(cast(Role, turn.role), turn.content, bool(flag)) for turn, flag in asked]) or 0
    if not context or at < 0 or not turns[at].content.startswith(context + "\n\n"):
        return turns
    bare = Turn(turns[at].role, turns[at].content[len(context) + 2 :])
    return (*turns[:at], bare, *turns[at + 1 :])


def _text(values: Mapping[str, object], column: str | None, what: str) -> str:
    if column is None:
        return ""
    text = _decoded(values.get(column), what)
    _check_text(text, what)
    return text


def _decoded(value: object, what: str) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise Unusable(f"the {what} is binary data") from None
    return as_text(value)


def _check(turns: tuple[Turn, ...], answer: str | None) -> None:
    if not any(turn.role == "user" and turn.content.strip() for turn in turns):
        raise Unusable("the input is empty")
    if turns[-1].role != "user" or not turns[-1].content.strip():
        raise Unusable("its last message before the answer is not a user's")
    for turn in turns:
        _check_text(turn.content, "input")
    if sum(len(turn.content) for turn in turns) > TEXT_LIMIT:
        raise Unusable(f"the input has more than {TEXT_LIMIT:,} characters")
    if answer:
        _check_text(answer, "answer")


def _check_text(text: str, what: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise Unusable(f"the {what} has {len(text):,} characters, more than {TEXT_LIMIT:,}")
    if problem := unsafe_text(text):
        raise Unusable(f"the {what} cannot be used: {problem}")
