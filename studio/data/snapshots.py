"""Snapshots: the accepted pairs of a project, frozen into Parquet files named by the hash of their content.

The same pairs, split the same way, give the same id in any workspace. Each turn says whether it is trained on; a
preference has its preferred answer as the last turn and the other one in `rejected` (ties are left out and counted).
What it leaves out: snapshots are never changed and never deleted here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.comparison_examples import hold_out_compared
from storage.database import Database
from storage.guidelines import guidelines_at
from storage.projects import get_project
from storage.records import Project, Snapshot
from storage.snapshots import MEMBERS, TESTED, record_members, record_snapshot
from studio.data.files import sentences, sync_folder, whole_folder
from studio.data.gathering import GROUPINGS, Gathered, gather
from studio.data.snapshot_files import (
    GROUP_ROWS,
    SCHEMA_VERSION,
    SnapshotRow,
    content_hash,
    count_rows,
    read_split,
    search_split,
    snapshot_folder,
    verify,
    write_manifest,
    write_split,
)
from studio.data.splits import SPLITS, assign_splits, check_fractions, joined, majority
from studio.errors import BadFile, BadInput, Cancelled
from studio.language import mark, tr, trn
from studio.settings import Workspace

__all__ = [
    "GROUPINGS",
    "SPLITS",
    "Frozen",
    "SnapshotRow",
    "count_rows",
    "freeze",
    "read_split",
    "search_split",
    "snapshot_folder",
    "verify",
]

Progress = Callable[[float, str], bool]
"""Told how far it is (0 to 1) and in words; says whether to go on."""

_ALL_HELD = mark(
    "All accepted pairs were tested on before, or are votes on held-out prompts, so nothing is left to train on: label "
    "or vote on some more."
)

Ints = npt.NDArray[np.int64]
_Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Frozen:
    """A snapshot, whether it is new to its project (False: the same content was frozen before), and how many `ties`
    of a preference were left out. Of its test rows `kept` were tested before, `linked` came with one of those, being of
    its group. `notes` are sentences for people."""

    snapshot: Snapshot
    created: bool
    ties: int = 0
    kept: int = 0
    linked: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """Which row stands for each content, in the order of the content, and its split (index in SPLITS); for every row
    gathered the split it is in. `kept` and `linked`: see Frozen."""

    rows: Ints
    splits: Ints
    all_splits: Ints
    kept: int
    linked: int

    def of(self, split: str) -> Ints:
        """The rows of a split."""
        return self.rows[self.splits == SPLITS.index(split)]

    def counts(self) -> dict[str, int]:
        """How many rows each split has."""
        return {split: len(self.of(split)) for split in SPLITS}


def freeze(
    db: Database,
    workspace: Workspace,
    project_id: str,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    stratify: bool = True,
    group_by: str = "column",
    on_progress: Progress | None = None,
) -> Frozen:
    """Freeze the accepted pairs of a project, exact duplicates once.

    `stratify`: labels have like shares in each split, where the task has labels; `group_by`: a key of GROUPINGS. What
    was in a test split of the project before is in this one too.

    Raises BadInput (nothing accepted yet, fractions, nothing left to train on), Cancelled, Conflict, NotFound,
    DiskFull; then no half folder is left.
    """
    check_fractions(validation, test)
    if group_by not in GROUPINGS:
        told = {"name": group_by, "names": ", ".join(GROUPINGS)}
        raise BadInput(tr("There is no grouping '{name}'; there are: {names}.", **told))
    project, tell = get_project(db, project_id), _teller(on_progress)
    hold_out_compared(db, project_id)
    with _nameless_files(workspace) as files:
        found = gather(db, project, files, group_by, tell)
        _check_any(project, found)
        tell(0.52, tr("Splitting"))
        plan = _plan(found, validation, test, seed, stratify)
        tell(0.6, tr("Naming the content"))
        full_hash = content_hash((split, found.line(row)) for split in SPLITS for row in plan.of(split).tolist())
        manifest = {
            **{"id": full_hash[:16], "hash": full_hash, "schema": SCHEMA_VERSION, "project": project.name},
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **{"seed": seed, "validation": validation, "test": test},
            "options": {"stratify": stratify, "group_by": group_by},
            "task": project.task,
            "label_names": [label.name for label in project.settings.labels],
            **{"rows": plan.counts(), "labels": _label_counts(found, plan), "ties": found.ties},
            "held_out": {"kept": plan.kept, "linked": plan.linked},
            "guidelines": _guidelines_version(db, project_id),
        }
        sources = found.sources()
        _write(workspace, found, sources, plan, manifest, tell)
    members, tested = _members(sources, plan)
    record_members(db, full_hash[:16], project_id, members)
    counts = plan.counts()
    rows = (counts["train"], counts["validation"], counts["test"])
    recorded = record_snapshot(db, full_hash[:16], project_id, seed, rows, tested, found.known)
    return Frozen(*recorded, found.ties, plan.kept, plan.linked, _notes(found, plan, test))


@contextmanager
def _nameless_files(workspace: Workspace) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Files on the workspace's disk of which nothing is left whatever happens, a killed process included."""
    with sentences(workspace.snapshots):
        workspace.snapshots.mkdir(parents=True, exist_ok=True)
        folder = workspace.snapshots
        with tempfile.TemporaryFile(dir=folder) as one, tempfile.TemporaryFile(dir=folder) as other:
            yield one, other


