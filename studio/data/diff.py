"""What differs between two snapshots: rows added, removed, re-labeled and by whom, edited, moved between splits.

Each row is in one of these, or the same in both. Memory holds some hundred bytes a row of each snapshot; the rows
themselves are read page by page. What it leaves out: differences within a row (the screen shows both answers).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from storage.database import Database
from storage.lineage import authors
from studio.data.snapshot_files import SnapshotRow, checked_lines, count_rows, read_batches, read_rows
from studio.data.splits import SPLITS
from studio.errors import BadInput
from studio.language import mark, tr
from studio.settings import Workspace

KINDS: Mapping[str, str] = {
    "added": mark("Added"),
    "removed": mark("Removed"),
    "relabeled": mark("Re-labeled"),
    "edited": mark("Edited"),
    "moved": mark("Moved"),
}
"""What may have become of a row. `relabeled`: the same prompt, another answer; `edited`: the same example or prompt
with other words before the answer, or another system prompt or tools; `moved`: the same content in another split."""

Ints = npt.NDArray[np.int64]
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Diff:
    """Two snapshots compared. `counts` by kind, with `same`; `by`: re-labeled rows by who gave the newer answer ('' for
    nobody known here); `moves`: moved rows by (split before, split after). `rows` has for each kind the numbers of its
    rows in the first and in the second snapshot, counted over all splits, in the order of the second."""

    before: str
    after: str
    counts: Mapping[str, int]
    by: Mapping[str, int]
    moves: Mapping[tuple[str, str], int]
    rows: Mapping[str, tuple[Ints, Ints]] = field(repr=False)


@dataclass(frozen=True)
class DiffRow:
    """One row that differs; of an added one there is no `before`, of a removed one no `after`. `by` and `at`: who gave
    the newer answer and when, None where this workspace does not know."""

    kind: str
    example_id: str
    prompt: str
    before: str | None
    after: str | None
    split_before: str | None
    split_after: str | None
    by: str | None
    by_before: str | None
    at: datetime | None


@dataclass(frozen=True)
class _Side:
    """What one snapshot's rows are compared by, a value a row: hashes of the whole content, of the answer, of the
    prompt, and of the example; the split as its index in SPLITS."""

    content: Any
    answer: Any
    group: Any
    example: Any
    split: Ints
    annotations: list[Any]


def diff_snapshots(
    workspace: Workspace, db: Database, before: str, after: str, on_rows: Callable[[int], object] | None = None
) -> Diff:
    """Compare two snapshots by their whole ids; `on_rows` is told how many rows of both were read so far.

    Raises NotFound, BadFile.
    """
    one = _read(workspace, before, on_rows or (lambda rows: None), 0)
    other = _read(workspace, after, on_rows or (lambda rows: None), len(one.split))
    same_a, same_b = _paired(one.content, other.content)
    moved = one.split[same_a] != other.split[same_b]
    found: dict[str, list[tuple[Ints, Ints]]] = {kind: [] for kind in KINDS}
    found["moved"].append((same_a[moved], same_b[moved]))
    left_a, left_b = _others(len(one.split), same_a), _others(len(other.split), same_b)
    for keys in ("example", "group"):
        pairs_a, pairs_b = _paired(getattr(one, keys)[left_a], getattr(other, keys)[left_b])
        _sort_out(one, other, left_a[pairs_a], left_b[pairs_b], found)
        left_a, left_b = left_a[_others(len(left_a), pairs_a)], left_b[_others(len(left_b), pairs_b)]
    found["removed"].append((left_a, np.full(len(left_a), -1)))
    found["added"].append((np.full(len(left_b), -1), left_b))
    rows = {kind: _ordered(parts) for kind, parts in found.items()}
    counts = {kind: len(rows[kind][0]) for kind in KINDS} | {"same": int((~moved).sum())}
    return Diff(before, after, counts, _by(db, other, rows["relabeled"][1]), _moves(one, other, rows["moved"]), rows)


def diff_rows(
    workspace: Workspace, db: Database, diff: Diff, kind: str, offset: int = 0, limit: int = 25
) -> list[DiffRow]:
    """A page of the rows of one kind. Raises BadInput, NotFound, BadFile."""
    if kind not in KINDS:
        raise BadInput(tr("There is no kind '{kind}'; there are: {names}.", kind=kind, names=", ".join(KINDS)))
    numbers = [part[offset : offset + limit].tolist() for part in diff.rows[kind]]
    sides = [
        _fetch(workspace, snapshot, part) for snapshot, part in zip((diff.before, diff.after), numbers, strict=True)
    ]
    rows = [(sides[0].get(a), sides[1].get(b)) for a, b in zip(*numbers, strict=True)]
    known = authors(db, [row[1].annotation_id for pair in rows for row in pair if row])
    return [_row(kind, *pair, known) for pair in rows]


def _row(
    kind: str, old: tuple[str, SnapshotRow] | None, new: tuple[str, SnapshotRow] | None, known: Mapping[str, Any]
) -> DiffRow:
    shown = (new or old or ("", None))[1]
    assert shown is not None  # a row of a diff is in one of the two
    author = known.get(new[1].annotation_id) if new else None
    author_before = known.get(old[1].annotation_id) if old else None
    return DiffRow(
        *(kind, shown.example_id, shown.prompt, old[1].response if old else None, new[1].response if new else None),
        *(old[0] if old else None, new[0] if new else None, author.annotator if author else None),
        *(author_before.annotator if author_before else None, author.created_at if author else None),
    )


def _read(workspace: Workspace, snapshot_id: str, on_rows: Callable[[int], object], so_far: int) -> _Side:
    """What a snapshot's rows are compared by, read in batches."""
    columns: dict[str, list[bytes]] = {"content": [], "answer": [], "group": [], "example": []}
    splits: list[Ints] = []
    annotations: list[Any] = []
    wanted = ["messages", "rejected", "tools", "example_id", "annotation_id", "group"]
    for code, split in enumerate(SPLITS):
        for batch in read_batches(workspace, snapshot_id, split, wanted):
            lines = checked_lines(batch, snapshot_id, split)
            columns["content"].append(b"".join(_hash(line) for line in lines))
            columns["answer"].append(b"".join(_hash(_answer(line)) for line in lines))
            for name, stored in (("group", "group"), ("example", "example_id")):
                values = batch.column(stored).to_pylist()
                columns[name].append(b"".join(_hash(str(value).encode()) for value in values))
            annotations.append(batch.column("annotation_id"))
            splits.append(np.full(batch.num_rows, code))
            so_far += batch.num_rows
            on_rows(so_far)
    content, answer, group, example = (np.frombuffer(b"".join(parts), dtype=np.uint64) for parts in columns.values())
    return _Side(content, answer, group, example, np.concatenate(splits) if splits else _NONE, annotations)


