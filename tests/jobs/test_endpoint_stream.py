"""An endpoint's answer piece by piece: what is sent, what comes, what is refused, and that its key goes nowhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from studio.contract.chat import Message
from studio.errors import JobFailed
from studio.jobs.endpoint import Endpoint
from studio.jobs.endpoint_stream import stream_endpoint
from studio.jobs.engine import Answer, Sampling

KEY = "sk-very-secret"
ENDPOINT = Endpoint("https://models.example/v1", "big", KEY)


def lines(*pieces: str, finish: str | None = "stop", usage: int = 0) -> bytes:
    """A stream of these pieces, as an endpoint sends it."""
    body: list[dict[str, Any]] = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    body.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    if usage:
        body.append({"choices": [], "usage": {"completion_tokens": usage}})
    return b"".join(f"data: {json.dumps(line)}\r\n\r\n".encode() for line in body) + b"data: [DONE]\n\n"


def stream(handler: Callable[[httpx.Request], httpx.Response]) -> list[str | Answer]:
    """All that comes."""

    async def run() -> list[str | Answer]:
        sampling = Sampling(0.5, 0.9, 16, seed=3)
        asked = stream_endpoint(ENDPOINT, [Message("user", "Hi")], sampling, httpx.MockTransport(handler))
        return [piece async for piece in asked]

    return asyncio.run(run())


def test_pieces_come_and_then_the_whole() -> None:
    *pieces, whole = stream(lambda request: httpx.Response(200, content=lines("Zür", "ich", finish="length", usage=9)))
    assert pieces == ["Zür", "ich"] and isinstance(whole, Answer)
    assert (whole.text, whole.finish, whole.tokens) == ("Zürich", "length", 9)
    assert (whole.weights.base, whole.weights.base_hash) == ("big at models.example", "")


def test_the_same_sampling_is_asked_for_and_a_seed_that_is_refused_left_out() -> None:
    seen: list[dict[str, object]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(400) if "seed" in seen[-1] else httpx.Response(200, content=lines("ok"))

    assert stream(handler)[0] == "ok"
    assert [body.get("seed") for body in seen] == [3, None]
    assert all((body["temperature"], body["top_p"], body["max_tokens"]) == (0.5, 0.9, 16) for body in seen)


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(401), "refused with status 401"),
        (httpx.Response(307, headers={"location": "https://evil.example"}), "sends elsewhere"),
        (httpx.Response(200, content=b"data: {broken\n"), "does not stream"),
        (httpx.Response(200, content=b"<html>"), "does not stream"),
        (httpx.Response(200, content=lines("x", finish=None)), "does not stream"),
        (httpx.Response(200, content=b'data: {"choices": 5}\n'), "does not stream"),
        (httpx.Response(200, content=b"x" * (9 << 20)), "more than eight megabytes"),
    ],
)
def test_what_goes_wrong_is_one_sentence_without_the_key(response: httpx.Response, said: str) -> None:
    with pytest.raises(JobFailed, match=said) as failed:
        stream(lambda request: response)
    assert KEY not in str(failed.value)
