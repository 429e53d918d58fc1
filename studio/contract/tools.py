"""Tools in conversations: the further fields of an OpenAI message, and the list of what a model may call, as stored.

Both are canonical JSON text, so that two equal conversations are two equal strings. What it leaves out: calling tools.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

FIELDS = ("name", "tool_call_id", "tool_calls")
"""Fields of a message that are kept besides role and content."""


def encode_extra(message: Mapping[str, object]) -> str:
    """What a message has besides role and content, '' for nothing. Raises ValueError with a reason."""
    found = {name: message[name] for name in FIELDS if message.get(name)}
    for name in ("name", "tool_call_id"):
        if not isinstance(found.get(name, ""), str):
            raise ValueError(f"the {name} of a message is no text")
    calls = found.get("tool_calls", [])
    if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
        raise ValueError("the tool calls of a message do not name their functions")
    return canonical(found) if found else ""


def decode_extra(extra: str) -> dict[str, Any]:
    """The reverse. Raises ValueError with a reason."""
    if not extra:
        return {}
    try:
        found = json.loads(extra)
    except (ValueError, RecursionError):
        raise ValueError("what a turn has besides its text is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("what a turn has besides its text is no object")
    encode_extra(found)
    return {name: found[name] for name in FIELDS if name in found}


def encode_tools(tools: object) -> str:
    """The list of tools that a conversation may use, '' for none. Raises ValueError with a reason."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else None
        except (ValueError, RecursionError):
            raise ValueError("its tools are not JSON") from None
    if not tools:
        return ""
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise ValueError("its tools are no list of objects")
    return canonical(tools)


def template_fields(extra: str) -> dict[str, Any]:
    """The fields as chat templates want them: OpenAI writes the arguments of a call as JSON text, templates write JSON
    themselves and would quote that text again."""
    if not extra:
        return {}
    fields = decode_extra(extra)
    for call in fields.get("tool_calls", ()):
        function = call["function"]
        if isinstance(function.get("arguments"), str):
            with contextlib.suppress(ValueError):  # what is no JSON is shown as it stands
                function["arguments"] = json.loads(function["arguments"])
    return fields


def calls_text(extra: str) -> str:
    """The calls of a turn as people read them, one a line: `name({"city": "Oslo"})`; '' where it has none."""
    if not extra:
        return ""
    functions = [call["function"] for call in template_fields(extra).get("tool_calls", ())]
    shown = [(function["name"], function.get("arguments", {})) for function in functions]
    return "\n".join(f"{name}({said if isinstance(said, str) else canonical(said)})" for name, said in shown)


def canonical(value: object) -> str:
    """JSON text without spaces, keys in order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _is_call(call: object) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str) and bool(function["name"])
