"""The rows that a preflight looks into: a project's accepted pairs or a snapshot's, written as the contract says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.accepted import Held, count_accepted, iter_accepted, read_held
from storage.database import Database
from storage.projects import get_project
from storage.records import Project
from studio.contract.chat import Message
from studio.data.fields import checked_fields
from studio.data.prompts import to_target
from studio.data.snapshot_files import count_rows, read_batches
from studio.data.splits import SPLITS
from studio.errors import BadInput, Cancelled
from studio.settings import Workspace

Progress = Callable[[int, int], bool]
"""Called with the rows written so far and all of them; whether to go on."""

_TURN = pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string()), ("train", pa.bool_())])
_FIELDS = pa.list_(pa.struct([("name", pa.string()), ("text", pa.string())]))
_LABELED = ("classification", "multi-label", "rating")


def write_rows(
    db: Database, workspace: Workspace, project_id: str, snapshot_id: str, path: Path, on_rows: Progress
) -> int:
    """Write the pairs of a project, or of one of its snapshots where `snapshot_id` is not ''; how many.

    Memory holds a batch at a time. Raises BadInput when there are none, Cancelled, NotFound, BadFile.
    """
    project = get_project(db, project_id)
    total = sum(count_rows(workspace, snapshot_id).values()) if snapshot_id else count_accepted(db, project_id)
    if not total:
        raise BadInput("There are no accepted pairs to check: label or import some first.")
    batches = _of_snapshot(db, workspace, project, snapshot_id) if snapshot_id else _of_project(db, project)
    written, writer = 0, None
    try:
        for batch in batches:
            writer = writer or pq.ParquetWriter(path, batch.schema)
            writer.write_table(batch)
            written += len(batch)
            if not on_rows(min(written, total), total):
                raise Cancelled("Stopped: nothing was checked.")
    finally:
        if writer:
            writer.close()
    if not written:
        raise BadInput("There are no accepted pairs to check: ties prefer neither answer.")
    return written


def _of_project(db: Database, project: Project) -> Iterator[pa.Table]:
    for batch in iter_accepted(db, project.id):
        pairs = [(held, target) for held in batch if (target := to_target(project, held.pair)) is not None]
        if pairs:
            messages = pa.array([[_turn(turn) for turn in target.messages] for _, target in pairs], pa.list_(_TURN))
            rejected = pa.array([target.rejected for _, target in pairs], pa.string())
            tools = pa.array([target.tools or None for _, target in pairs], pa.string())
            held = [one for one, _ in pairs]
            yield _table(project, [one.example_id for one in held], "", held, messages, rejected, tools)


def _of_snapshot(db: Database, workspace: Workspace, project: Project, snapshot_id: str) -> Iterator[pa.Table]:
    """The conversations are the snapshot's; the texts to mend are those that its examples have now."""
    columns = ["messages", "rejected", "tools", "example_id"]
    for split in SPLITS:
        for batch in read_batches(workspace, snapshot_id, split, columns):
            ids = batch.column("example_id").to_pylist()
            held = {one.example_id: one for one in read_held(db, project.id, ids)}
            empty = pa.nulls(len(batch), pa.string())
            rejected, tools = (
                batch.column(name) if name in batch.schema.names else empty for name in ("rejected", "tools")
            )
            yield _table(project, ids, split, [held.get(key) for key in ids], batch.column("messages"), rejected, tools)


def _table(
    project: Project,
    ids: Sequence[str],
    split: str,
    held: Sequence[Held | None],
    messages: pa.Array,
    rejected: pa.Array,
    tools: pa.Array,
) -> pa.Table:
    labels = [one.response if one and project.task in _LABELED else "" for one in held]
    fields = [_fields(checked_fields(project.task, one)) if one else [] for one in held]
    return pa.table(
        {
            "example_id": pa.array(ids, pa.string()),
            "split": pa.array([split] * len(ids), pa.string()),
            "label": pa.array(labels, pa.string()),
            "annotator": pa.array([one.annotator if one else "" for one in held], pa.string()),
            "messages": messages,
            "rejected": rejected,
            "tools": tools,
            "fields": pa.array(fields, _FIELDS),
        }
    )


def _fields(texts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "text": text} for name, text in texts.items()]


def _turn(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "content": message.content,
        "extra": message.extra or None,
        "train": message.train and message.role == "assistant",
    }
