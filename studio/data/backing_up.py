"""A workspace as a folder to keep: database, frozen data, runs, and a manifest with the count and hash of everything.

It is taken while the app serves and jobs run, from another process: first the database, as of one moment
(storage.copying), then the files, so that whatever the database names is among them; what files say beyond that moment
is taken up as after a restart. What it leaves out: what can be made again (models, exports) and what does not outlive
the app.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from storage.copying import copy_database, count_rows
from storage.opening import RESTORING
from studio.data.files import sentences, whole_folder
from studio.errors import BadFile, BadInput, DiskFull, NotFound, WorkspaceBroken, WorkspaceBusy
from studio.settings import Workspace

MANIFEST = "backup.json"
FORMAT = 1
NOT_TAKEN = frozenset({"backups", "models", "exports", "uploads", "engines", "embeddings"})
"""Folders of a workspace that no backup holds and no restore touches."""

_PASSING = frozenset({"alive.lock", "process.json", "stop.asked"})
"""Files that say something of a process of this machine."""

_LEAVING = ("serving/acts.jsonl", "serving/*/traffic*.jsonl")
"""Files that are removed once the database has their lines, each of which counts once. They are copied before the
database too: what is taken up after it was copied, and removed before they are, would be in neither."""

_GROWING = (".jsonl", ".txt", ".log", ".journal")
_PIECE = 1 << 20
_TRIES = 5

Files = dict[str, tuple[int, str]]
"""Bytes and SHA-256 of files by their paths."""

Tell = Callable[[float, str], object]


@dataclass(frozen=True)
class Backup:
    """What a backup's manifest says: when (UTC, ISO) and by which version it was made, the database's schema, rows by
    table, and bytes and SHA-256 of each file by its path."""

    made_at: str
    studio: str
    schema: int
    tables: dict[str, int]
    files: dict[str, tuple[int, str]]
    unsteady: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(self.tables.values())


def back_up(workspace: Workspace, target: Path, on_progress: Tell = lambda fraction, words: None) -> Backup:
    """Write a backup to the new folder `target`. Not from the process that has the database open (storage.copying).

    Raises NotFound when there is nothing to back up, BadInput for a folder that cannot be the target, DiskFull,
    WorkspaceBroken for a damaged or half restored one, WorkspaceBusy when another takes its place meanwhile; then there
    is no `target`.
    """
    if not workspace.database.exists():
        raise NotFound(f"There is no database in {workspace.root}: nothing to back up.")
    if (workspace.root / RESTORING).exists():
        raise WorkspaceBroken(f"A restore of {workspace.root} was broken off: run `restore` again first.")
    target = _free_target(workspace, target)
    _check_room(workspace, target)
    file = workspace.database.stat().st_ino
    with whole_folder(target) as folder:
        folder.chmod(0o700)  # it holds keys and hashes of passwords
        on_progress(0.0, "Copying the database")
        leaving = _copy_leaving(workspace.root, folder / ".leaving")
        copy_database(workspace.database, folder / workspace.database.name)
        schema, tables = count_rows(folder / workspace.database.name)
        files = {workspace.database.name: hashed(folder / workspace.database.name)}
        unsteady: list[str] = []
        names = list(entries(workspace.root))
        for number, entry in enumerate(names):
            on_progress(0.1 + 0.9 * number / len(names), f"Copying {entry}")
            copied, steady = _copy_steady(workspace.root, entry, folder)
            files |= copied
            unsteady += [] if steady else [entry]
        files |= _keep_left(folder, leaving, files)
        if (workspace.root / RESTORING).exists() or workspace.database.stat().st_ino != file:
            raise WorkspaceBusy(f"The workspace {workspace.root} was replaced meanwhile: make the backup again.")
        from studio import __version__

        moment = datetime.now(UTC).isoformat(timespec="seconds")
        backup = Backup(moment, __version__, schema, tables, files, tuple(unsteady))
        _write_manifest(folder, backup)
    return backup


def read_manifest(source: Path) -> Backup:
    """What the backup in a folder says of itself. Raises NotFound, BadFile."""
    try:
        found = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise BadFile(f"The backup {source} was written by a newer SFT Studio: update the studio first.")
        files = {_safe(name): (int(size), str(digest)) for name, (size, digest) in found.pop("files").items()}
        tables = {str(name): int(count) for name, count in found.pop("tables").items()}
        return Backup(files=files, tables=tables, unsteady=tuple(found.pop("unsteady")), **found)
    except FileNotFoundError:
        raise NotFound(f"There is no backup in {source}: it has no {MANIFEST}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BadFile(f"The {MANIFEST} of the backup {source} cannot be read: use another backup.") from None


def hashed(file: Path, copy_to: Path | None = None) -> tuple[int, str]:
    """Bytes and SHA-256 (hex) of a file, copied on the way; of a file that grows, up to its last whole line."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as source, (copy_to or Path(os.devnull)).open("wb") as target:
        if copy_to:
            with suppress(PermissionError):  # of a file system without such rights
                os.fchmod(target.fileno(), stat.S_IMODE(os.fstat(source.fileno()).st_mode) | stat.S_IWUSR)
        for piece in _pieces(source, file.suffix == ".jsonl" and copy_to is not None):
            digest.update(piece)
            target.write(piece)
            size += len(piece)
        if copy_to:
            target.flush()
            os.fsync(target.fileno())
    return size, digest.hexdigest()


