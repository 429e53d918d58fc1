"""Tokens to text while they come: no half characters, no lost spaces, nothing of a stop string shown.

What it leaves out: undoing text already given; so characters wait until it is sure that they belong to the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.inference.request import TokenScore

_BROKEN = "\ufffd"
_PATIENCE = 8
"""Tokens to wait for the rest of a character before the replacement character is shown as the model wrote it."""


class AnswerText:
    """The text of one growing answer. `stopped` turns True once a stop string was met."""

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._ids: list[int] = []
        self._begin = 0
        self._given = 0
        self._held = ""

    def push(self, token: int) -> str:
        """The text that is certain now that `token` was added ("" while it may still change)."""
        self._ids.append(token)
        return "" if self.stopped else self._release(self._fresh(False), False)

    def flush(self) -> str:
        """What was held back, at the end of the answer."""
        return "" if self.stopped else self._release(self._fresh(True), True)

    def _fresh(self, last: bool) -> str:
        # Both texts begin at the same earlier token, so whatever a tokenizer strips or joins there cancels out.
        before = self._decode(self._ids[self._begin : self._given])
        after = self._decode(self._ids[self._begin :])
        waiting = len(self._ids) - self._given
        if after.endswith(_BROKEN) and waiting < _PATIENCE and not last:
            return ""
        if len(after) <= len(before):
            return ""
        self._begin, self._given = self._given, len(self._ids)
        return after[len(before) :]

    def _release(self, fresh: str, last: bool) -> str:
        if not self._stop:
            return fresh
        text = self._held + fresh
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped = True
            return text[: min(found)]
        keep = 0 if last else max(_overlap(text, stop) for stop in self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` could begin."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)


def token_text(tokenizer: Any, token: int) -> str:
    """A token by itself, special ones too."""
    return str(tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))


def within(scores: Sequence[TokenScore], text: str) -> list[TokenScore]:
    """The tokens that begin inside of `text`."""
    kept, length = [], 0
    for score in scores:
        if length >= len(text):
            break
        kept.append(score)
        length += len(score.text)
    return kept
