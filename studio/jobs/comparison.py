"""Answers of several models to the same prompt, streamed side by side; or base and tuned answers to many prompts.

A tuned side is whatever its run has learnt: an adapter that is switched off and on, a classifier, or a whole model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from studio.contract.chat import Message
from studio.errors import JobFailed, StudioError
from studio.jobs.engine import Answer, Engine, NoClassifier, Question, Sampling
from studio.language import mark

NO_CLASSIFIER = mark("(no classifier: the base model was never trained on these labels)")
"""In the place of a base model's answer where there is none to be had."""

Stream = AsyncIterator[str | Answer]
"""One side's pieces of text as they come, then its whole answer."""

_PAINT_SECONDS = 0.08
_BROKE_OFF = mark("The model's process broke off in the middle of the answer: ask again.")


@dataclass(frozen=True)
class Pane:
    """One side so far: its text, the whole answer once it is there, or why there is none: what went wrong (`error`), or
    that this model has nothing to say (`note`)."""

    text: str = ""
    answer: Answer | None = None
    error: str | None = None
    note: str | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return any(end is not None for end in (self.answer, self.error, self.note))


@dataclass(frozen=True)
class Panes:
    """Both sides so far."""

    base: Pane = Pane()
    tuned: Pane = Pane()


@dataclass(frozen=True)
class Pair:
    """Both answers to a prompt; `base` is None where the base model knows none of the labels."""

    base: Answer | None
    tuned: Answer

    @property
    def base_text(self) -> str:
        """The base's answer, or why there is none."""
        return NO_CLASSIFIER if self.base is None else self.base.text


def answer_pairs(engine: Engine, prompts: Sequence[Sequence[Message]], run_id: str, sampling: Sampling) -> list[Pair]:
    """Both whole answers to each prompt, in the order given. Raises BadInput, NotFound, JobFailed."""
    base = [Question(tuple(messages), None, sampling) for messages in prompts]
    tuned = [Question(question.messages, run_id, sampling) for question in base]
    try:
        answers: list[Answer | None] = [*engine.answer_many(base)]
    except NoClassifier:
        answers = [None] * len(base)
    return [Pair(*sides) for sides in zip(answers, engine.answer_many(tuned), strict=True)]


async def stream_pair(
    engine: Engine, messages: Sequence[Message], run_id: str, sampling: Sampling
) -> AsyncIterator[Panes]:
    """Both answers as they grow; the last item has both whole. Otherwise as `stream_sides`."""
    asked = [engine.stream(Question(tuple(messages), adapter, sampling)) for adapter in (None, run_id)]
    async with aclosing(stream_sides(asked)) as growing:
        async for base, tuned in growing:
            yield Panes(base, tuned)


async def stream_sides(streams: Sequence[Stream]) -> AsyncGenerator[tuple[Pane, ...], None]:
    """All answers as they grow, in the order of `streams`, at most some twelve times a second; the last item has all
    whole.

    One side's StudioError stands on its pane and the others go on. Closing the iterator ends all generations. An error
    that is no StudioError is a bug: it ends them all and is raised.
    """
    panes = [Pane()] * len(streams)
    changed = asyncio.Event()
    tasks = [asyncio.create_task(_follow(stream, panes, side, changed)) for side, stream in enumerate(streams)]
    try:
        while not all(task.done() for task in tasks):
            await changed.wait()
            changed.clear()
            _raise_bugs(tasks)
            yield tuple(panes)
            await asyncio.sleep(_PAINT_SECONDS)
        _raise_bugs(tasks)
        yield tuple(panes)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(stream: Stream, panes: list[Pane], side: int, changed: asyncio.Event) -> None:
    """Write what comes into `panes[side]`."""
    try:
        async for piece in stream:
            pane = panes[side]
            if isinstance(piece, Answer):
                panes[side] = replace(pane, text=piece.text, answer=piece)
            else:
                panes[side] = replace(pane, text=pane.text + piece)
            changed.set()
        if not panes[side].done:
            raise JobFailed(_BROKE_OFF)
    except NoClassifier:
        panes[side] = replace(panes[side], note=NO_CLASSIFIER)
    except StudioError as error:
        panes[side] = replace(panes[side], error=str(error))
    finally:
        changed.set()


def _raise_bugs(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()
