"""Which columns of a file are prompt, answer and context, and a row turned into what is stored.

A column of messages (`[{"role", "content"}, …]`, also ShareGPT's `from`/`value`) is a prompt of several turns; its last
assistant turn is the answer when no answer column is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.records import Turn
from studio.data.rows import as_text, unsafe_text

TEXT_LIMIT = 200_000
"""Characters of the longest prompt, context or answer."""

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
_CONTEXTS = ("context", "passage", "background")
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "developer": "system"}


@dataclass(frozen=True)
class Columns:
    """Names of the columns to import; without `output` every row is an example to label."""

    input: str
    output: str | None = None
    context: str | None = None


@dataclass(frozen=True)
class Draft:
    """A row as an example: `response` is None where it has no answer."""

    prompt: tuple[Turn, ...]
    context: str
    response: str | None


class Unusable(Exception):
    """A row that cannot become an example; the text is the reason."""


def guess_columns(columns: Sequence[str]) -> Columns | None:
    """The columns that are meant, by the names in common use; None when no name tells."""
    known = {name.strip().lower(): name for name in reversed(columns)}
    prompt = next((known[name] for name in _PROMPTS if name in known), None)
    if prompt is None:
        return Columns(columns[0]) if len(columns) == 1 else None
    context = next((known[name] for name in _CONTEXTS if name in known), None)
    if prompt.strip().lower() in _MESSAGES:
        return Columns(prompt, None, context)
    if prompt.strip().lower() == "instruction" and context is None:
        context = known.get("input")
    answer = next((known[name] for name in _ANSWERS if name in known), None)
    return Columns(prompt, answer, context)


def to_draft(values: Mapping[str, object], columns: Columns, system: str = "") -> Draft:
    """One row as an example. A system turn equal to `system` (the project's) is left out. Raises Unusable."""
    context = _text(values, columns.context, "context")
    messages = as_messages(values.get(columns.input), columns.input)
    answer: str | None = None
    if messages is None:
        turns: tuple[Turn, ...] = (Turn("user", _text(values, columns.input, "input")),)
    else:
        turns = tuple(turn for turn in messages if not (turn.role == "system" and turn.content.strip() == system))
        if columns.output is None and turns and turns[-1].role == "assistant":
            answer, turns = turns[-1].content, turns[:-1]
        turns = _without_context(turns, context)
    if columns.output is not None:
        answer = _text(values, columns.output, "answer")
    _check(turns, answer)
    return Draft(turns, context if context.strip() else "", answer if answer and answer.strip() else None)


def as_messages(value: object, column: str = "messages") -> list[Turn] | None:
    """The turns of a value that is a list of messages (or JSON text of one, in a column so named); else None.

    Raises Unusable for a list that is meant as messages and is not.
    """
    if isinstance(value, str) and column.strip().lower() in _MESSAGES:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unusable("its messages are not JSON") from None
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        if column.strip().lower() in _MESSAGES:
            raise Unusable("it has no list of messages")
        return None
    return [_turn(turn) for turn in value]


def _turn(message: Mapping[str, object]) -> Turn:
    role = as_text(message.get("role", message.get("from"))).strip().lower()
    content = message.get("content", message.get("value"))
    role = _ROLES.get(role, role)
    if role not in ("system", "user", "assistant"):
        raise Unusable(f"a message has the role '{role[:40]}': known are system, user and assistant")
    if not isinstance(content, str):
        raise Unusable("a message has no text")
    return Turn(role, content)


def _without_context(turns: tuple[Turn, ...], context: str) -> tuple[Turn, ...]:
    """Our own export writes the context into the last user turn and beside it: take it out of the turn again."""
    if not context or not turns or not turns[-1].content.startswith(context + "\n\n"):
        return turns
    return (*turns[:-1], Turn(turns[-1].role, turns[-1].content[len(context) + 2 :]))


def _text(values: Mapping[str, object], column: str | None, what: str) -> str:
    if column is None:
        return ""
    value = values.get(column)
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise Unusable(f"the {what} is binary data") from None
    text = as_text(value)
    _check_text(text, what)
    return text


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
