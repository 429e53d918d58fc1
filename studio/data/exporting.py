"""Pairs out of the studio: JSONL of messages, CSV that a spreadsheet opens safely, Parquet.

`messages` is the whole conversation as a model sees it. A `context` stands beside it too, so that importing the file
into a project with the same system prompt gives the same pairs again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from storage.database import Database
from storage.examples import list_pairs
from storage.projects import get_project
from studio.contract.chat import Message
from studio.data.files import whole_file
from studio.data.prompts import to_messages
from studio.data.snapshots import count_rows, read_split
from studio.data.splits import SPLITS
from studio.errors import BadInput
from studio.settings import Workspace

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PAGE = 1000


@dataclass(frozen=True)
class _Exported:
    """A conversation on its way out; `split` is '' where there are none."""

    messages: tuple[Message, ...]
    context: str = ""
    split: str = ""


def export_project(db: Database, project_id: str, path: Path) -> int:
    """Write the accepted pairs of a project to .jsonl, .csv or .parquet; returns how many.

    Raises BadInput for another ending or nothing to write, BadFile, DiskFull.
    """
    project = get_project(db, project_id)
    rows = [
        _Exported(tuple(to_messages(pair.prompt, pair.context, project.system_prompt, pair.response)), pair.context)
        for pair in list_pairs(db, project_id)
    ]
    if not rows:
        raise BadInput(f"'{project.name}' has no accepted pairs to export.")
    return _export(rows, path)


def export_snapshot(workspace: Workspace, snapshot_id: str, path: Path) -> int:
    """Write a snapshot, its splits in a column `split`; returns how many rows. Raises as `export_project`, NotFound."""
    counts = count_rows(workspace, snapshot_id)
    rows = [
        _Exported(row.messages, "", split)
        for split in SPLITS
        for offset in range(0, counts[split], _PAGE)
        for row in read_split(workspace, snapshot_id, split, offset, _PAGE)
    ]
    return _export(rows, path)


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet runs as a formula: an apostrophe before = + - @ tab and carriage return."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _export(rows: list[_Exported], path: Path) -> int:
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise BadInput(f"'{path.name}' cannot be written: its ending must be one of {', '.join(_WRITERS)}.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder: name a file.")
    with whole_file(path) as file:
        write(rows, file)
    return len(rows)


def _records(rows: Iterable[_Exported]) -> Iterator[dict[str, object]]:
    for row in rows:
        record: dict[str, object] = {"messages": [{"role": m.role, "content": m.content} for m in row.messages]}
        if row.context:
            record["context"] = row.context
        if row.split:
            record["split"] = row.split
        yield record


def _write_jsonl(rows: list[_Exported], file: BinaryIO) -> None:
    for record in _records(rows):
        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def _write_parquet(rows: list[_Exported], file: BinaryIO) -> None:
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    kinds = {"messages": pa.list_(turn), "context": pa.string(), "split": pa.string()}
    records = list(_records(rows))
    used = [name for name in kinds if any(name in record for record in records)]
    schema = pa.schema([(name, kinds[name]) for name in used])
    pq.write_table(pa.Table.from_pylist(records, schema=schema), file)


def _write_csv(rows: list[_Exported], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    cells = [_cells(row) for row in rows]
    names = [name for name in ("input", "output", "context", "system", "split") if any(row.get(name) for row in cells)]
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([safe_cell(row.get(name, "")) for name in names] for row in cells)
    text.detach()


def _cells(row: _Exported) -> Mapping[str, str]:
    """Prompts of several turns become one text that names who speaks."""
    turns = [m for m in row.messages[:-1] if m.role != "system"]
    system = "\n\n".join(m.content for m in row.messages if m.role == "system")
    prompt = turns[0].content if len(turns) == 1 else "\n\n".join(f"{m.role}: {m.content}" for m in turns)
    if row.context and len(turns) == 1:
        prompt = prompt.removeprefix(f"{row.context}\n\n")
    context = row.context if len(turns) == 1 else ""
    answer = row.messages[-1].content
    return {"input": prompt, "output": answer, "context": context, "system": system, "split": row.split}


_WRITERS: dict[str, Callable[[list[_Exported], BinaryIO], None]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
