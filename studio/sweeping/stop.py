"""Stopping a sweep: SIGTERM and SIGINT only leave a mark, which is looked at between two short waits."""

from __future__ import annotations

import signal
from types import FrameType


class Stop:
    """The stop request of this process."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT (main thread only)."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
