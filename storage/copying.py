"""A whole copy of a database as of one moment, taken from outside while another process writes it.

Why by bytes: DuckDB lets no second process open a file that is written to, and its own COPY needs the app. What a
checkpoint made of the file stays as it is until the next checkpoint, which changes the headers; everything since then
is in the write-ahead log, which only grows. So the file, and then the log, are one moment's, if the headers are the
same before and after. Never to be called in the process that has the database open: closing any handle of a file ends
the lock that a process has on it, DuckDB's included.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import duckdb

from storage.migrating import pending
from storage.opening import is_disk_full, logs_of, quiet, remove_database, schema_of, sync, table_counts
from studio.errors import DiskFull, WorkspaceBroken

_HEADERS = slice(4096, 3 * 4096)
"""Where DuckDB keeps its two headers, of which a checkpoint writes one anew."""
_TRIES = 60
_PAUSE_SECONDS = 0.1


def copy_database(path: Path, target: Path) -> None:
    """Copy the database at `path` to `target` (which must not be there), with all that was committed before.

    Raises WorkspaceBroken when it is damaged or never came to rest, DiskFull, and OSError.
    """
    why = "it was written to all the time; try again when less is going on"
    for _ in range(_TRIES):
        before = _mark(path)
        _copy_files(path, target)
        if _mark(path) == before:
            try:
                return _fold(target)
            except duckdb.Error as error:
                why = str(error).splitlines()[0]
                if is_disk_full(error):
                    raise DiskFull(f"The disk is full: {target} was not written.") from error
        remove_database(target)
        time.sleep(_PAUSE_SECONDS)
    raise WorkspaceBroken(f"The database {path} cannot be copied: {why}.")


def count_rows(path: Path) -> tuple[int, dict[str, int]]:
    """Schema version, and rows by table, of a closed database, every value of it being read and nothing written.

    Raises WorkspaceBroken when one cannot be read, or when it is of a newer version than this studio.
    """
    try:
        with quiet(path, read_only=True) as cursor:
            version = schema_of(cursor)
            pending(path, version)
            return version, table_counts(cursor)
    except duckdb.Error as error:
        raise WorkspaceBroken(f"The database {path} is damaged: {str(error).splitlines()[0]}") from error


def _mark(path: Path) -> tuple[int, bytes, tuple[Path, ...]]:
    """What changes when a checkpoint begins or ends."""
    with path.open("rb") as file:
        file.seek(_HEADERS.start)
        headers = file.read(_HEADERS.stop - _HEADERS.start)
        return os.fstat(file.fileno()).st_ino, headers, tuple(file for file in logs_of(path) if file.exists())


def _copy_files(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)
    for log, copied in zip(logs_of(path), logs_of(target), strict=True):
        with suppress(FileNotFoundError):
            shutil.copyfile(log, copied)


def _fold(target: Path) -> None:
    """Open the copy, whose log then becomes part of the file, and see it onto the disk."""
    with quiet(target) as cursor:
        cursor.execute("CHECKPOINT")
    if any(file.exists() for file in logs_of(target)):
        raise duckdb.IOException("its log could not be folded in")
    sync(target)
