"""A file into a project: all of it in one transaction, with an exact account; the same file twice adds nothing.

What the columns mean depends on the project's task (studio.data.columns).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from storage.annotations import pair_key
from storage.database import Database
from storage.examples import encode_turns
from storage.imports import IMPORT_SCHEMA, ImportBatch
from storage.labels import LABEL_LIMIT
from storage.projects import get_project
from storage.records import Project
from studio import settings
from studio.data.columns import Columns, Draft, guess_columns, to_draft
from studio.data.prompts import content_key
from studio.data.readers import no_columns, no_rows, open_rows
from studio.data.rows import Rejected, Row, Table
from studio.data.targets import Unusable
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
    """What became of a file: `labeled` of the `imported` rows had an answer; `rejected` names the first 1000;
    `labels` is how many were added to the project's label set."""

    imported: int
    labeled: int
    duplicates: int
    rejected: tuple[Rejected, ...]
    rejected_count: int
    notes: tuple[str, ...]
    labels: int = 0


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
    chosen = _choose(table, columns, project.task)
    batch = ImportBatch(db, project_id, source or path.name, annotator)
    intake = _Intake(batch, chosen, project)

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
        counts = batch.finish(tuple(intake.labels))
    finally:
        batch.discard()
    rejected = tuple(intake.rejected)
    notes = tuple(table.notes)
    account = (counts.imported, counts.labeled, counts.duplicates)
    return ImportReport(*account, rejected, intake.rejected_count, notes, counts.labels)


@dataclass
class _Intake:
    """Rows on their way into a batch, flushed before they take much memory."""

    batch: ImportBatch
    columns: Columns
    project: Project
    seen: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    waiting: list[tuple[object, ...]] = field(default_factory=list)
    characters: int = 0
    labels: dict[str, None] = field(default_factory=dict)

    def take(self, row: Row | Rejected) -> None:
        """Hold a row, or note why not. Raises BadInput where there are too many different labels."""
        self.seen += 1
        if isinstance(row, Rejected):
            return self._reject(row)
        try:
            draft = to_draft(row.values, self.columns, self.project.system_prompt, self.project)
        except Unusable as unusable:
            return self._reject(Rejected(row.line, str(unusable)))
        self._note_labels(draft)
        key = content_key(draft.prompt, draft.context, draft.payload)
        prompt = encode_turns(draft.prompt)
        payload = json.dumps(draft.payload, ensure_ascii=False) if draft.payload else ""
        answer = (draft.response, draft.value if draft.response is not None else "")
        ids = (row.line, uuid4().hex, uuid4().hex)
        keys = (key, pair_key(key, draft.response))
        self.waiting.append((*ids, prompt, draft.context, payload, *answer, draft.priority, *keys))
        self.characters += sum(map(len, (prompt, draft.context, payload, draft.response or "", draft.value)))
        if len(self.waiting) >= _BATCH_ROWS or self.characters >= _BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Hand what waits to the batch."""
        if self.waiting:
            values = zip(*self.waiting, strict=True)
            columns = [pa.array(column, kind.type) for column, kind in zip(values, IMPORT_SCHEMA, strict=True)]
            self.batch.add(pa.Table.from_arrays(columns, schema=IMPORT_SCHEMA))
        self.waiting, self.characters = [], 0

    def _note_labels(self, draft: Draft) -> None:
        self.labels.update(dict.fromkeys(draft.labels))
        if len(self.labels) > LABEL_LIMIT:
            raise BadInput(
                f"The answer column has more than {LABEL_LIMIT:,} different labels: choose another column, or make a "
                "project whose answers are free text. Nothing was imported."
            )

    def _reject(self, row: Rejected) -> None:
        self.rejected_count += 1
        if len(self.rejected) < REJECTED_KEPT:
            self.rejected.append(row)


def _choose(table: Table, columns: Columns | None, task: str) -> Columns:
    if not table.columns:
        raise no_columns(table)
    names = ", ".join(table.columns)
    chosen = columns or guess_columns(table.columns, task)
    if chosen is None:
        wanted = "are the two answers" if task == "preference" else "is the input"
        raise BadInput(f"Say which column of {table.path.name} {wanted}; there are: {names}.")
    if task == "preference" and (chosen.a is None or chosen.b is None):
        raise BadInput(f"Say which columns of {table.path.name} are answer A and answer B; there are: {names}.")
    for name in chosen.named.values():
        # JSON rows may have keys that the first rows lack, so only tables with a header can be sure
        if name not in table.columns and table.format not in ("JSON", "JSONL"):
            raise BadInput(f"{table.path.name} has no column '{name}'; there are: {names}.")
    if chosen.input not in table.columns:
        raise BadInput(f"{table.path.name} has no column '{chosen.input}'; there are: {names}.")
    return chosen
