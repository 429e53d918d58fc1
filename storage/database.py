"""The door to DuckDB: one process, a cursor per thread, one write door.

Why a lock and not retries: eight threads claiming 400 rows needed 1911 retries without it and none with it. After any
error inside a transaction DuckDB answers COMMIT with OK and throws everything away, so the write door always rolls back
and raises. What it leaves out: pooling, an ORM, and any SQL made of text that a user typed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import duckdb

from storage.migrating import all_steps, migrate, pending
from storage.opening import RESTORING, is_disk_full, open_file, refuse_empty, schema_of, table_counts, turn_at
from studio.errors import DiskFull, WorkspaceBroken

_T = TypeVar("_T")

_DEAD = (duckdb.FatalException, duckdb.ConnectionException)
_CLOSE_SECONDS = 10


class Stale(Exception):
    """A transaction beside the write door that others got in the way of; nothing of it was saved."""


class Database:
    """An open workspace database. Make one with `connect`; close it before the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root: duckdb.DuckDBPyConnection | None = open_file(path)
        self._file = _identity(path)
        self._root_lock = threading.Lock()
        self._write_lock = threading.RLock()
        self._local = threading.local()
        self._generation = 0
        self._closed = False
        self._versions: dict[str, int] = {}

    def touch(self, project_id: str) -> None:
        """Say that a project's examples, answers or settings changed other than by an act of the labeling queue, which
        then reads them anew. Inside `write` it counts from the commit on.
        """
        pending = getattr(self._local, "touched", None)
        if pending is None:
            self._versions[project_id] = self._versions.get(project_id, 0) + 1
        else:
            pending.add(project_id)

    def version(self, project_id: str) -> int:
        """How often `touch` was called for a project since the database was opened."""
        return self._versions.get(project_id, 0)

    def query(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a read. `sql` is a literal of this room; values are bound."""
        return self._read(lambda: self.cursor().execute(sql, params).fetchall())

    def one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """First row of a read, or None."""
        return self._read(lambda: self.cursor().execute(sql, params).fetchone())

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own cursor: sharing one connection between threads gave wrong rows silently.

        Opens the file again where a fatal error ended it. Raises DiskFull or WorkspaceBroken when that fails (the next
        call tries again), and WorkspaceBroken after `close`.
        """
        if getattr(self._local, "generation", None) != self._generation:
            with self._root_lock:
                if self._closed:
                    raise WorkspaceBroken("The database is closed: start the studio again.")
                if self._root is None:
                    self._root = self._open_again()
                self._local.cursor = self._root.cursor()
                self._local.generation = self._generation
        cursor: duckdb.DuckDBPyConnection = self._local.cursor
        return cursor

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own in a transaction that only reads: all it sees is of one moment, whatever others write
        meanwhile. For long reads: several threads may use it by turns. Raises like `cursor`, and WorkspaceBroken when
        the database is closed or dies under it.
        """
        self.cursor()  # opens the file again where it was let go
        with self._root_lock:
            if self._root is None:
                raise self._broke_off()
            cursor = self._root.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield cursor
        except _DEAD as error:
            raise self._broke_off() from error
        finally:
            cursor.close()  # ends the transaction too

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One committed transaction, or nothing. Raises DiskFull when there is no room for it, and like `cursor`."""
        with self._write_lock, self._transaction() as cursor:
            yield cursor

    @contextmanager
    def append(self, project_id: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """The same for a transaction that takes long and only adds rows: others write meanwhile, for only its commit
        goes through the write door. Raises besides Stale, when the project was touched meanwhile or the transaction met
        another one: nothing was saved then, and it has to be done again inside of `write`.
        """
        version = self.version(project_id)

        def check() -> None:
            if self.version(project_id) != version:
                raise Stale

        try:
            with self._transaction(check) as cursor:
                yield cursor
        except duckdb.TransactionException as error:
            raise Stale from error

    @contextmanager
    def scratch(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """This thread's cursor for its own temporary tables, past the write door. Raises like `write`."""
        generation = self._generation
        try:
            yield self.cursor()
        except duckdb.Error as error:
            self._failed(error, generation)

    @contextmanager
    def _transaction(self, check: Callable[[], None] = lambda: None) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self.cursor()
        generation = self._generation
        self._local.touched = set()
        try:
            cursor.execute("BEGIN TRANSACTION")
            yield cursor
            with self._write_lock:
                check()
                cursor.execute("COMMIT")
                for project_id in self._local.touched:
                    self._versions[project_id] = self._versions.get(project_id, 0) + 1
        except duckdb.Error as error:
            self._recover(cursor, error, generation)
            self._failed(error, generation)
        except BaseException as error:
            self._recover(cursor, error, generation)
            raise
        finally:
            self._local.touched = None

    def _open_again(self) -> duckdb.DuckDBPyConnection:
        root = open_file(self.path)
        if _identity(self.path) != self._file:  # what the app remembers is of another file
            root.close()
            raise WorkspaceBroken(f"The database {self.path} was replaced while it was let go: start the studio again.")
        return root

    def _failed(self, error: duckdb.Error, generation: int) -> NoReturn:
        if is_disk_full(error):
            raise DiskFull("The disk is full: nothing was saved by this step. Make room and try again.") from error
        if isinstance(error, _DEAD):
            self._forget(generation)
            raise self._broke_off() from error
        raise error

    def close(self) -> None:
        """Write everything into the file and let it go."""
        with self._write_lock, self._root_lock:
            self._closed = True
            self._let_go()

    def _read(self, read: Callable[[], _T]) -> _T:
        """A read, tried a second time when the database was found dead or another thread opened it anew meanwhile."""
        generation = self._generation
        try:
            return read()
        except _DEAD:
            self._forget(generation)
        try:
            return read()
        except _DEAD as error:
            raise self._broke_off() from error

    def _recover(self, cursor: duckdb.DuckDBPyConnection, error: BaseException, generation: int) -> None:
        """Roll back; after a fatal error (a full disk can be one) DuckDB serves nothing until it is opened anew."""
        dead = isinstance(error, _DEAD)
        for statement in ("ROLLBACK", "SELECT 1"):
            try:
                cursor.execute(statement)
            except _DEAD:
                dead = True
            except duckdb.Error:
                continue  # the failed statement had ended the transaction already
        if dead:
            self._forget(generation)

    def _forget(self, generation: int) -> None:
        """Let a dead database go, unless another thread has; the next `cursor` opens it anew."""
        with self._root_lock:
            if self._generation == generation:
                self._let_go()

    def _let_go(self) -> None:
        self._generation += 1
        root, self._root = self._root, None
        if root:
            _close(root)

    def _broke_off(self) -> WorkspaceBroken:
        return WorkspaceBroken(f"The database {self.path} broke off: nothing was saved by this step; try it again.")


def _close(root: duckdb.DuckDBPyConnection) -> None:
    deadline = time.monotonic() + _CLOSE_SECONDS
    while True:
        try:
            return root.close()
        except duckdb.ResourceInUseException:  # another thread reads: DuckDB refuses instead of waiting
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        except duckdb.FatalException:
            return


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def connect(path: Path, backups: Path) -> Database:
    """Open (or make) the database file and bring it to this version's schema, after a backup into `backups`.

    Raises WorkspaceBusy when another process has it, WorkspaceBroken when it is damaged, of a newer version, half
    restored or cannot be written to, and DiskFull; the file is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with turn_at(path.parent):
            return _connect(path, backups)
    except OSError as error:
        raise WorkspaceBroken(f"The workspace {path.parent} cannot be used ({error.strerror or error}).") from error


def _connect(path: Path, backups: Path) -> Database:
    if (path.parent / RESTORING).exists():
        raise WorkspaceBroken(
            f"A restore of the workspace {path.parent} was broken off: run `restore` with the same backup again."
        )
    refuse_empty(path)
    if not path.exists():
        migrate(path, backups, all_steps(), 0)
    db = Database(path)
    try:
        done = schema_version(db)
        steps = pending(path, done)
    except BaseException:
        db.close()
        raise
    if not steps:
        return db
    db.close()
    migrate(path, backups, steps, done)
    return Database(path)


def check_integrity(db: Database) -> dict[str, int]:
    """Read every value of every table; rows by table. Raises WorkspaceBroken when one cannot be read."""
    try:
        with db.reading() as cursor:
            return table_counts(cursor)
    except duckdb.Error as error:
        raise WorkspaceBroken(f"The database {db.path} is damaged: {str(error).splitlines()[0]}") from error


def schema_version(db: Database) -> int:
    """Number of the newest migration that this file has seen."""
    return schema_of(db.cursor())


def now() -> datetime:
    """The time as it is stored: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def aware(moment: datetime) -> datetime:
    """A stored time as it leaves this room."""
    return moment.replace(tzinfo=UTC)


def naive(moment: datetime) -> datetime:
    """The reverse of `aware`: any time with a zone as it is stored; one without is taken to be UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)