def _hash(content: bytes) -> bytes:
    # Of two million rows any two have the same 8 bytes by chance once in ten million diffs.
    return blake2b(content, digest_size=8).digest()


def _answer(line: bytes) -> bytes:
    """The part of a canonical line that an annotator gave: the turns with loss, and what was not preferred."""
    turns = orjson.loads(line)
    asked = [turn for turn in turns if turn[0] == "assistant"]
    said = any(len(turn) > 2 and isinstance(turn[2], bool) for turn in asked)
    answers = [turn for turn in asked if turn[2]] if said else asked[-1:]
    return orjson.dumps([*answers, *(turn for turn in turns[-2:] if turn[0] == "rejected")])


def _paired(a: Any, b: Any) -> tuple[Ints, Ints]:
    """Places of equal values in two arrays; the n-th of a value in one belongs to its n-th in the other."""
    codes = np.unique(np.concatenate([a, b]), return_inverse=True)[1]
    width = max(len(a), len(b)) + 1
    one, other = (part * width + _counted(part) for part in (codes[: len(a)], codes[len(a) :]))
    found = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    return found[1], found[2]


def _counted(codes: Ints) -> Ints:
    """How many equals of each value stand before it."""
    order = np.argsort(codes, kind="stable")
    first = np.diff(codes[order], prepend=-1) != 0
    begins = np.maximum.accumulate(np.where(first, np.arange(len(codes)), 0))
    counts = np.empty(len(codes), dtype=np.int64)
    counts[order] = np.arange(len(codes)) - begins
    return counts


def _others(count: int, places: Ints) -> Ints:
    """The places out of `count` that are not among some."""
    left = np.ones(count, dtype=np.bool_)
    left[places] = False
    return np.flatnonzero(left)


def _sort_out(one: _Side, other: _Side, a: Ints, b: Ints, found: dict[str, list[tuple[Ints, Ints]]]) -> None:
    """Rows that belong together and differ: re-labeled where the prompt is the same and the answer is not."""
    relabeled = (one.group[a] == other.group[b]) & (one.answer[a] != other.answer[b])
    found["relabeled"].append((a[relabeled], b[relabeled]))
    found["edited"].append((a[~relabeled], b[~relabeled]))


def _ordered(parts: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    a, b = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    order = np.lexsort((a, b))
    return a[order], b[order]


def _by(db: Database, side: _Side, rows: Ints) -> dict[str, int]:
    if not len(rows):
        return {}
    import pyarrow as pa

    ids = pa.chunked_array(side.annotations).take(pa.array(rows)).to_pylist()
    known = authors(db, ids)
    counts = Counter(known[one].annotator if one in known else "" for one in ids)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _moves(one: _Side, other: _Side, rows: tuple[Ints, Ints]) -> dict[tuple[str, str], int]:
    counts = np.bincount(3 * one.split[rows[0]] + other.split[rows[1]], minlength=9).reshape(3, 3)
    return {(a, b): int(counts[i, j]) for i, a in enumerate(SPLITS) for j, b in enumerate(SPLITS) if counts[i, j]}


def _fetch(workspace: Workspace, snapshot_id: str, numbers: list[int]) -> dict[int, tuple[str, SnapshotRow]]:
    """Rows of a snapshot, each with its split, by their numbers over all splits; -1 is none."""
    found: dict[int, tuple[str, SnapshotRow]] = {}
    first = 0
    for split, count in count_rows(workspace, snapshot_id).items():
        wanted = sorted({number for number in numbers if first <= number < first + count})
        rows = read_rows(workspace, snapshot_id, split, [number - first for number in wanted])
        found.update((number, (split, row)) for number, row in zip(wanted, rows, strict=True))
        first += count
    return found
