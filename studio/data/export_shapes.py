"""How a row is laid out on its way out: messages, OpenAI's fine-tuning, Alpaca, ShareGPT, preferences.

A shape that has no place for something of a row either leaves the row out and says why (NoPlace), or writes it and says
what is not kept (a note); both are counted. Nothing is changed in silence. What it leaves out: files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.contract.answers import trained_by_default
from studio.contract.chat import Message
from studio.contract.tools import canonical, decode_extra
from studio.data.outgoing import Choice, Outgoing, Source, Traits
from studio.errors import BadInput
from studio.language import mark, tr

Record = dict[str, object]
Note = Callable[[str], None]
"""Takes what of a row is not kept, in words that stand behind "3 rows: ". They are counted and go into cards, so they
are English."""


class NoPlace(Exception):
    """A row that a shape cannot hold; the text is the reason, in English as a note."""


@dataclass(frozen=True)
class Shape:
    """A layout: `record` makes one row's, given what the source's rows have and where to note what is not kept."""

    name: str
    title: str
    record: Callable[[Outgoing, Traits, Note], Record]


def find_shape(name: str) -> Shape:
    """Raises BadInput."""
    if name not in SHAPES:
        told = {"name": name, "names": ", ".join(SHAPES)}
        raise BadInput(tr("There is no shape '{name}' to export; there are: {names}.", **told))
    return SHAPES[name]


def refuse_shape(shape: Shape, source: Source) -> None:
    """Raises BadInput for a shape that can hold none of a source's rows, whatever they are."""
    if shape.name == "preference" and not source.traits.preference:
        raise BadInput("The shape preference holds pairs of a better and a worse answer: these rows have one answer.")
    if shape.name in ("alpaca", "sharegpt") and source.traits.preference:
        raise BadInput(
            tr(
                "The shape {shape} holds one answer a row, these have two: choose preference or messages.",
                shape=shape.name,
            )
        )


def _messages(row: Outgoing, traits: Traits, note: Note) -> Record:
    if traits.preference:
        return _preferred(row, traits)
    return {"messages": _turns(row.messages, traits.flags), **_beside(row, traits)}


def _preference(row: Outgoing, traits: Traits, note: Note) -> Record:
    if row.rejected is None:
        raise NoPlace(mark("a tie prefers neither answer"))
    return _preferred(row, traits)


def _preferred(row: Outgoing, traits: Traits) -> Record:
    """Prompt, chosen and rejected as lists of messages, as TRL's trainers want them; a tie has the prompt alone."""
    record: Record = {"prompt": _turns(row.messages)}
    if row.rejected is not None:
        record["prompt"] = _turns(row.messages[:-1])
        record["chosen"] = _turns(row.messages[-1:])
        record["rejected"] = [{"role": "assistant", "content": row.rejected}]
    return {**record, **(_of_choice(row.choice) if row.choice else {}), **_beside(row, traits)}


def _of_choice(choice: Choice) -> Record:
    said = choice.said
    return {"a": choice.a, "b": choice.b, "choice": said.choice, "margin": said.margin, "reason": said.reason}


def _openai(row: Outgoing, traits: Traits, note: Note) -> Record:
    """What the fine-tuning API takes: no other keys beside, and weights, as it trains on every answer by default."""
    if row.context:
        note(mark("the context stands in the user's message alone: the API has no place beside it"))
    tools = {"tools": json.loads(row.tools)} if row.tools else {}
    if traits.preference:
        if row.rejected is None:
            raise NoPlace(mark("a tie prefers neither answer"))
        if row.choice:
            note(mark("which answer was A, the margin and the reason are not kept: the API has no place for them"))
        return {
            "input": {"messages": [_api_turn(m, note) for m in row.messages[:-1]], **tools},
            "preferred_output": [_api_turn(row.messages[-1], note)],
            "non_preferred_output": [{"role": "assistant", "content": row.rejected}],
        }
    if row.labels and any("," in name for name in row.labels):
        note(mark("names of labels with commas in them are joined by commas"))
    turns = [_api_turn(message, note) for message in row.messages]
    if sum(m.role == "assistant" for m in row.messages) > 1:
        for turn, message in zip(turns, row.messages, strict=True):
            if message.role == "assistant":
                turn["weight"] = int(message.train)
    return {"messages": turns, **tools}


