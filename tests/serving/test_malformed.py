"""Whatever arrives as a body: an answer below 500 with an error in OpenAI's form, and the server goes on."""

from __future__ import annotations

import gc
import json
import random
from typing import Any

import httpx
import pytest

from tests.serving.conftest import House, turns

GOOD: dict[str, Any] = {"model": "run-1", "messages": turns(), "max_tokens": 2, "temperature": 0.5, "seed": 1}
VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**70, 1e308, float("nan"), float("inf"), "", "x", "\0", "\ud800", "é" * 50, [], [[]], [None],
    {}, {"a": 1}, [1] * 40, ["a"] * 20, [{"role": "user"}], [{"role": "user", "content": {}}], {"type": "json_object"},
    {"type": "json_schema"}, [{"role": "tool", "content": "x"}], "base", "../../etc/passwd", {"include_usage": 1},
]  # fmt: skip
NAMES = [
    *("model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "stop"),
    *("seed", "stream", "stream_options", "logprobs", "top_logprobs", "response_format", "tools", "tool_choice"),
    *("logit_bias", "user", "best_of", "echo", "suffix", "metadata", "request_id", "rating", "text", "unknown"),
]
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/feedback"]


def mixed(seed: int) -> bytes:
    """A body that is nearly right, or not at all."""
    draw = random.Random(seed)
    if draw.random() < 0.2:
        return draw.choice([b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b'{"a":' * 3000, draw.randbytes(300)])
    body = dict(GOOD) if draw.random() < 0.8 else {}
    if draw.random() < 0.4:
        body |= {"prompt": "ab"}
        body.pop("messages", None)
    for name in draw.sample(NAMES, draw.choice([0, 1, 1, 2, 3])):
        body[name] = draw.choice(VALUES)
    text = json.dumps(body).encode()
    return text[: draw.randrange(len(text))] if draw.random() < 0.1 else text


def test_no_body_is_answered_with_a_500(house: House) -> None:
    statuses: dict[int, int] = {}
    with httpx.Client(timeout=60, trust_env=False) as client:
        for seed in range(400):
            answer = client.post(house.url + PATHS[seed % 3], content=mixed(seed))
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            assert answer.status_code in (200, 400, 404), (answer.status_code, mixed(seed)[:500], answer.text)
            if answer.status_code != 200:
                error = answer.json()["error"]
                assert error["message"].endswith((".", "them.")) and "Traceback" not in error["message"]
    assert statuses[200] > 20 and statuses[400] > 200  # both kinds were tried


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("GET", "/../etc/passwd"), ("DELETE", "/v1/models/base")],
)
def test_other_addresses_and_methods(house: House, method: str, path: str) -> None:
    answer = httpx.request(method, house.url + path, timeout=30, trust_env=False)
    assert answer.status_code in (404, 405) and answer.json()["error"]["code"] == "not_found"


def test_nothing_is_left_of_requests_that_have_ended(house: House) -> None:
    from studio.serving.exchange import Exchange
    from studio.serving.tickets import Ticket

    for stream in (True, False):
        for _ in range(20):
            house.post("/v1/chat/completions", json={**GOOD, "stream": stream})
    gc.collect()
    left = [one for one in gc.get_objects() if isinstance(one, (Exchange, Ticket))]
    assert len(left) <= 2 and house.server._scheduler.active == 0 and house.server._doors.busy == 0
