"""Put a backup in a workspace's place: checked whole before anything is moved, and what was there is kept.

The backup is copied beside, every file held against its hash and every table against its count; then folders change
places by renames that a note (restoring.json) lists. A restore that is broken off before leaves the old workspace as it
was; after that no app opens the workspace until the same command has finished the renames.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.copying import count_rows
from storage.opening import RESTORING, logs_of, turn_at
from studio.data.backing_up import MANIFEST, Backup, Tell, files_below, hashed, read_manifest, taken
from studio.data.files import sentences, sync_folder, sync_tree
from studio.errors import BadFile, BadInput, DiskFull, WorkspaceBusy
from studio.settings import Workspace

_DATABASE = "studio.duckdb"


@dataclass(frozen=True)
class Restored:
    """What was put in place, and where what was there before is kept (None: there was nothing)."""

    backup: Backup
    kept: Path | None


def check_backup(source: Path, on_progress: Tell = lambda fraction, words: None) -> Backup:
    """Hold every file of a backup against its hash and every table against its count. Raises NotFound, BadFile,
    WorkspaceBroken (a database that cannot be read or is of a newer version)."""
    backup = read_manifest(source)
    _check_names(source, backup)
    for number, (name, stated) in enumerate(backup.files.items()):
        on_progress(number / len(backup.files), "Checking the backup")
        _same(name, stated, _read(source / name))
    _check_rows(source, backup)
    return backup


def restore(workspace: Workspace, source: Path, on_progress: Tell = lambda fraction, words: None) -> Restored:
    """Put the backup in the folder `source` in the workspace's place.

    Raises like `check_backup`, WorkspaceBusy while an app has the workspace, DiskFull; then nothing was changed.
    """
    source = source.expanduser().resolve()
    backup = read_manifest(source)
    _check_names(source, backup)
    with _alone(workspace):
        _finish(workspace)
        _check_disks(workspace)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        staged = workspace.backups / f".restore-{stamp}"
        old = workspace.backups / f"before-restore-{stamp}"
        try:
            _stage(source, staged, backup, on_progress)
            _check_rows(staged, backup)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        on_progress(1.0, "Putting it in place")
        _note(workspace, staged, old)
        _finish(workspace)
        if kept := old if old.exists() else None:
            sync_folder(kept)
        return Restored(backup, kept)


def _stage(source: Path, staged: Path, backup: Backup, on_progress: Tell) -> None:
    with sentences(staged):
        staged.mkdir(parents=True)
        free = shutil.disk_usage(staged).free
        if free < backup.size:
            raise DiskFull(
                f"The backup takes {backup.size / 2**20:,.0f} MB and {staged.parent} has {free / 2**20:,.0f} MB left: "
                "make room. Nothing was changed."
            )
        for number, (name, stated) in enumerate(backup.files.items()):
            on_progress(number / len(backup.files), "Checking and copying the backup")
            place = staged / name
            place.parent.mkdir(parents=True, exist_ok=True)
            _same(name, stated, _read(source / name, place))
        sync_tree(staged)
        sync_folder(staged.parent)


def _check_disks(workspace: Workspace) -> None:
    """Everything changes places by renames, which lead to no other disk. Raises BadInput."""
    home = workspace.root.stat().st_dev
    folders = [one for one in (workspace.root / name for name in _movable(workspace)) if one.is_dir()]
    away = [one for one in folders if one.lstat().st_dev != home]  # a link is moved as such
    if workspace.backups.exists() and workspace.backups.stat().st_dev != home:
        away.append(workspace.backups)
    if away:
        raise BadInput(
            f"{away[0]} is on another disk than {workspace.root}: restore into a new folder with --workspace, or bring "
            "it back first. Nothing was changed."
        )


def _check_names(source: Path, backup: Backup) -> None:
    there = set(files_below(source)) - {MANIFEST}
    if missing := sorted(backup.files.keys() - there):
        raise BadFile(f"The backup {source} lacks {_list(missing)}: use another backup. Nothing was changed.")
    if more := sorted(there - backup.files.keys()):
        raise BadFile(f"The backup {source} holds what its {MANIFEST} does not name ({_list(more)}): take that away.")
    if odd := sorted(one for one in backup.files if not (one == _DATABASE or taken(one.split("/")[0], _DATABASE))):
        raise BadFile(f"{source} names what no backup holds ({_list(odd)}): use another backup. Nothing was changed.")
    if _DATABASE not in backup.files:
        raise BadFile(f"The backup {source} has no database: use another backup.")


def _check_rows(folder: Path, backup: Backup) -> None:
    schema, tables = count_rows(folder / _DATABASE)
    if (schema, tables) != (backup.schema, backup.tables):
        wrong = sorted(name for name in tables | backup.tables if tables.get(name) != backup.tables.get(name))
        raise BadFile(f"The backup's database has not the rows that were counted ({_list(wrong)}): use another backup.")


def _read(file: Path, copy_to: Path | None = None) -> tuple[int, str]:
    try:
        return hashed(file, copy_to)
    except FileNotFoundError:
        raise BadFile(f"{file} is gone from the backup: use another backup. Nothing was changed.") from None


def _same(name: str, stated: tuple[int, str], found: tuple[int, str]) -> None:
    if found != stated:
        what = "is cut or grown" if found[0] != stated[0] else "is not what was written"
        raise BadFile(f"{name} of the backup {what} (its hash differs): use another backup. Nothing was changed.")


def _note(workspace: Workspace, staged: Path, old: Path) -> None:
    """Write down what is about to be moved, in one piece."""
    there = _movable(workspace)
    new = sorted(entry.name for entry in staged.iterdir())
    text = json.dumps({"staged": staged.name, "old": old.name, "new": new, "gone": sorted(there - {*new})})
    temporary = workspace.root / f".{RESTORING}"
    with sentences(workspace.root):
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(workspace.root / RESTORING)
        sync_folder(workspace.root)


def _movable(workspace: Workspace) -> set[str]:
    """Names of what lies in a workspace and changes places with what a backup holds."""
    ours = [_DATABASE, *(log.name for log in logs_of(workspace.database))]
    return {place.name for place in workspace.root.iterdir() if taken(place.name, _DATABASE) or place.name in ours}


def _finish(workspace: Workspace) -> None:
    """Do what a note says, from wherever it was broken off; nothing without one."""
    note = workspace.root / RESTORING
    if not note.exists():
        return
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        staged, old = (workspace.backups / Path(str(told[key])).name for key in ("staged", "old"))
        new, gone = ([Path(str(name)).name for name in told[key]] for key in ("new", "gone"))
    except (OSError, ValueError, KeyError, TypeError):
        raise BadFile(
            f"{note} cannot be read: look into {workspace.backups} for what was being put in place."
        ) from None
    with sentences(workspace.root):
        old.mkdir(exist_ok=True)
        for name in gone:
            _swap(workspace.root / name, None, old / name)
        for name in new:
            _swap(workspace.root / name, staged / name, old / name)
        for folder in (workspace.root, old):
            sync_folder(folder)
        note.unlink()
        sync_folder(workspace.root)  # were it there again, what is saved from now on would be moved away
        shutil.rmtree(staged, ignore_errors=True)
        if not any(old.iterdir()):
            old.rmdir()


def _swap(place: Path, new: Path | None, old: Path) -> None:
    """Done as often as one likes, `old` holds what was there first, and `place` what is new, if anything is."""
    waits = new is not None and new.exists()
    if place.exists() and (waits or new is None):
        place.rename(old)
    if new is not None and waits:
        new.rename(place)


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """The workspace with no app in it, nor one that is being started. Raises WorkspaceBusy."""
    with turn_at(workspace.root):
        if not workspace.database.exists():
            yield
            return
        with workspace.database.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kind of lock that DuckDB takes
            except BlockingIOError:
                raise WorkspaceBusy(
                    f"The workspace {workspace.root} is in use: stop the app first. Nothing was changed."
                ) from None
            yield


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
