"""Base and tuned answers to the same prompts from one engine: one prompt streamed side by side, or many at once.

The tuned side is whatever the run has learnt: an adapter that is switched off and on, a classifier, or a whole model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from studio.contract.chat import Message
from studio.errors import JobFailed, StudioError
from studio.jobs.engine import Answer, Engine, NoClassifier, Question, Sampling

NO_CLASSIFIER = "(no classifier: the base model was never trained on these labels)"
"""In the place of a base model's answer where there is none to be had."""

_PAINT_SECONDS = 0.08


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
    """Both answers as they grow, at most some twelve times a second; the last item has both whole.

    Closing the iterator ends both generations. An error that is no StudioError is a bug: it ends both and is raised.
    """
    panes = {None: Pane(), run_id: Pane()}
    changed = asyncio.Event()

    async def follow(adapter: str | None) -> None:
        question = Question(tuple(messages), adapter, sampling)
        try:
            async for piece in engine.stream(question):
                side = panes[adapter]
                if isinstance(piece, Answer):
                    panes[adapter] = replace(side, text=piece.text, answer=piece)
                else:
                    panes[adapter] = replace(side, text=side.text + piece)
                changed.set()
            if not panes[adapter].done:
                raise JobFailed("The model's process broke off in the middle of the answer: ask again.")
        except NoClassifier:
            panes[adapter] = replace(panes[adapter], note=NO_CLASSIFIER)
        except StudioError as error:
            panes[adapter] = replace(panes[adapter], error=str(error))
        finally:
            changed.set()

    tasks = [asyncio.create_task(follow(adapter)) for adapter in panes]
    try:
        while not all(task.done() for task in tasks):
            await changed.wait()
            changed.clear()
            _raise_bugs(tasks)
            yield Panes(panes[None], panes[run_id])
            await asyncio.sleep(_PAINT_SECONDS)
        _raise_bugs(tasks)
        yield Panes(panes[None], panes[run_id])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_bugs(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()
