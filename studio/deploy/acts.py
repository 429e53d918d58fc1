"""Acts of the command line while the app holds the database: written to a file, taken up into the audit log, each once.

Keys are made and servers ended without the database, so that they can be beside an open app; who did it is not lost for
that. Whoever has the database next (the command itself, else the app's caretaker) takes the file up. What it leaves
out: acts that need the database anyway, which write their line themselves (storage.audit).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.audit import record_in
from storage.database import Database, connect
from studio.errors import DiskFull, StudioError
from studio.jobs.locking import locked
from studio.language import tr
from studio.settings import Workspace

ACTS_FILE = "acts.jsonl"
_LONGEST = 1 << 20

Action = Literal["key add", "key revoke", "server stop"]


class _Act(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=64)
    user: str = Field(max_length=200)
    action: Action
    project_id: str = Field("", max_length=64)
    subject: str = Field("", max_length=500)
    key: str = Field("", max_length=64)


def note_act(
    workspace: Workspace, user: str, action: Action, project_id: str = "", subject: str = "", key: str = ""
) -> None:
    """Note what somebody did, and have it taken up at once where the database is free. Raises DiskFull."""
    said = _Act(
        id=uuid4().hex, user=user[:200], action=action, project_id=project_id, subject=subject[:500], key=key[:64]
    )
    path = _path(workspace)
    with locked(path):
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(said.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            told = tr("{path} cannot be written ({why}): make room.", path=path, why=error.strerror or error)
            raise DiskFull(told) from error
    if not workspace.database.exists():
        return
    with suppress(StudioError):  # the app holds it: its caretaker takes the act up
        db = connect(workspace.database, workspace.backups)
        try:
            take_up_acts(db, workspace)
        finally:
            db.close()


def take_up_acts(db: Database, workspace: Workspace) -> int:
    """Put the acts that were noted into the audit log; how many were new. Without any it costs a look at a file's name.
    An app that is killed between the two takes none up twice. Raises DiskFull."""
    if not _path(workspace).exists():
        return 0
    path = _path(workspace)
    with locked(path):
        acts = list(_read(path))
        with db.write() as cursor:
            new = [one for one in acts if not _is_known(cursor, one)]
            for one in new:
                told = {"key": one.key} if one.key else {}
                record_in(cursor, one.user, one.action, one.project_id, one.subject, **told, act=one.id)
        path.unlink(missing_ok=True)
    return len(new)


def _is_known(cursor: object, one: _Act) -> bool:
    sql = "SELECT 1 FROM audit WHERE action = ? AND json_extract_string(details, '$.act') = ? LIMIT 1"
    return cursor.execute(sql, [one.action, one.id]).fetchone() is not None  # type: ignore[attr-defined, no-any-return]


def _read(path: Path) -> Iterator[_Act]:
    """The acts of the file; a line that is none is passed over."""
    try:
        lines = path.read_bytes()[:_LONGEST].splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        with suppress(ValidationError):
            yield _Act.model_validate(_plain(line))


def _plain(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _path(workspace: Workspace) -> Path:
    return workspace.root / "serving" / ACTS_FILE
