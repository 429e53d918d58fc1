"""`backup` and `restore`: a workspace kept elsewhere, and put back; from beside the app, never from inside of it."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.commands import Outcome, teller
from studio.data.backing_up import Backup, back_up, entries
from studio.data.restoring import check_backup, restore
from studio.errors import WorkspaceBusy
from studio.jobs.processes import LOCK_FILE, is_alive
from studio.settings import Workspace


def backup(workspace: Workspace, flags: Namespace) -> Outcome:
    """`backup`: the workspace as it is now into a new folder, while people work or not."""
    made = back_up(workspace, flags.folder, teller())
    unsteady = [f"Written to while it was copied, five times: {name}." for name in made.unsteady]
    return Outcome({"backup": str(flags.folder), **_told(made)}, "\n".join(unsteady))


def put_back(workspace: Workspace, flags: Namespace) -> Outcome:
    """`restore`: a backup in the workspace's place, or with --check only whether it is whole."""
    if flags.check:
        return Outcome({"backup": str(flags.folder), **_told(check_backup(flags.folder, teller()))})
    if at_work := jobs_at_work(workspace):
        names = ", ".join(at_work[:3])
        raise WorkspaceBusy(f"{len(at_work)} jobs are at work in {workspace.root} ({names}): stop them first.")
    done = restore(workspace, flags.folder, teller())
    kept = f"What was there before is in {done.kept}." if done.kept else ""
    return Outcome({"restored": str(flags.folder), "kept": str(done.kept or ""), **_told(done.backup)}, kept)


def jobs_at_work(workspace: Workspace) -> list[str]:
    """Folders of a workspace in which a process lives."""
    places = [workspace.root / entry for entry in entries(workspace.root)]
    locks = [lock for place in places for lock in (place.rglob(LOCK_FILE) if place.is_dir() else [place])]
    folders = sorted(lock.parent for lock in locks if lock.name == LOCK_FILE)
    return [str(one.relative_to(workspace.root)) for one in folders if is_alive(one)]


def add_keeping_commands(verbs: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both; `command(verbs, name, run, help)` adds one."""
    keep = command(verbs, "backup", backup, "the whole workspace into a new folder, also while the app runs")
    keep.add_argument("folder", metavar="DEST", type=Path)
    back = command(verbs, "restore", put_back, "a backup in the workspace's place; what was there is kept")
    back.add_argument("folder", metavar="SOURCE", type=Path)
    back.add_argument("--check", action="store_true", help="only say whether the backup is whole")


def _told(made: Backup) -> dict[str, object]:
    return {
        "made_at": made.made_at,
        "schema": made.schema,
        "rows": made.rows,
        "files": len(made.files),
        "bytes": made.size,
    }
