"""Who may ask, and how often: API keys as their file says at this moment, and a bucket of requests a minute for each.

What it leaves out: making and revoking keys (studio.jobs.serving).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from studio.contract.serving import Key, Keys, read_keys
from studio.errors import BadSpec

Stamp = tuple[int, int, int] | None
"""Inode, time of change and size of a file: another content has another stamp. None: there is no file."""


def stamp_of(path: Path) -> Stamp:
    """What a file is like now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class KeyRing:
    """The keys of a file, read again when it changes. Raises BadSpec at first for a file that cannot be read.

    Later a damaged or lost file changes nothing: who was let in stays in, and nobody else comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = stamp_of(path)
        self._keys = read_keys(path)

    @property
    def needed(self) -> bool:
        """Whether there is any key, so that everybody needs one."""
        return bool(self._look().keys)

    def find(self, token: str, now: datetime | None = None) -> Key | None:
        """The key of a token, unless it is revoked or expired."""
        key = self._look().find(token)
        return key if key and key.works(now or datetime.now(UTC)) else None

    def _look(self) -> Keys:
        stamp = stamp_of(self._path)
        if stamp != self._stamp and stamp is not None:
            self._stamp = stamp
            try:
                self._keys = read_keys(self._path)
            except BadSpec as error:
                print(error, file=sys.stderr)
        return self._keys


class Pace:
    """A bucket of requests for each key: full at first, refilled evenly over a minute."""

    _MOST_BUCKETS = 10_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str, a_minute: int) -> float:
        """Count a request: 0 where it may go on, else the seconds after which the next one may. 0 a minute: any."""
        if not a_minute:
            return 0.0
        now, rate = self._clock(), a_minute / 60
        left, at = self._buckets.get(key_id, (float(a_minute), now))
        left = min(float(a_minute), left + (now - at) * rate)
        wait = 0.0 if left >= 1 else (1 - left) / rate
        if len(self._buckets) > self._MOST_BUCKETS:
            self._buckets.clear()
        self._buckets[key_id] = (left - (wait == 0), now)
        return wait
