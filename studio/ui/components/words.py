"""What changed between two texts, word by word, as HTML."""

from __future__ import annotations

from studio.contract.word_changes import word_changes
from studio.ui.components.html import text

_TAGS = {"gone": "del", "new": "ins"}


def word_diff(before: str, after: str) -> str:
    """`after` with what is new in <ins> and what is gone in <del>; of very long texts only what frames the change."""
    return "".join(
        f"<{_TAGS[kind]}>{text(piece)}</{_TAGS[kind]}>" if kind in _TAGS else text(piece)
        for kind, piece in word_changes(before, after)
    )
