"""`python -m studio.inference.embed RUN_DIR`: vectors of texts, as studio.contract.embedding says.

Runs at low priority, so that whoever labels beside it does not notice. Events: state `loading`, `step` after each file
of vectors (step and steps count texts), `done` with state "done" or, after SIGTERM, "stopped"; what was written before
counts. What it leaves out: choosing texts and keeping vectors (studio.jobs.embedding).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from studio.contract.embedding import TEXTS_FILE, read_embed_spec, vectors_file
from studio.contract.events import EventWriter
from studio.contract.job import run_job
from studio.errors import BadSpec

_NICE = 10


def main(argv: list[str]) -> int:
    """Run the embedding job of the folder named in `argv`; the exit code."""
    return run_job("studio.inference.embed", argv, _NICE, _run)


def _run(run_dir: Path, events: EventWriter) -> None:
    spec = read_embed_spec(run_dir)
    events.write("state", state="loading", message="Loading the encoder")
    from studio.models.encoders import load_encoder
    from studio.models.quiet import be_quiet

    be_quiet()
    encoder = load_encoder(spec.encoder, spec.device)
    ids, texts = _read_texts(run_dir / TEXTS_FILE)
    started = time.monotonic()
    for number, begin in enumerate(range(0, len(ids), spec.part_rows), start=1):
        end = min(begin + spec.part_rows, len(ids))
        vectors = encoder.encode(texts[begin:end], spec.max_tokens, spec.batch_tokens)
        _write_vectors(run_dir / vectors_file(number), ids[begin:end], vectors)
        rate = end / max(1e-6, time.monotonic() - started)
        events.write("step", step=end, steps=len(ids), eta_seconds=round((len(ids) - end) / rate, 1))


def _read_texts(path: Path) -> tuple[list[str], list[str]]:
    import pyarrow as pa

    try:
        with pa.ipc.open_file(path) as reader:
            table = reader.read_all()
        return table["example_id"].to_pylist(), table["text"].to_pylist()
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise BadSpec(f"{path} cannot be read: start the job again.") from error


def _write_vectors(path: Path, ids: list[str], vectors: Any) -> None:
    """One file of vectors; it has its name only when it is whole."""
    import pyarrow as pa

    width = vectors.shape[1]
    rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1), pa.float32()), width)
    table = pa.table({"example_id": pa.array(ids, pa.string()), "vector": rows})
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
