"""A snapshot's files: three Parquet files and a manifest, written in one go, read by page, searched, verified.

A row's canonical line is its whole content as JSON; the hash over these lines, split by split, names the snapshot. What
it leaves out: which rows a snapshot gets and where they go (studio.data.snapshots, studio.data.splits).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from studio.contract.answers import trained_by_default, with_flags
from studio.contract.chat import Message
from studio.data.splits import SPLITS
from studio.errors import BadFile, BadInput, NotFound
from studio.language import tr
from studio.settings import Workspace

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
GROUP_ROWS = 1000
_TURN = pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string()), ("train", pa.bool_())])
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(_TURN)),
        ("rejected", pa.string()),
        ("tools", pa.string()),
        ("example_id", pa.string()),
        ("annotation_id", pa.string()),
        ("group", pa.string()),
    ]
)
"""Columns of a split's file; `group` is the content key that keeps one prompt in one split. Files of older versions
have no `train` (then the last turn alone is trained on), no `rejected`, no `tools` and no `extra` of a turn."""

_SHOWN = ["messages", "rejected", "tools", "example_id", "annotation_id"]


@dataclass(frozen=True)
class SnapshotRow:
    """One conversation of a split; `prompt` is its last user turn, `response` the answer, `rejected` the answer that
    was not preferred."""

    example_id: str
    messages: tuple[Message, ...]
    prompt: str
    response: str
    rejected: str | None = None
    tools: str = ""
    annotation_id: str = ""


def canonical(messages: Sequence[Message], rejected: str | None, tools: str) -> bytes:
    """The content as one line. Flags are part of it only where they differ from the usual, loss on the last turn alone,
    and `rejected`, `tools` and `extra` only where there are any, so that content of older versions keeps its hash."""
    usual = trained_by_default(messages)
    turns: list[list[object]] = [
        [message.role, message.content, *(() if usual else (_trained(message),)), *filter(None, (message.extra,))]
        for message in messages
    ]
    if rejected is not None:
        turns.append(["rejected", rejected])
    if tools:
        turns.append(["tools", tools])
    return orjson.dumps(turns)


def content_hash(rows: Iterable[tuple[str, bytes]]) -> str:
    """The hash (hex) that names a snapshot with these (split, canonical line), in this order."""
    digest = hashlib.sha256(f"sft-studio snapshot {SCHEMA_VERSION}\n".encode())
    for split, line in rows:
        digest.update(b"%b %b\n" % (split.encode(), line))
    return digest.hexdigest()


def write_split(path: Path, batches: Iterator[tuple[list[bytes], pa.Table]]) -> None:
    """Write a split's file from batches of canonical lines and the columns example_id, annotation_id and group beside
    them, a row group each."""
    with path.open("wb") as file:
        with pq.ParquetWriter(file, SCHEMA) as writer:
            for lines, sources in batches:
                writer.write_table(_to_arrow(lines, sources), row_group_size=len(lines))
        file.flush()
        os.fsync(file.fileno())


def write_manifest(folder: Path, manifest: dict[str, object]) -> None:
    """Write the manifest of a folder that is not named yet."""
    with (folder / MANIFEST).open("wb") as file:
        file.write(json.dumps(manifest, ensure_ascii=False, indent=2).encode())
        file.flush()
        os.fsync(file.fileno())


def read_manifest(workspace: Workspace, snapshot_id: str) -> dict[str, Any]:
    """A snapshot's manifest. Raises NotFound, BadFile."""
    folder = snapshot_folder(workspace, snapshot_id)
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise _damaged(snapshot_id, tr("its {file} cannot be read", file=MANIFEST)) from None
    if not isinstance(found, dict):
        raise _damaged(snapshot_id, tr("its {file} cannot be read", file=MANIFEST))
    return found


def verify(workspace: Workspace, snapshot_id: str, on_rows: Callable[[int], object] | None = None) -> dict[str, int]:
    """Recompute a snapshot's hash from its files; the rows by split, `on_rows` being told how many were read so far.

    Raises BadFile with what is wrong when it is damaged, NotFound when it is not there.
    """
    manifest = read_manifest(workspace, snapshot_id)
    total = 0
    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)

    def rows() -> Iterator[tuple[str, bytes]]:
        nonlocal total
        for split in SPLITS:
            for lines in stored_lines(workspace, snapshot_id, split):
                yield from ((split, line) for line in lines)
                counts[split] += len(lines)
                total += len(lines)
                if on_rows:
                    on_rows(total)

    digest = content_hash(rows())
    stated = manifest.get("rows")
    if isinstance(stated, dict) and any(stated.get(split) != count for split, count in counts.items()):
        raise _damaged(snapshot_id, tr("rows are missing or too many ({told})", told=_counted(counts, stated)))
    if digest != manifest.get("hash") or not digest.startswith(snapshot_id):
        raise _damaged(snapshot_id, tr("its content is not what it was named by"))
    return counts


