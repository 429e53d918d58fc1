"""Parquet, streamed in small batches: a small file can unpack into very long rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.arrowblocks import BLOCK_ROWS, batch_blocks, batch_rows, is_text
from studio.data.arrowfiles import PARQUET, checked_columns, unreadable
from studio.data.rows import Block, Rejected, Row, Table
from studio.data.unpacking import refuse_parquet_bomb

_BATCH = 128
_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError)
"""What pyarrow raises of files that lie."""


class ParquetTable(Table):
    """A .parquet file; `line` of its rows is the number of the row. Raises BadFile when it cannot be opened."""

    encoding = "utf-8"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "Parquet")
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                self._total = max(1, file.metadata.num_rows)
                refuse_parquet_bomb(path, file.metadata)
        except _ERRORS as error:
            raise unreadable(path, error, PARQUET) from None
        self.columns = checked_columns(path, schema)
        self._texts = {field.name for field in schema if is_text(field.type)}

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        number = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
                    for row in batch_rows(batch, number + 1):
                        number += 1
                        self.position = int(self.size * number / self._total)
                        yield row
        except _ERRORS as error:
            raise unreadable(self.path, error, PARQUET) from None

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """See Table. Only the columns that are wanted are read; texts stay in their dictionaries, so that they cannot
        unpack into more than a block holds."""
        names = list(dict.fromkeys(columns))
        if not names or not set(names) <= set(self.columns):
            yield from super().blocks(columns)
            return
        number = 0
        try:
            with pq.ParquetFile(self.path, read_dictionary=[*self._texts & {*names}]) as file:
                for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=names):
                    for block in batch_blocks(batch, names, number + 1):
                        number += block.size
                        self.position = int(self.size * number / self._total)
                        yield block
        except _ERRORS as error:
            raise unreadable(self.path, error, PARQUET) from None
