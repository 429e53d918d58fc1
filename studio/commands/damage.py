"""What `doctor` finds damaged in a workspace, by name, and what it can make again from what is whole.

Rows that do not fit each other are derived anew from the answers; a run's spec and events come back from the database,
a database's log is cut where its damage begins. What it leaves out: what exists only once (a snapshot's rows, weights,
a table's blocks), for which there are backups; it says so.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from storage.consistency import derive_broken, find_broken, unreadable_tables
from storage.database import Database
from storage.projects import list_projects
from storage.records import Run
from storage.runs import list_events, list_runs, take_up_events
from storage.salvaging import cut_log, is_log_damaged
from storage.snapshots import list_snapshots
from studio.contract.events import EVENTS_FILE, KINDS, Event, EventKind, decode, encode
from studio.contract.spec import SPEC_FILE, parse_train_spec_json
from studio.data.backing_up import NOT_TAKEN
from studio.data.snapshot_files import verify
from studio.errors import BadFile, BadSpec, NotFound
from studio.jobs.processes import is_alive
from studio.settings import Workspace


@dataclass(frozen=True)
class Damage:
    """One finding: a sentence for people, and what mends it (None: nothing here can), which says what it did."""

    sentence: str
    mend: Callable[[], str] | None = None


def damaged_log(workspace: Workspace) -> list[Damage]:
    """Whether a database that does not open could be opened without the damaged part of its log."""
    if not is_log_damaged(workspace.database):
        return []

    def mend() -> str:
        done = cut_log(workspace.database, workspace.backups)
        return (
            f"The database's log was read up to its damage ({done.kept_bytes:,} bytes); what was saved in the "
            f"{done.lost_bytes:,} bytes behind is lost. As they were found, file and log lie in {done.found}."
        )

    return [Damage("The database's log is damaged: what was saved before the damage can be read again.", mend)]


def find_damage(workspace: Workspace, db: Database) -> list[Damage]:
    """Everything of an open workspace that is not as it was written."""
    if unreadable := list(_tables(db)):  # nothing else of the database can be relied on, nor mended by it
        return unreadable + list(_event_files(workspace))
    found = [*_rows(db), *_snapshots(workspace, db)]
    runs = {run.id: run for run in list_runs(db)}
    for run in runs.values():
        found += _run(workspace, db, run)
    return found + list(_event_files(workspace)) + list(_strangers(workspace, runs))


def _tables(db: Database) -> Iterator[Damage]:
    for name, why in unreadable_tables(db).items():
        yield Damage(
            f"Table {name} of the database cannot be read ({why}): put a backup in its place with `restore`; the other "
            "tables can be read."
        )


def _rows(db: Database) -> Iterator[Damage]:
    for broken in find_broken(db.cursor()):
        ids = ", ".join(broken.ids)
        mend = (lambda: f"{derive_broken(db):,} rows were derived anew.") if broken.derivable else None
        yield Damage(f"{broken.count:,} {broken.what} ({ids}{' …' if broken.count > 5 else ''}).", mend)


def _snapshots(workspace: Workspace, db: Database) -> Iterator[Damage]:
    projects = list_projects(db, archived=True)
    for snapshot_id in dict.fromkeys(one.id for project in projects for one in list_snapshots(db, project.id)):
        try:
            verify(workspace, snapshot_id)
        except BadFile as error:
            yield Damage(str(error))
        except NotFound:
            yield Damage(
                f"The files of snapshot {snapshot_id} are gone from {workspace.snapshots}: put the folder back from a "
                "backup, or freeze the project again."
            )


def _run(workspace: Workspace, db: Database, run: Run) -> Iterator[Damage]:
    folder = workspace.runs / run.id
    if not folder.is_dir():
        yield Damage(f"The folder of run {run.number} is gone ({folder}): put it back from a backup, or train anew.")
        return
    if is_alive(folder):
        return
    yield from _spec(folder, run)
    yield from _events(folder, db, run)
    yield from _weights(folder, run)


def _spec(folder: Path, run: Run) -> Iterator[Damage]:
    try:
        parse_train_spec_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, BadSpec):
        whole = json.dumps(run.spec)
        try:
            parse_train_spec_json(whole)
        except BadSpec:
            yield Damage(f"{folder / SPEC_FILE} cannot be read: run {run.number} cannot be resumed; train anew.")
            return
        sentence = f"{folder / SPEC_FILE} cannot be read: run {run.number} cannot be resumed as it is."
        yield Damage(sentence, lambda: _written(folder / SPEC_FILE, whole, "was written anew from the database"))


def _events(folder: Path, db: Database, run: Run) -> Iterator[Damage]:
    """A file that is shorter than what was read of it: its beginning is in the database."""
    file = folder / EVENTS_FILE
    size = file.stat().st_size if file.exists() else 0
    if size >= run.events_offset:
        return

    def mend() -> str:
        told = list_events(db, run.id, sorted(KINDS))
        lines = b"".join(encode(Event(one.seq, one.at, cast(EventKind, one.kind), one.data)) for one in told)
        _written(file, lines.decode(), "")
        take_up_events(db, run.id, [], len(lines), {})
        return f"{file} was written anew from the {len(told):,} events that the database has."

    yield Damage(f"{file} was cut: it has {size:,} of {run.events_offset:,} bytes that were read of it.", mend)


def _weights(folder: Path, run: Run) -> Iterator[Damage]:
    if not run.adapter_hash:
        return
    where = next((folder / name for name in ("adapter", "model") if any((folder / name).glob("*.safetensors"))), None)
    if where is None:
        yield Damage(f"The weights of run {run.number} are gone from {folder}: put them back from a backup.")
    elif _hash_of(where) != run.adapter_hash:
        yield Damage(
            f"The weights of run {run.number} in {where} are not what the run wrote (their hash differs): put them "
            "back from a backup, or train anew."
        )


def _hash_of(folder: Path) -> str:
    """As studio.models.hashes names weights: the digest of one file, or of the list of names and digests."""
    adapter = folder / "adapter_model.safetensors"
    files = [adapter] if adapter.exists() else sorted(folder.glob("*.safetensors"))
    digests = []
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    lines = "".join(f"{digest}  {file.name}\n" for file, digest in zip(files, digests, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def _event_files(workspace: Workspace) -> Iterator[Damage]:
    """Half lines and lines that are no events, in the folder of any job that is not at work."""
    for file in sorted(workspace.root.rglob(EVENTS_FILE)):
        if file.relative_to(workspace.root).parts[0] in NOT_TAKEN or is_alive(file.parent):
            continue
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        bad = sum(decode(line) is None for line in content[:whole].splitlines())
        if bad:
            yield Damage(f"{bad} lines of {file} cannot be read and are passed over; the others count.")
        if whole < len(content):
            sentence = f"{file} ends in half a line, which is passed over."
            yield Damage(sentence, partial(_cut, file))


def _strangers(workspace: Workspace, runs: dict[str, Run]) -> Iterator[Damage]:
    """Folders of runs that no row knows, as after a restore of the database alone."""
    if workspace.runs.is_dir():
        unknown = sorted(one.name for one in workspace.runs.iterdir() if one.is_dir() and one.name not in runs)
        if unknown := [name for name in unknown if not name.startswith(".")]:
            names = ", ".join(unknown[:5])
            yield Damage(f"{len(unknown)} folders in {workspace.runs} are of no run that the database knows ({names}).")


def _written(file: Path, text: str, what: str) -> str:
    temporary = file.with_name(f".{file.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
    return f"{file} {what}."


def _cut(file: Path) -> str:
    """Looked at anew: the file may have been written anew since it was found."""
    os.truncate(file, file.read_bytes().rfind(b"\n") + 1)
    return f"The half line at the end of {file} was cut off."
