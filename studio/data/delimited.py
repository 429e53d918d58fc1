"""CSV and TSV, streamed: quoted newlines, ragged rows and stray quotes, each told with its line.

A quote that is opened and never closed would swallow the rest of the file; after ROW_LIMIT its line is rejected and
reading goes on with the next one.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from studio.data.rows import ROW_LIMIT, Block, Rejected, Row, Table
from studio.data.safecells import MADE_SAFE, plain_values
from studio.data.scanning import LARGE_BLOCK, SMALL_BLOCK, Scanned, pick_lines, scan_quoted
from studio.data.textfile import Encoding, Line, lines, sniff_encoding
from studio.errors import BadFile
from studio.language import mark, tr, trn

_DELIMITERS = {",": mark("comma"), ";": mark("semicolon"), "\t": mark("tab"), "|": mark("vertical bar")}


class DelimitedTable(Table):
    """A .csv or .tsv file with a header. Raises BadFile for an empty file or a header that names a column twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "TSV" if path.suffix.lower() == ".tsv" else "CSV")
        csv.field_size_limit(2 * ROW_LIMIT)
        self._sniffed: Encoding = sniff_encoding(path)
        self.encoding = self._sniffed.name
        self._codec = "utf-8" if self.encoding == "utf-8-sig" else self.encoding
        self.notes += self._sniffed.notes
        self._delimiter = "\t" if self.format == "TSV" else _sniff_delimiter(path, self._sniffed)
        if self.format == "CSV" and self._delimiter != ",":
            sign = tr(_DELIMITERS[self._delimiter])
            self.note(tr("The columns are separated by a {sign}.", sign=sign))
        feed = _Feed(self)
        header = next(self._records(feed), None)
        if header is None:
            raise BadFile(tr("{file} is empty: its first line must name the columns.", file=path.name))
        if isinstance(header, Rejected):
            told = {"file": path.name, "line": header.line, "reason": header.reason}
            raise BadFile(tr("The header of {file} cannot be read (line {line}): {reason}.", **told))
        self.columns = self._header(header[1])
        self._body = (self.position, feed.number)

    def rows(self) -> Iterator[Row | Rejected]:
        """See Table."""
        return self._rows(_Feed(self, *self._body) if not self._sniffed.wide else self._behind_header())

    def blocks(self, columns: Sequence[str]) -> Iterator[Block]:
        """See Table. What cannot be read at once is read row by row, and so is all of a file of wide characters."""
        if self._sniffed.wide or not columns or MADE_SAFE in self.columns:
            yield from super().blocks(columns)
            return
        (at, number), size = self._body, SMALL_BLOCK
        while at < self.size:
            with self.path.open("rb") as file:
                file.seek(at)
                raw = file.read(size)
            if not raw:
                return  # the file has become shorter
            scanned = scan_quoted(raw, at + len(raw) >= self.size, self._codec, self._delimiter)
            values = self._parse(scanned, columns) if scanned else None
            if scanned and values is not None:
                self.position = at = at + scanned.taken
                yield Block((), pick_lines(scanned.lines, number + 1), values)
                number, size = number + scanned.line_count, min(2 * size, LARGE_BLOCK)
            elif size > SMALL_BLOCK:
                size = SMALL_BLOCK
            else:
                feed = _Feed(self, at, number)
                yield Block(list(self._rows(feed, at + SMALL_BLOCK)))
                at, number = self.position, feed.number

    def _parse(self, scanned: Scanned, columns: Sequence[str]) -> dict[str, pa.Array] | None:
        import pyarrow.compute as pc
        from pyarrow import csv as arrow_csv

        try:
            table = arrow_csv.read_csv(
                pa.BufferReader(scanned.data),
                arrow_csv.ReadOptions(block_size=1 << 30, column_names=self.columns),
                arrow_csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    include_columns=list(dict.fromkeys(columns)),
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except (pa.ArrowException, KeyError):
            return None
        if table.num_rows != len(scanned.lines):
            return None
        arrays = {name: table.column(name).combine_chunks() for name in table.column_names}
        if b"\r" in scanned.data:  # the line ends of quoted values
            arrays = {name: pc.replace_substring(array, "\r\n", "\n") for name, array in arrays.items()}
        return arrays

    def _behind_header(self) -> _Feed:
        feed = _Feed(self)
        next(self._records(feed), None)
        return feed

    def _rows(self, feed: _Feed, until: int | None = None) -> Iterator[Row | Rejected]:
        """Rows of a feed, until what was read of the file is behind a position and ends a record."""
        width = len(self.columns)
        for record in self._records(feed, until):
            if isinstance(record, Rejected):
                yield record
                continue
            line, cells = record
            while len(cells) > width and not cells[-1]:
                cells.pop()
            if len(cells) == width:
                yield Row(line, plain_values(dict(zip(self.columns, cells, strict=True))))
            else:
                found = trn("{count} value", "{count} values", len(cells))
                named = trn("{count} column", "{count} columns", width)
                yield Rejected(line, tr("it has {found}, the header names {named}", found=found, named=named))

    def _records(self, feed: _Feed, until: int | None = None) -> Iterator[tuple[int, list[str]] | Rejected]:
        reader = csv.reader(feed, delimiter=self._delimiter, strict=True)
        while until is None or feed.waits or self.position < until:
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
                yield Rejected(feed.first, tr("its quotes are broken ({error})", error=error))
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
            told = {"file": self.path.name, "names": ", ".join(twice)}
            raise BadFile(tr("{file} names a column twice: {names}. Rename one of them.", **told))
        if not names:
            raise BadFile(tr("{file} does not name its columns: its first line must.", file=self.path.name))
        return tuple(names)


class _Broken(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Feed:
    """Lines for csv.reader, with what is needed to reject one record and go on behind it."""

    def __init__(self, table: DelimitedTable, position: int = 0, number: int = 0) -> None:
        self._table = table
        self._source = lines(table.path, table._sniffed, position, number)
        self.number = number
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self._length = 0
        self.problem: str | None = None

    @property
    def waits(self) -> bool:
        """Whether lines are to be read again."""
        return bool(self._again)

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
            raise _Broken(tr("its quote is not closed within 1 MiB"))
        if line.problem and not self.problem:
            where = {"problem": line.problem, "line": line.number}
            self.problem = line.problem if line.number == self.first else tr("{problem} (line {line})", **where)
        return line.text

    def _next_line(self) -> Line:
        if self._again:
            return self._again.popleft()
        found = next(self._source, None)
        if found is None:
            raise StopIteration
        line, self._table.position = found
        self.number = line.number
        return line


def _sniff_delimiter(path: Path, encoding: Encoding) -> str:
    header = next((line.text for line, _ in lines(path, encoding)), "").replace("\r", " ")
    counts = {mark: len(next(csv.reader([header], delimiter=mark), [])) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=lambda mark: counts[mark])  # a comma where nothing is more