def stored_lines(workspace: Workspace, snapshot_id: str, split: str) -> Iterator[list[bytes]]:
    """The canonical lines of a split in batches. Raises NotFound, BadFile."""
    for batch in read_batches(workspace, snapshot_id, split, ["messages", "rejected", "tools"]):
        yield checked_lines(batch, snapshot_id, split)


def checked_lines(batch: pa.RecordBatch, snapshot_id: str, split: str) -> list[bytes]:
    """The canonical lines of a stored batch. Raises BadFile where its rows are no conversations."""
    try:
        return canonical_lines(batch)
    except (ValueError, TypeError, KeyError, AttributeError, pa.ArrowException):
        why = tr("{file} has rows that are no conversations", file=f"{split}.parquet")
        raise _damaged(snapshot_id, why) from None


def read_batches(workspace: Workspace, snapshot_id: str, split: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """A split's rows as they lie in its file, some of its columns (those of them that it has). Raises NotFound,
    BadInput, BadFile."""
    path = _split_file(workspace, snapshot_id, split)
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=4 * GROUP_ROWS, columns=columns)
    except FileNotFoundError:
        raise _damaged(snapshot_id, tr("{file} is missing", file=path.name)) from None
    except (OSError, pa.ArrowException):
        raise _damaged(snapshot_id, tr("{file} cannot be read", file=path.name)) from None


def canonical_lines(batch: pa.RecordBatch) -> list[bytes]:
    """The canonical line of each row of a stored batch, from its flat columns: no object a turn is made."""
    turns = batch.column("messages")
    flat = turns.flatten()
    names = {flat.type.field(index).name for index in range(flat.type.num_fields)}
    roles, contents = flat.field("role").to_pylist(), flat.field("content").to_pylist()
    extras = flat.field("extra").to_pylist() if "extra" in names else None
    flags = flat.field("train").to_pylist() if "train" in names else None
    offsets = [0, *_ends(turns)]
    rejected, tools = _column(batch, "rejected"), _column(batch, "tools")
    made = []
    for row, (start, end) in enumerate(pairwise(offsets)):
        trained = _trained_turns(roles, flags, start, end)
        usual = trained == [end - 1]
        line: list[list[object]] = []
        for at in range(start, end):
            turn: list[object] = [roles[at], contents[at]] if usual else [roles[at], contents[at], at in trained]
            if extras and extras[at]:
                turn.append(extras[at])
            line.append(turn)
        if rejected and rejected[row] is not None:
            line.append(["rejected", rejected[row]])
        if tools and tools[row]:
            line.append(["tools", tools[row]])
        made.append(orjson.dumps(line))
    return made


def read_split(
    workspace: Workspace, snapshot_id: str, split: str, offset: int = 0, limit: int = 50
) -> list[SnapshotRow]:
    """Rows of a split, in the order in which training reads them. Raises NotFound, BadInput, BadFile."""
    return read_rows(workspace, snapshot_id, split, range(offset, offset + limit))


def read_rows(workspace: Workspace, snapshot_id: str, split: str, numbers: Sequence[int]) -> list[SnapshotRow]:
    """Some rows of a split by their numbers, ascending from 0; those that it has not are passed over. Raises NotFound,
    BadInput, BadFile."""
    path = _split_file(workspace, snapshot_id, split)
    found: list[SnapshotRow] = []
    wanted, at, first = list(numbers), 0, 0
    with _readable(path) as file:
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            places = []
            while at < len(wanted) and wanted[at] < end:
                places.append(wanted[at] - first)
                at += 1
            if places:
                found += map(_snapshot_row, file.read_row_group(group, columns=_SHOWN).take(places).to_pylist())
            first = end
            if at == len(wanted):
                break
    return found


def search_split(
    workspace: Workspace, snapshot_id: str, split: str, words: str, offset: int = 0, limit: int = 50
) -> tuple[list[SnapshotRow], int]:
    """Rows of a split in whose turns `words` occur, whatever their case, and how many there are of them.

    Reads the whole split. Raises NotFound, BadInput, BadFile.
    """
    found: list[SnapshotRow] = []
    total = 0
    for batch in read_batches(workspace, snapshot_id, split, _SHOWN):
        places = _rows_with(batch, words)
        shown = places[max(0, offset - total) : max(0, offset + limit - total)]
        found += map(_snapshot_row, batch.take(pa.array(shown, pa.int64())).to_pylist())
        total += len(places)
    return found, total


def count_rows(workspace: Workspace, snapshot_id: str) -> dict[str, int]:
    """Rows by split. Raises NotFound, BadFile."""
    counts = {}
    for split in SPLITS:
        with _readable(_split_file(workspace, snapshot_id, split)) as file:
            counts[split] = int(file.metadata.num_rows)
    return counts


