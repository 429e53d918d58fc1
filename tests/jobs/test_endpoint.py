"""An endpoint of somebody else's: how it is kept, how it is asked, and that its key goes nowhere else."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Callable

import httpx
import pytest

from studio.contract.chat import Message
from studio.errors import BadInput, JobFailed
from studio.jobs.endpoint import Endpoint, ask_endpoint, drop_endpoint, load_endpoint, save_endpoint
from studio.settings import Workspace

URL, KEY = "https://models.example/v1", "sk-very-secret"
ENDPOINT = Endpoint(URL, "big", KEY)
ASKED = [(Message("user", "Hi"),)]


def answer(content: str = "Hello", **more: object) -> dict[str, object]:
    return {"choices": [{"message": {"role": "assistant", "content": content}, **more}]}


def ask(handler: Callable[[httpx.Request], httpx.Response], endpoint: Endpoint = ENDPOINT) -> list:
    return ask_endpoint(endpoint, ASKED, 16, httpx.MockTransport(handler))


def test_it_is_kept_for_the_owner_alone(workspace: Workspace) -> None:
    assert load_endpoint(workspace) is None
    save_endpoint(workspace, URL + "/chat/completions/", " big ", KEY)
    assert load_endpoint(workspace) == ENDPOINT
    assert stat.S_IMODE((workspace.root / "endpoint.json").stat().st_mode) == 0o600
    assert KEY not in repr(ENDPOINT)
    drop_endpoint(workspace)
    assert load_endpoint(workspace) is None


def test_an_empty_key_keeps_the_one_of_that_address_only(workspace: Workspace) -> None:
    save_endpoint(workspace, URL, "big", KEY)
    assert save_endpoint(workspace, URL, "small").key == KEY
    assert save_endpoint(workspace, "https://elsewhere.example/v1", "small").key == ""


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "models.example",
            "file:///etc/passwd",
            "ftp://a.b/",
            "https://me:pw@a.b/v1",
            "http://",
            "https://a b/v1",
        ),
        *("https://a.b/v1?x=1", "https://a.b/#x", "https://a.b:99999/", "https://a.b/\nHost: c"),
    ],
)
def test_addresses_that_are_none(workspace: Workspace, url: str) -> None:
    with pytest.raises(BadInput, match="begins with https"):
        save_endpoint(workspace, url, "big", KEY)


@pytest.mark.parametrize("key", ["a b", "a\nX-Evil: 1", "ключ"])
def test_keys_that_are_none(workspace: Workspace, key: str) -> None:
    with pytest.raises(BadInput, match="key"):
        save_endpoint(workspace, URL, "big", key)


def test_a_question_and_its_answer() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=answer())

    assert [(reply.text, reply.entropy) for reply in ask(handler)] == [("Hello", None)]
    assert str(seen[0].url) == f"{URL}/chat/completions"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    body = json.loads(seen[0].content)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("big", 0, 16)


def test_entropy_from_log_probabilities() -> None:
    half = [{"logprob": math.log(0.5)}, {"logprob": math.log(0.25)}]  # and a quarter for all the rest
    logs = {"content": [{"top_logprobs": half}, {"top_logprobs": [{"logprob": 0.0}]}]}
    reply = ask(lambda request: httpx.Response(200, json=answer(logprobs=logs)))[0]
    assert reply.entropy == pytest.approx((0.5 * math.log(2) + 0.5 * math.log(4)) / 2)


def test_an_engine_of_ours_says_its_entropy() -> None:
    assert ask(lambda request: httpx.Response(200, json=answer() | {"entropy": 0.25}))[0].entropy == 0.25


def test_one_that_knows_no_log_probabilities_is_asked_without() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400 if b"logprobs" in request.content else 200, json=answer())

    assert ask(handler)[0].text == "Hello"


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(302, headers={"location": "http://127.0.0.1/"}), "sends elsewhere"),
        (httpx.Response(401, json={"error": {"message": KEY}}), "status 401"),
        (httpx.Response(200, text="hello"), "does not answer as"),
        (httpx.Response(200, json={"choices": []}), "does not answer as"),
        (httpx.Response(200, content=b"x" * (2 << 20)), "more than a megabyte"),
    ],
)
def test_refusals_in_words_without_the_key(response: httpx.Response, words: str) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return response

    with pytest.raises(JobFailed, match=words) as told:
        ask(handler)
    assert KEY not in str(told.value) and set(asked) == {f"{URL}/chat/completions"}


def test_one_that_cannot_be_reached() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("no", request=request)

    with pytest.raises(JobFailed, match=r"cannot be reached \(ConnectTimeout\)"):
        ask(handler)
