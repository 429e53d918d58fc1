"""An answer of the OpenAI-compatible endpoint piece by piece, so that it streams beside our own models' answers.

The same rules as in studio.jobs.endpoint: no redirects, no environment proxies, a limit on size and time, and the key
in no error. What it leaves out: log probabilities, tools, and whether the endpoint minds the seed.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from studio.contract.chat import Message
from studio.errors import BadInput, JobFailed
from studio.jobs.endpoint import Endpoint, elsewhere, refused, unreachable
from studio.jobs.engine import Answer, Sampling, Weights
from studio.jobs.outward import AsyncOutward
from studio.language import tr

_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
_DATA = "data:"
_LIMIT = 8 << 20
"""Bytes of the longest stream: each token comes in a few hundred of them."""


async def stream_endpoint(
    endpoint: Endpoint, messages: Sequence[Message], sampling: Sampling, transport: Any = None
) -> AsyncIterator[str | Answer]:
    """Pieces of text as they come, then the whole answer, whose weights are the endpoint's model by name alone.

    `tokens` is what the endpoint counts, or how many pieces came where it does not say. Raises JobFailed with what the
    endpoint refused. Closing the iterator ends the request.
    """
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    coming = _Coming(endpoint)
    async with httpx.AsyncClient(
        timeout=_TIMEOUT,
        trust_env=False,
        follow_redirects=False,
        headers=headers,
        transport=transport or AsyncOutward(trust_env=False),
    ) as client:
        try:
            for body in _bodies(endpoint, messages, sampling):
                async with client.stream("POST", f"{endpoint.url}/chat/completions", json=body) as response:
                    if response.status_code in (400, 422) and "seed" in body:
                        continue  # some refuse a seed, or to count the tokens of a stream
                    _check(endpoint, response)
                    async for line in _lines(endpoint, response):
                        if piece := coming.take(line):
                            yield piece
                break
        except BadInput as error:
            raise JobFailed(str(error)) from None
        except httpx.HTTPError as error:
            raise JobFailed(unreachable(endpoint, error)) from None
    yield coming.whole()


class _Coming:
    """An answer while its lines come in."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._start = endpoint, time.perf_counter()
        self._text, self._finish, self._pieces = "", "", 0
        self._tokens: int | None = None

    def take(self, line: str) -> str:
        """The piece of text in a line of the stream, if any. Raises JobFailed for a line that is none of its kind."""
        data = line[len(_DATA) :].strip()
        if not line.startswith(_DATA) or data == "[DONE]":
            return ""
        try:
            body = json.loads(data)
            self._tokens = int((body.get("usage") or {}).get("completion_tokens") or 0) or self._tokens
            choice = (body.get("choices") or [{}])[0]
            self._finish = str(choice.get("finish_reason") or self._finish)
            piece = str((choice.get("delta") or {}).get("content") or "")
        except (ValueError, AttributeError, IndexError, KeyError, TypeError, RecursionError):
            raise JobFailed(_odd(self._endpoint)) from None
        self._text += piece
        self._pieces += bool(piece)
        return piece

    def whole(self) -> Answer:
        """The answer, once all lines are taken. Raises JobFailed where it never ended."""
        if not self._finish:
            raise JobFailed(_odd(self._endpoint))
        named = f"{self._endpoint.model} at {self._endpoint.host}"
        finish = "length" if self._finish == "length" else "stop"
        seconds = time.perf_counter() - self._start
        return Answer(self._text, Weights(named, "", None, None), finish, self._tokens or self._pieces, seconds)


def _bodies(endpoint: Endpoint, messages: Sequence[Message], sampling: Sampling) -> list[dict[str, object]]:
    """What to send: with all that we would like, then with what every endpoint knows."""
    plain: dict[str, object] = {
        "model": endpoint.model,
        "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "stream": True,
    }
    return [{**plain, "seed": sampling.seed or 0, "stream_options": {"include_usage": True}}, plain]


async def _lines(endpoint: Endpoint, response: httpx.Response) -> AsyncIterator[str]:
    """The lines of a stream. Raises JobFailed past the limit, also within a single line."""
    size, rest = 0, b""
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > _LIMIT:
            host = endpoint.host
            raise JobFailed(tr("The endpoint {host} sent more than eight megabytes for one answer.", host=host))
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace").strip()
    yield rest.decode("utf-8", "replace").strip()


def _check(endpoint: Endpoint, response: httpx.Response) -> None:
    if response.is_redirect:
        raise JobFailed(elsewhere(endpoint))
    status = response.status_code
    if status != 200:
        raise JobFailed(refused(endpoint, status))


def _odd(endpoint: Endpoint) -> str:
    return tr("The endpoint {host} does not stream as OpenAI's chat completions do.", host=endpoint.host)
