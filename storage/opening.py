"""Database files as files: open one, say why it cannot be opened, what lies beside it, who else is at it.

What it leaves out: threads, transactions and the write door (storage.database).
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from studio.errors import DiskFull, WorkspaceBroken, WorkspaceBusy

RESTORING = "restoring.json"
"""Lies in a workspace while a restore puts folders in their places; what it says is known to studio.data.restoring."""

_TURN_SECONDS = 60
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
}


def open_file(path: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a database file that is there. Raises WorkspaceBusy, WorkspaceBroken, DiskFull."""
    refuse_empty(path)
    if not path.exists():
        raise WorkspaceBroken(f"The database {path} is gone: put a backup in its place with `restore`.")
    try:
        return duckdb.connect(str(path), config=_CONFIG, read_only=read_only)
    except duckdb.Error as error:
        text = str(error)
        if holder := re.search(r"held in (.+?) \(PID (\d+)\)", text):
            raise WorkspaceBusy(
                f"The workspace {path.parent} is in use by process {holder[2]} ({holder[1]}): "
                "use that one, or stop it first."
            ) from None
        if is_disk_full(error):
            raise DiskFull(f"The disk of {path.parent} is full: make room and try again.") from error
        if re.search(r"read-only file system|permission denied", text, re.IGNORECASE):
            raise WorkspaceBroken(
                f"The workspace {path.parent} cannot be written to: give this user the right to write there, or name "
                "another folder."
            ) from error
        raise WorkspaceBroken(
            f"The database {path} cannot be opened: {text.splitlines()[0]} "
            "`doctor` says what can be done; `restore` puts a backup in its place."
        ) from error


def refuse_empty(path: Path) -> None:
    """DuckDB would take a file cut to nothing for a new one, and a workspace would seem to be empty. Raises
    WorkspaceBroken."""
    if path.exists():
        empty = path.stat().st_size == 0
    else:
        empty = any(log.exists() and log.stat().st_size > 0 for log in logs_of(path))
    if empty:
        raise WorkspaceBroken(
            f"The database {path} is {'empty' if path.exists() else 'gone'}, though there was one: put a backup in its "
            "place with `restore`, or remove what is left of it to begin anew."
        )


def logs_of(path: Path) -> tuple[Path, ...]:
    """Files that DuckDB may keep beside a database: its write-ahead log, and what a checkpoint and a recovery need."""
    return tuple(path.with_name(path.name + end) for end in (".wal", ".wal.checkpoint", ".wal.recovery"))


def remove_database(path: Path) -> None:
    """Remove a database with all that lies beside it."""
    for file in (path, *logs_of(path)):
        file.unlink(missing_ok=True)


def table_names(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The tables of this file alone: the copy that searches keep in memory is another database (storage/mirror.py)."""
    found = cursor.execute(
        "SELECT table_name FROM duckdb_tables() "
        "WHERE NOT internal AND NOT temporary AND database_name = current_database() ORDER BY 1"
    )
    return [str(row[0]) for row in found.fetchall()]


def count_table(cursor: duckdb.DuckDBPyConnection, name: str) -> int:
    """Rows of a table (a name of the schema), every value being read. Raises duckdb.Error where one cannot be."""
    row = cursor.execute(f'SELECT count(*), bit_xor(hash(t)) FROM "{name}" t').fetchone()
    return int(row[0]) if row else 0


def table_counts(cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows by table, every value of each being read. Raises duckdb.Error where one cannot be."""
    return {name: count_table(cursor, name) for name in table_names(cursor)}


def schema_of(cursor: duckdb.DuckDBPyConnection) -> int:
    """Number of the newest migration that a database has seen (0 for a new one)."""
    known = cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'schema_migrations'").fetchone()
    if not known or not known[0]:
        return 0
    row = cursor.execute("SELECT max(version) FROM schema_migrations").fetchone()
    return int(row[0]) if row and row[0] else 0


@contextmanager
def quiet(path: Path, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database file of one's own for the length of a `with` block. Raises duckdb.Error."""
    connection = duckdb.connect(str(path), config=_CONFIG, read_only=read_only)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def turn_at(folder: Path) -> Iterator[None]:
    """Only one process at a time opens, updates or replaces the database of a folder: a lock on the folder itself,
    which falls with the process. Raises WorkspaceBusy when another one does not come to its end."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + _TURN_SECONDS
        while not _locked(handle):
            if time.monotonic() > deadline:
                raise WorkspaceBusy(f"Another process is opening or restoring the workspace {folder}: wait for it.")
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """See a file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_disk_full(error: Exception) -> bool:
    """Whether it was for want of room."""
    text = str(error).lower()
    return "no space left" in text or "disk full" in text or "disk is full" in text or "quota exceeded" in text


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without such locks, where DuckDB's own has to do
        return True
    return True
