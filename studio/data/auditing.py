"""The audit log as a file: what `storage.audit` finds, as CSV that a spreadsheet opens safely, or JSONL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from storage.audit import audit_choices, each_audit_line, record, search_audit
from storage.database import Database
from storage.records import AuditLine
from studio.data.files import whole_file
from studio.data.safecells import safe_cell
from studio.errors import BadInput
from studio.language import tr

__all__ = ["audit_choices", "export_audit", "record", "search_audit"]

_HEAD = ("number", "at", "user", "action", "project", "project_id", "subject", "details")


def export_audit(
    db: Database,
    path: Path,
    text: str = "",
    user: str = "",
    action: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """Write the lines that match (see `search_audit`) to .csv or .jsonl, the newest first; returns how many.

    Raises BadInput for another ending, BadFile, DiskFull.
    """
    path = Path(path)
    write = {".csv": _write_csv, ".jsonl": _write_jsonl}.get(path.suffix.lower())
    if write is None:
        told = {"file": path.name}
        raise BadInput(tr("'{file}' cannot be written: its ending must be .csv or .jsonl.", **told))
    with whole_file(path) as file:
        return write(each_audit_line(db, text=text, user=user, action=action, since=since, until=until), file)


def as_record(line: AuditLine) -> Mapping[str, object]:
    """A line as plain values: the time in UTC, details as they were given."""
    values = (line.number, line.at.isoformat(), line.user, line.action, line.project, line.project_id, line.subject)
    return dict(zip(_HEAD, (*values, dict(line.details)), strict=True))


def _write_jsonl(lines: Iterable[AuditLine], file: BinaryIO) -> int:
    count = 0
    for line in lines:
        count += 1
        file.write(json.dumps(as_record(line), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    return count


def _write_csv(lines: Iterable[AuditLine], file: BinaryIO) -> int:
    text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
    writer, count = csv.writer(text), 0
    writer.writerow(_HEAD)
    for line in lines:
        count += 1
        values = as_record(line)
        cells = [*(str(values[name]) for name in _HEAD[:-1]), json.dumps(values["details"], ensure_ascii=False)]
        writer.writerow([safe_cell(cell) for cell in cells])
    text.detach()
    return count
