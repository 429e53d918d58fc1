"""What a snapshot is made of: every accepted pair of a project, its content spilled to the disk, the rest in memory.

Memory holds some hundred bytes a pair: a digest of the content, where it lies, its ids, its group, its label. What it
leaves out: what becomes of it (studio.data.snapshots).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any

import pyarrow as pa

from storage.database import Database
from storage.examples import count_examples, pairs_in
from storage.records import Pair, Project
from storage.snapshots import HeldOut, read_held_out
from studio.data.nearness import NearTexts
from studio.data.prompts import content_key, label_of, text_of, to_target
from studio.data.snapshot_files import canonical
from studio.language import mark, tr

GROUPINGS: Mapping[str, str] = {
    "column": mark("the same prompt, or group of the import"),
    "near": mark("nearly the same prompt, or group of the import"),
}
"""What stays in one split, beside the same content. Groups are the names in the group column of an import, and what a
repair made of an example with that example."""

_TOLD_ROWS = 2000
_AT_ONCE = 5000


@dataclass
class Gathered:
    """Pairs in the order of import. `keys` and `names` number the prompts and the labels; `held` has a byte a pair, 1
    for one that was tested before; `links` are pairs of prompts that must not be parted."""

    spill: IO[bytes]
    digests: list[bytes] = field(default_factory=list)
    offsets: Any = field(default_factory=lambda: array("q", [0]))
    groups: Any = field(default_factory=lambda: array("q"))
    labels: Any = field(default_factory=lambda: array("q"))
    held: bytearray = field(default_factory=bytearray)
    keys: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)
    ties: int = 0
    known: HeldOut = field(default_factory=HeldOut)
    _ids: list[tuple[str, str]] = field(default_factory=list)
    _sources: list[pa.RecordBatch] = field(default_factory=list)

    def line(self, row: int) -> bytes:
        """The canonical line of a pair."""
        start = self.offsets[row]
        return os.pread(self.spill.fileno(), self.offsets[row + 1] - start, start)

    def add(self, pair: Pair, line: bytes, group: str, label: str) -> None:
        """Take a pair up."""
        self.spill.write(line)
        self.offsets.append(self.offsets[-1] + len(line))
        self.digests.append(sha256(line).digest())
        self.groups.append(self.keys.setdefault(group, len(self.keys)))
        self.labels.append(self.names.setdefault(label, len(self.names)))
        known = self.known
        self.held.append(pair.example_id in known.examples or pair.content_key in known.keys or group in known.keys)
        self._ids.append((pair.example_id, pair.annotation_id))
        if len(self._ids) == _AT_ONCE:
            self._pack()

    def sources(self) -> pa.Table:
        """example_id, annotation_id and group (the key of the prompt) of every pair."""
        self._pack()
        ids = pa.Table.from_batches(self._sources, _IDS).combine_chunks()
        groups = pa.array(list(self.keys), pa.string()).take(pa.array(self.groups, pa.int64()))
        return ids.append_column("group", groups)

    def _pack(self) -> None:
        columns = [pa.array([ids[place] for ids in self._ids], pa.string()) for place in (0, 1)]
        self._sources.append(pa.RecordBatch.from_arrays(columns, schema=_IDS))
        self._ids = []


_IDS = pa.schema([("example_id", pa.string()), ("annotation_id", pa.string())])


def gather(
    db: Database,
    project: Project,
    files: tuple[IO[bytes], IO[bytes]],
    group_by: str,
    tell: Callable[[float, str], None],
) -> Gathered:
    """Read all pairs and the held-out set, of one moment, in batches; what is large goes into two files."""
    total = max(1, count_examples(db, project.id).labeled)
    spill, near, by_name = files[0], NearTexts(files[1]) if group_by == "near" else None, dict[str, str]()
    with db.reading() as cursor:
        found = Gathered(spill, known=read_held_out(cursor, project.id))
        for pair in pairs_in(cursor, project.id):
            target = to_target(project, pair)
            if target is None:
                found.ties += 1
                continue
            group = content_key(pair.prompt, pair.context) if pair.payload else pair.content_key
            prompts = len(found.keys)
            line = canonical(target.messages, target.rejected, target.tools)
            found.add(pair, line, group, label_of(project.task, pair.response))
            if near and len(found.keys) > prompts:
                near.add(text_of(pair.prompt, pair.context))
            if pair.group_name:
                first = by_name.setdefault(pair.group_name, group)
                found.links += [(first, group)] if first != group else []
            if len(found.digests) % _TOLD_ROWS == 0:
                read = len(found.digests)
                tell(0.5 * read / total, tr("Reading: {read:,} of {total:,} pairs", read=read, total=total))
    spill.flush()
    if near and found.digests:
        tell(0.5, tr("Looking for nearly the same prompts"))
        found.links += near.links(list(found.keys))
    return found
