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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from storage.records import Project, Settings, Turn
from studio.contract.answers import TEXT_LIMIT, encode_conversation, unsafe_text, with_flags
from studio.contract.chat import Message, Role
from studio.contract.tools import calls_text, encode_tools
from studio.data import targets
from studio.data.prompts import content_key, context_turn
from studio.data.rows import as_text
from studio.data.targets import Target, Unusable
from studio.data.turns import MESSAGES, as_messages, as_turn, read_messages
from studio.language import mark, tr

PROMPTS = (
    *MESSAGES,
    *("instruction", "prompt", "question", "input", "text", "query"),
    *("user", "source", "sentence", "document", "article"),
)
_ANSWERS = (
    *("output", "completion", "response", "answer", "target", "label", "category", "summary", "translation"),
    *("assistant", "reply", "chosen"),
)
LABELS = ("label_text", "label_name", "label", "labels", "category", "categories", "intent", "class", "tags", "topic")
_FIRST: dict[str, tuple[str, ...]] = {
    "classification": (*LABELS, "sentiment", "output"),
    "multi-label": ("labels", "categories", "tags", *LABELS, "output"),
    "rating": ("rating", "score", "stars", "grade", "label", "output"),
    "preference": ("choice", "preference", "preferred", "winner", "label", "vote"),
    "summarisation": ("summary", "highlights"),
    "translation": ("translation",),
    "code": ("code", "solution", "completion"),
}
"""Names of the answer column that a task looks for first."""

PAIRS = (
    *(("a", "b"), ("answer_a", "answer_b"), ("response_a", "response_b"), ("completion_a", "completion_b")),
    *(("model_a", "model_b"), ("output_a", "output_b"), ("answer_1", "answer_2"), ("response_1", "response_2")),
    *(("output_1", "output_2"), ("chosen", "rejected"), ("preferred", "rejected"), ("better", "worse")),
)
_BETTER = ("chosen", "preferred", "better", "winner", "accepted")
CONTEXTS = ("context", "passage", "background")
KNOWN_NAMES = {
    *(*PROMPTS, *_ANSWERS, *LABELS, *CONTEXTS, *(name for pair in PAIRS for name in pair), *_BETTER),
    *("id", "system", "priority", "group", "choice", "rating", "score", "margin", "reason", "tools"),
}
"""Names of columns in common use: a first line that holds one is a header."""

_GROUPS = ("group", "group_name", "group_id")
_SIDES = (mark("answer A"), mark("answer B"))
_TEXTS = (mark("input"), mark("context"), mark("answer"), mark("reason"), mark("list of tools"))
"""What a text is called where it cannot be taken."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to import; without `output` every row is an example to label.

    A form shows `input`, `context` and `priority` for every task; `output` for every task, as the choice in a
    preference; `a` and `b` (needed), `margin` and `reason` in a preference only. `group` names whom or what an example
    is from (its examples stay in one split), `tools` what a conversation may call. "a.b" is b inside of column a.
    """

    input: str
    output: str | None = None
    context: str | None = None
    a: str | None = None
    b: str | None = None
    margin: str | None = None
    reason: str | None = None
    priority: str | None = None
    group: str | None = None
    tools: str | None = None

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
    group: str = ""


def guess_columns(columns: Sequence[str], task: str = "instruction") -> Columns | None:
    """The columns that are meant, by the names in common use; None when no name tells."""
    known = {name.strip().lower(): name for name in reversed(columns)}
    found = _guess_pair(known) if task == "preference" else _guess_text(known, columns, task)
    if found is None:
        return None
    group = next((known[name] for name in _GROUPS if name in known), None)
    talks = found.input.strip().lower() in (*MESSAGES, "prompt")
    return replace(found, priority=known.get("priority"), group=group, tools=known.get("tools") if talks else None)


def _guess_text(known: Mapping[str, str], columns: Sequence[str], task: str) -> Columns | None:
    prompt = next((known[name] for name in PROMPTS if name in known), None)
    if prompt is None:
        return Columns(columns[0]) if len(columns) == 1 else None
    context = next((known[name] for name in CONTEXTS if name in known), None)
    if prompt.strip().lower() in MESSAGES:
        labels = known.get("labels") if task == "multi-label" else None
        return Columns(prompt, labels, context)
    if prompt.strip().lower() == "instruction" and context is None and task != "classification":
        context = known.get("input")
    names = (*_FIRST.get(task, ()), *_ANSWERS)
    answer = next((known[name] for name in names if name in known and known[name] != prompt), None)
    return Columns(prompt, answer, context)


