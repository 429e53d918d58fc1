"""The commands of `python -m studio`: each takes the workspace and its flags and gives an Outcome.

The database is held only while it is read or written, never while a run trains, a model answers or somebody thinks, so
that the app can be opened beside a running command. What they leave out: printing (studio.cli).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from storage.database import Database, connect
from studio.settings import Workspace


@dataclass(frozen=True)
class Outcome:
    """What a command gives: the object for stdout, a sentence for stderr, the exit code."""

    data: Mapping[str, object]
    message: str = ""
    code: int = 0


@contextmanager
def opened(workspace: Workspace) -> Iterator[Database]:
    """The database for the length of a `with` block. Raises WorkspaceBusy, WorkspaceBroken."""
    db = connect(workspace.database, workspace.backups)
    try:
        yield db
    finally:
        db.close()


def teller() -> Callable[[float, str], None]:
    """What shows a job's progress on stderr: a line whenever it has other words to say."""
    told = ""

    def tell(fraction: float, words: str) -> None:
        nonlocal told
        if words != told:
            told = words
            print(f"{fraction:.0%} {words}", file=sys.stderr)

    return tell
