"""How much a compressed file may unpack into at once: a small file that would take all memory is refused unread.

An Arrow file says of each compressed piece how long it will be, and Arrow sets that much aside before it looks further:
so the pieces of each batch are added up here first. A Parquet file says it of each group of rows. What it leaves out: a
Parquet file whose own figures lie; its pages still have at most 2 GiB each, by the format.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pyarrow as pa

from studio.errors import BadFile
from studio.language import tr

AT_ONCE = 1 << 30
"""Bytes that what is packed more than fiftyfold may unpack into."""
_TIMES = 50
_RECORD_BATCH, _DICTIONARY = 3, 2
_FILE_START = 8


def refuse_bomb(path: Path, size: int, packed: int) -> None:
    """Raises BadFile for what would unpack into more than is held at once, and more than fiftyfold."""
    if size > AT_ONCE and size > _TIMES * packed:
        raise BadFile(
            tr(
                "{file} would unpack {packed:,} bytes into {size:,} at once, which is more than the studio holds: "
                "write it anew in smaller batches.",
                file=path.name,
                packed=packed,
                size=size,
            )
        )


def refuse_parquet_bomb(path: Path, metadata: Any) -> None:
    """Raises BadFile by what a Parquet file says of its row groups."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        parts = [group.column(column) for column in range(group.num_columns)]
        refuse_bomb(
            path,
            sum(part.total_uncompressed_size for part in parts),
            max(1, sum(part.total_compressed_size for part in parts)),
        )


def refuse_arrow_bomb(path: Path, file: Any) -> None:
    """Raises BadFile by what the batches of an open Arrow file or stream say; ArrowInvalid for what is none.

    `file` is read from where it stands to the last message.
    """
    reader = pa.ipc.MessageReader.open_stream(file)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        packed = message.body.size if message.body else 0
        refuse_bomb(path, unpacked_size(message), max(1, packed))


def skip_file_start(file: Any, magic: bytes) -> None:
    """Stand where the messages of an Arrow file begin; at the start of a stream."""
    file.seek(_FILE_START if file.read(len(magic)) == magic else 0)


class Measured:
    """A file of which no more than AT_ONCE is read at once, whatever length it claims for a piece."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file

    def read(self, size: int = -1) -> bytes:
        """As of a file. Raises BadFile."""
        if size < 0 or size > AT_ONCE:
            told = {"file": self._path.name, "size": size}
            raise BadFile(tr("{file} claims a piece of {size:,} bytes: write it anew in smaller batches.", **told))
        return bytes(self._file.read(size))

    def tell(self) -> int:
        """As of a file."""
        return int(self._file.tell())

    @property
    def closed(self) -> bool:
        """As of a file."""
        return bool(self._file.closed)

    def close(self) -> None:
        """As of a file."""
        self._file.close()


def unpacked_size(message: Any) -> int:
    """Bytes that the compressed pieces of a message unpack into, as they say themselves; 0 where nothing is compressed.

    The message's head is a flatbuffer: https://arrow.apache.org/docs/format/Columnar.html#recordbatch-message
    (schema: format/Message.fbs). Offsets that lead out of it raise ArrowInvalid.
    """
    head, body = memoryview(message.metadata), memoryview(message.body) if message.body else memoryview(b"")
    try:
        table = _Table.root(head)
        kind = table.number(1, "B")
        batch = table.child(2) if kind in (_RECORD_BATCH, _DICTIONARY) else None
        if batch and kind == _DICTIONARY:
            batch = batch.child(1)
        if batch is None or batch.child(3) is None:
            return 0
        return sum(_announced(body, offset, length) for offset, length in batch.pairs(2))
    except (struct.error, IndexError, ValueError) as error:
        raise pa.ArrowInvalid(f"a message's head cannot be read ({error})") from None


def _announced(body: memoryview, offset: int, length: int) -> int:
    """What a piece says of its length before its packed bytes; -1 there means that it is not packed."""
    if length < 8:
        return 0
    (size,) = struct.unpack_from("<q", body, offset)
    return length - 8 if size == -1 else max(0, int(size))


class _Table:
    """A table of a flatbuffer, as far as is needed here."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        self._count = (struct.unpack_from("<H", data, self._fields)[0] - 4) // 2

    @classmethod
    def root(cls, data: memoryview) -> _Table:
        """The table that a buffer begins with."""
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def number(self, field: int, kind: str) -> int:
        """A number, 0 where it is not said."""
        place = self._place(field)
        return int(struct.unpack_from(f"<{kind}", self._data, place)[0]) if place else 0

    def child(self, field: int) -> _Table | None:
        """A table within, or None."""
        place = self._place(field)
        return _Table(self._data, place + struct.unpack_from("<I", self._data, place)[0]) if place else None

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A list of pairs of 64 bit."""
        place = self._place(field)
        if not place:
            return []
        start = place + struct.unpack_from("<I", self._data, place)[0]
        (count,) = struct.unpack_from("<I", self._data, start)
        if count * 16 > len(self._data):
            raise ValueError("a list is longer than its message")
        flat = struct.unpack_from(f"<{2 * count}q", self._data, start + 4)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _place(self, field: int) -> int:
        if field >= self._count:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * field)
        return self._at + offset if offset else 0
