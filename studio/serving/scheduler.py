"""Requests of all clients brought together: the one thread that uses the engine; each row joins what already runs.

What it leaves out: HTTP, keys and limits but that of the queue (app.py, gate.py).
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

import torch

from studio.contract.serving import Loan
from studio.errors import JobFailed, StudioError
from studio.inference.engine import Engine
from studio.inference.request import NoMemory
from studio.inference.running import Running
from studio.inference.served import Served
from studio.serving.resident import Lent, Resident
from studio.serving.tickets import Delivery, Hand, QueueFull, Ticket, check_length, patience

_REST_SECONDS = 0.5
_RETRY_SECONDS = 5.0
_NO_MEMORY = "The device has no memory left for these answers: ask for fewer or shorter ones."


@dataclass(eq=False)
class _Load:
    """Weights to be in memory before a name points to them."""

    run: str
    future: Future[None] = field(default_factory=Future)


class OwnScheduler:
    """Runs the engine in a thread of its own: at most `rows` answers of one model at once, `limit` rows waiting,
    prompts of at most `most_prompt` tokens (0: what the model holds). After `lend_after` seconds without a request (0:
    never) the engine makes room for a job that wants its memory. See tickets.Scheduler.
    """

    def __init__(
        self,
        resident: Resident,
        rows: int,
        limit: int,
        hand: Hand,
        most_prompt: int = 0,
        lend_after: float = 0.0,
    ) -> None:
        self._resident = resident
        self._lend_after = lend_after
        self._loan: Loan | None = None
        self._lent_to = ""
        self._asked_at = time.monotonic()
        self._try_at = 0.0
        self._rows = rows
        self._limit = limit
        self._hand = hand
        self._most_prompt = most_prompt
        self._inbox: queue.SimpleQueue[Ticket | _Load | None] = queue.SimpleQueue()
        self._tickets: dict[int, Ticket] = {}
        self._models: dict[Served, Running] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting = 0
        self._seconds = 1.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that have not begun."""
        return self._waiting + sum(running.waiting for running in list(self._models.values()))

    @property
    def active(self) -> int:
        """Rows that are written or wait."""
        return self._waiting + len(self._tickets)

    @property
    def alive(self) -> bool:
        """Whether its thread lives."""
        return self._thread.is_alive()

    @property
    def lent_to(self) -> str:
        """See tickets.Scheduler."""
        return self._lent_to

    def lend(self, loan: Loan | None) -> None:
        """See tickets.Scheduler."""
        self._loan = loan

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Queue the rows of a request, all or none. Raises QueueFull, JobFailed (it is ending)."""
        if self._closing or not self.alive:
            raise JobFailed("The server is ending: ask again in a moment.")
        with self._lock:
            if self.active + len(tickets) > self._rows + self._limit:
                raise QueueFull(patience(self.waiting, self._rows, self._seconds))
            self._waiting += len(tickets)
        for ticket in tickets:
            self._inbox.put(ticket)

    def load(self, run: str) -> Future[None]:
        """Bring a run's weights into memory, between two steps. The future raises BadInput, NotFound."""
        load = _Load(run)
        self._inbox.put(load)
        return load.future

    def last_words(self) -> str:
        """See tickets.Scheduler."""
        return "The engine's thread has ended; the server's log (log.txt) says more."

    def close(self, timeout: float = 5.0) -> None:
        """End the rows that are written, refuse those that wait, and end the thread."""
        self._closing = True
        self._inbox.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._closing:
            try:
                self._take_in()
                self._step()
            except Exception:
                # The thread must outlive whatever one step does to it; the log keeps the traceback.
                traceback.print_exc()
                self._refuse_all(JobFailed("The engine failed at this answer; the server's log says more."))
        self._refuse_all(JobFailed("The server is ending: ask again in a moment."))

    def _take_in(self) -> None:
        """What came meanwhile; waits for something where no row is written."""
        block = not self._models
        while True:
            try:
                one = self._inbox.get(timeout=_REST_SECONDS) if block else self._inbox.get_nowait()
            except queue.Empty:
                if block:
                    self._settle()
                return
            block = False
            if isinstance(one, _Load):
                self._load(one)
            elif one is not None:
                self._admit(one)

    def _settle(self) -> None:
        """Nobody asks: make room for whoever wants it, come back when nobody does any more, and tidy up."""
        loan, now = self._loan, time.monotonic()
        if not self._resident.away and loan and self._lend_after and now - self._asked_at >= self._lend_after:
            self._resident.leave()
            self._lent_to = loan.name
        elif self._resident.away and not loan and now >= self._try_at:
            self._try_at = now + _RETRY_SECONDS
            with suppress(Lent):  # whoever had it is on the way out
                self._engine()
        elif not self._resident.away:
            self._resident.engine().rest()

    def _engine(self) -> Engine:
        """The engine, back in memory where there is room beside a job. Raises Lent, JobFailed, BadModel."""
        loan = self._loan
        engine = self._resident.engine(sum(loan.jobs.values()) if loan else 0)
        self._lent_to = ""
        return engine

    def _load(self, load: _Load) -> None:
        try:
            if self._resident.away:  # the first question brings it
                self._resident.check_run(load.run)
            else:
                self._engine().load_run(load.run)
        except Exception as error:
            if not isinstance(error, StudioError):
                traceback.print_exc()
                error = JobFailed(f"Run '{load.run}' cannot be loaded; the server's log says why.")
            load.future.set_exception(error)
        else:
            load.future.set_result(None)

    def _admit(self, ticket: Ticket) -> None:
        with self._lock:
            self._waiting -= 1
        if ticket.cancelled:
            self._give([(ticket, JobFailed("The client has gone."))])
            return
        self._asked_at = time.monotonic()
        try:
            prepared = self._engine().prepare(ticket.request)
            check_length(len(prepared.ids), self._most_prompt)
        except StudioError as error:
            self._give([(ticket, error)])
            return
        except Exception:
            traceback.print_exc()
            self._give([(ticket, JobFailed("The engine failed at this prompt; the server's log says more."))])
            return
        running = self._models.get(prepared.served)
        if running is None:
            running = self._models[prepared.served] = self._engine().running(prepared.served, self._rows)
        number = next(self._numbers)
        self._tickets[number] = ticket
        running.add(number, prepared)

    def _step(self) -> None:
        self._asked_at = time.monotonic() if self._models else self._asked_at
        for served, running in list(self._models.items()):
            gone = [row for row in running.rows if self._tickets[row].cancelled]
            deltas = running.drop(gone) if gone else []
            try:
                deltas += running.turn() if running.busy else []
            except torch.OutOfMemoryError:
                self._fail(served, NoMemory(_NO_MEMORY))
                return
            self._give([(self._tickets[delta.row], delta) for delta in deltas])
            for delta in deltas:
                if delta.done:
                    self._seconds += 0.05 * (delta.done.seconds - self._seconds)
                    del self._tickets[delta.row]
            if not running.busy:
                del self._models[served]
            if any(delta.done for delta in deltas):
                self._engine().trim(set().union(*(one.slots for one in self._models.values())))

    def _give(self, items: Sequence[Delivery]) -> None:
        for ticket, item in items:
            ticket.ended = isinstance(item, StudioError) or item.done is not None
        if items:
            self._hand(items)

    def _fail(self, served: Served, error: StudioError) -> None:
        rows = self._models.pop(served).rows
        self._give([(self._tickets.pop(row), error) for row in rows])

    def _refuse_all(self, error: StudioError) -> None:
        for served in list(self._models):
            self._fail(served, error)
        self._give([(ticket, error) for ticket in self._tickets.values()])
        self._tickets.clear()
        while not self._inbox.empty():
            one = self._inbox.get()
            if isinstance(one, _Load):
                one.future.set_exception(error)
            elif one is not None:
                with self._lock:
                    self._waiting -= 1
                self._give([(one, error)])
