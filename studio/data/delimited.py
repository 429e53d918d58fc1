"""CSV and TSV, streamed: quoted newlines, ragged rows and stray quotes, each told with its line.

A quote that is opened and never closed would swallow the rest of the file; after ROW_LIMIT its line is rejected and
reading goes on with the next one.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from studio.data.rows import ROW_LIMIT, Rejected, Row, Table
from studio.data.textfile import Encoding, Line, lines, sniff_encoding
from studio.errors import BadFile

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


class DelimitedTable(Table):
    """A .csv or .tsv file with a header. Raises BadFile for an empty file or a header that names a column twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "TSV" if path.suffix.lower() == ".tsv" else "CSV")
        csv.field_size_limit(2 * ROW_LIMIT)
        self._sniffed: Encoding = sniff_encoding(path)
        self.encoding = self._sniffed.name
        self.notes += self._sniffed.notes
        self._delimiter = "\t" if self.format == "TSV" else _sniff_delimiter(path, self._sniffed)
        if self.format == "CSV" and self._delimiter != ",":
            self.note(f"The columns are separated by a {_DELIMITERS[self._delimiter]}.")
        header = next(self._records(), None)
        if header is None:
            raise BadFile(f"{path.name} is empty: its first line must name the columns.")
        if isinstance(header, Rejected):
            raise BadFile(f"The header of {path.name} cannot be read (line {header.line}): {header.reason}.")
        self.columns = self._header(header[1])

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        width = len(self.columns)
        records = self._records()
        next(records, None)
        for record in records:
            if isinstance(record, Rejected):
                yield record
                continue
            line, cells = record
            while len(cells) > width and not cells[-1]:
                cells.pop()
            if len(cells) == width:
                yield Row(line, dict(zip(self.columns, cells, strict=True)))
            else:
                found, named = _count(len(cells), "value"), _count(width, "column")
                yield Rejected(line, f"it has {found}, the header names {named}")

    def _records(self) -> Iterator[tuple[int, list[str]] | Rejected]:
        feed = _Feed(self)
        reader = csv.reader(feed, delimiter=self._delimiter, strict=True)
        while True:
            feed.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except _Broken as broken:
                yield Rejected(feed.first, broken.reason)
                continue
            except csv.Error as error:
                feed.retry_after_first()
                yield Rejected(feed.first, f"its quotes are broken ({error})")
                continue
            if feed.problem:
                yield Rejected(feed.first, feed.problem)
            elif cells:
                yield feed.first, cells

    def _header(self, cells: list[str]) -> tuple[str, ...]:
        names = [cell.strip() for cell in cells]
        while names and not names[-1]:
            names.pop()
        names = [name or f"column_{number}" for number, name in enumerate(names, 1)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadFile(f"{self.path.name} names a column twice: {', '.join(twice)}. Rename one of them.")
        if not names:
            raise BadFile(f"{self.path.name} does not name its columns: its first line must.")
        return tuple(names)


class _Broken(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Feed:
    """Lines for csv.reader, with what is needed to reject one record and go on behind it."""

    def __init__(self, table: DelimitedTable) -> None:
        self._table = table
        self._source = lines(table.path, table._sniffed)
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self._length = 0
        self.problem: str | None = None

    @property
    def first(self) -> int:
        """Line on which the current record begins."""
        return self._taken[0].number if self._taken else 0

    def begin(self) -> None:
        """A new record starts with the next line."""
        self._taken, self._length, self.problem = [], 0, None

    def retry_after_first(self) -> None:
        """Read the lines behind the record's first one again, as records of their own."""
        self._again.extendleft(reversed(self._taken[1:]))

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._next_line()
        self._taken.append(line)
        self._length += len(line.text)
        if line.too_long:
            raise _Broken(line.problem or "")
        if self._length > ROW_LIMIT:
            self.retry_after_first()
            raise _Broken("its quote is not closed within 1 MiB")
        if line.problem and not self.problem:
            behind = "" if line.number == self.first else f" (line {line.number})"
            self.problem = line.problem + behind
        return line.text

    def _next_line(self) -> Line:
        if self._again:
            return self._again.popleft()
        found = next(self._source, None)
        if found is None:
            raise StopIteration
        line, self._table.position = found
        return line


def _sniff_delimiter(path: Path, encoding: Encoding) -> str:
    header = next((line.text for line, _ in lines(path, encoding)), "").replace("\r", " ")
    counts = {mark: len(next(csv.reader([header], delimiter=mark), [])) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: counts[mark])  # a comma where nothing is more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
