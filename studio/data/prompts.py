"""From a pair to messages, and what makes two prompts the same.

The snapshot, the export and whoever asks a model go through `to_messages`, so that all see the same conversation.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from storage.records import Pair, Project, Turn
from studio.contract.answers import decode_conversation
from studio.contract.chat import Message, Role, conversation


@dataclass(frozen=True)
class Target:
    """What a pair teaches: a whole conversation, and, of a preference, the answer that was not preferred."""

    messages: tuple[Message, ...]
    rejected: str | None = None


def content_key(prompt: Sequence[Turn], context: str, payload: Mapping[str, str] | None = None) -> str:
    """What makes two prompts one: SHA-256 (hex) of roles, texts and context, and of the answers to choose from.

    Texts are compared in Unicode's composed form (NFC) and without white space around them, so that é typed as one
    character or as two is the same prompt. Case and inner white space count: in code and in labels they matter.
    """
    parts: list[object] = [[[turn.role, _normal(turn.content)] for turn in prompt], _normal(context)]
    if payload:
        parts.append({name: _normal(text) for name, text in sorted(payload.items())})
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def to_messages(
    prompt: Sequence[Turn], context: str = "", system: str = "", answer: str | None = None
) -> list[Message]:
    """The conversation a model sees: system prompt, turns with the context before the last user turn, the answer.

    Loss lies on that answer alone.
    """
    turns = [Message(cast(Role, turn.role), turn.content, False) for turn in prompt]
    if context and turns:
        turns[-1] = Message(turns[-1].role, f"{context}\n\n{turns[-1].content}", False)
    return conversation(turns, system, answer)


def to_target(project: Project, pair: Pair) -> Target | None:
    """What a labeled pair teaches, by the project's task; None for a tie, which prefers nothing.

    The target is the answer as text: the label's name, several names joined by ", ", the number of a rating, the
    preferred answer. Of a chat it is the conversation as the annotator left it.
    """
    if project.task == "chat" and pair.value:
        return Target(tuple(_conversation(decode_conversation(pair.value), pair.context, project.system_prompt)))
    answer, rejected = pair.response, None
    if project.task == "preference":
        if pair.response not in ("A", "B") or not pair.payload:
            return None
        answer, rejected = (pair.payload[side] for side in ("ab" if pair.response == "A" else "ba"))
    elif project.task == "multi-label":
        answer = ", ".join(pair.response.split("\n"))
    return Target(tuple(to_messages(pair.prompt, pair.context, project.system_prompt, answer)), rejected)


def context_turn(messages: Sequence[Message]) -> int | None:
    """The turn that a context is put before: the last user turn ahead of the first answer that is trained."""
    answers = (index for index, turn in enumerate(messages) if turn.role == "assistant" and turn.train)
    trained = next(answers, len(messages))
    users = [index for index, message in enumerate(messages[:trained]) if message.role == "user"]
    return users[-1] if users else None


def _conversation(turns: Sequence[Message], context: str, system: str) -> list[Message]:
    made = list(turns)
    at = context_turn(made)
    if context and at is not None:
        made[at] = Message("user", f"{context}\n\n{made[at].content}", False)
    return conversation(made, system)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
