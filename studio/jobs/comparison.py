"""Base and tuned answer to one prompt, streamed side by side from one engine: the adapter is switched off and on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from studio.contract.chat import Message
from studio.errors import JobFailed, StudioError
from studio.jobs.engine import Answer, Engine, Question, Sampling

_PAINT_SECONDS = 0.08


@dataclass(frozen=True)
class Pane:
    """One side so far: its text, the whole answer once it is there, or why there is none."""

    text: str = ""
    answer: Answer | None = None
    error: str | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.answer is not None or self.error is not None


@dataclass(frozen=True)
class Panes:
    """Both sides so far."""

    base: Pane = Pane()
    tuned: Pane = Pane()


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
