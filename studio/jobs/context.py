"""What the app holds open for as long as it lives: the database, the engine, the watcher of runs."""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Database, connect
from studio.jobs.engine import Engines
from studio.jobs.runs import Watcher
from studio.settings import Workspace


@dataclass(frozen=True)
class Studio:
    """An open workspace with its helpers. Handlers get it as their first argument."""

    workspace: Workspace
    db: Database
    engines: Engines
    watcher: Watcher

    def close(self) -> None:
        """End what the app started but its runs, and let the database go."""
        self.watcher.stop()
        self.engines.close()
        self.db.close()


def open_studio(workspace: Workspace) -> Studio:
    """Open a workspace. Raises WorkspaceBusy, WorkspaceBroken, DiskFull."""
    db = connect(workspace.database, workspace.backups)
    return Studio(workspace, db, Engines(workspace), Watcher(db, workspace))
