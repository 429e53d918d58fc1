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
        raise BadInput(f"There is no answer '{missing[:80]}' in this project: choose another.")
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
        raise BadInput(f"This conversation cannot be read: {error}. Put it back into the queue.") from None


def _reason(value: str) -> str:
    try:
        return decode_preference(value).reason if value else ""
    except ValueError:
        return ""


def _check_extra(extra: str) -> None:
    try:
        decode_extra(extra)
    except ValueError as error:
        raise BadInput(f"This turn cannot be stored like that: {error}.") from None


def _check_payload(payload: Mapping[str, str]) -> None:
    try:
        encode_tools(payload.get("tools", ""))
    except ValueError as error:
        raise BadInput(f"This example cannot be stored like that: {error}.") from None
    if any(not text.strip() for name, text in payload.items() if name in ("a", "b")):
        raise BadInput("One of the two answers would be empty: drop the example instead.")


def _storable(text: str) -> None:
    if problem := unsafe_text(text):
        raise BadInput(f"This text cannot be saved: {problem}. Remove that character.")
    if len(text) > TEXT_LIMIT:
        raise BadInput(f"This text has {len(text):,} characters: at most {TEXT_LIMIT:,} can be saved.")


def field_words(name: str, roles: Collection[str] | Sequence[str] = ()) -> str:
    """A name as people say it: "user turn", "answer A"; `roles` are those of the prompt's turns."""
    kind, _, number = name.partition(":")
    if kind in ("turn", "extra") and number.isdigit():
        known = list(roles)
        role = known[int(number)] if int(number) < len(known) else "turn"
        return f"{role}, tool calls" if kind == "extra" else role
    if kind == "payload":
        return {"a": "answer A", "b": "answer B"}.get(number, number)
    words = {"said": f"turn {int(number or 0) + 1}", "said-extra": f"turn {int(number or 0) + 1}, tool calls"}
    return words.get(kind, name)


def as_payload(payload: Mapping[str, str]) -> str:
    """A payload as it is stored."""
    return json.dumps(dict(payload), ensure_ascii=False) if payload else ""
