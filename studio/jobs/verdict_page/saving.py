"""The page as a file: made on behalf of somebody, with a line in the audit log, as held-out rows leave the studio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.audit import record
from storage.database import Database
from storage.records import User
from storage.runs import get_run
from studio.errors import BadInput, DiskFull
from studio.jobs.verdict_page.page import file_name, verdict_page
from studio.jobs.verdict_page.records import read_records
from studio.language import tr
from studio.settings import Workspace


@dataclass(frozen=True)
class VerdictFile:
    """A page with the name that it should have, and the sentence on its top."""

    name: str
    content: bytes
    sentence: str


def verdict_file(db: Database, workspace: Workspace, user: User, run_id: str, texts: bool) -> VerdictFile:
    """The verdict on a run. Raises NotFound, BadInput where it is not evaluated yet."""
    records = read_records(db, workspace, run_id, texts)
    content = verdict_page(records).encode("utf-8", "replace")
    record(db, user.name, "verdict save", get_run(db, run_id).project_id, run_id, texts=texts)
    return VerdictFile(file_name(records), content, records.report.verdict.sentence)


def write_page(content: bytes, path: Path) -> None:
    """Whole or not at all; what is there already is replaced. Raises BadInput, DiskFull."""
    if path.is_dir():
        raise BadInput(tr("'{path}' is a folder: name a file that ends in .html.", path=path))
    if not path.parent.is_dir():
        words = tr("There is no folder '{folder}': make it first, or name another file.", folder=path.parent)
        raise BadInput(words)
    whole = path.with_name(f".{path.name}.tmp")
    try:
        whole.write_bytes(content)
        whole.replace(path)
    except OSError as error:
        whole.unlink(missing_ok=True)
        why = error.strerror or error
        raise DiskFull(tr("The page cannot be written to {path}: {reason}.", path=path, reason=why)) from error