def _guess_pair(known: Mapping[str, str]) -> Columns | None:
    pair = next(((known[a], known[b]) for a, b in PAIRS if a in known and b in known), None)
    if pair is None:
        return None
    free = {name: column for name, column in known.items() if column not in pair}
    # Without a prompt of its own, both answers are whole conversations that begin alike.
    prompt = next((free[name] for name in PROMPTS if name in free), pair[0])
    choice = next((free[name] for name in _FIRST["preference"] if name in free), None)
    context = next((free[name] for name in CONTEXTS if name in free), None)
    return Columns(prompt, choice, context, *pair, free.get("margin"), free.get("reason"))


def to_draft(values: Mapping[str, object], columns: Columns, system: str = "", project: Project | None = None) -> Draft:
    """One row as an example of a project (None: an instruction). A system turn equal to `system` (the project's) is
    left out. Raises Unusable."""
    task, settings = (project.task, project.settings) if project else ("instruction", Settings())
    context = _text(values, columns.context, "context")
    messages, flags = _messages_of(values, columns, system, task)
    answer: Turn | None = None
    if messages is None:
        turns: tuple[Turn, ...] = (Turn("user", _text(values, columns.input, "input")),)
        flags = [None]
    else:
        turns = tuple(messages)
        if turns and turns[-1].role == "assistant":
            answer, turns = turns[-1], turns[:-1]
        turns = _without_context(turns, flags, context, task)
    if answer and task != "chat" and calls_text(answer.extra) and columns.output is None:
        raise Unusable(tr("its answer is a tool call, which only a chat project can hold"))
    cell: object = answer.content if answer else None
    if columns.output is not None or task == "preference":
        cell = pick(values, columns.output) if columns.output is not None else None
        flags, answer = flags[: len(turns)], None
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
        answer = answer or Turn("assistant", _text(values, columns.output, "answer"))
        target = _answer(answer)
    _check(turns, target.response)
    if task == "chat" and answer and target.response is not None:
        target = _conversation(turns, answer, target.response, flags)
    if columns.tools and (tools := _tools(pick(values, columns.tools))):
        payload["tools"] = tools
    rank = targets.priority(pick(values, columns.priority)) if columns.priority else 0.0
    group = targets.group(pick(values, columns.group)) if columns.group else ""
    return Draft(turns, context, target.response, target.value, payload, rank, labels, group)


def pick(values: Mapping[str, object], column: str) -> object:
    """A column's value; "a.b" is what the column a holds under b, unless a column has that very name."""
    if column in values or "." not in column:
        return values.get(column)
    first, rest = column.split(".", 1)
    inner = values.get(first)
    return pick(inner, rest) if isinstance(inner, Mapping) else None


def _messages_of(
    values: Mapping[str, object], columns: Columns, system: str, task: str
) -> tuple[list[Turn] | None, list[bool | None]]:
    """The turns of the input column without the project's own system turn, and the flag of each; None for text."""
    found = read_messages(pick(values, columns.input), columns.input)
    if found is None:
        return None, []
    flags = targets.flags(found) if task == "chat" else [None] * len(found)
    pairs = [
        (turn, flag)
        for turn, flag in zip(map(as_turn, found), flags, strict=True)
        if not (turn.role == "system" and turn.content.strip() == system)
    ]
    return [turn for turn, _ in pairs], [flag for _, flag in pairs]


def _answer(answer: Turn) -> Target:
    """The text of an answer; of a tool call without words, the call as people read it."""
    text = answer.content if answer.content.strip() else calls_text(answer.extra)
    return Target(text or None)


