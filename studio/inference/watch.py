"""Reasons for an engine to end by itself: the process that wanted it has gone, or nobody has asked for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil


class Owner:
    """The process `pid` as it is now. A later process with the same number is told apart by its start time."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._born = _born(pid)

    @property
    def gone(self) -> bool:
        """True once the process has ended; pid 0 stands for nobody and never goes."""
        return self._pid != 0 and (self._born is None or _born(self._pid) != self._born)


def start_watch(reason: Callable[[], str | None], end: Callable[[str], None], every: float = 1.0) -> threading.Thread:
    """Ask `reason` each `every` seconds in a daemon thread; its first text is handed to `end`, once."""

    def run() -> None:
        while (why := reason()) is None:
            time.sleep(every)
        end(why)

    thread = threading.Thread(target=run, name="watch", daemon=True)
    thread.start()
    return thread


def _born(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        # It lives, though it is not ours to look at.
        return 0.0
