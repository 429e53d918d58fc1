"""A file into a project: all of it in one transaction, with an exact account; the same file twice adds nothing.

Plain texts are taken by blocks (studio.data.blocks), everything else row by row; both ways give the same. One thread
reads while another one writes into the database. What the columns mean depends on the project's task
(studio.data.columns), how rows are laid out on the file's shape (studio.data.shapes).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pyarrow as pa

from storage.database import Database
from storage.examples import encode_turns
from storage.imports import IMPORT_SCHEMA, ImportBatch
from storage.labels import LABEL_LIMIT
from storage.projects import get_project
from storage.records import ImportCounts, Project
from studio import settings
from studio.data.blocks import block_columns, take_block
from studio.data.columns import Columns, Draft, to_draft
from studio.data.prompts import content_key
from studio.data.readers import no_rows, open_rows
from studio.data.rows import Block, Rejected, Row
from studio.data.shapes import AUTO, Shape, shape_for, unfold
from studio.data.targets import Unusable
from studio.errors import BadInput, Cancelled
from studio.language import tr

REJECTED_KEPT = 1000
"""How many rejected rows a report names; it counts all of them."""

_BATCH_ROWS = 5000
_BATCH_CHARACTERS = 16_000_000
_ASK_SECONDS = 0.2
_AHEAD = 2  # batches that are read and wait to be written


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
    shape: str = AUTO,
) -> ImportReport:
    """Import a file by the shape and the columns named or guessed. `on_progress` is called at least each MiB or 1000
    rows, and with fraction 1 before and while what was read is written; when it says False, the import is cancelled.

    Raises BadFile, BadInput (columns), NotFound (project), DiskFull and Cancelled; then nothing was imported.
    """
    project = get_project(db, project_id)
    path = Path(path)
    table = open_rows(path)
    found, chosen = shape_for(table, shape, columns, project.task)

    def ask(rows: int, fraction: float) -> None:
        if on_progress and not on_progress(ImportProgress(rows, fraction)):
            raise Cancelled("The import was cancelled: nothing was imported.")

    with _Writer(db, project_id, source or path.name, annotator) as writer:
        intake = _Intake(writer, found, chosen, project)
        for block in table.blocks(block_columns(chosen, project) if found.read is None else ()):
            intake.take(block)
            if table.fraction < 1:
                ask(intake.seen, table.fraction)
        if not intake.seen:
            raise no_rows(table)
        intake.flush()
        writer.wait()
        ask(intake.seen, 1.0)
        counts = writer.finish(intake.labels, lambda: ask(intake.seen, 1.0))
    account = (counts.imported, counts.labeled, counts.duplicates)
    rejected = tuple(intake.rejected)
    return ImportReport(*account, rejected, intake.rejected_count, tuple(table.notes), counts.labels)


class _Writer:
    """A batch in a thread of its own, so that a file is read while the database works; a few batches wait at most."""

    def __init__(self, db: Database, project_id: str, source: str, annotator: str) -> None:
        self._pool = ThreadPoolExecutor(1, "import")
        self._waiting: deque[Future[None]] = deque()
        self._stopped = Event()
        self._make = lambda: ImportBatch(db, project_id, source, annotator)

    def __enter__(self) -> _Writer:
        self._batch = self._pool.submit(self._make).result()
        return self

    def add(self, rows: pa.Table) -> None:
        """See ImportBatch; so is what an earlier call raises."""
        self._submit(self._batch.add, rows)

    def add_texts(self, rows: pa.Table) -> None:
        """See ImportBatch."""
        self._submit(self._batch.add_texts, rows)

    def wait(self, most: int = 0) -> None:
        """Wait until so many batches at most are not in the database yet."""
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def finish(self, labels: Sequence[str], ask: Callable[[], None]) -> ImportCounts:
        """See ImportBatch. `ask` is called now and then; where it raises Cancelled too late, the import is done."""
        pa.default_memory_pool().release_unused()
        finished = self._pool.submit(self._batch.finish, labels, self._stopped.is_set)
        while not self._stopped.is_set() and not wait([finished], _ASK_SECONDS).done:
            try:
                ask()
            except Cancelled:
                self._stopped.set()
        return finished.result()

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        try:
            self._pool.submit(self._batch.discard).result()
        finally:
            self._pool.shutdown()

    def _submit(self, work: Callable[[pa.Table], None], rows: pa.Table) -> None:
        self._waiting.append(self._pool.submit(work, rows))
        self.wait(_AHEAD)


@dataclass
class _Intake:
    """Rows on their way into a batch, flushed before they take much memory."""

    writer: _Writer
    shape: Shape
    columns: Columns
    project: Project
    seen: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    waiting: list[tuple[object, ...]] = field(default_factory=list)
    characters: int = 0
    last: int = 0
    firsts: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The labels of the answers, in the order of the file."""
        return sorted(self.firsts, key=lambda name: self.firsts[name])

    def take(self, block: Block) -> None:
        """Hand a block's rows on, or note why not. Raises BadInput where there are too many different labels."""
        self.seen += block.size
        rows = list(block.beside)
        if block.lines is not None:
            taken = take_block(block, self.columns, self.project)
            self._note_labels(taken.labels)
            rows = sorted([*rows, *taken.odd], key=lambda row: row.line)
            if taken.texts.num_rows:
                self.writer.add_texts(taken.texts)
        # Several rows may begin on one line, but never beside arrays, and each needs a place of its own.
        for row in rows:
            self.last = row.line if block.lines is not None else max(self.last + 1, row.line)
            self._take_row(row, self.last)
        if block.lines is not None and len(block.lines):
            self.last = max(self.last, block.lines[-1].as_py())

    def flush(self) -> None:
        """Hand what waits to the batch."""
        if self.waiting:
            values = zip(*self.waiting, strict=True)
            columns = [pa.array(column, kind.type) for column, kind in zip(values, IMPORT_SCHEMA, strict=True)]
            self.writer.add(pa.Table.from_arrays(columns, schema=IMPORT_SCHEMA))
        self.waiting, self.characters = [], 0

    def _take_row(self, row: Row | Rejected, place: int) -> None:
        if isinstance(row, Rejected):
            return self._reject(row)
        try:
            values = unfold(self.shape, row.values)
            draft = to_draft(values, self.columns, self.project.system_prompt, self.project)
        except Unusable as unusable:
            return self._reject(Rejected(row.line, str(unusable)))
        self._note_labels({name: (place, at) for at, name in enumerate(draft.labels)})
        self._hold(place, draft)

    def _hold(self, place: int, draft: Draft) -> None:
        key = content_key(draft.prompt, draft.context, draft.payload)
        prompt = encode_turns(draft.prompt)
        payload = json.dumps(draft.payload, ensure_ascii=False) if draft.payload else ""
        answer = (draft.response, draft.value if draft.response is not None else "")
        texts = (prompt, draft.context, payload, draft.group, *answer)
        self.waiting.append((place, *texts, draft.priority, key))
        self.characters += sum(len(text or "") for text in texts)
        if len(self.waiting) >= _BATCH_ROWS or self.characters >= _BATCH_CHARACTERS:
            self.flush()

    def _note_labels(self, labels: Mapping[str, tuple[int, int]]) -> None:
        for name, first in labels.items():
            self.firsts[name] = min(self.firsts.get(name, first), first)
        if len(self.firsts) > LABEL_LIMIT:
            raise BadInput(
                tr(
                    "The answer column has more than {most:,} different labels: choose another column, or make a "
                    "project whose answers are free text. Nothing was imported.",
                    most=LABEL_LIMIT,
                )
            )

    def _reject(self, row: Rejected) -> None:
        self.rejected_count += 1
        if len(self.rejected) < REJECTED_KEPT:
            self.rejected.append(row)
