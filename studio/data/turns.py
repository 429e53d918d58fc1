"""Messages of a file as turns: OpenAI's and ShareGPT's roles, texts in parts, tool calls and what came of them.

What it leaves out: which turns are prompt and which the answer (studio.data.columns).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from storage.records import Turn
from studio.contract.answers import unsafe_text
from studio.contract.tools import calls_text, decode_extra, encode_extra
from studio.data.rows import as_text
from studio.data.targets import Unusable
from studio.language import mark, tr

MESSAGES = ("messages", "conversations", "conversation")
"""Names of columns that hold a list of messages, also as JSON text."""

_ROLES = {
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "bot", "model", "chatgpt", "function_call"), "assistant"),
    **dict.fromkeys(("function", "observation", "tool_response", "ipython"), "tool"),
    "developer": "system",
}
_BESIDE = ("name", "tool_call_id", "tool_calls", "function_call", "extra")
_KNOWN = ("system", "user", "assistant", "tool")
_TEXT_PARTS = ("text", "input_text", "output_text")


def as_messages(value: object, column: str = "messages") -> list[Turn] | None:
    """The turns of a value that is a list of messages (or JSON text of one, in a column so named); else None.

    Raises Unusable for a list that is meant as messages and is not.
    """
    found = read_messages(value, column)
    return None if found is None else [as_turn(message) for message in found]


def read_messages(value: object, column: str) -> list[dict[str, object]] | None:
    """The objects of a list of messages, as `as_messages`."""
    named = column.strip().lower() in MESSAGES
    if isinstance(value, str) and named:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unusable(tr("its messages are not JSON")) from None
    if not isinstance(value, list) or not value or not all(isinstance(turn, dict) for turn in value):
        if named:
            raise Unusable(tr("it has no list of messages"))
        return None
    return cast("list[dict[str, object]]", value)


def as_turn(message: Mapping[str, object]) -> Turn:
    """One message as a turn. Raises Unusable."""
    said = as_text(message.get("role") or message.get("from")).strip().lower()
    role = _ROLES.get(said, said)
    if role not in _KNOWN:
        raise Unusable(
            tr("a message has the role '{role}': known are system, user, assistant and tool", role=role[:40])
        )
    content = message.get("content")
    content = message.get("value") if content is None else content
    if said == "function_call":
        return Turn(role, "", _extra({"tool_calls": _called(content)}))
    extra = _extra(message)
    if content is None and calls_text(extra):
        content = ""
    return Turn(role, _joined(content), extra)


def _joined(content: object) -> str:
    """The text of a message; of several parts, joined by line breaks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise Unusable(tr("a message has no text"))
    return "\n".join(map(_part, content))


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    kind = as_text(part.get("type")) if isinstance(part, dict) else ""
    text = part.get("text") if isinstance(part, dict) else None
    if kind in ("", *_TEXT_PARTS) and isinstance(text, str):
        return text
    what = kind[:40] or tr("something")
    raise Unusable(tr("a message holds '{what}': only text can be taken, no images or sound", what=what))


def _extra(message: Mapping[str, object]) -> str:
    if not any(map(message.get, _BESIDE)):
        return ""
    found = {name: message.get(name) for name in ("name", "tool_call_id", "tool_calls")}
    calls = found["tool_calls"]
    if isinstance(calls, list):
        found["tool_calls"] = [_tidy(call) for call in calls]
    elif message.get("function_call"):
        found["tool_calls"] = _called(message["function_call"])
    try:
        packed = message.get("extra")  # how a snapshot's file holds them
        extra = encode_extra(decode_extra(packed) if isinstance(packed, str) and packed else found)
        calls_text(extra)  # whoever shows it will do this too, so it has to work
    except (ValueError, TypeError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else mark("its tool calls cannot be read")
        raise Unusable(tr(why)) from None
    if "\\u0000" in extra or unsafe_text(extra):
        raise Unusable(tr("its tool calls contain NUL bytes or half a character"))
    return extra


def _tidy(call: object) -> object:
    """A call without the empty fields that a column of structs gives each of its rows."""
    if not isinstance(call, dict):
        return call
    kept = {name: value for name, value in call.items() if value is not None}
    if isinstance(kept.get("function"), dict):
        kept["function"] = {name: value for name, value in kept["function"].items() if value is not None}
    return kept


def _called(value: object) -> list[object]:
    """Calls as they were written before there were tools: a name and arguments, or a list of such, maybe as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unusable(tr("its tool call is not JSON")) from None
    calls = value if isinstance(value, list) else [value]
    return [{"type": "function", "function": _tidy(call)} for call in calls]
