"""One request on its way through the scheduler: its rows' pieces, its time limit, and a client that may leave.

What it leaves out: what is asked and told (asked.py, told.py).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from starlette.requests import Request

from studio.contract.traffic import ServedRequest
from studio.errors import StudioError
from studio.inference.request import Delta, Finished, GenerationRequest, TokenScore
from studio.serving.tickets import Item, Scheduler, Ticket
from studio.serving.told import Piece, Route, Usage

Broken = Literal["disconnect", "timeout"]


class TimedOut(StudioError):
    """The request's time is over."""


class Gone(StudioError):
    """The client has left."""


class Exchange:
    """The rows of one request. Used by the event loop only; the scheduler's thread hands over through the loop."""

    def __init__(self, request: Request, asked: Sequence[GenerationRequest], seconds: float, scores: bool) -> None:
        self._request = request
        self._seconds = seconds
        self._scores = scores
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[Ticket, Item] | Broken] = asyncio.Queue()
        self._tickets = [Ticket(one, self._take, index) for index, one in enumerate(asked)]
        self._watch: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.ends: dict[int, Finished] = {}
        self.texts = [""] * len(asked)

    def start(self, scheduler: Scheduler) -> None:
        """Queue all rows. Raises QueueFull, JobFailed."""
        scheduler.submit(self._tickets)
        self._watch = self._loop.create_task(self._look_out())
        self._timer = self._loop.call_later(self._seconds, self._queue.put_nowait, "timeout")

    async def next(self) -> list[Piece]:
        """What came meanwhile, at least one piece; nothing at the end. Raises Gone, TimedOut, or the row's error."""
        if len(self.ends) == len(self._tickets):
            return []
        pieces = [self._piece(await self._queue.get())]
        while not self._queue.empty() and len(self.ends) < len(self._tickets):
            pieces.append(self._piece(self._queue.get_nowait()))
        return pieces

    async def whole(self, first: Sequence[Piece]) -> list[Piece]:
        """All answers, each as one piece. Raises like `next`."""
        scores: dict[int, list[TokenScore]] = {piece.index: [] for piece in first}
        pieces = list(first)
        while pieces:
            for piece in pieces:
                scores.setdefault(piece.index, []).extend(piece.scores or ())
            pieces = await self.next()
        return [
            Piece(index, text, scores[index] if self._scores else None, self.ends[index])
            for index, text in enumerate(self.texts)
        ]

    def close(self) -> None:
        """Nobody waits any more: rows that are still written stop at their next token."""
        for ticket in self._tickets:
            ticket.cancel()
        if self._watch:
            self._watch.cancel()
        if self._timer:
            self._timer.cancel()

    def usage(self, choices: int) -> Usage:
        """Tokens so far; each prompt has so many answers and is counted once."""
        prompts = sum(end.prompt_tokens for index, end in self.ends.items() if index % choices == 0)
        return Usage(prompts, sum(end.completion_tokens for end in self.ends.values()))

    def certainty(self) -> float | None:
        """The mean of the answers' certainties."""
        known = [end.certainty for end in self.ends.values() if end.certainty is not None]
        return math.fsum(known) / len(known) if known else None

    def _piece(self, item: tuple[Ticket, Item] | Broken) -> Piece:
        if item == "timeout":
            raise TimedOut(f"The answer was not there after {self._seconds:g} seconds: ask for less, or later.")
        if isinstance(item, str):
            raise Gone("The client has left.")
        ticket, found = item
        if isinstance(found, StudioError):
            raise found
        return self._note(ticket, found)

    def _note(self, ticket: Ticket, delta: Delta) -> Piece:
        self.texts[ticket.index] += delta.text
        if delta.done:
            self.ends[ticket.index] = delta.done
        return Piece(ticket.index, delta.text, delta.scores if self._scores else None, delta.done)

    def _take(self, ticket: Ticket, item: Item) -> None:
        self._queue.put_nowait((ticket, item))

    async def _look_out(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._queue.put_nowait("disconnect")


class Note:
    """What is written down of a request, filled in while it runs."""

    def __init__(self, name: str, route: Route, key_id: str) -> None:
        self.id = name
        self.route = route
        self.key_id = key_id
        self.model = ""
        self.run = ""
        self.status = 200
        self.finish = ""
        self.form_ok: bool | None = None
        self._at = datetime.now(UTC)
        self._start = time.perf_counter()
        self._first: float | None = None

    def first(self) -> None:
        """The first piece is there."""
        if self._first is None:
            self._first = self._passed()

    def line(
        self, exchange: Exchange | None, choices: int, messages: tuple[dict[str, str], ...] | None
    ) -> ServedRequest:
        """The line for the log."""
        total = self._passed()
        usage = exchange.usage(choices) if exchange else Usage()
        longest = max((end.seconds for end in exchange.ends.values()), default=None) if exchange else None
        return ServedRequest(
            id=self.id,
            at=self._at,
            model=self.model,
            run_id=self.run,
            key_id=self.key_id,
            route=self.route,
            status=self.status,
            finish=self.finish,
            prompt_tokens=usage.prompt,
            answer_tokens=usage.answer,
            queued_ms=0.0 if longest is None else round(max(0.0, total - longest * 1000), 3),
            first_ms=self._first,
            total_ms=total,
            confidence=exchange.certainty() if exchange else None,
            form_ok=self.form_ok,
            messages=messages,
        )

    def _passed(self) -> float:
        return round((time.perf_counter() - self._start) * 1000, 3)
