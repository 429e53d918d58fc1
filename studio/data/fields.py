"""The texts of an example and of the answer that stands for it, each under a name, to read and to write anew.

A name is "turn:0", "context", "payload:a", "answer", "said:0" (a turn of a chat's answer that its prompt does not
have), "reason" (of a preference), and "extra:0" and "said-extra:0" (tool calls of a turn, as JSON). What it leaves out:
storing (studio.data.repairing).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from storage.accepted import Held
from storage.records import Project, Turn
from studio.contract.answers import (
    TEXT_LIMIT,
    decode_conversation,
    decode_preference,
    encode_conversation,
    encode_preference,
    unsafe_text,
)
from studio.contract.chat import Message
from studio.contract.tools import calls_text, decode_extra, encode_tools
from studio.errors import BadInput
from studio.language import mark, tr

_PROBLEMS = (
    mark("it contains half a character (a lone surrogate)"),
    mark("it is not JSON"),
    mark("it is not a JSON object"),
    mark("it has no list of turns"),
    mark("a turn has no text"),
    mark("whether to train on a turn is neither true nor false"),
    mark("the choice is none of A, B and tie"),
    mark("the margin is none of 1, 2 and 3"),
    mark("the reason is no text"),
    mark("the tool calls of a message do not name their functions"),
    mark("what a turn has besides its text is not JSON"),
    mark("what a turn has besides its text is no object"),
    mark("its tools are not JSON"),
    mark("its tools are no list of objects"),
)
"""What studio.contract.answers and studio.contract.tools say of texts, which here and at an import stands in a sentence
for people."""

LABEL_TASKS = ("classification", "multi-label", "rating", "preference")
"""Tasks whose answer is a choice and no text."""


@dataclass(frozen=True)
class Texts:
    """An example's texts with the answer: what `Held` has, decoded."""

    prompt: tuple[Turn, ...]
    context: str
    payload: Mapping[str, str]
    response: str
    value: str


def fingerprint(text: str) -> str:
    """SHA-256 (hex) of a text, by which a proposal names what it replaces."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_fields(task: str, held: Held) -> dict[str, str]:
    """Every text of an example that is not empty, by its name."""
    found: dict[str, str] = {}
    for index, turn in enumerate(held.turns):
        found |= {f"turn:{index}": turn.content, f"extra:{index}": turn.extra}
    found["context"] = held.context
    found |= {f"payload:{name}": text for name, text in held.payload_texts.items()}
    if task == "preference":
        found["reason"] = _reason(held.value)
    elif task == "chat" and held.value:
        found |= _said(held)
    else:
        found["answer"] = held.response
    return {name: text for name, text in found.items() if text}


def checked_fields(task: str, held: Held) -> dict[str, str]:
    """The texts that a preflight looks into: an answer that is a choice is none."""
    found = read_fields(task, held)
    return {name: text for name, text in found.items() if name != "answer" or task not in LABEL_TASKS}


def write_fields(project: Project, held: Held, texts: Mapping[str, str]) -> Texts:
    """The texts of an example with some of them anew. A turn that stands in prompt and answer changes in both.

    Raises BadInput with a sentence where the example could not be stored like that.
    """
    known = read_fields(project.task, held)
    for name, text in texts.items():
        if name not in known and name not in ("context", "reason"):
            raise BadInput("This example has no such text any more: check again.")
        _storable(text)
    prompt = tuple(_turn(turn, index, texts) for index, turn in enumerate(held.turns))
    if not any(turn.content.strip() for turn in prompt):
        raise BadInput("The prompt would be empty: drop the example instead.")
    payload = {name: texts.get(f"payload:{name}", text) for name, text in held.payload_texts.items()}
    _check_payload(payload)
    response, value = _answer(project, held, texts)
    return Texts(prompt, texts.get("context", held.context), payload, response, value)


def _turn(turn: Turn, index: int, texts: Mapping[str, str]) -> Turn:
    extra = texts.get(f"extra:{index}", turn.extra)
    _check_extra(extra)
    return replace(turn, content=texts.get(f"turn:{index}", turn.content), extra=extra)


def _answer(project: Project, held: Held, texts: Mapping[str, str]) -> tuple[str, str]:
    """Response and value of the answer."""
    if project.task == "preference":
        if "reason" not in texts:
            return held.response, held.value
        return held.response, encode_preference(replace(decode_preference(held.value), reason=texts["reason"].strip()))
    if project.task == "chat" and held.value:
        turns = _said_anew(held, texts)
        return turns[-1].content or calls_text(turns[-1].extra), encode_conversation(turns)
    response = texts.get("answer", held.response)
    if not response.strip():
        raise BadInput("The answer would be empty: drop the example, or put it back into the queue.")
    if response != held.response:
        response = _choice(project, response)
    return response, held.value


def _choice(project: Project, response: str) -> str:
    """An answer as its task stores it. Raises BadInput for none of the project's labels."""
    if project.task not in ("classification", "multi-label", "rating"):
        return response
    names = [line.strip() for line in response.split("\n") if line.strip()]
    known = [label.name for label in project.settings.labels]
    if project.task == "rating":
        known = [str(number) for number in range(1, project.settings.rating_max + 1)]
    if project.task != "multi-label" and len(names) != 1:
        raise BadInput("One answer is needed, on one line.")
    if missing := next((name for name in names if name not in known), None):
        raise BadInput(tr("There is no answer '{answer}' in this project: choose another.", answer=missing[:80]))
    return "\n".join(name for name in known if name in names)