def snapshot_folder(workspace: Workspace, snapshot_id: str) -> Path:
    """Where a snapshot lies. Raises NotFound for what is no id or not there."""
    folder = workspace.snapshots / snapshot_id
    if not re.fullmatch(r"[0-9a-f]{16}", snapshot_id) or not folder.is_dir():
        raise NotFound(tr("There is no snapshot '{id}' in this workspace.", id=snapshot_id[:64]))
    return folder


def _trained(message: Message) -> bool:
    return message.train and message.role == "assistant"


def _trained_turns(roles: list[Any], flags: list[Any] | None, start: int, end: int) -> list[int]:
    """Places of the assistant turns with loss; without any flag it is the last of them."""
    asked = [at for at in range(start, end) if roles[at] == "assistant"]
    if flags is None or all(flags[at] is None for at in asked):
        return asked[-1:]
    return [at for at in asked if flags[at]]


def _ends(turns: Any) -> list[int]:
    """Where each row's turns end in the flat list of a batch, which begins with its first row's."""
    offsets = turns.offsets.to_pylist()
    return [offset - offsets[0] for offset in offsets[1:]]


def _column(batch: pa.RecordBatch, name: str) -> list[Any] | None:
    return batch.column(name).to_pylist() if name in batch.schema.names else None  # type: ignore[no-any-return]


def _rows_with(batch: pa.RecordBatch, words: str) -> list[int]:
    """Places of a batch's rows in whose turns some words occur."""
    turns = batch.column("messages")
    hits = pc.match_substring(turns.flatten().field("content"), words, ignore_case=True)
    rows = pc.list_parent_indices(turns).filter(hits)
    if "rejected" in batch.schema.names:
        beside = pc.indices_nonzero(pc.match_substring(batch.column("rejected"), words, ignore_case=True))
        return sorted({*rows.to_pylist(), *beside.to_pylist()})
    return sorted(set(rows.to_pylist()))


def _to_arrow(lines: list[bytes], sources: pa.Table) -> pa.Table:
    """Canonical lines and what stands beside them as the columns of SCHEMA; the reverse of `canonical_lines`."""
    offsets, roles, contents, extras, flags = [0], [], [], [], []
    rejected: list[str | None] = []
    tools: list[str | None] = []
    for line in lines:
        turns = orjson.loads(line)
        beside = {turn[0]: turn[1] for turn in turns[-2:] if turn[0] in ("rejected", "tools")}
        turns = turns[: len(turns) - len(beside)]
        said = any(isinstance(part, bool) for part in turns[0][2:3])
        for turn in turns:
            roles.append(turn[0])
            contents.append(turn[1])
            flags.append(turn[2] if said else False)
            extras.append(turn[-1] if len(turn) > (3 if said else 2) else None)
        flags[-1] = flags[-1] if said else True
        offsets.append(len(roles))
        rejected.append(beside.get("rejected"))
        tools.append(beside.get("tools"))
    parts = [pa.array(roles, pa.string()), pa.array(contents, pa.string()), pa.array(extras, pa.string())]
    struct = pa.StructArray.from_arrays([*parts, pa.array(flags, pa.bool_())], fields=list(_TURN))
    messages = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), struct, type=SCHEMA.field("messages").type)
    beside_them = [sources[name] for name in ("example_id", "annotation_id", "group")]
    columns = [messages, pa.array(rejected, pa.string()), pa.array(tools, pa.string()), *beside_them]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _split_file(workspace: Workspace, snapshot_id: str, split: str) -> Path:
    if split not in SPLITS:
        raise BadInput(tr("There is no split '{split}'; there are: {splits}.", split=split, splits=", ".join(SPLITS)))
    return snapshot_folder(workspace, snapshot_id) / f"{split}.parquet"


def _readable(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException):
        raise _damaged(path.parent.name, tr("{file} cannot be read", file=path.name)) from None


def _damaged(snapshot_id: str, what: str) -> BadFile:
    return BadFile(
        tr(
            "Snapshot {id} is damaged, {what}: freeze the project again, or put the folder back from a backup.",
            id=snapshot_id,
            what=what,
        )
    )


def _counted(counts: Mapping[str, int], stated: Mapping[str, Any]) -> str:
    """How many rows there are of those that a manifest states, split by split."""
    return ", ".join(
        tr("{rows:,} of {stated} in {split}", rows=counts[split], stated=stated.get(split), split=tr(split))
        for split in SPLITS
    )


def _snapshot_row(row: dict[str, Any]) -> SnapshotRow:
    messages = with_flags(row["messages"])
    prompt = next((m.content for m in reversed(messages) if m.role == "user"), "")
    return SnapshotRow(
        *(str(row["example_id"]), messages, prompt, messages[-1].content, row.get("rejected"), row.get("tools") or ""),
        annotation_id=str(row.get("annotation_id") or ""),
    )
