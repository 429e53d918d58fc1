"""Parquet, streamed in small batches: a small file can unpack into very long rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.rows import Rejected, Row, Table
from studio.errors import BadFile

_BATCH = 128


class ParquetTable(Table):
    """A .parquet file; `line` of its rows is the number of the row. Raises BadFile when it cannot be opened."""

    encoding = "utf-8"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "Parquet")
        try:
            with pq.ParquetFile(path) as file:
                names = list(file.schema_arrow.names)
                self._total = max(1, file.metadata.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadFile(f"{path.name} names a column twice: {', '.join(twice)}. Rename one of them.")
        if not names:
            raise BadFile(f"{path.name} has no columns.")
        self.columns = tuple(names)

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        number = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
                    for values in _batch_rows(batch):
                        number += 1
                        self.position = int(self.size * number / self._total)
                        yield Rejected(number, values) if isinstance(values, str) else Row(number, values)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from None


def _batch_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """Values by name, or the reason why a row cannot be read."""
    try:
        yield from batch.to_pylist()
    except (UnicodeDecodeError, OverflowError, ValueError):
        for index in range(batch.num_rows):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except (UnicodeDecodeError, OverflowError, ValueError) as error:
                yield f"a value cannot be read ({type(error).__name__})"


def _unreadable(path: Path, error: Exception) -> BadFile:
    return BadFile(f"{path.name} is not a readable Parquet file ({str(error).splitlines()[0].rstrip('.')}).")
