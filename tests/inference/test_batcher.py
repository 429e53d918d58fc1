"""Requests that wait together are answered together; the queue is bounded; nothing stops the thread."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

import pytest

from studio.contract.chat import Message
from studio.errors import BadInput, JobFailed, NotFound
from studio.inference.batcher import Batcher, EngineBusy, Item
from studio.inference.request import Delta, GenerationRequest
from tests.inference.fakes import FakeEngine


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def batcher(fake: FakeEngine) -> Iterator[Batcher]:
    batcher = Batcher(fake, rows=4, limit=8)
    yield batcher
    fake.gate.set()
    batcher.close()


def ask(prompt: str, adapter: str | None = None, max_tokens: int = 3) -> GenerationRequest:
    return GenerationRequest((Message("user", prompt),), adapter, max_tokens=max_tokens)


def last(items: queue.Queue[Item]) -> Item:
    while True:
        item = items.get(timeout=10)
        if not isinstance(item, Delta) or item.done:
            return item


def wait_for(condition: object) -> None:
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:  # type: ignore[operator]
        time.sleep(0.005)
    assert condition()  # type: ignore[operator]


def test_those_who_wait_together_are_answered_together(fake: FakeEngine, batcher: Batcher) -> None:
    fake.gate.clear()
    boxes = [queue.Queue() for _ in range(7)]
    batcher.submit(ask("first"), boxes[0].put)
    wait_for(lambda: fake.batches)
    for name, box in zip("abcdef", boxes[1:], strict=True):
        batcher.submit(ask(name), box.put)
    fake.gate.set()
    assert all(last(box).done.completion_tokens == 3 for box in boxes)
    assert fake.batches == [["first"], ["a", "b", "c", "d"], ["e", "f"]]


def test_one_bad_request_leaves_its_batch_alone(fake: FakeEngine, batcher: Batcher) -> None:
    fake.gate.clear()
    boxes = [queue.Queue() for _ in range(4)]
    batcher.submit(ask("first"), boxes[0].put)
    wait_for(lambda: fake.batches)
    for request, box in zip([ask("too long"), ask("a", "nobody"), ask("b")], boxes[1:], strict=True):
        batcher.submit(request, box.put)
    fake.gate.set()
    _, long, nobody, good = (last(box) for box in boxes)
    assert isinstance(long, BadInput) and isinstance(nobody, NotFound) and good.done.reason == "length"


def test_a_full_queue_refuses(fake: FakeEngine, batcher: Batcher) -> None:
    fake.gate.clear()
    batcher.submit(ask("first"), lambda item: None)
    wait_for(lambda: fake.batches)
    for _ in range(8):
        batcher.submit(ask("more"), lambda item: None)
    with pytest.raises(EngineBusy):
        batcher.submit(ask("one too many"), lambda item: None)


def test_a_cancelled_row_ends_early(fake: FakeEngine, batcher: Batcher) -> None:
    box: queue.Queue[Item] = queue.Queue()
    ticket = batcher.submit(ask("long", max_tokens=9_000), box.put)
    box.get(timeout=10)
    ticket.cancel()
    assert last(box).done.reason == "cancelled"
    wait_for(lambda: not batcher.busy)


def test_a_bug_in_one_batch_is_told_and_the_next_is_answered(fake: FakeEngine, batcher: Batcher) -> None:
    box: queue.Queue[Item] = queue.Queue()
    fake.broken = True
    batcher.submit(ask("a"), box.put)
    assert isinstance(last(box), JobFailed)
    fake.broken = False
    batcher.submit(ask("b"), box.put)
    assert last(box).done.reason == "length"


def test_closing_stops_the_running_and_refuses_the_waiting(fake: FakeEngine, batcher: Batcher) -> None:
    running, waiting = queue.Queue(), queue.Queue()
    batcher.submit(ask("long", max_tokens=9_000), running.put)
    running.get(timeout=10)
    batcher.submit(ask("next"), waiting.put)
    batcher.close()
    assert last(running).done.reason == "cancelled"
    assert isinstance(last(waiting), JobFailed)
    with pytest.raises(JobFailed):
        batcher.submit(ask("late"), waiting.put)
