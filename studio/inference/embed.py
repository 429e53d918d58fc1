"""`python -m studio.inference.embed RUN_DIR`: vectors of texts, as studio.contract.embedding says.

Runs at low priority, so that whoever labels beside it does not notice. Events: state `loading`, `step` after each file
of vectors (step and steps count texts), `done` with state "done" or, after SIGTERM, "stopped"; what was written before
counts. What it leaves out: choosing texts and keeping vectors (studio.jobs.embedding).
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from studio.contract.embedding import TEXTS_FILE, EmbedSpec, read_embed_spec, vectors_file
from studio.contract.events import EventWriter
from studio.errors import BadSpec, StudioError

_NICE = 10


class _Stopped(BaseException):
    """SIGTERM came; a BaseException so that no library on the way swallows it."""


def main(argv: list[str]) -> int:
    """Run the embedding job of the folder named in `argv`; the exit code."""
    if len(argv) != 1:
        print("usage: python -m studio.inference.embed RUN_DIR", file=sys.stderr)
        return 2
    run_dir = Path(argv[0])
    signal.signal(signal.SIGTERM, _stop)
    try:
        events = EventWriter(run_dir)
    except OSError as error:
        print(f"Cannot write to {run_dir}: {error.strerror or error}.", file=sys.stderr)
        return 2
    try:
        _run(run_dir, read_embed_spec(run_dir), events)
        events.write("done", state="done")
        return 0
    except _Stopped:
        events.write("done", state="stopped")
        return 0
    except StudioError as error:
        _fail(events, str(error), type(error).__name__)
    except Exception as error:
        # The last door of the process: the traceback goes to its log, one sentence to the screen.
        traceback.print_exc()
        full = getattr(error, "errno", None) == 28
        _fail(events, "The disk is full: make room." if full else "Its log (log.txt) says why.", type(error).__name__)
    finally:
        events.close()
    return 1


def _run(run_dir: Path, spec: EmbedSpec, events: EventWriter) -> None:
    os.nice(_NICE)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads spin and starve the others
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


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped


def _fail(events: EventWriter, message: str, kind: str) -> None:
    events.write("error", message=message, kind=kind)
    events.write("done", state="failed")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
