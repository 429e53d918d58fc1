"""What makes two prompts the same: the content key, a hash of turns, context and the answers to choose from.

Importing, freezing and comparing all ask here, so that a prompt is known again wherever it comes from.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Protocol


class Spoken(Protocol):
    """A turn, whichever class holds it."""

    @property
    def role(self) -> str: ...

    @property
    def content(self) -> str: ...

    @property
    def extra(self) -> str: ...


def content_key(prompt: Sequence[Spoken], context: str, payload: Mapping[str, str] | None = None) -> str:
    """What makes two prompts one: SHA-256 (hex) of roles, texts and context, and of the answers to choose from.

    Texts are compared in Unicode's composed form (NFC) and without white space around them, so that é typed as one
    character or as two is the same prompt. Case and inner white space count: in code and in labels they matter.
    """
    turns = [[turn.role, normal_text(turn.content), *([turn.extra] if turn.extra else ())] for turn in prompt]
    parts: list[object] = [turns, normal_text(context)]
    if payload:
        parts.append({name: normal_text(text) for name, text in sorted(payload.items())})
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def normal_text(text: str) -> str:
    """The form in which texts are compared."""
    return unicodedata.normalize("NFC", text).strip()
