"""Blocks of Arrow batches, as Parquet and Arrow files give them.

Texts that lie in a dictionary are unpacked only where that cannot take much memory, and no text is trusted to be UTF-8.
What it leaves out: values of other kinds than texts, whole numbers and truth values, which are read row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from studio.data.rows import Block, Rejected, Row
from studio.language import tr

BLOCK_ROWS = 16_384

_SLICE = 128
_BLOCK_BYTES = 64 << 20
_ERRORS = (UnicodeDecodeError, OverflowError, ValueError)


def batch_blocks(batch: pa.RecordBatch, columns: Sequence[str], first: int) -> Iterator[Block]:
    """The rows of a batch whose first row has the number `first`, with arrays of `columns` where all allow it."""
    for start in range(0, batch.num_rows, BLOCK_ROWS):
        part = batch.slice(start, BLOCK_ROWS)
        arrays = {name: _plain(part.column(name)) for name in columns}
        found = {name: array for name, array in arrays.items() if array is not None}
        line = first + start
        if len(found) == len(columns):
            yield Block((), pa.array(range(line, line + part.num_rows), pa.int64()), found)
        else:
            for at in range(0, part.num_rows, _SLICE):
                yield Block(list(batch_rows(part.slice(at, _SLICE), line + at)))


def batch_rows(batch: pa.RecordBatch, first: int) -> Iterator[Row | Rejected]:
    """The rows of a small batch one by one, those with a value that cannot be read rejected."""
    try:
        yield from [Row(number, values) for number, values in enumerate(batch.to_pylist(), first)]
    except _ERRORS:
        for at in range(batch.num_rows):
            yield _one(batch.slice(at, 1), first + at)


def _one(batch: pa.RecordBatch, number: int) -> Row | Rejected:
    try:
        values: dict[str, Any] = batch.to_pylist()[0]
    except _ERRORS as error:
        return Rejected(number, tr("a value cannot be read ({error})", error=type(error).__name__))
    return Row(number, values)


def _plain(array: pa.Array) -> pa.Array | None:
    """The array unpacked and checked, or None where its values are to be read one by one."""
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        values = array.dictionary
        if not is_text(values.type):
            return None
        size = pc.sum(pc.binary_length(values).take(array.indices)).as_py() or 0
        if size > _BLOCK_BYTES:
            return None
        array = values.take(array.indices)
    elif not is_text(array.type):
        simple = pa.types.is_integer(array.type) or pa.types.is_boolean(array.type)
        return array if simple else None
    try:
        array.validate(full=True)
    except pa.ArrowException:
        return None
    return array if array.nbytes <= _BLOCK_BYTES else None


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of a type holds texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
