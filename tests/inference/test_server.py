"""The HTTP face speaks OpenAI's chat completions, lets in only who has the token, and hides its insides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from studio.inference.batcher import Batcher
from studio.inference.engine import Engine
from studio.inference.server import Activity, build_app
from tests.inference.fakes import FakeEngine
from tests.inference.test_batcher import wait_for

TOKEN = "t" * 32
PATH = "/v1/chat/completions"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def body(prompt: str = "Hello", **fields: object) -> dict[str, Any]:
    return {"model": "base", "messages": [{"role": "user", "content": prompt}], "max_tokens": 4, **fields}


def chunks(text: str) -> list[dict[str, Any]]:
    lines = [line for line in text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def batcher(fake: FakeEngine) -> Iterator[Batcher]:
    batcher = Batcher(fake, rows=4, limit=2)
    yield batcher
    fake.gate.set()
    batcher.close()


@pytest.fixture
def client(fake: FakeEngine, batcher: Batcher) -> TestClient:
    return TestClient(build_app(fake, batcher, TOKEN), headers=HEADERS, raise_server_exceptions=False)


@pytest.fixture
def real(engine: Engine) -> Iterator[TestClient]:
    batcher = Batcher(engine, rows=4)
    yield TestClient(build_app(engine, batcher, TOKEN), headers=HEADERS)
    batcher.close()


def test_a_stream_joins_to_the_whole_answer_and_names_its_weights(real: TestClient) -> None:
    whole = real.post(PATH, json=body(model="one", max_tokens=20)).json()
    stream = chunks(real.post(PATH, json=body(model="one", max_tokens=20, stream=True)).text)
    assert stream[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in stream)
    assert text == whole["choices"][0]["message"]["content"] != ""
    assert [chunk["choices"][0]["finish_reason"] for chunk in stream[-2:]] == [None, "length"]
    assert stream[-1]["usage"] == whole["usage"] and whole["usage"]["completion_tokens"] == 20
    assert stream[-1]["weights"] == whole["weights"] and whole["weights"]["adapter"] == "one"
    assert {chunk["object"] for chunk in stream} == {"chat.completion.chunk"} and whole["object"] == "chat.completion"


def test_base_and_tuned_answer_differently_under_their_own_hashes(real: TestClient) -> None:
    base, tuned = (real.post(PATH, json=body(model=model, max_tokens=20)).json() for model in ("base", "one"))
    assert base["choices"][0]["message"] != tuned["choices"][0]["message"]
    assert base["weights"]["base_hash"] == tuned["weights"]["base_hash"]
    assert base["weights"]["adapter_hash"] is None and len(tuned["weights"]["adapter_hash"]) == 64
    assert [loaded["run"] for loaded in real.get("/health").json()["adapters"]] == ["one"]


def test_settings_reach_the_engine(real: TestClient) -> None:
    warm = body(temperature=1.5, top_p=0.9, seed=3, max_completion_tokens=9, stop=["\0never"], user="x", logit_bias={})
    first, second = (real.post(PATH, json=warm).json() for _ in range(2))
    assert first["choices"] == second["choices"] and first["usage"]["completion_tokens"] == 9
    greedy = real.post(PATH, json=body(max_tokens=9)).json()
    assert greedy["choices"] != first["choices"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"bearer  {TOKEN}"]
)
def test_only_the_token_lets_in(client: TestClient, header: str) -> None:
    for method, path in (("POST", PATH), ("GET", "/v1/models"), ("GET", "/docs"), ("GET", "/health/x")):
        answer = client.request(method, path, headers={"Authorization": header})
        assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
    assert client.get("/health", headers={"Authorization": header}).status_code == 200


def test_health_and_models(client: TestClient) -> None:
    expected = {"state": "ready", "base": "tiny", "base_hash": "b" * 64, "device": "cpu", "adapters": []}
    assert client.get("/health").json() == expected
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["base", "run1"]


@pytest.mark.parametrize("stream", [True, False])
def test_errors_before_the_first_piece_are_plain_http(client: TestClient, stream: bool) -> None:
    missing = client.post(PATH, json=body(model="nobody", stream=stream))
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "model_not_found"
    long = client.post(PATH, json=body("too long", stream=stream))
    assert long.status_code == 400 and long.json()["error"]["message"] == "The prompt is too long."


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [{"role": "root", "content": "x"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"max_tokens": 0},
        {"max_tokens": 10**9},
        {"n": 2},
        {"stop": ["a"] * 5},
        {"stop": ""},
        {"seed": 2**63},
        {"model": None},
    ],
)
def test_fields_out_of_their_limits_are_refused(client: TestClient, fields: dict[str, object]) -> None:
    answer = client.post(PATH, content=json.dumps(body(**fields)))
    assert answer.status_code == 400
    assert next(iter(fields)) in answer.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 100_000])
def test_what_is_no_request_is_refused_with_a_sentence(client: TestClient, content: bytes) -> None:
    answer = client.post(PATH, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(".")


def test_a_long_body_is_refused_declared_or_not(client: TestClient, fake: FakeEngine) -> None:
    content = json.dumps(body("x" * (1 << 20))).encode()
    assert client.post(PATH, content=content).status_code == 413
    assert client.post(PATH, content=iter([content[:1000], content[1000:]])).status_code == 413
    assert client.post(PATH, json=body("x" * (1 << 19))).status_code == 200
    assert len(fake.batches) == 1


def test_a_full_queue_says_when_to_come_back(client: TestClient, batcher: Batcher, fake: FakeEngine) -> None:
    fake.gate.clear()
    request = fake.prepare(_generation())
    batcher.submit(request, lambda item: None)
    wait_for(lambda: fake.batches)
    for _ in range(2):
        batcher.submit(request, lambda item: None)
    answer = client.post(PATH, json=body())
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0


def test_a_bug_shows_no_traceback(client: TestClient, fake: FakeEngine) -> None:
    fake.broken = True
    answer = client.post(PATH, json=body())
    assert answer.status_code == 503
    assert "ZeroDivision" not in answer.text and "Traceback" not in answer.text


def test_unknown_addresses_and_methods(client: TestClient) -> None:
    assert client.get("/etc/passwd").json()["error"]["code"] == "not_found"
    assert client.get(PATH).status_code == 405


def test_asking_touches_the_idle_clock_but_health_does_not(fake: FakeEngine, batcher: Batcher) -> None:
    activity = Activity(last=0.0)
    client = TestClient(build_app(fake, batcher, TOKEN, activity), headers=HEADERS)
    client.get("/health")
    client.get("/v1/models", headers={"Authorization": "wrong"})
    assert activity.last == 0.0
    client.get("/v1/models")
    assert activity.last > 0.0


@pytest.mark.parametrize("stream", [True, False])
def test_a_row_stops_when_its_client_has_gone(fake: FakeEngine, batcher: Batcher, stream: bool) -> None:
    app = build_app(fake, batcher, TOKEN)
    asyncio.run(_call_and_leave(app, fake, body(max_tokens=9_000, stream=stream)))
    wait_for(lambda: fake.ended == ["cancelled"])


def test_a_client_that_leaves_the_queue_is_never_answered(fake: FakeEngine, batcher: Batcher) -> None:
    fake.gate.clear()
    asyncio.run(_call_and_leave(build_app(fake, batcher, TOKEN), fake, body(max_tokens=9_000)))
    fake.gate.set()
    wait_for(lambda: fake.ended == ["cancelled"])


async def _call_and_leave(app: Any, fake: FakeEngine, fields: dict[str, Any]) -> None:
    """One ASGI request whose client hangs up as soon as its batch has begun."""
    sent = iter([{"type": "http.request", "body": json.dumps(fields).encode(), "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (message := next(sent, None)) is not None:
            return message
        while not fake.batches:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        pass

    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "headers": headers,
        "query_string": b"",
        "http_version": "1.1",
    }
    await asyncio.wait_for(app(scope, receive, send), 20)


def _generation() -> Any:
    from studio.inference.wire import ChatRequest

    return ChatRequest.model_validate(body()).generation()
