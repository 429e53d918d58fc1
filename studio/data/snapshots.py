"""Snapshots: the accepted pairs of a project, frozen into Parquet files named by the hash of their content.

The same pairs, split the same way, give the same id in any workspace. Each turn says whether it is trained on; a
preference has its preferred answer as the last turn and the other one in `rejected` (ties are left out and counted).
What it leaves out: snapshots are never changed and never deleted here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.database import Database
from storage.examples import list_pairs
from storage.projects import get_project
from storage.records import Project, Snapshot
from storage.snapshots import record_members, record_snapshot
from studio.contract.answers import trained_by_default, with_flags
from studio.contract.chat import Message
from studio.data.files import sentences, sync_folder, whole_folder
from studio.data.prompts import Target, content_key, to_target
from studio.data.splits import SPLITS, assign_splits, check_fractions
from studio.errors import BadFile, BadInput, NotFound
from studio.settings import Workspace

MANIFEST = "manifest.json"
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("train", pa.bool_())]))),
        ("rejected", pa.string()),
        ("example_id", pa.string()),
        ("annotation_id", pa.string()),
        ("group", pa.string()),
    ]
)
"""Columns of a split's file; `group` is the content key that keeps one prompt in one split. Files of older versions
have no `train` (then the last turn alone is trained on) and no `rejected`."""

_SCHEMA_VERSION = 1
_GROUP_ROWS = 1000


@dataclass(frozen=True)
class Frozen:
    """A snapshot, whether it is new to its project (False: the same content was frozen before), and how many `ties`
    of a preference were left out."""

    snapshot: Snapshot
    created: bool
    ties: int = 0


@dataclass(frozen=True)
class SnapshotRow:
    """One conversation of a split; `prompt` is its last user turn, `response` the answer, `rejected` the answer that
    was not preferred."""

    example_id: str
    messages: tuple[Message, ...]
    prompt: str
    response: str
    rejected: str | None = None


@dataclass(frozen=True)
class _Row:
    """A row to write. Other examples with the same content are in the snapshot through it."""

    target: Target
    example_id: str
    annotation_id: str
    group: str
    canonical: str
    others: list[str] = field(default_factory=list)


def freeze(
    db: Database, workspace: Workspace, project_id: str, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> Frozen:
    """Freeze the accepted pairs of a project, exact duplicates once.

    Raises BadInput (nothing accepted yet, fractions), NotFound, DiskFull; then no half folder is left.
    """
    check_fractions(validation, test)
    project = get_project(db, project_id)
    rows, ties = _rows(db, project)
    if not rows:
        told = f"only {ties} ties, which prefer nothing" if ties else "no accepted pairs yet"
        raise BadInput(f"'{project.name}' has {told}: label or import some, then freeze.")
    splits = assign_splits(Counter(row.group for row in rows), validation, test, seed)
    parts = {split: [row for row in rows if splits[row.group] == split] for split in SPLITS}
    full_hash = _content_hash((split, row.canonical) for split in SPLITS for row in parts[split])
    manifest = {
        "id": full_hash[:16],
        "hash": full_hash,
        "schema": _SCHEMA_VERSION,
        "project": project.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "validation": validation,
        "test": test,
        "rows": {split: len(parts[split]) for split in SPLITS},
        "ties": ties,
    }
    _write(workspace, full_hash[:16], parts, manifest)
    counts = (len(parts["train"]), len(parts["validation"]), len(parts["test"]))
    frozen = Frozen(*record_snapshot(db, full_hash[:16], project_id, seed, counts), ties)
    members = [(example, split) for split, rows in parts.items() for row in rows for example in _examples(row)]
    record_members(db, full_hash[:16], project_id, members)
    return frozen


def verify(workspace: Workspace, snapshot_id: str) -> None:
    """Recompute a snapshot's hash from its files. Raises BadFile when it is damaged, NotFound when it is not there."""
    folder = snapshot_folder(workspace, snapshot_id)
    try:
        with (folder / MANIFEST).open(encoding="utf-8") as file:
            expected = json.load(file)["hash"]
        found = _content_hash((split, _canonical(*row)) for split in SPLITS for row in _stored(folder, split))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        found, expected = "", "unreadable"
    if found != expected or not found.startswith(snapshot_id):
        raise BadFile(f"Snapshot {snapshot_id} is damaged: freeze the project again, which writes it anew.")


