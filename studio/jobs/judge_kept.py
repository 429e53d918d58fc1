"""A judge's replies, kept as they come, so that what was paid for once is not asked again; and the limit on the cost.

A file of one judge and one set of criteria has a line a reply, unreadable ones too, since they cost as much. A line
that cannot be read counts as not there.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from studio.evaluation.judge import Choice


@dataclass(frozen=True)
class Reply:
    """A reply to one order of a pair: `choice` is None where it could not be read; `counted` says whether the endpoint
    counted the tokens."""

    choice: Choice | None
    why: str
    prompt_tokens: int
    answer_tokens: int
    counted: bool


class Kept:
    """The replies in a file, by what they depend on (studio.evaluation.judge.reply_key)."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._replies: dict[str, list[Reply]] = defaultdict(list)
        for line in _lines(path):
            if found := _read(line):
                self._replies[found[0]].append(found[1])

    def choice(self, key: str) -> Reply | None:
        """The reply that could be read, if there is one."""
        return next((reply for reply in self._replies.get(key, ()) if reply.choice), None)

    def replies(self, key: str) -> list[Reply]:
        """All replies, in the order they came."""
        return list(self._replies.get(key, ()))

    def add(self, key: str, reply: Reply) -> None:
        """Keep a reply. Raises OSError when the disk is full."""
        line = json.dumps({"key": key} | asdict(reply), ensure_ascii=True)
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                # The empty line ends what a killed process left half; one write, so that two processes may append.
                file.write(f"\n{line}\n".encode())
            self._replies[key].append(reply)


class Budget:
    """What may still be spent: each request is set aside at the most it can cost before it is sent."""

    def __init__(self, most: float) -> None:
        self.most, self.spent = most, 0.0
        self._aside, self._lock = 0.0, threading.Lock()

    def take(self, most: float) -> bool:
        """Set so much aside; False where the limit would not hold it."""
        with self._lock:
            if self.most and self.spent + self._aside + most > self.most:
                return False
            self._aside += most
            return True

    def give(self, most: float, spent: float) -> None:
        """End what was set aside with what it came to."""
        with self._lock:
            self._aside -= most
            self.spent += spent


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _read(line: str) -> tuple[str, Reply] | None:
    try:
        row: dict[str, Any] = json.loads(line)
        key, reply = str(row.pop("key")), Reply(**row)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    whole = isinstance(reply.prompt_tokens, int) and isinstance(reply.answer_tokens, int) and isinstance(reply.why, str)
    return (key, reply) if whole and (reply.choice is None or reply.choice in get_args(Choice)) else None
