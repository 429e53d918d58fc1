"""Something slow on a thread of its own, so that a handler can show its progress and be cancelled."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from studio.errors import StudioError
from studio.language import reader, reading, tr
from studio.ui.components.html import bar, notice

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Work(Generic[T]):
    """Runs `run(self)` from now on, for the reader who began it. `result` is what it gave, the error it ended with, or
    None while it runs."""

    def __init__(self, run: Callable[[Work[T]], T], failed: str) -> None:
        self.result: T | StudioError | None = None
        self._run, self._failed, self._asked_to_end = run, failed, threading.Event()
        self._said: tuple[float, str] = (0.0, tr("Starting"))
        self._language = reader()
        self._thread = threading.Thread(target=self._work, name="work", daemon=True)
        self._thread.start()

    def running(self, seconds: float) -> bool:
        """Wait a little; whether it is still at work."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Ask it to end."""
        self._asked_to_end.set()

    def cancelled(self) -> bool:
        """Whether it was asked to end."""
        return self._asked_to_end.is_set()

    def note(self, fraction: float, words: str) -> bool:
        """Say how far it is (0 to 1); whether to go on."""
        self._said = (fraction, words)
        return not self.cancelled()

    def html(self, show: Callable[[T], str]) -> str:
        """Progress while it runs; afterwards what `show` makes of its result, or its error."""
        if isinstance(self.result, StudioError):
            return notice("bad", tr(str(self.result)))
        return bar(*self._said) if self.result is None else show(self.result)

    def _work(self) -> None:
        reading(self._language)
        try:
            self.result = self._run(self)
        except StudioError as error:
            self.result = error
        except Exception:
            _log.exception(self._failed)
            self.result = StudioError(tr("{failure}: the app's log says why.", failure=tr(self._failed)))
