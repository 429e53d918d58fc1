"""A file into a project: all of it in one transaction, with an exact account; the same file twice adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from storage.annotations import pair_key
from storage.database import Database
from storage.examples import IMPORT_SCHEMA, ImportBatch, encode_turns
from storage.projects import get_project
from studio import settings
from studio.data.columns import Columns, Unusable, guess_columns, to_draft
from studio.data.prompts import content_key
from studio.data.readers import no_columns, no_rows, open_rows
from studio.data.rows import Rejected, Row, Table
from studio.errors import BadInput, Cancelled

REJECTED_KEPT = 1000
"""How many rejected rows a report names; it counts all of them."""

_BATCH_ROWS = 5000
_BATCH_CHARACTERS = 16_000_000
_PROGRESS_ROWS = 1000


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is: rows read, and the share of the file's bytes, 0 to 1."""

    rows: int
    fraction: float


@dataclass(frozen=True)
class ImportReport:
    """What became of a file: `labeled` of the `imported` rows had an answer; `rejected` names the first 1000."""

    imported: int
    labeled: int
    duplicates: int
    rejected: tuple[Rejected, ...]
    rejected_count: int
    notes: tuple[str, ...]


def import_file(
    db: Database,
    project_id: str,
    path: Path,
    columns: Columns | None = None,
    source: str | None = None,
    annotator: str = settings.USER,
    on_progress: Callable[[ImportProgress], bool] | None = None,
) -> ImportReport:
    """Import a file by the columns named or guessed. `on_progress` is called each 1000 rows and once more right before
    anything is written (fraction 1); when it says False, the import is cancelled.

    Raises BadFile, BadInput (columns), NotFound (project), DiskFull and Cancelled; then nothing was imported.
    """
    project = get_project(db, project_id)
    path = Path(path)
    table = open_rows(path)
    chosen = _choose(table, columns)
    batch = ImportBatch(db, project_id, source or path.name, annotator)
    intake = _Intake(batch, chosen, project.system_prompt)

    def ask(rows: int, fraction: float) -> None:
        if on_progress and not on_progress(ImportProgress(rows, fraction)):
            raise Cancelled("The import was cancelled: nothing was imported.")

    try:
        for count, row in enumerate(table.rows(), 1):
            intake.take(row)
            if count % _PROGRESS_ROWS == 0:
                ask(count, table.fraction)
        if not intake.seen:
            raise no_rows(table)
        intake.flush()
        ask(intake.seen, 1.0)
        counts = batch.finish()
    finally:
        batch.discard()
    rejected = tuple(intake.rejected)
    notes = tuple(table.notes)
    return ImportReport(counts.imported, counts.labeled, counts.duplicates, rejected, intake.rejected_count, notes)


@dataclass
class _Intake:
    """Rows on their way into a batch, flushed before they take much memory."""

    batch: ImportBatch
    columns: Columns
    system: str
    seen: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    waiting: list[tuple[object, ...]] = field(default_factory=list)
    characters: int = 0

    def take(self, row: Row | Rejected) -> None:
        """Hold a row, or note why not."""
        self.seen += 1
        if isinstance(row, Rejected):
            return self._reject(row)
        try:
            draft = to_draft(row.values, self.columns, self.system)
        except Unusable as unusable:
            return self._reject(Rejected(row.line, str(unusable)))
        key = content_key(draft.prompt, draft.context)
        prompt = encode_turns(draft.prompt)
        ids = (row.line, uuid4().hex, uuid4().hex)
        self.waiting.append((*ids, prompt, draft.context, draft.response, key, pair_key(key, draft.response)))
        self.characters += len(prompt) + len(draft.context) + len(draft.response or "")
        if len(self.waiting) >= _BATCH_ROWS or self.characters >= _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Hand what waits to the batch."""
        if self.waiting:
            values = zip(*self.waiting, strict=True)
            columns = [pa.array(column, kind.type) for column, kind in zip(values, IMPORT_SCHEMA, strict=True)]
            self.batch.add(pa.Table.from_arrays(columns, schema=IMPORT_SCHEMA))
        self.waiting, self.characters = [], 0

    def _reject(self, row: Rejected) -> None:
        self.rejected_count += 1
        if len(self.rejected) < REJECTED_KEPT:
            self.rejected.append(row)


def _choose(table: Table, columns: Columns | None) -> Columns:
    if not table.columns:
        raise no_columns(table)
    names = ", ".join(table.columns)
    chosen = columns or guess_columns(table.columns)
    if chosen is None:
        raise BadInput(f"Say which column of {table.path.name} is the input; there are: {names}.")
    for name in (chosen.input, chosen.output, chosen.context):
        # JSON rows may have keys that the first rows lack, so only tables with a header can be sure
        if name is not None and name not in table.columns and table.format not in ("JSON", "JSONL"):
            raise BadInput(f"{table.path.name} has no column '{name}'; there are: {names}.")
    if chosen.input not in table.columns:
        raise BadInput(f"{table.path.name} has no column '{chosen.input}'; there are: {names}.")
    return chosen
