"""Every limit says its number, and a client that leaves, a full queue or an end of the server costs nobody else."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from studio.contract.events import read_all
from studio.serving import gate
from studio.serving.keys import Pace
from tests.serving.conftest import House, Start, turns, wait_for


def ask(house: House, **fields: Any) -> Any:
    settings = {"model": "base", "messages": turns(), "max_tokens": 5, "temperature": 0, **fields}
    return house.client().chat.completions.create(**settings)


def test_too_long_a_body_is_refused_declared_or_not(start: Start) -> None:
    house = start(body_limit=2000)
    long = b'{"model": "base", "messages": [{"role": "user", "content": "' + b"x" * 2000 + b'"}]}'
    for content in (long, iter([long[:1500], long[1500:]])):
        answer = house.post("/v1/chat/completions", content=content)
        assert answer.status_code == 413 and "2,000 bytes" in answer.json()["error"]["message"]
    assert house.traffic(2)[0]["status"] == 413 and ask(house).choices


def test_tokens_and_prompts_beyond_the_limits_are_refused_with_the_numbers(start: Start) -> None:
    house = start(most_tokens=10, most_prompt_tokens=50)
    with pytest.raises(openai.BadRequestError, match=r"11 answer tokens were asked for, .* at most 10"):
        ask(house, max_tokens=11)
    with pytest.raises(openai.BadRequestError, match=r"has \d\d\d tokens, .* at most 50"):
        ask(house, messages=turns("x" * 100))
    assert ask(house, max_tokens=10).usage.completion_tokens == 10


def test_a_prompt_beyond_the_window_is_refused_with_the_numbers(start: Start) -> None:
    with pytest.raises(openai.BadRequestError, match=r"has \d\d\d tokens, .* holds 256"):
        ask(start(), messages=turns("x" * 400))


def test_a_full_queue_says_when_to_come_back(start: Start, slow: None) -> None:
    house = start(batch_rows=1, queue_limit=1)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(ask, house, max_tokens=30) for _ in range(2)]
        wait_for(lambda: house.server._scheduler.active == 2)
        with pytest.raises(openai.RateLimitError) as caught:
            ask(house)
        assert int(caught.value.response.headers["retry-after"]) >= 1 and caught.value.code == "queue_full"
        assert all(one.result().usage.completion_tokens == 30 for one in running)


def test_the_client_itself_comes_back_after_a_full_queue(start: Start, slow: None) -> None:
    house = start(batch_rows=1, queue_limit=1)
    with ThreadPoolExecutor(3) as pool:
        client = house.client(max_retries=5)
        asked = {"model": "base", "messages": turns(), "max_tokens": 20}
        answers = [pool.submit(client.chat.completions.create, **asked) for _ in range(3)]
        assert all(one.result().choices for one in answers)


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_takes_too_long_is_ended(start: Start, slow: None, stream: bool) -> None:
    house = start(timeout_seconds=0.5)
    with pytest.raises((openai.APIError, openai.InternalServerError), match=r"after 0.5 seconds"):
        list(ask(house, max_tokens=200, stream=stream))
    wait_for(lambda: house.server._scheduler.active == 0)
    (line,) = house.traffic(1)
    assert (line["finish"], line["status"]) == ("timeout", 504)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_row(start: Start, slow: None, stream: bool) -> None:
    house = start()
    body = {"model": "base", "messages": turns(), "max_tokens": 220, "temperature": 0, "stream": stream}
    with pytest.raises(httpx.ReadTimeout):
        with httpx.stream("POST", f"{house.url}/v1/chat/completions", json=body, timeout=0.3) as answer:
            time.sleep(0.3)
            for _ in answer.iter_raw():
                raise httpx.ReadTimeout("enough")
    wait_for(lambda: house.server._scheduler.active == 0, seconds=2.5)  # the whole answer would take over 4 seconds
    (line,) = house.traffic(1)
    assert (line["finish"], line["status"]) == ("disconnect", 499)


def test_sigterm_finishes_what_runs_and_refuses_what_comes(start: Start, slow: None) -> None:
    house = start()
    with ThreadPoolExecutor(1) as pool, httpx.Client() as open_line:
        open_line.get(f"{house.url}/health")
        running = pool.submit(ask, house, max_tokens=30)
        wait_for(lambda: house.server._scheduler.active == 1)
        house.server.handle_exit(15, None)
        late = open_line.post(f"{house.url}/v1/chat/completions", json={"model": "base", "messages": turns()})
        assert late.status_code == 503 and int(late.headers["retry-after"]) > 0
        assert open_line.get(f"{house.url}/health").status_code == 503
        assert running.result().usage.completion_tokens == 30
    house.thread.join(10)
    assert not house.thread.is_alive()
    assert sorted(line["status"] for line in house.traffic(2)) == [200, 503]


def test_a_drain_that_takes_too_long_is_broken_off_with_a_word(start: Start, slow: None) -> None:
    house = start(drain_seconds=0.3)
    chunks, errors = [], []

    def read() -> None:
        try:
            chunks.extend(ask(house, max_tokens=200, stream=True))
        except openai.APIError as error:
            errors.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    wait_for(lambda: house.server._scheduler.active == 1)
    house.server.handle_exit(15, None)
    house.thread.join(10)
    reader.join(10)
    assert not house.thread.is_alive() and errors == ["The server is ending: ask again in a moment."]


def test_a_body_that_never_arrives_does_not_hold_up_the_end(start: Start) -> None:
    house = start()
    with socket.create_connection(("127.0.0.1", int(house.url.rsplit(":", 1)[1]))) as half:
        half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n{")
        assert house.post("/v1/feedback", content=b"{").status_code == 400  # what was sent before has arrived
        house.server.handle_exit(15, None)
        house.thread.join(20)
    words = [event.data.get("message") for event in read_all(house.folder) if event.data.get("state") == "stopping"]
    assert not house.thread.is_alive() and words == ["Ending"]  # not: 1 requests are broken off


def test_a_client_that_reads_nothing_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_UNREAD_SECONDS", 0.05)

    class Full:
        """A connection whose socket takes nothing until it is broken off."""

        def __init__(self) -> None:
            self.transport, self._freed = self, asyncio.Event()

        def abort(self) -> None:
            self._freed.set()

        async def send(self, message: Any) -> None:
            if message["type"] != "quick":
                await self._freed.wait()

    async def run() -> None:
        full = Full()
        send = gate._impatient(full.send)
        await send({"type": "quick"})
        await asyncio.sleep(0.1)
        assert not full._freed.is_set()  # nothing was kept waiting
        await send({"type": "slow"})

    asyncio.run(run())


def test_a_signal_that_was_swallowed_while_the_model_loaded_ends_the_server(start: Start) -> None:
    house = start()
    house.server._stopped = lambda: True
    house.thread.join(20)
    assert not house.thread.is_alive()


def test_a_bug_in_the_engine_is_an_error_of_one_request(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    house = start()
    with monkeypatch.context() as patch:
        patch.setattr("studio.serving.scheduler.Running.turn", lambda self: 1 / 0)
        with pytest.raises(openai.InternalServerError, match="log says more"):
            ask(house)
    assert ask(house).choices


def test_the_pace_of_a_key() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert [pace.take("a", 2) for _ in range(3)] == [0.0, 0.0, 30.0]
    assert pace.take("b", 2) == 0.0 and pace.take("a", 0) == 0.0
    now[0] = 31.0
    assert pace.take("a", 2) == 0.0 and pace.take("a", 2) > 0
