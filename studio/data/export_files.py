"""Rows as bytes of a file, piece by piece: JSONL, CSV, Parquet, a `datasets` folder or a .zip of one.

No more than one piece is in memory, so a download begins at once. What it leaves out: where the bytes go, and what a
row looks like (studio.data.export_shapes).
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.export_shapes import NoPlace, Record, Shape, cell_of, flat, needs_messages, refuse_shape
from studio.data.outgoing import Outgoing, Source, Traits
from studio.data.safecells import MADE_SAFE, safe_row
from studio.errors import BadInput
from studio.language import mark, tr

_PIECE = 256 << 10
_GROUP_ROWS = 10_000
_GROUP_CHARACTERS = 16_000_000


@dataclass(frozen=True)
class ExportReport:
    """What became of the rows: how many were written, how many were left out by reason, and of how many something is
    not kept, by what. A reason stands behind "3 rows: "."""

    rows: int
    left_out: Mapping[str, int]
    notes: Mapping[str, int]

    @property
    def lines(self) -> list[str]:
        """The reasons as sentences, in English."""
        left = [f"{_rows(count)} left out: {reason}." for reason, count in self.left_out.items()]
        return [*left, *(f"{_rows(count)}: {note}." for note, count in self.notes.items())]


@dataclass
class Export:
    """One export on its way. Counts grow while the records are taken."""

    source: Source
    shape: Shape
    kind: str
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    on_row: Callable[[int], None] = lambda seen: None

    def __post_init__(self) -> None:
        """Raises BadInput for a kind of file that cannot hold the shape, or a shape that no row can have."""
        refuse_kind(self.shape, self.kind)
        refuse_shape(self.shape, self.source)

    @property
    def report(self) -> ExportReport:
        """What became of the rows taken so far."""
        return ExportReport(self.rows, dict(self.left_out), dict(self.notes))

    @property
    def traits(self) -> Traits:
        """What the rows have; where splits are files of their own, no column names them."""
        by_split = self.kind in _FOLDERS
        return replace(self.source.traits, split=False) if by_split else self.source.traits

    def records(self, split: str = "") -> Iterator[tuple[Outgoing, Record]]:
        """Rows that the shape and the file can hold, the others counted."""
        traits = self.traits
        for seen, row in enumerate(self.source.open(split), 1):
            noted: set[str] = set()
            try:
                record = self.shape.record(row, traits, noted.add)
                if self.kind in _COLUMNAR:
                    record = _columnar(record, traits)
            except NoPlace as reason:
                self.left_out[str(reason)] += 1
            else:
                self.rows += 1
                self.notes.update(noted)
                yield row, record
            self.on_row(seen)

    def check(self) -> ExportReport:
        """Take every row and write none: what an export would say."""
        for _ in self.records():
            pass
        return self.report

    def chunks(self) -> Generator[bytes, None, None]:
        """The file's bytes. Raises BadInput, before any of them, where no row can be written."""
        held: list[bytes] = []
        for chunk in _WRITERS[self.kind](self):
            held.append(chunk)
            if self.rows and chunk:
                yield b"".join(held)
                held = []
        self.refuse_nothing()
        yield b"".join(held)

    def refuse_nothing(self) -> None:
        """Raises BadInput where not one row was written."""
        if not self.rows:
            told = {"shape": self.shape.name, "reason": tr(next(iter(self.left_out), ""))}
            if self.left_out:
                raise BadInput(tr("None of these rows can be written in the shape {shape}: {reason}.", **told))
            raise BadInput(tr("None of these rows can be written in the shape {shape}.", **told))


def refuse_kind(shape: Shape, kind: str) -> None:
    """Raises BadInput for a file that cannot hold a shape."""
    if kind not in (*_WRITERS, *_FOLDERS):
        told = {"kind": kind, "names": ", ".join(KINDS)}
        raise BadInput(tr("There is no file format '{kind}'; there are: {names}.", **told))
    if shape.name == "openai" and kind != ".jsonl":
        raise BadInput("OpenAI's fine-tuning takes .jsonl files only: choose that ending.")


