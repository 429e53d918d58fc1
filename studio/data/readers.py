"""The door to files: what a file is, its columns, its rows, a preview. Nothing here trusts an ending or a size."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from studio.data.columns import Columns, guess_columns
from studio.data.delimited import DelimitedTable
from studio.data.jsonfiles import JsonLinesTable, JsonTable, looks_like_json_lines
from studio.data.parquetfiles import ParquetTable
from studio.data.rows import Rejected, Row, Table, as_text
from studio.errors import BadFile

ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
"""File endings that can be imported."""

_CELL_LIMIT = 2000
_MAGIC = {
    b"PAR1": ("Parquet", "give it the ending .parquet"),
    b"PK\x03\x04": ("a ZIP archive or a spreadsheet", "unpack it, or export it as CSV"),
    b"\x1f\x8b": ("a gzip archive", "unpack it first"),
    b"BZh": ("a bzip2 archive", "unpack it first"),
    b"\xfd7zXZ": ("an xz archive", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it first"),
    b"%PDF": ("a PDF", "export its content as CSV or JSONL"),
    b"SQLite format 3": ("an SQLite database", "export its rows as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old spreadsheet or document", "export it as CSV"),
}


@dataclass(frozen=True)
class Preview:
    """A first look: the columns, some rows as text, what the file is, remarks, and which columns seem to be meant."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    format: str
    encoding: str
    notes: tuple[str, ...]
    guessed: Columns | None


def open_rows(path: Path) -> Table:
    """Open a file for reading. Raises BadFile with one sentence when it cannot be read as its ending says."""
    path = Path(path)
    _refuse_unreadable(path)
    ending = path.suffix.lower()
    _refuse_foreign(path, ending)
    if ending in (".csv", ".tsv"):
        return DelimitedTable(path)
    if ending == ".parquet":
        return ParquetTable(path)
    if ending == ".json" and looks_like_json_lines(path):
        table = JsonLinesTable(path)
        table.note("The file holds one object a line, so it was read as JSONL.")
        return table
    return JsonTable(path) if ending == ".json" else JsonLinesTable(path)


def read_rows(path: Path) -> Iterator[Row | Rejected]:
    """Every record of a file, rejected ones with their reason. Raises BadFile."""
    return open_rows(path).rows()


def preview(path: Path, limit: int = 20, task: str = "instruction") -> Preview:
    """The first `limit` rows of a file, and the columns that a project of that task seems to want.

    Raises BadFile when it cannot be read or has no row that can be.
    """
    table = open_rows(path)
    if not table.columns:
        raise no_columns(table)
    first = list(islice(table.rows(), limit))
    if not first:
        raise no_rows(table)
    rejected = [row for row in first if isinstance(row, Rejected)]
    for row in rejected[:3]:
        table.note(f"Line {row.line} cannot be taken: {row.reason}.")
    rows = tuple(tuple(_cell(row.values.get(name)) for name in table.columns) for row in first if isinstance(row, Row))
    notes = tuple(table.notes)
    return Preview(table.columns, rows, table.format, table.encoding, notes, guess_columns(table.columns, task))


def no_rows(table: Table) -> BadFile:
    """The error for a file in which there is nothing but, at most, a header."""
    return BadFile(f"{table.path.name} has no rows.")


def no_columns(table: Table) -> BadFile:
    """The error for a file of which no row can be read, so that there are no columns; it tells why the first cannot."""
    first = next(iter(table.rows()), None)
    if isinstance(first, Rejected):
        return BadFile(f"No row of {table.path.name} can be read (line {first.line}: {first.reason}).")
    return no_rows(table)


def _refuse_unreadable(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        raise BadFile(f"{path.name} cannot be imported: files ending in {', '.join(ENDINGS)} can.")
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadFile(f"{path.name} is a folder: choose a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise BadFile(f"{path.name} is not a file.")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise BadFile(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if status.st_size == 0:
        raise BadFile(f"{path.name} is empty.")


def _refuse_foreign(path: Path, ending: str) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    for magic, (what, remedy) in _MAGIC.items():
        if head.startswith(magic) and not (ending == ".parquet" and magic == b"PAR1"):
            raise BadFile(f"{path.name} is not what its ending says but {what}: {remedy}.")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:2]
    if ending in (".csv", ".tsv") and (start.startswith((b'{"', b"[{")) or start == b"{}"):
        raise BadFile(f"{path.name} is not CSV but JSON: give it the ending .jsonl (one object a line) or .json.")
    if ending in (".jsonl", ".ndjson") and start.startswith(b"["):
        raise BadFile(f"{path.name} holds a JSON array, not one object a line: give it the ending .json.")


def _cell(value: object) -> str:
    text = as_text(value)
    return text if len(text) <= _CELL_LIMIT else text[:_CELL_LIMIT] + " …"