def _api_turn(message: Message, note: Note) -> Record:
    fields = decode_extra(message.extra)
    for call in fields.get("tool_calls", ()):
        function = call["function"]
        if not isinstance(function.get("arguments", ""), str):
            function["arguments"] = canonical(function["arguments"])
            note(mark("the arguments of tool calls are written as text, as the API wants them"))
    bare = bool(fields.get("tool_calls")) and not message.content
    return {"role": message.role, **({} if bare else {"content": message.content}), **fields}


def _alpaca(row: Outgoing, traits: Traits, note: Note) -> Record:
    system, turns = _one_answer(row)
    if len(turns) != 2 or turns[0].role != "user":
        raise NoPlace(mark("a conversation of several turns is no instruction with one output"))
    instruction = turns[0].content.removeprefix(f"{row.context}\n\n") if row.context else turns[0].content
    record: Record = {"instruction": instruction, "input": row.context, "output": turns[1].content}
    if traits.system:
        record["system"] = system
    return {**record, **_beside(row, traits, context=False)}


_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


def _sharegpt(row: Outgoing, traits: Traits, note: Note) -> Record:
    _one_answer(row)
    said = [{"from": _SPEAKERS[message.role], "value": message.content} for message in row.messages]
    return {"conversations": said, **_beside(row, traits)}


def _one_answer(row: Outgoing) -> tuple[str, Sequence[Message]]:
    """The system prompt and the other turns of a row without tools, whose last turn alone is trained."""
    if row.tools or any(message.extra or message.role == "tool" for message in row.messages):
        raise NoPlace(mark("tools and calls of them have no place in this shape"))
    if not trained_by_default(row.messages):
        raise NoPlace(mark("which turns are trained on has no place in this shape"))
    turns = row.messages
    if turns[0].role == "system":
        return turns[0].content, turns[1:]
    return "", turns


def _turns(messages: Sequence[Message], flags: bool = False) -> list[Record]:
    plain = [{"role": m.role, "content": m.content, **decode_extra(m.extra)} for m in messages]
    return [{**t, "train": _trained(m)} for t, m in zip(plain, messages, strict=True)] if flags else plain


def _trained(message: Message) -> bool:
    return message.train and message.role == "assistant"


def _beside(row: Outgoing, traits: Traits, context: bool = True) -> Record:
    """The columns beside a conversation: every row has those that any row of the source needs."""
    beside: Record = {}
    if traits.tools:
        beside["tools"] = json.loads(row.tools) if row.tools else None
    if row.labels is not None:
        beside["labels"] = list(row.labels)
    if traits.context and context:
        beside["context"] = row.context
    if traits.group:
        beside["group"] = row.group
    if traits.split:
        beside["split"] = row.split
    return beside


SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("messages", mark("Messages"), _messages),
        Shape("openai", mark("OpenAI fine-tuning"), _openai),
        Shape("alpaca", "Alpaca", _alpaca),
        Shape("sharegpt", "ShareGPT", _sharegpt),
        Shape("preference", mark("Preference"), _preference),
    )
}


def flat(row: Outgoing, traits: Traits, record: Mapping[str, Any]) -> dict[str, str]:
    """The cells of a row of messages or preferences for a spreadsheet. Where a source has any row that is more than a
    question and an answer, `messages` (JSON) holds the whole conversation of every row, and is what an import reads."""
    asked = row.messages[:-1] if row.answered else row.messages
    turns = [m for m in asked if m.role != "system"]
    one = len(turns) == 1
    prompt = turns[0].content if one else "\n\n".join(f"{m.role}: {m.content}" for m in turns)
    if row.context and one:
        prompt = prompt.removeprefix(f"{row.context}\n\n")
    cells = {"input": prompt, "output": row.messages[-1].content if row.answered else ""}
    cells["rejected"] = row.rejected or ""
    cells["system"] = "\n\n".join(m.content for m in row.messages if m.role == "system")
    beside = {name: value for name, value in record.items() if name not in _CONVERSATIONS}
    cells |= {name: cell_of(value, name) for name, value in beside.items()}
    if needs_messages(traits):
        cells["messages"] = cell_of(record["prompt" if traits.preference else "messages"])
    return cells


_CONVERSATIONS = ("messages", "prompt", "chosen", "rejected")


def needs_messages(traits: Traits) -> bool:
    """Whether a flat row is not enough for some row."""
    return traits.turns or traits.extra or traits.flags or traits.tools


def cell_of(value: object, name: str = "") -> str:
    """Any value as a cell: JSON for what is nested; labels as a|b where that can be taken apart again."""
    if name == "labels" and isinstance(value, list):
        names = [str(item) for item in value]
        if not any(mark in item for item in names for mark in "|;,[\n"):
            return "|".join(names)
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)