def _jsonl(export: Export) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    for _, record in export.records():
        line = _json(record)
        lines.append(line)
        size += len(line)
        if size >= _PIECE:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


def _json(record: Record) -> bytes:
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # whole numbers beyond 64 bits, in somebody's tools
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _csv(export: Export) -> Iterator[bytes]:
    names = _csv_columns(export.shape, export.traits)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for row, record in export.records():
        is_flat = export.shape.name in ("messages", "preference")
        cells = flat(row, export.traits, record) if is_flat else {n: cell_of(v, n) for n, v in record.items()}
        writer.writerow(safe_row(names, cells))
        if text.tell() >= _PIECE:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _csv_columns(shape: Shape, traits: Traits) -> list[str]:
    """The header. `made_safe` is always the last column: see studio.data.safecells."""
    if shape.name not in ("messages", "preference"):
        return [*columnar_schema(shape, traits).names, MADE_SAFE]
    wanted = {
        **dict.fromkeys(("input", "output"), True),
        "rejected": traits.preference,
        **dict.fromkeys(("a", "b", "choice", "margin", "reason"), traits.choice),
        "system": traits.system and not needs_messages(traits),  # else it stands in the messages
        **{name: getattr(traits, name) for name in ("labels", "context", "tools", "group", "split")},
        "messages": needs_messages(traits),
        MADE_SAFE: True,
    }
    return [name for name, is_there in wanted.items() if is_there]


def columnar_schema(shape: Shape, traits: Traits) -> pa.Schema:
    """The columns of a Parquet or Arrow file of a shape; tools are JSON text there, for no two have the same fields."""
    turn = [("role", pa.string()), ("content", pa.string())]
    if traits.extra:
        call = [("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)]
        turn += [("tool_calls", pa.list_(pa.struct(call))), ("tool_call_id", pa.string()), ("name", pa.string())]
    turns = pa.list_(pa.struct([*turn, *([("train", pa.bool_())] if traits.flags else [])]))
    text, texts = pa.string(), pa.list_(pa.string())
    columns: dict[str, pa.DataType] = {}
    if shape.name == "alpaca":
        columns |= dict.fromkeys(("instruction", "input", "output"), text) | ({"system": text} if traits.system else {})
    elif shape.name == "sharegpt":
        columns["conversations"] = pa.list_(pa.struct([("from", text), ("value", text)]))
    elif traits.preference:
        columns |= dict.fromkeys(("prompt", "chosen", "rejected"), turns)
        if traits.choice:
            columns |= {"a": text, "b": text, "choice": text, "margin": pa.int32(), "reason": text}
    else:
        columns["messages"] = turns
    beside = {"tools": text, "labels": texts, "context": text, "group": text, "split": text}
    named = {name for name in beside if getattr(traits, name)} - ({"context"} if shape.name == "alpaca" else set())
    return pa.schema([*columns.items(), *((name, kind) for name, kind in beside.items() if name in named)])


_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])


def _columnar(record: Record, traits: Traits) -> Record:
    """A record as those columns hold it. Raises NoPlace."""
    if record.get("tools"):
        record = {**record, "tools": json.dumps(record["tools"], ensure_ascii=False)}
    if traits.extra:
        for name in ("messages", "prompt"):
            turns: Any = record.get(name) or ()
            for turn in turns:
                for call in turn.get("tool_calls", ()):
                    _refuse_odd(call)
    return record


def _refuse_odd(call: Mapping[str, Any]) -> None:
    function = call["function"]
    usual = call.keys() <= {"id", "type", "function"} and function.keys() <= {"name", "arguments"}
    texts = [call.get("id", ""), call.get("type", ""), function.get("arguments", "")]
    if not usual or not all(isinstance(value, str) for value in texts):
        raise NoPlace(mark("its tool calls have more than columns hold (id, type, a name and arguments as text)"))


