"""What changed between two texts, word by word, as HTML."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from studio.ui.components.html import text

_MOST_WORDS = 3000


def word_diff(before: str, after: str) -> str:
    """`after` with what is new in <ins> and what is gone in <del>; of very long texts only what frames the change."""
    old, new = _words(before), _words(after)
    if len(old) + len(new) > _MOST_WORDS:
        return _framed(old, new)
    parts = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(text("".join(new[c:d])))
        else:
            parts.append(_marked("del", old[a:b]) + _marked("ins", new[c:d]))
    return "".join(parts)


def _framed(old: list[str], new: list[str]) -> str:
    """One change from the first word that differs to the last: the exact diff takes the square of the length."""
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - start
    end = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    gone, came = old[start : len(old) - end], new[start : len(new) - end]
    tail = text("".join(new[len(new) - end :]))
    return text("".join(new[:start])) + _marked("del", gone) + _marked("ins", came) + tail


def _marked(tag: str, words: list[str]) -> str:
    return f"<{tag}>{text(''.join(words))}</{tag}>" if words else ""


def _words(value: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", value)
