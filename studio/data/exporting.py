"""Pairs out of the studio: JSONL of messages, CSV that a spreadsheet opens safely, Parquet.

`messages` is the whole conversation as a model sees it; a turn has `train` where loss does not lie on the last turn
alone. A `context` stands beside it too, so that importing the file into a project with the same system prompt gives the
same pairs again. Several labels stand in `labels` besides. A preference is `prompt`, `chosen` and `rejected` (lists of
messages, as TRL's DPO wants them; none for a tie) with `a`, `b`, `choice`, `margin` and `reason`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from storage.database import Database
from storage.examples import list_pairs
from storage.projects import get_project
from storage.records import Pair, Project
from studio.contract.answers import Preference, decode_preference, trained_by_default
from studio.contract.chat import Message
from studio.data.files import whole_file
from studio.data.prompts import to_messages, to_target
from studio.data.snapshots import count_rows, read_split
from studio.data.splits import SPLITS
from studio.errors import BadInput
from studio.settings import Workspace

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PAGE = 1000


@dataclass(frozen=True)
class _Exported:
    """A conversation on its way out, and the columns beside it; `rejected` is the answer that was not preferred."""

    messages: tuple[Message, ...]
    beside: Mapping[str, object] = field(default_factory=dict)
    rejected: str | None = None


def export_project(db: Database, project_id: str, path: Path) -> int:
    """Write the accepted pairs of a project to .jsonl, .csv or .parquet; returns how many.

    Raises BadInput for another ending or nothing to write, BadFile, DiskFull.
    """
    project = get_project(db, project_id)
    rows = [_of_pair(project, pair) for pair in list_pairs(db, project_id)]
    if not rows:
        raise BadInput(f"'{project.name}' has no accepted pairs to export.")
    return _export(rows, path)


def export_snapshot(workspace: Workspace, snapshot_id: str, path: Path) -> int:
    """Write a snapshot, its splits in a column `split`; returns how many rows. Raises as `export_project`, NotFound."""
    counts = count_rows(workspace, snapshot_id)
    rows = [
        _Exported(row.messages, {"split": split}, row.rejected)
        for split in SPLITS
        for offset in range(0, counts[split], _PAGE)
        for row in read_split(workspace, snapshot_id, split, offset, _PAGE)
    ]
    return _export(rows, path)


def _of_pair(project: Project, pair: Pair) -> _Exported:
    beside: dict[str, object] = {"context": pair.context} if pair.context else {}
    target = to_target(project, pair)
    if project.task == "multi-label":
        beside["labels"] = pair.response.split("\n")
    if project.task == "preference":
        found = decode_preference(pair.value) if pair.value else Preference(pair.response)
        beside |= {"a": pair.payload.get("a", ""), "b": pair.payload.get("b", ""), "choice": found.choice}
        beside |= {"margin": found.margin, "reason": found.reason}
    if target is None:
        return _Exported(tuple(to_messages(pair.prompt, pair.context, project.system_prompt)), beside)
    return _Exported(target.messages, beside, target.rejected)


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
    """What JSONL and Parquet hold of each row."""
    for row in rows:
        if row.rejected is None and "choice" not in row.beside:
            yield {"messages": _turns(row.messages), **row.beside}
            continue
        record: dict[str, object] = {"prompt": _turns(row.messages)}
        if row.rejected is not None:
            record["prompt"] = _turns(row.messages[:-1])
            record["chosen"] = _turns(row.messages[-1:])
            record["rejected"] = [{"role": "assistant", "content": row.rejected}]
        yield {**record, **row.beside}


def _turns(messages: Sequence[Message]) -> list[dict[str, object]]:
    plain: list[dict[str, object]] = [{"role": m.role, "content": m.content} for m in messages]
    if not any(m.role == "assistant" for m in messages) or trained_by_default(messages):
        return plain
    return [{**turn, "train": m.train and m.role == "assistant"} for turn, m in zip(plain, messages, strict=True)]


def _write_jsonl(rows: list[_Exported], file: BinaryIO) -> None:
    for record in _records(rows):
        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def _write_parquet(rows: list[_Exported], file: BinaryIO) -> None:
    records = list(_records(rows))
    flagged = any("train" in turn for record in records for turn in cast("list[Any]", record.get("messages", [])))
    flags = [("train", pa.bool_())] if flagged else []
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), *flags]))
    kinds: dict[str, pa.DataType] = dict.fromkeys(("messages", "prompt", "chosen", "rejected"), turns)
    kinds |= dict.fromkeys(("a", "b", "choice", "reason", "context", "split"), pa.string())
    kinds |= {"margin": pa.int32(), "labels": pa.list_(pa.string())}
    used = [name for name in kinds if any(name in record for record in records)]
    schema = pa.schema([(name, kinds[name]) for name in used])
    pq.write_table(pa.Table.from_pylist(records, schema=schema), file)


_CSV_COLUMNS = (
    *("input", "output", "rejected", "a", "b", "choice", "margin", "reason", "labels", "context", "system", "split"),
)


def _write_csv(rows: list[_Exported], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    cells = [_cells(row) for row in rows]
    names = [name for name in _CSV_COLUMNS if any(row.get(name) for row in cells)]
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([safe_cell(row.get(name, "")) for name in names] for row in cells)
    text.detach()


def _cells(row: _Exported) -> Mapping[str, str]:
    """Prompts of several turns become one text that names who speaks."""
    answered = row.messages[-1].role == "assistant"
    asked = row.messages[:-1] if answered else row.messages
    turns = [m for m in asked if m.role != "system"]
    system = "\n\n".join(m.content for m in row.messages if m.role == "system")
    beside = {name: _cell(value) for name, value in row.beside.items()}
    context = beside.pop("context", "") if len(turns) == 1 else ""
    prompt = turns[0].content if len(turns) == 1 else "\n\n".join(f"{m.role}: {m.content}" for m in turns)
    if context:
        prompt = prompt.removeprefix(f"{context}\n\n")
    cells = {"input": prompt, "output": row.messages[-1].content if answered else "", "rejected": row.rejected or ""}
    return {**cells, **beside, "context": context, "system": system}


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "|".join(map(str, value)) if not any("|" in str(item) for item in value) else json.dumps(value)
    return "" if value is None else str(value)


_WRITERS: dict[str, Callable[[list[_Exported], BinaryIO], None]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