class _Sink(io.RawIOBase):
    """A file that is only written, whose bytes are taken out again piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def tell(self) -> int:
        return self._written

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._written += len(self._pieces[-1])
        return len(self._pieces[-1])

    def take(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _tables(export: Export, schema: pa.Schema, split: str = "") -> Iterator[pa.Table]:
    """Records as tables of bounded size; at least one, which may be empty."""
    records: list[Record] = []
    characters = 0
    for row, record in export.records(split):
        records.append(record)
        characters += sum(len(message.content) for message in row.messages) + len(row.tools)
        if len(records) >= _GROUP_ROWS or characters >= _GROUP_CHARACTERS:
            yield pa.Table.from_pylist(records, schema=schema)
            records, characters = [], 0
    yield pa.Table.from_pylist(records, schema=schema)


def _parquet(export: Export, split: str = "") -> Iterator[bytes]:
    schema = columnar_schema(export.shape, export.traits)
    sink = _Sink()
    with pq.ParquetWriter(sink, schema) as writer:
        for table in _tables(export, schema, split):
            if table.num_rows:
                writer.write_table(table)
            yield sink.take()
    yield sink.take()


def split_file(export: Export, split: str) -> Iterator[bytes]:
    """One split ('' for all rows) as Parquet; for files that lie side by side."""
    return _parquet(export, split)


def dataset_files(export: Export) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The files of a folder that `datasets.load_from_disk` opens: their paths in it and their bytes, to be taken in
    this order. A project becomes one Dataset, a snapshot a DatasetDict."""
    schema = columnar_schema(export.shape, export.traits)
    splits = export.source.splits
    if splits:
        yield "dataset_dict.json", iter([json.dumps({"splits": list(splits)}).encode()])
    for split in splits or ("",):
        folder = f"{split}/" if split else ""
        yield f"{folder}{_ARROW}", _arrow(_tables(export, schema, split), schema)
        yield f"{folder}dataset_info.json", iter([json.dumps(_dataset_info(schema, split), indent=2).encode()])
        yield f"{folder}state.json", iter([json.dumps(_dataset_state(split), indent=2).encode()])


_ARROW = "data-00000-of-00001.arrow"


def _arrow(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    sink = _Sink()
    with pa.ipc.new_stream(sink, schema) as writer:
        for table in tables:
            writer.write_table(table, max_chunksize=1000)
            yield sink.take()
    yield sink.take()


def _dataset_info(schema: pa.Schema, split: str) -> dict[str, object]:
    from datasets import Features

    return {"citation": "", "description": "", "features": Features.from_arrow_schema(schema).to_dict(), "license": ""}


def _dataset_state(split: str) -> dict[str, object]:
    shown: dict[str, object] = {
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
    }
    return {"_data_files": [{"filename": _ARROW}], "_fingerprint": uuid4().hex[:16], "_split": split or None, **shown}


def _zip(export: Export) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path, pieces in dataset_files(export):
            with archive.open(path, "w", force_zip64=True) as file:
                for piece in pieces:
                    file.write(piece)
                    yield sink.take()
    yield sink.take()


def write_folder(export: Export, folder: Path) -> None:
    """Write a `datasets` folder into an empty one. Raises OSError, and BadInput where no row could be written."""
    for path, pieces in dataset_files(export):
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as file:
            for piece in pieces:
                file.write(piece)
    export.refuse_nothing()


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


_WRITERS: Mapping[str, Callable[[Export], Iterator[bytes]]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
    ".zip": _zip,
}
KINDS: Mapping[str, str] = {
    ".jsonl": "JSONL",
    ".csv": "CSV",
    ".parquet": "Parquet",
    ".zip": mark("datasets folder (.zip)"),
}
"""The kinds of files by their endings, as people know them; "folder" is the unpacked form of the last."""

_FOLDERS = (".zip", "folder", "hub")
_COLUMNAR = (".parquet", *_FOLDERS)
