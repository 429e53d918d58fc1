"""What changed between two texts, word by word; how it looks is for who shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal

Change = tuple[Literal["same", "gone", "new"], str]
"""A piece of text, and whether both have it, only the first or only the second."""

_MOST_WORDS = 3000


def word_changes(before: str, after: str) -> Iterator[Change]:
    """The pieces of both in order, none empty; of very long texts only what frames the change."""
    old, new = _words(before), _words(after)
    if len(old) + len(new) > _MOST_WORDS:
        yield from _framed(old, new)
        return
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", "".join(new[c:d])
        else:
            yield from _pieces(("gone", old[a:b]), ("new", new[c:d]))


def _framed(old: list[str], new: list[str]) -> Iterator[Change]:
    """One change from the first word that differs to the last: the exact diff takes the square of the length."""
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - start
    end = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    gone, came = old[start : len(old) - end], new[start : len(new) - end]
    yield from _pieces(("same", new[:start]), ("gone", gone), ("new", came), ("same", new[len(new) - end :]))


def _pieces(*parts: tuple[Literal["same", "gone", "new"], list[str]]) -> Iterator[Change]:
    return ((kind, "".join(words)) for kind, words in parts if words)


def _words(value: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", value)