def _preference(
    values: Mapping[str, object], columns: Columns, turns: Sequence[Turn], cell: object
) -> tuple[dict[str, str], Target]:
    if columns.a is None or columns.b is None:
        raise Unusable(tr("the two answers to choose from have no columns"))
    a, b = (_side(pick(values, one), one, what) for one, what in zip((columns.a, columns.b), _SIDES, strict=True))
    better = [column.strip().lower() in _BETTER for column in (columns.a, columns.b)]
    if columns.output is None and any(better):
        first = (a, b) if better[0] else (b, a)
        return targets.shuffled(*first, content_key(turns, ""))
    reason = _text(values, columns.reason, "reason")
    margin = pick(values, columns.margin) if columns.margin else None
    return {"a": a, "b": b}, targets.choice(cell, margin, reason)


def _side(value: object, column: str, what: str) -> str:
    """One of two answers: text, or the last turn of a list of messages."""
    messages = as_messages(value, column)
    if messages and calls_text(messages[-1].extra):
        raise Unusable(tr("{answer} is a tool call, which only a chat project can hold", answer=tr(what)))
    text = messages[-1].content if messages else _decoded(value, what)
    if not text.strip():
        raise Unusable(tr("{answer} is empty", answer=tr(what)))
    _check_text(text, what)
    return text


def _tools(cell: object) -> str:
    """What a conversation may call, in its stored form."""
    try:
        tools = encode_tools(cell)
    except (ValueError, TypeError, RecursionError) as error:
        raise Unusable(tr(str(error)) if isinstance(error, ValueError) else tr("its tools cannot be read")) from None
    _check_text(tools.replace("\\u0000", "\0"), "list of tools")
    return tools


def _conversation(turns: Sequence[Turn], answer: Turn, response: str, flags: Sequence[bool | None]) -> Target:
    """A conversation with the flags that its messages carry; `flags` is one longer than `turns` where the answer is
    one of them."""
    said = [*flags, *[None] * (len(turns) + 1 - len(flags))]
    messages = with_flags(
        [
            {"role": turn.role, "content": turn.content, "train": flag, "extra": turn.extra}
            for turn, flag in zip([*turns, answer], said, strict=True)
        ]
    )
    if not any(message.train for message in messages):
        raise Unusable(tr("its flags say to train on no turn"))
    return Target(response, encode_conversation(messages))


def _without_context(
    turns: tuple[Turn, ...], flags: Sequence[bool | None], context: str, task: str
) -> tuple[Turn, ...]:
    """Our own export writes the context into a user turn and beside it: take it out of the turn again."""
    at = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=-1)
    if task == "chat" and any(flags):
        asked = zip(turns, flags, strict=False)
        at = context_turn([Message(cast(Role, turn.role), turn.content, bool(flag)) for turn, flag in asked]) or 0
    if not context or at < 0 or not turns[at].content.startswith(context + "\n\n"):
        return turns
    bare = replace(turns[at], content=turns[at].content[len(context) + 2 :])
    return (*turns[:at], bare, *turns[at + 1 :])


def _text(values: Mapping[str, object], column: str | None, what: str) -> str:
    if column is None:
        return ""
    text = _decoded(pick(values, column), what)
    _check_text(text, what)
    return text


def _decoded(value: object, what: str) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            raise Unusable(tr("the {what} is binary data", what=tr(what))) from None
    return as_text(value)


def _check(turns: tuple[Turn, ...], answer: str | None) -> None:
    if not any(turn.role == "user" and turn.content.strip() for turn in turns):
        raise Unusable(tr("the input is empty"))
    if turns[-1].role not in ("user", "tool") or not (turns[-1].content.strip() or turns[-1].role == "tool"):
        raise Unusable(tr("its last message before the answer is not a user's"))
    for turn in turns:
        _check_text(turn.content, "input")
    if sum(len(turn.content) + len(turn.extra) for turn in turns) > TEXT_LIMIT:
        raise Unusable(tr("the input has more than {most:,} characters", most=TEXT_LIMIT))
    if answer:
        _check_text(answer, "answer")


def _check_text(text: str, what: str) -> None:
    if len(text) > TEXT_LIMIT:
        told = {"what": tr(what), "count": len(text), "most": TEXT_LIMIT}
        raise Unusable(tr("the {what} has {count:,} characters, more than {most:,}", **told))
    if problem := unsafe_text(text):
        raise Unusable(tr("the {what} cannot be used: {problem}", what=tr(what), problem=tr(problem)))
