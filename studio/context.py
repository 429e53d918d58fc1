"""What the app holds open for as long as it lives: database, accounts, engine, watcher, caretaker, labeling queues."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from storage.database import Database, connect
from studio.deploy.caretaker import Caretaker
from studio.errors import StudioError
from studio.jobs.engine import Engines
from studio.jobs.evaluating import evaluate_ended
from studio.jobs.runs import Watcher
from studio.jobs.suggesting import Suggester
from studio.labeling.queue import Queues
from studio.people.accounts import Accounts
from studio.settings import Workspace


@dataclass(frozen=True)
class Studio:
    """An open workspace with its helpers. Handlers get it as their first argument."""

    workspace: Workspace
    db: Database
    engines: Engines
    watcher: Watcher
    accounts: Accounts
    queues: Queues
    suggester: Suggester
    caretaker: Caretaker

    def close(self) -> None:
        """Let the database go, then end what the app started but its runs: ending an engine can take seconds, in which
        a second Ctrl+C may come."""
        self.watcher.stop()
        self.caretaker.stop()
        self.suggester.stop()
        try:
            with suppress(StudioError):  # a few minutes of "last seen" are no reason to keep the database open
                self.accounts.save()
            self.db.close()
        finally:
            self.engines.close()


def open_studio(workspace: Workspace) -> Studio:
    """Open a workspace. Raises WorkspaceBusy, WorkspaceBroken, DiskFull."""
    db = connect(workspace.database, workspace.backups)
    engines, queues = Engines(workspace), Queues(db)
    watcher = Watcher(db, workspace, on_done=partial(evaluate_ended, db, workspace))
    suggester = Suggester(db, workspace, engines, queues.peek)
    return Studio(workspace, db, engines, watcher, Accounts(db), queues, suggester, Caretaker(db, workspace))
