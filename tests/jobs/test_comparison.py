"""Two streams at once when one of them fails: nothing hangs, and a bug is told as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from studio.contract.chat import Message
from studio.errors import BadInput, JobFailed
from studio.jobs.comparison import NO_CLASSIFIER, Pane, Panes, answer_pairs, stream_pair
from studio.jobs.engine import Answer, Engine, NoClassifier, Question, Sampling, Weights, _raise_for

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


class Untaught(FakeEngine):
    """An engine over a base without labels, whose run knows them."""

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Refused for the base; a label at once for the run."""
        if question.adapter is None:
            raise NoClassifier("It was never trained on any labels.")
        yield WHOLE

    def answer_many(self, questions: list[Question]) -> list[Answer]:
        """Like `stream`, of many."""
        if questions[0].adapter is None:
            raise NoClassifier("It was never trained on any labels.")
        return [WHOLE] * len(questions)


def test_a_base_without_labels_has_a_note_in_place_of_an_answer() -> None:
    panes = compare(Untaught(None))
    assert panes.base == Pane(note=NO_CLASSIFIER) and panes.base.done
    assert panes.tuned.answer == WHOLE
    pairs = answer_pairs(cast(Engine, Untaught(None)), [[Message("user", "?")]] * 2, "run-1", Sampling())
    assert [(pair.base_text, pair.tuned) for pair in pairs] == [(NO_CLASSIFIER, WHOLE)] * 2


def test_the_refusal_of_a_base_without_labels_is_told_from_others() -> None:
    with pytest.raises(NoClassifier, match="no labels"):
        _raise_for(400, '{"error": {"message": "It knows no labels.", "code": "no_classifier"}}')
    for body in ('{"error": {"message": "Too long.", "code": null}}', '{"error": "x"}', "[]", "x"):
        with pytest.raises(BadInput) as refused:
            _raise_for(400, body)
        assert not isinstance(refused.value, NoClassifier)
