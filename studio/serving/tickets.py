"""A request's row on its way to whoever writes it, and what every such writer can do, whichever engine it has.

What it leaves out: the writers themselves (scheduler.py with the studio's engine, vllm_scheduler.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from studio.contract.serving import Loan
from studio.errors import StudioError
from studio.inference.request import Delta, GenerationRequest, PromptRefused

Item = Delta | StudioError
Delivery = tuple["Ticket", Item]
Hand = Callable[[Sequence[Delivery]], None]
"""Given what came of a step, all rows together, from a writer's thread; it must not block or raise."""


class QueueFull(StudioError):
    """Too many rows wait; `seconds`: when it is worth asking again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many requests are waiting for this server: ask again in {seconds} seconds.")
        self.seconds = seconds


@dataclass(eq=False)
class Ticket:
    """A row on its way. `take` gets its pieces, in the loop of whoever asked; `index`: which answer of its request.

    `wake` is called when nobody waits any more, for a writer that does not look at `cancelled` by itself.
    """

    request: GenerationRequest
    take: Callable[[Ticket, Item], None]
    index: int = 0
    cancelled: bool = False
    ended: bool = False
    wake: Callable[[], object] | None = None

    def cancel(self) -> None:
        """Nobody waits for the answer any more: its row stops at the next token."""
        self.cancelled = True
        if self.wake:
            self.wake()


class Scheduler(Protocol):
    """Writes the rows of all clients together, in a thread of its own."""

    @property
    def waiting(self) -> int:
        """Rows that have not begun."""

    @property
    def active(self) -> int:
        """Rows that are written or wait."""

    @property
    def alive(self) -> bool:
        """Whether it can still write."""

    @property
    def lent_to(self) -> str:
        """The job that has this writer's memory now; '' while the model is in it."""

    def lend(self, loan: Loan | None) -> None:
        """A job wants the memory when nobody asks; None: none does, or no more."""

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """Queue the rows of a request, all or none. Raises QueueFull, JobFailed (it is ending)."""

    def load(self, run: str) -> Future[None]:
        """Bring a run's weights into memory, beside what is written. The future raises BadInput, NotFound."""

    def last_words(self) -> str:
        """Why it is not alive, as a sentence."""

    def close(self, timeout: float = 5.0) -> None:
        """End the rows that are written, refuse those that wait, and end the thread."""


def patience(waiting: int, rows: int, seconds: float) -> int:
    """Seconds after which a refused client may find room, by how long answers took of late."""
    return max(1, min(60, round(waiting / rows * seconds)))


def check_length(tokens: int, most: int) -> None:
    """Raises PromptRefused for a prompt of more than `most` tokens; 0 is no limit."""
    if 0 < most < tokens:
        raise PromptRefused(f"The prompt has {tokens} tokens, but this server takes at most {most}: shorten it.")
