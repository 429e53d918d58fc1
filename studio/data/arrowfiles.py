"""Arrow files and streams (.arrow, .feather), batch by batch, and the class names that `datasets` notes in them.

A file is checked batch by batch before a value of it is touched: offsets that lie would end the whole process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from studio.data.arrowblocks import batch_blocks
from studio.data.rows import Block, Rejected, Row, Table
from studio.data.unpacking import refuse_arrow_bomb, skip_file_start
from studio.errors import BadFile
from studio.language import mark, tr

_SLICE = 128
MAGIC = b"ARROW1"
"""How an Arrow file begins; a stream has no such mark."""
_ERRORS = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, MemoryError)
"""What pyarrow raises of files that lie; a MemoryError, because they may claim any size."""
ARROW, PARQUET = mark("Arrow file"), mark("Parquet file")


class ArrowTable(Table):
    """An .arrow or .feather file; `line` of its rows is the number of the row. Raises BadFile."""

    encoding = "utf-8"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "Arrow")
        try:
            with pa.OSFile(str(path)) as file:
                schema = open_arrow(file).schema
            refuse_bombs_of(path, path)
        except _ERRORS as error:
            raise unreadable(path, error) from None
        self.columns = checked_columns(path, schema)
        self.class_names = class_names(schema)

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        number = 0
        try:
            with pa.memory_map(str(self.path)) as file:
                for batch in batches(open_arrow(file)):
                    for values in batch_rows(batch):
                        number += 1
                        yield Rejected(number, values) if isinstance(values, str) else Row(number, values)
                    self.position = min(self.size, file.tell())
        except _ERRORS as error:
            raise unreadable(self.path, error) from None
        self.position = self.size

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """See Table. Only the columns that are wanted are read."""
        names = list(dict.fromkeys(columns))
        if not names or not set(names) <= set(self.columns):
            yield from super().blocks(columns)
            return
        number = 0
        try:
            with pa.memory_map(str(self.path)) as file:
                for batch in batches(open_arrow(file)):
                    for block in batch_blocks(batch, names, number + 1):
                        number += block.size
                        yield block
                    self.position = min(self.size, file.tell())
        except _ERRORS as error:
            raise unreadable(self.path, error) from None
        self.position = self.size


def refuse_bombs_of(path: Path, part: Path) -> None:
    """Raises BadFile where a batch of the file `part` would unpack into too much; `path` is what the user chose."""
    with pa.memory_map(str(part)) as file:
        skip_file_start(file, MAGIC)
        refuse_arrow_bomb(path, file)


def open_arrow(file: Any) -> Any:
    """A reader of an IPC file, or of a stream. `file`: an open Arrow file, or what it can wrap (then streams only)."""
    if not isinstance(file, pa.NativeFile) or not file.seekable():
        return pa.ipc.open_stream(file)
    is_file = file.read(len(MAGIC)) == MAGIC
    file.seek(0)
    return pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)


def batches(reader: Any) -> Iterator[pa.RecordBatch]:
    """Batches that have been checked. Raises ArrowInvalid for one whose buffers lie."""
    if isinstance(reader, pa.RecordBatchFileReader):
        every: Iterator[pa.RecordBatch] = map(reader.get_batch, range(reader.num_record_batches))
    else:
        every = iter(reader)
    for batch in every:
        batch.validate(full=True)
        yield batch


def batch_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """The values of each row by name, or the reason why a row cannot be read."""
    for start in range(0, batch.num_rows, _SLICE):
        part = batch.slice(start, _SLICE)
        try:
            yield from part.to_pylist()
        except (UnicodeDecodeError, OverflowError, ValueError):
            yield from (_one(part.slice(index, 1)) for index in range(part.num_rows))


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Names of the classes by column, where `datasets` has noted them in a schema: the column holds numbers then."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return named_classes(found["info"]["features"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def named_classes(features: object) -> dict[str, tuple[str, ...]]:
    """The same of the features of a `dataset_info.json`."""
    if not isinstance(features, Mapping):
        return {}
    found = {}
    for name, feature in features.items():
        names = feature.get("names") if isinstance(feature, Mapping) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and names:
            found[str(name)] = tuple(map(str, names))
    return found


def checked_columns(path: Path, schema: pa.Schema) -> tuple[str, ...]:
    """The columns of a schema. Raises BadFile for none, or for one name twice."""
    names = list(schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        told = {"file": path.name, "names": ", ".join(twice)}
        raise BadFile(tr("{file} names a column twice: {names}. Rename one of them.", **told))
    if not names:
        raise BadFile(tr("{file} has no columns.", file=path.name))
    return tuple(names)


def unreadable(path: Path, error: BaseException, what: str = ARROW) -> BadFile:
    """The one sentence for a file that is not what it claims to be."""
    why = (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".") or type(error).__name__
    return BadFile(tr("{file} is not a readable {what} ({why}).", file=path.name, what=tr(what), why=why[:200]))


def _one(row: pa.RecordBatch) -> dict[str, Any] | str:
    try:
        return dict(row.to_pylist()[0])
    except (UnicodeDecodeError, OverflowError, ValueError) as error:
        return tr("a value cannot be read ({error})", error=type(error).__name__)
