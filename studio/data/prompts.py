"""From a pair to messages, and what makes two prompts the same.

The snapshot, the export and whoever asks a model go through `to_messages`, so that all see the same conversation.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from typing import cast

from storage.records import Turn
from studio.contract.chat import Message, Role, conversation


def content_key(prompt: Sequence[Turn], context: str) -> str:
    """What makes two prompts one: SHA-256 (hex) of roles, texts and context.

    Texts are compared in Unicode's composed form (NFC) and without white space around them, so that é typed as one
    character or as two is the same prompt. Case and inner white space count: in code and in labels they matter.
    """
    turns = [[turn.role, _normal(turn.content)] for turn in prompt]
    return hashlib.sha256(json.dumps([turns, _normal(context)], ensure_ascii=False).encode()).hexdigest()


def to_messages(
    prompt: Sequence[Turn], context: str = "", system: str = "", answer: str | None = None
) -> list[Message]:
    """The conversation a model sees: system prompt, turns with the context before the last user turn, the answer."""
    turns = [Message(cast(Role, turn.role), turn.content) for turn in prompt]
    if context and turns:
        turns[-1] = Message(turns[-1].role, f"{context}\n\n{turns[-1].content}")
    return conversation(turns, system, answer)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