def _teller(on_progress: Progress | None) -> _Tell:
    def tell(fraction: float, words: str) -> None:
        if on_progress and not on_progress(fraction, words):
            raise Cancelled("The freeze was cancelled: no snapshot was made.")

    return tell


def _check_any(project: Project, found: Gathered) -> None:
    if not found.digests:
        told = {"project": project.name, "ties": found.ties}
        if found.ties:
            raise BadInput(
                tr("'{project}' has only {ties} ties, which prefer nothing: label or import some, then freeze.", **told)
            )
        raise BadInput(tr("'{project}' has no accepted pairs yet: label or import some, then freeze.", **told))


def _plan(found: Gathered, validation: float, test: float, seed: int, stratify: bool) -> _Plan:
    """Order, duplicates and splits. Raises BadInput where nothing would be left to train on."""
    digests = np.frombuffer(b"".join(found.digests), dtype="S32")
    found.digests.clear()
    order = np.argsort(digests, kind="stable")  # of equal ones the first imported stands first
    fresh = np.concatenate([[True], digests[order][1:] != digests[order][:-1]])
    rows = order[fresh]
    stands_for = np.empty(len(order), dtype=np.int64)
    stands_for[order] = rows[np.cumsum(fresh) - 1]
    whole = _whole_groups(found, stands_for)
    held = np.frombuffer(found.held, dtype=np.uint8) > 0
    before = np.zeros(len(order), dtype=np.bool_)
    before[stands_for[held]] = True
    held_groups = np.zeros(len(found.keys), dtype=np.bool_)
    held_groups[whole[held]] = True
    splits = _splits_of(found, whole[rows], rows, np.flatnonzero(held_groups), (validation, test, seed), stratify)
    if not (splits == 0).any():
        raise BadInput(_ALL_HELD)
    of_row = np.empty(len(order), dtype=np.int64)
    of_row[rows] = splits
    linked = held_groups[whole[rows]] & ~before[rows]
    return _Plan(rows, splits, of_row[stands_for], int(before[rows].sum()), int(linked.sum()))


def _whole_groups(found: Gathered, stands_for: Ints) -> Ints:
    """The group of each row by the number of a prompt: rows with one content, and linked prompts, are of one group."""
    names, groups = list(found.keys), np.array(found.groups, dtype=np.int64)
    parted = np.flatnonzero(groups != groups[stands_for]).tolist()
    links = [*found.links, *((names[groups[row]], names[groups[stands_for[row]]]) for row in parted)]
    if not links:
        return groups
    root = joined(links, names)
    return np.array([found.keys[root[name]] for name in names], dtype=np.int64)[groups]


def _splits_of(
    found: Gathered, groups: Ints, rows: Ints, held: Ints, chosen: tuple[float, float, int], stratify: bool
) -> Ints:
    """The split of each of `rows`, as its index in SPLITS; `groups` are theirs, `held` those in test already."""
    names = list(found.keys)
    sizes = np.bincount(groups, minlength=len(names)).tolist()
    strata = None
    if stratify and len(found.names) > 1:
        words = list(found.names)
        labels = np.array(found.labels, dtype=np.int64)[rows].tolist()
        strata = majority((names[group], words[one]) for group, one in zip(groups.tolist(), labels, strict=True))
    assigned = assign_splits(
        {name: size for name, size in zip(names, sizes, strict=True) if size},
        *chosen,
        strata=strata,
        held=[names[group] for group in held.tolist()],
    )
    codes = {split: code for code, split in enumerate(SPLITS)}
    return np.array([codes[assigned.get(name, "train")] for name in names], dtype=np.int64)[groups]


