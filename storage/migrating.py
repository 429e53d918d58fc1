"""Bring a database file to this version's schema: on a copy, which takes the file's place when every step went well.

So a step that fails, a full disk or a kill leaves the old file in service, whichever of several steps it was; and
before anything a copy of the old file goes to the backups. What it leaves out: going back to an older schema.
"""

from __future__ import annotations

import errno
import filecmp
import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from storage.opening import is_disk_full, logs_of, quiet, remove_database, sync, table_counts
from studio.errors import DiskFull, WorkspaceBroken

MIGRATIONS = Path(__file__).parent / "migrations"

Step = tuple[int, Path]
"""A migration's number and its file."""


def all_steps() -> list[Step]:
    """Every migration that this version knows, in order."""
    return [(int(file.name[:4]), file) for file in sorted(MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))]


def newest_version() -> int:
    """Number of the newest migration that this version knows."""
    return all_steps()[-1][0]


def pending(path: Path, done: int) -> list[Step]:
    """The steps that a database of schema `done` has not seen. Raises WorkspaceBroken for one of a newer version."""
    if done > newest_version():
        raise WorkspaceBroken(
            f"The database {path} was written by a newer SFT Studio (schema {done}, this one knows "
            f"{newest_version()}): update the studio, or use another workspace."
        )
    return [step for step in all_steps() if step[0] > done]


def migrate(path: Path, backups: Path, steps: list[Step], done: int) -> None:
    """Take a closed database (or none) through `steps`, after a backup into `backups`.

    Raises DiskFull, WorkspaceBroken; then the file is as it was.
    """
    made = path.with_name(f"{path.name}.next")
    remove_database(made)
    kept = _back_up(path, backups) if path.exists() else None
    try:
        if kept:
            shutil.copyfile(kept, made)
        _apply(made, steps)
        made.replace(path)
    except (duckdb.Error, OSError) as error:
        if kept and _for_want_of_room(error):
            kept.unlink(missing_ok=True)  # a copy of what is unchanged would only fill the disk further
        raise _failed(error, path, steps[-1][0], done, kept) from error
    finally:
        remove_database(made)
    sync(path.parent)  # past the errors above: the new file is in service


def _apply(path: Path, steps: list[Step]) -> None:
    with quiet(path) as cursor:
        for version, file in steps:
            cursor.execute("BEGIN TRANSACTION")
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations "
                "(version INTEGER PRIMARY KEY, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
            )
            cursor.execute(file.read_text(encoding="utf-8"))
            moment = datetime.now(UTC).replace(tzinfo=None)
            cursor.execute("INSERT INTO schema_migrations VALUES (?, ?, ?)", [version, file.stem, moment])
            cursor.execute("COMMIT")
            cursor.execute("CHECKPOINT")
        table_counts(cursor)
    _folded(path)
    sync(path)


def _back_up(path: Path, backups: Path) -> Path:
    _folded(path)
    earlier = max(backups.glob(f"{path.stem}-*.duckdb"), default=None)
    if earlier and filecmp.cmp(path, earlier, shallow=False):
        return earlier  # of an update that failed; starting again and again is not to fill the disk
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    target = backups / f"{path.stem}-{stamp}.duckdb"
    try:
        backups.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        sync(target)
        sync(backups)
    except OSError as error:
        target.unlink(missing_ok=True)
        told = f"The backup before the update cannot be written to {backups}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{told}: the disk is full. Nothing was changed; make room and start again.") from error
        raise WorkspaceBroken(f"{told} ({error.strerror or error}): nothing was changed.") from error
    return target


def _folded(path: Path) -> None:
    """A closed database's log is part of the file; were it not, the log would be lost. Raises WorkspaceBroken."""
    if any(file.exists() for file in logs_of(path)):
        raise WorkspaceBroken(f"The log of the database {path} could not be written into it: nothing was changed.")


def _failed(error: Exception, path: Path, version: int, done: int, kept: Path | None) -> Exception:
    if _for_want_of_room(error):
        return DiskFull(
            f"The disk of {path.parent} is full: the database was not updated and is as it was. Make room (about twice "
            "its size) and start again."
        )
    why = str(error).splitlines()[0]
    if kept is None:
        return WorkspaceBroken(f"The database {path} cannot be made ({why}).")
    return WorkspaceBroken(
        f"The update of the database {path} from schema {done} to {version} failed ({why}). The old file is as it was: "
        f"go on with the SFT Studio that wrote it. A copy is {kept}."
    )


def _for_want_of_room(error: Exception) -> bool:
    return is_disk_full(error) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