def _said(held: Held) -> dict[str, str]:
    """The turns of a chat's answer that differ from those of the prompt."""
    found: dict[str, str] = {}
    for index, message in enumerate(_conversation(held.value)):
        asked = held.turns[index] if index < len(held.turns) else None
        if asked is None or asked.content != message.content:
            found[f"said:{index}"] = message.content
        if asked is None or asked.extra != message.extra:
            found[f"said-extra:{index}"] = message.extra
    return found


def _said_anew(held: Held, texts: Mapping[str, str]) -> list[Message]:
    differing, made = _said(held), []
    for index, message in enumerate(_conversation(held.value)):
        content, extra = (
            f"{'said' if f'said:{index}' in differing else 'turn'}:{index}",
            f"{'said-extra' if f'said-extra:{index}' in differing else 'extra'}:{index}",
        )
        _check_extra(texts.get(extra, ""))
        made.append(
            replace(message, content=texts.get(content, message.content), extra=texts.get(extra, message.extra))
        )
    if not (made and (made[-1].content.strip() or made[-1].extra)):
        raise BadInput("The last turn would be empty: drop the example, or put it back into the queue.")
    return made


def _conversation(value: str) -> Sequence[Message]:
    try:
        return decode_conversation(value)
    except ValueError as error:
        told = {"why": tr(str(error))}
        raise BadInput(tr("This conversation cannot be read: {why}. Put it back into the queue.", **told)) from None


def _reason(value: str) -> str:
    try:
        return decode_preference(value).reason if value else ""
    except ValueError:
        return ""


def _check_extra(extra: str) -> None:
    try:
        decode_extra(extra)
    except ValueError as error:
        raise BadInput(tr("This turn cannot be stored like that: {why}.", why=tr(str(error)))) from None


def _check_payload(payload: Mapping[str, str]) -> None:
    try:
        encode_tools(payload.get("tools", ""))
    except ValueError as error:
        raise BadInput(tr("This example cannot be stored like that: {why}.", why=tr(str(error)))) from None
    if any(not text.strip() for name, text in payload.items() if name in ("a", "b")):
        raise BadInput("One of the two answers would be empty: drop the example instead.")


def _storable(text: str) -> None:
    if problem := unsafe_text(text):
        raise BadInput(tr("This text cannot be saved: {problem}. Remove that character.", problem=tr(problem)))
    if len(text) > TEXT_LIMIT:
        told = {"count": len(text), "most": TEXT_LIMIT}
        raise BadInput(tr("This text has {count:,} characters: at most {most:,} can be saved.", **told))


def field_words(name: str, roles: Collection[str] | Sequence[str] = ()) -> str:
    """A name as people say it: "user turn", "answer A"; `roles` are those of the prompt's turns."""
    kind, _, number = name.partition(":")
    if kind in ("turn", "extra") and number.isdigit():
        known = list(roles)
        role = tr(known[int(number)] if int(number) < len(known) else mark("turn"))
        return tr("{turn}, tool calls", turn=role) if kind == "extra" else role
    if kind == "payload":
        return tr({"a": mark("answer A"), "b": mark("answer B")}.get(number, number))
    if kind not in ("said", "said-extra"):
        return tr(name)
    turn = tr("turn {number}", number=int(number or 0) + 1)
    return tr("{turn}, tool calls", turn=turn) if kind == "said-extra" else turn


def as_payload(payload: Mapping[str, str]) -> str:
    """A payload as it is stored."""
    return json.dumps(dict(payload), ensure_ascii=False) if payload else ""
