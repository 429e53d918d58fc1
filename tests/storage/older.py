"""A workspace as an earlier version of the studio left it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import storage.migrating
from storage.database import connect
from storage.projects import create_project
from studio.settings import Workspace


def make_older(workspace: Workspace, folder: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the database by the first `version` migrations alone, with a project "Kept" in it."""
    older = folder / "older"
    older.mkdir()
    for file in sorted(storage.migrating.MIGRATIONS.glob("*.sql"))[:version]:
        shutil.copy(file, older)
    monkeypatch.setattr(storage.migrating, "MIGRATIONS", older)
    db = connect(workspace.database, workspace.backups)
    create_project(db, "Kept")
    db.close()
    monkeypatch.undo()
