"""The scheduler: requests that wait together become one batch, decoded by the only thread that uses the engine.

What it leaves out: letting a request join a batch that already runs; those that come meanwhile form the next one.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from studio.errors import JobFailed, StudioError
from studio.inference.engine import Engine, Prepared
from studio.inference.request import Delta, GenerationRequest

Item = Delta | StudioError
"""What a request gets: pieces, the last with `done`; or one error, which is then the last item."""


class EngineBusy(StudioError):
    """The queue is full."""


@dataclass(eq=False)
class Ticket:
    """A request on its way. `deliver` is called from the scheduler's thread and must not block or raise."""

    request: GenerationRequest
    deliver: Callable[[Item], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Nobody waits for the answer any more: its row stops at the next token."""
        self.cancelled = True


class Batcher:
    """Runs `engine` in a thread of its own; at most `rows` answers together and `limit` requests waiting.

    `window` is how long (seconds) the first request waits for others to share its batch.
    """

    def __init__(self, engine: Engine, rows: int, limit: int = 256, window: float = 0.02) -> None:
        # Plain flags, not events: they are set in signal handlers, where waiting for a lock could hang.
        self.closing = False
        self.active = 0
        self._engine = engine
        self._rows = rows
        self._window = window
        self._waiting: queue.Queue[Ticket] = queue.Queue(limit)
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """True while any request waits or is answered."""
        return self.active > 0 or not self._waiting.empty()

    def submit(self, request: GenerationRequest, deliver: Callable[[Item], None]) -> Ticket:
        """Queue a request. Raises EngineBusy when too many wait, JobFailed when the engine is ending."""
        ticket = Ticket(request, deliver)
        if self.closing:
            raise JobFailed("The engine is ending: ask again in a moment.")
        try:
            self._waiting.put_nowait(ticket)
        except queue.Full:
            raise EngineBusy("Too many questions are waiting for this model: ask again in some seconds.") from None
        return ticket

    def close(self, timeout: float = 5.0) -> None:
        """Stop the running answers, refuse those that wait, and end the thread."""
        self.closing = True
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self.closing:
            batch = self._gather()
            self.active = len(batch)
            try:
                self._answer(batch) if batch else self._engine.rest()
            except StudioError as error:
                _refuse(batch, error)
            except Exception:
                # The thread must outlive whatever one batch does to it; the log keeps the traceback.
                traceback.print_exc()
                _refuse(batch, JobFailed("The engine failed at this answer; its log says more."))
            self.active = 0
        while not self._waiting.empty():
            _refuse([self._waiting.get()], JobFailed("The engine is ending: ask again in a moment."))

    def _gather(self) -> list[Ticket]:
        try:
            batch = [self._waiting.get(timeout=0.1)]
        except queue.Empty:
            return []
        self.active = 1
        until = time.monotonic() + self._window
        while len(batch) < self._rows:
            try:
                batch.append(self._waiting.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return batch

    def _answer(self, batch: list[Ticket]) -> None:
        tickets: list[Ticket] = []
        rows: list[Prepared] = []
        for ticket in batch:
            try:
                rows.append(self._engine.prepare(ticket.request))
                tickets.append(ticket)
            except StudioError as error:
                ticket.deliver(error)
        batch[:] = tickets
        for delta in self._engine.decode(rows, lambda row: self.closing or tickets[row].cancelled):
            tickets[delta.row].deliver(delta)
            if delta.done:
                batch.remove(tickets[delta.row])


def _refuse(tickets: list[Ticket], error: StudioError) -> None:
    for ticket in tickets:
        ticket.deliver(error)
