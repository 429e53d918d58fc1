"""Answers that are more than text, as they are stored: the conversation of a chat, the choice of a preference.

Both forms are canonical JSON, so that two equal answers are two equal strings; and what makes a text unfit to be stored
is said here once. What it leaves out: whether an answer fits its project (studio.labeling.answers).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from studio.contract.chat import Message, Role
from studio.contract.tools import decode_extra, encode_extra

TEXT_LIMIT = 200_000
"""Characters of the longest prompt, context or answer."""

ROLES = ("system", "user", "assistant", "tool")
CHOICES = ("A", "B", "tie")
MARGINS = (1, 2, 3)


@dataclass(frozen=True)
class Preference:
    """Which of two answers is better: `choice` is A, B or tie; `margin` by how much (1 to 3), None where not said."""

    choice: str
    margin: int | None = None
    reason: str = ""


def encode_conversation(messages: Sequence[Message]) -> str:
    """A whole conversation as a stored value. Only assistant turns can carry `train`."""
    turns = [
        {"role": message.role, "content": message.content, "train": message.train and message.role == "assistant"}
        | ({"extra": message.extra} if message.extra else {})
        for message in messages
    ]
    return _canonical({"turns": turns})


def decode_conversation(value: str) -> tuple[Message, ...]:
    """The turns of a stored or sent value. Without any `train` of its own, the last assistant turn alone is trained.

    Raises ValueError with a reason that stands behind "its conversation cannot be read: ".
    """
    turns = _object(value).get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError("it has no list of turns")
    return with_flags(turns)


def with_flags(turns: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Messages of objects with `role`, `content`, and maybe `train` (missing or None: unsaid) and `extra`.

    Raises ValueError for what is no turn.
    """
    unsaid = all(turn.get("train") is None for turn in turns if turn.get("role") == "assistant")
    last = max((index for index, turn in enumerate(turns) if turn.get("role") == "assistant"), default=-1)
    made = []
    for index, turn in enumerate(turns):
        role, content, flag, extra = (turn.get(name) for name in ("role", "content", "train", "extra"))
        if role not in ROLES:
            raise ValueError(f"a turn has the role '{str(role)[:40]}'")
        if not isinstance(content, str):
            raise ValueError("a turn has no text")
        if flag not in (None, True, False):
            raise ValueError("whether to train on a turn is neither true nor false")
        train = role == "assistant" and (index == last if unsaid else bool(flag))
        made.append(Message(cast(Role, role), content, train, encode_extra(decode_extra(str(extra or "")))))
    return tuple(made)


def trained_by_default(messages: Sequence[Message]) -> bool:
    """Whether loss lies on the last turn alone, as in a pair of prompt and answer."""
    flags = [message.train for message in messages if message.role == "assistant"]
    return bool(flags) and flags[-1] and not any(flags[:-1]) and messages[-1].role == "assistant"


def encode_preference(preference: Preference) -> str:
    """A choice as a stored value."""
    return _canonical({"choice": preference.choice, "margin": preference.margin, "reason": preference.reason})


def decode_preference(value: str) -> Preference:
    """The reverse. Raises ValueError with a reason."""
    found = _object(value)
    choice, margin, reason = found.get("choice"), found.get("margin"), found.get("reason")
    if choice not in CHOICES:
        raise ValueError("the choice is none of A, B and tie")
    if margin is not None and (isinstance(margin, bool) or margin not in MARGINS):
        raise ValueError("the margin is none of 1, 2 and 3")
    if reason is not None and not isinstance(reason, str):
        raise ValueError("the reason is no text")
    return Preference(choice, None if margin is None else int(margin), reason or "")


def unsafe_text(text: str) -> str | None:
    """Why a text cannot be stored, or None: NUL bytes and halves of characters break files downstream."""
    if "\0" in text:
        return "it contains NUL bytes"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "it contains half a character (a lone surrogate)"
    return None


def _object(value: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
