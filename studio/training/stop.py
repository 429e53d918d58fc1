"""Stopping a run: SIGTERM and SIGINT ask once, and the answer depends on whether there are steps to save."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """The user's stop, on its way out. Not an Exception, so that no library's error handling takes it for one.

    `step` is the optimiser step of the newest checkpoint, 0 when there is none.
    """

    def __init__(self, step: int = 0) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


class Stop:
    """The stop request of this process. While steps run it only sets `asked`; otherwise it ends the work at once.

    `saved_step` is the step of the newest checkpoint, `results` what an end before `done` still has to tell.
    """

    def __init__(self) -> None:
        self.asked = False
        self.saved_step = 0
        self.results: dict[str, object] = {}
        self._held = 0

    def listen(self) -> None:
        """Take SIGTERM and SIGINT (main thread only)."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def ignore(self) -> None:
        """From here on the process is ending anyway: a stop changes nothing any more."""
        self._held += 1
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within it a signal only sets `asked`: whoever runs the steps saves a checkpoint first."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Within it nothing is torn apart (an event and its number); a signal that came meanwhile counts then."""
        with self.deferred():
            yield
        if not self._held:
            self.check()

    def check(self) -> None:
        """Raise Stopped when a stop was asked for (an exception raised by a signal can be lost in foreign code)."""
        if self.asked:
            raise Stopped(self.saved_step)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self._held:
            raise Stopped(self.saved_step)
