"""The door to files: what a file, a folder or a name is, its columns, its rows. No ending and no size is trusted.

What it leaves out: what the rows mean (studio.data.shapes) and how they look (studio.data.previews).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from studio.data.arrowfiles import ArrowTable
from studio.data.datasetfolders import STATES, DatasetTable
from studio.data.delimited import DelimitedTable
from studio.data.hub import PREFIX, HubTable, parse_hub_name
from studio.data.jsonfiles import JsonLinesTable, JsonTable, looks_like_json_lines
from studio.data.parquetfiles import ParquetTable
from studio.data.rows import Rejected, Row, Table
from studio.errors import BadFile
from studio.language import mark, tr

ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".zip")
"""File endings that can be imported; a .zip holds a folder that datasets wrote."""

_OWN_MAGIC = {".parquet": b"PAR1", ".arrow": b"ARROW1", ".feather": b"ARROW1"}
_MAGIC = {
    b"PAR1": ("Parquet", mark("give it the ending .parquet")),
    b"ARROW1": ("Arrow", mark("give it the ending .arrow")),
    b"FEA1": (mark("a Feather file of before 2020"), mark("save it anew as Arrow or Parquet")),
    b"PK\x03\x04": (mark("a ZIP archive or a spreadsheet"), mark("unpack it, or export it as CSV")),
    b"\x1f\x8b": (mark("a gzip archive"), mark("unpack it first")),
    b"BZh": (mark("a bzip2 archive"), mark("unpack it first")),
    b"\xfd7zXZ": (mark("an xz archive"), mark("unpack it first")),
    b"\x28\xb5\x2f\xfd": (mark("a zstd archive"), mark("unpack it first")),
    b"%PDF": (mark("a PDF"), mark("export its content as CSV or JSONL")),
    b"SQLite format 3": (mark("an SQLite database"), mark("export its rows as CSV")),
    b"\xd0\xcf\x11\xe0": (mark("an old spreadsheet or document"), mark("export it as CSV")),
}


def open_rows(path: Path) -> Table:
    """Open a file, a `datasets` folder or a .zip of one (`FOLDER:SPLIT` for one of its splits), or a data set of the
    Hub (`hub:OWNER/NAME[/CONFIG][:SPLIT]`).

    Raises BadFile with one sentence when it cannot be read as what it claims to be.
    """
    path = Path(path)
    if str(path).startswith(PREFIX):
        return HubTable(parse_hub_name(str(path)))
    whole, split = _split_of(path)
    if _is_dataset(whole):
        return DatasetTable(whole, split)
    _refuse_unreadable(path)
    ending = path.suffix.lower()
    _refuse_foreign(path, ending)
    if ending in (".csv", ".tsv"):
        return DelimitedTable(path)
    if ending == ".zip":
        advice = tr("{file} is no ZIP archive: choose a .zip of a folder that datasets wrote.", file=path.name)
        raise BadFile(advice)
    if ending == ".parquet":
        return ParquetTable(path)
    if ending in (".arrow", ".feather"):
        return ArrowTable(path)
    if ending == ".json" and looks_like_json_lines(path):
        table = JsonLinesTable(path)
        table.note(tr("The file holds one object a line, so it was read as JSONL."))
        return table
    return JsonTable(path) if ending == ".json" else JsonLinesTable(path)


def read_rows(path: Path) -> Iterator[Row | Rejected]:
    """Every record of a file, rejected ones with their reason. Raises BadFile."""
    return open_rows(path).rows()


def no_rows(table: Table) -> BadFile:
    """The error for a file in which there is nothing but, at most, a header."""
    return BadFile(tr("{file} has no rows.", file=table.path.name))


def no_columns(table: Table) -> BadFile:
    """The error for a file of which no row can be read, so that there are no columns; it tells why the first cannot."""
    first = next(iter(table.rows()), None)
    if isinstance(first, Rejected):
        told = {"file": table.path.name, "line": first.line, "reason": first.reason}
        return BadFile(tr("No row of {file} can be read (line {line}: {reason}).", **told))
    return no_rows(table)


def _split_of(path: Path) -> tuple[Path, str]:
    """A path without the split that it names behind a colon, and that split."""
    name, mark, split = path.name.rpartition(":")
    if not mark or path.exists():
        return path, ""
    return path.with_name(name) if name else path, split


def _is_dataset(path: Path) -> bool:
    try:
        if path.is_dir():
            return any((path / name).is_file() for name in STATES)
        if path.suffix.lower() != ".zip" or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except (OSError, ValueError):
        return False


def _refuse_unreadable(path: Path) -> None:
    if path.suffix.lower() not in ENDINGS:
        told = {"file": path.name, "endings": ", ".join(ENDINGS)}
        raise BadFile(tr("{file} cannot be imported: files ending in {endings} can.", **told))
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            advice = tr("{file} is a folder: choose a file in it, or a folder that datasets wrote.", file=path.name)
            raise BadFile(advice)
        if not stat.S_ISREG(status.st_mode):
            raise BadFile(tr("{file} is not a file.", file=path.name))
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise BadFile(tr("There is no file {path}.", path=path)) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadFile(tr("{file} cannot be read: {why}.", file=path.name, why=why)) from None
    if status.st_size == 0:
        raise BadFile(tr("{file} is empty.", file=path.name))


def _refuse_foreign(path: Path, ending: str) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    for magic, (what, remedy) in _MAGIC.items():
        if head.startswith(magic) and magic != _OWN_MAGIC.get(ending):
            told = {"file": path.name, "what": tr(what), "remedy": tr(remedy)}
            raise BadFile(tr("{file} is not what its ending says but {what}: {remedy}.", **told))
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:2]
    if ending in (".csv", ".tsv") and (start.startswith((b'{"', b"[{")) or start == b"{}"):
        told = {"file": path.name}
        raise BadFile(tr("{file} is not CSV but JSON: give it the ending .jsonl (one object a line) or .json.", **told))
    if ending in (".jsonl", ".ndjson") and start.startswith(b"["):
        advice = tr("{file} holds a JSON array, not one object a line: give it the ending .json.", file=path.name)
        raise BadFile(advice)