def _label_counts(found: Gathered, plan: _Plan) -> dict[str, dict[str, int]]:
    """Rows by label and split, the most frequent label first; nothing for a task without labels."""
    words = list(found.names)
    labels = np.array(found.labels, dtype=np.int64)[plan.rows]
    table = np.zeros((len(words), len(SPLITS)), dtype=np.int64)
    np.add.at(table, (labels, plan.splits), 1)
    order = sorted(range(len(words)), key=lambda one: (-int(table[one].sum()), words[one]))
    return {words[one]: dict(zip(SPLITS, table[one].tolist(), strict=True)) for one in order if words[one]}


def _guidelines_version(db: Database, project_id: str) -> int | None:
    found = guidelines_at(db, project_id, datetime.now(UTC))
    return found.version if found else None


def _write(
    workspace: Workspace, found: Gathered, sources: pa.Table, plan: _Plan, manifest: dict[str, object], tell: _Tell
) -> None:
    """Write the folder, unless a sound one of that name is there."""
    snapshot_id, total = str(manifest["id"]), len(plan.rows)
    target = workspace.snapshots / snapshot_id
    if target.exists():
        try:
            checking = tr("Checking the one there is")
            verify(workspace, snapshot_id, lambda read: tell(0.6 + 0.4 * read / total, checking))
            return
        except BadFile:
            target.rename(target.with_name(f".{snapshot_id}.damaged-{os.urandom(4).hex()}"))
    done = 0

    def batches(split: str) -> Iterator[tuple[list[bytes], pa.Table]]:
        nonlocal done
        rows = plan.of(split)
        for at in range(0, len(rows), GROUP_ROWS):
            part = rows[at : at + GROUP_ROWS]
            yield [found.line(row) for row in part.tolist()], sources.take(pa.array(part))
            done += len(part)
            tell(0.65 + 0.3 * done / total, tr("Writing: {done:,} of {total:,} rows", done=done, total=total))

    with whole_folder(target) as folder:
        for split in SPLITS:
            write_split(folder / f"{split}.parquet", batches(split))
        write_manifest(folder, manifest)
        tell(0.96, tr("Noting what is in it"))
    sync_folder(workspace.root)


def _members(sources: pa.Table, plan: _Plan) -> tuple[pa.Table, pa.Table]:
    """Every example of the snapshot with its split; and those of the test split with the key of their prompt."""
    names = pa.array(SPLITS, pa.string()).take(pa.array(plan.all_splits))
    members = pa.Table.from_arrays([sources["example_id"], sources["annotation_id"], names], schema=MEMBERS)
    tested = sources.filter(pa.array(plan.all_splits == SPLITS.index("test")))
    return members, pa.Table.from_arrays([tested["example_id"], tested["group"]], schema=TESTED)


def _notes(found: Gathered, plan: _Plan, test: float) -> tuple[str, ...]:
    """What people have to know of a freeze."""
    counts, total = plan.counts(), len(plan.rows)
    notes = []
    if found.ties:
        notes.append(
            trn(
                "{count:,} tie was left out: a tie prefers neither answer.",
                "{count:,} ties were left out: a tie prefers neither answer.",
                found.ties,
            )
        )
    if counts["test"] == plan.kept + plan.linked and counts["test"] > round(test * total) + plan.linked:
        notes.append(
            tr(
                "The test split keeps all {rows:,} rows that were tested before, more than the share asked for "
                "({asked:,}): what was once tested on is never trained on.",
                rows=counts["test"],
                asked=round(test * total),
            )
        )
    if plan.linked:
        notes.append(
            trn(
                "{count:,} row is in the test split for being of one group with a row that was tested before.",
                "{count:,} rows are in the test split for being of one group with a row that was tested before.",
                plan.linked,
            )
        )
    return tuple(notes)
