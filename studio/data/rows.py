"""What every reader gives: rows with the line they begin on, and rejected ones with a reason.

Readers hand out values as the file holds them; `as_text` makes the text of one. What it leaves out: meaning (see
studio.data.columns).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ROW_LIMIT = 1 << 20
"""Bytes of the longest row that is read (characters in UTF-16 files)."""

_BLOCK_ROWS = 1000


@dataclass(frozen=True)
class Row:
    """A record: `line` is the line of the file on which it begins (in Parquet: the number of the row), from 1."""

    line: int
    values: Mapping[str, object]


@dataclass(frozen=True)
class Rejected:
    """A record that is not taken, and why, in words that stand behind "line 12: "."""

    line: int
    reason: str


@dataclass(frozen=True)
class Block:
    """Records read at once: `lines` (int64) of them, and arrays of what they hold in some columns, null where a record
    has nothing; and, in order, those that have to be taken one by one. No line is in both."""

    beside: Sequence[Row | Rejected]
    lines: pa.Array | None = None
    columns: Mapping[str, pa.Array] | None = None

    @property
    def size(self) -> int:
        """How many records it has."""
        return len(self.beside) + (0 if self.lines is None else len(self.lines))


class Table:
    """A file opened for reading: `columns` are known at once, `rows` streams, `notes` may grow while it does."""

    columns: tuple[str, ...]
    encoding: str = ""

    def __init__(self, path: Path, format_name: str) -> None:
        self.path = path
        self.format = format_name
        self.notes: list[str] = []
        self.size = max(1, path.stat().st_size)
        self.position = 0

    @property
    def fraction(self) -> float:
        """Share of the file that has been read, 0 to 1."""
        return min(1.0, self.position / self.size)

    def rows(self) -> Iterator[Row | Rejected]:
        """Every record from the first one on, each time it is called. Raises BadFile where reading cannot go on."""
        raise NotImplementedError

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """The same records, with many read at once where only `columns` are wanted and the file allows it."""
        rows = self.rows()
        while beside := list(islice(rows, _BLOCK_ROWS)):
            yield Block(beside)

    def note(self, text: str) -> None:
        """Add a remark for people, once."""
        if text not in self.notes:
            self.notes.append(text)


def as_text(value: object) -> str:
    """The text of one value: '' for null (and NaN), JSON for nested ones and for true and false."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
