"""A file of the workspace that several processes change: one at a time.

What it leaves out: the lock of the database (storage.opening) and the one that says that a job lives (jobs.processes).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.errors import DiskFull


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else who asks for it changes the file meanwhile; its folder is made. The lock is a hidden file beside it,
    as the file itself may be replaced. Raises DiskFull."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f".{path.stem}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DiskFull(f"{path.parent} cannot be written ({error.strerror or error}): make room.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
