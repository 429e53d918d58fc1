"""One question to a judge's endpoint: patient with 429 and 5xx, content with what the endpoint knows, counting tokens.

The rules are studio.jobs.endpoint's: no redirects, no environment proxies, limits on size and time, and the key in no
error. What it leaves out: what is asked, and what the reply means (studio.evaluation.judge).
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from studio.contract.chat import Message
from studio.errors import JobFailed
from studio.jobs.endpoint import Endpoint, Unreachable, client_of, post

TRIES = 6
LONGEST_WAIT = 120.0
"""Seconds that an endpoint may ask for; who asks for more is asked again another day."""

_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_MOST_TOKENS = 10**9


class Stop(Exception):
    """The asking was called off meanwhile."""


@dataclass(frozen=True)
class Said:
    """A reply and its tokens, None where the endpoint does not count."""

    text: str
    prompt_tokens: int | None
    answer_tokens: int | None


class Asker:
    """Asks one endpoint from several threads: when it is busy, all of them wait.

    `wait(seconds)` returns True when the asking is called off.
    """

    def __init__(
        self, endpoint: Endpoint, reply_tokens: int, wait: Callable[[float], bool], transport: Any = None
    ) -> None:
        self._endpoint, self._reply_tokens, self._wait = endpoint, reply_tokens, wait
        self._client = client_of(endpoint, transport)
        self._lock = threading.Lock()
        self._until = 0.0
        self._known = 0

    def ask(self, turns: Sequence[Message]) -> Said:
        """The judge's reply. Raises Stop, and JobFailed with what the endpoint refused, never with the key."""
        why = ""
        for attempt in range(TRIES):
            self._pause()
            try:
                status, headers, body = self._post(turns)
            except Unreachable as error:
                status, headers, body, why = 0, httpx.Headers(), b"", str(error)
            if status == 200:
                return self._read(body)
            if status and status not in _BUSY:
                raise JobFailed(
                    f"The endpoint {self._endpoint.host} refused with status {status}: check its address, model and "
                    "key. What was judged is kept."
                )
            why = why if not status else f"The endpoint {self._endpoint.host} is too busy (status {status})"
            if attempt < TRIES - 1:
                self._busy(headers, attempt)
        raise JobFailed(f"{why.rstrip('.')}: go on later, what was judged is kept.")

    def _pause(self) -> None:
        while (left := self._until - time.monotonic()) > 0:
            if self._wait(left):
                raise Stop
        if self._wait(0):
            raise Stop

    def _busy(self, headers: httpx.Headers, attempt: int) -> None:
        asked = asked_wait(headers)
        if asked is not None and asked > LONGEST_WAIT:
            raise JobFailed(
                f"The endpoint {self._endpoint.host} asks to wait {math.ceil(asked / 60):,} minutes: go on then, what "
                "was judged is kept."
            )
        seconds = asked if asked is not None else min(30.0, 2.0**attempt)
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def _post(self, turns: Sequence[Message]) -> tuple[int, httpx.Headers, bytes]:
        """With all that we would like; where that is refused, with less, which is remembered."""
        bodies = _bodies(self._endpoint, turns, self._reply_tokens)
        for number in range(self._known, len(bodies)):
            status, headers, body = post(self._client, self._endpoint, bodies[number])
            if status not in (400, 422) or number == len(bodies) - 1:
                if status == 200:
                    self._known = number
                break
        return status, headers, body

    def _read(self, body: bytes) -> Said:
        try:
            given = json.loads(body)
            text = str(given["choices"][0]["message"]["content"] or "")
            usage = given.get("usage")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            host = self._endpoint.host
            raise JobFailed(f"The endpoint {host} does not answer as OpenAI's chat completions do.") from None
        usage = usage if isinstance(usage, dict) else {}
        if self._endpoint.key:
            text = text.replace(self._endpoint.key, "…")  # an endpoint that says it back must not have it kept
        return Said(text, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def asked_wait(headers: httpx.Headers) -> float | None:
    """Seconds that Retry-After asks for, as a number or as a date; None where it is missing or makes no sense."""
    value = headers.get("retry-after", "").strip()[:60]
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _bodies(endpoint: Endpoint, turns: Sequence[Message], reply_tokens: int) -> list[dict[str, object]]:
    """From what we would like to what every endpoint knows; reasoning models want another name for the limit, and no
    temperature."""
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    plain: dict[str, object] = {"model": endpoint.model, "messages": messages}
    greedy = {**plain, "temperature": 0, "max_tokens": reply_tokens}
    return [
        {**greedy, "response_format": {"type": "json_object"}},
        greedy,
        {**plain, "max_completion_tokens": reply_tokens},
    ]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None