def files_below(folder: Path) -> Iterator[str]:
    """Paths of all plain files below a folder, with "/" between, sorted; links and hidden ones are passed over."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and not Path(parent, one).is_symlink())
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and not path.is_symlink() and path.is_file():
                yield path.relative_to(folder).as_posix()


def taken(name: str, database: str) -> bool:
    """Whether an entry of a workspace's own folder is part of a backup, beside the database."""
    return not (name in NOT_TAKEN or name.startswith((".", database)) or name in (MANIFEST, RESTORING))


def _pieces(source: Any, whole_lines: bool) -> Iterator[bytes]:
    """A file in pieces; with `whole_lines` what follows its last line end is left out."""
    held = b""
    while piece := source.read(_PIECE):
        if whole_lines:
            cut = piece.rfind(b"\n") + 1
            piece, held = (held + piece[:cut], piece[cut:]) if cut else (b"", held + piece)
        yield piece


def entries(root: Path) -> Iterator[str]:
    """What is copied at a time: the folders of single jobs and snapshots, and what else lies in the workspace. Such a
    folder may be a link, as of runs that were put on another disk."""
    for name in sorted(entry.name for entry in root.iterdir() if taken(entry.name, "studio.duckdb")):
        place = root / name
        if place.is_dir():
            inner = sorted(one for one in place.iterdir() if not one.name.startswith("."))
            yield from (f"{name}/{one.name}" for one in inner if one.is_dir() or not one.is_symlink())
        elif not place.is_symlink():
            yield name


def _copy_steady(root: Path, entry: str, folder: Path) -> tuple[Files, bool]:
    """Copy one entry, anew while it changes under the copy; whether it came to rest. Files that only grow may."""
    for tried in range(_TRIES):
        before = _state(root, entry)
        files = {}
        for name in before:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                files[name] = hashed(root / name, place)
            except FileNotFoundError:  # removed meanwhile, as old checkpoints are
                place.unlink(missing_ok=True)
        if _state(root, entry) == before:
            return files, True
        if tried < _TRIES - 1:
            shutil.rmtree(folder / entry, ignore_errors=True)
    return files, False


def _copy_leaving(root: Path, place: Path) -> Files:
    found = {}
    for file in sorted(file for pattern in _LEAVING for file in root.glob(pattern)):
        name = file.relative_to(root).as_posix()
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            found[name] = hashed(file, place / name)
    return found


def _keep_left(folder: Path, leaving: Files, files: Files) -> Files:
    """Put those that have left meanwhile in their places; which they are."""
    left = {name: leaving[name] for name in leaving.keys() - files.keys()}
    for name in left:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / ".leaving" / name).replace(folder / name)
    shutil.rmtree(folder / ".leaving", ignore_errors=True)
    return left


def _state(root: Path, entry: str) -> dict[str, object]:
    """What is seen to change of an entry's files."""
    place = root / entry
    names = [f"{entry}/{name}" for name in files_below(place)] if place.is_dir() else [entry]
    found: dict[str, object] = {}
    for name in names:
        path = root / name
        if path.name in _PASSING or path.suffix == ".part":
            continue
        try:
            now = path.stat()
        except FileNotFoundError:
            continue
        grows = path.suffix in _GROWING or "tensorboard" in path.parts
        found[name] = None if grows else (now.st_ino, now.st_size, now.st_mtime_ns)
    return found


def _free_target(workspace: Workspace, target: Path) -> Path:
    target = target.expanduser().resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} is there already: name a folder that is new or empty.")
    if target.is_relative_to(workspace.root) and not target.is_relative_to(workspace.backups):
        raise BadInput(f"{target} lies in the workspace itself: name a folder outside it.")
    with sentences(target):
        if target.exists():
            target.rmdir()
        target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _check_room(workspace: Workspace, target: Path) -> None:
    needed = workspace.database.stat().st_size
    for entry in entries(workspace.root):
        place = workspace.root / entry
        names = (place / name for name in files_below(place)) if place.is_dir() else iter([place])
        needed += sum(path.stat().st_size for path in names if path.exists())
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise DiskFull(
            f"The backup takes {needed / 2**20:,.0f} MB and {target.parent} has {free / 2**20:,.0f} MB left: make room "
            "or name another disk."
        )


def _write_manifest(folder: Path, backup: Backup) -> None:
    text = json.dumps({"format": FORMAT, **asdict(backup)}, indent=1, ensure_ascii=False)
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _safe(name: str) -> str:
    """A path of a manifest that stays below its folder. Raises ValueError."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name or str(path) != name:
        raise ValueError(f"no path of a backup: {name[:100]!r}")
    return name
