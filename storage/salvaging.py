"""A database that does not open because its write-ahead log is damaged: all that the log says before the damage.

A kill leaves a log that ends in half an entry, which DuckDB passes over by itself. A power cut or a bad disk can leave
rubbish in it; then DuckDB refuses the whole file. The longest beginning of the log that opens is found by trying, on a
link to the file and read-only, and what was cut off is kept beside. What it leaves out: damage in the file itself, for
which there are backups.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from storage.opening import logs_of, quiet, sync, turn_at
from studio.errors import WorkspaceBroken


@dataclass(frozen=True)
class Salvaged:
    """How many bytes of the log could be read, how many not, and where file and log lie as they were found."""

    kept_bytes: int
    lost_bytes: int
    found: Path


def is_log_damaged(path: Path) -> bool:
    """Whether it is the log alone that keeps a closed database from opening."""
    log = logs_of(path)[0]
    if not path.exists() or not log.exists():
        return False
    with _place(path) as place:
        return not _opens(place, log.read_bytes()) and _opens(place, b"")


def cut_log(path: Path, backups: Path) -> Salvaged:
    """Keep of a damaged log what can be read, and put it into the file; both are copied as they were first.

    Raises WorkspaceBroken where that is not what is wrong.
    """
    if not is_log_damaged(path):
        raise WorkspaceBroken(f"The log of the database {path} is not what is damaged: put a backup in its place.")
    log = logs_of(path)[0]
    content = log.read_bytes()
    with turn_at(path.parent):
        found = backups / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        found.mkdir(parents=True)
        for file in (path, log):
            sync(Path(shutil.copy2(file, found / file.name)))
        for folder in (found, backups):
            sync(folder)
        with _place(path) as place:
            whole = _longest(place, content)
        os.truncate(log, whole)
        with quiet(path) as cursor:
            cursor.execute("CHECKPOINT")
    return Salvaged(whole, len(content) - whole, found)


def _longest(place: Path, content: bytes) -> int:
    """Bytes of the longest beginning that opens: what follows the damage never does, what ends before it does."""
    good, bad = 0, len(content)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _opens(place, content[:middle]):
            good = middle
        else:
            bad = middle
    return good


def _opens(place: Path, log: bytes) -> bool:
    logs_of(place)[0].write_bytes(log)
    try:
        with quiet(place, read_only=True) as cursor:
            cursor.execute("SELECT count(*) FROM duckdb_tables()")
    except duckdb.Error:
        return False
    return True


@contextmanager
def _place(path: Path) -> Iterator[Path]:
    """A second name of a database file, with room for a log of its own beside it."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as folder:
        file = Path(folder) / path.name
        os.link(path, file)
        yield file