def read_split(
    workspace: Workspace, snapshot_id: str, split: str, offset: int = 0, limit: int = 50
) -> list[SnapshotRow]:
    """Rows of a split, in the order in which training reads them. Raises NotFound, BadInput, BadFile."""
    path = _split_file(workspace, snapshot_id, split)
    found: list[SnapshotRow] = []
    with _readable(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if first + size > offset and first < offset + limit:
                table = file.read_row_group(group, columns=["messages", "rejected", "example_id"])
                start = max(0, offset - first)
                found += map(_snapshot_row, table.slice(start, offset + limit - first - start).to_pylist())
            first += size
    return found


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
        raise NotFound(f"There is no snapshot '{snapshot_id[:64]}' in this workspace.")
    return folder


def _rows(db: Database, project: Project) -> tuple[list[_Row], int]:
    """The pairs as conversations, each once, in an order that depends on nothing but their content; and the ties."""
    unique: dict[str, _Row] = {}
    ties = 0
    for pair in list_pairs(db, project.id):
        target = to_target(project, pair)
        if target is None:
            ties += 1
            continue
        canonical = _canonical(target.messages, target.rejected)
        group = content_key(pair.prompt, pair.context) if pair.payload else pair.content_key
        row = _Row(target, pair.example_id, pair.annotation_id, group, canonical)
        if (first := unique.setdefault(canonical, row)) is not row:
            first.others.append(pair.example_id)
    return sorted(unique.values(), key=lambda row: hashlib.sha256(row.canonical.encode()).digest()), ties


def _examples(row: _Row) -> list[str]:
    return [row.example_id, *row.others]


def _canonical(messages: Sequence[Message], rejected: str | None) -> str:
    """The content as one line. Flags are part of it only where they differ from the usual, loss on the last turn alone,
    and `rejected` only where there is one, so that content of older versions keeps its hash."""
    usual = trained_by_default(messages)
    turns: list[list[object]] = [
        [message.role, message.content] if usual else [message.role, message.content, _trained(message)]
        for message in messages
    ]
    if rejected is not None:
        turns.append(["rejected", rejected])
    return json.dumps(turns, ensure_ascii=False, separators=(",", ":"))


def _trained(message: Message) -> bool:
    return message.train and message.role == "assistant"


def _content_hash(rows: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256(f"sft-studio snapshot {_SCHEMA_VERSION}\n".encode())
    for split, canonical in rows:
        digest.update(f"{split} {canonical}\n".encode())
    return digest.hexdigest()


def _write(workspace: Workspace, snapshot_id: str, parts: dict[str, list[_Row]], manifest: dict[str, object]) -> None:
    """Write the folder, unless a sound one of that name is there."""
    target = workspace.snapshots / snapshot_id
    with sentences(workspace.snapshots):
        workspace.snapshots.mkdir(parents=True, exist_ok=True)
    if target.exists():
        try:
            return verify(workspace, snapshot_id)
        except BadFile:
            with sentences(target):
                target.rename(target.with_name(f".{snapshot_id}.damaged-{os.urandom(4).hex()}"))
    with whole_folder(target) as folder:
        for split, rows in parts.items():
            _write_split(folder / f"{split}.parquet", rows)
        _write_durably(folder / MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=2).encode())
    sync_folder(workspace.root)


def _write_split(path: Path, rows: Sequence[_Row]) -> None:
    columns = [
        [[{"role": m.role, "content": m.content, "train": _trained(m)} for m in row.target.messages] for row in rows],
        [row.target.rejected for row in rows],
        [row.example_id for row in rows],
        [row.annotation_id for row in rows],
        [row.group for row in rows],
    ]
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, SCHEMA, strict=True)]
    with path.open("wb") as file:
        pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), file, row_group_size=_GROUP_ROWS)
        file.flush()
        os.fsync(file.fileno())


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _stored(folder: Path, split: str) -> Iterable[tuple[tuple[Message, ...], str | None]]:
    with pq.ParquetFile(folder / f"{split}.parquet") as file:
        for batch in file.iter_batches(batch_size=_GROUP_ROWS, columns=["messages", "rejected"]):
            for row in batch.to_pylist():
                yield _messages(row["messages"]), row.get("rejected")


def _split_file(workspace: Workspace, snapshot_id: str, split: str) -> Path:
    if split not in SPLITS:
        raise BadInput(f"There is no split '{split}'; there are: {', '.join(SPLITS)}.")
    return snapshot_folder(workspace, snapshot_id) / f"{split}.parquet"


def _readable(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException):
        raise BadFile(f"{path.name} of snapshot {path.parent.name} cannot be read: freeze the project again.") from None


def _snapshot_row(row: dict[str, Any]) -> SnapshotRow:
    messages = _messages(row["messages"])
    prompt = next((m.content for m in reversed(messages) if m.role == "user"), "")
    return SnapshotRow(str(row["example_id"]), messages, prompt, messages[-1].content, row.get("rejected"))


def _messages(turns: Iterable[Mapping[str, object]]) -> tuple[Message, ...]:
    return with_flags([(turn["role"], turn["content"], turn.get("train")) for turn in turns])
