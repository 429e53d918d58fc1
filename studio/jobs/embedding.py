"""Vectors for a project's examples: a process makes them, this side brings them into the database as they come.

The job's folder is named after the project. Whatever ends the app meanwhile, the process goes on and its files stay:
the next call takes them up. Only examples without a vector are asked for, so nothing is made twice.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from storage.database import Database
from storage.embeddings import insert_vectors
from storage.vectors import count_missing, texts_without_vector
from studio.contract.embedding import DIMENSIONS, STARTER_ENCODER, TEXTS_FILE, VECTORS_PATTERN, EmbedSpec
from studio.contract.events import log_tail, read_all
from studio.contract.spec import SPEC_FILE
from studio.errors import Cancelled, DiskFull, JobFailed
from studio.jobs.processes import ask_to_stop, claimed, is_alive, reap, spawn
from studio.language import mark, tr
from studio.settings import Workspace

EMBED_MODULE = "studio.inference.embed"
_LOOK_SECONDS = 0.2
# Two screens can ask for one project's vectors: the second then follows the first one's process.
_TURN = threading.Lock()
_STOP_SECONDS = 5

Progress = Callable[[int, int], None]
"""Called with the number of examples that have their vector, and of all examples."""


def embed_project(
    db: Database,
    workspace: Workspace,
    project_id: str,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    encoder: str = STARTER_ENCODER,
) -> int:
    """Make the vectors that a project lacks; how many came into the database. Takes minutes for 100,000 texts.

    Raises Cancelled (what came before is kept), JobFailed with the process's sentence, DiskFull.
    """
    run_dir = workspace.embeddings / project_id
    stored = _Stored(db, project_id, run_dir, on_progress)
    try:
        with _TURN:
            if not is_alive(run_dir):
                stored.take_up()
                _discard(run_dir)
                if not _start(db, project_id, run_dir, encoder):
                    _discard(run_dir)
                    return stored.added
        _follow(run_dir, stored, cancelled or (lambda: False))
    except BaseException:
        _end(run_dir)
        raise
    _discard(run_dir)
    return stored.added


class _Stored:
    """What has come into the database so far."""

    def __init__(self, db: Database, project_id: str, run_dir: Path, on_progress: Progress | None) -> None:
        self._db, self._project_id, self._run_dir, self._on_progress = db, project_id, run_dir, on_progress
        counted = count_missing(db, project_id)
        self._before, self._total, self.added = counted.vectors, counted.examples, 0

    def take_up(self) -> None:
        """Bring every whole file of vectors into the database, then remove it."""
        for path in sorted(self._run_dir.glob(VECTORS_PATTERN)):
            try:
                with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                    table = reader.read_all()
            except FileNotFoundError:
                continue  # another follower has taken it up
            vectors = table["vector"].combine_chunks()
            if vectors.type.list_size != DIMENSIONS:
                told = mark("The encoder gives vectors of {found} numbers, not {wanted}.")
                raise JobFailed(tr(told, found=vectors.type.list_size, wanted=DIMENSIONS))
            insert_vectors(self._db, self._project_id, table["example_id"].to_pylist(), vectors)
            path.unlink(missing_ok=True)
            self.added += len(table)
            if self._on_progress:
                self._on_progress(min(self._before + self.added, self._total), self._total)


def _start(db: Database, project_id: str, run_dir: Path, encoder: str) -> bool:
    """Write the texts and start the process; False when no example lacks a vector."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not _write_texts(db, project_id, run_dir / TEXTS_FILE):
            return False
        (run_dir / SPEC_FILE).write_text(
            EmbedSpec.model_validate({"encoder": encoder}).model_dump_json(), encoding="utf-8"
        )
    except OSError as error:
        told = tr("The texts cannot be written to {folder}: {why}. Make room.", folder=run_dir, why=error.strerror)
        raise DiskFull(told) from error
    with claimed(run_dir) as lock:
        spawn(run_dir, EMBED_MODULE, lock)
    return True


def _write_texts(db: Database, project_id: str, path: Path) -> int:
    schema = pa.schema([("example_id", pa.string()), ("text", pa.string())])
    temporary, rows = path.with_suffix(".tmp"), 0
    with temporary.open("wb") as file, pa.ipc.new_file(file, schema) as writer:
        for page in texts_without_vector(db, project_id):
            ids, texts = zip(*page, strict=True)
            writer.write_table(pa.table({"example_id": list(ids), "text": list(texts)}, schema))
            rows += len(page)
    temporary.replace(path)
    return rows


def _follow(run_dir: Path, stored: _Stored, cancelled: Callable[[], bool]) -> None:
    while True:
        alive = is_alive(run_dir)  # asked first: what a dying process wrote last is then there already
        stored.take_up()
        if not alive:
            break
        if cancelled():
            _end(run_dir)
            stored.take_up()
            raise Cancelled("Stopped: the vectors made so far are kept, and the rest can be made later.")
        time.sleep(_LOOK_SECONDS)
    reap(run_dir)
    if not run_dir.is_dir():
        return  # another follower has seen it end
    events = read_all(run_dir)
    state = events[-1].data.get("state") if events and events[-1].kind == "done" else "dead"
    if state == "stopped":
        raise Cancelled("Stopped: the vectors made so far are kept, and the rest can be made later.")
    if state != "done":
        said = [str(event.data["message"]) for event in events if event.kind == "error"]
        why = tr(said[-1]) if said else log_tail(run_dir, 1)[:300] or tr("it was killed")
        raise JobFailed(tr("The vectors could not be made: {why}", why=why))


def _end(run_dir: Path) -> None:
    """Stop the process, by force when it does not listen; its files stay."""
    for hard in (False, True):
        if not ask_to_stop(run_dir, hard=hard):
            break
        deadline = time.monotonic() + _STOP_SECONDS
        while is_alive(run_dir) and time.monotonic() < deadline:
            time.sleep(0.05)
    reap(run_dir)


def _discard(run_dir: Path) -> None:
    shutil.rmtree(run_dir, ignore_errors=True)
