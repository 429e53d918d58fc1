"""From a pair to messages, and what prompts are compared by.

The snapshot, the export and whoever asks a model go through `to_messages`, so that all see the same conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from storage.records import Pair, Project, Turn
from studio.contract.answers import decode_conversation
from studio.contract.chat import Message, Role, conversation
from studio.contract.prompt_keys import content_key, normal_text

__all__ = [
    "Target",
    "content_key",
    "context_turn",
    "label_of",
    "normal_text",
    "text_of",
    "to_messages",
    "to_target",
]


@dataclass(frozen=True)
class Target:
    """What a pair teaches: a whole conversation with the `tools` it may call (JSON of a list, or ''), and, of a
    preference, the answer that was not preferred."""

    messages: tuple[Message, ...]
    rejected: str | None = None
    tools: str = ""


def to_messages(
    prompt: Sequence[Turn], context: str = "", system: str = "", answer: str | None = None
) -> list[Message]:
    """The conversation a model sees: system prompt, turns with the context put before the last user turn, the answer.

    Loss lies on that answer alone.
    """
    turns = [Message(cast(Role, turn.role), turn.content, False, turn.extra) for turn in prompt]
    at = context_turn(turns)
    if context and at is not None:
        turns[at] = replace(turns[at], content=f"{context}\n\n{turns[at].content}")
    return conversation(turns, system, answer)


def to_target(project: Project, pair: Pair) -> Target | None:
    """What a labeled pair teaches, by the project's task; None for a tie, which prefers nothing.

    The target is the answer as text: the label's name, several names joined by ", ", the number of a rating, the
    preferred answer. Of a chat it is the conversation as the annotator left it.
    """
    if project.task == "chat" and pair.value:
        turns = _conversation(decode_conversation(pair.value), pair.context, project.system_prompt)
        return Target(tuple(turns), None, pair.payload.get("tools", ""))
    answer, rejected = pair.response, None
    if project.task == "preference":
        if pair.response not in ("A", "B") or not pair.payload:
            return None
        answer, rejected = (pair.payload[side] for side in ("ab" if pair.response == "A" else "ba"))
    elif project.task == "multi-label":
        answer = ", ".join(pair.response.split("\n"))
    messages = to_messages(pair.prompt, pair.context, project.system_prompt, answer)
    return Target(tuple(messages), rejected, pair.payload.get("tools", ""))


def label_of(task: str, response: str) -> str:
    """What a split is stratified by: the label, the first of several, the number of a rating; '' for other tasks."""
    return response.split("\n", 1)[0] if task in ("classification", "multi-label", "rating") else ""


def text_of(prompt: Sequence[Turn], context: str) -> str:
    """What prompts are compared by where nearly the same is the same: context and turns, without a system turn."""
    said = [turn.content for turn in prompt if turn.role != "system"]
    return "\n".join([context, *said] if context else said)


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
        made[at] = replace(made[at], content=f"{context}\n\n{made[at].content}")
    return conversation(made, system)
