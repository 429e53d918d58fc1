"""Vectors of any texts by the starter encoder, made by the embedding process and read back from its folder.

What it leaves out: keeping them (those of examples are kept: studio.jobs.embedding)."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from studio.contract.embedding import DIMENSIONS, STARTER_ENCODER, TEXTS_FILE, VECTORS_PATTERN, EmbedSpec
from studio.contract.spec import SPEC_FILE
from studio.deploy import sentences
from studio.deploy.drift import Floats
from studio.errors import BadInput, Cancelled, DiskFull, JobFailed
from studio.jobs import job_folders
from studio.jobs.embedding import EMBED_MODULE
from studio.jobs.processes import claimed, is_alive, spawn
from studio.language import mark, tr
from studio.settings import Workspace

_TURN = threading.Lock()


def embed_texts(
    workspace: Workspace,
    name: str,
    texts: Sequence[str],
    cancelled: Callable[[], bool] = lambda: False,
    encoder: str = STARTER_ENCODER,
) -> Floats:
    """The vectors of texts, each of length 1: (len(texts), 384). Takes a minute for some thousand; `name` names the
    job's folder. Raises BadInput while one of that name is at work, Cancelled, JobFailed, DiskFull."""
    if not texts:
        return np.zeros((0, DIMENSIONS), np.float32)
    folder = workspace.embeddings / Path(name).name
    with _TURN:
        if is_alive(folder):
            raise BadInput("These prompts are being looked at already: wait for it.")
        shutil.rmtree(folder, ignore_errors=True)
        _start(folder, texts, encoder)
    try:
        while (found := job_folders.standing(folder, mark("The encoder broke off"), mark("Stopped."))).alive:
            if cancelled():
                raise Cancelled("Stopped: the prompts were not looked at.")
            time.sleep(job_folders.LOOK_SECONDS)
        if found.state != "done":
            raise JobFailed(
                tr("The vectors of the prompts could not be made: {why}", why=sentences.retold(found.words, ()))
            )
        return _read(folder, len(texts))
    finally:
        job_folders.end(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, texts: Sequence[str], encoder: str) -> None:
    schema = pa.schema([("example_id", pa.string()), ("text", pa.string())])
    table = pa.table({"example_id": [str(at) for at in range(len(texts))], "text": list(texts)}, schema)
    try:
        folder.mkdir(parents=True)
        with (folder / TEXTS_FILE).open("wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_table(table)
        spec = EmbedSpec.model_validate({"encoder": encoder})
        (folder / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
    except OSError as error:
        told = mark("The prompts cannot be written to {folder}: {why}. Make room.")
        raise DiskFull(tr(told, folder=folder, why=error.strerror or error)) from error
    with claimed(folder) as lock:
        spawn(folder, EMBED_MODULE, lock)


def _read(folder: Path, count: int) -> Floats:
    found = np.full((count, DIMENSIONS), np.nan, np.float32)
    try:
        for path in sorted(folder.glob(VECTORS_PATTERN)):
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                table = reader.read_all()
            rows = [int(one) for one in table["example_id"].to_pylist()]
            flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            found[rows] = flat.reshape(len(rows), DIMENSIONS)
    except (OSError, ValueError, IndexError, KeyError, pa.ArrowException) as error:
        raise JobFailed("The vectors of the prompts cannot be read: look again.") from error
    if np.isnan(found).any():
        raise JobFailed("Some prompts got no vector: look again.")
    return found
