"""Vectors of examples. Writers call `insert_vectors` and nothing else: it makes the sign codes that searches need.

A code is the signs of a vector's 384 numbers as six words of 64 bits. Vectors close to each other differ in few signs,
so a search takes the few hundred codes nearest by Hamming distance and reads only those vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.database import Database

DIMENSIONS = 384
"""Numbers in a vector."""

WORDS = tuple(f"b{number}" for number in range(DIMENSIONS // 64))
"""The columns of a sign code."""


def insert_vectors(db: Database, project_id: str, example_ids: Sequence[str], vectors: Any) -> None:
    """Store one vector of length 1 an example; an example that has one keeps it.

    `vectors`: a C-contiguous float32 buffer of len(example_ids) × 384 numbers (a numpy array is one), an Arrow array of
    lists, or a sequence of sequences. Raises ValueError where their numbers do not match.
    """
    flat = _flat(vectors)
    if len(flat) != DIMENSIONS * len(example_ids):
        raise ValueError(f"{len(flat)} numbers are not {len(example_ids)} vectors of {DIMENSIONS}")
    if not example_ids:
        return
    rows = pa.table(
        {
            "example_id": pa.array(example_ids, pa.string()),
            **dict(zip(WORDS, sign_codes(flat), strict=True)),
            "vector": pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS),
        }
    )
    with db.write() as cursor:
        cursor.register("vectors_batch", rows)
        cursor.execute(
            f"INSERT INTO embeddings (example_id, project_id, {', '.join(WORDS)}, vector) "
            f"SELECT example_id, ?, {', '.join(WORDS)}, vector FROM vectors_batch ON CONFLICT DO NOTHING",
            [project_id],
        )
        cursor.unregister("vectors_batch")


def sign_codes(flat: pa.FloatArray) -> list[pa.Array]:
    """The six words of each vector of `flat` (n × 384 numbers one after the other): bit i is set where number i > 0."""
    # Arrow packs truth values into bits, so the answer to "> 0" is the code already.
    signs = pc.greater(flat, pa.scalar(0.0, pa.float32()))
    words = pa.Array.from_buffers(pa.uint64(), len(flat) // 64, [None, signs.buffers()[1]])
    codes = pa.FixedSizeListArray.from_arrays(words, len(WORDS))
    return [pc.list_element(codes, number) for number in range(len(WORDS))]


def count_vectors(db: Database, project_id: str) -> int:
    """How many of a project's examples have a vector."""
    row = db.one("SELECT count(*) FROM embeddings WHERE project_id = ?", [project_id])
    return int(row[0]) if row else 0


def _flat(vectors: Any) -> pa.FloatArray:
    if isinstance(vectors, pa.ChunkedArray):
        vectors = vectors.combine_chunks()
    if isinstance(vectors, pa.Array):
        return vectors.flatten().cast(pa.float32())
    try:
        buffer = pa.py_buffer(vectors)
    except TypeError:
        return pa.array([number for vector in vectors for number in vector], pa.float32())
    return pa.Array.from_buffers(pa.float32(), buffer.size // 4, [None, buffer])
