"""Rows on their way out: the accepted pairs of a project, or the rows of a snapshot, one at a time.

A source also says what its rows have at all, for a file's columns stand in its first line. What it leaves out: shapes
(studio.data.export_shapes) and files (studio.data.export_files).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.database import Database
from storage.examples import pair_traits, pairs_in
from storage.projects import get_project
from storage.records import Pair, Project
from studio.contract.answers import Preference, decode_preference, with_flags
from studio.contract.chat import Message
from studio.data.prompts import to_messages, to_target
from studio.data.snapshot_files import count_rows, read_batches
from studio.data.splits import SPLITS
from studio.errors import BadInput
from studio.language import tr
from studio.settings import Workspace


@dataclass(frozen=True)
class Choice:
    """What a preference is made of: both answers, and what was said of them."""

    a: str
    b: str
    said: Preference


@dataclass(frozen=True)
class Outgoing:
    """One row. `messages` is the whole conversation as a model sees it; its last turn is the answer where `answered`
    (a tie has none). `context` stands in it too. `rejected` is the answer that was not preferred."""

    messages: tuple[Message, ...]
    answered: bool = True
    rejected: str | None = None
    tools: str = ""
    context: str = ""
    labels: tuple[str, ...] | None = None
    choice: Choice | None = None
    group: str = ""
    split: str = ""


@dataclass(frozen=True)
class Traits:
    """What some row of a source has. `turns`: a prompt of several turns; `extra`: tool calls or names in turns (said
    rather too often than too rarely); `flags`: loss elsewhere than on the last turn alone; `split`: more than one
    split. `preference` and `labels` are true of all rows or of none."""

    context: bool = False
    tools: bool = False
    turns: bool = False
    extra: bool = False
    flags: bool = False
    group: bool = False
    system: bool = False
    labels: bool = False
    choice: bool = False
    preference: bool = False
    split: bool = False


@dataclass(frozen=True)
class Source:
    """Where rows come from. `open(split)` gives those of a split ('' for all) anew each time; `splits` is () for a
    project; `rows` how many there are."""

    name: str
    rows: int
    traits: Traits
    open: Callable[[str], Iterator[Outgoing]]
    splits: tuple[str, ...] = ()


@contextmanager
def project_source(db: Database, project_id: str) -> Iterator[Source]:
    """The accepted pairs of a project, all of one moment while the block is open, whoever writes meanwhile.

    Raises NotFound, and BadInput where there are none.
    """
    project = get_project(db, project_id)
    with db.reading() as cursor:
        found = pair_traits(cursor, project_id)
        if not found.rows:
            raise BadInput(tr("'{project}' has no accepted pairs to export.", project=project.name))
        talks = project.task == "chat"
        preference = project.task == "preference"
        traits = Traits(
            context=found.context,
            tools=found.tools,
            turns=found.turns or talks,
            extra=found.extra,
            flags=found.flags and talks,
            group=found.group,
            system=bool(project.system_prompt) or found.turns or talks,
            labels=project.task == "multi-label",
            choice=preference,
            preference=preference,
        )
        yield Source(
            project.name, found.rows, traits, lambda split: (_of_pair(project, p) for p in pairs_in(cursor, project_id))
        )


def _of_pair(project: Project, pair: Pair) -> Outgoing:
    target = to_target(project, pair)
    labels = tuple(pair.response.split("\n")) if project.task == "multi-label" else None
    choice = None
    if project.task == "preference":
        said = decode_preference(pair.value) if pair.value else Preference(pair.response)
        choice = Choice(pair.payload.get("a", ""), pair.payload.get("b", ""), said)
    tools = pair.payload.get("tools", "")
    if target is None:
        messages = tuple(to_messages(pair.prompt, pair.context, project.system_prompt))
        return Outgoing(messages, False, None, tools, pair.context, labels, choice, pair.group_name)
    return Outgoing(target.messages, True, target.rejected, tools, pair.context, labels, choice, pair.group_name)


def snapshot_source(workspace: Workspace, snapshot_id: str, name: str = "") -> Source:
    """The rows of a snapshot, split after split. Raises NotFound, BadFile."""
    rows = sum(count_rows(workspace, snapshot_id).values())
    seen: dict[str, bool] = {}
    for split in SPLITS:
        for batch in read_batches(workspace, snapshot_id, split, _LOOKED_AT):
            for trait, value in _traits_of_batch(batch).items():
                seen[trait] = seen.get(trait, False) or value

    def open_split(wanted: str) -> Iterator[Outgoing]:
        for split in [wanted] if wanted else SPLITS:
            for batch in read_batches(workspace, snapshot_id, split, ["messages", "rejected", "tools"]):
                yield from (_of_stored(row, split) for row in batch.to_pylist())

    return Source(name or snapshot_id, rows, Traits(split=True, **seen), open_split, SPLITS)


_LOOKED_AT = [*(f"messages.list.element.{name}" for name in ("role", "train", "extra")), "rejected", "tools"]
"""Columns that the traits of a snapshot are read from: roles, flags and what is null, none of the long texts."""


def _of_stored(row: dict[str, Any], split: str) -> Outgoing:
    return Outgoing(with_flags(row["messages"]), True, row.get("rejected"), row.get("tools") or "", split=split)


def _traits_of_batch(batch: pa.RecordBatch) -> dict[str, bool]:
    import numpy as np

    messages = batch.column("messages")
    turns = pc.list_flatten(messages)
    ends = np.cumsum(pc.list_value_length(messages).to_numpy(zero_copy_only=False))
    system = _flags(pc.equal(pc.struct_field(turns, "role"), "system"))
    spoken = np.diff(np.concatenate([[0], np.cumsum(~system)])[np.concatenate([[0], ends])])
    found = {"system": bool(system.any()), "turns": bool((spoken > 2).any())}
    for name, trait in (("rejected", "preference"), ("tools", "tools")):
        if name in batch.schema.names:
            found[trait] = batch.column(name).null_count < batch.num_rows
    if turns.type.get_field_index("extra") >= 0:
        found["extra"] = pc.struct_field(turns, "extra").null_count < len(turns)
    if turns.type.get_field_index("train") >= 0:
        train = _flags(pc.struct_field(turns, "train"))
        found["flags"] = bool(train.sum() != batch.num_rows or not train[ends - 1].all())
    return found


def _flags(column: Any) -> Any:
    return column.fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
