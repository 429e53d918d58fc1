"""Two streams at once when one of them fails: nothing hangs, and a bug is told as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from studio.contract.chat import Message
from studio.errors import JobFailed
from studio.jobs.comparison import Panes, stream_pair
from studio.jobs.engine import Answer, Engine, Question, Sampling, Weights

WHOLE = Answer("yes", Weights("b", "0", None, None), "stop", 1, 0.1)


class FakeEngine:
    """Base answers, or goes on for ever; tuned fails as it is told, or just ends."""

    def __init__(self, failure: Exception | None, endless: bool = False) -> None:
        self.failure, self.endless = failure, endless

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """A piece, then what this engine was made for."""
        yield "y"
        while question.adapter is None and self.endless:
            await asyncio.sleep(0.01)
        if question.adapter is None:
            yield WHOLE
        elif self.failure:
            raise self.failure


def compare(engine: FakeEngine) -> Panes:
    """The last item of a comparison; fails when none comes within seconds."""

    async def last() -> Panes:
        stream = stream_pair(cast(Engine, engine), [Message("user", "?")], "run-1", Sampling())
        return [panes async for panes in stream][-1]

    return asyncio.run(asyncio.wait_for(last(), 5))


@pytest.mark.parametrize("endless", [False, True])
def test_a_bug_in_one_stream_ends_both_and_is_raised(endless: bool) -> None:
    with pytest.raises(KeyError, match="choices"):
        compare(FakeEngine(KeyError("choices"), endless))


@pytest.mark.parametrize(("failure", "said"), [(JobFailed("It broke."), "It broke."), (None, "ask again")])
def test_a_stream_that_breaks_off_is_told_on_its_side(failure: Exception | None, said: str) -> None:
    panes = compare(FakeEngine(failure))
    assert panes.base.answer == WHOLE
    assert panes.tuned.text == "y" and panes.tuned.error is not None and said in panes.tuned.error
